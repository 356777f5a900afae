//! Stored answers, bounded by bytes.

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::config::CacheConfig;
use super::entry::Entry;
use super::key::VariantKey;
use super::resource::Resource;
use crate::order::{TargetKey, TargetKeyHashing};
use crate::sync::Arc;

type Key = (TargetKey, VariantKey);

pub(super) struct Store(Cache<Key, Shelved, ByWeight, TargetKeyHashing>);

/// A stored answer, and the URL that it is stored under, which lives as long.
#[derive(Clone)]
pub(super) struct Shelved {
    pub(super) entry: Arc<Entry>,
    pub(super) resource: Arc<Resource>,
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<Key, Shelved> for ByWeight {
    fn weight(&self, _: &Key, shelved: &Shelved) -> u64 {
        shelved.entry.weight() + shelved.resource.url.as_str().len() as u64
    }
}

// === impl Store ===

impl Store {
    /// Capacity is split over shards, and an entry must fit one: as many as the largest object allows.
    pub(super) fn new(config: &CacheConfig) -> Self {
        let largest = config.max_object_bytes + config.max_object_bytes / 16 + (64 << 10);
        let shards = (config.capacity_bytes / largest).clamp(1, 16);
        let shards = if shards.is_power_of_two() {
            shards
        } else {
            shards.next_power_of_two() / 2
        };
        let options = OptionsBuilder::new()
            .estimated_items_capacity((config.capacity_bytes / 16_384).clamp(64, 1 << 20) as usize)
            .weight_capacity(config.capacity_bytes)
            .shards(shards as usize)
            .build()
            .expect("both capacities are given");
        Self(Cache::with_options(
            options,
            ByWeight,
            TargetKeyHashing::default(),
            DefaultLifecycle::default(),
        ))
    }

    pub(super) fn get(&self, url: TargetKey, variant: VariantKey) -> Option<Arc<Entry>> {
        self.0.get(&(url, variant)).map(|shelved| shelved.entry)
    }

    /// Keeps the younger one: of one stamp, that whose head came later. Call under the resource's lock.
    pub(super) fn insert(&self, resource: &Arc<Resource>, entry: Arc<Entry>) {
        let key = (resource.key(), entry.head.variant);
        let at = |entry: &Entry| (entry.head.stamp.at, entry.head.freshness.received().mono);
        if self
            .0
            .peek(&key)
            .is_some_and(|stored| at(&stored.entry) > at(&entry))
        {
            return;
        }
        let resource = resource.clone();
        self.0.insert(key, Shelved { entry, resource });
    }

    /// What is stored of this variant. That is no use of it.
    pub(super) fn peek(&self, url: TargetKey, variant: VariantKey) -> Option<Arc<Entry>> {
        self.0.peek(&(url, variant)).map(|shelved| shelved.entry)
    }

    /// Whether this variant is stored. That is no use of it.
    pub(super) fn has(&self, url: TargetKey, variant: VariantKey) -> bool {
        self.0.peek(&(url, variant)).is_some()
    }

    /// Removes whatever is stored of this variant.
    pub(super) fn forget(&self, url: TargetKey, variant: VariantKey) {
        self.0.remove(&(url, variant));
    }

    /// Removes it, if it is still that one.
    pub(super) fn remove(&self, url: TargetKey, entry: &Arc<Entry>) {
        self.0.remove_if(&(url, entry.head.variant), |stored| {
            Arc::ptr_eq(&stored.entry, entry)
        });
    }

    pub(super) fn weight(&self) -> u64 {
        self.0.weight()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

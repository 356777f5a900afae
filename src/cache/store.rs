//! Stored answers, bounded by bytes.

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::config::CacheConfig;
use super::entry::{Entry, VariantKey};
use crate::order::{TargetKey, TargetKeyHashing};
use crate::sync::Arc;

type Key = (TargetKey, VariantKey);

pub(super) struct Store(Cache<Key, Arc<Entry>, ByWeight, TargetKeyHashing>);

#[derive(Clone)]
struct ByWeight;

impl Weighter<Key, Arc<Entry>> for ByWeight {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        entry.weight()
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
        self.0.get(&(url, variant))
    }

    /// Keeps the younger one. Call under the resource's lock.
    pub(super) fn insert(&self, url: TargetKey, entry: Arc<Entry>) {
        let key = (url, entry.variant);
        if self.0.peek(&key).is_some_and(|stored| stored.stamp > entry.stamp) {
            return;
        }
        self.0.insert(key, entry);
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
        self.0
            .remove_if(&(url, entry.variant), |stored| Arc::ptr_eq(stored, entry));
    }

    pub(super) fn weight(&self) -> u64 {
        self.0.weight()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

//! Living resources of a share of all keys: by their key, and by a number for whoever visits all of them.

use std::collections::hash_map::Entry;
use std::sync::Weak;

use super::resource::Resource;
use crate::order::{ByTarget, TargetKey};
use crate::sync::Arc;

#[derive(Default)]
pub(super) struct Shard {
    living: ByTarget<(Weak<Resource>, u32)>,
    slots: Vec<Weak<Resource>>,
    free: Vec<u32>,
}

// === impl Shard ===

impl Shard {
    pub(super) fn get(&self, key: TargetKey) -> Option<Arc<Resource>> {
        let (resource, _) = self.living.get(&key)?;
        resource.upgrade()
    }

    /// In the place of one with this key that is about to go, if there is one.
    pub(super) fn insert(&mut self, key: TargetKey, resource: Weak<Resource>) {
        let Self { living, slots, free } = self;
        let (place, number) = living.entry(key).or_insert_with(|| {
            let number = free.pop().unwrap_or_else(|| {
                slots.push(Weak::new());
                u32::try_from(slots.len() - 1).expect("each takes memory")
            });
            (Weak::new(), number)
        });
        slots[*number as usize] = resource.clone();
        *place = resource;
    }

    /// Makes room for another one, unless it is there already.
    pub(super) fn remove_dead(&mut self, key: TargetKey) {
        if let Entry::Occupied(place) = self.living.entry(key)
            && place.get().0.strong_count() == 0
        {
            let (_, number) = place.remove();
            self.slots[number as usize] = Weak::new();
            self.free.push(number);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.living.len()
    }

    /// The one with this number, if it lives; `Err` where numbers end.
    pub(super) fn nth(&self, number: usize) -> Result<Option<Arc<Resource>>, Ended> {
        self.slots.get(number).map(Weak::upgrade).ok_or(Ended)
    }
}

/// There are no more.
pub(super) struct Ended;

//! What waits on one channel, found by what its ids say: each for another predecessor, no two with the same id.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::sequencer::{Due, Outcome, Released, predecessor};

/// What an item takes in the tables, about.
pub(super) const PLACE_WEIGHT: usize = 160;

/// Items in the order in which they came, by when they will have waited long enough.
#[derive(Default)]
pub(super) struct Queue {
    items: BTreeMap<Due, Waiter>,
    by_id: HashMap<Arc<str>, Due>,
    by_predecessor: HashMap<Arc<str>, Due>,
}

pub(super) struct Waiter {
    pub(super) released: Released,
    pub(super) bytes: usize,
}

// === impl Queue ===

impl Queue {
    pub(super) fn push(&mut self, due: Due, waiter: Waiter) {
        let publication = &waiter.released.publication;
        if let Some(id) = &publication.message.id {
            self.by_id.insert(id.clone(), due);
        }
        if let Some(prev_id) = predecessor(publication) {
            self.by_predecessor.insert(prev_id.clone(), due);
        }
        self.items.insert(due, waiter);
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the item with this id waits.
    pub(super) fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Whether one waits for the item with this id.
    pub(super) fn has_next(&self, id: &str) -> bool {
        self.by_predecessor.contains_key(id)
    }

    /// Where the outcome of the item with this id comes.
    pub(super) fn outcome_of(&self, id: &str) -> Option<Outcome> {
        let waiter = self.items.get(self.by_id.get(id)?)?;
        Some(waiter.released.done.subscribe())
    }

    /// The item with this id.
    pub(super) fn find(&self, id: &str) -> Option<Due> {
        self.by_id.get(id).copied()
    }

    /// The one that waits for it.
    pub(super) fn find_next(&self, id: &str) -> Option<Due> {
        self.by_predecessor.get(id).copied()
    }

    /// The first of those that lead up to this one, or this one.
    pub(super) fn first_of(&self, due: Due) -> Due {
        let mut first = due;
        // Names may lead in a circle.
        for _ in 0..self.items.len() {
            let waiter = self.items.get(&first);
            let prev_id = waiter.and_then(|waiter| predecessor(&waiter.released.publication));
            match prev_id.and_then(|prev_id| self.find(prev_id)) {
                Some(earlier) => first = earlier,
                None => break,
            }
        }
        first
    }

    pub(super) fn take(&mut self, due: Due) -> Option<Waiter> {
        let waiter = self.items.remove(&due)?;
        let publication = &waiter.released.publication;
        if let Some(id) = &publication.message.id {
            self.by_id.remove(id);
        }
        if let Some(prev_id) = predecessor(publication) {
            self.by_predecessor.remove(prev_id);
        }
        Some(waiter)
    }
}

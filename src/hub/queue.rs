//! What waits on one channel, found by what its ids say: each for another predecessor, no two with the same id. And what is
//! on its way to the log, which does not wait and is not there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use super::plan::predecessor;
use super::said::{Likeness, What};
use super::sequencer::{Due, Item, Outcome};
use crate::order::{Publication, Purge};

/// What an item takes in the tables, about.
pub(super) const PLACE_WEIGHT: usize = 160;

/// Items in the order in which they came, by when they will have waited long enough.
#[derive(Default)]
pub(super) struct Queue {
    items: BTreeMap<Due, Waiter>,
    by_id: HashMap<Arc<str>, Due>,
    by_predecessor: HashMap<Arc<str>, Due>,
    /// How often each is on its way.
    on_their_way: HashMap<Arc<str>, usize>,
}

pub(super) struct Waiter {
    pub(super) item: Item,
    pub(super) bytes: usize,
    /// What it came with is on its way: it goes out after that.
    is_held: bool,
    /// It need not wait any more.
    is_ready: bool,
}

// === impl Waiter ===

impl Waiter {
    /// With the rest of its order on its way.
    pub(super) fn held(item: Item, bytes: usize) -> Self {
        Self {
            item,
            bytes,
            is_held: true,
            is_ready: false,
        }
    }
}

// === impl Queue ===

impl Queue {
    pub(super) fn push(&mut self, due: Due, waiter: Waiter) {
        let publication = &waiter.item.publication;
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

    /// Whether nothing is on its way either.
    pub(super) fn is_over(&self) -> bool {
        self.is_empty() && self.on_their_way.is_empty()
    }

    pub(super) fn goes(&mut self, id: &Arc<str>) {
        *self.on_their_way.entry(id.clone()).or_default() += 1;
    }

    /// It has come to the log, or nobody brings it there.
    pub(super) fn went(&mut self, id: &Arc<str>) {
        if let Some(times) = self.on_their_way.get_mut(id) {
            *times -= 1;
            if *times == 0 {
                self.on_their_way.remove(id);
            }
        }
    }

    pub(super) fn is_on_its_way(&self, id: &str) -> bool {
        self.on_their_way.contains_key(id)
    }

    /// What this one came with has gone out. Whether it can go.
    pub(super) fn let_go(&mut self, due: Due) -> bool {
        self.items.get_mut(&due).is_some_and(|waiter| {
            waiter.is_held = false;
            waiter.is_ready
        })
    }

    /// This one need not wait any more, but for what it came with. Whether it can go.
    pub(super) fn ready(&mut self, due: Due) -> bool {
        self.items.get_mut(&due).is_some_and(|waiter| {
            waiter.is_ready = true;
            !waiter.is_held
        })
    }

    pub(super) fn is_held(&self, due: Due) -> bool {
        self.items.get(&due).is_some_and(|waiter| waiter.is_held)
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
        Some(waiter.item.done.subscribe())
    }

    /// Adds another form to an item that waits: how many bytes more that is.
    pub(super) fn join(&mut self, form: &Publication) -> usize {
        let due = form.message.id.as_ref().and_then(|id| self.find(id));
        let Some(waiter) = due.and_then(|due| self.items.get_mut(&due)) else {
            return 0;
        };
        let Publication { message, latest, .. } = &mut waiter.item.publication;
        let likeness = What::of(&form.message).likeness(&What::of(message));
        if *latest != form.latest || likeness != Likeness::Form {
            return 0;
        }
        let before = message.weight();
        Arc::make_mut(message).add_forms_of(&form.message);
        let more = message.weight() - before;
        waiter.bytes += more;
        more
    }

    /// The item with this id.
    pub(super) fn find(&self, id: &str) -> Option<Due> {
        self.by_id.get(id).copied()
    }

    /// The one that waits for it.
    pub(super) fn find_next(&self, id: &str) -> Option<Due> {
        self.by_predecessor.get(id).copied()
    }

    /// The first item.
    pub(super) fn oldest(&self) -> Option<Due> {
        self.items.first_key_value().map(|(first, _)| *first)
    }

    /// What goes out once more with this item.
    pub(super) fn purges_of(&self, due: Due) -> Option<&Arc<[Purge]>> {
        self.items.get(&due).map(|waiter| &waiter.item.purges)
    }

    /// The first item, if it came before this one and has waited for long enough.
    pub(super) fn overdue_before(&self, due: Due, now: Instant) -> Option<Due> {
        self.oldest().filter(|first| *first < due && first.0 <= now)
    }

    /// The first of those that lead up to this one, or this one. `None`: what lets it go is on its way.
    pub(super) fn first_of(&self, due: Due) -> Option<Due> {
        let mut first = due;
        loop {
            let prev_id = predecessor(&self.items.get(&first)?.item.publication)?;
            match self.find(prev_id) {
                // Names may lead in a circle, which then is all that leads up to it: no two follow the same one.
                Some(earlier) if earlier == due => return Some(due),
                Some(earlier) => first = earlier,
                None if self.is_on_its_way(prev_id) => return None,
                None => return Some(first),
            }
        }
    }

    pub(super) fn take(&mut self, due: Due) -> Option<Waiter> {
        let waiter = self.items.remove(&due)?;
        let publication = &waiter.item.publication;
        if let Some(id) = &publication.message.id {
            self.by_id.remove(id);
        }
        if let Some(prev_id) = predecessor(publication) {
            self.by_predecessor.remove(prev_id);
        }
        Some(waiter)
    }
}

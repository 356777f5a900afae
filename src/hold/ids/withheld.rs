//! What one channel of a hold withholds: in the order of the log, and found by what it is called.
//!
//! A publisher chooses how much is withheld, up to a bound, and what each message follows; each hold of its channel looks
//! things up here for it. So nothing is searched for: a look takes the logarithm of how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Placed, is_unlinked};
use crate::message::Message;

/// Where one is: lower is earlier in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place(u64);

/// What one is found by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Name {
    /// It names no predecessor.
    Unlinked,
    /// It names one.
    Linked,
    /// Either, where only as a successor of what it names it is news.
    Old,
    Id(Arc<str>),
    PrevId(Arc<str>),
}

/// Messages that wait.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    queue: BTreeMap<Place, Waiting>,
    names: BTreeSet<(Name, Place)>,
    bytes: usize,
    #[cfg(test)]
    looks: std::sync::atomic::AtomicUsize,
}

/// A message that waits.
#[derive(Debug)]
struct Waiting {
    placed: Placed,
    deadline: Instant,
}

// === impl Withheld ===

impl Withheld {
    /// Adds what the log has after all that is here.
    pub(super) fn push(&mut self, placed: Placed, deadline: Instant) {
        self.look();
        let last = self.queue.last_key_value();
        let place = Place(last.map_or(0, |(last, _)| last.0 + 1));
        self.bytes += placed.message.weight();
        for name in [kind(&placed.message)].into_iter().chain(ids(&placed.message)) {
            self.names.insert((name, place));
        }
        self.queue.insert(place, Waiting { placed, deadline });
    }

    pub(super) fn take(&mut self, place: Place) -> Placed {
        self.look();
        let Waiting { placed, .. } = self.queue.remove(&place).expect("a place is that of one");
        self.bytes -= placed.message.weight();
        let kinds = [kind(&placed.message), Name::Old].into_iter();
        for name in kinds.chain(ids(&placed.message)) {
            self.names.remove(&(name, place));
        }
        placed
    }

    /// The log has it before what the body names: only as a successor of what it names it is news.
    pub(super) fn mark_old(&mut self, place: Place) {
        self.look();
        self.names.remove(&(kind(self.message(place)), place));
        self.names.insert((Name::Old, place));
    }

    pub(super) fn is_old(&self, place: Place) -> bool {
        self.look();
        self.names.contains(&(Name::Old, place))
    }

    pub(super) fn message(&self, place: Place) -> &Message {
        self.look();
        &self.queue[&place].placed.message
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How much the messages weigh.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first has waited for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (_, first) = self.queue.first_key_value()?;
        Some(first.deadline)
    }

    /// The first, or the one after this place.
    pub(super) fn next(&self, after: Option<Place>) -> Option<Place> {
        self.look();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (place, _) = self.queue.range((start, Bound::Unbounded)).next()?;
        Some(*place)
    }

    /// The first that has this id.
    pub(super) fn with_id(&self, id: &Arc<str>) -> Option<Place> {
        self.first(Name::Id(id.clone()))
    }

    /// All that name this id as their predecessor's, in the order of the log.
    pub(super) fn after_id(&self, id: &Arc<str>) -> impl Iterator<Item = Place> {
        self.all(Name::PrevId(id.clone()))
    }

    /// The first that names a predecessor.
    pub(super) fn first_linked(&self) -> Option<Place> {
        let is_linked = |place: &Place| !is_unlinked(self.message(*place));
        let old = self.all(Name::Old).find(is_linked);
        [self.first(Name::Linked), old].into_iter().flatten().min()
    }

    /// The first that names none and is not old.
    pub(super) fn first_unlinked(&self) -> Option<Place> {
        self.first(Name::Unlinked)
    }

    /// The first that is not old.
    pub(super) fn first_news(&self) -> Option<Place> {
        let firsts = [self.first(Name::Linked), self.first(Name::Unlinked)];
        firsts.into_iter().flatten().min()
    }

    /// All that are not old.
    pub(super) fn news(&self) -> impl Iterator<Item = &Placed> {
        let places = self.all(Name::Linked).chain(self.all(Name::Unlinked));
        places.map(|place| &self.queue[&place].placed)
    }

    fn first(&self, name: Name) -> Option<Place> {
        self.all(name).next()
    }

    fn all(&self, name: Name) -> impl Iterator<Item = Place> {
        self.look();
        let ends = (name.clone(), Place(0))..=(name, Place(u64::MAX));
        let named = self.names.range(ends);
        named.map(|(_, place)| *place).inspect(|_| self.look())
    }

    /// One more was looked at.
    fn look(&self) {
        #[cfg(test)]
        self.looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// How many were looked at so far.
    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.looks.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Of which kind a message is, as long as it is not old.
fn kind(message: &Message) -> Name {
    match is_unlinked(message) {
        true => Name::Unlinked,
        false => Name::Linked,
    }
}

/// What its ids say.
fn ids(message: &Message) -> impl Iterator<Item = Name> {
    let id = message.id.clone().map(Name::Id);
    let prev_id = message.prev_id.clone().map(Name::PrevId);
    [id, prev_id].into_iter().flatten()
}

//! What one channel of a hold withholds: in the order of the log, and found by what it is called.
//!
//! A publisher chooses how much is withheld, up to a bound, and what each message follows; each hold of its channel looks
//! things up here for it. So nothing is searched for: a look takes the logarithm of how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use tokio::time::Instant;

use super::Placed;
use super::track::is_unlinked;
use crate::message::Message;

/// Where one is among all that a hold was offered: lower is earlier.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place(u64);

impl Place {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What one is found by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Name {
    /// It names no predecessor.
    Unlinked,
    /// It names one.
    Linked,
    /// Either, where only as a successor of news it is news.
    Old,
    Id(Arc<str>),
    PrevId(Arc<str>),
    /// Likewise, of what is old.
    OldPrevId(Arc<str>),
}

/// Messages that are remembered of those that were sent before the body was come to: the last of them.
const MOST_SENT: usize = 32;

/// Messages that wait, and what those that were sent say of their order.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    queue: BTreeMap<Place, Waiting>,
    names: BTreeSet<(Name, Place)>,
    sent: Vec<Sent>,
    bytes: usize,
    #[cfg(test)]
    looks: std::sync::atomic::AtomicUsize,
}

/// The ids of a message that was sent.
#[derive(Debug)]
struct Sent {
    id: Arc<str>,
    prev_id: Arc<str>,
}

/// A message that waits.
#[derive(Debug)]
struct Waiting {
    placed: Placed,
    deadline: Instant,
}

// === impl Withheld ===

impl Withheld {
    /// Adds what comes after all that is here.
    pub(super) fn push(&mut self, place: Place, placed: Placed, deadline: Instant) {
        self.look();
        self.bytes += placed.message.weight();
        for name in [kind(&placed.message)].into_iter().chain(ids(&placed.message)) {
            self.names.insert((name, place));
        }
        self.queue.insert(place, Waiting { placed, deadline });
    }

    pub(super) fn take(&mut self, place: Place) -> Placed {
        self.renew_one(place);
        let Waiting { placed, .. } = self.queue.remove(&place).expect("a place is that of one");
        self.bytes -= placed.message.weight();
        for name in [kind(&placed.message)].into_iter().chain(ids(&placed.message)) {
            self.names.remove(&(name, place));
        }
        placed
    }

    /// A message was sent: what it follows is remembered.
    pub(super) fn note_sent(&mut self, message: &Message) {
        if let (Some(id), Some(prev_id)) = (message.id.clone(), message.prev_id.clone()) {
            let is_known = |sent: &Sent| sent.id == id && sent.prev_id == prev_id;
            if self.sent.iter().any(is_known) {
                return;
            }
            if self.sent.len() == MOST_SENT {
                self.sent.remove(0);
            }
            self.sent.push(Sent { id, prev_id });
        }
    }

    /// Takes what leads up to the message with this id, and that, in all of their forms; tells their ids. That of
    /// the first that is not here, nor was sent.
    pub(super) fn take_chain(
        &mut self,
        mut last: Option<Arc<str>>,
        mut tell: impl FnMut(&Arc<str>),
    ) -> Option<Arc<str>> {
        loop {
            last = self.not_sent(last);
            let Some(id) = last.as_ref().filter(|id| self.has_id(id)).cloned() else {
                return last;
            };
            while let Some(place) = self.of_id(&id) {
                last = self.take(place).message.prev_id.clone();
            }
            tell(&id);
        }
    }

    /// This id, or where those that were sent lead from it.
    fn not_sent(&self, mut id: Option<Arc<str>>) -> Option<Arc<str>> {
        // They may lead in a circle.
        for _ in 0..=self.sent.len() {
            let sent = self.sent.iter().rev().find(|sent| Some(&sent.id) == id.as_ref());
            match sent {
                Some(sent) => id = Some(sent.prev_id.clone()),
                None => break,
            }
        }
        id
    }

    /// All before this place is in the body, which names this id, unless it follows what is news: that, or what comes after this
    /// place.
    pub(super) fn mark_old_before(&mut self, place: Place, body: Option<Arc<str>>) {
        for (place, Waiting { placed, .. }) in self.queue.range(..place) {
            self.look();
            self.names.remove(&(kind(&placed.message), *place));
            for name in old(&placed.message) {
                self.names.insert((name, *place));
            }
        }
        let after = self.queue.range(place..);
        let news: Vec<_> = after
            .filter_map(|(_, waiting)| waiting.placed.message.id.clone())
            .collect();
        for id in body.into_iter().chain(news) {
            self.renew(Some(&id));
        }
    }

    /// The message with this id is news: so is what follows it.
    pub(super) fn renew(&mut self, id: Option<&Arc<str>>) {
        if self.is_empty() {
            return;
        }
        let mut ends = Vec::from_iter(id.cloned());
        let mut passed = vec![false; self.sent.len()];
        while let Some(id) = ends.pop() {
            while let Some(place) = self.first(Name::OldPrevId(id.clone())) {
                self.renew_one(place);
                ends.extend(self.message(place).id.clone());
            }
            for (sent, passed) in self.sent.iter().zip(&mut passed) {
                if sent.prev_id == id && !std::mem::replace(passed, true) {
                    ends.push(sent.id.clone());
                }
            }
        }
    }

    fn renew_one(&mut self, place: Place) {
        self.look();
        let message = &self.queue[&place].placed.message;
        if self.names.remove(&(Name::Old, place)) {
            self.names.insert((kind(message), place));
            for name in old(message) {
                self.names.remove(&(name, place));
            }
        }
    }

    pub(super) fn is_old(&self, place: Place) -> bool {
        self.look();
        self.names.contains(&(Name::Old, place))
    }

    /// The first that has this id.
    pub(super) fn of_id(&self, id: &Arc<str>) -> Option<Place> {
        self.first(Name::Id(id.clone()))
    }

    /// Whether one has this id.
    pub(super) fn has_id(&self, id: &Arc<str>) -> bool {
        !self.queue.is_empty() && self.of_id(id).is_some()
    }

    /// Whether one is there.
    pub(super) fn has(&self, place: Place) -> bool {
        self.queue.contains_key(&place)
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

    /// What leads up to this message, at once or by others that were sent.
    pub(super) fn before(&self, message: &Message) -> Option<Place> {
        let id = self.not_sent(message.prev_id.clone())?;
        self.first(Name::Id(id))
    }

    /// The first that follows the message with this id, at once or after others that were sent.
    pub(super) fn after(&self, id: &Arc<str>) -> Option<Place> {
        let next = self.after_id(id).next();
        if next.is_some() || self.sent.is_empty() {
            return next;
        }
        let mut passed = vec![false; self.sent.len()];
        let mut ends = vec![id.clone()];
        while let Some(id) = ends.pop() {
            for (sent, passed) in self.sent.iter().zip(&mut passed) {
                if sent.prev_id == id && !std::mem::replace(passed, true) {
                    if let Some(next) = self.after_id(&sent.id).next() {
                        return Some(next);
                    }
                    ends.push(sent.id.clone());
                }
            }
        }
        None
    }

    /// All that name this id as their predecessor's, in the order of the log.
    pub(super) fn after_id(&self, id: &Arc<str>) -> impl Iterator<Item = Place> {
        self.all(Name::PrevId(id.clone()))
    }

    /// The first that names a predecessor and is not old.
    pub(super) fn first_linked(&self) -> Option<Place> {
        self.first(Name::Linked)
    }

    /// All that name none and are old.
    pub(super) fn old_unlinked(&self) -> Vec<Place> {
        let old = self.all(Name::Old);
        old.filter(|place| is_unlinked(self.message(*place))).collect()
    }

    /// The first that names none and is not old.
    pub(super) fn first_unlinked(&self) -> Option<Place> {
        self.first(Name::Unlinked)
    }

    /// The first that is old.
    pub(super) fn first_old(&self) -> Option<Place> {
        self.first(Name::Old)
    }

    /// The first that is not.
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

/// What it is found by as long as it is old.
fn old(message: &Message) -> impl Iterator<Item = Name> {
    let prev_id = message.prev_id.clone().map(Name::OldPrevId);
    [Some(Name::Old), prev_id].into_iter().flatten()
}

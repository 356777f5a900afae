//! What became of messages of which another form may come: publishers may say their forms one by one, and whoever says the
//! first form of many messages before the second of any.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::withheld::Place;
use super::{MOST_BYTES, Placed};

/// Messages that are remembered: the last of them.
const MOST: usize = 32;
/// How long what the body contains is known to: later its id may be that of another message.
const HAD_FOR: Duration = Duration::from_secs(60);
/// How long a form waits for that of the message before: calls overtake each other, but many a message has one form only.
const PATIENCE: Duration = Duration::from_millis(200);

/// What became of the forms of a message that have come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// The body contains it. That was known then.
    Had(Instant),
    /// It was passed, and its client was sent none of it.
    Unsent,
}

/// The last of them, by their ids.
#[derive(Debug, Default)]
pub(super) struct Decided {
    last: VecDeque<(Arc<str>, Fate)>,
    /// Of those that are unsent, what waits.
    waiting: Vec<Waiting>,
}

/// A form that waits for that of the message before.
#[derive(Debug)]
struct Waiting {
    place: Place,
    placed: Placed,
    deadline: Instant,
}

// === impl Fate ===

impl Fate {
    /// Whether what was known then of an id is not yet said of another message.
    pub(super) fn is_recent(since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) <= HAD_FOR
    }
}

// === impl Decided ===

impl Decided {
    pub(super) fn note(&mut self, id: Option<&Arc<str>>, fate: Fate) {
        let Some(id) = id else { return };
        self.forget(id);
        if self.last.len() == MOST {
            self.last.pop_front();
        }
        self.last.push_back((id.clone(), fate));
    }

    pub(super) fn of(&self, id: Option<&Arc<str>>) -> Option<Fate> {
        let id = id?;
        let found = self.last.iter().find(|(other, _)| other == id);
        found.map(|(_, fate)| *fate)
    }

    pub(super) fn forget(&mut self, id: &Arc<str>) {
        self.last.retain(|(other, _)| other != id);
    }

    /// Whether the message that this one follows was passed, and the same form of it may come.
    pub(super) fn lacks_form_before(&self, placed: &Placed) -> bool {
        let before = self.of(placed.message.predecessor());
        let bytes = || {
            self.waiting()
                .map(|waiting| waiting.message.weight())
                .sum::<usize>()
        };
        matches!(before, Some(Fate::Unsent)) && self.waiting.len() < MOST && bytes() < MOST_BYTES
    }

    /// Whether a form of the message with this id waits.
    pub(super) fn has_waiting(&self, id: &Arc<str>) -> bool {
        self.waiting()
            .any(|placed| placed.message.id.as_ref() == Some(id))
    }

    /// It waits for that.
    pub(super) fn wait(&mut self, place: Place, placed: Placed, now: Instant) {
        self.waiting.push(Waiting {
            place,
            placed,
            deadline: now + PATIENCE,
        });
    }

    /// The form that follows the one with this id.
    pub(super) fn take_after(&mut self, id: &Arc<str>) -> Option<(Place, Placed)> {
        self.take(|waiting| waiting.placed.message.predecessor() == Some(id))
    }

    /// The first that has waited until then; `None`: the first.
    pub(super) fn take_overdue(&mut self, now: Option<Instant>) -> Option<(Place, Placed)> {
        self.take(|waiting| now.is_none_or(|now| waiting.deadline <= now))
    }

    fn take(&mut self, is_it: impl Fn(&Waiting) -> bool) -> Option<(Place, Placed)> {
        let place = self.waiting.iter().position(is_it)?;
        let Waiting { place, placed, .. } = self.waiting.remove(place);
        Some((place, placed))
    }

    /// When the first has waited for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.deadline).min()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Placed> {
        self.waiting.iter().map(|waiting| &waiting.placed)
    }
}

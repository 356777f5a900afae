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
/// How long a form waits for that of the message before: calls overtake each other, but many a message has one form only.
const PATIENCE: Duration = Duration::from_millis(200);

/// What became of a message of which another form came before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Nothing yet: it is as if the first form came.
    Open,
    /// The body contains it, so its client has it.
    Had,
    /// It is passed. If the hold takes this form, its client was sent none of it.
    Passed,
}

/// What is known of the last messages that came in a form that the hold does not take.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// They were passed.
    unsent: VecDeque<Arc<str>>,
    /// They are in the body, though they came after what it names.
    had: VecDeque<Arc<str>>,
    /// Of those that were passed, forms that wait.
    waiting: Vec<Waiting>,
}

/// A form that waits for that of the message before.
#[derive(Debug)]
struct Waiting {
    place: Place,
    placed: Placed,
    deadline: Instant,
}

// === impl Decided ===

impl Decided {
    pub(super) fn note_unsent(&mut self, id: &Arc<str>) {
        note(&mut self.unsent, id);
    }

    pub(super) fn note_had(&mut self, id: &Arc<str>) {
        note(&mut self.had, id);
    }

    pub(super) fn fate(&self, id: &Arc<str>) -> Option<Fate> {
        match () {
            () if self.unsent.contains(id) => Some(Fate::Passed),
            () if self.had.contains(id) => Some(Fate::Had),
            () => None,
        }
    }

    /// It was sent.
    pub(super) fn forget(&mut self, id: &Arc<str>) {
        self.unsent.retain(|other| other != id);
    }

    /// Whether the message that this one follows was passed, and the same form of it may come.
    pub(super) fn lacks_form_before(&self, placed: &Placed) -> bool {
        let is_unsent = placed
            .message
            .predecessor()
            .is_some_and(|before| self.unsent.contains(before));
        let bytes = || {
            self.waiting()
                .map(|waiting| waiting.message.weight())
                .sum::<usize>()
        };
        is_unsent && self.waiting.len() < MOST && bytes() < MOST_BYTES
    }

    /// Whether a form waits of the message with this id; or, if that was passed, of any before.
    pub(super) fn has_waiting_up_to(&self, id: &Arc<str>) -> bool {
        let is_it = |placed: &Placed| placed.message.id.as_ref() == Some(id);
        !self.waiting.is_empty() && (self.unsent.contains(id) || self.waiting().any(is_it))
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

fn note(ids: &mut VecDeque<Arc<str>>, id: &Arc<str>) {
    ids.retain(|other| other != id);
    if ids.len() == MOST {
        ids.pop_front();
    }
    ids.push_back(id.clone());
}

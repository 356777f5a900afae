//! What a channel knows of its messages beside its log: their ids, what came late or begins anew, its states, and what asks for
//! fetches. Only channels that have such messages have it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::said::{LastSaid, Said, Saying, What};
use super::tail::Tail;
use crate::message::Form;
use crate::position::Position;

/// Replaced states that are remembered, of one channel.
const MOST_REPLACED: usize = 64;
/// What an id takes beside itself. Measured.
const ID_WEIGHT: usize = 80;

/// What is known of ids, of states, and of what asks for fetches.
#[derive(Default)]
pub(super) struct More {
    pub(super) tail: Tail,
    pub(super) ids: HashMap<Arc<str>, Known>,
    /// States.
    pub(super) replaced: LastSaid<Said, MOST_REPLACED>,
    /// What came before ids began anew.
    pub(super) past: LastSaid<Said, MOST_REPLACED>,
    /// Of few messages, by their numbers.
    pub(super) marks: VecDeque<(u64, Mark)>,
    /// For each form, the number of the last state that has it.
    pub(super) last_states: [Option<u64>; Form::ALL.len()],
    pub(super) last_stream_act: Position,
    pub(super) last_response_act: Position,
}

/// The last message with an id.
pub(super) struct Known {
    pub(super) number: u64,
    pub(super) what: What,
    /// What it follows was missing.
    pub(super) had_gap: bool,
    /// Where the first is that follows it; zero: there is none.
    pub(super) followed: Position,
}

/// What is told of a message beside itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// It came late: here is the first that it leads up to.
    Late(Position),
    /// Its id is that of an earlier one: what ids say of order begins anew.
    Anew,
    /// It is another form of the one at this place; it leads up to the one here.
    Form {
        first: (Position, u32),
        late: Option<Position>,
    },
}

/// What a message is beside those that are here, or were replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    /// None has its id.
    New,
    /// It is another form of one.
    Form,
    /// It has the id of another one.
    Anew,
    /// It was said before.
    Repeated,
}

// === impl More ===

impl More {
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains_key(id) || self.replaced.find(id).is_some()
    }

    /// What is told of the message with this number.
    pub(super) fn mark(&self, number: u64) -> Option<Mark> {
        let place = self
            .marks
            .binary_search_by_key(&number, |(marked, _)| *marked)
            .ok()?;
        Some(self.marks[place].1)
    }

    /// What is known of ids is of others than from here on.
    pub(super) fn begin_anew(&mut self, saying: &Saying, born: impl Fn(&Known) -> Option<Instant>) {
        let mut ids: Vec<_> = self.ids.drain().filter(|(id, _)| *id != saying.id).collect();
        // The last of them are remembered.
        ids.sort_unstable_by_key(|(_, known)| known.number);
        for (id, known) in ids {
            let what = known.what;
            let said = born(&known).map(|at| Said { what, at });
            if let Some(said) = said.filter(|said| saying.is_soon_after(said)) {
                self.past.remember(&id, said);
            }
        }
        self.past.append(&mut self.replaced);
        self.tail = Tail::default();
    }

    /// The message with this number is said so. If it is another form of one that was, the number of that.
    pub(super) fn note(&mut self, saying: Saying, number: u64) -> Option<u64> {
        let Saying {
            id,
            prev_id,
            what,
            is_state,
            ..
        } = saying;
        // A state may follow what nobody needs any more.
        let had_gap = !is_state && prev_id.is_some_and(|prev_id| !self.has(&prev_id));
        // Another form of a state that was replaced: that was said as well.
        let replaced = self.replaced.find(&id).map(|said| said.what);
        match self.ids.entry(id) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                known.what = what.and(&known.what);
                Some(known.number)
            }
            Entry::Vacant(place) => {
                place.insert(Known {
                    number,
                    what: replaced.map_or(what, |replaced| what.and(&replaced)),
                    had_gap,
                    followed: Position::ZERO,
                });
                None
            }
        }
    }

    pub(super) fn weight(&self) -> usize {
        let ids = self.ids.len() * ID_WEIGHT
            + self.replaced.weight()
            + self.past.weight()
            + self.tail.weight(ID_WEIGHT);
        size_of::<Self>() + ids + self.marks.capacity() * size_of::<(u64, Mark)>()
    }

    /// The message with this number goes: the first one, or the last.
    pub(super) fn forget(&mut self, number: u64, id: Option<&str>) {
        if let Some(id) = id
            && self.ids.get(id).is_some_and(|known| known.number == number)
        {
            self.ids.remove(id);
        }
        self.marks.pop_front_if(|(marked, _)| *marked == number);
        self.marks.pop_back_if(|(marked, _)| *marked == number);
    }
}

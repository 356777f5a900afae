//! One channel: its log, and what is known of what the log no longer holds.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use tokio::time::Instant;

use super::subscription::Wants;
use crate::log::Log;
use crate::message::{Channel, Form, Message, ResponseForm, StreamForm};
use crate::position::Position;
use crate::sync::Arc;

/// What a message takes beside itself: its places in the log and in the order of all. Measured.
const ENTRY_WEIGHT: usize = 112;
/// What an id takes beside itself. Measured.
const ID_WEIGHT: usize = 64;
/// What a channel takes beside its name and its messages. Measured.
const CHANNEL_WEIGHT: usize = 512;

/// States that were replaced and whose ids are remembered, of one channel.
const REPLACED_IDS: usize = 64;

/// A message at its place.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) at: Position,
    /// Its place among the items of its order.
    pub(crate) nth: u32,
    /// It carries a state: a newer one may take its place.
    pub(crate) latest: bool,
    pub(crate) born: Instant,
    pub(crate) message: std::sync::Arc<Message>,
}

/// Messages that are no longer needed. They are a user's: they are dropped when no lock is held.
pub(super) type Gone = Vec<std::sync::Arc<Message>>;

pub(crate) struct Topic {
    pub(crate) log: Arc<Log<Item>>,
    /// What was accepted at or before it may be gone.
    pub(crate) floor: Position,
    /// The last message; of what is gone, no less than that.
    pub(crate) last: Position,
    pub(crate) last_id: Option<std::sync::Arc<str>>,
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    ids: HashMap<std::sync::Arc<str>, u32>,
    /// Hashes of the ids of the last states that were replaced.
    replaced_ids: VecDeque<u64>,
    /// For each form, the number of the last state that has it.
    last_states: [Option<u64>; Form::ALL.len()],
    last_stream_act: Position,
    last_response_act: Position,
}

// === impl Item ===

impl Item {
    /// Whether it was accepted before the other one, or written before it in the same order.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        (self.at, self.nth) < (other.at, other.nth)
    }
}

// === impl Topic ===

impl Topic {
    pub(super) fn new(floor: Position) -> Self {
        Self {
            log: Arc::new(Log::endless()),
            floor,
            last: floor,
            last_id: None,
            entries: 0,
            bytes: 0,
            ids: HashMap::new(),
            replaced_ids: VecDeque::new(),
            last_states: Default::default(),
            last_stream_act: Position::ZERO,
            last_response_act: Position::ZERO,
        }
    }

    /// Bytes of memory that it takes under this name, about. Without messages it is only there for its readers, who
    /// are not counted.
    pub(super) fn weight(&self, name: &Channel) -> usize {
        match self.entries {
            0 => 0,
            entries => {
                let ids = self.ids.len() * ID_WEIGHT + self.replaced_ids.capacity() * size_of::<u64>();
                Self::weight_of(name, entries, self.bytes) + ids
            }
        }
    }

    /// The same of so many messages, of so many bytes, without ids.
    pub(super) fn weight_of(name: &Channel, entries: usize, bytes: usize) -> usize {
        CHANNEL_WEIGHT + name.as_str().len() + bytes + entries * ENTRY_WEIGHT
    }

    /// Appends, or puts a state in the place of the one before it, which nobody needs who has not had it. Returns its
    /// number in the log; `None` for a message that is already here, or was.
    pub(super) fn append(&mut self, item: Item, gone: &mut Gone) -> Option<u64> {
        let message = item.message.clone();
        if message.id.as_ref().is_some_and(|id| self.has(id)) {
            gone.push(item.message);
            return None;
        }
        if let Some(id) = &message.id {
            *self.ids.entry(id.clone()).or_default() += 1;
        }
        self.last = item.at;
        self.last_id = message.id.clone();
        if matches!(message.stream, Some(StreamForm::Close | StreamForm::Hint)) {
            self.last_stream_act = item.at;
        }
        if matches!(message.response, Some(ResponseForm::Hint)) {
            self.last_response_act = item.at;
        }
        self.bytes += message.weight();
        let latest = item.latest;
        let number = if latest && self.ends_with_a_state_for(&message) {
            let old = self.log.replace_last(item);
            self.forget(&old);
            if let Some(id) = &old.message.id {
                self.remember_replaced(id);
            }
            gone.push(old.message);
            self.log.last()?
        } else {
            self.entries += 1;
            self.log.append(item)
        };
        if latest {
            for form in Form::ALL {
                if form.is_sent_by(&message) {
                    self.last_states[form as usize] = Some(number);
                }
            }
        }
        Some(number)
    }

    /// Whether a message with this id is here, or was replaced by a newer state.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains_key(id) || (!self.replaced_ids.is_empty() && self.replaced_ids.contains(&hash(id)))
    }

    /// Forgets the oldest message, if there is one: for whoever may need it, [`Topic::floor`] has risen. A state is
    /// needed by nobody once a newer one is here.
    pub(super) fn evict(&mut self, gone: &mut Gone) -> bool {
        let first = self.log.first();
        let newer = |form: Form| self.last_states[form as usize].is_some_and(|last| last > first);
        let needed = self.log.with_entries(|entries| {
            let Some(item) = entries.next() else { return true };
            let mut forms = Form::ALL.into_iter().filter(|form| form.is_in(&item.message));
            !item.latest || !forms.all(|form| form.is_sent_by(&item.message) && newer(form))
        });
        let Some(item) = self.log.pop_front(needed) else {
            return false;
        };
        self.entries -= 1;
        self.forget(&item);
        if needed {
            self.floor = self.floor.max(item.at);
        }
        gone.push(item.message);
        true
    }

    /// Whether the last message carries a state which this newer one makes useless, whatever the hold.
    fn ends_with_a_state_for(&self, newer: &Message) -> bool {
        self.log.with_entries(|entries| {
            entries
                .next_back()
                .is_some_and(|last| last.latest && newer.covers(&last.message))
        })
    }

    /// What is kept beside the log of a message that leaves it.
    fn forget(&mut self, item: &Item) {
        self.bytes -= item.message.weight();
        if let Some(id) = &item.message.id
            && let Some(count) = self.ids.get_mut(id)
        {
            *count -= 1;
            if *count == 0 {
                self.ids.remove(id);
            }
        }
    }

    /// Its publisher may say it once more, for it heard no answer: that must not bring it back.
    fn remember_replaced(&mut self, id: &str) {
        if self.replaced_ids.len() == REPLACED_IDS {
            self.replaced_ids.pop_front();
        }
        self.replaced_ids.push_back(hash(id));
    }

    /// When the oldest message that is still here came, and where.
    pub(super) fn oldest(&self) -> Option<(Position, Instant)> {
        self.log
            .with_entries(|entries| entries.next().map(|item| (item.at, item.born)))
    }

    /// The last message that cannot be replayed to such a hold, but asks for a fetch.
    pub(super) fn last_unreplayable(&self, wants: Wants) -> Position {
        match wants {
            Wants::Stream => self.last_stream_act,
            Wants::Response => self.last_response_act,
            Wants::Socket => Position::ZERO,
        }
    }
}

fn hash(id: &str) -> u64 {
    static SEEDED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    SEEDED.hash_one(id)
}

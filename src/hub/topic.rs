//! One channel: its log, and what is known of what the log no longer holds.
//!
//! Most channels have no readers, no ids and no states: what these need is there only with them.
//!
//! The last entry may be replaced: who has not read it reads only the new one, who has reads that as well.

mod state;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use self::state::State;
use super::LogLimits;
use super::cursor::Cursor;
use super::known::{Is, Mark};
use super::numbers::Numbers;
use super::said::Saying;
use super::subscription::Wants;
use super::tail::Tail;
use crate::log::readers::{Row, Seat};
#[cfg(feature = "publish")]
use crate::message::MAX_CHANNEL_BYTES;
use crate::message::{Channel, Message};
use crate::position::Position;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Arc, RwLock};

/// What a message takes beside itself: its place in the log. Measured.
const ENTRY_WEIGHT: usize = 64;
/// What a channel takes beside its name and its messages. Measured.
const CHANNEL_WEIGHT: usize = 208;

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

pub(super) struct Topic {
    pub(super) name: Channel,
    /// How often something was appended.
    changes: AtomicU32,
    /// It stands among those that expire. Guarded by the lock of the orders.
    pub(super) expires: AtomicBool,
    /// It stands among those whose readers are woken. Guarded by their lock.
    pub(super) is_woken: AtomicBool,
    state: RwLock<State>,
}

/// What an append did.
pub(super) struct Appended {
    /// It is the first one of its order here.
    pub(super) is_first: bool,
    /// The weight before and after.
    pub(super) weight: [usize; 2],
}

/// Where a new reader begins.
pub(super) struct Joined {
    pub(super) cursor: Cursor,
    pub(super) floor: Position,
    /// The last message that cannot be replayed to it, but asks for a fetch.
    pub(super) unreplayable: Position,
}

/// What stands at a reader's place.
pub(super) enum There {
    /// The next message, its number, and what is told of it.
    Item(u64, Item, Option<Mark>),
    /// A message that the clock has not come to.
    Ahead,
    Nothing,
    /// Messages are gone that the reader has not had.
    Lagged,
}

// === impl Item ===

impl Item {
    /// Whether it was accepted before the other one, or written before it in the same order.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.place() < other.place()
    }

    pub(super) fn place(&self) -> (Position, u32) {
        (self.at, self.nth)
    }
}

// === impl Topic ===

impl Topic {
    pub(super) fn new(name: Channel, floor: Position) -> Self {
        Self {
            name,
            changes: AtomicU32::new(0),
            expires: AtomicBool::new(false),
            is_woken: AtomicBool::new(false),
            state: RwLock::new(State {
                entries: VecDeque::new(),
                numbers: Numbers::default(),
                missed: 0,
                floor,
                bytes: 0,
                readers: None,
                more: None,
            }),
        }
    }

    /// Appends, or puts a state in the place of the one before it, which nobody needs who has not had it; and forgets what
    /// that pushes out, but nothing that a fetch needs which is under way since `pinned`, unless there are too many bytes.
    /// `None` for a message that is [said](Saying::of) once more. Wakes nobody: [`Topic::call`] does that, when the clock has
    /// come to it.
    pub(super) fn append(
        &self,
        item: Item,
        saying: Option<Saying>,
        limits: &LogLimits,
        pinned: impl FnOnce() -> Option<Position>,
        gone: &mut Gone,
    ) -> Option<Appended> {
        let mut state = self.state.write();
        let is = saying
            .as_ref()
            .map_or(Is::New, |saying| state.judge(saying, limits.age));
        if is == Is::Repeated {
            gone.push(item.message);
            return None;
        }
        let is_first = state.last() < item.at;
        let before = state.weight(&self.name);
        state.append(item, saying, is, gone);
        self.changes.fetch_add(1, Ordering::SeqCst);
        while state.bytes > limits.bytes && state.evict(gone) {}
        if state.entries.len() > limits.entries {
            let pinned = pinned();
            while state.entries.len() > limits.entries
                && state.oldest().is_some_and(|item| !needed(item.at, pinned))
            {
                state.evict(gone);
            }
        }
        let weight = [before, state.weight(&self.name)];
        Some(Appended { is_first, weight })
    }

    /// Forgets the oldest message. Returns the weight before and after.
    pub(super) fn evict(&self, gone: &mut Gone) -> [usize; 2] {
        let mut state = self.state.write();
        let before = state.weight(&self.name);
        state.evict(gone);
        [before, state.weight(&self.name)]
    }

    /// The place of the oldest message that is still here, and when it came.
    pub(super) fn oldest(&self) -> Option<((Position, u32), Instant)> {
        let state = self.state.read();
        state.oldest().map(|item| (item.place(), item.born))
    }

    /// The last message; of what is gone, no less than that.
    pub(super) fn last(&self) -> Position {
        self.state.read().last()
    }

    /// The last message up to a position; of what is gone, no less than that.
    pub(super) fn last_up_to(&self, upto: Position) -> Position {
        let state = self.state.read();
        let place = state.entries.partition_point(|item| item.at <= upto);
        if state.entries.get(place).is_some_and(|next| next.latest) {
            // It may be in the place of one.
            return upto;
        }
        let last = match place.checked_sub(1) {
            Some(last) => state.entries.get(last).map(|item| item.at),
            // The last that went was a state that nobody needed: the floor did not rise.
            None if state.numbers.first() > state.missed => Some(upto),
            None => None,
        };
        last.unwrap_or(state.floor).min(upto)
    }

    #[cfg(feature = "hold")]
    pub(super) fn last_id(&self) -> Option<std::sync::Arc<str>> {
        self.state.read().more.as_ref()?.tail.last_id.clone()
    }

    pub(super) fn tail(&self) -> Tail {
        let state = self.state.read();
        state
            .more
            .as_ref()
            .map_or_else(Tail::default, |more| more.tail.clone())
    }

    /// Whether a message with this id is here, or was replaced by a newer state.
    pub(super) fn has(&self, id: &str) -> bool {
        self.state.read().has(id)
    }

    /// Whether anything was said under this id, as far as is remembered.
    pub(super) fn knows(&self, id: &str) -> bool {
        let state = self.state.read();
        let more = state.more.as_ref();
        more.is_some_and(|more| more.has(id) || more.past.find(id).is_some())
    }

    /// Whether the last message at or below this has this id.
    #[cfg(feature = "hold")]
    pub(super) fn is_last_below(&self, id: &str, upto: Position) -> bool {
        let state = self.state.read();
        let end = state.entries.partition_point(|item| item.at <= upto);
        let last = end.checked_sub(1).and_then(|last| state.entries.get(last));
        last.is_some_and(|last| last.message.id.as_deref() == Some(id))
    }

    /// Whether this says once more what is here, or was replaced by a newer state; or another form of it.
    pub(super) fn repeats(&self, saying: &Saying, age: Duration) -> bool {
        matches!(self.state.read().judge(saying, age), Is::Repeated | Is::Form)
    }

    /// Whether it has neither messages nor readers.
    pub(super) fn is_idle(&self) -> bool {
        self.state.read().is_idle()
    }

    /// A reader from the first message above a position on.
    pub(super) fn join(self: &Arc<Self>, above: Position, wants: Wants) -> Joined {
        let mut state = self.state.write();
        let place = state.entries.partition_point(|item| item.at <= above);
        let next = state.numbers.number(place);
        let seat = state.readers.get_or_insert_default().join();
        Joined {
            floor: state.floor,
            unreplayable: state.last_unreplayable(wants),
            cursor: Cursor::new(self.clone(), next, seat),
        }
    }

    /// A reader goes.
    pub(super) fn leave(&self, seat: &Seat) {
        let gone = {
            let mut state = self.state.write();
            let waker = state.readers.as_mut().and_then(|readers| readers.leave(seat));
            (waker, state.readers.take_if(|readers| readers.len() == 0))
        };
        drop(gone);
    }

    /// How often something was appended: to be read before a look.
    pub(super) fn changes(&self) -> u32 {
        self.changes.load(Ordering::SeqCst)
    }

    /// What stands at this number for who may read up to this position.
    pub(super) fn look(&self, next: u64, upto: Position) -> There {
        let state = self.state.read();
        if next < state.missed {
            return There::Lagged;
        }
        let (place, number) = state.numbers.at_or_after(next);
        match state.entries.get(place) {
            Some(item) if item.at <= upto => {
                let mark = state.more.as_ref().and_then(|more| more.mark(number));
                There::Item(number, item.clone(), mark)
            }
            Some(_) => There::Ahead,
            None => There::Nothing,
        }
    }

    /// The number of the oldest message, or of the next one if there is none.
    pub(super) fn first(&self) -> u64 {
        self.state.read().numbers.first()
    }

    /// All readers are to be woken that have not seen the last change. Returns how many there are.
    pub(super) fn call(&self) -> usize {
        if self.state.read().readers.is_none() {
            return 0;
        }
        let mut state = self.state.write();
        state.readers.as_mut().map_or(0, |readers| readers.call())
    }

    /// Readers to be woken, and whether there are more.
    pub(super) fn next_due(&self) -> Option<(Arc<Row>, bool)> {
        self.state.write().readers.as_mut()?.next_due()
    }

    /// Bytes of memory that so many messages, of so many bytes, take under this name, about; without ids.
    pub(super) fn weight_of(name: &Channel, entries: usize, bytes: usize) -> usize {
        CHANNEL_WEIGHT + name.as_str().len() + bytes + entries * ENTRY_WEIGHT
    }

    /// What they take beside their own bytes, at most.
    #[cfg(feature = "publish")]
    pub(super) fn most_beside(entries: usize) -> usize {
        CHANNEL_WEIGHT + MAX_CHANNEL_BYTES + entries * ENTRY_WEIGHT
    }
}

/// Whether a fetch that is under way since `pinned` needs the message at this position.
pub(super) fn needed(at: Position, pinned: Option<Position>) -> bool {
    pinned.is_some_and(|pinned| at > pinned)
}

//! One channel: its log, and what is known of what the log no longer holds.
//!
//! Most channels have no readers, no ids and no states: what these need is there only with them.
//!
//! The last entry may be replaced: who has not read it reads only the new one, who has reads that as well.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::LogLimits;
use super::cursor::Cursor;
use super::known::{Is, Known, Mark, More};
use super::numbers::Numbers;
use super::said::{Likeness, Said, Saying};
use super::subscription::Wants;
use super::tail::Tail;
use crate::log::readers::{Readers, Row, Seat};
#[cfg(feature = "publish")]
use crate::message::MAX_CHANNEL_BYTES;
use crate::message::{Channel, Form, Message, ResponseForm, StreamForm};
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

struct State {
    entries: VecDeque<Item>,
    numbers: Numbers,
    /// A reader that has not come to this number has missed something that is gone.
    missed: u64,
    /// What was accepted at or before it may be gone.
    floor: Position,
    /// Of its messages.
    bytes: usize,
    readers: Option<Box<Readers>>,
    more: Option<Box<More>>,
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
        if is == Is::Repeated || (is != Is::Anew && state.is_overtaken(&item, saying.as_ref())) {
            gone.push(item.message);
            return None;
        }
        let is_first = state.last() < item.at;
        let before = state.weight(&self.name);
        state.append(item, saying, is == Is::Anew, gone);
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
    #[cfg(feature = "hold")]
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

// === impl State ===

impl State {
    fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.readers.is_none()
    }

    fn oldest(&self) -> Option<&Item> {
        self.entries.front()
    }

    fn last(&self) -> Position {
        // Once the last one is gone the floor is no less.
        self.entries.back().map_or(self.floor, |item| item.at)
    }

    fn has(&self, id: &str) -> bool {
        self.more.as_ref().is_some_and(|more| more.has(id))
    }

    /// Whether it is a state that comes too late. Then that is known of it.
    fn is_overtaken(&mut self, item: &Item, saying: Option<&Saying>) -> bool {
        let (Some(more), Some(saying)) = (&mut self.more, saying) else {
            return false;
        };
        let forms = || Form::ALL.into_iter().filter(|form| form.is_in(&item.message));
        let is_state = item.latest && item.message.is_state();
        let is_overtaken = is_state && more.is_overtaken(saying, forms());
        if is_overtaken {
            more.note_overtaken(saying);
        }
        is_overtaken
    }

    fn judge(&self, saying: &Saying, age: Duration) -> Is {
        let Some(said) = self.said(&saying.id) else {
            let said = self.more.as_ref().and_then(|more| more.past.find(&saying.id));
            return match said {
                Some(said) if self.is_of_the_past(saying, said) => Is::Repeated,
                _ => Is::New,
            };
        };
        match saying.what.likeness(&said.what) {
            Likeness::Same if saying.is_another_than(said, age) || self.comes_back(saying) => Is::Anew,
            Likeness::Same => Is::Repeated,
            Likeness::Form => Is::Form,
            Likeness::Other => Is::Anew,
        }
    }

    /// Whether it says once more what was said before ids began anew.
    fn is_of_the_past(&self, saying: &Saying, said: &Said) -> bool {
        let last_id = self.more.as_ref().and_then(|more| more.tail.last_id.as_ref());
        let follows_last = saying.prev_id.is_some() && saying.prev_id.as_ref() == last_id;
        let is_the_same = saying.what.likeness(&said.what) == Likeness::Same;
        is_the_same && saying.is_soon_after(said) && !follows_last && !saying.comes_back
    }

    /// Whether what was said before follows the last message now, and that follows it: a state that comes back. If that only came
    /// late, it leads up to it.
    fn comes_back(&self, Saying { id, prev_id, .. }: &Saying) -> bool {
        let Some(more) = &self.more else { return false };
        if prev_id.is_none() || more.tail.last_id != *prev_id || more.tail.last_id.as_ref() == Some(id) {
            return false;
        }
        let Some(said) = more.ids.get(id) else {
            // It was replaced.
            return true;
        };
        let mut last = prev_id.as_ref();
        for _ in 0..=self.entries.len() {
            let Some(known) = last.and_then(|last| more.ids.get(last)) else {
                return !said.had_gap;
            };
            if known.number < said.number {
                return false;
            }
            let (place, _) = self.numbers.at_or_after(known.number);
            let entry = self.entries.get(place);
            last = entry.and_then(|entry| entry.message.prev_id.as_ref());
            if last.is_none_or(|last| last == id) {
                return true;
            }
        }
        false
    }

    /// What was said last under this id.
    fn said(&self, id: &str) -> Option<Said> {
        let more = self.more.as_ref()?;
        let Some(known) = more.ids.get(id) else {
            return more.replaced.find(id).copied();
        };
        let (place, _) = self.numbers.at_or_after(known.number);
        Some(Said {
            what: known.what,
            at: self.entries.get(place)?.born,
        })
    }

    /// The last message that cannot be replayed to such a hold, but asks for a fetch.
    fn last_unreplayable(&self, wants: Wants) -> Position {
        match (&self.more, wants) {
            (Some(more), Wants::Stream) => more.last_stream_act,
            (Some(more), Wants::Response) => more.last_response_act,
            (None, _) | (_, Wants::Socket) => Position::ZERO,
        }
    }

    /// Bytes of memory that it takes under this name, about. Without messages it is only there for its readers, who
    /// are not counted.
    fn weight(&self, name: &Channel) -> usize {
        match self.entries.len() {
            0 => 0,
            entries => {
                Topic::weight_of(name, entries, self.bytes)
                    + self.more.as_ref().map_or(0, |more| more.weight())
            }
        }
    }

    fn append(&mut self, item: Item, saying: Option<Saying>, is_anew: bool, gone: &mut Gone) {
        let message = item.message.clone();
        let (at, latest) = (item.at, item.latest);
        let mut begins = is_anew;
        if self
            .entries
            .back()
            .is_some_and(|last| latest && last.is_replaced_by(&message))
        {
            // Who has not read that one has not been told.
            begins |= self.is_last_anew();
            gone.extend(self.replace_last());
        }
        let number = self.numbers.number(self.entries.len());
        let mut first_form = None;
        if let Some(saying) = saying {
            let more = self.more.get_or_insert_default();
            if let Some(prev_id) = saying.prev_id.clone().filter(|_| latest) {
                more.note_lack(prev_id, number, item.born);
            }
            if is_anew {
                let born = |known: &Known| {
                    let (place, _) = self.numbers.at_or_after(known.number);
                    self.entries.get(place).map(|entry| entry.born)
                };
                more.begin_anew(&saying, born);
            }
            first_form = more.note(saying, number);
        }
        if begins {
            let more = self.more.get_or_insert_default();
            more.marks.push_back((number, Mark::Anew));
        }
        if let Some(first) = first_form {
            // It came as late.
            let more = self.more.get_or_insert_default();
            let mark = more
                .mark(first)
                .filter(|mark| !begins && matches!(mark, Mark::Late(_)));
            more.marks.extend(mark.map(|mark| (number, mark)));
        } else if let Some(more) = &mut self.more {
            let prev_id = message.predecessor();
            let More {
                tail,
                ids,
                replaced,
                marks,
                ..
            } = &mut **more;
            let has = |id: &std::sync::Arc<str>| ids.contains_key(id) || replaced.find(id).is_some();
            let leads_up_to = tail.move_on((at, item.born), message.id.as_ref(), prev_id, has);
            marks.extend(leads_up_to.filter(|_| !begins).map(|by| (number, Mark::Late(by))));
        }
        if matches!(message.stream, Some(StreamForm::Close | StreamForm::Hint)) {
            self.more.get_or_insert_default().last_stream_act = at;
        }
        if matches!(message.response, Some(ResponseForm::Hint)) {
            self.more.get_or_insert_default().last_response_act = at;
        }
        self.bytes += message.weight();
        if self.entries.capacity() == 0 {
            // Most have one message.
            self.entries.reserve_exact(1);
        }
        self.entries.push_back(item);
        if latest {
            let more = self.more.get_or_insert_default();
            for form in Form::ALL {
                if form.is_sent_by(&message) {
                    more.last_states[form as usize] = Some(number);
                }
            }
        }
    }

    fn is_last_anew(&self) -> bool {
        let last = self.entries.len().checked_sub(1);
        let number = last.map(|last| self.numbers.number(last));
        let mark = number.and_then(|number| self.more.as_ref()?.mark(number));
        matches!(mark, Some(Mark::Anew))
    }

    /// The last message goes, for a newer state takes its place, with the next number.
    fn replace_last(&mut self) -> Option<std::sync::Arc<Message>> {
        let entries = self.entries.len();
        let number = self.numbers.number(entries.checked_sub(1)?);
        let id = self.entries.back()?.message.id.clone();
        let said = id.as_ref().and_then(|id| self.said(id));
        let old = self.entries.pop_back()?;
        if let (Some(more), Some(id), Some(said)) = (&mut self.more, &id, said) {
            more.replaced.remember(id, said);
        }
        self.forget(number, &old);
        self.numbers.replace_last(entries);
        Some(old.message)
    }

    /// Forgets the oldest message, if there is one: for whoever may need it, the floor has risen. A state is needed by
    /// nobody once a newer one is here; the last message is, or nothing would be known of it.
    fn evict(&mut self, gone: &mut Gone) -> bool {
        let first = self.numbers.first();
        let Some(item) = self.entries.pop_front() else {
            return false;
        };
        let newer = |form: Form| {
            let last = self
                .more
                .as_ref()
                .and_then(|more| more.last_states[form as usize]);
            last.is_some_and(|last| last > first)
        };
        let mut forms = Form::ALL.into_iter().filter(|form| form.is_in(&item.message));
        let is_last = self.entries.is_empty();
        let needed =
            is_last || !item.latest || !forms.all(|form| form.is_sent_by(&item.message) && newer(form));
        if needed {
            self.missed = first + 1;
            self.floor = self.floor.max(item.at);
        }
        self.numbers.pop_front();
        self.forget(first, &item);
        gone.push(item.message);
        true
    }

    /// What is kept beside the log of a message that leaves it.
    fn forget(&mut self, number: u64, item: &Item) {
        self.bytes -= item.message.weight();
        if let Some(more) = &mut self.more {
            more.forget(number, item.message.id.as_deref());
        }
    }
}

impl Item {
    /// Whether it carries a state which this newer one makes useless, whatever the hold.
    fn is_replaced_by(&self, newer: &Message) -> bool {
        self.latest && newer.covers(&self.message)
    }
}

/// Whether a fetch that is under way since `pinned` needs the message at this position.
pub(super) fn needed(at: Position, pinned: Option<Position>) -> bool {
    pinned.is_some_and(|pinned| at > pinned)
}

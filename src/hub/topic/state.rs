//! What a channel's lock guards: its log, and what is known of its messages.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Gone, Item, Topic};
use crate::hub::known::{Is, Known, Mark, More};
use crate::hub::numbers::Numbers;
use crate::hub::said::{Likeness, Said, Saying};
use crate::hub::subscription::Wants;
use crate::log::readers::Readers;
use crate::message::{Channel, Form, Message, ResponseForm, StreamForm};
use crate::position::Position;

pub(super) struct State {
    pub(super) entries: VecDeque<Item>,
    pub(super) numbers: Numbers,
    /// A reader that has not come to this number has missed something that is gone.
    pub(super) missed: u64,
    /// What was accepted at or before it may be gone.
    pub(super) floor: Position,
    /// Of its messages.
    pub(super) bytes: usize,
    pub(super) readers: Option<Box<Readers>>,
    pub(super) more: Option<Box<More>>,
}

// === impl State ===

impl State {
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.readers.is_none()
    }

    pub(super) fn oldest(&self) -> Option<&Item> {
        self.entries.front()
    }

    pub(super) fn last(&self) -> Position {
        // Once the last one is gone the floor is no less.
        self.entries.back().map_or(self.floor, |item| item.at)
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.more.as_ref().is_some_and(|more| more.has(id))
    }

    pub(super) fn judge(&self, saying: &Saying, age: Duration) -> Is {
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
    pub(super) fn is_of_the_past(&self, saying: &Saying, said: &Said) -> bool {
        let last_id = self.more.as_ref().and_then(|more| more.tail.last_id.as_ref());
        let follows_last = saying.prev_id.is_some() && saying.prev_id.as_ref() == last_id;
        let is_the_same = saying.what.likeness(&said.what) == Likeness::Same;
        is_the_same && saying.is_soon_after(said) && !follows_last && !saying.comes_back
    }

    /// Whether what was said before follows the last message now, and that follows it: a state that comes back. If that only came
    /// late, it leads up to it.
    pub(super) fn comes_back(&self, Saying { id, prev_id, .. }: &Saying) -> bool {
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
    pub(super) fn said(&self, id: &str) -> Option<Said> {
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
    pub(super) fn last_unreplayable(&self, wants: Wants) -> Position {
        match (&self.more, wants) {
            (Some(more), Wants::Stream) => more.last_stream_act,
            (Some(more), Wants::Response) => more.last_response_act,
            (None, _) | (_, Wants::Socket) => Position::ZERO,
        }
    }

    /// Bytes of memory that it takes under this name, about. Without messages it is only there for its readers, who
    /// are not counted.
    pub(super) fn weight(&self, name: &Channel) -> usize {
        match self.entries.len() {
            0 => 0,
            entries => {
                Topic::weight_of(name, entries, self.bytes)
                    + self.more.as_ref().map_or(0, |more| more.weight())
            }
        }
    }

    pub(super) fn append(&mut self, item: Item, saying: Option<Saying>, is: Is, gone: &mut Gone) {
        let message = item.message.clone();
        let (at, latest) = (item.at, item.latest);
        let mut begins = is == Is::Anew;
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
            if is == Is::Anew {
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
        let follows = message.predecessor().zip(self.more.as_mut());
        let followed = follows.and_then(|(prev_id, more)| more.ids.get_mut(prev_id));
        if let Some(known) = followed.filter(|known| known.followed == Position::ZERO) {
            known.followed = at;
        }
        if let Some(first) = first_form.filter(|_| !begins) {
            self.mark_form(number, first);
        } else if let Some(more) = self.more.as_mut().filter(|_| is != Is::Form) {
            // Else it is one of a state that was replaced: order does not go back to that.
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

    /// The message with this number is another form of an earlier one: if what follows that is there, it came as late.
    fn mark_form(&mut self, number: u64, first: u64) {
        let (place, _) = self.numbers.at_or_after(first);
        let (Some(more), Some(entry)) = (&mut self.more, self.entries.get(place)) else {
            return;
        };
        let id = entry.message.id.as_ref();
        let followed = id.and_then(|id| Some(more.ids.get(id)?.followed));
        let followed = followed.filter(|at| *at != Position::ZERO);
        let late = match more.mark(first) {
            Some(Mark::Late(by)) => Some(by),
            _ => None,
        };
        let mark = Mark::Form {
            first: entry.place(),
            late: [late, followed].into_iter().flatten().min(),
        };
        more.marks.push_back((number, mark));
    }

    pub(super) fn is_last_anew(&self) -> bool {
        let last = self.entries.len().checked_sub(1);
        let number = last.map(|last| self.numbers.number(last));
        let mark = number.and_then(|number| self.more.as_ref()?.mark(number));
        matches!(mark, Some(Mark::Anew))
    }

    /// The last message goes, for a newer state takes its place, with the next number.
    pub(super) fn replace_last(&mut self) -> Option<std::sync::Arc<Message>> {
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
    pub(super) fn evict(&mut self, gone: &mut Gone) -> bool {
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
    pub(super) fn forget(&mut self, number: u64, item: &Item) {
        self.bytes -= item.message.weight();
        if let Some(more) = &mut self.more {
            more.forget(number, item.message.id.as_deref());
        }
    }
}

impl Item {
    /// Whether it carries a state which this newer one makes useless, whatever the hold.
    pub(super) fn is_replaced_by(&self, newer: &Message) -> bool {
        self.latest && newer.covers(&self.message)
    }
}

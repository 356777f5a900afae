//! One channel of a hold: what its client has, and what waits for it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::chain::{Search, places_before};
use super::withheld::{Place, Withheld};
use super::{MOST, MOST_BYTES, Placed, RESPONSE_PATIENCE, STREAM_PATIENCE};
use crate::grip::{HoldChannel, HoldMode};
use crate::message::{Message, ResponseForm, StreamForm};

/// One channel.
#[derive(Debug)]
pub(super) struct Track {
    /// The body names an id.
    pub(super) is_tracked: bool,
    mode: HoldMode,
    /// What the client has: the id that the body names, then that of the message delivered last.
    pub(super) at: Option<Arc<str>>,
    /// It is that of a message, not the body's.
    is_at_delivered: bool,
    /// Under which the client was sent something.
    is_at_sent: bool,
    /// What it had before: two publishers may follow the same message at the same moment.
    before: [Option<Arc<str>>; 2],
    /// The next message, going back from the one that the body names, that is known to be in the body.
    contained: Option<Arc<str>>,
    /// What the body names has come; what leads up to it is known by its id until then. Later the id may be that of another one.
    has_come: Option<Instant>,
    /// What the body contains is news to the client.
    pub(super) is_bodiless: bool,
    /// But for this message, and what leads up to it.
    own: Option<Arc<str>>,
    /// The log has come to what the body names, or to what follows that.
    at_body: bool,
    /// What the client was sent last may be older than the body.
    is_behind: bool,
    pub(super) withheld: Withheld,
    /// A message followed its predecessor since the first of the withheld came.
    moved_on: bool,
    /// Something went out although what leads up to it may be missing, before its time was up.
    pub(super) has_skipped: bool,
    /// Goes out next.
    pub(super) ready: VecDeque<(Place, Placed)>,
}

// === impl Track ===

impl Track {
    pub(super) fn new(channel: &HoldChannel, mode: HoldMode) -> Self {
        Self {
            is_tracked: channel.prev_id.is_some(),
            mode,
            at: channel.prev_id.clone(),
            is_at_delivered: false,
            is_at_sent: false,
            before: [None, None],
            contained: channel.prev_id.clone(),
            has_come: None,
            is_bodiless: false,
            own: None,
            at_body: false,
            is_behind: false,
            withheld: Withheld::default(),
            moved_on: false,
            has_skipped: false,
            ready: VecDeque::new(),
        }
    }

    /// The body is not sent to its client, which has this.
    pub(super) fn take_body(&mut self, own: Option<Arc<str>>) {
        self.is_bodiless = own != self.at;
        self.own = own.filter(|_| self.is_bodiless);
    }

    /// The log has what the body names below the hold's stamp: it does not come any more.
    pub(super) fn is_past_body(&mut self) {
        self.contained = None;
        self.at_body = true;
    }

    /// Whether the body names this message, or is known to contain it.
    pub(super) fn is_contained(&self, message: &Message) -> bool {
        message.id.is_some() && message.id == self.contained
    }

    /// Whether the log comes with it to what the body names, or to what follows that.
    pub(super) fn is_come_to(&self, message: &Message) -> bool {
        self.is_contained(message) || !self.at_body && self.follows_body(message)
    }

    fn follows_body(&self, message: &Message) -> bool {
        message.prev_id.is_some() && message.prev_id == self.contained
    }

    pub(super) fn patience(&self) -> Duration {
        patience(self.mode)
    }

    /// Takes the next message; gives it back if it goes out now, before anything that is ready.
    pub(super) fn offer(
        &mut self,
        place: Place,
        placed: Placed,
        deadline: impl Fn() -> Instant,
    ) -> Option<Placed> {
        // Before that it may be what leads up to the body.
        let is_past = self.at_body || self.is_bodiless || self.is_at_delivered;
        if placed.anew && is_past {
            return self.begin_anew(place, placed);
        }
        let message = &*placed.message;
        let mut is_contained = self.is_contained(message);
        if is_contained && let Some(until) = self.has_come {
            is_contained = follows_another(message) && deadline() <= until;
        }
        if message.id.is_some() && message.id == self.own {
            self.own = self.withheld.take_chain(message.prev_id.clone());
            return None;
        }
        if self.is_bodiless && self.is_come_to(message) {
            if is_contained {
                self.contained = None;
            }
            self.at_body = true;
            self.withheld.push(place, placed, deadline());
            self.release();
            return None;
        }
        let begins = is_contained && !self.at_body;
        if is_contained {
            self.has_come
                .get_or_insert_with(|| deadline() + patience(self.mode));
            let chain = places_before(&self.withheld, message);
            self.come_to_body(place, message, &chain);
            if self.is_behind && !self.is_sent(message) {
                // The client has no use for it: it gets what leads up to it.
                for place in chain.into_iter().rev() {
                    if self.withheld.has(place) {
                        self.send(place);
                    }
                }
            }
        }
        let follows = self.follows(message);
        if is_contained {
            self.contained = self.withheld.take_chain(message.prev_id.clone());
            if !self.is_behind && !follows {
                if begins {
                    // What was delivered before it, the client was not sent.
                    self.at = message.id.clone();
                }
                self.follow();
                return None;
            }
            if begins {
                // What comes next follows nothing that is older.
                self.at = None;
            }
        } else if message.id.is_some() && message.id == self.at {
            if !self.is_at_delivered || !self.is_sent(message) {
                return None;
            }
            return match self.is_at_sent {
                // The log, which takes no message twice, has forgotten that one.
                true => self.begin_anew(place, placed),
                // It was another form of it.
                false => self.go(place, placed),
            };
        }
        let goes_anyway = is_contained || follows || message.no_seq || self.follows_news(message);
        if placed.late && !goes_anyway && !self.is_bodiless {
            // So is what leads up to it.
            self.withheld.take_chain(message.prev_id.clone());
            return None;
        }
        if goes_anyway || (self.fits(message) && self.may_go(message)) {
            return self.go(place, placed);
        }
        if is_unlinked(message) && self.is_all_that_lacks(message) {
            while let Some(unlinked) = self.withheld.first_unlinked() {
                self.send_all_from(unlinked, true);
            }
            return self.go(place, placed);
        }
        self.wait(place, placed, deadline());
        None
    }

    /// The first that is ready.
    pub(super) fn next_ready(&mut self) -> Option<Placed> {
        let (_, next) = self.ready.pop_front()?;
        if self.ready.is_empty() {
            // Of many, nothing is left of their memory.
            self.ready = VecDeque::new();
        }
        Some(next)
    }

    fn follows(&self, message: &Message) -> bool {
        message.prev_id.is_some() && message.prev_id == self.at && !self.awaits_another(message)
    }

    /// Whether what it follows is withheld: a later one than that which had its id.
    fn awaits_another(&self, message: &Message) -> bool {
        let prev_id = message.prev_id.as_ref();
        prev_id.is_some_and(|prev_id| self.withheld.has_id(prev_id))
    }

    /// Whether it follows what was delivered since the log came to the body.
    fn follows_news(&self, message: &Message) -> bool {
        let is_news = message.prev_id.is_some() && self.at_body && self.before.contains(&message.prev_id);
        is_news && !self.awaits_another(message)
    }

    fn fits(&self, message: &Message) -> bool {
        self.at.is_none() || message.prev_id.is_none()
    }

    /// Whether nothing has to go out before it.
    fn may_go(&self, message: &Message) -> bool {
        !is_unlinked(message) || self.withheld.first_news().is_none()
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.withheld.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// It has the id of an earlier one: what waits goes out, and from here on ids are those of others.
    fn begin_anew(&mut self, place: Place, placed: Placed) -> Option<Placed> {
        self.release();
        while let Some(old) = self.withheld.first_old() {
            self.withheld.take(old);
        }
        self.withheld = Withheld::default();
        self.at = None;
        self.before = [None, None];
        self.own = None;
        self.is_bodiless = false;
        self.is_behind = false;
        self.is_past_body();
        self.go(place, placed)
    }

    /// It goes out, and what follows it.
    fn go(&mut self, place: Place, placed: Placed) -> Option<Placed> {
        self.moved_on |= follows_another(&placed.message);
        self.deliver(place, &placed.message);
        let is_first = self.ready.is_empty();
        let now = if is_first {
            Some(placed)
        } else {
            self.ready.push_back((place, placed));
            None
        };
        self.follow();
        now
    }

    /// It is withheld. What there is no room for goes out.
    fn wait(&mut self, place: Place, placed: Placed, deadline: Instant) {
        if self.withheld.first_news().is_none() {
            self.moved_on = false;
        }
        let id = placed.message.id.clone();
        self.withheld.push(place, placed, deadline);
        self.withheld.renew(id.as_ref());
        let mut search = Search::default();
        let mut is_crowded = false;
        while self.withheld.len() > MOST || self.withheld.bytes() > MOST_BYTES {
            if let Some(old) = self.withheld.first_old() {
                self.withheld.take(old);
            } else {
                is_crowded |= self.give_up(&mut search);
            }
        }
        if is_crowded {
            self.has_skipped = true;
            self.follow();
        }
    }

    /// What the body names has come, or what follows that. The log has what is withheld before it, so the body contains
    /// that, unless it turns out to follow; what names no predecessor goes out, unless it is known to lead up to the
    /// message.
    fn come_to_body(&mut self, place: Place, message: &Message, chain: &[Place]) {
        if std::mem::replace(&mut self.at_body, true) {
            return;
        }
        self.withheld.mark_old_before(place, self.contained.clone());
        self.withheld.renew(message.id.as_ref());
        let chain: HashSet<&Place> = chain.iter().collect();
        let mut is_behind = self.is_behind;
        for place in self.withheld.old_unlinked() {
            if !chain.contains(&place) {
                let begin = self.ready.len();
                self.send_all_from(place, true);
                let mut sent = self.ready.iter().skip(begin).map(|(_, placed)| &placed.message);
                is_behind |= sent.any(|message| has_ids(message) && self.is_sent(message));
            }
        }
        self.is_behind = is_behind;
    }

    /// Whether all that is withheld waits for this one message.
    fn is_all_that_lacks(&self, message: &Message) -> bool {
        let Some(id) = &message.id else { return false };
        if self
            .withheld
            .after_id(id)
            .all(|place| self.withheld.is_old(place))
        {
            return false;
        }
        let withheld = || self.withheld.news().map(|withheld| &withheld.message);
        let there: HashSet<_> = withheld().filter_map(|other| other.id.as_ref()).collect();
        let mut awaited = withheld().filter_map(|other| other.prev_id.as_ref());
        awaited.all(|prev_id| prev_id == id || there.contains(prev_id))
    }

    /// Forgets the first of the withheld, if the body contains it.
    pub(super) fn forget_first(&mut self) -> bool {
        let old = self
            .withheld
            .next(None)
            .filter(|first| self.withheld.is_old(*first));
        old.map(|first| self.withheld.take(first)).is_some()
    }

    /// The message is delivered. What follows news is news.
    fn deliver(&mut self, place: Place, message: &Message) {
        let had_news = self.at_body || (self.at.is_some() && self.at == self.contained);
        // Of a body that its client is not sent, it is not known what it contains.
        if self.follows_body(message) && !self.is_bodiless {
            self.come_to_body(place, message, &[]);
        }
        // If it has no id, the next one fits whatever it names.
        if has_ids(message) {
            if had_news {
                self.before.swap(0, 1);
                self.before[0] = self.at.take();
            }
            self.at = message.id.clone();
            self.is_at_delivered = true;
            self.is_at_sent = self.is_sent(message);
            if self.is_at_sent {
                self.is_behind = !self.at_body;
            }
            match self.at_body {
                true => self.withheld.renew(message.id.as_ref()),
                false => self.withheld.note_sent(message),
            }
        }
    }

    /// Makes ready what follows.
    fn follow(&mut self) {
        // Nearly always nothing waits.
        while !self.withheld.is_empty() {
            let linked = match &self.at {
                Some(at) => self.after_one_of(
                    [at].into_iter()
                        .chain(self.before.iter().flatten().filter(|_| self.at_body)),
                ),
                None => self.withheld.first_linked(),
            };
            // What names no predecessor comes after what the log has before it.
            let Some(place) = self.first_unlinked(linked).or(linked) else {
                return;
            };
            self.send(place);
        }
    }

    fn after_one_of<'a>(&self, ids: impl Iterator<Item = &'a Arc<str>>) -> Option<Place> {
        { ids }.find_map(|id| self.withheld.after(id))
    }

    /// The first that is not old, if it names no predecessor and comes before this place.
    fn first_unlinked(&self, before: Option<Place>) -> Option<Place> {
        let unlinked = self.withheld.first_unlinked()?;
        let is_first = before.is_none_or(|before| unlinked < before);
        (is_first && self.withheld.first_news() == Some(unlinked)).then_some(unlinked)
    }

    /// Makes ready one that was withheld and is delivered.
    fn send(&mut self, place: Place) {
        let next = self.withheld.take(place);
        self.deliver(place, &next.message);
        self.ready.push_back((place, next));
    }

    /// Makes ready one that was withheld, and all that follows it.
    fn send_all_from(&mut self, first: Place, is_delivered: bool) {
        let mut ends = Vec::new();
        let mut next = Some(first);
        while let Some(place) = next {
            while place != first
                && let Some(unlinked) = self.first_unlinked(Some(place))
            {
                self.send(unlinked);
            }
            let placed = self.withheld.take(place);
            if is_delivered {
                self.deliver(place, &placed.message);
            }
            ends.extend(placed.message.id.clone());
            self.ready.push_back((place, placed));
            next = None;
            while let Some(id) = ends.last()
                && next.is_none()
            {
                next = self.withheld.after(id);
                if next.is_none() {
                    ends.pop();
                }
            }
        }
    }

    /// Whether its client gets something by it.
    fn is_sent(&self, message: &Message) -> bool {
        match self.mode {
            HoldMode::Stream => matches!(&message.stream, Some(StreamForm::Send(bytes)) if !bytes.is_empty()),
            HoldMode::Response => matches!(message.response, Some(ResponseForm::Send(_))),
        }
    }

    /// Gives up on what has been withheld for long enough; forgets it, if it is old.
    pub(super) fn release_overdue(&mut self, now: Instant) {
        let mut search = Search::default();
        while self.is_overdue(now) {
            if !self.forget_first() {
                self.give_up(&mut search);
            }
        }
        self.follow();
    }

    /// The same of another channel, of which nothing says that all is there.
    pub(super) fn release_early(&mut self) {
        self.has_skipped |= self.withheld.first_news().is_some();
        self.release();
    }

    /// Makes ready all that is withheld and is not old.
    pub(super) fn release(&mut self) {
        let mut search = Search::default();
        while self.give_up(&mut search) {}
    }

    /// The first that is withheld goes out although what leads up to it did not come, or not all of it; and all that
    /// follows it. Order goes on from there, unless others went on meanwhile: not where they follow what waited for
    /// nothing but its place in the log.
    fn give_up(&mut self, search: &mut Search) -> bool {
        // What was remembered of those that were sent may be less than when it was looked.
        let Some(first) = search.next(&self.withheld).or_else(|| {
            *search = Search::default();
            search.next(&self.withheld)
        }) else {
            return false;
        };
        let is_linked = !is_unlinked(self.withheld.message(first));
        self.send_all_from(first, !(is_linked && self.moved_on));
        true
    }
}

fn has_ids(message: &Message) -> bool {
    message.id.is_some() || message.prev_id.is_some()
}

/// Whether it says what it follows.
fn follows_another(message: &Message) -> bool {
    message.predecessor().is_some()
}

/// Whether only its place in the log says what it follows.
pub(super) fn is_unlinked(message: &Message) -> bool {
    message.prev_id.is_none() && !message.no_seq
}

fn patience(mode: HoldMode) -> Duration {
    match mode {
        HoldMode::Stream => STREAM_PATIENCE,
        HoldMode::Response => RESPONSE_PATIENCE,
    }
}

//! One channel of a hold: what its client has, and what waits for it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::chain::{Search, places_before};
use super::decided::{Decided, Fate};
use super::withheld::{Place, Withheld};
use super::{MOST, MOST_BYTES, Placed, RESPONSE_PATIENCE, STREAM_PATIENCE};
use crate::grip::{HoldChannel, HoldMode};
use crate::hub::FirstForm;
use crate::message::{Message, ResponseForm, StreamForm};
use crate::position::Position;

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
    /// What became of messages of which another form may come.
    decided: Decided,
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
    /// Where the log came to what the body names.
    body_at: Option<(Position, u32)>,
    /// What came first from there on is news. Of what came before the body has all forms, as far as ids tell.
    news_from: Option<(Position, u32)>,
    /// What the client was sent last may be older than the body.
    is_behind: bool,
    /// Likewise, of what came after it: nothing says what that follows.
    may_be_behind: bool,
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
            decided: Decided::default(),
            before: [None, None],
            contained: channel.prev_id.clone(),
            has_come: None,
            is_bodiless: false,
            own: None,
            at_body: false,
            body_at: None,
            news_from: None,
            is_behind: false,
            may_be_behind: false,
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

    /// What became of a message of which another form came before.
    fn judge_form(&self, placed: &Placed, first: FirstForm) -> Fate {
        let message = &*placed.message;
        let Some(id) = &message.id else { return Fate::Open };
        let is_below = !self.is_bodiless && (placed.late || !first.is_brought);
        let is_had = is_below || !self.is_bodiless && self.is_before_news(placed);
        if self.is_contained(message) || message.id == self.own {
            return match is_had && self.at_body && !self.is_behind {
                true => Fate::Had,
                false => Fate::Open,
            };
        }
        if let Some(place) = self.withheld.of_id(id) {
            return match self.withheld.is_old(place) {
                true => Fate::Had,
                false => Fate::Open,
            };
        }
        let fate = self.decided.fate(id);
        if self.is_body(placed) && !self.is_bodiless && fate.is_none() {
            return match self.is_behind || self.may_be_behind {
                true => Fate::Passed,
                false => Fate::Had,
            };
        }
        if is_below && is_unlinked(message) {
            return Fate::Had;
        }
        if let Some(fate) = fate {
            return fate;
        }
        let is_named = !self.is_at_delivered && message.id == self.at;
        match () {
            () if is_named || self.follows(message) => Fate::Open,
            // Of what names no predecessor nobody can tell.
            () if is_had && !is_unlinked(message) => Fate::Had,
            () if self.is_bodiless && !first.is_brought => Fate::Open,
            () => Fate::Passed,
        }
    }

    /// Whether the log has it before what the body names, or it is that.
    fn is_before_news(&self, placed: &Placed) -> bool {
        self.news_from.is_some_and(|from| placed.first() < from)
    }

    /// Whether it is a form of what the body names.
    fn is_body(&self, placed: &Placed) -> bool {
        self.body_at == Some(placed.first())
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

    /// Takes the next message; gives it back if it goes out now, before anything that is ready.
    pub(super) fn offer(
        &mut self,
        place: Place,
        placed: Placed,
        now: impl Fn() -> Instant,
    ) -> Option<Placed> {
        let mode = self.mode;
        let deadline = || now() + patience(mode);
        // Before that it may be what leads up to the body.
        let is_past = self.at_body || self.is_bodiless || self.is_at_delivered;
        if placed.anew && is_past {
            return self.begin_anew(place, placed);
        }
        let message = &*placed.message;
        if let Some(first) = placed.form.filter(|_| !placed.anew) {
            let is_withheld = message.id.as_ref().is_some_and(|id| self.withheld.has_id(id));
            if self.is_of_hold(message) && !self.is_sent(message) && !is_withheld {
                // What closes or hints is in no body.
                return self.go_as_form(place, placed);
            }
            match self.judge_form(&placed, first) {
                Fate::Open => {}
                Fate::Had => return None,
                Fate::Passed if !self.is_of_hold(message) => return None,
                Fate::Passed if self.decided.lacks_form_before(&placed) => {
                    self.decided.wait(place, placed, now());
                    return None;
                }
                Fate::Passed => return self.go_as_form(place, placed),
            }
        }
        let mut is_contained = self.is_contained(message);
        if is_contained && let Some(until) = self.has_come {
            is_contained = follows_another(message) && deadline() <= until;
        }
        if message.id.is_some() && message.id == self.own {
            self.own = self.withheld.take_chain(message.prev_id.clone(), |_| {});
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
            self.has_come.get_or_insert_with(|| deadline() + patience(mode));
            let chain = places_before(&self.withheld, message);
            let (at, nth) = placed.first();
            if begins {
                self.body_at = Some((at, nth));
            }
            self.come_to_body(place, message, &chain, (at, nth + 1));
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
            let is_had = !self.is_behind && !follows;
            let Self {
                withheld, decided, ..
            } = self;
            // Forms of what came later than what the body names.
            let mut note = |id: &Arc<str>| {
                if is_had && !begins {
                    decided.note_had(id);
                }
            };
            message.id.iter().for_each(&mut note);
            self.contained = withheld.take_chain(message.prev_id.clone(), note);
            if is_had {
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
            // The log, which takes no message twice, has forgotten that one.
            return self.begin_anew(place, placed);
        }
        let goes_anyway = is_contained || follows || message.no_seq || self.follows_news(message);
        if placed.late && !goes_anyway && !self.is_bodiless {
            // So is what leads up to it.
            self.withheld.take_chain(message.prev_id.clone(), |_| {});
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
        prev_id
            .is_some_and(|prev_id| self.withheld.has_id(prev_id) || self.decided.has_waiting_up_to(prev_id))
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
        !is_unlinked(message) || self.news().next().is_none()
    }

    /// When something will have waited for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.withheld.deadline(), self.decided.deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.withheld.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// All that waits, and is not old.
    pub(super) fn news(&self) -> impl Iterator<Item = &Placed> {
        self.withheld.news().chain(self.decided.waiting())
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
        self.decided = Decided::default();
        self.own = None;
        self.is_bodiless = false;
        self.is_behind = false;
        self.may_be_behind = false;
        self.body_at = None;
        self.news_from = None;
        self.is_past_body();
        self.go(place, placed)
    }

    /// It goes out, and what follows it.
    fn go(&mut self, place: Place, placed: Placed) -> Option<Placed> {
        self.moved_on |= follows_another(&placed.message);
        self.deliver(place, &placed);
        if self.withheld.is_empty() {
            return self.first(place, placed);
        }
        let id = placed.message.id.clone();
        let now = self.first(place, placed);
        self.send_forms(id.as_ref());
        self.follow();
        now
    }

    /// It goes out, for another form of it was passed. Order is that of the first ones.
    fn go_as_form(&mut self, place: Place, placed: Placed) -> Option<Placed> {
        let id = placed.message.id.clone();
        self.note_form(&placed);
        let now = self.first(place, placed);
        self.send_forms_after(id);
        self.follow();
        now
    }

    /// Makes ready a form that waited for that of the message before, and what waited for it.
    fn send_form(&mut self, (place, form): (Place, Placed)) {
        let id = form.message.id.clone();
        self.push_form(place, form);
        self.send_forms_after(id);
    }

    fn push_form(&mut self, place: Place, form: Placed) {
        self.note_form(&form);
        self.ready.push_back((place, form));
    }

    fn send_forms_after(&mut self, mut id: Option<Arc<str>>) {
        while let Some((place, form)) = id.and_then(|id| self.decided.take_after(&id)) {
            id = form.message.id.clone();
            self.push_form(place, form);
        }
    }

    fn note_form(&mut self, placed: &Placed) {
        let message = &placed.message;
        if self.is_sent(message) {
            self.is_at_sent |= message.id == self.at;
            // What says what it follows is news, wherever the log has it.
            let is_older = is_unlinked(message) && self.is_before_news(placed) && !self.is_body(placed);
            self.is_behind = !self.at_body || is_older;
            self.may_be_behind = is_unlinked(message) && !self.is_body(placed);
        }
        if let Some(id) = &message.id {
            self.decided.forget(id);
        }
    }

    /// Gives it back, if nothing is ready before it.
    fn first(&mut self, place: Place, placed: Placed) -> Option<Placed> {
        if self.ready.is_empty() {
            return Some(placed);
        }
        self.ready.push_back((place, placed));
        None
    }

    /// Makes ready what else is withheld under the id of what goes out: other forms of it.
    fn send_forms(&mut self, id: Option<&Arc<str>>) {
        let Some(id) = id.filter(|_| !self.withheld.is_empty()) else {
            return;
        };
        while let Some(place) = self.withheld.of_id(id) {
            let form = self.withheld.take(place);
            if self.is_of_hold(&form.message) {
                self.note_form(&form);
            }
            self.ready.push_back((place, form));
        }
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
    fn come_to_body(&mut self, place: Place, message: &Message, chain: &[Place], news_from: (Position, u32)) {
        if std::mem::replace(&mut self.at_body, true) {
            return;
        }
        self.news_from = Some(news_from);
        self.withheld.mark_old_before(place, self.contained.clone());
        self.withheld.renew(message.id.as_ref());
        let chain: HashSet<&Place> = chain.iter().collect();
        let mut is_behind = self.is_behind;
        for place in self.withheld.old_unlinked() {
            if !chain.contains(&place) && self.withheld.has(place) {
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

    /// Forgets what the body contains that was withheld for long enough.
    pub(super) fn forget_overdue(&mut self, now: Instant) {
        while self.is_overdue(now) && self.forget_first() {}
    }

    /// Forgets the first of the withheld, if the body contains it.
    fn forget_first(&mut self) -> bool {
        let old = self
            .withheld
            .next(None)
            .filter(|first| self.withheld.is_old(*first));
        old.map(|first| self.withheld.take(first)).is_some()
    }

    /// The message is delivered. What follows news is news.
    fn deliver(&mut self, place: Place, placed: &Placed) {
        let message = &*placed.message;
        let had_news = self.at_body || (self.at.is_some() && self.at == self.contained);
        // Of a body that its client is not sent, it is not known what it contains.
        if self.follows_body(message) && !self.is_bodiless {
            self.come_to_body(place, message, &[], placed.first());
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
                self.may_be_behind = is_unlinked(message) && !self.is_body(placed);
            } else if !self.is_of_hold(message) {
                message.id.iter().for_each(|id| self.decided.note_unsent(id));
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
                Some(at) => {
                    let before = self.before.iter().flatten().filter(|_| self.at_body);
                    let ids = [at].into_iter().chain(before);
                    // What follows a form that waits comes after it.
                    self.after_one_of(ids.filter(|id| !self.decided.has_waiting_up_to(id)))
                }
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
        let is_first = before.is_none_or(|before| unlinked < before) && self.decided.deadline().is_none();
        (is_first && self.withheld.first_news() == Some(unlinked)).then_some(unlinked)
    }

    /// Makes ready one that was withheld and is delivered.
    fn send(&mut self, place: Place) {
        self.send_one(place, true);
    }

    /// The same, and returns its id. Unless it `is_delivered`, order goes on where it was.
    fn send_one(&mut self, place: Place, is_delivered: bool) -> Option<Arc<str>> {
        let next = self.withheld.take(place);
        if is_delivered {
            self.deliver(place, &next);
        }
        let id = next.message.id.clone();
        self.ready.push_back((place, next));
        self.send_forms(id.as_ref());
        id
    }

    /// Makes ready one that was withheld, and all that follows it: where several follow one, in the order of the log.
    fn send_all_from(&mut self, first: Place, is_delivered: bool) {
        let sent = self.send_one(first, is_delivered);
        // The first that follows each of those that are ready.
        let follower = |withheld: &Withheld, id: Arc<str>| Some(Reverse((withheld.after(&id)?, id)));
        let mut next = BinaryHeap::from_iter(sent.and_then(|id| follower(&self.withheld, id)));
        while let Some(Reverse((place, id))) = next.pop() {
            while let Some(unlinked) = self.first_unlinked(Some(place)) {
                self.send(unlinked);
            }
            if self.withheld.has(place) {
                let sent = self.send_one(place, is_delivered);
                next.extend(sent.and_then(|id| follower(&self.withheld, id)));
            }
            let another = self.withheld.after_id(&id).next();
            next.extend(another.map(|place| Reverse((place, id))));
        }
    }

    /// Whether it has the form that the hold takes.
    fn is_of_hold(&self, message: &Message) -> bool {
        match self.mode {
            HoldMode::Stream => message.stream.is_some(),
            HoldMode::Response => message.response.is_some(),
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
        while let Some(form) = self.decided.take_overdue(Some(now)) {
            self.send_form(form);
        }
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
        let skips = self.news().next().is_some();
        self.has_skipped |= skips;
        self.release();
    }

    /// Makes ready all that is withheld and is not old.
    pub(super) fn release(&mut self) {
        while let Some(form) = self.decided.take_overdue(None) {
            self.send_form(form);
        }
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

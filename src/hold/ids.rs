//! Ids: each message once, in the order that ids say.
//!
//! Per channel a hold keeps one value, `at`: first the id that the initial body names, then that of the message
//! delivered last.
//!
//! - A message *fits* if it has no `prev-id` (or is `no-seq`), or if its `prev-id` is `at`. It is delivered, and
//!   its id becomes `at`.
//! - The message whose id is `at`, or is the one that the body names, is skipped. Not so the latter if others were
//!   delivered before it of which is not known what they follow: the client would stay on what may be older than its body.
//! - Any other is *withheld*. When its predecessor is delivered, it follows. When a message is skipped, what leads
//!   up to it by `prev-id` is part of the body as well, and is forgotten: that is how a replay that begins below
//!   what the body contains stays silent.
//! - While one is withheld, its channel stops (rule D3): a message that names no predecessor has its place in the
//!   log, so it comes after what the log has before it, unless it is what that waits for. Else a client would stay
//!   on an older one, and a `close` would take from it what is withheld. Only `no-seq` overtakes.
//! - What is withheld for longer than a patience is a gap. Streams then deliver it, in order: that of the ids, where
//!   these tell one, else that of the log.
//!
//! A long poll is not sent the body. Where an answer is for all who ask, nobody but its client knows whether that has what
//! the body contains. So what the body names is not skipped: it goes out, and with it all that is withheld, for the log has
//! that before it.
//!
//! A channel whose id the body does not name has no `at`: its messages go out as they come.

mod chain;
mod withheld;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::chain::{Search, ids_before, ids_from};
use self::withheld::{Place, Withheld};
use crate::grip::HoldChannel;
use crate::message::Message;
use crate::position::Position;

/// How long a stream waits for a predecessor.
pub(super) const STREAM_PATIENCE: Duration = Duration::from_secs(5);

/// How long a long poll waits for a predecessor before the origin is asked: messages of one burst may come in any
/// order.
pub(super) const RESPONSE_PATIENCE: Duration = Duration::from_millis(200);

/// Messages of one channel that are withheld: as many as its log remembers, for a replay may begin far below what the body
/// contains (rule X1). When one more comes, the first of them goes out.
const MOST: usize = 1_000;

/// Bytes of one channel's messages that are withheld; likewise.
const MOST_BYTES: usize = 1 << 20;

/// A message at its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) at: Position,
    pub(super) message: Arc<Message>,
}

/// The ids of one hold's channels.
#[derive(Debug)]
pub(super) struct Ids {
    /// Empty if the body names no id.
    channels: Box<[Track]>,
}

/// One channel.
#[derive(Debug, Default)]
struct Track {
    /// The body names an id.
    tracked: bool,
    patience: Duration,
    at: Option<Arc<str>>,
    /// The next message, going back from the one that the body names, that is known to be in the body.
    contained: Option<Arc<str>>,
    /// What the body contains is news to the client.
    bodiless: bool,
    /// The log has come to what the body names, or to what follows that.
    at_body: bool,
    /// A message followed its predecessor.
    chained: bool,
    /// Before any did, one was delivered of which is not known what it follows: it may be older than the body.
    overtaken: bool,
    withheld: Withheld,
    /// A message followed its predecessor since the first of the withheld came.
    moved_on: bool,
    /// Goes out next.
    ready: VecDeque<Placed>,
}

// === impl Ids ===

impl Ids {
    /// Of a hold's channels, in the order of subscribing.
    pub(super) fn new(channels: &[HoldChannel], patience: Duration) -> Self {
        let tracked = channels.iter().any(|channel| channel.prev_id.is_some());
        let track = |channel: &HoldChannel| Track {
            tracked: channel.prev_id.is_some(),
            patience,
            at: channel.prev_id.clone(),
            contained: channel.prev_id.clone(),
            ..Track::default()
        };
        Self {
            channels: if tracked {
                channels.iter().map(track).collect()
            } else {
                Box::default()
            },
        }
    }

    /// Of a hold whose client is not sent the body, nor known to have it.
    pub(super) fn bodiless(mut self) -> Self {
        for track in &mut self.channels {
            track.bodiless = true;
        }
        self
    }

    /// Takes the next message of a channel; gives it back if it goes out now. More may be [`ready`](Self::ready)
    /// after it. `now` is asked only where time matters.
    pub(super) fn offer(
        &mut self,
        channel: usize,
        placed: Placed,
        now: impl FnOnce() -> Instant,
    ) -> Option<Placed> {
        match self.channels.get_mut(channel) {
            Some(track) if track.tracked => {
                let patience = track.patience;
                track.offer(placed, || now() + patience)
            }
            _ => Some(placed),
        }
    }

    /// What goes out after what was delivered last.
    pub(super) fn ready(&mut self) -> Option<Placed> {
        self.channels.iter_mut().find_map(Track::next_ready)
    }

    /// When something will have been withheld for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.channels
            .iter()
            .filter_map(|track| track.withheld.deadline())
            .min()
    }

    /// Gives up waiting: makes ready what was withheld for long enough, and what came after it on its channel.
    pub(super) fn release_overdue(&mut self, now: Instant) {
        self.forget_overdue(now);
        for track in &mut self.channels {
            if track.is_overdue(now) {
                track.release();
            }
        }
    }

    /// Forgets what the body contains that was withheld for long enough.
    pub(super) fn forget_overdue(&mut self, now: Instant) {
        for track in &mut self.channels {
            while track.is_overdue(now) && track.forget_first() {}
        }
    }

    /// The last position among what is withheld.
    pub(super) fn last_withheld(&self) -> Option<Position> {
        self.withheld().max()
    }

    /// The first of them.
    pub(super) fn first_withheld(&self) -> Option<Position> {
        self.withheld().min()
    }

    fn withheld(&self) -> impl Iterator<Item = Position> {
        let withheld = self.channels.iter().flat_map(|track| track.withheld.news());
        withheld.map(|placed| placed.at)
    }

    /// Whether any channel is tracked.
    pub(super) fn are_there(&self) -> bool {
        !self.channels.is_empty()
    }

    /// The channels that are tracked, by index, and how far they are.
    pub(super) fn known(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        let channels = self.channels.iter().enumerate();
        channels.filter_map(|(index, track)| Some((index, track.at.as_ref()?)))
    }
}

// === impl Track ===

impl Track {
    fn offer(&mut self, placed: Placed, deadline: impl FnOnce() -> Instant) -> Option<Placed> {
        let message = &placed.message;
        let is_named = message.id.is_some() && message.id == self.contained;
        if is_named && self.bodiless {
            self.contained = None;
            self.withheld.push(placed, deadline());
            self.release();
            return self.next_ready();
        }
        if is_named {
            let overtaken = self.pass_what_is_old(message, &ids_before(&self.withheld, message));
            self.forget_what_leads_to(message);
            if overtaken {
                self.ready.push_back(placed.clone());
                self.deliver(message);
            }
            if overtaken || !self.chained {
                self.at = message.id.clone();
            }
            self.chained = true;
            self.follow();
            return self.next_ready();
        }
        if message.id.is_some() && message.id == self.at {
            return None;
        }
        if self.fits(message) && self.may_go(message) {
            if follows(message) && message.prev_id == self.contained && !self.bodiless {
                self.pass_what_is_old(message, &HashSet::new());
            }
            self.moved_on |= follows(message);
            self.deliver(message);
            if self.ready.is_empty() {
                self.follow();
                return Some(placed);
            }
            self.ready.push_back(placed);
            self.follow();
            return self.next_ready();
        }
        if is_unlinked(message) && self.is_all_that_lacks(message) {
            while let Some(place) = self.withheld.first_unlinked() {
                self.send(place);
            }
            self.deliver(message);
            self.ready.push_back(placed);
            self.follow();
            return self.next_ready();
        }
        if self.withheld.is_empty() {
            self.moved_on = false;
        }
        self.withheld.push(placed, deadline());
        while self.withheld.len() > MOST || self.withheld.bytes() > MOST_BYTES {
            if !self.forget_first() {
                self.give_up(&mut Search::default());
                self.follow();
            }
        }
        self.next_ready()
    }

    /// The first that is ready. Of many, nothing is left of their memory.
    fn next_ready(&mut self) -> Option<Placed> {
        let next = self.ready.pop_front();
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        next
    }

    fn fits(&self, message: &Message) -> bool {
        message.no_seq || self.at.is_none() || message.prev_id.is_none() || message.prev_id == self.at
    }

    /// Whether nothing has to go out before it. What is linked to what was delivered last need not wait.
    fn may_go(&self, message: &Message) -> bool {
        !is_unlinked(message) || self.withheld.first_news().is_none()
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.withheld.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// What the body names has come, or what follows that: the log has what is withheld before it, so the body contains
    /// that, unless it turns out to follow. Not so what names no predecessor, for of such nobody can tell, nor what comes
    /// after what has an id and may be older than the body: all of that goes out. Returns whether there is such. `chain` is
    /// what is known to lead up to the message.
    fn pass_what_is_old(&mut self, message: &Message, chain: &HashSet<Arc<str>>) -> bool {
        let mut overtaken = self.overtaken;
        if std::mem::replace(&mut self.at_body, true) {
            return overtaken;
        }
        let news = ids_from(&self.withheld, message);
        let mut next = self.withheld.next(None);
        while let Some(place) = next {
            next = self.withheld.next(Some(place));
            let message = self.withheld.message(place);
            if message
                .prev_id
                .as_ref()
                .is_some_and(|prev_id| news.contains(prev_id))
            {
                continue;
            }
            let in_chain = message.id.as_ref().is_some_and(|id| chain.contains(id));
            let is_unlinked = is_unlinked(message);
            overtaken |= is_unlinked && message.id.is_some() && !in_chain;
            if overtaken || (is_unlinked && !in_chain) {
                self.ready.push_back(self.withheld.take(place));
            } else {
                self.withheld.mark_old(place);
            }
        }
        overtaken
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

    /// The body contains what leads up to this message, as it does this one.
    fn forget_what_leads_to(&mut self, message: &Message) {
        self.contained = message.prev_id.clone();
        while let Some(place) = self.contained.as_ref().and_then(|id| self.withheld.with_id(id)) {
            self.contained = self.withheld.take(place).message.prev_id.clone();
        }
    }

    /// Forgets the first of the withheld, if the body contains it.
    fn forget_first(&mut self) -> bool {
        let old = self
            .withheld
            .next(None)
            .filter(|first| self.withheld.is_old(*first));
        old.map(|first| self.withheld.take(first)).is_some()
    }

    /// The message is delivered.
    fn deliver(&mut self, message: &Message) {
        self.chained |= follows(message);
        self.overtaken |= !self.chained && message.id.is_some();
        // If it has no id, the next one fits whatever it names.
        if message.id.is_some() || message.prev_id.is_some() {
            self.at = message.id.clone();
        }
    }

    /// Makes ready what follows.
    fn follow(&mut self) {
        loop {
            let linked = match &self.at {
                Some(at) => self.withheld.after_id(at).next(),
                None => self.withheld.first_linked(),
            };
            // What names no predecessor comes after what the log has before it.
            let first = || self.withheld.first_news();
            let is_unlinked = |place: &Place| is_unlinked(self.withheld.message(*place));
            let Some(place) = linked.or_else(|| first().filter(is_unlinked)) else {
                return;
            };
            self.send(place);
        }
    }

    /// Makes ready one that was withheld and is delivered.
    fn send(&mut self, place: Place) {
        let next = self.withheld.take(place);
        self.deliver(&next.message);
        self.ready.push_back(next);
    }

    /// Makes ready all that is withheld.
    fn release(&mut self) {
        let mut search = Search::default();
        while self.give_up(&mut search) {}
    }

    /// The first that is withheld goes out although what leads up to it did not come, or not all of it; and all that
    /// follows it. Order goes on from there, unless others went on meanwhile: not where they follow what waited for
    /// nothing but its place in the log.
    fn give_up(&mut self, search: &mut Search) -> bool {
        let Some(first) = search.next(&self.withheld) else {
            return false;
        };
        let is_linked = !is_unlinked(self.withheld.message(first));
        let goes_on = !(is_linked && self.moved_on);
        if is_linked && goes_on {
            self.overtaken |= !self.chained;
            self.chained = true;
        }
        let mut ends = Vec::new();
        let mut next = Some(first);
        while let Some(place) = next {
            let placed = self.withheld.take(place);
            if goes_on {
                self.deliver(&placed.message);
            }
            ends.extend(placed.message.id.clone());
            self.ready.push_back(placed);
            next = None;
            while let Some(id) = ends.last()
                && next.is_none()
            {
                next = self.withheld.after_id(id).next();
                if next.is_none() {
                    ends.pop();
                }
            }
        }
        true
    }
}

/// Whether it says what it follows.
fn follows(message: &Message) -> bool {
    message.prev_id.is_some() && !message.no_seq
}

/// Whether only its place in the log says what it follows.
fn is_unlinked(message: &Message) -> bool {
    message.prev_id.is_none() && !message.no_seq
}

#[cfg(test)]
mod tests;

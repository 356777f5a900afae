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
//! the body contains; so that is not skipped, but goes out in its order.
//!
//! A channel whose id the body does not name has no `at`: its messages go out as they come.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

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
    /// In the order of the log.
    withheld: VecDeque<Withheld>,
    bytes: usize,
    /// A message followed its predecessor since the first of the withheld came.
    moved_on: bool,
    /// Goes out next.
    ready: VecDeque<Placed>,
}

/// A message that waits.
#[derive(Debug)]
struct Withheld {
    placed: Placed,
    deadline: Instant,
    /// The log has it before what the body names, so only as a successor of that it is news.
    is_old: bool,
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
        self.channels.iter_mut().find_map(|track| track.ready.pop_front())
    }

    /// When something will have been withheld for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.channels
            .iter()
            .filter_map(|track| track.withheld.front().map(|first| first.deadline))
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
            while track.is_overdue(now) && track.withheld.front().is_some_and(|first| first.is_old) {
                drop(track.take(0));
            }
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
        let withheld = self.channels.iter().flat_map(|track| &track.withheld);
        let withheld = withheld.filter(|withheld| !withheld.is_old);
        withheld.map(|withheld| withheld.placed.at)
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
        let is_given = is_named && self.bodiless;
        if is_given && self.may_go(message) {
            self.give(placed);
            return self.ready.pop_front();
        }
        if is_named && !is_given {
            let overtaken = self.pass_what_is_old(message, &self.chain_to(message));
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
            return self.ready.pop_front();
        }
        if message.id.is_some() && message.id == self.at && !is_given {
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
            return self.ready.pop_front();
        }
        if is_unlinked(message) && self.is_all_that_lacks(message) {
            while let Some(index) = self.withheld_where(is_unlinked) {
                self.send(index);
            }
            self.deliver(message);
            self.ready.push_back(placed);
            self.follow();
            return self.ready.pop_front();
        }
        if self.withheld.is_empty() {
            self.moved_on = false;
        }
        self.bytes += message.weight();
        self.withheld.push_back(Withheld {
            placed,
            deadline: deadline(),
            is_old: false,
        });
        if self.withheld.len() <= MOST && self.bytes <= MOST_BYTES {
            return None;
        }
        match self.withheld.front() {
            Some(first) if first.is_old => drop(self.take(0)),
            _ => self.give_up(),
        }
        self.ready.pop_front()
    }

    fn fits(&self, message: &Message) -> bool {
        message.no_seq || self.at.is_none() || message.prev_id.is_none() || message.prev_id == self.at
    }

    /// Whether nothing has to go out before it. What is linked to what was delivered last need not wait.
    fn may_go(&self, message: &Message) -> bool {
        !is_unlinked(message) || self.withheld.iter().all(|other| other.is_old)
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.withheld.front().is_some_and(|first| first.deadline <= now)
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
        let news = self.successors(message);
        let mut index = 0;
        while let Some(withheld) = self.withheld.get_mut(index) {
            let message = &withheld.placed.message;
            if message
                .prev_id
                .as_ref()
                .is_some_and(|prev_id| news.contains(prev_id))
            {
                index += 1;
                continue;
            }
            let in_chain = message.id.as_ref().is_some_and(|id| chain.contains(id));
            overtaken |= is_unlinked(message) && message.id.is_some() && !in_chain;
            if overtaken || (is_unlinked(message) && !in_chain) {
                let placed = self.take(index);
                self.ready.push_back(placed);
            } else {
                withheld.is_old = true;
                index += 1;
            }
        }
        overtaken
    }

    /// What leads up to this message, of what is withheld.
    fn chain_to(&self, message: &Message) -> HashSet<Arc<str>> {
        let mut chain = HashSet::new();
        let mut prev_id = message.prev_id.as_ref();
        while let Some(id) = prev_id
            && let Some(index) = self.withheld_where(|message| message.id.as_ref() == Some(id))
            && chain.insert(id.clone())
        {
            prev_id = self.withheld[index].placed.message.prev_id.as_ref();
        }
        chain
    }

    /// This message, if it has an id, and those that are withheld and follow it.
    fn successors(&self, message: &Message) -> HashSet<Arc<str>> {
        let mut ids: HashSet<_> = message.id.iter().cloned().collect();
        let mut known = 0;
        while known < ids.len() {
            known = ids.len();
            for withheld in &self.withheld {
                let message = &withheld.placed.message;
                if message
                    .prev_id
                    .as_ref()
                    .is_some_and(|prev_id| ids.contains(prev_id))
                {
                    ids.extend(message.id.clone());
                }
            }
        }
        ids
    }

    /// Whether all that is withheld waits for this one message.
    fn is_all_that_lacks(&self, message: &Message) -> bool {
        let Some(id) = &message.id else { return false };
        let withheld = self.withheld.iter().filter(|withheld| !withheld.is_old);
        let withheld = || withheld.clone().map(|withheld| &withheld.placed.message);
        if withheld().all(|other| other.prev_id.as_ref() != Some(id)) {
            return false;
        }
        let there: HashSet<_> = withheld().filter_map(|other| other.id.as_ref()).collect();
        let mut awaited = withheld().filter_map(|other| other.prev_id.as_ref());
        awaited.all(|prev_id| prev_id == id || there.contains(prev_id))
    }

    /// The body contains what leads up to this message, as it does this one.
    fn forget_what_leads_to(&mut self, message: &Message) {
        self.contained = message.prev_id.clone();
        while let Some(index) =
            self.withheld_where(|message| message.id.is_some() && message.id == self.contained)
        {
            self.contained = self.take(index).message.prev_id.clone();
        }
    }

    /// The body, which is not sent, contains this message, and what leads up to it: all of them go out.
    fn give(&mut self, last: Placed) {
        self.contained = None;
        let mut prev_id = last.message.prev_id.clone();
        let mut chain = VecDeque::from([last]);
        while let Some(index) = self.withheld_where(|message| message.id.is_some() && message.id == prev_id) {
            let earlier = self.take(index);
            prev_id = earlier.message.prev_id.clone();
            chain.push_front(earlier);
        }
        self.ready.append(&mut chain);
        self.follow();
    }

    /// The message is delivered.
    fn deliver(&mut self, message: &Message) {
        self.chained |= follows(message);
        self.overtaken |= !self.chained && message.id.is_some();
        self.move_to(message);
    }

    /// If the message that was delivered has no id, the next one fits whatever it names.
    fn move_to(&mut self, message: &Message) {
        if message.id.is_some() || message.prev_id.is_some() {
            self.at = message.id.clone();
        }
    }

    /// Makes ready what follows.
    fn follow(&mut self) {
        while !self.withheld.is_empty() {
            let linked = |message: &Message| self.fits(message) && !is_unlinked(message);
            let next = self.withheld_where(linked);
            let first = || self.withheld.iter().position(|withheld| !withheld.is_old);
            let is_unlinked = |index: &usize| is_unlinked(&self.withheld[*index].placed.message);
            let Some(index) = next.or_else(|| first().filter(is_unlinked)) else {
                return;
            };
            self.send(index);
        }
    }

    /// Makes ready one that was withheld and is delivered.
    fn send(&mut self, index: usize) {
        let next = self.take(index);
        self.deliver(&next.message);
        self.ready.push_back(next);
    }

    /// Makes ready all that is withheld.
    fn release(&mut self) {
        while !self.withheld.is_empty() {
            self.give_up();
        }
    }

    /// The first that is withheld goes out although what leads up to it did not come, or not all of it; and what follows
    /// it. Order goes on from there, unless others went on meanwhile.
    fn give_up(&mut self) {
        let mut next = Some(self.first());
        while let Some(index) = next {
            let placed = self.take(index);
            if !self.moved_on {
                self.overtaken |= !self.chained;
                self.chained = true;
                self.move_to(&placed.message);
            }
            let id = &placed.message.id;
            next = self.withheld_where(|message| message.prev_id.is_some() && message.prev_id == *id);
            self.ready.push_back(placed);
        }
        self.follow();
    }

    /// The first of the withheld, or what leads up to it.
    fn first(&self) -> usize {
        for index in 0..self.withheld.len() {
            let first = self.first_of_chain(index);
            // What names no predecessor comes after what the log has before it.
            if first == index || !is_unlinked(&self.withheld[first].placed.message) {
                return first;
            }
        }
        0
    }

    fn first_of_chain(&self, mut index: usize) -> usize {
        // Names may lead in a circle.
        for _ in 0..self.withheld.len() {
            let prev_id = &self.withheld[index].placed.message.prev_id;
            match self.withheld_where(|message| message.id.is_some() && message.id == *prev_id) {
                Some(earlier) => index = earlier,
                None => break,
            }
        }
        index
    }

    fn withheld_where(&self, wanted: impl Fn(&Message) -> bool) -> Option<usize> {
        let mut withheld = self.withheld.iter();
        withheld.position(|withheld| wanted(&withheld.placed.message))
    }

    fn take(&mut self, index: usize) -> Placed {
        let Withheld { placed, .. } = self
            .withheld
            .remove(index)
            .expect("the index was found in the queue");
        self.bytes -= placed.message.weight();
        placed
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

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
mod tests {
    use super::*;
    use crate::message::Channel;
    use proptest::prelude::*;

    fn channel(prev_id: Option<&str>) -> HoldChannel {
        let mut channel = HoldChannel::new(Channel::new("t").expect("a valid name"));
        channel.prev_id = prev_id.map(Into::into);
        channel
    }

    fn message(id: &str, prev_id: &str) -> Message {
        let mut message = Message::bytes(format!("{prev_id}>{id}"));
        message.id = (!id.is_empty()).then(|| id.into());
        message.prev_id = (!prev_id.is_empty()).then(|| prev_id.into());
        message
    }

    /// A hold on one channel, and what it gives out.
    struct Hold {
        ids: Ids,
        now: Instant,
        count: u64,
    }

    impl Hold {
        fn new(prev_id: Option<&str>) -> Self {
            Self {
                ids: Ids::new(&[channel(prev_id)], STREAM_PATIENCE),
                now: Instant::now(),
                count: 0,
            }
        }

        fn offer(&mut self, message: Message) -> Vec<String> {
            self.count += 1;
            let placed = Placed {
                at: Position::new(self.count),
                message: Arc::new(message),
            };
            let now = self.now;
            let first = self.ids.offer(0, placed, || now);
            self.drain(first)
        }

        fn wait(&mut self, time: Duration) -> Vec<String> {
            self.now += time;
            self.ids.release_overdue(self.now);
            self.drain(None)
        }

        fn drain(&mut self, first: Option<Placed>) -> Vec<String> {
            let rest = std::iter::from_fn(|| self.ids.ready());
            let name = |placed: Placed| placed.message.id.as_deref().unwrap_or("-").to_owned();
            first.into_iter().chain(rest).map(name).collect()
        }
    }

    fn offer_all(hold: &mut Hold, messages: &[(&str, &str)]) -> Vec<String> {
        let offered = messages
            .iter()
            .flat_map(|(id, prev_id)| hold.offer(message(id, prev_id)));
        offered.collect()
    }

    #[test]
    fn s19_without_an_id_in_the_body_everything_goes_out_as_it_comes() {
        let mut hold = Hold::new(None);
        let got = offer_all(&mut hold, &[("7", "3"), ("2", "9"), ("", "x"), ("2", "")]);
        assert_eq!(got, ["7", "2", "-", "2"]);
        assert_eq!(hold.ids.deadline(), None);
    }

    #[test]
    fn what_a_body_contains_that_is_not_sent_goes_out_in_order_and_once() {
        for (offered, got) in [
            (&[("4", "3")][..], &["4"][..]),
            (&[("2", "1"), ("3", "2"), ("4", "3")], &["2", "3", "4"]),
            (
                &[("3", "2"), ("2", "1"), ("4", "3"), ("4", "3")],
                &["2", "3", "4"],
            ),
            (
                &[("3", "2"), ("4", "3"), ("5", "4"), ("3", "2")],
                &["3", "4", "5"],
            ),
            (&[("5", "4"), ("4", "3")], &["5", "4"]),
            // The log has what is withheld before it.
            (&[("3", "9"), ("4", "")], &[]),
        ] {
            let mut hold = Hold::new(Some("4"));
            hold.ids = hold.ids.bodiless();
            assert_eq!(offer_all(&mut hold, offered), got, "{offered:?}");
            if got.is_empty() {
                assert_eq!(hold.wait(STREAM_PATIENCE), ["3", "4"]);
            }
        }
    }

    #[test]
    fn a_gap_is_withheld_for_five_seconds() {
        let mut hold = Hold::new(Some("1"));
        assert_eq!(offer_all(&mut hold, &[("2", "1"), ("4", "3"), ("5", "4")]), ["2"]);
        assert_eq!(hold.ids.deadline(), Some(hold.now + STREAM_PATIENCE));
        assert!(hold.wait(Duration::from_millis(4_999)).is_empty());
        assert_eq!(hold.wait(Duration::from_millis(1)), ["4", "5"]);
        assert_eq!(hold.ids.deadline(), None);
        assert_eq!(offer_all(&mut hold, &[("6", "5")]), ["6"]);
    }

    #[test]
    fn what_arrives_early_follows_its_predecessor() {
        let mut hold = Hold::new(Some("1"));
        assert!(offer_all(&mut hold, &[("4", "3"), ("3", "2")]).is_empty());
        assert_eq!(offer_all(&mut hold, &[("2", "1")]), ["2", "3", "4"]);
        assert_eq!(hold.ids.deadline(), None);
    }

    #[test]
    fn a_replay_from_below_the_body_is_silent_and_does_not_stall() {
        let mut hold = Hold::new(Some("10"));
        let got = offer_all(&mut hold, &[("8", "7"), ("9", "8"), ("10", "9"), ("11", "10")]);
        assert_eq!(got, ["11"]);
        assert_eq!(hold.ids.deadline(), None);
    }

    #[test]
    fn what_is_in_the_body_may_come_late() {
        let mut hold = Hold::new(Some("10"));
        assert!(offer_all(&mut hold, &[("9", "8")]).is_empty());
        assert!(hold.ids.deadline().is_some());
        assert_eq!(
            offer_all(&mut hold, &[("11", "10"), ("10", "9"), ("8", "7")]),
            ["11"]
        );
        assert_eq!(hold.ids.deadline(), None);
    }

    /// The publisher died after storing what the body names.
    #[test]
    fn a_body_that_was_never_published_delays_nothing_that_follows_it() {
        let mut hold = Hold::new(Some("10"));
        assert_eq!(offer_all(&mut hold, &[("9", "8"), ("11", "10")]), ["11"]);
        // 9 came before what follows the body: its client does not go back to it.
        assert!(hold.wait(STREAM_PATIENCE).is_empty());
        assert_eq!(offer_all(&mut hold, &[("12", "11")]), ["12"]);
        // Unless ids say that it is a later one.
        let mut hold = Hold::new(Some("10"));
        assert_eq!(offer_all(&mut hold, &[("13", "12"), ("11", "10")]), ["11"]);
        assert_eq!(offer_all(&mut hold, &[("x", ""), ("12", "11")]), ["x"]);
        assert_eq!(hold.wait(STREAM_PATIENCE), ["12"]);
    }

    #[test]
    fn messages_without_a_predecessor_fit_and_the_last_of_them_comes_last() {
        let mut hold = Hold::new(Some("10"));
        assert_eq!(offer_all(&mut hold, &[("10", ""), ("11", "")]), ["11"]);
        // Older than the body: what that contains comes after it.
        let mut hold = Hold::new(Some("10"));
        assert_eq!(
            offer_all(&mut hold, &[("8", ""), ("11", "10"), ("9", ""), ("10", "")]),
            ["8", "9", "10", "11"]
        );
        let mut hold = Hold::new(Some("10"));
        let got = offer_all(
            &mut hold,
            &[("9", ""), ("10", ""), ("11", "10"), ("x", ""), ("12", "x")],
        );
        assert_eq!(got, ["9", "10", "11", "x", "12"]);
        // One without an id: what comes next fits.
        assert_eq!(
            offer_all(&mut hold, &[("", "12"), ("20", "19"), ("21", "20")]),
            ["-", "20", "21"]
        );
        let unordered = Message {
            no_seq: true,
            ..message("30", "29")
        };
        assert_eq!(hold.offer(unordered), ["30"]);
    }

    /// The client was sent what is older than its body: it does not stay on that.
    #[test]
    fn what_the_body_contains_follows_what_was_given_up_on() {
        let mut hold = Hold::new(Some("10"));
        assert!(offer_all(&mut hold, &[("8", "7")]).is_empty());
        assert_eq!(hold.wait(STREAM_PATIENCE), ["8"]);
        let rest = [("9", "8"), ("10", "9"), ("11", "10")];
        assert_eq!(offer_all(&mut hold, &rest), ["9", "10", "11"]);
        assert_eq!(hold.ids.deadline(), None);
        // Out of order, as from another node.
        let mut hold = Hold::new(Some("10"));
        let unordered = Message {
            no_seq: true,
            ..message("12", "11")
        };
        assert_eq!(hold.offer(unordered), ["12"]);
        assert_eq!(offer_all(&mut hold, &[("10", "9"), ("11", "10")]), ["10", "11"]);
        assert_eq!(hold.ids.deadline(), None);
        let last = MOST + 10;
        let mut hold = Hold::new(Some(&last.to_string()));
        let got = (1..=last).flat_map(|n| hold.offer(message(&n.to_string(), &(n - 1).to_string())));
        assert_eq!(got.last(), Some(last.to_string()));
    }

    /// What leads up to the body is broken off: by what was lost, or names no predecessor.
    #[test]
    fn d2_nothing_that_the_log_has_before_the_body_comes_after_it() {
        for (offered, got) in [
            (
                &[("5", "4"), ("7", "6"), ("9", "8"), ("10", "9"), ("11", "10")][..],
                &["11"][..],
            ),
            (&[("5", "4"), ("10", "")], &[]),
            (
                &[("5", "4"), ("6", ""), ("10", "9"), ("11", "10")],
                &["6", "10", "11"],
            ),
            (
                &[("5", "4"), ("6", ""), ("7", "6"), ("9", "8"), ("10", "")],
                &["6", "7", "9", "10"],
            ),
            (&[("6", ""), ("9", "8"), ("10", "")], &["6", "9", "10"]),
            (
                &[("5", "4"), ("6", ""), ("8", ""), ("9", "8"), ("10", "9")],
                &["6", "8", "9", "10"],
            ),
            (&[("5", "4"), ("8", ""), ("9", "8"), ("10", "9")], &[]),
            (&[("5", "4"), ("", ""), ("10", "9"), ("11", "10")], &["-", "11"]),
            (&[("5", "4"), ("6", ""), ("11", "10")], &["6", "11"]),
        ] {
            let mut hold = Hold::new(Some("10"));
            assert_eq!(offer_all(&mut hold, offered), got, "{offered:?}");
            assert!(hold.wait(STREAM_PATIENCE).is_empty(), "{offered:?}");
            assert_eq!(hold.ids.deadline(), None);
        }
    }

    /// X1: a replay that begins far below what the body contains stays silent, and what follows goes out.
    #[test]
    fn a_long_replay_before_the_body_is_forgotten_when_its_last_message_comes() {
        let mut hold = Hold::new(Some("500"));
        for n in 1..500 {
            assert!(
                hold.offer(message(&format!("{n}"), &format!("{}", n - 1)))
                    .is_empty()
            );
        }
        assert!(hold.offer(message("500", "499")).is_empty());
        assert_eq!(hold.offer(message("501", "500")), ["501"]);
        assert_eq!(hold.ids.deadline(), None);
    }

    #[test]
    fn one_too_many_of_a_gap_pushes_the_first_out() {
        let mut hold = Hold::new(Some("a"));
        for n in 0..MOST {
            assert!(hold.offer(message(&format!("{n}"), &format!("{n}-"))).is_empty());
        }
        assert_eq!(hold.offer(message("last", "last-")), ["0"]);
        assert_eq!(hold.wait(STREAM_PATIENCE).len(), MOST);
        let big = Message::bytes(vec![0; MOST_BYTES]).with_id("b").with_prev_id("?");
        assert_eq!(hold.offer(big), ["b"]);
    }

    /// D3: while a gap is known, its channel stops. What says nothing of the order comes after what the log has before it.
    #[test]
    fn d3_nothing_overtakes_what_is_withheld_unless_it_leads_up_to_that() {
        let after_five = || {
            let mut hold = Hold::new(Some("4"));
            assert_eq!(hold.offer(message("5", "4")), ["5"]);
            hold
        };
        let mut hold = after_five();
        assert!(offer_all(&mut hold, &[("7", "6"), ("x", ""), ("", "")]).is_empty());
        assert_eq!(hold.wait(STREAM_PATIENCE), ["7", "x", "-"]);
        assert_eq!(offer_all(&mut hold, &[("8", "x")]), ["8"]);
        // Its predecessor comes late.
        let mut hold = after_five();
        assert!(offer_all(&mut hold, &[("7", "6"), ("x", "")]).is_empty());
        assert_eq!(
            offer_all(&mut hold, &[("6", "5"), ("8", "x")]),
            ["6", "7", "x", "8"]
        );
        assert_eq!(hold.ids.deadline(), None);
        // One gap of two is closed.
        let mut hold = after_five();
        let rest = [("9", "8"), ("7", "6"), ("x", ""), ("6", "5")];
        assert_eq!(offer_all(&mut hold, &rest), ["6", "7"]);
        assert_eq!(hold.wait(STREAM_PATIENCE), ["9", "x"]);
        // What the body contains closes the gap.
        for bodiless in [false, true] {
            let mut hold = Hold::new(Some("10"));
            if bodiless {
                hold.ids = hold.ids.bodiless();
            }
            let early = [("11", "10"), ("9", "8"), ("x", "")];
            assert_eq!(offer_all(&mut hold, &early), ["11"]);
            let got = hold.offer(message("10", "9"));
            assert_eq!(got, if bodiless { &["9", "10", "x"][..] } else { &["x"] });
        }
        // It leads up to one of two.
        let mut hold = after_five();
        assert!(offer_all(&mut hold, &[("9", "8"), ("7", "6"), ("6", "")]).is_empty());
        assert_eq!(hold.wait(STREAM_PATIENCE), ["9", "6", "7"]);
    }

    #[test]
    fn d2_what_is_given_up_on_goes_out_in_the_order_of_its_ids() {
        for moved_on in [false, true] {
            let mut hold = Hold::new(Some("0"));
            assert_eq!(hold.offer(message("1", "0")), ["1"]);
            assert!(offer_all(&mut hold, &[("9", "8"), ("8", "7"), ("7", "6")]).is_empty());
            if moved_on {
                assert_eq!(offer_all(&mut hold, &[("2", "1")]), ["2"]);
            }
            assert_eq!(hold.wait(STREAM_PATIENCE), ["7", "8", "9"]);
        }
        // Names that lead in a circle.
        let mut hold = Hold::new(Some("1"));
        assert!(offer_all(&mut hold, &[("9", "8"), ("8", "9")]).is_empty());
        assert_eq!(hold.wait(STREAM_PATIENCE).len(), 2);
        let mut hold = Hold::new(Some("a"));
        for n in (0..MOST).rev() {
            let message = message(&format!("{n}"), &format!("{}", n as i64 - 1));
            assert!(hold.offer(message).is_empty());
        }
        let got = hold.offer(message("last", "last-"));
        assert_eq!((got.len(), got.first().map(String::as_str)), (MOST, Some("0")));
    }

    #[test]
    fn channels_do_not_wait_for_each_other() {
        let channels = [channel(Some("1")), channel(Some("1")), channel(None)];
        let mut ids = Ids::new(&channels, STREAM_PATIENCE);
        let now = Instant::now();
        let mut offer = |index, id, prev_id| {
            let placed = Placed {
                at: Position::new(7),
                message: Arc::new(message(id, prev_id)),
            };
            ids.offer(index, placed, || now).is_some()
        };
        assert!(!offer(0, "3", "2"));
        assert!(offer(1, "2", "1"));
        assert!(offer(2, "5", "4"));
        assert_eq!(ids.last_withheld(), Some(Position::new(7)));
        let known: Vec<_> = ids.known().map(|(index, id)| (index, &**id)).collect();
        assert_eq!(known, [(0, "1"), (1, "2")]);
    }

    proptest! {
        /// Whatever the order of the log: what the body contains never comes, the rest comes once and in order.
        #[test]
        fn d2_each_once_and_in_order(
            order in (1u32..40).prop_flat_map(|n| Just((1..=n).collect::<Vec<_>>()).prop_shuffle()),
            contained in 0u32..40,
        ) {
            let last = order.len() as u32;
            let contained = contained.min(last);
            let mut hold = Hold::new(Some(&contained.to_string()));
            let mut got = Vec::new();
            for n in order {
                got.extend(hold.offer(message(&n.to_string(), &(n - 1).to_string())));
            }
            let expected: Vec<String> = (contained + 1..=last).map(|n| n.to_string()).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(hold.ids.deadline(), None);
        }

        /// In the order of the log, whether or not messages say what they follow: no client stays on an older one.
        #[test]
        fn d2_the_last_of_the_log_is_what_a_client_has_last(
            chained in any::<bool>(),
            pauses in prop::collection::vec(0u64..7, 1..30),
            contained in 0usize..30,
        ) {
            let contained = contained.min(pauses.len());
            let mut hold = Hold::new(Some(&contained.to_string()));
            let mut got = vec![contained];
            for (n, pause) in pauses.iter().enumerate() {
                let prev_id = if chained { n.to_string() } else { String::new() };
                let mut out = hold.wait(Duration::from_secs(*pause));
                out.extend(hold.offer(message(&(n + 1).to_string(), &prev_id)));
                got.extend(out.iter().map(|id| id.parse::<usize>().expect("a number")));
            }
            got.extend(hold.wait(STREAM_PATIENCE).iter().map(|id| id.parse::<usize>().expect("a number")));
            prop_assert_eq!(got.last(), Some(&pauses.len()), "{:?}", got);
            prop_assert!(got[1..].is_sorted(), "{:?}", got);
            prop_assert!((contained + 1..=pauses.len()).all(|n| got.contains(&n)), "{:?}", got);
        }

        /// Whatever is missing, and whether or not messages say what they follow: the order of the log stays, also
        /// where the log begins below the body.
        #[test]
        fn d3_what_is_missing_changes_no_order(
            contained in 0u32..20,
            items in prop::collection::vec((0u8..4, 0u64..4, prop::bool::weighted(0.7)), 1..40),
        ) {
            let mut hold = Hold::new(Some(&contained.to_string()));
            let (mut got, mut sent) = (Vec::new(), Vec::new());
            let mut came = false;
            for (n, (lost, pause, chained)) in (1u32..).zip(items) {
                let out = hold.wait(Duration::from_secs(pause));
                got.extend(out);
                if lost > 0 {
                    let prev_id = if chained { (n - 1).to_string() } else { String::new() };
                    sent.push(n);
                    came |= n >= contained && chained || n == contained;
                    got.extend(hold.offer(message(&n.to_string(), &prev_id)));
                }
            }
            got.extend(hold.wait(STREAM_PATIENCE));
            let got: Vec<u32> = got.iter().map(|id| id.parse().expect("a number")).collect();
            prop_assert!(got.is_sorted(), "{:?} of {:?}", got, sent);
            let news = |n: &&u32| **n > contained;
            prop_assert!(got.iter().filter(news).eq(sent.iter().filter(news)), "{:?} of {:?}", got, sent);
            // Who was sent what is older than the body does not stay on that.
            let last = sent.last().copied().filter(|last| *last >= contained);
            if came && got.iter().any(|n| *n < contained) {
                prop_assert_eq!(got.last().copied(), last);
            }
            prop_assert_eq!(hold.ids.deadline(), None);
        }

        /// Whatever is missing: everything that came goes out, once, at most five seconds late.
        #[test]
        fn d2_nothing_is_kept(
            items in prop::collection::vec((0u32..30, 0u64..3), 1..60),
        ) {
            let mut hold = Hold::new(Some("1000"));
            let mut seen = std::collections::BTreeSet::new();
            let mut got = Vec::new();
            for (n, pause) in items {
                got.extend(hold.wait(Duration::from_secs(pause)));
                if seen.insert(n.to_string()) {
                    got.extend(hold.offer(message(&n.to_string(), &(n + 1).to_string())));
                }
                prop_assert!(hold.ids.deadline().is_none_or(|deadline| deadline <= hold.now + STREAM_PATIENCE));
            }
            got.extend(hold.wait(STREAM_PATIENCE));
            got.sort();
            let mut expected: Vec<_> = seen.into_iter().collect();
            expected.sort();
            prop_assert_eq!(got, expected);
        }
    }
}

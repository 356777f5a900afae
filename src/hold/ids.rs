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
//! - What is withheld for longer than a patience is a gap. Streams then deliver it, in order.
//!
//! A long poll is not sent the body. Where an answer is for all who ask, nobody but its client knows whether that has what
//! the body contains; so that is not skipped, but goes out in its order.
//!
//! A channel whose id the body does not name has no `at`: its messages go out as they come.

use std::collections::VecDeque;
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
    patience: Duration,
}

/// One channel.
#[derive(Debug, Default)]
struct Track {
    /// The body names an id.
    tracked: bool,
    at: Option<Arc<str>>,
    /// The next message, going back from the one that the body names, that is known to be in the body.
    contained: Option<Arc<str>>,
    /// What the body contains is news to the client.
    bodiless: bool,
    /// A message followed its predecessor.
    chained: bool,
    /// Before any did, one was delivered of which is not known what it follows: it may be older than the body.
    overtaken: bool,
    /// In the order of the log, each with the end of its patience.
    withheld: VecDeque<(Placed, Instant)>,
    bytes: usize,
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
            patience,
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
        let patience = self.patience;
        match self.channels.get_mut(channel) {
            Some(track) if track.tracked => track.offer(placed, || now() + patience),
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
            .filter_map(|track| track.withheld.front().map(|(_, deadline)| *deadline))
            .min()
    }

    /// Gives up waiting: makes ready what was withheld for long enough, and what came after it on its channel.
    pub(super) fn release_overdue(&mut self, now: Instant) {
        for track in &mut self.channels {
            if track
                .withheld
                .front()
                .is_some_and(|(_, deadline)| *deadline <= now)
            {
                track.release();
            }
        }
    }

    /// The last position among what is withheld.
    pub(super) fn last_withheld(&self) -> Option<Position> {
        let withheld = self.channels.iter().flat_map(|track| &track.withheld);
        withheld.map(|(placed, _)| placed.at).max()
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
        if message.id.is_some() && message.id == self.contained {
            if self.bodiless {
                self.give(placed);
                return self.ready.pop_front();
            }
            self.forget_what_leads_to(message);
            if !self.overtaken {
                self.pass(message);
                return self.ready.pop_front();
            }
            if !self.fits(message) {
                self.pass(message);
                return Some(placed);
            }
        }
        if message.id.is_some() && message.id == self.at {
            return None;
        }
        if self.fits(message) {
            let follows = message.prev_id.is_some() && !message.no_seq;
            self.chained |= follows;
            self.overtaken |= !self.chained && message.id.is_some();
            self.moved_on |= follows;
            self.move_to(message);
            self.follow();
            return Some(placed);
        }
        if self.withheld.is_empty() {
            self.moved_on = false;
        }
        self.bytes += message.weight();
        self.withheld.push_back((placed, deadline()));
        if self.withheld.len() <= MOST && self.bytes <= MOST_BYTES {
            return None;
        }
        let first = self.take(0);
        self.give_up(&first);
        Some(first)
    }

    fn fits(&self, message: &Message) -> bool {
        message.no_seq || self.at.is_none() || message.prev_id.is_none() || message.prev_id == self.at
    }

    /// The body contains this message, so what follows it goes out.
    fn pass(&mut self, message: &Message) {
        if !self.chained {
            // What was delivered so far said nothing of the order.
            self.at = message.id.clone();
            self.chained = true;
            self.follow();
        }
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
    }

    /// The message was delivered. If it has no id, the next one fits whatever it names.
    fn move_to(&mut self, message: &Message) {
        if message.id.is_some() || message.prev_id.is_some() {
            self.at = message.id.clone();
        }
    }

    /// Makes ready what follows.
    fn follow(&mut self) {
        while let Some(index) = self.withheld_where(|message| self.fits(message)) {
            let next = self.take(index);
            self.move_to(&next.message);
            self.ready.push_back(next);
        }
    }

    /// Makes ready all that is withheld.
    fn release(&mut self) {
        while !self.withheld.is_empty() {
            let next = self.take(0);
            self.ready.push_back(next.clone());
            self.give_up(&next);
        }
    }

    /// The message goes out although its predecessor did not come. Order goes on from it, unless others went on
    /// meanwhile.
    fn give_up(&mut self, first: &Placed) {
        if !self.moved_on {
            self.overtaken |= !self.chained;
            self.chained = true;
            self.move_to(&first.message);
            self.follow();
        }
    }

    fn withheld_where(&self, wanted: impl Fn(&Message) -> bool) -> Option<usize> {
        let mut withheld = self.withheld.iter();
        withheld.position(|(placed, _)| wanted(&placed.message))
    }

    fn take(&mut self, index: usize) -> Placed {
        let (placed, _) = self
            .withheld
            .remove(index)
            .expect("the index was found in the queue");
        self.bytes -= placed.message.weight();
        placed
    }
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
            (&[("3", "9"), ("4", "")], &["4"]),
        ] {
            let mut hold = Hold::new(Some("4"));
            hold.ids = hold.ids.bodiless();
            assert_eq!(offer_all(&mut hold, offered), got, "{offered:?}");
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
        // Whether 9 is in the body cannot be known: it comes, late, rather than never.
        assert_eq!(hold.wait(STREAM_PATIENCE), ["9"]);
        assert_eq!(offer_all(&mut hold, &[("12", "11")]), ["12"]);
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

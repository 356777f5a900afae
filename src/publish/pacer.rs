//! When which order of a `latest` channel is sent. Pure: takes the time, does nothing itself.
//!
//! ```text
//!            submit                 submit                    submit
//! (unknown) -------> Sending ------------------> Sending + pending
//!     ^    [start]      | finish                      | finish
//!     |     due         v            submit           v
//!     +------------- Resting ------------------> Resting + pending
//!                       ^                             | due, hurry  [start]
//!                       +------- finish -- Sending <--+
//! ```
//!
//! A channel rests until an interval after the *start* of its last order. It is known only while it is sent to or
//! rests. There is one timer for all: [`Pacer::next_deadline`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Channel;
use crate::order::{Order, OrderId, Publication, Purge, Target};

/// Targets that the order of one channel gathers while it waits.
const MAX_TARGETS: usize = 4_096;
/// After a failure, at least this long until the next try.
const RETRY: Duration = Duration::from_secs(1);

/// All paced channels.
#[derive(Debug)]
pub(super) struct Pacer {
    channels: HashMap<Channel, Lane>,
    /// Which channel rests until when; the number keeps those of one moment apart, and in order.
    due: BTreeMap<Due, Channel>,
    next: u64,
    pending_bytes: usize,
    max_channels: usize,
    max_pending_bytes: usize,
    /// Nothing rests any more.
    stopped: bool,
}

type Due = (Instant, u64);

/// One channel.
#[derive(Debug)]
struct Lane {
    phase: Phase,
    interval: Duration,
    pending: Option<Pending>,
    /// The highest version that was submitted.
    version: Option<u64>,
    /// The predecessor of the newest message, as its publisher said.
    newest_prev: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Sending { since: Instant },
    Resting { until: Due },
}

/// What waits: the newest message, and the purges of all that it replaced.
#[derive(Debug, Default)]
struct Pending {
    purges: HashSet<Purge>,
    publication: Option<Publication>,
    /// When the message was submitted.
    since: Option<Instant>,
    /// Of an order that failed and has not changed since: it may have been taken all the same.
    id: Option<OrderId>,
    bytes: usize,
}

/// An update of a paced channel.
#[derive(Clone, Debug)]
pub(super) struct Update {
    pub(super) publication: Publication,
    pub(super) purges: Vec<Purge>,
    pub(super) interval: Duration,
    /// An update whose version is not above all before it is superseded.
    pub(super) version: Option<u64>,
}

/// What became of an update.
#[derive(Debug)]
pub(super) enum Verdict {
    /// To be sent now.
    Start(Start),
    /// It waits; `replaced` the message of another that did.
    Waits { replaced: bool },
    /// A newer one came before it.
    Superseded,
}

/// To be sent now. Whoever gets one must call [`Pacer::finish`] for it.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) channel: Channel,
    pub(super) order: Order,
    /// How long its message has waited.
    pub(super) waited: Duration,
}

/// What [`Pacer::hurry`] found.
#[derive(Debug)]
pub(super) enum Hurry {
    /// Nothing waits.
    Idle,
    /// An order is being sent: ask again when it has finished.
    Busy,
    /// To be sent now.
    Start(Start),
}

/// There is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// When to try again.
    pub(super) retry_after: Duration,
}

// === impl Pacer ===

impl Pacer {
    pub(super) fn new(max_channels: usize, max_pending_bytes: usize) -> Self {
        Self {
            channels: HashMap::new(),
            due: BTreeMap::new(),
            next: 0,
            pending_bytes: 0,
            max_channels,
            max_pending_bytes,
            stopped: false,
        }
    }

    /// Takes all of these updates, or none of them.
    pub(super) fn submit(&mut self, updates: Vec<Update>, now: Instant) -> Result<Vec<Verdict>, Full> {
        self.check_room(&updates, now)?;
        Ok(updates
            .into_iter()
            .map(|update| self.take_in(update, now))
            .collect())
    }

    /// Sent, or to be sent again: `failed` brings the order back, which a newer one may have replaced meanwhile.
    pub(super) fn finish(&mut self, channel: &Channel, failed: Option<Order>, now: Instant) {
        let Some(lane) = self.channels.get_mut(channel) else {
            return;
        };
        let Phase::Sending { since } = lane.phase else {
            return;
        };
        let mut rest = if self.stopped {
            Duration::ZERO
        } else {
            lane.interval
        };
        if let Some(order) = failed {
            rest = rest.max(RETRY);
            let unchanged = lane.pending.is_none();
            let pending = lane.pending.get_or_insert_default();
            self.pending_bytes -= pending.bytes;
            pending.id = unchanged.then_some(order.id);
            pending.purges.extend(order.purges);
            if pending.publication.is_none() {
                pending.publication = order.publications.into_iter().next();
                pending.since = Some(since);
            }
            self.pending_bytes += pending.weigh();
        }
        let until = since + rest;
        if until <= now && lane.pending.is_none() {
            self.channels.remove(channel);
            return;
        }
        let until = (until, self.next);
        self.next += 1;
        lane.phase = Phase::Resting { until };
        self.due.insert(until, channel.clone());
    }

    /// What is to be sent by now, in the order in which it became due. Forgets channels that have rested.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Start> {
        let mut starts = Vec::new();
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            let channel = entry.remove();
            match self.start(&channel, now) {
                Some(start) => starts.push(start),
                None => drop(self.channels.remove(&channel)),
            }
        }
        starts
    }

    /// When to ask [`Pacer::due`] next; `None` if nothing rests.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Sends what waits for a channel without waiting any longer.
    pub(super) fn hurry(&mut self, channel: &Channel, now: Instant) -> Hurry {
        match self.channels.get(channel) {
            None => Hurry::Idle,
            Some(lane) => match lane.phase {
                Phase::Sending { .. } => Hurry::Busy,
                Phase::Resting { .. } if lane.pending.is_none() => Hurry::Idle,
                Phase::Resting { until } => {
                    self.due.remove(&until);
                    self.start(channel, now).map_or(Hurry::Idle, Hurry::Start)
                }
            },
        }
    }

    /// Whether any channel is paced at present.
    pub(super) fn paces_any(&self) -> bool {
        !self.channels.is_empty()
    }

    /// The channels for which something waits or is being sent.
    pub(super) fn unsent(&self) -> Vec<Channel> {
        let unsent = self
            .channels
            .iter()
            .filter(|(_, lane)| lane.pending.is_some() || matches!(lane.phase, Phase::Sending { .. }));
        unsent.map(|(channel, _)| channel.clone()).collect()
    }

    /// From now on nothing waits but for what is sent before it.
    pub(super) fn stop(&mut self, now: Instant) {
        self.stopped = true;
        for (_, channel) in std::mem::take(&mut self.due) {
            let until = (now, self.next);
            self.next += 1;
            if let Some(lane) = self.channels.get_mut(&channel) {
                lane.phase = Phase::Resting { until };
            }
            self.due.insert(until, channel);
        }
    }

    fn check_room(&self, updates: &[Update], now: Instant) -> Result<(), Full> {
        let mut targets: HashMap<&Channel, usize> = HashMap::new();
        let mut bytes = self.pending_bytes;
        for Update {
            publication, purges, ..
        } in updates
        {
            bytes += publication.message.weight() + purges.iter().map(weight).sum::<usize>();
            let pending = || self.channels.get(&publication.channel)?.pending.as_ref();
            *targets
                .entry(&publication.channel)
                .or_insert_with(|| pending().map_or(0, |pending| pending.purges.len())) += purges.len();
        }
        let new = targets
            .keys()
            .filter(|channel| !self.channels.contains_key(**channel));
        let fits = self.channels.len() + new.count() <= self.max_channels
            && bytes <= self.max_pending_bytes
            && targets.values().all(|targets| *targets <= MAX_TARGETS);
        let first_due = self.next_deadline().unwrap_or(now);
        fits.then_some(()).ok_or(Full {
            retry_after: first_due.saturating_duration_since(now),
        })
    }

    fn take_in(&mut self, update: Update, now: Instant) -> Verdict {
        let channel = update.publication.channel.clone();
        let Some(lane) = self.channels.get_mut(&channel) else {
            let message = &update.publication.message;
            let lane = Lane {
                phase: Phase::Sending { since: now },
                interval: update.interval,
                pending: None,
                version: update.version,
                newest_prev: message.prev_id.clone(),
            };
            self.channels.insert(channel.clone(), lane);
            return Verdict::Start(Start {
                channel,
                order: Order {
                    purges: update.purges,
                    publications: vec![update.publication],
                    ..Order::default()
                },
                waited: Duration::ZERO,
            });
        };
        let superseded = lane.supersedes(&update);
        if superseded && update.purges.is_empty() {
            return Verdict::Superseded;
        }
        let pending = lane.pending.get_or_insert_default();
        self.pending_bytes -= pending.bytes;
        pending.id = None;
        pending.purges.extend(update.purges);
        let mut replaced = false;
        if !superseded {
            lane.interval = update.interval;
            lane.version = update.version.or(lane.version);
            lane.newest_prev = update.publication.message.prev_id.clone();
            replaced = pending.replace(update.publication, now);
        }
        self.pending_bytes += pending.weigh();
        if superseded {
            Verdict::Superseded
        } else if matches!(lane.phase, Phase::Resting { until: (at, _) } if at <= now) {
            // It has rested, only nobody has looked yet: this is a first update.
            match self.hurry(&channel, now) {
                Hurry::Start(start) => Verdict::Start(start),
                Hurry::Idle | Hurry::Busy => Verdict::Waits { replaced },
            }
        } else {
            Verdict::Waits { replaced }
        }
    }

    /// Starts what waits for a channel that no longer rests.
    fn start(&mut self, channel: &Channel, now: Instant) -> Option<Start> {
        let lane = self.channels.get_mut(channel)?;
        let pending = lane.pending.take()?;
        lane.phase = Phase::Sending { since: now };
        self.pending_bytes -= pending.bytes;
        let waited = pending.since.map_or(Duration::ZERO, |since| now - since);
        Some(Start {
            channel: channel.clone(),
            order: Order {
                purges: pending.purges.into_iter().collect(),
                publications: pending.publication.into_iter().collect(),
                id: pending.id.unwrap_or_default(),
            },
            waited,
        })
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.channels.len(), self.due.len(), self.pending_bytes)
    }
}

// === impl Lane ===

impl Lane {
    /// Whether an update is older than one that came before it: by its version, or because the newest one names
    /// it as its predecessor.
    fn supersedes(&self, update: &Update) -> bool {
        let by_version = update.version.zip(self.version);
        let id = update.publication.message.id.as_ref();
        by_version.is_some_and(|(its, ours)| its <= ours) || (id.is_some() && id == self.newest_prev.as_ref())
    }
}

// === impl Pending ===

impl Pending {
    /// Puts a newer message in the place of the one that waits. It then follows what that one followed.
    fn replace(&mut self, mut publication: Publication, now: Instant) -> bool {
        let old = self.publication.take();
        if let Some(prev_id) = old.as_ref().and_then(|old| old.message.prev_id.clone()) {
            follow(&mut publication, &prev_id);
        }
        self.publication = Some(publication);
        self.since = Some(now);
        old.is_some()
    }

    fn weigh(&mut self) -> usize {
        let message = self
            .publication
            .as_ref()
            .map(|publication| publication.message.weight());
        self.bytes = message.unwrap_or(0) + self.purges.iter().map(weight).sum::<usize>();
        self.bytes
    }
}

/// A message that says what it follows, follows `id`.
pub(super) fn follow(publication: &mut Publication, id: &Arc<str>) {
    let message = &mut publication.message;
    if message.prev_id.as_ref().is_some_and(|prev_id| prev_id != id) {
        Arc::make_mut(message).prev_id = Some(id.clone());
    }
}

/// About how many bytes of memory a purge takes.
fn weight(purge: &Purge) -> usize {
    let name = match &purge.target {
        Target::Url(url) => url.as_str().len(),
        Target::Key(name) | Target::Host(name) => name.len(),
        Target::Everything => 0,
    };
    size_of::<Purge>() + name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::order::PurgeMode;

    const T: Duration = Duration::from_secs(1);

    fn update(channel: &str, message: Message) -> Update {
        Update {
            publication: Publication {
                channel: Channel::new(channel).expect("a good name"),
                message: Arc::new(message),
                latest: true,
            },
            purges: Vec::new(),
            interval: T,
            version: None,
        }
    }

    fn plain(channel: &str, text: &str) -> Update {
        update(channel, Message::bytes(text.to_owned()))
    }

    fn key(name: &str) -> Purge {
        Purge {
            target: Target::Key(name.into()),
            mode: PurgeMode::Hard,
        }
    }

    fn pacer() -> Pacer {
        Pacer::new(100_000, 64 << 20)
    }

    fn one(pacer: &mut Pacer, update: Update, now: Instant) -> Verdict {
        let mut verdicts = pacer.submit(vec![update], now).expect("there is room");
        verdicts.pop().expect("one update, one verdict")
    }

    fn started(verdict: Verdict) -> Start {
        match verdict {
            Verdict::Start(start) => start,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rlp_05_an_older_version_is_never_sent() {
        let (mut pacer, now) = (pacer(), Instant::now());
        let with = |version: u64| Update {
            version: Some(version),
            ..plain("c", &version.to_string())
        };
        let start = started(one(&mut pacer, with(5), now));
        assert!(matches!(one(&mut pacer, with(4), now), Verdict::Superseded));
        pacer.finish(&start.channel, None, now);
        assert!(matches!(one(&mut pacer, with(4), now), Verdict::Superseded));
        assert!(matches!(
            one(&mut pacer, with(7), now),
            Verdict::Waits { replaced: false }
        ));
        assert!(matches!(one(&mut pacer, with(6), now), Verdict::Superseded));
        let due = pacer.due(now + T);
        assert_eq!(due.len(), 1);
        assert_eq!(
            due[0].order.publications[0].message,
            Arc::new(Message::bytes("7"))
        );
    }

    #[test]
    fn the_purges_of_what_was_superseded_are_kept() {
        let (mut pacer, now) = (pacer(), Instant::now());
        let with = |version: u64, purge: &str| Update {
            version: Some(version),
            purges: vec![key(purge)],
            ..plain("c", &version.to_string())
        };
        let start = started(one(&mut pacer, with(5, "a"), now));
        pacer.finish(&start.channel, None, now);
        // Nothing waits: its purge is paced alone.
        assert!(matches!(one(&mut pacer, with(4, "b"), now), Verdict::Superseded));
        let due = pacer.due(now + T);
        assert_eq!(due[0].order.purges, [key("b")]);
        assert!(due[0].order.publications.is_empty());
        pacer.finish(&start.channel, None, now + T);
        for (version, purge) in [(6, "c"), (7, "d"), (8, "c")] {
            one(&mut pacer, with(version, purge), now + T);
        }
        let due = pacer.due(now + 2 * T);
        let purged: HashSet<Purge> = due[0].order.purges.iter().cloned().collect();
        assert_eq!(purged, HashSet::from([key("c"), key("d")]));
        assert_eq!(due[0].order.publications.len(), 1);
    }

    #[test]
    fn what_replaces_follows_what_the_replaced_followed() {
        let (mut pacer, now) = (pacer(), Instant::now());
        let with =
            |id: &str, prev_id: &str| update("c", Message::bytes("x").with_id(id).with_prev_id(prev_id));
        let start = started(one(&mut pacer, with("1", "0"), now));
        pacer.finish(&start.channel, None, now);
        for (id, prev_id) in [("2", "1"), ("3", "2"), ("4", "3")] {
            one(&mut pacer, with(id, prev_id), now);
        }
        let due = pacer.due(now + T);
        let message = &due[0].order.publications[0].message;
        assert_eq!(message.id.as_deref(), Some("4"));
        assert_eq!(message.prev_id.as_deref(), Some("1"));
    }

    #[test]
    fn the_predecessor_of_the_newest_comes_too_late() {
        let (mut pacer, now) = (pacer(), Instant::now());
        let with =
            |id: &str, prev_id: &str| update("c", Message::bytes("x").with_id(id).with_prev_id(prev_id));
        started(one(&mut pacer, with("2", "1"), now));
        assert!(matches!(
            one(&mut pacer, with("1", "0"), now),
            Verdict::Superseded
        ));
        assert!(matches!(
            one(&mut pacer, with("3", "2"), now),
            Verdict::Waits { .. }
        ));
    }

    #[test]
    fn a_full_pacer_refuses_and_keeps_what_waits() {
        let now = Instant::now();
        let mut pacer = Pacer::new(2, 64 << 20);
        for channel in ["a", "b"] {
            let start = started(one(&mut pacer, plain(channel, "1"), now));
            pacer.finish(&start.channel, None, now);
        }
        one(&mut pacer, plain("a", "2"), now);
        let before = pacer.sizes();
        // All or nothing: the update of a known channel is not taken either.
        let refused = pacer.submit(vec![plain("b", "2"), plain("c", "1")], now + T / 4);
        assert_eq!(
            refused.err(),
            Some(Full {
                retry_after: T * 3 / 4
            })
        );
        assert_eq!(pacer.sizes(), before);
        assert_eq!(pacer.due(now + T).len(), 1);
        // Both have rested; only what was just started is still known.
        assert!(pacer.submit(vec![plain("c", "1")], now + T).is_ok());
    }

    #[test]
    fn pending_bytes_are_bounded_and_come_back() {
        let now = Instant::now();
        let big = "x".repeat(1000);
        let mut pacer = Pacer::new(10, 3000);
        let start = started(one(&mut pacer, plain("a", &big), now));
        pacer.finish(&start.channel, None, now);
        one(&mut pacer, plain("a", &big), now);
        assert!(
            pacer
                .submit(vec![plain("b", &big), plain("b", &big)], now)
                .is_err()
        );
        assert_eq!(pacer.due(now + T).len(), 1);
        assert_eq!(pacer.sizes().2, 0);
        assert!(pacer.submit(vec![plain("b", &big)], now + T).is_ok());
    }

    #[test]
    fn one_order_gathers_a_bounded_number_of_targets() {
        let (mut pacer, now) = (pacer(), Instant::now());
        started(one(&mut pacer, plain("a", "1"), now));
        let with = |from: usize, to: usize| Update {
            purges: (from..to).map(|n| key(&n.to_string())).collect(),
            ..plain("a", "2")
        };
        assert!(pacer.submit(vec![with(0, MAX_TARGETS)], now).is_ok());
        assert!(pacer.submit(vec![with(0, 1)], now).is_err());
        assert!(pacer.submit(vec![plain("a", "3")], now).is_ok());
    }

    #[test]
    fn rlp_12_idle_channels_are_forgotten_after_their_interval() {
        let (mut pacer, now) = (pacer(), Instant::now());
        for n in 0..100_000 {
            let start = started(one(&mut pacer, plain(&n.to_string(), "1"), now));
            pacer.finish(&start.channel, None, now);
        }
        assert_eq!(pacer.sizes(), (100_000, 100_000, 0));
        assert_eq!(pacer.next_deadline(), Some(now + T));
        assert!(pacer.due(now + T).is_empty());
        assert_eq!(pacer.sizes(), (0, 0, 0));
        assert_eq!(pacer.next_deadline(), None);
    }

    #[test]
    fn rlp_14_after_a_suspension_each_channel_is_sent_once() {
        let (mut pacer, now) = (pacer(), Instant::now());
        for channel in ["a", "b"] {
            let start = started(one(&mut pacer, plain(channel, "1"), now));
            pacer.finish(&start.channel, None, now);
            one(&mut pacer, plain(channel, "2"), now);
        }
        let later = now + 60 * T;
        let due = pacer.due(later);
        assert_eq!(due.len(), 2);
        assert_eq!(due[0].waited, 60 * T);
        assert!(pacer.due(later).is_empty());
        for start in due {
            pacer.finish(&start.channel, None, later);
        }
        assert_eq!(
            pacer.next_deadline(),
            Some(later + T),
            "spaced from the late start on"
        );
    }

    #[test]
    fn rlp_15_a_failed_order_is_sent_again_unless_there_is_a_newer_one() {
        let (mut pacer, now) = (pacer(), Instant::now());
        let with = |text: &str, purge: &str| Update {
            purges: vec![key(purge)],
            ..plain("c", text)
        };
        let start = started(one(&mut pacer, with("1", "a"), now));
        pacer.finish(&start.channel, Some(start.order.clone()), now);
        let again = pacer.due(now + T).pop().expect("it is tried again");
        assert_eq!(again.order.publications[0].message, Arc::new(Message::bytes("1")));
        assert_eq!(again.order.id, start.order.id, "applied once");
        one(&mut pacer, with("2", "b"), now + T);
        pacer.finish(&start.channel, Some(again.order), now + T);
        let newer = pacer.due(now + 2 * T).pop().expect("the newer one");
        assert_eq!(newer.order.publications[0].message, Arc::new(Message::bytes("2")));
        assert_eq!(newer.order.purges.len(), 2, "the purges of both");
        pacer.finish(&start.channel, None, now + 2 * T);
        pacer.due(now + 3 * T);
        assert_eq!(pacer.sizes(), (0, 0, 0));
    }

    #[test]
    fn without_an_interval_all_are_sent_one_after_the_other() {
        let (mut pacer, now) = (pacer(), Instant::now());
        let with = |text: &str| Update {
            interval: Duration::ZERO,
            ..plain("c", text)
        };
        let start = started(one(&mut pacer, with("1"), now));
        assert!(matches!(one(&mut pacer, with("2"), now), Verdict::Waits { .. }));
        pacer.finish(&start.channel, None, now);
        assert_eq!(pacer.due(now).len(), 1);
        pacer.finish(&start.channel, None, now);
        assert_eq!(pacer.sizes(), (0, 0, 0));
    }
}

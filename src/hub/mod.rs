//! The clock, the marks and the channels.
//!
//! ```text
//! apply(order)   next position; marks set; messages appended; the clock moves; then, without a lock, wakes
//! begin_fetch()  a stamp, taken before the request leaves, and a pin that keeps the logs back to it
//! subscribe()    the only way in, for a channel that joins later too: from a stamp, so that nothing falls between an
//!                answer and its hold
//! judge()        what happened to an answer's targets and channels since its stamp
//! ```
//!
//! Orders are applied one after the other, under a lock that only they take. The clock moves when all of an order is
//! there, and nobody is shown what is above the clock: cursors stop there, and whoever asks for more than they show waits
//! for the order that is being applied. So nobody sees half of it, and whoever sees a message and asks again arrives at
//! or after it.
//!
//! Locks are taken in this order: the orders; the marks, or a shard of the channels, then the channel; a shard of the pins.
//! A delivery takes its channel's and that of its row of readers, and so does a hold that begins or ends, beside its shard's.

mod applied;
mod cursor;
mod expiry;
#[cfg(any(feature = "cache", all(test, gripstack_shuttle)))]
mod judge;
mod known;
mod moments;
mod numbers;
mod pins;
mod plan;
mod queue;
mod registry;
mod said;
mod sequencer;
mod subscription;
mod sweep;
mod tail;
mod topic;
mod waking;

#[cfg(all(test, gripstack_shuttle))]
pub(crate) mod model;
#[cfg(all(test, gripstack_shuttle))]
mod model_delivery;
#[cfg(all(test, gripstack_shuttle))]
mod model_joining;
#[cfg(all(test, gripstack_shuttle))]
mod model_shards;
#[cfg(all(test, gripstack_shuttle))]
mod model_waking;
#[cfg(all(test, not(gripstack_shuttle)))]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use crate::marks::Marks;
use crate::message::Channel;
use crate::mutants::mutant;
use crate::order::{Order, OrderId, Publication, PurgeMode, Target, TargetKey};
use crate::position::{ClockId, Position, Stamp};
use crate::settings::settings;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, RwLock};

pub use self::pins::Fetch;
pub use self::plan::Conflict;
#[cfg(feature = "publish")]
pub(crate) use self::said::{LastSaid, Likeness, What};
pub(crate) use self::sequencer::{Admitted, Outcome, Released, Sequencer, Watcher, Way};
pub use self::subscription::{Delivery, FirstForm, Joined, SubscribeError, Subscription, Wants};

use self::applied::Applied;
use self::expiry::Expiry;
#[cfg(feature = "cache")]
pub(crate) use self::judge::{Judgement, Since};
use self::moments::Moments;
use self::pins::Pins;
use self::registry::Registry;
use self::said::Saying;
#[cfg(feature = "cache")]
pub(crate) use self::sweep::Sweep;
use self::tail::Tail;
use self::topic::{Gone, Item, Topic};
use self::waking::Waking;

/// The clock, the marks and the channels of one edge. A handle: clones share everything.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    clock: ClockId,
    overlap: Duration,
    /// The last position applied. Written under the lock of the orders, when all of that position is there.
    now: AtomicU64,
    orders: Mutex<Orders>,
    marking: RwLock<Marking>,
    moments: RwLock<Moments>,
    registry: Registry,
    /// Of all messages, about.
    bytes: AtomicUsize,
    pins: Pins,
    sequencer: Sequencer,
    waking: Waking,
}

/// What whoever applies an order needs alone.
#[derive(Default)]
struct Orders {
    applied: Applied,
    expiry: Expiry,
}

struct Marking {
    marks: Marks,
    /// The last purge of a channel's key, whichever: it concerns URLs of which not all channels are remembered.
    last_channel_purge: Position,
    sweep: Option<std::sync::Weak<dyn sweep::Sweep>>,
}

/// Steps of forgetting that an order makes, beside two for each of its messages: so it takes not much longer after
/// many messages have become too old, and yet more go than come.
const STEPS: usize = 64;

settings! {
    /// How much the channels remember. Start from the defaults and set what differs:
    ///
    /// ```
    /// use gripstack::hub::LogLimits;
    ///
    /// let limits = LogLimits::new().entries(100).age(std::time::Duration::from_secs(60));
    /// # let _ = limits;
    /// ```
    #[derive(Clone, Copy, Debug)]
    pub struct LogLimits {
        /// Messages of one channel, at least one. Default 1,000.
        pub entries: usize,
        /// Bytes of one channel. Default 1 MiB.
        pub bytes: usize,
        /// Age of a message. Default 15 min.
        pub age: Duration,
        /// Bytes of all channels together, with what each message and each channel takes itself. Default 256 MiB. A 64th of
        /// them is taken beside once channels are forgotten, for what remains of those.
        pub total_bytes: usize,
        /// How much earlier a replay starts where an answer came through a foreign cache: as long as that may wait for an
        /// origin's head, since it lets requests join those that it waits for. Default 15 s, the first-byte timeout.
        pub overlap: Duration,
        /// Bytes of messages that wait for the one that they name as their predecessor. Default 64 MiB. Beyond it messages
        /// go out without waiting, after those that wait and lead up to them.
        pub waiting_bytes: usize,
    }
}

/// The order does not fit the logs: it holds more than half of what one channel remembers, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the order holds {what}, more than half of what {logs} ({limit})")]
pub struct OrderTooLarge {
    what: String,
    logs: &'static str,
    limit: usize,
}

/// A moment's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// Channels that are remembered.
    pub channels: usize,
    /// Bytes that those with messages take, about.
    pub bytes: usize,
    /// Subscriptions, one for each channel of each hold.
    pub subscriptions: usize,
    /// Messages that wait for their predecessors.
    pub waiting: usize,
    /// Bytes that they take, about.
    pub waiting_bytes: usize,
    /// Targets whose purges are remembered because something stored may not have seen them.
    pub marks: usize,
}

// === impl LogLimits ===

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            entries: 1_000,
            bytes: 1 << 20,
            age: Duration::from_secs(15 * 60),
            total_bytes: 256 << 20,
            overlap: Duration::from_secs(15),
            waiting_bytes: 64 << 20,
        }
    }
}

// === impl Hub ===

impl Default for Hub {
    fn default() -> Self {
        Self::new(LogLimits::default())
    }
}

impl Hub {
    /// A hub with a clock of its own.
    pub fn new(limits: LogLimits) -> Self {
        Self(Arc::new(Inner {
            clock: ClockId::random(),
            overlap: limits.overlap,
            now: AtomicU64::new(0),
            orders: Mutex::default(),
            marking: RwLock::new(Marking {
                marks: Marks::new(),
                last_channel_purge: Position::ZERO,
                sweep: None,
            }),
            moments: RwLock::new(Moments::default()),
            registry: Registry::new(limits),
            bytes: AtomicUsize::new(0),
            pins: Pins::default(),
            sequencer: Sequencer::new(limits.waiting_bytes),
            waking: Waking::default(),
        }))
    }

    /// The last position applied here.
    pub fn now(&self) -> Position {
        Position::new(self.0.now.load(Ordering::SeqCst))
    }

    /// A stamp at this position of this hub's clock.
    pub fn stamp_at(&self, at: Position) -> Stamp {
        Stamp::new(self.0.clock, at)
    }

    /// Which position was current at this moment; never more, and less by at most what was applied within some 500 ms, or
    /// longer if that was long ago.
    #[cfg(any(feature = "hold", feature = "cache"))]
    pub(crate) fn current_at(&self, moment: Instant) -> Position {
        self.0.moments.read().at(moment)
    }

    /// What an answer is stamped with that a foreign cache between may have kept for this long, of a fetch stamped so that
    /// began at `since` (rule X1). `Age` is whole seconds, so it may be one older; and such a cache counts from an answer's
    /// arrival, and may let a request join one that it is still waiting for, so a replay starts earlier by the
    /// [overlap](LogLimits::overlap).
    #[cfg(any(feature = "hold", feature = "cache"))]
    pub(crate) fn backdate(&self, stamp: Stamp, since: Instant, age: Duration) -> Stamp {
        let then = |back: Option<Duration>| {
            let then = back.and_then(|back| since.checked_sub(back));
            then.map_or(Position::ZERO, |then| self.current_at(then))
        };
        let age = age.checked_add(Duration::from_secs(1));
        let overlap = age.and_then(|age| age.checked_add(self.0.overlap));
        stamp.backdated(then(age), then(overlap))
    }

    /// Messages, and bytes of them, that an order of one channel may have.
    #[cfg(feature = "publish")]
    pub(crate) fn order_limits(&self) -> (usize, usize) {
        self.0.registry.order_limits()
    }

    /// Whether the order fits the logs.
    pub(crate) fn check(&self, order: &Order) -> Result<(), OrderTooLarge> {
        self.0.registry.check(order)
    }

    /// The position of an order that was applied, if it is among the last 1,024.
    pub(crate) fn applied_at(&self, id: OrderId) -> Option<Position> {
        self.0.orders.lock().applied.position(id)
    }

    /// Applies an order at the next position. One that was applied already, among the last 1,024, has its position.
    pub(crate) fn apply(&self, mut order: Order, now: Instant) -> Position {
        let mut sayings = Vec::with_capacity(order.publications.len());
        for publication in &mut order.publications {
            sayings.push(Saying::of(publication, now));
            publication.unchain_state();
        }
        // Dropped when no lock is held.
        let mut gone = Gone::new();
        // Before the lock: URLs may be long.
        let marks = order.purges.iter().flat_map(|purge| {
            let keys = purge.target.mark_keys().into_iter().flatten();
            keys.map(|key| (key, purge.mode))
        });
        let marks: Vec<_> = marks.collect();
        let purges_a_channel = order.purges.iter().any(|purge| purge.target.is_of_channel());
        let pinned = std::cell::OnceCell::new();
        let pinned = || *pinned.get_or_init(|| self.pinned(now));
        let steps = STEPS + 2 * order.publications.len();
        let mut called: Vec<Arc<Topic>> = Vec::new();
        let (at, mut is_too_much) = {
            let mut orders = self.0.orders.lock();
            if let Some(at) = orders.applied.position(order.id) {
                return at;
            }
            let at = self.now().next();
            if mutant!("split-order") && !order.publications.is_empty() && !order.purges.is_empty() {
                drop(orders);
                let purges = std::mem::take(&mut order.purges);
                self.apply(order, now);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "leaves the others time to see half of it"
                )]
                std::thread::sleep(Duration::from_millis(50));
                return self.apply(
                    Order {
                        purges,
                        ..Order::default()
                    },
                    now + Duration::from_millis(1),
                );
            }
            self.mark(&marks, purges_a_channel, at, now);
            let publications = std::mem::take(&mut order.publications).into_iter().zip(sayings);
            for (nth, (publication, saying)) in (0..).zip(publications) {
                let item = Item {
                    at,
                    nth,
                    latest: publication.latest,
                    born: now,
                    message: publication.message,
                };
                let registry = &self.0.registry;
                if let Some((topic, appended)) =
                    registry.append(&publication.channel, item, saying, pinned, &mut gone)
                {
                    orders.expiry.has_appended(&topic, &appended);
                    if appended.is_first {
                        called.push(topic);
                    }
                }
            }
            orders.applied.remember(order.id, at);
            self.0.now.store(at.get(), Ordering::SeqCst);
            // Read here: the caller's may be of before somebody else's order.
            self.0.moments.write().reached(at, Instant::now());
            let is_too_much = self.forget_old(&mut orders, now, steps, pinned, &mut gone);
            (at, is_too_much)
        };
        self.wake(called);
        if !marks.is_empty() {
            self.has_marked(marks.len());
        }
        while is_too_much {
            // Others come in between.
            let mut orders = self.0.orders.lock();
            is_too_much = self.forget_old(&mut orders, now, STEPS, pinned, &mut gone);
        }
        at
    }

    fn mark(&self, marks: &[(TargetKey, PurgeMode)], purges_a_channel: bool, at: Position, now: Instant) {
        if marks.is_empty() {
            return;
        }
        let mut marking = self.0.marking.write();
        for (key, mode) in marks {
            marking.marks.set(*key, *mode, at, now);
        }
        if purges_a_channel {
            marking.last_channel_purge = at;
        }
    }

    /// Returns whether there is still too much.
    fn forget_old(
        &self,
        orders: &mut Orders,
        now: Instant,
        steps: usize,
        pinned: impl Fn() -> Option<Position>,
        gone: &mut Gone,
    ) -> bool {
        let expiry = &mut orders.expiry;
        let is_too_much = expiry.forget(&self.0.registry, now, steps, pinned, gone);
        self.0.bytes.store(expiry.bytes(), Ordering::Relaxed);
        is_too_much
    }

    /// Comes back when the clock has come to this position, of which something was seen: so all of it is there.
    fn settle(&self, at: Position) {
        if at > self.now() {
            drop(self.0.orders.lock());
        }
    }

    /// Subscribes a hold, made from an answer with this stamp, to its channels: replays every message above the
    /// stamp, then goes live, as one object.
    pub fn subscribe(
        &self,
        channels: &[Channel],
        stamp: Stamp,
        wants: Wants,
    ) -> Result<Subscription, SubscribeError> {
        let from = self.replay_from(stamp);
        let at = from.unwrap_or_else(|| self.now());
        let mut subscription = Subscription::new(self.clone(), channels.len(), wants);
        let (mut floor, mut by) = (Position::ZERO, Position::ZERO);
        for channel in channels {
            let (_, its_floor, its_last) = subscription.read(channel, at);
            (floor, by) = (floor.max(its_floor), by.max(its_last));
        }
        if from.is_none() {
            return Err(SubscribeError::ForeignClock(subscription));
        }
        self.settle(floor.max(by));
        let superseded_by = Some(by).filter(|by| *by > at);
        match superseded_by {
            _ if floor > at => Err(SubscribeError::Gap {
                floor,
                superseded_by,
                anyway: subscription,
            }),
            Some(by) => Err(SubscribeError::Superseded {
                by,
                anyway: subscription,
            }),
            None => Ok(subscription),
        }
    }

    /// Above which position messages are replayed to a hold made from an answer with this stamp; `None`: it is of another clock.
    fn replay_from(&self, stamp: Stamp) -> Option<Position> {
        if stamp.clock != self.0.clock {
            return None;
        }
        Some(if mutant!("from-now") {
            self.now()
        } else {
            stamp.replay
        })
    }

    /// The position of a channel's last message; of one that is not remembered, no less than that.
    pub fn last_message(&self, channel: &Channel) -> Position {
        let at = self.0.registry.last(channel);
        self.settle(at);
        at
    }

    /// The same of its last message up to there.
    #[cfg(feature = "hold")]
    pub(crate) fn last_message_up_to(&self, channel: &Channel, upto: Position) -> Position {
        self.0.registry.last_up_to(channel, upto)
    }

    /// The last message of any of these channels.
    #[cfg(feature = "cache")]
    pub(crate) fn last_message_of<'a>(&self, channels: impl Iterator<Item = &'a Channel>) -> Position {
        let at = channels.map(|channel| self.0.registry.last(channel)).max();
        let at = at.unwrap_or_default();
        self.settle(at);
        at
    }

    /// The last purge that named this target. Where it is long ago that may be one of another target, but none that came
    /// before it.
    pub fn last_purge(&self, target: &Target) -> Position {
        let at = self.0.marking.read().marks.last_of(TargetKey::of(target));
        self.settle(at);
        at
    }

    /// The items that wait for their predecessors.
    pub(crate) fn sequencer(&self) -> &Sequencer {
        &self.0.sequencer
    }

    /// Whether the channel's log has a message with this id.
    pub(crate) fn has(&self, channel: &Channel, id: &str) -> bool {
        self.0.registry.get(channel).is_some_and(|topic| topic.has(id))
    }

    /// Whether the message says once more what the channel's log has, or another form of it: so it would be no new one.
    fn repeats(&self, publication: &Publication) -> bool {
        let Some(topic) = self.0.registry.get(&publication.channel) else {
            return false;
        };
        // Nearly always there is none with its id.
        let id = publication.message.id.as_ref();
        id.is_some_and(|id| topic.knows(id))
            && Saying::of(publication, Instant::now())
                .is_some_and(|saying| self.0.registry.repeats(&topic, &saying))
    }

    #[cfg(feature = "hold")]
    pub(crate) fn last_id(&self, channel: &Channel) -> Option<std::sync::Arc<str>> {
        self.0.registry.get(channel)?.last_id()
    }

    fn tail(&self, channel: &Channel) -> Tail {
        let topic = self.0.registry.get(channel);
        let mut tail = topic.map_or_else(Tail::default, |topic| topic.tail());
        tail.forget_old(Instant::now());
        tail
    }

    /// A moment's figures.
    pub fn stats(&self) -> HubStats {
        let (waiting, waiting_bytes) = self.0.sequencer.waiting();
        HubStats {
            waiting,
            waiting_bytes,
            bytes: self.0.bytes.load(Ordering::Relaxed),
            marks: self.0.marking.read().marks.forgettable(),
            ..self.0.registry.stats()
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

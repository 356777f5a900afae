//! The clock, the marks and the channels, behind one lock.
//!
//! ```text
//! apply(order)   next position; marks set; the clock moves; messages appended; then, without the lock, wakes
//! begin_fetch()  a stamp, taken before the request leaves, and a pin that keeps the logs back to it
//! subscribe()    the only way in: from a stamp, so that nothing falls between an answer and its hold
//! judge()        what happened to an answer's targets and channels since its stamp
//! ```
//!
//! The clock moves before a message can be seen: whoever sees one and asks again arrives at or after it.

mod applied;
#[cfg(any(feature = "cache", all(test, gripstack_shuttle)))]
mod judge;
mod moments;
mod pins;
mod registry;
mod sequencer;
mod subscription;
mod sweep;
mod topic;

#[cfg(all(test, gripstack_shuttle))]
pub(crate) mod model;
#[cfg(all(test, gripstack_shuttle))]
mod model_delivery;

use std::time::Duration;

use tokio::time::Instant;

use crate::marks::Marks;
use crate::message::Channel;
use crate::mutants::mutant;
use crate::order::{Order, Target, TargetKey};
use crate::position::{ClockId, Position, Stamp};
use crate::settings::settings;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, RwLock};

pub use self::pins::Fetch;
pub use self::sequencer::Conflict;
pub(crate) use self::sequencer::{Admitted, Outcome, Released, Sequencer, Watcher};
pub use self::subscription::{Delivery, SubscribeError, Subscription, Wants};

use self::applied::Applied;
#[cfg(feature = "cache")]
pub(crate) use self::judge::{Judgement, Since};
use self::moments::Moments;
use self::pins::Pins;
use self::registry::Registry;
#[cfg(feature = "cache")]
pub(crate) use self::sweep::Sweep;
use self::topic::{Gone, Item};

/// The clock, the marks and the channels of one edge. A handle: clones share everything.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    clock: ClockId,
    overlap: Duration,
    /// The last position applied. Written under the lock, before the messages of that position can be seen.
    now: AtomicU64,
    state: RwLock<State>,
    pins: Pins,
    sequencer: Sequencer,
}

struct State {
    marks: Marks,
    registry: Registry,
    applied: Applied,
    /// The last purge of a channel's key, whichever: it concerns URLs of which not all channels are remembered.
    last_channel_purge: Position,
    moments: Moments,
    sweep: Option<std::sync::Weak<dyn sweep::Sweep>>,
}

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
        /// Bytes of all channels together, with what each message and each channel takes itself. Default 256 MiB.
        pub total_bytes: usize,
        /// How much earlier a replay starts where an answer came through a foreign cache: as long as that may wait for an
        /// origin's head, since it lets requests join those that it waits for. Default 15 s, the first-byte timeout.
        pub overlap: Duration,
        /// Bytes of messages that wait for the one that they name as their predecessor. Default 64 MiB. Beyond it messages
        /// go out without waiting.
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
            state: RwLock::new(State {
                marks: Marks::new(),
                registry: Registry::new(limits),
                applied: Applied::default(),
                last_channel_purge: Position::ZERO,
                moments: Moments::default(),
                sweep: None,
            }),
            pins: Pins::default(),
            sequencer: Sequencer::new(limits.waiting_bytes),
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
        self.0.state.read().moments.at(moment)
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

    /// Messages, and bytes of them, that one order may have for one channel.
    #[cfg(feature = "publish")]
    pub(crate) fn order_limits(&self) -> (usize, usize) {
        self.0.state.read().registry.order_limits()
    }

    /// Whether the order fits the logs.
    pub(crate) fn check(&self, order: &Order) -> Result<(), OrderTooLarge> {
        self.0.state.read().registry.check(order)
    }

    /// Applies an order at the next position. One that was applied already, among the last 1,024, has its position.
    pub(crate) fn apply(&self, mut order: Order, now: Instant) -> Position {
        for publication in &mut order.publications {
            publication.unchain_state();
        }
        // Dropped when no lock is held.
        let mut gone = Gone::new();
        let pinned = self.pinned(now);
        // Before the lock: URLs may be long.
        let marks = order.purges.iter().flat_map(|purge| {
            let keys = purge.target.mark_keys().into_iter().flatten();
            keys.map(|key| (key, purge.mode))
        });
        let marks: Vec<_> = marks.collect();
        let purges_a_channel = order.purges.iter().any(|purge| purge.target.is_of_channel());
        let set = marks.len();
        let (at, wakes) = {
            let mut state = self.0.state.write();
            if let Some(at) = state.applied.position(order.id) {
                return at;
            }
            let at = self.now().next();
            if mutant!("split-order") && !order.publications.is_empty() && !order.purges.is_empty() {
                drop(state);
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
            for (key, mode) in marks {
                state.marks.set(key, mode, at, now);
            }
            state.applied.remember(order.id, at);
            if purges_a_channel {
                state.last_channel_purge = at;
            }
            self.0.now.store(at.get(), Ordering::SeqCst);
            // Read here: the caller's may be of before somebody else's order.
            state.moments.reached(at, Instant::now());
            let mut wakes = Vec::new();
            for (nth, publication) in (0..).zip(std::mem::take(&mut order.publications)) {
                let item = Item {
                    at,
                    nth,
                    latest: publication.latest,
                    born: now,
                    message: publication.message,
                };
                wakes.extend(
                    state
                        .registry
                        .append(publication.channel, item, pinned, &mut gone),
                );
            }
            state.registry.forget_old(now, pinned, &mut gone);
            (at, wakes)
        };
        for log in wakes {
            log.wake();
        }
        if set > 0 {
            self.has_marked(set);
        }
        at
    }

    /// Subscribes a hold, made from an answer with this stamp, to its channels: replays every message above the
    /// stamp, then goes live, as one object.
    pub fn subscribe(
        &self,
        channels: &[Channel],
        stamp: Stamp,
        wants: Wants,
    ) -> Result<Subscription, SubscribeError> {
        let at = if stamp.clock == self.0.clock {
            stamp.replay
        } else {
            return Err(self.foreign(channels, wants));
        };
        let at = if mutant!("from-now") { self.now() } else { at };
        let mut state = self.0.state.write();
        let (mut floor, mut by) = (Position::ZERO, Position::ZERO);
        for channel in channels {
            let topic = state.registry.topic(channel);
            floor = floor.max(topic.floor);
            by = by.max(topic.last_unreplayable(wants));
        }
        let cursors = state.registry.cursors(channels, at);
        drop(state);
        let subscription = Subscription::new(self.clone(), cursors, wants);
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

    fn foreign(&self, channels: &[Channel], wants: Wants) -> SubscribeError {
        let mut state = self.0.state.write();
        let now = self.now();
        let cursors = state.registry.cursors(channels, now);
        drop(state);
        SubscribeError::ForeignClock(Subscription::new(self.clone(), cursors, wants))
    }

    /// The position of a channel's last message; of one that is not remembered, no less than that.
    pub fn last_message(&self, channel: &Channel) -> Position {
        self.0.state.read().registry.last(channel)
    }

    /// The last message of any of these channels.
    #[cfg(feature = "cache")]
    pub(crate) fn last_message_of<'a>(&self, channels: impl Iterator<Item = &'a Channel>) -> Position {
        let mut channels = channels.peekable();
        if channels.peek().is_none() {
            return Position::ZERO;
        }
        let state = self.0.state.read();
        channels
            .map(|channel| state.registry.last(channel))
            .max()
            .unwrap_or_default()
    }

    /// The last purge that named this target. Where it is long ago that may be one of another target, but none that came
    /// before it.
    pub fn last_purge(&self, target: &Target) -> Position {
        self.0.state.read().marks.last_of(TargetKey::of(target))
    }

    /// The items that wait for their predecessors.
    pub(crate) fn sequencer(&self) -> &Sequencer {
        &self.0.sequencer
    }

    /// Whether the channel's log has a message with this id.
    pub(crate) fn has(&self, channel: &Channel, id: &str) -> bool {
        self.0.state.read().registry.has(channel, id)
    }

    pub(crate) fn last_id(&self, channel: &Channel) -> Option<std::sync::Arc<str>> {
        self.0.state.read().registry.last_id(channel)
    }

    /// A moment's figures.
    pub fn stats(&self) -> HubStats {
        let (waiting, waiting_bytes) = self.0.sequencer.waiting();
        let state = self.0.state.read();
        HubStats {
            waiting,
            waiting_bytes,
            marks: state.marks.forgettable(),
            ..state.registry.stats()
        }
    }

    fn release(&self, channels: &[Channel]) {
        self.0.state.write().registry.drop_idle(channels);
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

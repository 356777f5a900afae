//! The channels, in shards by their names, and floors for those that are no longer remembered.
//!
//! A shard is locked to find a channel, to make one and to drop one: so nobody joins, or appends to, one that is dropped.
//! Whoever reads from a channel has it, and asks no shard.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use super::said::Saying;
use super::subscription::Wants;
use super::topic::{Appended, Gone, Item, Joined, Topic};
use super::{HubStats, LogLimits, OrderTooLarge};
use crate::message::Channel;
use crate::order::Order;
use crate::position::Position;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, RwLock};

/// Shards of the channels.
const SHARDS: usize = if cfg!(gripstack_shuttle) { 2 } else { 256 };
/// Of this many bytes of all channels, one is for a floor that forgotten channels share.
const BYTES_FOR_FLOORS: usize = 64;

pub(super) struct Registry {
    limits: LogLimits,
    shards: Box<[Shard]>,
    hasher: RandomState,
    /// Floors of one shard.
    floors: usize,
}

/// In lines of their own: what one costs its users is nothing to those of the next.
#[repr(align(64))]
#[derive(Default)]
struct Shard {
    channels: RwLock<Channels>,
    readers: AtomicUsize,
}

#[derive(Default)]
struct Channels {
    topics: HashSet<Named>,
    /// For each forgotten channel two of them are no less than its last message. Empty until one is forgotten.
    floors: Box<[u64]>,
}

/// Found by its name.
struct Named(Arc<Topic>);

/// Where a channel belongs.
#[derive(Clone, Copy)]
struct Slot {
    shard: usize,
    floors: [usize; 2],
}

// === impl Registry ===

impl Registry {
    pub(super) fn new(limits: LogLimits) -> Self {
        let floors = limits.total_bytes / BYTES_FOR_FLOORS / size_of::<u64>() / SHARDS;
        Self {
            limits: limits.entries(limits.entries.max(1)),
            shards: std::iter::repeat_with(Shard::default).take(SHARDS).collect(),
            hasher: RandomState::new(),
            floors: floors.clamp(16, 1 << 20),
        }
    }

    pub(super) fn limits(&self) -> &LogLimits {
        &self.limits
    }

    /// Messages, and bytes of them, that an order of one channel may have, whatever its name.
    #[cfg(feature = "publish")]
    pub(super) fn order_limits(&self) -> (usize, usize) {
        let (entries, bytes) = self.channel_limits();
        let beside = Topic::most_beside(entries);
        (
            entries,
            bytes.min((self.limits.total_bytes / 2).saturating_sub(beside)),
        )
    }

    /// Messages, and bytes of them, that an order may have for each channel.
    fn channel_limits(&self) -> (usize, usize) {
        ((self.limits.entries / 2).max(1), self.limits.bytes / 2)
    }

    /// An order may take at most half of what one channel remembers, and of what all do, so that it never evicts its own
    /// beginning. One message is never too many.
    pub(super) fn check(&self, order: &Order) -> Result<(), OrderTooLarge> {
        let mut sums: HashMap<&Channel, (usize, usize)> = HashMap::new();
        for publication in &order.publications {
            let (entries, bytes) = sums.entry(&publication.channel).or_default();
            *entries += 1;
            *bytes += publication.message.weight();
        }
        let mut in_all = 0;
        for (channel, (entries, bytes)) in sums {
            let too_large = |what, limit| OrderTooLarge {
                what: format!("{what} for channel {channel}"),
                logs: "its log remembers",
                limit,
            };
            let (most_entries, most_bytes) = self.channel_limits();
            if entries > most_entries {
                return Err(too_large(format!("{entries} messages"), self.limits.entries));
            }
            if bytes > most_bytes {
                return Err(too_large(format!("{bytes} bytes"), self.limits.bytes));
            }
            in_all += Topic::weight_of(channel, entries, bytes);
        }
        if in_all > self.limits.total_bytes / 2 {
            return Err(OrderTooLarge {
                what: format!("{in_all} bytes"),
                logs: "all logs together remember",
                limit: self.limits.total_bytes,
            });
        }
        Ok(())
    }

    /// Appends: see [`Topic::append`].
    pub(super) fn append(
        &self,
        channel: &Channel,
        item: Item,
        saying: Option<Saying>,
        pinned: impl FnOnce() -> Option<Position>,
        gone: &mut Gone,
    ) -> Option<(Arc<Topic>, Appended)> {
        self.with(channel, |_, topic| {
            let appended = topic.append(item, saying, &self.limits, pinned, gone)?;
            Some((topic.clone(), appended))
        })
    }

    /// Whether this says once more what a channel's log has, or another form of it.
    pub(super) fn repeats(&self, topic: &Topic, saying: &Saying) -> bool {
        topic.repeats(saying, self.limits.age)
    }

    /// A reader of a channel from the first message above a position on.
    pub(super) fn join(&self, channel: &Channel, above: Position, wants: Wants) -> Joined {
        self.with(channel, |shard, topic| {
            shard.readers.fetch_add(1, Ordering::Relaxed);
            topic.join(above, wants)
        })
    }

    /// A reader of a channel has gone.
    pub(super) fn has_left(&self, topic: &Topic) {
        let shard = &self.shards[self.slot(topic.name.as_str()).shard];
        shard.readers.fetch_sub(1, Ordering::Relaxed);
        if topic.is_idle() {
            self.drop_idle(&topic.name);
        }
    }

    /// Drops a channel that has neither messages nor readers; its floor is remembered.
    pub(super) fn drop_idle(&self, name: &Channel) {
        let slot = self.slot(name.as_str());
        let mut channels = self.shards[slot.shard].channels.write();
        let Some(Named(topic)) = channels.topics.get(name.as_str()) else {
            return;
        };
        if !topic.is_idle() {
            return;
        }
        let last = topic.last();
        let dropped = channels.topics.take(name.as_str());
        channels.raise_floor(slot, self.floors, last);
        // A channel's name may be a user's last.
        drop(channels);
        drop(dropped);
    }

    pub(super) fn last(&self, channel: &Channel) -> Position {
        let slot = self.slot(channel.as_str());
        let channels = self.shards[slot.shard].channels.read();
        match channels.topics.get(channel.as_str()) {
            Some(Named(topic)) => topic.last(),
            None => channels.floor(slot),
        }
    }

    /// The last message up to a position; of what is gone, no less than that.
    #[cfg(feature = "hold")]
    pub(super) fn last_up_to(&self, channel: &Channel, upto: Position) -> Position {
        let slot = self.slot(channel.as_str());
        let channels = self.shards[slot.shard].channels.read();
        match channels.topics.get(channel.as_str()) {
            Some(Named(topic)) => topic.last_up_to(upto),
            None => channels.floor(slot).min(upto),
        }
    }

    pub(super) fn get(&self, channel: &Channel) -> Option<Arc<Topic>> {
        let channels = &self.shards[self.slot(channel.as_str()).shard].channels;
        let Named(topic) = channels.read().topics.get(channel.as_str())?.clone();
        Some(topic)
    }

    /// What the shards count.
    pub(super) fn stats(&self) -> HubStats {
        let mut stats = HubStats::default();
        for shard in &self.shards {
            stats.channels += shard.channels.read().topics.len();
            stats.subscriptions += shard.readers.load(Ordering::Relaxed);
        }
        stats
    }

    /// A channel, which is made if it is not remembered, and is not dropped meanwhile.
    fn with<R>(&self, channel: &Channel, f: impl FnOnce(&Shard, &Arc<Topic>) -> R) -> R {
        let slot = self.slot(channel.as_str());
        let shard = &self.shards[slot.shard];
        {
            let channels = shard.channels.read();
            if let Some(Named(topic)) = channels.topics.get(channel.as_str()) {
                return f(shard, topic);
            }
        }
        let mut channels = shard.channels.write();
        // Somebody else may have made it.
        if let Some(Named(topic)) = channels.topics.get(channel.as_str()) {
            return f(shard, topic);
        }
        let topic = Arc::new(Topic::new(channel.clone(), channels.floor(slot)));
        channels.topics.insert(Named(topic.clone()));
        f(shard, &topic)
    }

    fn slot(&self, name: &str) -> Slot {
        let hash = self.hasher.hash_one(name);
        let part = |shift, n| ((hash >> shift) % n as u64) as usize;
        Slot {
            shard: part(0, SHARDS),
            floors: [part(8, self.floors), part(36, self.floors)],
        }
    }
}

// === impl Channels ===

impl Channels {
    /// No less than the last message of a forgotten channel. What speaks for another one as well is most often only one
    /// of its two.
    fn floor(&self, slot: Slot) -> Position {
        let at = |floor: usize| self.floors.get(floor).copied().unwrap_or_default();
        Position::new(at(slot.floors[0]).min(at(slot.floors[1])))
    }

    fn raise_floor(&mut self, slot: Slot, floors: usize, last: Position) {
        if self.floors.is_empty() {
            self.floors = vec![0; floors].into();
        }
        for floor in slot.floors {
            self.floors[floor] = self.floors[floor].max(last.get());
        }
    }
}

// === impl Named ===

impl Clone for Named {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        self.0.name.as_str()
    }
}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.as_str().hash(state);
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Named {}

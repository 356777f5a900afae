//! The channels, and floors for those that are no longer remembered.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use tokio::time::Instant;

use super::topic::{Gone, Item, Topic};
use super::{HubStats, LogLimits, OrderTooLarge};
use crate::log::{Cursor, Log};
use crate::message::Channel;
use crate::order::Order;
use crate::position::Position;
use crate::sync::Arc;

/// Floors that forgotten channels share.
const FLOORS: usize = 1_024;

pub(super) struct Registry {
    limits: LogLimits,
    /// In boxes, so that a map which grows under the lock moves little.
    topics: HashMap<Channel, Box<Topic>>,
    /// The last message of the forgotten channels that share a floor.
    floors: Box<[Position]>,
    hasher: RandomState,
    /// Every message by its channel and its number there, oldest first, and some that are already gone.
    order: VecDeque<(Channel, u64)>,
    entries: usize,
    bytes: usize,
}

// === impl Registry ===

impl Registry {
    pub(super) fn new(limits: LogLimits) -> Self {
        Self {
            limits: limits.entries(limits.entries.max(1)),
            topics: HashMap::new(),
            floors: vec![Position::ZERO; FLOORS].into(),
            hasher: RandomState::new(),
            order: VecDeque::new(),
            entries: 0,
            bytes: 0,
        }
    }

    /// Messages, and bytes of them, that one order may have for one channel.
    pub(super) fn order_limits(&self) -> (usize, usize) {
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
            let (most_entries, most_bytes) = self.order_limits();
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

    /// Appends, and forgets what that pushes out. Returns the log, if somebody may have to be woken.
    pub(super) fn append(
        &mut self,
        channel: Channel,
        item: Item,
        pinned: Option<Position>,
        gone: &mut Gone,
    ) -> Option<Arc<Log<Item>>> {
        let limits = self.limits;
        let topic = self.topic(&channel);
        let before = (topic.entries, topic.weight(&channel));
        let number = topic.append(item, gone)?;
        while topic.bytes > limits.bytes
            || (topic.entries > limits.entries && topic.oldest().is_some_and(|(at, _)| !needed(at, pinned)))
        {
            if !topic.evict(gone) {
                break;
            }
        }
        let log = topic.log.clone();
        let after = (topic.entries, topic.weight(&channel));
        self.entries = self.entries + after.0 - before.0;
        self.bytes = self.bytes + after.1 - before.1;
        self.order.push_back((channel, number));
        Some(log)
    }

    /// Forgets what is too old, or too much in all, and channels that are left with nothing.
    pub(super) fn forget_old(&mut self, now: Instant, pinned: Option<Position>, gone: &mut Gone) {
        while let Some((channel, number)) = self.order.front() {
            if let Some(topic) = self.topics.get_mut(channel)
                && topic.log.has(*number)
                && let Some((at, born)) = topic.oldest()
            {
                let old = now.saturating_duration_since(born) > self.limits.age && !needed(at, pinned);
                if !old && self.bytes <= self.limits.total_bytes {
                    break;
                }
                let before = topic.weight(channel);
                topic.evict(gone);
                self.entries -= 1;
                self.bytes = self.bytes + topic.weight(channel) - before;
                if topic.log.has(*number) {
                    continue;
                }
            }
            if let Some((channel, _)) = self.order.pop_front() {
                self.drop_idle(std::slice::from_ref(&channel));
            }
        }
        // Channels that evict for themselves, and states that replaced others, leave their entries here.
        if self.order.len() > 2 * self.entries + 1_024 {
            let topics = &self.topics;
            self.order
                .retain(|(channel, number)| topics.get(channel).is_some_and(|topic| topic.log.has(*number)));
        }
    }

    /// Drops those that have neither messages nor readers; their floor is remembered.
    pub(super) fn drop_idle(&mut self, channels: &[Channel]) {
        for channel in channels {
            let Some(topic) = self.topics.get(channel) else {
                continue;
            };
            if topic.entries == 0 && topic.log.readers() == 0 {
                let last = topic.last.max(topic.floor);
                self.topics.remove(channel);
                let floor = self.floor_slot(channel);
                self.floors[floor] = self.floors[floor].max(last);
            }
        }
    }

    /// A channel, as it is remembered.
    pub(super) fn topic(&mut self, channel: &Channel) -> &mut Topic {
        let floor = self.floors[self.floor_slot(channel)];
        self.topics
            .entry(channel.clone())
            .or_insert_with(|| Box::new(Topic::new(floor)))
    }

    pub(super) fn cursors(&mut self, channels: &[Channel], above: Position) -> Vec<(Channel, Cursor<Item>)> {
        let cursor = |channel: &Channel| {
            let log = &self.topic(channel).log;
            (channel.clone(), log.read_from(|item| item.at > above))
        };
        channels.iter().map(cursor).collect()
    }

    pub(super) fn last(&self, channel: &Channel) -> Position {
        self.topics
            .get(channel)
            .map_or_else(|| self.floors[self.floor_slot(channel)], |topic| topic.last)
    }

    pub(super) fn has(&self, channel: &Channel, id: &str) -> bool {
        self.topics.get(channel).is_some_and(|topic| topic.has(id))
    }

    pub(super) fn last_id(&self, channel: &Channel) -> Option<std::sync::Arc<str>> {
        self.topics.get(channel)?.last_id.clone()
    }

    pub(super) fn stats(&self) -> HubStats {
        HubStats {
            channels: self.topics.len(),
            bytes: self.bytes,
            subscriptions: self.topics.values().map(|topic| topic.log.readers()).sum(),
            ..HubStats::default()
        }
    }

    fn floor_slot(&self, channel: &Channel) -> usize {
        (self.hasher.hash_one(channel) % FLOORS as u64) as usize
    }
}

/// Whether a fetch that is under way since `pinned` needs the message at this position.
fn needed(at: Position, pinned: Option<Position>) -> bool {
    pinned.is_some_and(|pinned| at > pinned)
}

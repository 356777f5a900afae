//! What is remembered of channels that are paced no longer: which states are older than the last one, though they have not
//! come. A call may take longer than an interval, because its first packet was lost.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::newest::Chains;
use crate::message::Channel;
use crate::time::after;

/// How long: what comes later under such an id is another state.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// Bytes that a channel takes beside its ids, about.
const CHANNEL_WEIGHT: usize = 320;

/// Channels that have rested, and all that is known of their states.
#[derive(Debug)]
pub(super) struct Rested {
    channels: HashMap<Channel, Known>,
    /// Until when, the first one first. Some have been asked for since.
    until: VecDeque<(Instant, Channel)>,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Known {
    chains: Chains,
    until: Instant,
    bytes: usize,
}

// === impl Rested ===

impl Rested {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            channels: HashMap::new(),
            until: VecDeque::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// A channel has rested. Where there is no room, those are forgotten that rested first.
    pub(super) fn put(&mut self, channel: Channel, mut chains: Chains, now: Instant) {
        self.forget_old(now);
        let Some(weight) = chains.rest() else { return };
        let (until, bytes) = (after(now, REMEMBERED_FOR), CHANNEL_WEIGHT + weight);
        self.bytes += bytes;
        self.until.push_back((until, channel.clone()));
        let known = Known { chains, until, bytes };
        if let Some(old) = self.channels.insert(channel, known) {
            self.bytes -= old.bytes;
        }
        while self.bytes > self.max_bytes && self.forget_first() {}
        if self.until.len() > 2 * self.channels.len() {
            let channels = &self.channels;
            let is_there = |(until, channel): &(Instant, Channel)| {
                channels.get(channel).is_some_and(|known| known.until == *until)
            };
            self.until.retain(is_there);
        }
    }

    /// It is paced again.
    pub(super) fn take(&mut self, channel: &Channel, now: Instant) -> Chains {
        self.forget_old(now);
        let Some(known) = self.channels.remove(channel) else {
            return Chains::default();
        };
        self.bytes -= known.bytes;
        known.chains
    }

    fn forget_old(&mut self, now: Instant) {
        while self.until.front().is_some_and(|(until, _)| *until <= now) && self.forget_first() {}
    }

    fn forget_first(&mut self) -> bool {
        let Some((until, channel)) = self.until.pop_front() else {
            return false;
        };
        if self
            .channels
            .get(&channel)
            .is_some_and(|known| known.until == until)
            && let Some(known) = self.channels.remove(&channel)
        {
            self.bytes -= known.bytes;
        }
        true
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.channels.len(), self.until.len(), self.bytes)
    }
}

//! Fetches under way, and how far back they need the logs.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Hub;
use crate::position::{Position, Stamp};

/// A fetch keeps the logs back to its stamp for so long.
const LONGEST: Duration = Duration::from_secs(15);
/// Fetches of one position within this time share an entry.
const TOGETHER: Duration = Duration::from_millis(100);

/// A fetch under way: its stamp, and a pin on the logs until it is dropped.
#[derive(Debug)]
pub struct Fetch {
    hub: Hub,
    stamp: Stamp,
    since: Instant,
    pin: u64,
}

/// Open fetches, oldest first. Positions and times only grow.
#[derive(Default)]
pub(super) struct Pins {
    entries: VecDeque<Pin>,
    /// Number of the first entry.
    base: u64,
}

struct Pin {
    at: Position,
    since: Instant,
    open: u32,
}

// === impl Fetch ===

impl Fetch {
    pub(super) fn new(hub: Hub, stamp: Stamp, since: Instant, pin: u64) -> Self {
        Self {
            hub,
            stamp,
            since,
            pin,
        }
    }

    /// What everything that this fetch brings is stamped with.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// What an answer of it is stamped with that a foreign cache may have kept for this long: see [`Hub::backdate`].
    #[cfg(feature = "hold")]
    pub(crate) fn stamp_behind_cache(&self, age: Duration) -> Stamp {
        self.hub.backdate(self.stamp, self.since, age)
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.hub.0.pins.lock().close(self.pin);
    }
}

// === impl Pins ===

impl Pins {
    pub(super) fn open(&mut self, at: Position, now: Instant) -> u64 {
        self.expire(now);
        match self.entries.back_mut() {
            Some(pin) if pin.at == at && now.saturating_duration_since(pin.since) < TOGETHER => pin.open += 1,
            _ => self.entries.push_back(Pin {
                at,
                since: now,
                open: 1,
            }),
        }
        self.base + self.entries.len() as u64 - 1
    }

    fn close(&mut self, number: u64) {
        let Some(index) = number.checked_sub(self.base) else {
            return;
        };
        if let Some(pin) = self.entries.get_mut(index as usize) {
            pin.open -= 1;
        }
        while self.entries.front().is_some_and(|pin| pin.open == 0) {
            self.entries.pop_front();
            self.base += 1;
        }
    }

    /// The position back to which the logs are needed.
    pub(super) fn oldest(&mut self, now: Instant) -> Option<Position> {
        self.expire(now);
        self.entries.front().map(|pin| pin.at)
    }

    fn expire(&mut self, now: Instant) {
        while self
            .entries
            .front()
            .is_some_and(|pin| pin.open == 0 || now.saturating_duration_since(pin.since) > LONGEST)
        {
            self.entries.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_fetch_counts_for_fifteen_seconds() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pins = Pins::default();
        let first = pins.open(Position::new(1), at(0));
        let second = pins.open(Position::new(1), at(10));
        let third = pins.open(Position::new(4), at(20));
        assert_eq!(first, second);
        assert_eq!(pins.oldest(at(30)), Some(Position::new(1)));
        pins.close(first);
        assert_eq!(pins.oldest(at(30)), Some(Position::new(1)));
        pins.close(second);
        assert_eq!(pins.oldest(at(30)), Some(Position::new(4)));
        assert_eq!(pins.oldest(at(15_030)), None);
        pins.close(third);
        assert!(pins.entries.is_empty());
    }
}

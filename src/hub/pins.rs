//! Fetches under way: how far back they need the logs, and the marks.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Hub;
use crate::mutants::mutant;
use crate::position::{Position, Stamp};
use crate::sync::atomic::{AtomicBool, Ordering};

/// A fetch keeps the logs back to its stamp for so long.
const LONGEST: Duration = Duration::from_secs(15);
/// Fetches of one position within this time share an entry.
const TOGETHER: Duration = Duration::from_millis(100);

/// A fetch under way: its stamp, and a pin until it is dropped. The pin keeps the logs back to the stamp for 15 s, and the
/// marks above it until it is revoked.
#[derive(Debug)]
pub struct Fetch {
    hub: Hub,
    stamp: Stamp,
    since: Instant,
    pin: u64,
    released: AtomicBool,
}

/// Open fetches, oldest first. Positions, times and numbers only grow.
#[derive(Default)]
pub(super) struct Pins {
    entries: VecDeque<Pin>,
    /// How many of them are closed: those in the middle stay a while.
    closed: usize,
    /// What the next entry gets.
    next: u64,
    /// The logs are not kept for those before it.
    logs_from: u64,
}

struct Pin {
    number: u64,
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
            released: AtomicBool::new(false),
        }
    }

    /// What everything that this fetch brings is stamped with.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// When it began.
    #[cfg(feature = "hold")]
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Whether it has been under way for so long that marks above its stamp are forgotten: what it brings is not to be
    /// stored any more (rule C4).
    #[cfg(any(test, feature = "cache"))]
    pub(crate) fn is_revoked(&self) -> bool {
        self.pin < self.hub.0.revoked.load(Ordering::Relaxed)
    }

    /// Neither marks nor logs are kept for it any longer.
    pub(crate) fn release(&self) {
        if !self.released.swap(true, Ordering::Relaxed) {
            self.hub.0.pins.lock().close(self.pin);
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.release();
    }
}

// === impl Hub ===

impl Hub {
    /// The position up to which whatever is under way has, or will have, seen all marks. Fetches that began before `floor`
    /// are revoked.
    pub(super) fn seen_by_fetches(&self, floor: Position) -> Position {
        let mut pins = self.0.pins.lock();
        if let Some(revoked) = pins.revoke_before(floor) {
            self.0.revoked.store(revoked, Ordering::Relaxed);
        }
        // Under the lock: what begins after this reads no earlier position.
        let oldest = pins.oldest().filter(|_| !mutant!("sweep-above-flight"));
        oldest.unwrap_or_else(|| self.now())
    }
}

// === impl Pins ===

impl Pins {
    pub(super) fn open(&mut self, at: Position, now: Instant) -> u64 {
        if let Some(pin) = self.entries.back_mut()
            && pin.at == at
            && now.saturating_duration_since(pin.since) < TOGETHER
            && pin.open > 0
        {
            pin.open += 1;
            return pin.number;
        }
        let number = self.next;
        self.next += 1;
        self.entries.push_back(Pin {
            number,
            at,
            since: now,
            open: 1,
        });
        number
    }

    fn close(&mut self, number: u64) {
        let Ok(index) = self.entries.binary_search_by_key(&number, |pin| pin.number) else {
            // It was revoked.
            return;
        };
        let pin = &mut self.entries[index];
        pin.open -= 1;
        if pin.open > 0 {
            return;
        }
        self.closed += 1;
        while self.entries.front().is_some_and(|pin| pin.open == 0) {
            self.entries.pop_front();
            self.closed -= 1;
        }
        // An old one keeps the others in their places: where most are closed, they go.
        if self.closed > self.entries.len() / 2 + 16 {
            self.entries.retain(|pin| pin.open > 0);
            self.closed = 0;
        }
    }

    /// The position of the oldest fetch that is open at all.
    fn oldest(&self) -> Option<Position> {
        self.entries.front().map(|pin| pin.at)
    }

    /// The position back to which the logs are needed.
    pub(super) fn oldest_for_logs(&mut self, now: Instant) -> Option<Position> {
        let counts = |pin: &&Pin| pin.open > 0 && now.saturating_duration_since(pin.since) <= LONGEST;
        let first = match self.entries.front()?.number >= self.logs_from {
            true => 0,
            false => self.entries.partition_point(|pin| pin.number < self.logs_from),
        };
        let pin = self.entries.range(first..).find(counts);
        self.logs_from = pin.map_or(self.next, |pin| pin.number);
        pin.map(|pin| pin.at)
    }

    /// Drops those that began before this position; returns the number below which all are dropped, if any was.
    fn revoke_before(&mut self, floor: Position) -> Option<u64> {
        let mut revoked = None;
        while let Some(pin) = self.entries.front()
            && (pin.at < floor || pin.open == 0)
        {
            revoked = Some(pin.number + 1);
            self.closed -= usize::from(pin.open == 0);
            self.entries.pop_front();
        }
        revoked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_fetch_keeps_the_logs_for_fifteen_seconds_and_the_marks_until_it_ends() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pins = Pins::default();
        let first = pins.open(Position::new(1), at(0));
        let second = pins.open(Position::new(1), at(10));
        let third = pins.open(Position::new(4), at(20));
        assert_eq!(first, second);
        assert_eq!(pins.oldest_for_logs(at(30)), Some(Position::new(1)));
        pins.close(first);
        assert_eq!(pins.oldest_for_logs(at(30)), Some(Position::new(1)));
        assert_eq!(pins.oldest_for_logs(at(15_010)), Some(Position::new(4)));
        assert_eq!(pins.oldest_for_logs(at(15_030)), None);
        assert_eq!(pins.oldest(), Some(Position::new(1)));
        pins.close(second);
        assert_eq!(pins.oldest(), Some(Position::new(4)));
        let fourth = pins.open(Position::new(5), at(15_040));
        assert_eq!(pins.oldest_for_logs(at(15_050)), Some(Position::new(5)));
        assert_eq!(pins.revoke_before(Position::new(5)), Some(third + 1));
        assert_eq!(pins.revoke_before(Position::new(5)), None);
        pins.close(third);
        assert_eq!(pins.oldest(), Some(Position::new(5)));
        pins.close(fourth);
        assert!(pins.entries.is_empty());
    }
}

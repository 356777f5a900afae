//! Fetches under way: how far back they need the logs, and the marks.
//!
//! Each thread pins in a shard of its own, for every request that may become a fetch does; what is asked of all is the
//! least that the shards answer.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Hub;
use crate::mutants::mutant;
use crate::position::{Position, Stamp};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, thread_number};

/// A fetch keeps the logs back to its stamp for so long.
const LONGEST: Duration = Duration::from_secs(15);
/// Shards of the pins.
const SHARDS: usize = if cfg!(gripstack_shuttle) { 2 } else { 16 };
/// Fetches of one position within this time share an entry.
const TOGETHER: Duration = Duration::from_millis(100);

/// A fetch under way: its stamp, and a pin until it is dropped. The pin keeps the logs back to the stamp for 15 s, and the
/// marks above it until it is revoked.
#[derive(Debug)]
pub struct Fetch {
    hub: Hub,
    stamp: Stamp,
    since: Instant,
    pin: (u8, u64),
    released: AtomicBool,
}

/// All open fetches.
pub(super) struct Pins(Box<[Shard]>);

/// In lines of their own: what one costs its threads is nothing to those of the next.
#[repr(align(64))]
#[derive(Default)]
struct Shard {
    open: Mutex<Open>,
    /// Fetches with a number below it are revoked. Written under the lock.
    revoked: AtomicU64,
}

/// Open fetches of one shard, oldest first. Positions, times and numbers only grow.
#[derive(Default)]
struct Open {
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
        let (shard, number) = self.pin;
        number
            < self.hub.0.pins.0[usize::from(shard)]
                .revoked
                .load(Ordering::Relaxed)
    }

    /// Neither marks nor logs are kept for it any longer.
    pub(crate) fn release(&self) {
        if !self.released.swap(true, Ordering::Relaxed) {
            let (shard, number) = self.pin;
            self.hub.0.pins.0[usize::from(shard)].open.lock().close(number);
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
    /// Reads the clock for a fetch. Call it before the request can leave; what comes back carries the fetch's
    /// stamp. While the fetch is open the marks are kept back to its stamp, and the logs, these for at most 15 s.
    pub fn begin_fetch(&self, now: Instant) -> Fetch {
        let shard = thread_number() % SHARDS;
        let mut open = self.0.pins.0[shard].open.lock();
        // Read under the lock: later pins of this shard never have earlier positions.
        let at = self.now();
        let number = open.open(at, now);
        drop(open);
        Fetch {
            hub: self.clone(),
            stamp: self.stamp_at(at),
            since: now,
            pin: (shard as u8, number),
            released: AtomicBool::new(false),
        }
    }

    /// The position up to which whatever is under way has, or will have, seen all marks. Fetches that began before `floor`
    /// are revoked.
    pub(super) fn seen_by_fetches(&self, floor: Position) -> Position {
        let seen = |shard: &Shard| {
            let mut open = shard.open.lock();
            if let Some(revoked) = open.revoke_before(floor) {
                shard.revoked.store(revoked, Ordering::Relaxed);
            }
            // Under the lock: what begins in this shard after this reads no earlier position.
            let oldest = open.oldest().filter(|_| !mutant!("sweep-above-flight"));
            oldest.unwrap_or_else(|| self.now())
        };
        self.0.pins.0.iter().map(seen).min().unwrap_or_default()
    }

    /// The position back to which the logs are needed. What begins after this is asked needs nothing from before the
    /// order that is being applied.
    pub(super) fn pinned(&self, now: Instant) -> Option<Position> {
        let shards = self.0.pins.0.iter();
        shards
            .filter_map(|shard| shard.open.lock().oldest_for_logs(now))
            .min()
    }
}

// === impl Pins ===

impl Default for Pins {
    fn default() -> Self {
        Self(std::iter::repeat_with(Shard::default).take(SHARDS).collect())
    }
}

// === impl Open ===

impl Open {
    fn open(&mut self, at: Position, now: Instant) -> u64 {
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
    fn oldest_for_logs(&mut self, now: Instant) -> Option<Position> {
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
        let mut pins = Open::default();
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

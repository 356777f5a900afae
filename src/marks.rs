//! The last mark of every target, in bounded memory (rule C4).
//!
//! A purge costs one entry per target, however much is cached. Objects are not walked for it: each carries how much of the
//! marks it has [`Seen`], and looks up the rest when it is asked for. Marks that everything stored has seen may be
//! [forgotten](Marks::forget), and what remains of them is a position in a table. Whatever has not seen what was forgotten
//! asks that table: it may speak for another target too, so what it says makes stale, and nothing gone. It speaks for no
//! host, and never for everything: those would take others along.

mod remembered;
#[cfg(any(test, feature = "cache"))]
mod seen;
#[cfg(any(test, feature = "cache"))]
mod standing;

#[cfg(test)]
mod tests;

use tokio::time::Instant;

use self::remembered::Remembered;
#[cfg(any(test, feature = "cache"))]
pub(crate) use self::seen::{KeySet, Seen};
#[cfg(any(test, feature = "cache"))]
pub(crate) use self::standing::{Happened, LeftMarks, Standing};
use crate::order::{PurgeMode, TargetKey, TargetKind};
use crate::position::Position;

/// Slots of the table for URLs and surrogate keys: 8 MiB, once the first mark is forgotten.
const NAMED_SLOTS: usize = 1 << 20;
/// Slots of the table for hosts: 512 KiB, once one is forgotten.
const HOST_SLOTS: usize = 1 << 16;
/// Hosts whose marks are kept although everything stored has seen them: their table then speaks only where more hosts were
/// purged than that, and only to what nobody has looked at since.
const HOSTS: usize = 65_536;
/// Times of soft purges that are kept for a target.
const SOFT_TIMES: usize = 4;

pub(crate) struct Marks {
    everything: Mark,
    hosts: Remembered,
    /// Of URLs and surrogate keys.
    named: Remembered,
    last: Position,
}

/// The last marks of one target.
#[derive(Clone, Debug, Default)]
struct Mark {
    hard: Position,
    block: Position,
    invalidated: Position,
    soft: Position,
    /// The last soft purges, oldest first, with their times.
    soft_times: Vec<(Position, Instant)>,
    /// The last soft purge whose time is no longer kept.
    soft_forgotten: Position,
    last: Position,
}

// === impl Marks ===

impl Marks {
    pub(crate) fn new() -> Self {
        Self {
            everything: Mark::default(),
            hosts: Remembered::new(HOSTS, HOST_SLOTS),
            named: Remembered::new(0, NAMED_SLOTS),
            last: Position::ZERO,
        }
    }

    pub(crate) fn set(&mut self, key: TargetKey, mode: PurgeMode, at: Position, now: Instant) {
        self.last = self.last.max(at);
        match key.kind() {
            TargetKind::Everything => self.everything.set(mode, at, now),
            TargetKind::Host => self.hosts.set(key, mode, at, now),
            TargetKind::Named => self.named.set(key, mode, at, now),
        }
    }

    /// The last mark of a target; of one that was forgotten, no less than that.
    pub(crate) fn last_of(&self, key: TargetKey) -> Position {
        match key.kind() {
            TargetKind::Everything => self.everything.last,
            TargetKind::Host => self.hosts.last_of(key),
            TargetKind::Named => self.named.last_of(key),
        }
    }

    /// The last mark of any target.
    pub(crate) fn last(&self) -> Position {
        self.last
    }

    /// How many marks can be forgotten once everything stored has seen them.
    pub(crate) fn forgettable(&self) -> usize {
        self.named.forgettable() + self.hosts.forgettable()
    }

    /// The oldest of those.
    pub(crate) fn oldest(&self) -> Option<Position> {
        [self.named.oldest(), self.hosts.oldest()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What everything stored would have to have seen, so that so many of those are left.
    pub(crate) fn all_but(&self, count: usize) -> Position {
        self.named.all_but(count).max(self.hosts.all_but(count))
    }

    /// Up to where some are forgotten already.
    #[cfg(any(test, feature = "cache"))]
    pub(crate) fn forgotten(&self) -> Position {
        self.named.forgotten().max(self.hosts.forgotten())
    }

    /// Forgets what was set at or before this position: everything stored has seen it. At most so many marks at once;
    /// returns whether there may be more.
    pub(crate) fn forget(&mut self, upto: Position, at_most: usize) -> bool {
        (0..at_most).all(|_| self.named.forget_oldest(upto) || self.hosts.forget_oldest(upto))
    }
}

// === impl Mark ===

impl Mark {
    fn set(&mut self, mode: PurgeMode, at: Position, now: Instant) {
        self.last = self.last.max(at);
        match mode {
            PurgeMode::Hard => self.hard = at,
            PurgeMode::SoftBlock => self.block = at,
            PurgeMode::Invalidated => self.invalidated = at,
            PurgeMode::Soft => {
                self.soft = at;
                if self.soft_times.len() == SOFT_TIMES {
                    self.soft_forgotten = self.soft_times.remove(0).0;
                }
                self.soft_times.push((at, now));
            }
        }
    }
}

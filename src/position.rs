//! The one order: positions, and the stamps that place a fetch in it.
//!
//! Every accepted message and every purge takes the next [`Position`]. A fetch reads the clock before its
//! request can leave the process; what it brings carries that [`Stamp`]: everything accepted at or before it
//! is already inside these bytes, given that the application stores a change before it announces it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// A place in the one order of accepted messages and purges. Starts at [`Position::ZERO`], before the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(u64);

/// Names one order. Positions of different clocks do not compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClockId(u64);

/// What a fetch, and the answer and object made of it, know of the one order: which order, and how far it had
/// come when the request left (rule C3).
///
/// Both positions are the same unless a foreign cache stands between (rule X1): then the answer is older than its
/// fetch, by how much is known only roughly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Stamp {
    /// The order.
    pub clock: ClockId,
    /// How far that order had come: every purge at or before it is heeded in this answer.
    pub at: Position,
    /// Every message at or before it is in this answer: a replay starts here. Never above `at`.
    pub replay: Position,
}

// === impl Position ===

impl Position {
    /// Before everything.
    pub const ZERO: Position = Position(0);

    /// The position with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl ClockId ===

impl ClockId {
    /// A clock that no other process, and no earlier run of this one, shares.
    pub fn random() -> Self {
        Self(RandomState::new().hash_one(std::process::id()))
    }
}

// === impl Stamp ===

impl Stamp {
    /// Of a fetch that reaches the origin itself, at this position.
    pub const fn new(clock: ClockId, at: Position) -> Self {
        Self {
            clock,
            at,
            replay: at,
        }
    }

    /// The later of what two answers with the same bytes prove of them.
    #[must_use]
    pub(crate) fn or_later(self, other: Self) -> Self {
        if self.clock != other.clock {
            return self;
        }
        Self {
            at: self.at.max(other.at),
            replay: self.replay.max(other.replay),
            ..self
        }
    }

    /// Of an answer that a foreign cache may have kept (rule X1): purges count from `at`, messages from `replay`. Never
    /// younger than it was.
    #[must_use]
    pub(crate) fn backdated(self, at: Position, replay: Position) -> Self {
        let at = self.at.min(at);
        Self {
            at,
            replay: self.replay.min(replay).min(at),
            ..self
        }
    }
}

/// Whether an answer stamped `stamp` may serve a request that arrived at `arrival`, when the last mark of the
/// answer's targets stands at `last_mark`.
///
/// Rule C5, the one test, the same at lookup, when joining a flight, when a flight's head arrives, and when storing. An
/// answer is good enough if nothing it names was marked after its fetch began, or if its fetch began after the
/// request arrived. A fetch started for a request therefore always serves it.
pub fn serves(stamp: Position, arrival: Position, last_mark: Position) -> bool {
    stamp >= arrival.min(last_mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fetch_begun_after_arrival_always_serves(arrival in 0u64..100, later in 0u64..100, mark in 0u64..300) {
            prop_assert!(serves(Position(arrival + later), Position(arrival), Position(mark)));
        }

        #[test]
        fn an_answer_older_than_a_mark_seen_at_arrival_never_serves(stamp in 0u64..100, gap in 1u64..100, more in 0u64..100) {
            let mark = stamp + gap;
            prop_assert!(!serves(Position(stamp), Position(mark + more), Position(mark)));
        }
    }
}

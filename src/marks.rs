//! The last mark of every target, in bounded memory.
//!
//! A purge costs one entry per target, however much is cached. Objects are not walked: each lookup asks for the
//! last mark of the object's targets. When the map is full its oldest entry is forgotten, which raises a floor
//! that its target shares with others: a purge may so be widened, but never lost.

#[cfg(any(test, feature = "cache"))]
mod standing;

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::order::{ByTarget, PurgeMode, TargetKey};
use crate::position::Position;

#[cfg(any(test, feature = "cache"))]
pub(crate) use self::standing::Standing;

/// Marks that are remembered each for itself. About 100 bytes each.
const REMEMBERED: usize = 65_536;
/// Floors that the others share.
const FLOORS: usize = 1_024;
/// Times of soft purges that are kept for a target.
const SOFT_TIMES: usize = 4;

pub(crate) struct Marks {
    marks: ByTarget<Mark>,
    /// In the order of their setting; those set again since are passed over.
    oldest: VecDeque<(TargetKey, Position)>,
    floors: Box<[Mark]>,
    remembered: usize,
}

/// The last marks of one target, or of several together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mark {
    hard: Position,
    block: Position,
    invalidated: Position,
    soft: Position,
    /// The last soft purges, oldest first, with their times.
    soft_times: Vec<(Position, Instant)>,
    last: Position,
}

// === impl Marks ===

impl Marks {
    pub(crate) fn new() -> Self {
        Self::remembering(REMEMBERED)
    }

    fn remembering(remembered: usize) -> Self {
        Self {
            marks: ByTarget::default(),
            oldest: VecDeque::new(),
            floors: vec![Mark::default(); FLOORS].into(),
            remembered,
        }
    }

    pub(crate) fn set(&mut self, key: TargetKey, mode: PurgeMode, at: Position, now: Instant) {
        self.marks.entry(key).or_default().set(mode, at, now);
        self.oldest.push_back((key, at));
        while self.oldest.len() > self.remembered {
            let Some((key, at)) = self.oldest.pop_front() else {
                break;
            };
            if self.marks.get(&key).is_some_and(|mark| mark.last == at)
                && let Some(mark) = self.marks.remove(&key)
            {
                self.floors[key.slot(FLOORS)].raise(&mark);
            }
        }
    }

    /// The last mark of these targets.
    pub(crate) fn last(&self, keys: &[&[TargetKey]]) -> Position {
        let mut last = Position::ZERO;
        // Not a flat iterator, which costs more: each hit after an order comes by here.
        for keys in keys {
            for key in *keys {
                last = last.max(self.floors[key.slot(FLOORS)].last);
                last = self.marks.get(key).map_or(last, |mark| last.max(mark.last));
            }
        }
        last
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
                    self.soft_times.remove(0);
                }
                self.soft_times.push((at, now));
            }
        }
    }

    fn raise(&mut self, other: &Mark) {
        self.last = self.last.max(other.last);
        self.hard = self.hard.max(other.hard);
        self.block = self.block.max(other.block);
        self.invalidated = self.invalidated.max(other.invalidated);
        self.soft = self.soft.max(other.soft);
        if !other.soft_times.is_empty() {
            self.soft_times.extend_from_slice(&other.soft_times);
            self.soft_times.sort_unstable();
            let surplus = self.soft_times.len().saturating_sub(SOFT_TIMES);
            self.soft_times.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Target;
    use proptest::prelude::*;
    use std::time::Duration;

    fn key(n: u32) -> TargetKey {
        TargetKey::of(&Target::Key(n.to_string().into()))
    }

    #[test]
    fn modes_rank_and_stamps_pass() {
        let now = Instant::now();
        let mut marks = Marks::new();
        marks.set(key(1), PurgeMode::Soft, Position::new(5), now);
        marks.set(key(1), PurgeMode::Hard, Position::new(3), now);
        let standing = |at| marks.standing(&[&[key(0), key(1)]], Position::new(at));
        assert_eq!(standing(2), Standing::Dead);
        assert_eq!(standing(3), Standing::Soft { since: Some(now) });
        assert_eq!(standing(5), Standing::Clean);
        marks.set(key(0), PurgeMode::Invalidated, Position::new(7), now);
        let standing = |at| marks.standing(&[&[key(0), key(1)]], Position::new(at));
        assert_eq!(standing(4), Standing::Invalidated { purged: true });
        assert_eq!(standing(5), Standing::Invalidated { purged: false });
    }

    #[test]
    fn pur_32_the_window_runs_from_the_first_soft_purge() {
        let start = Instant::now();
        let mut marks = Marks::new();
        let at = |n: u64| start + Duration::from_secs(20 * n);
        for n in 1..=3 {
            marks.set(key(1), PurgeMode::Soft, Position::new(n), at(n));
        }
        assert_eq!(
            marks.standing(&[&[key(1)]], Position::ZERO),
            Standing::Soft { since: Some(at(1)) }
        );
        for n in 4..=6 {
            marks.set(key(1), PurgeMode::Soft, Position::new(n), at(n));
        }
        assert_eq!(
            marks.standing(&[&[key(1)]], Position::ZERO),
            Standing::Soft { since: None }
        );
        assert_eq!(
            marks.standing(&[&[key(1)]], Position::new(4)),
            Standing::Soft { since: Some(at(5)) }
        );
    }

    proptest! {
        /// PUR-21, PUR-22: whatever is forgotten, no purge is.
        #[test]
        fn pur_21_a_forgotten_mark_still_counts(
            purges in prop::collection::vec((0u32..50, 0u8..4), 1..200),
            probe in 0u32..50,
            stamp in 0u64..200,
        ) {
            let now = Instant::now();
            let mut marks = Marks::remembering(8);
            let (mut hard, mut any) = (0, 0);
            for (n, (target, mode)) in purges.iter().enumerate() {
                let at = n as u64 + 1;
                let mode = [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Invalidated, PurgeMode::Soft][*mode as usize];
                marks.set(key(*target), mode, Position::new(at), now);
                if *target == probe {
                    any = at;
                    if mode == PurgeMode::Hard {
                        hard = at;
                    }
                }
            }
            prop_assert!(marks.marks.len() <= 8 && marks.oldest.len() <= 8);
            let standing = marks.standing(&[&[key(probe)]], Position::new(stamp));
            if hard > stamp {
                prop_assert_eq!(standing, Standing::Dead);
            } else if any > stamp {
                prop_assert_ne!(standing, Standing::Clean);
            }
            prop_assert!(marks.last(&[&[key(probe)]]) >= Position::new(any));
        }
    }
}

//! Which position was current at a moment.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::position::Position;

/// Moments that are remembered. With more, every second one of the older half goes: how exact an answer is depends on how
/// long ago that was.
const REMEMBERED: usize = 4_096;
/// Orders within this time are remembered by one of them.
const APART: Duration = Duration::from_millis(250);

/// Moments at which the clock had reached a position. Both only grow.
#[derive(Default)]
pub(super) struct Moments {
    past: VecDeque<(Instant, Position)>,
    last: Option<(Instant, Position)>,
}

// === impl Moments ===

impl Moments {
    /// The clock has come to this position: to be called after that, with a moment that is read after it.
    pub(super) fn reached(&mut self, at: Position, now: Instant) {
        let Some(last) = self.last else {
            self.last = Some((now, at));
            return;
        };
        let now = now.max(last.0);
        let is_apart = |(before, _): &(Instant, Position)| last.0.saturating_duration_since(*before) >= APART;
        // It was the last one for a while, or those before it are long ago.
        if now.saturating_duration_since(last.0) >= APART || self.past.back().is_none_or(is_apart) {
            self.past.push_back(last);
        }
        self.last = Some((now, at));
        if self.past.len() > REMEMBERED {
            let mut nth = 0;
            self.past.retain(|_| {
                nth += 1;
                nth > REMEMBERED / 2 || nth % 2 == 1
            });
        }
    }

    /// The position at this moment; never more. Before the first order that was zero.
    pub(super) fn at(&self, moment: Instant) -> Position {
        if let Some((last, at)) = self.last
            && last <= moment
        {
            return at;
        }
        let later = self.past.partition_point(|(before, _)| *before <= moment);
        later
            .checked_sub(1)
            .map_or(Position::ZERO, |index| self.past[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn after_silence_it_is_exact() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut moments = Moments::default();
        assert_eq!(moments.at(at(0)), Position::ZERO);
        for (n, ms) in [(1, 1_000), (2, 1_001), (3, 1_002), (4, 9_000), (5, 9_001)] {
            moments.reached(Position::new(n), at(ms));
        }
        assert_eq!(moments.at(at(999)), Position::ZERO);
        assert_eq!(moments.at(at(1_000)), Position::new(1));
        assert_eq!(moments.at(at(1_002)), Position::new(3));
        assert_eq!(moments.at(at(8_999)), Position::new(3));
        assert_eq!(moments.at(at(9_001)), Position::new(5));
        assert_eq!(moments.at(at(900_000)), Position::new(5));
    }

    #[test]
    fn under_load_it_is_bounded_and_less_exact_the_longer_ago() {
        let start = Instant::now();
        let mut moments = Moments::default();
        // A day of an order every 100 ms.
        let at = |n: u64| start + Duration::from_millis(100 * n);
        let last = 864_000;
        for n in 1..=last {
            moments.reached(Position::new(n), at(n));
        }
        assert!(moments.past.len() <= REMEMBERED);
        for (ago, off) in [(0, 0), (600, 10), (36_000, 3_600), (800_000, 64_000)] {
            let then = moments.at(at(last - ago)).get();
            assert!((last - ago - off..=last - ago).contains(&then), "{ago}: {then}");
        }
    }

    proptest! {
        #[test]
        fn it_is_never_more_than_the_truth(
            steps in prop::collection::vec((0u64..2_000, 1u64..4), 1..300),
            asked in 0u64..200_000,
        ) {
            let start = Instant::now();
            let at = |ms| start + Duration::from_millis(ms);
            let mut moments = Moments::default();
            let (mut ms, mut position, mut truth, mut before) = (1, 0, 0, 0);
            for (step, orders) in steps {
                ms += step;
                for _ in 0..orders {
                    position += 1;
                    moments.reached(Position::new(position), at(ms));
                    if ms <= asked {
                        truth = position;
                    }
                    if ms + 500 <= asked {
                        before = position;
                    }
                }
            }
            let then = moments.at(at(asked)).get();
            prop_assert!(then <= truth && then >= before, "{before} <= {then} <= {truth}");
        }
    }
}

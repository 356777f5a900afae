//! What the marks say of a stored object.

use tokio::time::Instant;

use super::{FLOORS, Mark, Marks, SOFT_TIMES};
use crate::order::TargetKey;
use crate::position::Position;

/// What the marks say of an object, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Standing {
    /// Nothing since its stamp.
    Clean,
    /// A soft purge: its lifetime ended at this time; `None` if that is no longer known.
    Soft { since: Option<Instant> },
    /// An unsafe method succeeded. `purged`: and there was a soft purge.
    Invalidated { purged: bool },
    /// A soft-block purge.
    Blocked,
    /// A hard purge.
    Dead,
}

// === impl Marks ===

impl Marks {
    /// What they say of an object with these targets and this stamp.
    pub(crate) fn standing(&self, keys: &[&[TargetKey]], stamp: Position) -> Standing {
        let mut all = Mark::default();
        for &key in keys.iter().copied().flatten() {
            all.raise(&self.floors[key.slot(FLOORS)]);
            if let Some(mark) = self.marks.get(&key)
                && mark.last > stamp
            {
                all.raise(mark);
            }
        }
        all.standing(stamp)
    }
}

// === impl Mark ===

impl Mark {
    fn standing(&self, stamp: Position) -> Standing {
        if self.hard > stamp {
            Standing::Dead
        } else if self.block > stamp {
            Standing::Blocked
        } else if self.invalidated > stamp {
            Standing::Invalidated {
                purged: self.soft > stamp,
            }
        } else if self.soft > stamp {
            // If as many as are kept came since, the first of them may be forgotten: the window's start is unknown.
            let first = self.soft_times.iter().position(|(at, _)| *at > stamp);
            let since = match first {
                Some(0) if self.soft_times.len() == SOFT_TIMES => None,
                Some(index) => Some(self.soft_times[index].1),
                None => None,
            };
            Standing::Soft { since }
        } else {
            Standing::Clean
        }
    }
}

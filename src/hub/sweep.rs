//! Forgetting marks that everything stored has seen (rule C4).
//!
//! Whoever stores objects [attaches](Hub::attach) itself, and makes passes: it asks [where one may begin](Hub::begin_pass),
//! lets every object that it has stored see the marks, and then has those up to there [forgotten](Hub::forget). Nothing
//! is left out: what is stored in the meantime is brought by a fetch that began no earlier, and what is under way with an
//! older object has a pin from before it looked.

use std::sync::{Arc, Weak};

use super::Hub;
use crate::position::Position;

/// Marks that are remembered although nothing is stored.
const REMEMBERED: usize = 65_536;

/// Whoever stores objects.
pub(crate) trait Sweep: Send + Sync {
    /// So many marks were set, and so many could be forgotten if all that is stored had seen them. No lock is held.
    fn marked(self: Arc<Self>, set: usize, forgettable: usize);
}

// === impl Hub ===

impl Hub {
    /// From now on marks are forgotten when it says so.
    #[cfg(any(test, feature = "cache"))]
    pub(crate) fn attach(&self, sweep: Weak<dyn Sweep>) {
        self.0.marking.write().sweep = Some(sweep);
    }

    /// Called where marks were set.
    pub(super) fn has_marked(&self, set: usize) {
        let marking = self.0.marking.read();
        let forgettable = marking.marks.forgettable();
        let sweep = marking.sweep.as_ref().and_then(Weak::upgrade);
        drop(marking);
        match sweep {
            Some(sweep) => sweep.marked(set, forgettable),
            // Nothing is stored that would have to see them.
            None if forgettable > REMEMBERED => drop(self.forget(self.now(), forgettable - REMEMBERED)),
            None => {}
        }
    }

    /// Where a pass begins: the marks up to there may be forgotten once everything that is stored has seen them. With more
    /// than `bound` of them, fetches are revoked that are in the way of too many.
    #[cfg(any(test, feature = "cache"))]
    pub(crate) fn begin_pass(&self, bound: usize) -> Position {
        let floor = {
            let marking = self.0.marking.read();
            let is_beyond = marking.marks.forgettable() > bound;
            is_beyond.then(|| marking.marks.all_but(bound / 4))
        };
        self.seen_by_fetches(floor.unwrap_or_default())
    }

    /// Forgets marks up to this position, at most so many. Returns whether there may be more.
    pub(crate) fn forget(&self, upto: Position, at_most: usize) -> bool {
        self.0.marking.write().marks.forget(upto, at_most)
    }

    /// Whether all marks above this position are remembered, as they are for what has a pin from there on.
    #[cfg(any(test, feature = "cache"))]
    pub(crate) fn remembers_marks_above(&self, at: Position) -> bool {
        self.0.marking.read().marks.forgotten() <= at
    }

    /// The oldest mark that can be forgotten, and the last of all.
    #[cfg(any(test, feature = "cache"))]
    pub(crate) fn marked_from_to(&self) -> (Option<Position>, Position) {
        let marks = &self.0.marking.read().marks;
        (marks.oldest(), marks.last())
    }
}

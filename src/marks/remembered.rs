//! Marks of targets of one kind: each for itself, until everything stored has seen it.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::Mark;
use crate::order::{ByTarget, PurgeMode, TargetKey};
use crate::position::Position;

/// About 150 bytes for each target.
pub(super) struct Remembered {
    marks: ByTarget<Mark>,
    /// Which of them is the oldest.
    order: BTreeSet<(Position, TargetKey)>,
    /// The last mark of all.
    last: Position,
    /// What was set at or before it may be forgotten.
    forgotten: Position,
    /// The last mark of the forgotten targets that share a slot. Empty until one is.
    table: Box<[u64]>,
    slots: usize,
    /// So many are not forgotten.
    kept: usize,
}

// === impl Remembered ===

impl Remembered {
    pub(super) fn new(kept: usize, slots: usize) -> Self {
        Self {
            marks: ByTarget::default(),
            order: BTreeSet::new(),
            last: Position::ZERO,
            forgotten: Position::ZERO,
            table: Box::default(),
            slots,
            kept,
        }
    }

    pub(super) fn set(&mut self, key: TargetKey, mode: PurgeMode, at: Position, now: Instant) {
        let mark = self.marks.entry(key).or_default();
        self.order.remove(&(mark.last, key));
        mark.set(mode, at, now);
        self.last = self.last.max(at);
        self.order.insert((mark.last, key));
    }

    pub(super) fn last_of(&self, key: TargetKey) -> Position {
        let forgotten = self.table.get(key.slot(self.slots)).copied();
        let forgotten = forgotten.map_or(Position::ZERO, Position::new);
        self.marks
            .get(&key)
            .map_or(forgotten, |mark| mark.last.max(forgotten))
    }

    pub(super) fn forgettable(&self) -> usize {
        self.order.len().saturating_sub(self.kept)
    }

    pub(super) fn oldest(&self) -> Option<Position> {
        let (at, _) = self.order.first().filter(|_| self.forgettable() > 0)?;
        Some(*at)
    }

    /// The last one but so many, beside those that are kept.
    pub(super) fn all_but(&self, count: usize) -> Position {
        let last = self.order.iter().rev().nth(self.kept + count);
        last.map_or(Position::ZERO, |(at, _)| *at)
    }

    /// Forgets the oldest one, if it was set at or before this position.
    pub(super) fn forget_oldest(&mut self, upto: Position) -> bool {
        if self.oldest().is_none_or(|at| at > upto) {
            return false;
        }
        let Some((at, key)) = self.order.pop_first() else {
            return false;
        };
        self.marks.remove(&key);
        if self.table.is_empty() {
            self.table = vec![0; self.slots].into();
        }
        // They come in order: what was there before is no later.
        self.table[key.slot(self.slots)] = at.get();
        self.forgotten = at;
        true
    }

    /// The last mark of any target.
    #[cfg(any(test, feature = "cache"))]
    pub(super) fn last(&self) -> Position {
        self.last
    }

    /// The mark of this target, if it was set after this position.
    #[cfg(any(test, feature = "cache"))]
    pub(super) fn since(&self, key: TargetKey, from: Position) -> Option<&Mark> {
        self.marks.get(&key).filter(|mark| mark.last > from)
    }

    /// A mark of this target, or of another one, that was set after this position and is forgotten.
    #[cfg(any(test, feature = "cache"))]
    pub(super) fn forgotten_since(&self, key: TargetKey, from: Position) -> Option<Position> {
        if from >= self.forgotten {
            return None;
        }
        let last = Position::new(self.table[key.slot(self.slots)]);
        (last > from).then_some(last)
    }

    #[cfg(any(test, feature = "cache"))]
    pub(super) fn forgotten(&self) -> Position {
        self.forgotten
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.table.is_empty()
    }
}

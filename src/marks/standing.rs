//! What the marks say of a stored object.

use tokio::time::Instant;

use super::{Mark, Marks};
use crate::order::{TargetKey, TargetKind};
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

/// What the marks of its targets did to an object since its stamp.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Happened {
    /// The last of them; zero, if there was none.
    pub(crate) last: Position,
    dead: bool,
    blocked: bool,
    invalidated: bool,
    soft: bool,
    /// The first soft purge, if it is known.
    first_soft: Option<(Position, Instant)>,
}

/// The last marks of channels that a URL no longer has: what they did to its answers stays done.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct LeftMarks {
    /// Hard ones.
    hard: Position,
    /// All others: where there are channels, each makes a fetch necessary.
    other: Position,
}

// === impl Marks ===

impl Marks {
    /// Adds what was done to these targets after this position.
    #[inline]
    pub(super) fn add(&self, keys: &[TargetKey], from: Position, to: &mut Happened) {
        for &key in keys {
            let of_kind = match key.kind() {
                TargetKind::Everything => {
                    if self.everything.last > from {
                        to.add(&self.everything, from);
                    }
                    continue;
                }
                TargetKind::Host => &self.hosts,
                TargetKind::Named => &self.named,
            };
            // Most that is looked up is of a kind that nothing was marked of.
            if of_kind.last() <= from {
                continue;
            }
            if let Some(mark) = of_kind.since(key, from) {
                to.add(mark, from);
            }
            if let Some(at) = of_kind.forgotten_since(key, from) {
                to.block(at);
            }
        }
    }

    /// What was done to these targets since a stamp.
    pub(crate) fn since(&self, keys: &[&[TargetKey]], stamp: Position) -> Happened {
        let mut happened = Happened::default();
        for keys in keys {
            self.add(keys, stamp, &mut happened);
        }
        happened
    }
}

// === impl LeftMarks ===

impl LeftMarks {
    /// Adds those of a channel. What is forgotten has been seen by all answers that it concerned.
    pub(crate) fn add(&mut self, marks: &Marks, channel: TargetKey) {
        if let Some(mark) = marks.named.since(channel, Position::ZERO) {
            self.hard = self.hard.max(mark.hard);
            self.block(mark.block.max(mark.invalidated).max(mark.soft));
        }
    }

    /// And one of a channel that is not known.
    pub(crate) fn block(&mut self, at: Position) {
        self.other = self.other.max(at);
    }

    pub(crate) fn last(&self) -> Position {
        self.hard.max(self.other)
    }
}

// === impl Happened ===

impl Happened {
    pub(crate) fn standing(&self) -> Standing {
        match *self {
            Self { dead: true, .. } => Standing::Dead,
            Self { blocked: true, .. } => Standing::Blocked,
            Self {
                invalidated: true,
                soft,
                ..
            } => Standing::Invalidated { purged: soft },
            Self {
                soft: true,
                first_soft,
                ..
            } => Standing::Soft {
                since: first_soft.map(|(_, time)| time),
            },
            Self { soft: false, .. } => Standing::Clean,
        }
    }

    /// The same after what channels did that left, to an answer with this stamp.
    pub(crate) fn and_left(mut self, left: LeftMarks, stamp: Position) -> Self {
        if left.last() > stamp {
            self.last = self.last.max(left.last());
            self.dead |= left.hard > stamp;
            self.blocked |= left.other > stamp;
        }
        self
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.last == Position::ZERO
    }

    #[cold]
    #[inline(never)]
    /// What of a mark was set after this position. What was set before has been added, as far as it counts.
    fn add(&mut self, mark: &Mark, from: Position) {
        self.last = self.last.max(mark.last);
        self.dead |= mark.hard > from;
        self.blocked |= mark.block > from;
        self.invalidated |= mark.invalidated > from;
        if mark.soft > from {
            let first = mark.soft_times.iter().find(|(at, _)| *at > from).copied();
            self.add_soft(first.filter(|_| mark.soft_forgotten <= from), from);
        }
    }

    /// Soft purges after `from`. `first`: of those, if it is known.
    fn add_soft(&mut self, first: Option<(Position, Instant)>, from: Position) {
        self.first_soft = match self.first_soft {
            _ if !self.soft => first,
            // None that comes now can be earlier.
            Some((at, _)) if at <= from => self.first_soft,
            known => known.min(first),
        };
        self.soft = true;
    }

    /// Something that is forgotten. It may have been another target, so nothing is gone for it.
    fn block(&mut self, at: Position) {
        self.last = self.last.max(at);
        self.blocked = true;
    }
}

//! What happened to a stored answer's targets and channels since its stamp.

use super::Hub;
use crate::marks::{Happened, KeySet, LeftMarks, Seen, Standing};
use crate::message::Channel;
use crate::order::TargetKey;
use crate::position::{Position, Stamp};

/// What is asked of the marks and logs.
#[derive(Clone, Copy)]
pub(crate) struct Since<'a> {
    /// The answer's stamp.
    pub(crate) stamp: Stamp,
    /// Its own targets.
    pub(crate) keys: [&'a [TargetKey]; 2],
    /// What it has seen of their marks, and of those of its channels.
    pub(crate) seen: Option<&'a Seen>,
    /// The targets that its channels are. More may be learned.
    pub(crate) channel_keys: &'a KeySet,
    /// Its channels.
    pub(crate) channels: &'a [Channel],
    /// It has more of them than are remembered: every message is one of its own, and whatever purges a channel blocks it.
    pub(crate) more_channels: bool,
    /// The last message of channels that its URL no longer has.
    pub(crate) left_at: Position,
    /// And their marks.
    pub(crate) left_marks: LeftMarks,
}

/// What happened since a stamp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judgement {
    /// To the targets.
    pub(crate) standing: Standing,
    /// The last mark of the targets; where none is above the stamp, anything up to it.
    pub(crate) last_mark: Position,
    /// The last message of the channels; where none is above the stamp, anything up to it.
    pub(crate) last_message: Position,
}

// === impl Since ===

impl<'a> Since<'a> {
    /// Of what has targets, and no channels.
    pub(crate) fn of_targets(stamp: Stamp, keys: &'a [TargetKey], seen: Option<&'a Seen>) -> Self {
        Self {
            stamp,
            keys: [keys, &[]],
            seen,
            channel_keys: &KeySet::EMPTY,
            channels: &[],
            more_channels: false,
            left_at: Position::ZERO,
            left_marks: LeftMarks::default(),
        }
    }
}

// === impl Hub ===

impl Hub {
    /// What happened to these targets and channels since the stamp: rule C4, and the marks of the one test (C5). Nothing
    /// else reads marks.
    pub(crate) fn judge(&self, since: Since<'_>) -> Judgement {
        let has_channels = !since.channel_keys.is_empty()
            || !since.channels.is_empty()
            || since.more_channels
            || since.left_marks.last() > since.stamp.at;
        let now = self.now();
        let is_clean = || since.seen.is_some_and(|seen| seen.is_clean(now));
        if since.stamp.replay >= now || (!has_channels && is_clean()) {
            return Judgement {
                standing: Standing::Clean,
                last_mark: Position::ZERO,
                last_message: since.left_at,
            };
        }
        self.look_up(&since)
    }

    /// Apart from what costs nothing.
    #[inline(never)]
    fn look_up(&self, since: &Since<'_>) -> Judgement {
        self.look_up_once(since)
            .unwrap_or_else(|_| self.look_up_between_orders(since))
    }

    /// Of an order that was being applied one half may have been seen. Now none is: else a URL of many channels, with busy
    /// publishers, would be looked up again and again.
    #[cold]
    #[inline(never)]
    fn look_up_between_orders(&self, since: &Since<'_>) -> Judgement {
        let _orders = self.0.orders.lock();
        let (Ok(judgement) | Err(judgement)) = self.look_up_once(since);
        judgement
    }

    /// What has happened up to the clock; `Err`: or, of the order that is being applied, above it.
    #[inline(always)]
    fn look_up_once(&self, since: &Since<'_>) -> Result<Judgement, Judgement> {
        let Since {
            stamp,
            keys: ref own,
            seen,
            channel_keys,
            channels,
            more_channels,
            left_at,
            left_marks,
        } = *since;
        let marking = self.0.marking.read();
        // Marks are set before the clock moves, so all up to here are set, and no more until this lock goes.
        let now = self.now();
        let happened = match seen {
            Some(seen) if seen.is_clean_with(channel_keys, now) => Happened::default(),
            Some(seen) => seen.move_on(&marking.marks, stamp.at, own, channel_keys, now),
            None => marking.marks.since(&[own[0], own[1], channel_keys], stamp.at),
        };
        let channel_purge = marking.last_channel_purge;
        drop(marking);
        let happened = happened.and_left(left_marks, stamp.at);
        let mut judgement = Judgement {
            standing: happened.standing(),
            last_mark: happened.last,
            last_message: channels
                .iter()
                .map(|c| self.0.registry.last(c))
                .fold(left_at, Position::max),
        };
        if more_channels {
            if channel_purge > stamp.at {
                judgement.standing = judgement.standing.max(Standing::Blocked);
                judgement.last_mark = judgement.last_mark.max(channel_purge);
            }
            judgement.last_message = now;
        }
        let last = judgement.last_mark.max(judgement.last_message);
        if last > now { Err(judgement) } else { Ok(judgement) }
    }

    /// Adds the marks of channels that leave a URL; with `more`, of some that are not known, too.
    pub(crate) fn add_left(
        &self,
        left: &mut LeftMarks,
        channels: impl Iterator<Item = TargetKey>,
        more: bool,
    ) {
        let mut channels = channels.peekable();
        if channels.peek().is_none() && !more {
            return;
        }
        let marking = self.0.marking.read();
        for channel in channels {
            left.add(&marking.marks, channel);
        }
        if more {
            left.block(marking.last_channel_purge);
        }
    }

    /// What a copy of an answer has seen that keeps its stamp, although it names these targets beside or instead.
    pub(crate) fn inherit(&self, seen: &Seen, stamp: Stamp, keys: &[TargetKey]) -> Seen {
        seen.inherit(&self.0.marking.read().marks, stamp.at, keys)
    }
}

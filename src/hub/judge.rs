//! What happened to a stored answer's targets and channels since its stamp.

use super::Hub;
use crate::marks::Standing;
use crate::message::Channel;
use crate::order::TargetKey;
use crate::position::{Position, Stamp};
use crate::sync::atomic::{AtomicU64, Ordering};

/// What is asked of the marks and logs.
#[derive(Clone, Copy)]
pub(crate) struct Since<'a> {
    /// The answer's stamp.
    pub(crate) stamp: Stamp,
    /// Its own targets.
    pub(crate) keys: [&'a [TargetKey]; 2],
    /// What was found of them before.
    pub(crate) quiet: Option<&'a Quiet>,
    /// The targets that its channels are. More may be learned.
    pub(crate) channel_keys: &'a [TargetKey],
    /// Its channels.
    pub(crate) channels: &'a [Channel],
    /// It has more of them than are remembered: every message is one of its own, and whatever purges a channel blocks it.
    pub(crate) more_channels: bool,
    /// The last message of channels that its URL no longer has.
    pub(crate) left_at: Position,
}

/// Up to where the clock had come when an answer's own targets, which never change, were last looked up and found
/// without a mark since its stamp. Until the clock moves on, they need not be looked up again.
#[derive(Default)]
pub(crate) struct Quiet(AtomicU64);

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
    pub(crate) fn of_targets(stamp: Stamp, keys: &'a [TargetKey], quiet: Option<&'a Quiet>) -> Self {
        Self {
            stamp,
            keys: [keys, &[]],
            quiet,
            channel_keys: &[],
            channels: &[],
            more_channels: false,
            left_at: Position::ZERO,
        }
    }
}

// === impl Quiet ===

impl Quiet {
    fn reaches(&self, now: Position) -> bool {
        self.0.load(Ordering::Relaxed) >= now.get()
    }

    fn reached(&self, now: Position) {
        self.0.store(now.get(), Ordering::Relaxed);
    }
}

// === impl Hub ===

impl Hub {
    /// What happened to these targets and channels since the stamp.
    pub(crate) fn judge(&self, since: Since<'_>) -> Judgement {
        let Since {
            stamp,
            keys: [own, tags],
            quiet,
            channel_keys,
            channels,
            more_channels,
            left_at,
        } = since;
        let clean = Judgement {
            standing: Standing::Clean,
            last_mark: Position::ZERO,
            last_message: left_at,
        };
        let is_quiet = |now| quiet.is_some_and(|quiet| quiet.reaches(now));
        let without_channels = channel_keys.is_empty() && channels.is_empty() && !more_channels;
        let now = self.now();
        if stamp.replay >= now || (without_channels && is_quiet(now)) {
            return clean;
        }
        let state = self.0.state.read();
        // The clock does not move under this lock.
        let now = self.now();
        let looked_up = match is_quiet(now) {
            true => [&[], &[], channel_keys],
            false => [own, tags, channel_keys],
        };
        let last_mark = state.marks.last(&looked_up);
        if last_mark <= stamp.at
            && let Some(quiet) = quiet
        {
            quiet.reached(now);
        }
        let mut judgement = Judgement {
            standing: if last_mark > stamp.at {
                state.marks.standing(&[own, tags, channel_keys], stamp.at)
            } else {
                Standing::Clean
            },
            last_mark,
            last_message: channels
                .iter()
                .map(|c| state.registry.last(c))
                .fold(left_at, Position::max),
        };
        if more_channels {
            let purged = state.last_channel_purge;
            if purged > stamp.at {
                judgement.standing = judgement.standing.max(Standing::Blocked);
                judgement.last_mark = last_mark.max(purged);
            }
            judgement.last_message = now;
        }
        judgement
    }
}

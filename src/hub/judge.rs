//! What happened to a stored answer's targets and channels since its stamp.

use super::Hub;
use crate::marks::Standing;
use crate::message::Channel;
use crate::order::TargetKey;
use crate::position::Position;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What is asked of the marks and logs.
#[derive(Clone, Copy)]
pub(crate) struct Since<'a> {
    /// The answer's stamp.
    pub(crate) stamp: Position,
    /// Its own targets.
    pub(crate) keys: [&'a [TargetKey]; 2],
    /// What was found of them before.
    pub(crate) quiet: Option<&'a Quiet>,
    /// The targets that its channels are. More may be learned.
    pub(crate) channel_keys: &'a [TargetKey],
    /// Its channels.
    pub(crate) channels: &'a [Channel],
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
        } = since;
        let clean = Judgement {
            standing: Standing::Clean,
            last_mark: Position::ZERO,
            last_message: Position::ZERO,
        };
        let is_quiet = |now| quiet.is_some_and(|quiet| quiet.reaches(now));
        let without_channels = channel_keys.is_empty() && channels.is_empty();
        let now = self.now();
        if stamp >= now || (without_channels && is_quiet(now)) {
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
        if last_mark <= stamp
            && let Some(quiet) = quiet
        {
            quiet.reached(now);
        }
        Judgement {
            standing: if last_mark > stamp {
                state.marks.standing(&[own, tags, channel_keys], stamp)
            } else {
                Standing::Clean
            },
            last_mark,
            last_message: channels
                .iter()
                .map(|c| state.registry.last(c))
                .max()
                .unwrap_or_default(),
        }
    }
}

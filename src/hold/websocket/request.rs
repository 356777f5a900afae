//! The one request that may be under way, and when it is made again.

use std::time::Duration;

use tokio::time::Instant;

use super::output::AskKind;
use crate::time::after;

/// So often a request is made again that an origin cannot have acted on: after 1, 2, 4, 8 and 16 s, each up to a second
/// more, so that the clients of an origin do not come back together. As the reference proxy does.
pub(super) const MAX_RETRIES: u8 = 5;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MOST_JITTER: Duration = Duration::from_secs(1);

/// Whether a request is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// There is none.
    Idle,
    /// It has the first so many events of the backlog.
    Running {
        offered: u32,
        /// Those were all.
        is_all: bool,
        kind: AskKind,
    },
    /// It is made again at this time, with whatever has come since.
    Waiting { at: Instant, kind: AskKind },
}

// === impl Request ===

impl Request {
    pub(super) fn is_idle(self) -> bool {
        self == Self::Idle
    }

    pub(super) fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    pub(super) fn due(self) -> Option<Instant> {
        match self {
            Self::Waiting { at, .. } => Some(at),
            Self::Idle | Self::Running { .. } => None,
        }
    }
}

/// When a request is made again that was made again so often before.
pub(super) fn retry_at(now: Instant, retries: u8) -> Instant {
    let delay = FIRST_DELAY * (1 << retries.min(MAX_RETRIES));
    after(now, delay + MOST_JITTER.mul_f64(fastrand::f64()))
}

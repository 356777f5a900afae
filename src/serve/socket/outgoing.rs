//! What goes out, and a reader that takes nothing.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::serve::stats::Stats;
use crate::serve::timer::Timer;
use crate::time::after;

/// Looks at what becomes of writes.
pub(super) struct Outgoing {
    /// Longest time in which the peer may take nothing.
    stall: Duration,
    timer: Timer,
    /// The peer takes nothing since this time.
    stalled_since: Option<Instant>,
}

// === impl Outgoing ===

impl Outgoing {
    pub(super) fn new(stall: Duration) -> Self {
        Self {
            stall,
            timer: Timer::default(),
            stalled_since: None,
        }
    }

    /// Of something else on the same socket.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.stall)
    }

    /// Passes the outcome of a write on, or cuts a peer that takes nothing for too long.
    pub(super) fn time<T>(
        &mut self,
        stats: &Stats,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled_since = None;
            return outcome;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        ready!(self.timer.poll(after(since, self.stall), cx));
        stats.count_stall();
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the reader makes no progress",
        )))
    }
}

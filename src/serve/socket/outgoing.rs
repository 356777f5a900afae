//! What goes out, and a reader that takes nothing.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::serve::stats::Stats;
use crate::serve::streams::Streams;
use crate::serve::timer::Timer;
use crate::sync::Arc;
use crate::time::after;

/// Looks at what becomes of writes.
pub(super) struct Outgoing {
    /// Longest time in which the peer may take nothing.
    stall: Duration,
    timer: Timer,
    /// The peer takes nothing since this time.
    stalled_since: Option<Instant>,
    /// Who else wants to know whether all is written, and whether they were told that it is not.
    streams: Option<Arc<Streams>>,
    is_full: bool,
}

// === impl Outgoing ===

impl Outgoing {
    pub(super) fn new(stall: Duration) -> Self {
        Self {
            stall,
            timer: Timer::default(),
            stalled_since: None,
            streams: None,
            is_full: false,
        }
    }

    pub(super) fn speak_http2(&mut self, streams: Arc<Streams>) {
        self.streams = Some(streams);
    }

    /// All that was written before is with the kernel.
    pub(super) fn flushed(&mut self) {
        if std::mem::take(&mut self.is_full)
            && let Some(streams) = &self.streams
        {
            streams.empty();
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
        if !std::mem::replace(&mut self.is_full, true)
            && let Some(streams) = &self.streams
        {
            streams.fill();
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

//! A client that has sent more than is read ahead of its answers: nobody would see it leave.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::serve::timer::Timer;
use crate::time::after;

/// How long a client that cannot be seen has got nothing.
///
/// The end of its stream stands behind bytes that are not read, and so does the news of a reset. What is written to it
/// would fail.
#[derive(Default)]
pub(super) struct Unseen {
    since: Option<Instant>,
    timer: Timer,
}

// === impl Unseen ===

impl Unseen {
    /// Its bytes are read again.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// It has got something.
    pub(super) fn written(&mut self) {
        if let Some(since) = &mut self.since {
            *since = Instant::now();
        }
    }

    /// It cannot be seen now. Ready when that has lasted too long.
    pub(super) fn poll(&mut self, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.timer.poll(after(since, patience), cx)
    }
}

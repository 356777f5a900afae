//! When the next head has to be there.

use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use crate::serve::limits::Limits;
use crate::serve::timer::Timer;
use crate::sync::Arc;
use crate::time::after;

/// When the next head has to be there.
pub(super) struct HeadClock {
    limits: Arc<Limits>,
    timer: Timer,
    accepted_at: Instant,
    /// No head was read yet, and HTTP/2 not begun.
    is_first: bool,
    /// Its first byte came at this time.
    since: Option<Instant>,
    /// Nothing is under way since this time; `None` until the next look for a head.
    idle_since: Option<Instant>,
}

/// What did not come in time.
pub(super) enum Late {
    /// The rest of a head.
    Rest,
    /// Any byte of one.
    All,
}

// === impl HeadClock ===

impl HeadClock {
    /// Of a connection that is accepted now.
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            timer: Timer::default(),
            accepted_at: Instant::now(),
            is_first: true,
            since: None,
            idle_since: None,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether no head has come yet.
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// A part of a head is there.
    pub(super) fn begin(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// All of it is there, or no more is looked for.
    pub(super) fn end(&mut self) {
        self.since = None;
        self.is_first = false;
        self.idle_since = None;
    }

    /// Ready when it is too late.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        let (deadline, late) = match self.since {
            Some(since) => (after(since, self.limits.head), Late::Rest),
            None if self.is_first => (after(self.accepted_at, self.limits.head), Late::All),
            None => {
                let since = *self.idle_since.get_or_insert_with(Instant::now);
                (after(since, self.limits.idle), Late::All)
            }
        };
        ready!(self.timer.poll(deadline, cx));
        Poll::Ready(late)
    }
}

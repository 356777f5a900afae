//! A reader of a body's log.

use std::task::{Context, Poll};

use super::body::{End, Log};
use super::readers::Seat;
use crate::sync::Arc;

/// What a cursor finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    /// The next entry.
    Entry(T),
    /// Nothing more will come.
    End(End),
    /// The next entry is no longer there.
    Lagged,
}

/// A reader of a [`Log`].
pub(crate) struct Cursor<T> {
    log: Arc<Log<T>>,
    next: u64,
    /// Unless the log had ended when it was made.
    seat: Option<Seat>,
}

// === impl Cursor ===

impl<T> std::fmt::Debug for Cursor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl<T: Clone> Cursor<T> {
    /// The next entry, and moves past it.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<T>> {
        let mut waits = false;
        loop {
            let changes = self.log.changes();
            if let Some(next) = self.look() {
                if matches!(next, Next::Entry(_)) {
                    self.advance();
                }
                return Poll::Ready(next);
            }
            if let Some(seat) = &self.seat {
                seat.wait(changes, cx.waker(), !waits);
                waits = true;
            }
            if self.log.changes() == changes {
                return Poll::Pending;
            }
        }
    }

    fn look(&self) -> Option<Next<T>> {
        if self.log.frozen.get().is_none() {
            let inner = self.log.inner.lock();
            let Some(place) = self.next.checked_sub(inner.first) else {
                return Some(Next::Lagged);
            };
            if let Some(entry) = inner.entries.get(place as usize) {
                return Some(Next::Entry(entry.clone()));
            }
            match &inner.end {
                None => return None,
                // Frozen since the look above, or ended otherwise.
                Some(end) if self.log.frozen.get().is_none() => return Some(Next::End(end.clone())),
                Some(_) => {}
            }
        }
        let entries = self.log.frozen.get()?;
        Some(match entries.get(self.next as usize) {
            Some(entry) => Next::Entry(entry.clone()),
            None => Next::End(End::Complete),
        })
    }
}

impl<T> Cursor<T> {
    /// At the first entry.
    pub(super) fn new(log: Arc<Log<T>>, seat: Option<Seat>) -> Self {
        Self { log, next: 0, seat }
    }

    fn advance(&mut self) {
        self.next += 1;
        if self.seat.is_some() {
            self.log.has_moved(self.next - 1, self.next);
        }
    }

    /// Whether everything was read and nothing more will come.
    #[cfg(feature = "cache")]
    pub(crate) fn is_at_complete_end(&self) -> bool {
        let entries = self.log.frozen.get();
        entries.is_some_and(|entries| self.next as usize >= entries.len())
    }
}

impl<T> Drop for Cursor<T> {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            self.log.leave(seat, self.next);
        }
    }
}

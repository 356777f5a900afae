//! What bodies need of a log: it ends, and its writer can wait for its readers.

use std::task::{Context, Poll};

use super::{Cursor, End, Log, Next};
use crate::sync::Arc;

// === impl Log ===

impl<T> Log<T> {
    /// A log that has ended, with these entries.
    pub(crate) fn finished(entries: Vec<T>) -> Self {
        let log = Self::new();
        log.inner.lock().end = Some(End::Complete);
        let _ = log.frozen.set(entries.into());
        log
    }

    /// Ends the log. A second end changes nothing.
    pub(crate) fn end(&self, end: End) {
        let mut inner = self.inner.lock();
        if inner.end.is_some() {
            return;
        }
        if end == End::Complete && inner.base == 0 && !inner.window {
            let entries: Vec<T> = std::mem::take(&mut inner.entries).into();
            let _ = self.frozen.set(entries.into());
        }
        inner.end = Some(end);
        drop(inner);
        self.wake();
    }

    /// From now on entries are forgotten as soon as every reader has had them. Returns false, and changes
    /// nothing, if the log has ended.
    pub(crate) fn set_window(&self) -> bool {
        let mut inner = self.inner.lock();
        if inner.end.is_some() {
            return false;
        }
        inner.window = true;
        inner.trim();
        true
    }

    /// Ready when `fits` says so of what waits for the slowest reader, or when nobody reads.
    pub(crate) fn poll_room(
        &self,
        fits: impl Fn(&mut dyn Iterator<Item = &T>) -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut inner = self.inner.lock();
        let Some(slowest) = inner.slowest() else {
            return Poll::Ready(());
        };
        if fits(&mut inner.entries.range((slowest - inner.base) as usize..)) {
            return Poll::Ready(());
        }
        inner.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The index of what the slowest reader that has not lagged takes next.
    pub(crate) fn slowest(&self) -> Option<u64> {
        self.inner.lock().slowest()
    }

    /// Whether somebody reads who has not lagged.
    pub(crate) fn is_read(&self) -> bool {
        self.inner.lock().slowest().is_some()
    }

    /// Ready when nobody reads, or only who has lagged.
    pub(crate) fn poll_deserted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.slowest().is_none() {
            return Poll::Ready(());
        }
        inner.deserted = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Forgets the oldest entries until the rest `fits`: readers that have not had the others have lagged.
    pub(crate) fn cut(&self, fits: impl Fn(&mut dyn Iterator<Item = &T>) -> bool) {
        {
            let mut inner = self.inner.lock();
            while !fits(&mut inner.entries.iter()) && inner.entries.pop_front().is_some() {
                inner.base += 1;
            }
        }
        self.wake();
    }

    /// All entries, if it ended with all of them.
    #[cfg(feature = "cache")]
    pub(crate) fn whole(&self) -> Option<&[T]> {
        self.frozen.get().map(|entries| &**entries)
    }

    /// Reads from the first entry on. `None`, if that is no longer there.
    pub(crate) fn read(self: &Arc<Self>) -> Option<Cursor<T>> {
        if self.frozen.get().is_some() {
            return Some(Cursor {
                log: self.clone(),
                next: 0,
                slot: None,
            });
        }
        let mut inner = self.inner.lock();
        if inner.base > 0 {
            return None;
        }
        let slot = (self.frozen.get().is_none()).then(|| inner.take_slot(0));
        Some(Cursor {
            log: self.clone(),
            next: 0,
            slot,
        })
    }
}

// === impl Cursor ===

impl<T: Clone> Cursor<T> {
    /// The next entry, and moves past it.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<T>> {
        let next = self.poll_peek(cx);
        if matches!(next, Poll::Ready(Next::Entry(_))) {
            self.advance();
        }
        next
    }
}

impl<T> Cursor<T> {
    /// Whether everything was read and nothing more will come.
    #[cfg(feature = "cache")]
    pub(crate) fn is_at_complete_end(&self) -> bool {
        self.log
            .frozen
            .get()
            .is_some_and(|entries| self.next as usize >= entries.len())
    }
}

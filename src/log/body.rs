//! What bodies need of a log: it ends, and its writer can wait for its readers.

use std::task::{Context, Poll, Waker};

use super::{Cursor, End, Inner, Log, Next};
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
        if end == End::Complete && inner.numbers.first() == 0 && !inner.window {
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
        let trimmed = inner.trim();
        drop(inner);
        trimmed.settle();
        true
    }

    /// Ready when at most `ahead` entries wait for the slowest reader, or nobody reads.
    pub(crate) fn poll_room(&self, ahead: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_unless(
            |inner| {
                inner
                    .slowest()
                    .is_some_and(|slowest| inner.head() - slowest > ahead)
            },
            |inner, waker| inner.writer.replace((ahead, waker)).map(|(_, old)| old),
            cx,
        )
    }

    /// Where the slowest reader is, and whether another one has had everything and waits.
    #[cfg(feature = "cache")]
    pub(crate) fn slowest(&self) -> Option<(u64, bool)> {
        let inner = self.inner.lock();
        let head = inner.head();
        let waits = |slot: &super::Slot| slot.taken && slot.next == head;
        Some((inner.slowest()?, inner.readers.iter().any(waits)))
    }

    /// Whether somebody reads who has not lagged.
    pub(crate) fn is_read(&self) -> bool {
        self.inner.lock().slowest().is_some()
    }

    /// Ready when nobody reads, or only who has lagged.
    pub(crate) fn poll_deserted(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_unless(
            |inner| inner.slowest().is_some(),
            |inner, waker| inner.deserted.replace(waker),
            cx,
        )
    }

    /// Pending while `waits` says so, with a waker that `keep` takes in the place of an old one.
    fn poll_unless(
        &self,
        waits: impl Fn(&Inner<T>) -> bool,
        keep: impl Fn(&mut Inner<T>, Waker) -> Option<Waker>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut new = None;
        loop {
            let mut inner = self.inner.lock();
            if !waits(&inner) {
                return Poll::Ready(());
            }
            // Cloned without the lock: then it is looked once more.
            let Some(new) = new.take() else {
                drop(inner);
                new = Some(cx.waker().clone());
                continue;
            };
            let old = keep(&mut inner, new);
            drop(inner);
            drop(old);
            return Poll::Pending;
        }
    }

    /// Forgets all but `ahead` entries: readers that have not had the others have lagged.
    pub(crate) fn cut(&self, ahead: u64) {
        let gone: Vec<T> = {
            let mut inner = self.inner.lock();
            let surplus = (inner.entries.len() as u64).saturating_sub(ahead);
            (0..surplus).map_while(|_| inner.pop_front(true)).collect()
        };
        drop(gone);
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
        if inner.numbers.first() > 0 {
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

//! An append-only log, and cursors that read it.
//!
//! A cached body is a log of chunks that ends; a channel is a log of messages that does not. A reader is a
//! cursor and a waker. Memory is the log's, never the reader's: a reader whose entries are gone has *lagged*.
//!
//! A reader looks and registers its waker under one lock, so no append falls between the two. Wakers are taken
//! out under the lock and woken after it.

#[cfg(any(feature = "cache", all(test, gripstack_shuttle)))]
mod body;

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex};

/// An append-only log. Entries have consecutive indices, the first one 0.
pub(crate) struct Log<T> {
    inner: Mutex<Inner<T>>,
    /// The entries of a log that has ended completely: read without a lock.
    frozen: OnceLock<Box<[T]>>,
}

struct Inner<T> {
    entries: VecDeque<T>,
    /// Index of the first entry that is still here.
    base: u64,
    end: Option<End>,
    /// A reader that fell off the tail goes on at the oldest entry instead of lagging.
    skips: bool,
    /// Entries are forgotten as soon as every reader has had them.
    window: bool,
    readers: Vec<Slot>,
    free: Vec<usize>,
    /// Who waits until the readers have had more.
    writer: Option<Waker>,
    /// Who waits until nobody reads.
    deserted: Option<Waker>,
}

/// A reader's place in the log: where it is, and who to wake.
struct Slot {
    next: u64,
    waker: Option<Waker>,
    taken: bool,
}

/// How a log ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is all there.
    Complete,
    /// It broke off.
    #[cfg(any(feature = "cache", all(test, gripstack_shuttle)))]
    Failed(Arc<str>),
}

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
    slot: Option<usize>,
}

// === impl Log ===

impl<T> Log<T> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: VecDeque::new(),
                base: 0,
                end: None,
                skips: false,
                window: false,
                readers: Vec::new(),
                free: Vec::new(),
                writer: None,
                deserted: None,
            }),
            frozen: OnceLock::new(),
        }
    }

    /// Appends without waking anybody; [`Log::wake`] does that, once the caller holds no lock.
    pub(crate) fn append(&self, entry: T) {
        let mut inner = self.inner.lock();
        debug_assert!(inner.end.is_none(), "append after the end");
        inner.entries.push_back(entry);
    }

    /// Wakes every waiting reader.
    pub(crate) fn wake(&self) {
        let wakers: Vec<Waker> = {
            let mut inner = self.inner.lock();
            inner
                .readers
                .iter_mut()
                .filter_map(|slot| slot.waker.take())
                .collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// Forgets the oldest entry.
    pub(crate) fn pop_front(&self) -> Option<T> {
        let mut inner = self.inner.lock();
        let entry = inner.entries.pop_front()?;
        inner.base += 1;
        Some(entry)
    }

    /// From now on a reader that fell off the tail goes on at the oldest entry.
    pub(crate) fn set_skips(&self) {
        self.inner.lock().skips = true;
    }

    /// Cursors that have not been dropped, unless the log had ended when they were made.
    pub(crate) fn readers(&self) -> usize {
        let inner = self.inner.lock();
        inner.readers.len() - inner.free.len()
    }

    /// Reads from the first entry that `wanted` accepts on; entries must be ordered by it.
    pub(crate) fn read_from(self: &Arc<Self>, wanted: impl Fn(&T) -> bool) -> Cursor<T> {
        let mut inner = self.inner.lock();
        let next = inner.base + inner.entries.partition_point(|entry| !wanted(entry)) as u64;
        let slot = (self.frozen.get().is_none()).then(|| inner.take_slot(next));
        Cursor {
            log: self.clone(),
            next,
            slot,
        }
    }

    /// Looks at the entries that are still here, oldest first.
    pub(crate) fn with_entries<R>(&self, look: impl FnOnce(&mut dyn Iterator<Item = &T>) -> R) -> R {
        match self.frozen.get() {
            Some(entries) => look(&mut entries.iter()),
            None => look(&mut self.inner.lock().entries.iter()),
        }
    }
}

// === impl Inner ===

impl<T> Inner<T> {
    fn take_slot(&mut self, next: u64) -> usize {
        let slot = Slot {
            next,
            waker: None,
            taken: true,
        };
        match self.free.pop() {
            Some(index) => {
                self.readers[index] = slot;
                index
            }
            None => {
                self.readers.push(slot);
                self.readers.len() - 1
            }
        }
    }

    /// Where the slowest reader is. One that has lagged is not waited for.
    fn slowest(&self) -> Option<u64> {
        self.readers
            .iter()
            .filter(|slot| slot.taken && slot.next >= self.base)
            .map(|slot| slot.next)
            .min()
    }

    /// In a window, forgets what every reader has had. Returns the writer to wake, if it may have room now.
    fn trim(&mut self) -> Option<Waker> {
        if !self.window {
            return None;
        }
        let head = self.base + self.entries.len() as u64;
        let slowest = self.slowest().unwrap_or(head);
        let base = self.base;
        while self.base < slowest && self.entries.pop_front().is_some() {
            self.base += 1;
        }
        if self.base > base {
            self.writer.take()
        } else {
            None
        }
    }
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
    /// The next entry, without moving past it.
    pub(crate) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<Next<T>> {
        if let Some(entries) = self.log.frozen.get() {
            return Poll::Ready(match entries.get(self.next as usize) {
                Some(entry) => Next::Entry(entry.clone()),
                None => Next::End(End::Complete),
            });
        }
        let mut inner = self.log.inner.lock();
        if self.next < inner.base {
            if !inner.skips {
                return Poll::Ready(Next::Lagged);
            }
            self.next = inner.base;
        }
        if let Some(entry) = inner.entries.get((self.next - inner.base) as usize) {
            return Poll::Ready(Next::Entry(entry.clone()));
        }
        // Frozen since the look above, or ended otherwise.
        if let Some(end) = &inner.end {
            return match self
                .log
                .frozen
                .get()
                .and_then(|entries| entries.get(self.next as usize))
            {
                Some(entry) => Poll::Ready(Next::Entry(entry.clone())),
                None => Poll::Ready(Next::End(end.clone())),
            };
        }
        if let Some(slot) = self.slot {
            let waker = &mut inner.readers[slot].waker;
            if !waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        Poll::Pending
    }
}

impl<T> Cursor<T> {
    /// Moves past one entry.
    pub(crate) fn advance(&mut self) {
        self.next += 1;
        let Some(slot) = self.slot else { return };
        let writer = {
            let mut inner = self.log.inner.lock();
            inner.readers[slot].next = self.next;
            inner.trim()
        };
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Goes on at the oldest entry that is still here.
    pub(crate) fn skip_to_tail(&mut self) {
        let base = self.log.inner.lock().base;
        self.next = self.next.max(base);
    }
}

impl<T> Drop for Cursor<T> {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let (waker, writers) = {
            let mut inner = self.log.inner.lock();
            let waker = inner.readers[slot].waker.take();
            inner.readers[slot].taken = false;
            inner.free.push(slot);
            if inner.free.len() == inner.readers.len() {
                inner.readers = Vec::new();
                inner.free = Vec::new();
            }
            let deserted = match inner.deserted.is_some() && inner.slowest().is_none() {
                true => inner.deserted.take(),
                false => None,
            };
            (waker, [inner.trim(), deserted])
        };
        drop(waker);
        for writer in writers.into_iter().flatten() {
            writer.wake();
        }
    }
}

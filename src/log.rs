//! An append-only log, and cursors that read it.
//!
//! A cached body is a log of chunks that ends; a channel is a log of messages that does not. A reader is a
//! cursor and a waker. Memory is the log's, never the reader's: a reader whose entries are gone has *lagged*.
//!
//! The last entry may be replaced: who has not read it reads only the new one, who has reads that as well.
//!
//! A reader looks and registers its waker under one lock, so no append falls between the two. Entries and wakers are
//! their users': under the lock they are moved, never dropped, woken or (wakers) cloned, for that may call back.

#[cfg(any(feature = "cache", all(test, gripstack_shuttle)))]
mod body;
mod numbers;

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use self::numbers::Numbers;
use crate::sync::{Arc, Mutex};

/// An append-only log. Entries have growing numbers, the first one 0.
pub(crate) struct Log<T> {
    inner: Mutex<Inner<T>>,
    /// The entries of a log that has ended completely: read without a lock.
    frozen: OnceLock<Box<[T]>>,
    /// Nobody asks where its readers are: they go on without telling.
    endless: bool,
}

struct Inner<T> {
    entries: VecDeque<T>,
    numbers: Numbers,
    /// A reader that has not come to this number has missed something that is gone.
    missed: u64,
    end: Option<End>,
    /// Entries are forgotten as soon as every reader has had them.
    window: bool,
    readers: Vec<Slot>,
    free: Vec<usize>,
    /// Who waits until the readers have had all but a few entries.
    writer: Option<(u64, Waker)>,
    /// Who waits until nobody reads.
    deserted: Option<Waker>,
}

/// A reader's place in the log: where it is, and who to wake.
struct Slot {
    next: u64,
    waker: Option<Waker>,
    taken: bool,
}

/// What is done once the lock is released.
#[must_use]
struct Trimmed<T> {
    /// Entries that everybody has had. Mostly it is one.
    last: Option<T>,
    others: Vec<T>,
    /// Who has room to write now.
    writer: Option<Waker>,
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
                numbers: Numbers::default(),
                missed: 0,
                end: None,
                window: false,
                readers: Vec::new(),
                free: Vec::new(),
                writer: None,
                deserted: None,
            }),
            frozen: OnceLock::new(),
            endless: false,
        }
    }

    /// A log that never ends, nor becomes a window.
    pub(crate) fn endless() -> Self {
        Self {
            endless: true,
            ..Self::new()
        }
    }

    /// Appends without waking anybody; [`Log::wake`] does that, once the caller holds no lock. Returns its number.
    pub(crate) fn append(&self, entry: T) -> u64 {
        let mut inner = self.inner.lock();
        debug_assert!(inner.end.is_none(), "append after the end");
        inner.entries.push_back(entry);
        inner.numbers.number(inner.entries.len() - 1)
    }

    /// Puts this in the place of the last entry, which is returned, and gives it the next number. Wakes nobody either.
    /// Without an entry it does nothing and returns what it was given.
    pub(crate) fn replace_last(&self, entry: T) -> T {
        let mut inner = self.inner.lock();
        debug_assert!(!inner.window && inner.end.is_none(), "bodies only grow");
        let entries = inner.entries.len();
        match inner.entries.back_mut() {
            None => entry,
            Some(last) => {
                let old = std::mem::replace(last, entry);
                inner.numbers.replace_last(entries);
                old
            }
        }
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

    /// Forgets the oldest entry. Whether a reader that has not had it has `missed` something, or just goes on at the
    /// next one.
    pub(crate) fn pop_front(&self, missed: bool) -> Option<T> {
        self.inner.lock().pop_front(missed)
    }

    /// The number of the oldest entry, or of the next one if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.inner.lock().numbers.first()
    }

    /// The number of the last entry.
    pub(crate) fn last(&self) -> Option<u64> {
        let inner = self.inner.lock();
        Some(inner.numbers.number(inner.entries.len().checked_sub(1)?))
    }

    /// Whether the entry of this number is still here.
    pub(crate) fn has(&self, number: u64) -> bool {
        let inner = self.inner.lock();
        let (place, found) = inner.numbers.at_or_after(number);
        found == number && place < inner.entries.len()
    }

    /// Cursors that have not been dropped, unless the log had ended when they were made.
    pub(crate) fn readers(&self) -> usize {
        let inner = self.inner.lock();
        inner.readers.len() - inner.free.len()
    }

    /// Reads from the first entry that `wanted` accepts on; entries must be ordered by it.
    pub(crate) fn read_from(self: &Arc<Self>, wanted: impl Fn(&T) -> bool) -> Cursor<T> {
        let mut inner = self.inner.lock();
        let place = inner.entries.partition_point(|entry| !wanted(entry));
        let next = inner.numbers.number(place);
        let slot = (self.frozen.get().is_none()).then(|| inner.take_slot(next));
        Cursor {
            log: self.clone(),
            next,
            slot,
        }
    }

    /// Looks at the entries that are still here, oldest first.
    pub(crate) fn with_entries<R>(
        &self,
        look: impl FnOnce(&mut dyn DoubleEndedIterator<Item = &T>) -> R,
    ) -> R {
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

    fn pop_front(&mut self, missed: bool) -> Option<T> {
        let entry = self.entries.pop_front()?;
        if missed {
            self.missed = self.numbers.first() + 1;
        }
        self.numbers.pop_front();
        Some(entry)
    }

    /// The number of the next entry to come.
    fn head(&self) -> u64 {
        self.numbers.next(self.entries.len())
    }

    /// Where the slowest reader is. One that has lagged is not waited for.
    fn slowest(&self) -> Option<u64> {
        self.readers
            .iter()
            .filter(|slot| slot.taken && slot.next >= self.missed)
            .map(|slot| slot.next)
            .min()
    }

    /// In a window, forgets what every reader has had.
    fn trim(&mut self) -> Trimmed<T> {
        let mut trimmed = Trimmed {
            last: None,
            others: Vec::new(),
            writer: None,
        };
        if !self.window {
            return trimmed;
        }
        let head = self.head();
        let slowest = self.slowest().unwrap_or(head);
        while self.numbers.first() < slowest
            && let Some(entry) = self.pop_front(true)
        {
            trimmed.others.extend(trimmed.last.replace(entry));
        }
        if matches!(&self.writer, Some((ahead, _)) if head - slowest <= *ahead) {
            trimmed.writer = self.writer.take().map(|(_, waker)| waker);
        }
        trimmed
    }
}

// === impl Trimmed ===

impl<T> Trimmed<T> {
    /// To be called without the lock.
    fn settle(self) {
        let Self { last, others, writer } = self;
        drop((others, last));
        if let Some(writer) = writer {
            writer.wake();
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
        let mut new = None;
        loop {
            let mut inner = self.log.inner.lock();
            if self.next < inner.missed {
                return Poll::Ready(Next::Lagged);
            }
            let (place, number) = inner.numbers.at_or_after(self.next);
            if let Some(entry) = inner.entries.get(place) {
                self.next = number;
                return Poll::Ready(Next::Entry(entry.clone()));
            }
            // Frozen since the look above, or ended otherwise.
            if let Some(end) = &inner.end {
                let entries = self.log.frozen.get();
                return match entries.and_then(|entries| entries.get(self.next as usize)) {
                    Some(entry) => Poll::Ready(Next::Entry(entry.clone())),
                    None => Poll::Ready(Next::End(end.clone())),
                };
            }
            let Some(slot) = self.slot else {
                return Poll::Pending;
            };
            let waker = &mut inner.readers[slot].waker;
            if waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            // Cloned without the lock: then it is looked once more.
            let old = match new.take() {
                Some(new) => waker.replace(new),
                None => {
                    drop(inner);
                    new = Some(cx.waker().clone());
                    continue;
                }
            };
            drop(inner);
            drop(old);
            return Poll::Pending;
        }
    }
}

impl<T> Cursor<T> {
    /// Moves past one entry.
    pub(crate) fn advance(&mut self) {
        self.next += 1;
        let Some(slot) = self.slot.filter(|_| !self.log.endless) else {
            return;
        };
        let trimmed = {
            let mut inner = self.log.inner.lock();
            inner.readers[slot].next = self.next;
            inner.trim()
        };
        trimmed.settle();
    }

    /// Goes on at the oldest entry that is still here.
    pub(crate) fn skip_to_tail(&mut self) {
        self.next = self.next.max(self.log.first());
    }
}

impl<T> Drop for Cursor<T> {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let (waker, deserted, trimmed) = {
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
            (waker, deserted, inner.trim())
        };
        drop(waker);
        trimmed.settle();
        if let Some(deserted) = deserted {
            deserted.wake();
        }
    }
}

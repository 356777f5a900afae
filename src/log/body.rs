//! The log of a body: it ends, and its writer can wait for its readers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use super::cursor::Cursor;
use super::readers::{Readers, Seat};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Arc, Mutex};

/// An append-only log that ends. Entries are numbered from 0 on.
pub(crate) struct Log<T> {
    pub(super) inner: Mutex<Inner<T>>,
    /// How often it was changed.
    changes: AtomicU32,
    /// The entries of a log that has ended completely: read without a lock.
    pub(super) frozen: OnceLock<Box<[T]>>,
}

pub(super) struct Inner<T> {
    pub(super) entries: VecDeque<T>,
    /// The number of the first entry that is still here, or of the next one if there is none. Who has not come to it has
    /// lagged.
    pub(super) first: u64,
    pub(super) end: Option<End>,
    /// Entries are forgotten as soon as every reader has had them.
    window: bool,
    readers: Readers,
    /// How many readers are at a number.
    places: BTreeMap<u64, usize>,
    /// Who waits until the readers have had all but a few entries.
    writer: Option<(u64, Waker)>,
    /// Who waits until nobody reads.
    deserted: Option<Waker>,
}

/// What is done once the lock is released.
#[must_use]
pub(super) struct Trimmed<T> {
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
    Failed(Arc<str>),
}

// === impl Log ===

impl<T> Log<T> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: VecDeque::new(),
                first: 0,
                end: None,
                window: false,
                readers: Readers::default(),
                places: BTreeMap::new(),
                writer: None,
                deserted: None,
            }),
            changes: AtomicU32::new(0),
            frozen: OnceLock::new(),
        }
    }

    /// A log that has ended, with these entries.
    pub(crate) fn finished(entries: Vec<T>) -> Self {
        let log = Self::new();
        log.inner.lock().end = Some(End::Complete);
        let _ = log.frozen.set(entries.into());
        log
    }

    /// Appends without waking anybody; [`Log::wake`] does that, once the caller holds no lock.
    pub(crate) fn append(&self, entry: T) {
        let mut inner = self.inner.lock();
        debug_assert!(inner.end.is_none(), "append after the end");
        inner.entries.push_back(entry);
        self.has_changed();
    }

    /// Ends the log. A second end changes nothing.
    pub(crate) fn end(&self, end: End) {
        let mut inner = self.inner.lock();
        if inner.end.is_some() {
            return;
        }
        if end == End::Complete && inner.first == 0 && !inner.window {
            let entries: Vec<T> = std::mem::take(&mut inner.entries).into();
            let _ = self.frozen.set(entries.into());
        }
        inner.end = Some(end);
        self.has_changed();
        drop(inner);
        self.wake();
    }

    /// Wakes every reader that waits and has not seen the last change.
    pub(crate) fn wake(&self) {
        self.inner.lock().readers.call();
        loop {
            let Some((row, _)) = self.inner.lock().readers.next_due() else {
                return;
            };
            row.wake(self.changes());
        }
    }

    /// How often it was changed: to be read before a look.
    pub(super) fn changes(&self) -> u32 {
        self.changes.load(Ordering::SeqCst)
    }

    /// To be called under the lock.
    fn has_changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
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
        Some((inner.slowest()?, inner.places.contains_key(&inner.head())))
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
            self.has_changed();
            (0..surplus).map_while(|_| inner.pop_front()).collect()
        };
        drop(gone);
        self.wake();
    }

    /// All entries, if it ended with all of them.
    #[cfg(feature = "cache")]
    pub(crate) fn whole(&self) -> Option<&[T]> {
        self.frozen.get().map(|entries| &**entries)
    }

    /// Reads from the first entry on. `None`, if that is no longer there. Apart from what a body of one chunk costs.
    #[inline(never)]
    pub(crate) fn read(self: &Arc<Self>) -> Option<Cursor<T>> {
        if self.frozen.get().is_some() {
            return Some(Cursor::new(self.clone(), None));
        }
        let mut inner = self.inner.lock();
        if inner.first > 0 {
            return None;
        }
        let seat = (self.frozen.get().is_none()).then(|| inner.join());
        Some(Cursor::new(self.clone(), seat))
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

    /// A reader went from one number to another.
    pub(super) fn has_moved(&self, from: u64, to: u64) {
        let trimmed = {
            let mut inner = self.inner.lock();
            *inner.places.entry(to).or_default() += 1;
            inner.leave_place(from);
            inner.trim()
        };
        trimmed.settle();
    }

    /// A reader that was at this number goes.
    pub(super) fn leave(&self, seat: &Seat, at: u64) {
        let (waker, deserted, trimmed) = {
            let mut inner = self.inner.lock();
            let waker = inner.readers.leave(seat);
            inner.leave_place(at);
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

// === impl Inner ===

impl<T> Inner<T> {
    fn join(&mut self) -> Seat {
        *self.places.entry(0).or_default() += 1;
        self.readers.join()
    }

    fn leave_place(&mut self, at: u64) {
        if let Some(readers) = self.places.get_mut(&at) {
            *readers -= 1;
            if *readers == 0 {
                self.places.remove(&at);
            }
        }
    }

    fn pop_front(&mut self) -> Option<T> {
        let entry = self.entries.pop_front()?;
        self.first += 1;
        Some(entry)
    }

    /// The number of the next entry to come.
    fn head(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Where the slowest reader is. One that has lagged is not waited for.
    fn slowest(&self) -> Option<u64> {
        let (place, _) = self.places.range(self.first..).next()?;
        Some(*place)
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
        while self.first < slowest
            && let Some(entry) = self.pop_front()
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

//! The streams of an HTTP/2 connection: how many there are, and whether their readers move.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

use super::panics::guarded;
use super::quiet::Quiet;
use super::stats::Stats;
use super::timer::Timer;
use super::windows::Windows;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};
use crate::time::after;

/// What HTTP/2 gives to one stream before it is the next one's turn.
const TURN_BYTES: usize = 16 << 10;

/// The streams of an HTTP/2 connection.
pub(super) struct Streams {
    active: AtomicUsize,
    rest: Mutex<Rest>,
    windows: Arc<Windows>,
    /// Of the stream whose request was given to the service and whose task comes next.
    next: Mutex<Option<Arc<Handed>>>,
    /// The client sends what brings nothing, and too much of it.
    is_flooded: AtomicBool,
    stall: Duration,
    stats: Stats,
}

/// What there is of rest on a connection.
///
/// A stream's task ends when HTTP/2 has the whole of its answer, and that it has, as far as it can be known, only when the
/// reader's window has room for it ([`Handed::give`]). So what is left of it there waits for the socket, and nothing is under
/// way where there is no task and the socket has taken all that it was given.
struct Rest {
    quiet: Quiet,
    /// The window of all streams was used up, and was opened at this time by its clock: some of them get more by it, and none
    /// stalls because it waits for its turn.
    moved: Duration,
    /// By how much it was opened since then.
    opened: usize,
    /// The last of an answer was seen at this time.
    idle_since: Instant,
}

/// What a response's body has handed to its stream. A frame that was handed, with no further asked for, waits
/// for the reader.
#[derive(Default)]
pub(super) struct Handed {
    frames: AtomicU64,
    bytes: AtomicU64,
    waits_for_reader: AtomicBool,
    /// The reader opened its window for more than it was at first.
    is_read_on: AtomicBool,
    windows: Arc<Windows>,
}

/// Runs the tasks of streams for hyper, and ends those whose reader stalls, which resets the stream.
#[derive(Clone)]
pub(super) struct StreamExecutor(pub(super) Arc<Streams>);

pin_project_lite::pin_project! {
    struct StreamTask<F> {
        #[pin]
        future: F,
        handed: Option<Arc<Handed>>,
        frames: u64,
        // By the clock of the connection.
        since: Option<Duration>,
        timer: Timer,
        active: Active,
    }
}

/// One more active stream while it lives.
struct Active(Arc<Streams>);

// === impl Streams ===

impl Streams {
    pub(super) fn new(stall: Duration, stats: Stats) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            active: AtomicUsize::new(0),
            rest: Mutex::new(Rest {
                quiet: Quiet::new(now),
                moved: Duration::ZERO,
                opened: 0,
                idle_since: now,
            }),
            windows: Arc::default(),
            next: Mutex::new(None),
            is_flooded: AtomicBool::new(false),
            stall,
            stats,
        })
    }

    /// A request came. Hyper spawns its task next, before it takes another.
    pub(super) fn begin(&self) -> Arc<Handed> {
        let handed = Arc::new(Handed {
            windows: self.windows.clone(),
            ..Handed::default()
        });
        *self.next.lock() = Some(handed.clone());
        handed
    }

    /// What its client says of the windows of streams.
    pub(super) fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Its client opens the window of all streams by so much.
    pub(super) fn open_window(&self, bytes: u32) {
        if self.windows.are_used_up() {
            let mut rest = self.rest.lock();
            rest.opened += bytes as usize;
            if rest.opened >= TURN_BYTES {
                rest.opened = 0;
                rest.moved = rest.quiet.at(Instant::now());
            }
        }
        self.windows.open(bytes);
    }

    /// The client sends what brings nothing, and too much of it. Its connection looks whenever it has read.
    pub(super) fn flood(&self) {
        if !self.is_flooded.swap(true, Ordering::Relaxed) {
            self.stats.count_flood();
        }
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded.load(Ordering::Relaxed)
    }

    /// Ready when it does. Of the connection alone, which looks whenever it has read: nobody is woken.
    pub(super) fn poll_flooded(&self) -> Poll<()> {
        match self.is_flooded() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// The socket takes nothing more, and not all is written.
    pub(super) fn fill(&self) {
        self.rest.lock().quiet.fill(Instant::now());
    }

    /// All that there was to write is with the kernel.
    pub(super) fn empty(&self) {
        let now = Instant::now();
        let mut rest = self.rest.lock();
        rest.quiet.empty(now);
        rest.idle_since = now;
    }

    /// Resolves when there has been nothing under way for so long.
    pub(super) async fn idle_for(&self, patience: Duration) {
        loop {
            let idle_since = self.idle_since();
            // What becomes idle after this is not idle for so long before.
            let due = after(idle_since.unwrap_or_else(Instant::now), patience);
            if idle_since.is_some() && due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }

    /// Since when nothing is under way; `None`: something is.
    fn idle_since(&self) -> Option<Instant> {
        let rest = self.rest.lock();
        let is_idle = self.active.load(Ordering::Acquire) == 0 && !rest.quiet.is_full();
        is_idle.then_some(rest.idle_since)
    }

    /// When a reader stalls that has taken nothing since this time, which begins now if it has not; while nobody can be
    /// given anything: when to look again.
    fn stalls_at(&self, since: &mut Option<Duration>) -> Instant {
        let now = Instant::now();
        let rest = self.rest.lock();
        let quiet = rest.quiet.at(now);
        let since = *since.get_or_insert(quiet);
        let waited = quiet.saturating_sub(since.max(rest.moved));
        let left = match rest.quiet.is_full() {
            true => self.stall,
            false => self.stall.saturating_sub(waited),
        };
        after(now, left)
    }
}

// === impl Handed ===

impl Handed {
    /// A frame with so many bytes of data is given. False: perhaps the reader's windows have no room for all of them. Then the
    /// last must be given by itself: hyper waits until there is room for one byte before it gives a frame to HTTP/2, so the
    /// stream lives until there is room for all, and its reader is looked at. That is done once for what goes on, for each
    /// message of a hold would become two, and with what is known to `end` an answer.
    pub(super) fn give(&self, bytes: usize, ends: bool) -> bool {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.waits_for_reader.store(true, Ordering::Release);
        let in_all = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let fits = self.windows.give(bytes, in_all);
        fits || self.is_read_on.fetch_or(bytes > 1, Ordering::Relaxed) && !ends
    }

    pub(super) fn wait_for_source(&self) {
        self.waits_for_reader.store(false, Ordering::Release);
    }
}

// === impl StreamExecutor ===

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let handed = self.0.next.lock().take();
        self.0.active.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(StreamTask {
            future,
            handed,
            frames: 0,
            since: None,
            timer: Timer::default(),
            active: Active(self.0.clone()),
        });
    }
}

// === impl StreamTask ===

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = self.project();
        let stats = &me.active.0.stats;
        std::task::ready!(match guarded(|| me.future.poll(cx))
            .unwrap_or_else(|panicked| panicked.count(stats))
        {
            Poll::Ready(()) => return Poll::Ready(()),
            Poll::Pending => match me.handed {
                Some(handed) if handed.waits_for_reader.load(Ordering::Acquire) => {
                    let frames = handed.frames.load(Ordering::Relaxed);
                    if frames != *me.frames {
                        *me.frames = frames;
                        *me.since = None;
                    }
                    me.timer.poll(me.active.0.stalls_at(me.since), cx)
                }
                _ => {
                    *me.since = None;
                    Poll::Pending
                }
            },
        });
        stats.count_stall();
        Poll::Ready(())
    }
}

// === impl Active ===

impl Drop for Active {
    fn drop(&mut self) {
        self.0.rest.lock().idle_since = Instant::now();
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}

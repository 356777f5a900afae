//! The streams of an HTTP/2 connection: how many there are, and whether their readers move.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

use super::panics::guarded;
use super::stats::Stats;
use super::timer::Timer;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};
use crate::time::after;

/// The streams of an HTTP/2 connection.
pub(super) struct Streams {
    active: AtomicUsize,
    idle_since: Mutex<Instant>,
    /// Of the stream whose request was given to the service and whose task comes next.
    next: Mutex<Option<Arc<Handed>>>,
    /// The client sends what brings nothing, and too much of it.
    is_flooded: AtomicBool,
    stall: Duration,
    stats: Stats,
}

/// What a response's body has handed to its stream. A frame that was handed, with no further asked for, waits
/// for the reader.
#[derive(Default)]
pub(super) struct Handed {
    frames: AtomicU64,
    waits_for_reader: AtomicBool,
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
        since: Option<Instant>,
        timer: Timer,
        active: Active,
    }
}

/// One more active stream while it lives.
struct Active(Arc<Streams>);

// === impl Streams ===

impl Streams {
    pub(super) fn new(stall: Duration, stats: Stats) -> Arc<Self> {
        Arc::new(Self {
            active: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            next: Mutex::new(None),
            is_flooded: AtomicBool::new(false),
            stall,
            stats,
        })
    }

    /// A request came. Hyper spawns its task next, before it takes another.
    pub(super) fn begin(&self) -> Arc<Handed> {
        let handed = Arc::<Handed>::default();
        *self.next.lock() = Some(handed.clone());
        handed
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

    /// Resolves when there has been no stream for so long.
    pub(super) async fn idle_for(&self, patience: Duration) {
        loop {
            let since = match self.active.load(Ordering::Acquire) {
                0 => *self.idle_since.lock(),
                _ => Instant::now(),
            };
            sleep_until(after(since, patience)).await;
            let is_idle = self.active.load(Ordering::Acquire) == 0;
            if is_idle && self.idle_since.lock().elapsed() >= patience {
                return;
            }
        }
    }
}

// === impl Handed ===

impl Handed {
    pub(super) fn give(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.waits_for_reader.store(true, Ordering::Release);
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
                    let since = *me.since.get_or_insert_with(Instant::now);
                    me.timer.poll(after(since, me.active.0.stall), cx)
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
        *self.0.idle_since.lock() = Instant::now();
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}

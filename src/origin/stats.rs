//! What happened to one origin, in numbers.

use crate::error::OriginFailure;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of one origin since it was built. A handle: clones count together.
///
/// ```
/// use gripstack::error::OriginFailure;
/// use gripstack::origin::Origin;
///
/// # fn main() -> Result<(), gripstack::origin::BuildError> {
/// let origin = Origin::new("http://127.0.0.1:8000")?;
/// for (url, stats) in origin.stats() {
///     println!("{url}: {} of {} answered", stats.answers(), stats.requests());
///     println!("{url}: {} refused", stats.failures(OriginFailure::ConnectRefused));
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Stats(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    requests: AtomicU64,
    answers: AtomicU64,
    retries: AtomicU64,
    in_a_row: AtomicU64,
    failures: [AtomicU64; OriginFailure::ALL.len()],
}

// === impl Stats ===

impl Stats {
    pub(super) fn new() -> Self {
        Self(Arc::new(Counters {
            requests: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            in_a_row: AtomicU64::new(0),
            failures: [(); OriginFailure::ALL.len()].map(|()| AtomicU64::new(0)),
        }))
    }

    /// Requests that were forwarded or should have been.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Relaxed)
    }

    /// Heads of answers that were accepted, whatever their status.
    pub fn answers(&self) -> u64 {
        self.0.answers.load(Relaxed)
    }

    /// Requests that were sent once more, on a new connection: the kept one ended as they went out.
    pub fn retries(&self) -> u64 {
        self.0.retries.load(Relaxed)
    }

    /// Failures of this kind.
    pub fn failures(&self, kind: OriginFailure) -> u64 {
        self.0.failures[kind as usize].load(Relaxed)
    }

    /// Failures of the origin ([`OriginFailure::is_outage`]) since its last answer.
    pub fn consecutive_failures(&self) -> u64 {
        self.0.in_a_row.load(Relaxed)
    }

    pub(super) fn request(&self) {
        self.0.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn retry(&self) {
        self.0.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn answer(&self) {
        self.0.answers.fetch_add(1, Relaxed);
        self.0.in_a_row.store(0, Relaxed);
    }

    /// Counts a request without an answer; says how many of these there were in a row before it.
    pub(super) fn no_answer(&self, kind: OriginFailure) -> u64 {
        self.0.failures[kind as usize].fetch_add(1, Relaxed);
        if kind.is_outage() {
            self.0.in_a_row.fetch_add(1, Relaxed)
        } else {
            self.0.in_a_row.load(Relaxed)
        }
    }

    /// Counts an answer whose body broke off.
    pub(super) fn broken_body(&self, kind: OriginFailure) {
        self.0.failures[kind as usize].fetch_add(1, Relaxed);
    }
}

//! What panics is told, counted, and ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use super::stats::Stats;

/// A body panicked, for what else is a user's is guarded by itself.
pub(super) struct Panicked;

/// Polls what ends if it panics: a connection, a stream.
pub(super) fn guarded<T>(poll: impl FnOnce() -> Poll<T>) -> Result<Poll<T>, Panicked> {
    // It is dropped and never used again.
    catch_unwind(AssertUnwindSafe(poll)).map_err(|_| Panicked)
}

/// Drops a body. Counted and told if it panics.
pub(super) fn let_go<B>(body: B, stats: &Stats) {
    if catch_unwind(AssertUnwindSafe(|| drop(body))).is_err() {
        stats.count_panic();
        tracing::error!(target: "gripstack::serve", "a body panicked as it was dropped");
    }
}

// === impl Panicked ===

impl Panicked {
    /// Counted and told. Its answer breaks off.
    pub(super) fn count(self, stats: &Stats) -> Poll<()> {
        stats.count_panic();
        tracing::error!(target: "gripstack::serve", "a body panicked: its answer breaks off");
        Poll::Ready(())
    }
}

//! What panics is told, counted, and ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use super::stats::Stats;

/// A body panicked, for what else is a user's is guarded by itself.
pub(super) struct Panicked;

/// Polls what ends if it panics: a connection, a stream.
pub(super) fn guarded(poll: impl FnOnce() -> Poll<()>) -> Result<Poll<()>, Panicked> {
    // It is dropped and never used again.
    catch_unwind(AssertUnwindSafe(poll)).map_err(|_| Panicked)
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

//! Time in which a socket had nothing to write.

use std::time::Duration;

use tokio::time::Instant;

/// A clock that stands still while a socket has what it cannot write. What takes long by it does not take long because others
/// are served on the same connection, nor because the line is slow.
pub(super) struct Quiet {
    began: Instant,
    /// The socket takes nothing more since this time.
    full_since: Option<Instant>,
    /// How long it did so before.
    full_for: Duration,
}

// === impl Quiet ===

impl Quiet {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            full_since: None,
            full_for: Duration::ZERO,
        }
    }

    /// The socket takes nothing more.
    pub(super) fn fill(&mut self, now: Instant) {
        self.full_since.get_or_insert(now);
    }

    /// All is written.
    pub(super) fn empty(&mut self, now: Instant) {
        if let Some(since) = self.full_since.take() {
            self.full_for += now.saturating_duration_since(since);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.full_since.is_some()
    }

    /// How much of it has gone by.
    pub(super) fn at(&self, now: Instant) -> Duration {
        let now = self.full_since.unwrap_or(now);
        now.saturating_duration_since(self.began)
            .saturating_sub(self.full_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_while_the_socket_is_full() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut quiet = Quiet::new(start);
        assert_eq!(quiet.at(start + 2 * second), 2 * second);
        quiet.fill(start + 2 * second);
        quiet.fill(start + 3 * second);
        assert!(quiet.is_full());
        assert_eq!(quiet.at(start + 9 * second), 2 * second);
        quiet.empty(start + 10 * second);
        assert!(!quiet.is_full());
        quiet.empty(start + 11 * second);
        assert_eq!(quiet.at(start + 11 * second), 3 * second);
    }
}

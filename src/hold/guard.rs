//! A hold that is counted while it lives, and says why it ended.

use std::fmt;

use crate::reasons::reasons;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::telemetry::{Counter, Gauge, names};

reasons! {
    /// Why a hold ended.
    pub enum EndReason {
        /// The client went away.
        Client = "client",
        /// A published `close` ended the stream.
        Close = "close",
        /// The client read so slowly that messages were gone before it had them. The body is cut, so that it comes back.
        Lagged = "lagged",
        /// The server is going away.
        Drain = "drain",
        /// It reached its maximum age.
        Expired = "expired",
        /// It had started although messages may have been missing: the client is made to come back.
        Gap = "gap",
        /// The origin's part of the body broke off.
        OriginBroke = "origin-broke",
        /// A long poll's time was up.
        Timeout = "timeout",
        /// A long poll was answered by a message.
        Answered = "answered",
        /// A long poll was answered by the origin, asked anew because of a published `hint` or a gap.
        Hint = "hint",
    }
}

/// In the extensions of a held response: why its hold ended. An access log reads it when the body is done.
#[derive(Clone)]
pub struct HoldEnd(Arc<AtomicU8>);

/// What holds count, made once for each layer.
#[derive(Clone)]
pub(super) struct Counters {
    open: Gauge,
    ended: [Counter; EndReason::ALL.len()],
    pub(super) marked: Counter,
    pub(super) deliveries: Counter,
}

/// A hold that is open. Dropped without [`HoldGuard::end`] it was its client that went away.
pub(super) struct HoldGuard {
    end: HoldEnd,
    counters: Arc<Counters>,
}

// === impl EndReason ===

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl HoldEnd ===

impl HoldEnd {
    fn new() -> Self {
        Self(Arc::new(AtomicU8::new(0)))
    }

    /// Why it ended; `None` while it is open. Whoever asks while dropping the body itself still finds it open:
    /// then the client went away.
    pub fn reason(&self) -> Option<EndReason> {
        let index = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        EndReason::ALL.get(usize::from(index)).copied()
    }
}

impl fmt::Debug for HoldEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HoldEnd").field(&self.reason()).finish()
    }
}

// === impl Counters ===

impl Counters {
    pub(super) fn new() -> Self {
        let ended = |reason: EndReason| Counter::labelled(names::HOLDS_ENDED, "reason", reason.as_str());
        Self {
            open: Gauge::new(names::HOLDS),
            ended: EndReason::ALL.map(ended),
            marked: Counter::new(names::HOLDS_MARKED),
            deliveries: Counter::new(names::DELIVERIES),
        }
    }
}

// === impl HoldGuard ===

impl HoldGuard {
    pub(super) fn new(counters: &Arc<Counters>) -> Self {
        counters.open.add(1.0);
        Self {
            end: HoldEnd::new(),
            counters: counters.clone(),
        }
    }

    /// What the response's extensions get.
    pub(super) fn handle(&self) -> HoldEnd {
        self.end.clone()
    }

    /// A message goes out.
    pub(super) fn delivered(&self) {
        self.counters.deliveries.add(1);
    }

    /// Messages may be missing.
    pub(super) fn marked(&self) {
        self.counters.marked.add(1);
    }

    /// Why it ends. The first reason counts.
    pub(super) fn end(&self, reason: EndReason) {
        let end = &self.end.0;
        let first = end.compare_exchange(0, reason as u8 + 1, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            self.counters.ended[reason as usize].add(1);
            tracing::debug!(target: "gripstack::hold", reason = reason.as_str(), "hold ended");
        }
    }
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.end(EndReason::Client);
        self.counters.open.add(-1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts_and_none_means_the_client() {
        for reason in EndReason::ALL {
            let guard = HoldGuard::new(&Arc::new(Counters::new()));
            let end = guard.handle();
            assert_eq!(end.reason(), None);
            guard.end(reason);
            drop(guard);
            assert_eq!(end.reason(), Some(reason));
        }
        let guard = HoldGuard::new(&Arc::new(Counters::new()));
        let end = guard.handle();
        drop(guard);
        assert_eq!(end.reason(), Some(EndReason::Client));
    }
}

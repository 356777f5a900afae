//! When a stream sends something into silence.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::grip::{KeepAlive, KeepAliveMode};
use crate::time::after;

/// Keep-alives go out earlier than asked by at most this, at random: a message that reaches many holds at once
/// starts all their clocks together.
const MOST_JITTER: Duration = Duration::from_secs(1);

/// The clock of a stream's keep-alives. It sets no timer: whoever asks sleeps until [`due`](Self::due).
#[derive(Debug)]
pub(super) struct KeepAliveClock {
    content: Bytes,
    /// The time asked for, less this hold's jitter.
    period: Duration,
    mode: KeepAliveMode,
    since: Instant,
}

// === impl KeepAliveClock ===

impl KeepAliveClock {
    /// Starts now, or whenever it is told to.
    pub(super) fn new(keep_alive: &KeepAlive, now: Instant) -> Self {
        let jitter = MOST_JITTER.min(keep_alive.timeout / 4);
        Self {
            content: keep_alive.content.clone(),
            period: keep_alive.timeout - jitter.mul_f64(fastrand::f64()),
            mode: keep_alive.mode,
            since: now,
        }
    }

    /// Starts now.
    pub(super) fn start(&mut self, now: Instant) {
        self.since = now;
    }

    /// When the next one goes out.
    pub(super) fn due(&self) -> Instant {
        after(self.since, self.period)
    }

    /// Something else was sent. `now` is asked only where it counts.
    pub(super) fn sent(&mut self, now: impl FnOnce() -> Instant) {
        if self.mode == KeepAliveMode::Idle {
            self.since = now();
        }
    }

    /// What goes out now, if it is time.
    pub(super) fn take(&mut self, now: Instant) -> Option<Bytes> {
        if now < self.due() {
            return None;
        }
        self.since = now;
        Some(self.content.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(mode: KeepAliveMode, start: Instant) -> KeepAliveClock {
        KeepAliveClock::new(
            &KeepAlive::text("ping\n", Duration::from_secs(2)).with_mode(mode),
            start,
        )
    }

    #[test]
    fn s06_idle_is_restarted_by_pushes() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for _ in 0..100 {
            let mut clock = clock(KeepAliveMode::Idle, start);
            assert!(clock.due() >= at(1_000) && clock.due() <= at(2_000));
            clock.sent(|| at(900));
            assert_eq!(clock.take(at(1_899)), None);
            assert!(clock.due() <= at(2_900));
            assert_eq!(clock.take(at(2_900)).as_deref(), Some(&b"ping\n"[..]));
            assert_eq!(clock.take(at(3_899)), None);
            assert!(clock.take(at(4_900)).is_some());
        }
    }

    #[test]
    fn s07_interval_is_not_restarted_by_pushes() {
        let start = Instant::now();
        let mut clock = clock(KeepAliveMode::Interval, start);
        let due = clock.due();
        clock.sent(|| panic!("time does not matter"));
        assert_eq!(clock.due(), due);
        assert!(clock.take(due).is_some());
    }
}

//! When a stream sends something into silence.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::grip::{Instruct, KeepAlive, KeepAliveMode};
use crate::time::after;

/// Keep-alives go out earlier than asked by at most this, at random: a message that reaches many holds at once
/// starts all their clocks together.
const MOST_JITTER: Duration = Duration::from_secs(1);

/// The clock of a stream's keep-alives. It sets no timer: whoever asks sleeps until [`due`](Self::due).
#[derive(Debug)]
pub(super) struct KeepAliveClock {
    /// Shared by all who are held from one answer. They ask for keep-alives.
    instruct: Arc<Instruct>,
    /// This hold's jitter.
    earlier_ms: u32,
    since: Instant,
}

// === impl KeepAliveClock ===

impl KeepAliveClock {
    /// Starts now, or whenever it is told to. `None`: none are asked for.
    pub(super) fn new(instruct: &Arc<Instruct>, now: Instant) -> Option<Self> {
        let jitter = MOST_JITTER.min(asked(instruct)?.timeout / 4);
        Some(Self {
            instruct: instruct.clone(),
            earlier_ms: jitter.mul_f64(fastrand::f64()).as_millis() as u32,
            since: now,
        })
    }

    fn asked(&self) -> &KeepAlive {
        asked(&self.instruct).expect("it was asked for when this was made")
    }

    /// Starts now.
    pub(super) fn start(&mut self, now: Instant) {
        self.since = now;
    }

    /// When the next one goes out.
    pub(super) fn due(&self) -> Instant {
        let earlier = Duration::from_millis(self.earlier_ms.into());
        after(self.since, self.asked().timeout.saturating_sub(earlier))
    }

    /// Something else was sent. `now` is asked only where it counts.
    pub(super) fn sent(&mut self, now: impl FnOnce() -> Instant) {
        if self.asked().mode == KeepAliveMode::Idle {
            self.since = now();
        }
    }

    /// What goes out now, if it is time.
    pub(super) fn take(&mut self, now: Instant) -> Option<Bytes> {
        if now < self.due() {
            return None;
        }
        self.since = now;
        Some(self.asked().content.clone())
    }
}

fn asked(instruct: &Instruct) -> Option<&KeepAlive> {
    instruct.hold.as_ref()?.keep_alive.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(mode: KeepAliveMode, start: Instant) -> KeepAliveClock {
        let keep_alive = KeepAlive::text("ping\n", Duration::from_secs(2)).with_mode(mode);
        let instruct = Instruct::stream().channel("updates").keep_alive(keep_alive);
        let instruct = instruct.build().expect("valid");
        KeepAliveClock::new(&Arc::new(instruct), start).expect("asked for")
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

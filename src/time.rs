//! Time as an argument: protocol and policy take a [`Now`], they never read a clock.

use std::sync::OnceLock;
use std::time::SystemTime;

use tokio::time::Instant;

/// One moment on both clocks. Ages, windows and timers use the monotonic one; `Date` and `Expires` arithmetic
/// uses the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic; a paused test clock moves it.
    pub mono: Instant,
    /// Wall clock.
    pub wall: SystemTime,
}

impl Now {
    /// This moment. The wall clock is read once per process and then moves with the monotonic one, so that a
    /// stepped system clock changes the freshness of nothing that is in memory.
    pub fn read() -> Self {
        Self::at(Instant::now())
    }

    /// The moment of this instant.
    pub fn at(mono: Instant) -> Self {
        static BASE: OnceLock<(Instant, SystemTime)> = OnceLock::new();
        let &(base, wall) = BASE.get_or_init(|| (Instant::now(), SystemTime::now()));
        // Under a paused test clock an instant may lie before the base of another test's runtime.
        let wall = match mono.checked_duration_since(base) {
            Some(since) => wall + since,
            None => wall - base.duration_since(mono),
        };
        Self { mono, wall }
    }
}

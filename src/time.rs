//! Time as an argument: protocol and policy take a [`Now`], they never read a clock.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// As long as for ever: no process lives so long, and every clock can add it to its present.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

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

/// The moment so long after another one. Durations that users set may be as long as [`Duration::MAX`], which no clock
/// can add: what is longer than a hundred years is a hundred years.
pub(crate) fn after(moment: Instant, duration: Duration) -> Instant {
    moment.checked_add(duration.min(FOR_EVER)).unwrap_or(moment)
}

/// A duration in whole seconds, rounded up.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    let up = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(up)
}

/// A duration times a factor that is not negative, at most [`Duration::MAX`].
#[cfg(feature = "hold")]
pub(crate) fn times(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_any_clock_can_add_is_for_ever() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::from_secs(5)), now + Duration::from_secs(5));
        assert_eq!(after(now, Duration::ZERO), now);
        let for_ever = after(now, Duration::MAX);
        assert_eq!(for_ever, now + FOR_EVER);
        assert_eq!(after(for_ever, Duration::MAX), for_ever + FOR_EVER);
    }

    #[cfg(feature = "hold")]
    #[test]
    fn a_factor_keeps_to_what_a_duration_can_be() {
        assert_eq!(times(Duration::from_secs(10), 0.5), Duration::from_secs(5));
        assert_eq!(times(Duration::MAX, 1.1), Duration::MAX);
    }
}

//! How often who may purge. Purges cost this edge little, but each costs the origin fetches.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::auth::{Scope, Who};
use crate::sync::{Arc, Mutex};
use crate::time::Now;

/// Callers that are remembered. While more purge at a time, those that came last share one limit.
const MAX_CALLERS: usize = 10_000;

const MAX_INTERVAL: Duration = Duration::from_secs(86_400);

/// How often a caller may do something: so many at once, and one more with each interval.
///
/// ```
/// use gripstack::purge::Rate;
///
/// let rate = Rate::per_second(5);
/// assert_eq!((rate.burst, rate.interval.as_millis()), (50, 200));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once, at least 1.
    pub burst: u32,
    /// After what time one is given back, at most a day. Zero: no limit.
    pub interval: Duration,
}

/// How often each caller may purge: one limit for URLs and keys, another for everything. A handle: clones share what
/// has been used up, so give the layers of one edge the same.
///
/// By default 1,000 URLs and keys a second, 10,000 at once, and everything once in 10 s, 10 times at once. A batch
/// counts as its keys.
///
/// ```
/// use std::time::Duration;
/// use gripstack::purge::{Auth, Limits, Rate};
///
/// let once_an_hour = Rate { burst: 1, interval: Duration::from_secs(3_600) };
/// let layer = gripstack::Edge::new()
///     .purge_layer(Auth::token("secret"))
///     .limits(Limits::new(Rate::per_second(100), once_an_hour));
/// # let _ = layer;
/// ```
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    select: Rate,
    all: Rate,
    used: Mutex<Used>,
}

/// What callers have used up.
struct Used {
    callers: HashMap<Who, Buckets>,
    /// Of those who find no room among them.
    others: Buckets,
    swept: Instant,
}

/// What one caller has used up.
#[derive(Clone, Copy)]
struct Buckets {
    select: Bucket,
    all: Bucket,
}

/// When it will be full again.
#[derive(Clone, Copy)]
struct Bucket(Instant);

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) remaining: u32,
    /// When there will be as much as ever.
    pub(super) reset: SystemTime,
}

/// A limit that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) rate: Rate,
    pub(super) left: Allowance,
    /// After what time the same will be allowed.
    pub(super) retry_after: Duration,
}

// === impl Rate ===

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self {
        burst: u32::MAX,
        interval: Duration::ZERO,
    };

    /// So many a second, at least 1, and ten times as many at once.
    pub fn per_second(n: u32) -> Self {
        Self {
            burst: n.saturating_mul(10),
            interval: Duration::from_secs(1) / n.max(1),
        }
    }

    /// With what it says of itself: no moment is out of a clock's range then.
    fn bounded(self) -> Self {
        Self {
            burst: self.burst.max(1),
            interval: self.interval.min(MAX_INTERVAL),
        }
    }

    /// How long it takes from empty to full.
    fn window(self) -> Duration {
        self.interval * self.burst
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at once, one more every {:?}", self.burst, self.interval)
    }
}

// === impl Bucket ===

impl Bucket {
    /// Takes so many, all of them or none. More than it can hold count as that.
    fn take(&mut self, rate: Rate, count: u32, now: Now) -> Result<Allowance, Exceeded> {
        let used = self.0.saturating_duration_since(now.mono);
        let then = used + rate.interval * count.min(rate.burst);
        let retry_after = then.saturating_sub(rate.window());
        if !retry_after.is_zero() {
            return Err(Exceeded {
                rate,
                left: Allowance::of(rate, used, now),
                retry_after,
            });
        }
        self.0 = now.mono + then;
        Ok(Allowance::of(rate, then, now))
    }
}

// === impl Allowance ===

impl Allowance {
    /// `used`: in how much time it will be given back.
    fn of(rate: Rate, used: Duration, now: Now) -> Self {
        let left = rate.window().saturating_sub(used).as_nanos();
        let remaining = left
            .checked_div(rate.interval.as_nanos())
            .map_or(rate.burst, |remaining| {
                u32::try_from(remaining).unwrap_or(u32::MAX)
            });
        Self {
            remaining,
            reset: now.wall + used,
        }
    }
}

// === impl Buckets ===

impl Buckets {
    fn full(now: Instant) -> Self {
        Self {
            select: Bucket(now),
            all: Bucket(now),
        }
    }

    /// Whether nothing is used up: as good as forgotten.
    fn are_full(&self, now: Instant) -> bool {
        self.select.0 <= now && self.all.0 <= now
    }
}

// === impl Used ===

impl Used {
    fn of(&mut self, who: &Who, now: Instant) -> &mut Buckets {
        if self.callers.len() >= MAX_CALLERS && !self.callers.contains_key(who) {
            // Not with each request, for it looks at all of them.
            if now.saturating_duration_since(self.swept) >= Duration::from_secs(1) {
                self.swept = now;
                self.callers.retain(|_, buckets| !buckets.are_full(now));
            }
            if self.callers.len() >= MAX_CALLERS {
                return &mut self.others;
            }
        }
        self.callers
            .entry(who.clone())
            .or_insert_with(|| Buckets::full(now))
    }
}

// === impl Limits ===

impl Limits {
    /// One for URLs and keys, one for everything.
    pub fn new(select: Rate, all: Rate) -> Self {
        let now = Instant::now();
        Self(Arc::new(Inner {
            select: select.bounded(),
            all: all.bounded(),
            used: Mutex::new(Used {
                callers: HashMap::new(),
                others: Buckets::full(now),
                swept: now,
            }),
        }))
    }

    /// Takes so many from what a caller has, all of them or none.
    pub(super) fn take(
        &self,
        who: &Who,
        scope: Scope,
        count: usize,
        now: Now,
    ) -> Result<Allowance, Exceeded> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut used = self.0.used.lock();
        let buckets = used.of(who, now.mono);
        match scope {
            Scope::Select => buckets.select.take(self.0.select, count, now),
            Scope::All => buckets.all.take(self.0.all, count, now),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let all = Rate {
            burst: 10,
            interval: Duration::from_secs(10),
        };
        Self::new(Rate::per_second(1_000), all)
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("select", &self.0.select)
            .field("all", &self.0.all)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Caller;

    const RATE: Rate = Rate {
        burst: 3,
        interval: Duration::from_secs(10),
    };

    fn at(start: Now, seconds: u64) -> Now {
        let since = Duration::from_secs(seconds);
        Now {
            mono: start.mono + since,
            wall: start.wall + since,
        }
    }

    fn caller(n: usize) -> Who {
        Who::Custom(Caller::new(n.to_string()))
    }

    #[test]
    fn what_is_used_up_comes_back_one_by_one() {
        let start = Now::read();
        let limits = Limits::new(RATE, RATE);
        let take = |count, seconds| limits.take(&Who::Everybody, Scope::Select, count, at(start, seconds));
        let reset = |seconds| start.wall + Duration::from_secs(seconds);
        let left = |remaining, seconds| Allowance {
            remaining,
            reset: reset(seconds),
        };
        assert_eq!(take(1, 0), Ok(left(2, 10)));
        assert_eq!(take(2, 0), Ok(left(0, 30)));
        let refused = |left, seconds| {
            Err(Exceeded {
                rate: RATE,
                left,
                retry_after: Duration::from_secs(seconds),
            })
        };
        assert_eq!(take(1, 4), refused(left(0, 30), 6));
        assert_eq!(take(2, 10), refused(left(1, 30), 10));
        assert_eq!(take(1, 10), Ok(left(0, 40)));
        assert_eq!(take(1, 11), refused(left(0, 40), 9));
        // Full again, and never fuller.
        assert_eq!(take(0, 1_000), Ok(left(3, 1_000)));
        // More than it can hold is all of it.
        assert_eq!(take(256, 1_000), Ok(left(0, 1_030)));
        assert!(take(256, 1_029).is_err());
        assert!(take(256, 1_030).is_ok());
    }

    #[test]
    fn each_caller_and_each_scope_has_its_own() {
        let now = Now::read();
        let limits = Limits::new(RATE, RATE);
        for who in [Who::Everybody, Who::Token(1), Who::Token(2), caller(1)] {
            for scope in [Scope::Select, Scope::All] {
                assert!(limits.take(&who, scope, 3, now).is_ok());
                assert!(limits.clone().take(&who, scope, 1, now).is_err());
            }
        }
    }

    #[test]
    fn without_a_limit_all_is_allowed_and_numbers_stay_small_enough() {
        let now = Now::read();
        let limits = Limits::new(Rate::UNLIMITED, Rate::per_second(u32::MAX));
        for scope in [Scope::Select, Scope::All] {
            for _ in 0..3 {
                let left = limits
                    .take(&Who::Everybody, scope, usize::MAX, now)
                    .expect("no limit");
                assert_eq!(left.remaining, u32::MAX);
            }
        }
        let never = Rate {
            burst: 0,
            interval: Duration::MAX,
        };
        let limits = Limits::new(never, never);
        let take = |count| limits.take(&Who::Everybody, Scope::All, count, now);
        assert_eq!(take(0).map(|left| left.remaining), Ok(1));
        assert_eq!(take(1).map(|left| left.remaining), Ok(0));
        assert_eq!(take(1).map_err(|error| error.retry_after), Err(MAX_INTERVAL));
    }

    #[test]
    fn memory_is_bounded_and_nobody_gains_by_it() {
        let start = Now::read();
        let limits = Limits::new(RATE, RATE);
        for n in 0..MAX_CALLERS {
            assert!(limits.take(&caller(n), Scope::All, 3, start).is_ok());
        }
        let known = || limits.0.used.lock().callers.len();
        assert_eq!(known(), MAX_CALLERS);
        // No room: newcomers share one limit, and who has used up theirs is not forgotten.
        for n in 0..3 {
            assert!(
                limits
                    .take(&caller(MAX_CALLERS + n), Scope::All, 1, at(start, 5))
                    .is_ok()
            );
        }
        assert!(
            limits
                .take(&caller(MAX_CALLERS + 3), Scope::All, 1, at(start, 5))
                .is_err()
        );
        assert!(limits.take(&caller(0), Scope::All, 1, at(start, 5)).is_err());
        assert_eq!(known(), MAX_CALLERS);
        // Who has all back is forgotten when there is need of room.
        assert!(
            limits
                .take(&caller(MAX_CALLERS), Scope::All, 3, at(start, 40))
                .is_ok()
        );
        assert_eq!(known(), 1);
    }
}

//! Age, lifetime, and for how long a response may be served after it (RFC 9111 4.2, RFC 5861).

use std::time::{Duration, SystemTime};

use http::header::{AGE, DATE, EXPIRES};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use super::date::parse_http_date;
use super::directives::CacheControl;
use super::list::{delta_seconds, split_once, trim};
use super::validate::Arrival;
use crate::time::Now;

/// Longest lifetime. One year.
const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Longest lifetime of an error, whatever the origin says.
const MAX_ERROR_LIFETIME: Duration = Duration::from_secs(10);

/// How old a response is, and what that permits. Ages and windows run on the monotonic clock only: a step of the
/// wall clock changes nothing.
///
/// A soft purge makes another value of it: [`as_if_expired_at`](Self::as_if_expired_at).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    received: Now,
    /// How long the head took.
    took: Duration,
    /// Corrected initial age (RFC 9111 4.2.3). The clocks of others are not compared with ours.
    initial_age: Duration,
    lifetime: Duration,
    stale_while_revalidate: Option<Duration>,
    stale_if_error: Option<Duration>,
    /// The origin gave a lifetime or said `public`. What it never allowed to cache is not served in an outage.
    explicit: bool,
    no_cache: bool,
    must_revalidate: bool,
    proxy_revalidate: bool,
    s_maxage: bool,
    error: bool,
    expired_at: Option<Instant>,
}

/// Why a stale response would be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StaleReason {
    /// While it is revalidated in the background (`stale-while-revalidate`).
    Revalidating,
    /// The origin failed (`stale-if-error`).
    Error,
    /// The origin cannot be reached (RFC 9111 4.2.4). Permits all that [`Error`](Self::Error) does.
    Outage(Outage),
}

/// The operator's contract for outages. The default is the one of a push edge: a day, despite `s-maxage` and
/// `proxy-revalidate`. `must-revalidate` and `no-cache` are never overridden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Longest time after the end of the lifetime. Default 24 h.
    pub(crate) max_stale: Duration,
    /// Also responses with `s-maxage`. Default true.
    pub(crate) despite_s_maxage: bool,
    /// Also responses with `proxy-revalidate`. Default true.
    pub(crate) despite_proxy_revalidate: bool,
}

// === impl Freshness ===

impl Freshness {
    /// Of a response whose request left at `request_time` and whose head came at `response_time`.
    pub(crate) fn of(
        request_time: Now,
        response_time: Now,
        response: &HeaderMap,
        policy: &CacheControl,
    ) -> Self {
        let delay = response_time.mono.saturating_duration_since(request_time.mono);
        let lifetime = policy
            .s_maxage
            .or(policy.max_age)
            .or_else(|| {
                policy
                    .expires
                    .then(|| until_expires(response, response_time.wall))
            })
            .unwrap_or_default();
        Self {
            received: response_time,
            took: delay,
            initial_age: age_value(response).saturating_add(delay),
            lifetime: lifetime.min(MAX_LIFETIME),
            stale_while_revalidate: policy.stale_while_revalidate,
            stale_if_error: policy.stale_if_error,
            explicit: policy.is_explicit(),
            no_cache: policy.always_validates() || !policy.is_explicit(),
            must_revalidate: policy.must_revalidate,
            proxy_revalidate: policy.proxy_revalidate,
            s_maxage: policy.s_maxage.is_some(),
            error: false,
            expired_at: None,
        }
    }

    /// The same under the rule for errors: 400, 413, 414, 431 and all 5xx are fresh for at most 10 s and never
    /// served stale, so that a request made to fail cannot take a page away. Other statuses change nothing.
    #[must_use]
    pub(crate) fn of_status(mut self, status: StatusCode) -> Self {
        if is_poisonable(status) {
            self.error = true;
            self.lifetime = self.lifetime.min(MAX_ERROR_LIFETIME);
        }
        self
    }

    /// The same as if its lifetime had ended at this moment, or earlier if it did: what a soft purge does. Windows
    /// count from then.
    #[must_use]
    pub(crate) fn as_if_expired_at(mut self, at: Instant) -> Self {
        self.expired_at = Some(self.expired_at.map_or(at, |earlier| earlier.min(at)));
        self
    }

    /// When the head came.
    pub(crate) fn received(&self) -> Now {
        self.received
    }

    /// When it was asked for.
    pub(crate) fn asked_at(&self) -> Option<Instant> {
        self.received.mono.checked_sub(self.took)
    }

    /// When it came, and how long that took.
    pub(crate) fn arrival(&self) -> Arrival {
        Arrival {
            received: self.received.wall,
            took: self.took,
            proves_after: None,
        }
    }

    /// How long it is fresh, counted from age zero.
    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The current age (RFC 9111 4.2.3). `Age` is this in whole seconds, rounded down.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.initial_age
            .saturating_add(now.saturating_duration_since(self.received.mono))
    }

    /// Seconds of freshness left, as `Cache-Status` has it: `Age` and this make up the lifetime while it is fresh;
    /// negative as soon as it is stale.
    pub(crate) fn ttl(&self, now: Instant) -> i64 {
        match self.stale_for(now) {
            None => whole_seconds(self.lifetime.saturating_sub(self.age(now))),
            Some(stale) => -whole_seconds(stale),
        }
    }

    /// Whether the origin must be asked for each request: it says `no-cache`, or nothing.
    pub(crate) fn always_validates(&self) -> bool {
        self.no_cache
    }

    /// Whether it may answer without a validation: it has not reached its lifetime, is not purged, and does not
    /// say `no-cache`.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        // `age(now) < lifetime`, without the age: that is a comparison, and each hit asks.
        let left = self.lifetime.saturating_sub(self.initial_age);
        let is_young = !left.is_zero() && now < self.received.mono + left;
        is_young && !self.no_cache && self.expired_at.is_none()
    }

    /// Whether it may answer now, for this reason, although a validation failed or was not waited for.
    ///
    /// `must-revalidate` and `no-cache` forbid it always, `proxy-revalidate` except in an outage. `s-maxage` alone
    /// does, too, but not what the same origin writes beside it: `s-maxage=60, stale-while-revalidate=600`
    /// is permission (RFC 9111 4.2.4).
    pub(crate) fn may_serve_stale(&self, now: Instant, reason: StaleReason) -> bool {
        match self.stale_for(now) {
            None => !self.no_cache,
            Some(stale) => self.window(reason).is_some_and(|window| stale < window),
        }
    }

    /// For how long it has been stale, counted from the end of its lifetime or the purge, whichever came first.
    fn stale_for(&self, now: Instant) -> Option<Duration> {
        let by_age = self.age(now).checked_sub(self.lifetime);
        let by_purge = self.expired_at.map(|at| now.saturating_duration_since(at));
        by_age.max(by_purge)
    }

    fn window(&self, reason: StaleReason) -> Option<Duration> {
        if self.no_cache || self.must_revalidate || self.error {
            return None;
        }
        let written = |window: Option<Duration>| window.filter(|_| !self.proxy_revalidate);
        match reason {
            StaleReason::Revalidating => written(self.stale_while_revalidate),
            StaleReason::Error => written(self.stale_if_error),
            StaleReason::Outage(outage) => {
                let allowed = self.explicit
                    && (!self.s_maxage || outage.despite_s_maxage)
                    && (!self.proxy_revalidate || outage.despite_proxy_revalidate);
                written(self.stale_if_error).max(allowed.then_some(outage.max_stale))
            }
        }
    }
}

// === impl Outage ===

impl Default for Outage {
    fn default() -> Self {
        Self {
            max_stale: Duration::from_secs(24 * 60 * 60),
            despite_s_maxage: true,
            despite_proxy_revalidate: true,
        }
    }
}

/// Statuses that a client can provoke, or that say that the origin is ill.
pub(super) fn is_poisonable(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 400 | 413 | 414 | 431)
}

/// `Expires - Date`. Zero if `Expires` is repeated, no date, or not after `Date` (RFC 9111 5.3). Without a valid
/// `Date` the time of receipt counts.
fn until_expires(response: &HeaderMap, received: SystemTime) -> Duration {
    let date = |value: &HeaderValue| parse_http_date(value.as_bytes(), received);
    let mut lines = response.get_all(EXPIRES).iter();
    let (Some(expires), None) = (lines.next().and_then(date), lines.next()) else {
        return Duration::ZERO;
    };
    let from = response.get(DATE).and_then(date).unwrap_or(received);
    expires.duration_since(from).unwrap_or_default()
}

/// `Age`: the first member of its first line. Anything but digits is ignored (RFC 9111 5.1).
fn age_value(response: &HeaderMap) -> Duration {
    response
        .get(AGE)
        .and_then(|line| delta_seconds(trim(split_once(line.as_bytes(), b',').0)))
        .unwrap_or_default()
}

/// Rounded up.
fn whole_seconds(duration: Duration) -> i64 {
    let partial = u64::from(duration.subsec_nanos() > 0);
    i64::try_from(duration.as_secs().saturating_add(partial)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

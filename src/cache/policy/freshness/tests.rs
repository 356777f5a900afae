//! Lifetimes and ages, case by case.

use std::time::UNIX_EPOCH;

use http::header::CACHE_CONTROL;
use proptest::prelude::*;

use super::super::date::format_http_date;
use super::*;

const ERROR: StaleReason = StaleReason::Error;
const REVALIDATING: StaleReason = StaleReason::Revalidating;

/// The push edge's outage rule.
fn outage() -> StaleReason {
    StaleReason::Outage(Outage::default())
}

/// Outages override nothing.
fn strict_outage() -> StaleReason {
    StaleReason::Outage(Outage {
        despite_s_maxage: false,
        despite_proxy_revalidate: false,
        ..Outage::default()
    })
}

fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_794_700_800)
}

fn start() -> Now {
    Now {
        mono: Instant::now(),
        wall: wall(),
    }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

/// The freshness of these headers, and the time of receipt.
fn of(lines: &[(&'static str, &str)]) -> (Freshness, Instant) {
    let now = start();
    let headers = headers(lines);
    (
        Freshness::of(now, now, &headers, &CacheControl::parse(&headers)),
        now.mono,
    )
}

fn cc(value: &str) -> (Freshness, Instant) {
    of(&[("cache-control", value)])
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn date(offset: i64) -> String {
    let distance = secs(offset.unsigned_abs());
    let time = if offset < 0 {
        wall() - distance
    } else {
        wall() + distance
    };
    format_http_date(time).to_str().unwrap().to_owned()
}

#[test]
fn lifetime_prefers_s_maxage_then_max_age_then_expires() {
    let expires = date(90);
    let lifetime = |value: &str| {
        of(&[("cache-control", value), ("expires", &expires)])
            .0
            .lifetime()
    };
    assert_eq!(lifetime("max-age=60, s-maxage=30"), secs(30));
    assert_eq!(lifetime("max-age=60"), secs(60));
    assert_eq!(lifetime("public"), secs(90));
    assert_eq!(lifetime("max-age=bad"), secs(0));
    assert_eq!(cc("public").0.lifetime(), secs(0));
}

#[test]
fn freshness_is_strict() {
    let (freshness, t) = cc("max-age=60");
    assert!(freshness.is_fresh(t + Duration::from_millis(59_999)));
    assert!(!freshness.is_fresh(t + secs(60)));
    assert!(!cc("max-age=0").0.is_fresh(t));
}

#[test]
fn response_delay_counts_as_age() {
    let sent = start();
    let received = Now {
        mono: sent.mono + secs(7),
        wall: sent.wall + secs(7),
    };
    let headers = headers(&[("cache-control", "max-age=60"), ("age", "10")]);
    let freshness = Freshness::of(sent, received, &headers, &CacheControl::parse(&headers));
    assert_eq!(freshness.age(received.mono), secs(17));
    assert_eq!(freshness.age(received.mono + secs(3)), secs(20));
}

#[test]
fn rule_s11_expires() {
    let lifetime = |lines: &[(&'static str, &str)]| of(lines).0.lifetime();
    let (now, later, before) = (date(0), date(100), date(-100));
    assert_eq!(lifetime(&[("expires", &later), ("date", &before)]), secs(200));
    assert_eq!(lifetime(&[("expires", &later), ("date", &now)]), secs(100));
    // The origin's clock is ahead: still not after its own Date.
    assert_eq!(lifetime(&[("expires", &later), ("date", &later)]), secs(0));
    assert_eq!(lifetime(&[("expires", &before), ("date", &now)]), secs(0));
    // No usable Date: the time of receipt.
    assert_eq!(lifetime(&[("expires", &later)]), secs(100));
    assert_eq!(lifetime(&[("expires", &later), ("date", "yesterday")]), secs(100));
    for bad in ["0", "-1", "", "Thu, 18 Aug 2050 02:01:18 UTC"] {
        assert_eq!(lifetime(&[("expires", bad)]), secs(0), "{bad}");
    }
    assert_eq!(lifetime(&[("expires", &later), ("expires", &later)]), secs(0));
}

#[test]
fn rule_s12_age_is_the_first_member_if_a_number() {
    let initial = |lines: &[(&'static str, &str)]| {
        let (freshness, t) = of(lines);
        freshness.age(t).as_secs()
    };
    assert_eq!(initial(&[("age", "7")]), 7);
    assert_eq!(initial(&[("age", " 7 , 200")]), 7);
    assert_eq!(initial(&[("age", "7"), ("age", "200")]), 7);
    assert_eq!(initial(&[("age", "99999999999999999999")]), 1 << 31);
    for ignored in ["-7", "7.0", "x", "x, 7", ", 7", "7;a=b", ""] {
        assert_eq!(initial(&[("age", ignored)]), 0, "{ignored}");
    }
}

#[test]
fn rule_s13_an_old_date_makes_nothing_older() {
    let (freshness, t) = of(&[("cache-control", "max-age=60"), ("date", &date(-7200))]);
    assert_eq!(freshness.age(t), secs(0));
    assert!(freshness.is_fresh(t));
}

#[test]
fn sta_08_age_from_a_shield_is_used_up() {
    let (freshness, t) = of(&[("cache-control", "max-age=60"), ("age", "50")]);
    assert!(freshness.is_fresh(t + secs(9)));
    assert!(!freshness.is_fresh(t + secs(10)));
    let (freshness, t) = of(&[("expires", &date(60)), ("age", "50")]);
    assert!(freshness.is_fresh(t + secs(9)) && !freshness.is_fresh(t + secs(10)));
}

#[test]
fn org_15_a_date_in_1970_gives_at_most_the_longest_lifetime() {
    let (freshness, _) = of(&[
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("expires", "Thu, 18 Aug 2050 02:01:18 GMT"),
    ]);
    assert_eq!(freshness.lifetime(), MAX_LIFETIME);
}

#[test]
fn sta_10_a_step_of_the_wall_clock_changes_nothing() {
    let sent = start();
    let headers = headers(&[("cache-control", "max-age=60")]);
    for wall in [wall() + secs(3600), wall() - secs(3600)] {
        let received = Now { wall, ..sent };
        let freshness = Freshness::of(sent, received, &headers, &CacheControl::parse(&headers));
        assert_eq!(freshness.ttl(sent.mono + secs(20)), 40);
    }
}

#[test]
fn ttl_and_age_make_up_the_lifetime() {
    let (freshness, t) = cc("max-age=60");
    for millis in [0, 1, 400, 59_000, 59_999] {
        let now = t + Duration::from_millis(millis);
        let age = i64::try_from(freshness.age(now).as_secs()).unwrap();
        assert_eq!(freshness.ttl(now) + age, 60, "{millis} ms");
    }
    assert_eq!(freshness.ttl(t + secs(60)), 0);
    assert_eq!(freshness.ttl(t + Duration::from_millis(60_001)), -1);
    assert_eq!(freshness.ttl(t + secs(72)), -12);
}

#[test]
fn no_cache_is_never_fresh_and_never_stale() {
    let (freshness, t) = cc("max-age=60, no-cache, stale-while-revalidate=60, stale-if-error=60");
    assert!(!freshness.is_fresh(t));
    for reason in [REVALIDATING, ERROR, outage(), strict_outage()] {
        assert!(!freshness.may_serve_stale(t, reason));
        assert!(!freshness.may_serve_stale(t + secs(70), reason));
    }
    assert!(cc("max-age=60, no-cache=\"a\"").0.is_fresh(t));
}

#[test]
fn sta_02_must_revalidate_is_never_overridden() {
    let (freshness, t) = cc("max-age=60, must-revalidate, stale-while-revalidate=60, stale-if-error=60");
    assert!(freshness.is_fresh(t));
    for reason in [REVALIDATING, ERROR, outage(), strict_outage()] {
        assert!(!freshness.may_serve_stale(t + secs(60), reason));
    }
}

#[test]
fn windows_count_from_the_end_of_the_lifetime() {
    let (freshness, t) = cc("max-age=60, stale-while-revalidate=30, stale-if-error=40");
    assert!(freshness.may_serve_stale(t + secs(89), REVALIDATING));
    assert!(!freshness.may_serve_stale(t + secs(90), REVALIDATING));
    assert!(freshness.may_serve_stale(t + secs(99), ERROR));
    assert!(!freshness.may_serve_stale(t + secs(100), ERROR));
    // Neither stands in for the other.
    let (freshness, t) = cc("max-age=60, stale-while-revalidate=30");
    assert!(!freshness.may_serve_stale(t + secs(61), ERROR));
    let (freshness, t) = cc("max-age=60, stale-if-error=30");
    assert!(!freshness.may_serve_stale(t + secs(61), REVALIDATING));
}

#[test]
fn sta_01_s_maxage_in_an_outage() {
    let (freshness, t) = cc("s-maxage=600");
    let now = t + secs(601);
    assert!(!freshness.may_serve_stale(now, ERROR));
    assert!(freshness.may_serve_stale(now, outage()));
    assert!(!freshness.may_serve_stale(now, strict_outage()));
    assert!(!freshness.may_serve_stale(t + secs(600 + 86_400), outage()));
}

#[test]
fn sta_09_windows_written_beside_s_maxage_hold() {
    let (freshness, t) = cc("s-maxage=1, stale-while-revalidate=30, stale-if-error=20");
    assert!(freshness.may_serve_stale(t + secs(2), REVALIDATING));
    assert!(freshness.may_serve_stale(t + secs(2), ERROR));
    assert!(freshness.may_serve_stale(t + secs(2), strict_outage()));
}

#[test]
fn proxy_revalidate_yields_only_to_an_outage() {
    let (freshness, t) = cc("max-age=60, proxy-revalidate, stale-while-revalidate=30, stale-if-error=30");
    let now = t + secs(61);
    assert!(!freshness.may_serve_stale(now, REVALIDATING));
    assert!(!freshness.may_serve_stale(now, ERROR));
    assert!(!freshness.may_serve_stale(now, strict_outage()));
    assert!(freshness.may_serve_stale(now, outage()));
}

#[test]
fn outages_serve_what_was_allowed_to_be_cached() {
    let (freshness, t) = cc("max-age=60");
    assert!(freshness.may_serve_stale(t + secs(100), strict_outage()));
    // The origin never said that anyone else may have this.
    let (freshness, t) = of(&[("etag", "\"1\"")]);
    assert!(!freshness.may_serve_stale(t + secs(1), outage()));
}

#[test]
fn poi_06_errors_live_ten_seconds() {
    for status in [400, 413, 414, 431, 500, 503, 599] {
        let (freshness, t) = cc("max-age=60, stale-if-error=60");
        let freshness = freshness.of_status(StatusCode::from_u16(status).unwrap());
        assert!(freshness.is_fresh(t + secs(9)) && !freshness.is_fresh(t + secs(10)));
        assert!(!freshness.may_serve_stale(t + secs(10), outage()));
    }
    let (freshness, t) = cc("max-age=60");
    assert!(freshness.of_status(StatusCode::NOT_FOUND).is_fresh(t + secs(59)));
}

#[test]
fn pur_16_windows_count_from_a_soft_purge() {
    let (freshness, t) = cc("max-age=600, stale-while-revalidate=30, stale-if-error=600");
    let freshness = freshness.as_if_expired_at(t + secs(100));
    assert!(!freshness.is_fresh(t + secs(100)));
    assert_eq!(freshness.ttl(t + secs(110)), -10);
    assert!(freshness.may_serve_stale(t + secs(110), REVALIDATING));
    assert!(!freshness.may_serve_stale(t + secs(131), REVALIDATING));
    // The age is what it is.
    assert_eq!(freshness.age(t + secs(110)), secs(110));
}

#[test]
fn pur_18_a_soft_purge_keeps_stale_if_error() {
    let (freshness, t) = cc("max-age=600, stale-if-error=600");
    let freshness = freshness.as_if_expired_at(t);
    assert!(freshness.may_serve_stale(t + secs(599), ERROR));
    assert!(!freshness.may_serve_stale(t + secs(600), ERROR));
}

#[test]
fn pur_32_later_purges_prolong_nothing() {
    let (freshness, t) = cc("max-age=600, stale-while-revalidate=30");
    let freshness = freshness
        .as_if_expired_at(t)
        .as_if_expired_at(t + secs(20))
        .as_if_expired_at(t + secs(40));
    assert!(!freshness.may_serve_stale(t + secs(45), REVALIDATING));
    // Nor does the purge of what was stale already.
    let (freshness, t) = cc("max-age=10, stale-while-revalidate=30");
    let freshness = freshness.as_if_expired_at(t + secs(35));
    assert!(freshness.may_serve_stale(t + secs(39), REVALIDATING));
    assert!(!freshness.may_serve_stale(t + secs(40), REVALIDATING));
}

#[derive(Debug)]
struct Case {
    headers: HeaderMap,
    delay: u64,
    purge: Option<u64>,
    max_stale: Duration,
}

/// Plausible numbers, and ones near every limit.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..100u64,
        (1u64 << 31) - 2..(1 << 31) + 2,
        Just(u64::from(u32::MAX)),
        Just(u64::MAX),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let directive = (
        "(max-age|s-maxage|stale-while-revalidate|stale-if-error)",
        number(),
    )
        .prop_map(|(name, number)| format!("{name}={number}"));
    let flag = "(no-cache|must-revalidate|proxy-revalidate|public|immutable)";
    let directives = proptest::collection::vec(prop_oneof![3 => directive, 1 => flag], 0..5);
    let dates = proptest::option::of((any::<u32>(), any::<u32>()));
    let purge = proptest::option::of(0..200u64);
    (
        directives,
        proptest::option::of(number()),
        dates,
        0..100u64,
        purge,
        number(),
    )
        .prop_map(|(directives, age, dates, delay, purge, max_stale)| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, directives.join(", ").parse().unwrap());
            if let Some(age) = age {
                headers.insert(AGE, age.to_string().parse().unwrap());
            }
            if let Some((date, expires)) = dates {
                let at = |seconds| format_http_date(UNIX_EPOCH + secs(u64::from(seconds)));
                headers.insert(DATE, at(date));
                headers.insert(EXPIRES, at(expires));
            }
            Case {
                headers,
                delay,
                purge,
                max_stale: secs(max_stale),
            }
        })
}

proptest! {
    /// Time only takes permissions away, and no number is too large.
    #[test]
    fn freshness_is_monotone_in_time(
        case in case(),
        mut moments in proptest::collection::vec(prop_oneof![0..300u64, Just(1 << 31), Just(1 << 33)], 2..6),
    ) {
        let sent = start();
        let received = Now { mono: sent.mono + secs(case.delay), wall: sent.wall + secs(case.delay) };
        let mut freshness = Freshness::of(sent, received, &case.headers, &CacheControl::parse(&case.headers));
        if let Some(purge) = case.purge {
            freshness = freshness.as_if_expired_at(received.mono + secs(purge));
        }
        let outage = Outage { max_stale: case.max_stale, ..Outage::default() };
        let reasons = [REVALIDATING, ERROR, StaleReason::Outage(outage)];

        moments.sort_unstable();
        // A purge has happened when anybody asks.
        let first = received.mono + secs(case.purge.unwrap_or(0));
        let mut before: Option<(Duration, i64, bool, [bool; 3])> = None;
        for moment in moments {
            let now = first + secs(moment);
            let fresh = freshness.is_fresh(now);
            let stale = reasons.map(|reason| freshness.may_serve_stale(now, reason));
            let state = (freshness.age(now), freshness.ttl(now), fresh, stale);
            if let Some(before) = before {
                prop_assert!(before.0 <= state.0);
                prop_assert!(before.1 >= state.1);
                prop_assert!(before.2 || !state.2, "it became fresh again");
                for (before, now) in before.3.into_iter().zip(state.3) {
                    prop_assert!(before || !now, "a window opened again");
                }
            }
            if fresh {
                prop_assert!(state.1 > 0 && case.purge.is_none());
            }
            // An outage permits all that an error does.
            prop_assert!(!stale[1] || stale[2]);
            before = Some(state);
        }
    }
}

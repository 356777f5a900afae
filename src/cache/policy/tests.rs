//! The policy as a whole: from the head of a response to what later requests get.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};

use super::storable::NoStore;
use super::*;
use crate::time::Now;

struct Stored {
    verdict: Verdict,
    freshness: Freshness,
    headers: HeaderMap,
    at: Now,
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn receive(status: u16, response: &HeaderMap, at: Now) -> Stored {
    let status = StatusCode::from_u16(status).unwrap();
    let policy = CacheControl::parse(response);
    let freshness = Freshness::of(at, at, response, &policy).of_status(status);
    let facts = ResponseFacts {
        status,
        headers: response,
        policy: &policy,
        freshness: &freshness,
        has_instructions: false,
    };
    let request = RequestFacts::of(&Method::GET, &HeaderMap::new());
    Stored {
        verdict: decide(&request, &facts, &StoreLimits::default()),
        freshness,
        headers: stored_headers(response, &policy),
        at,
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_response_lives_is_validated_and_lives_again() {
    let now = Now::read();
    let response = headers(&[
        ("cache-control", "max-age=60"),
        ("date", format_http_date(now.wall).to_str().unwrap()),
        ("etag", "\"1\""),
        ("age", "20"),
        ("x-old", "1"),
    ]);
    let stored = receive(200, &response, now);
    assert!(stored.verdict.is_storable() && stored.verdict.shareable.is_ok());
    assert!(stored.freshness.is_fresh(now.mono + secs(39)));
    let later = Now {
        mono: now.mono + secs(41),
        wall: now.wall + secs(41),
    };
    assert_eq!(stored.freshness.ttl(later.mono), -1);

    let validators = Validators::of(&stored.headers, now.wall).unwrap();
    assert!(validators.is_strong());
    let mut request = headers(&[("range", "bytes=0-1"), ("if-none-match", "\"client\"")]);
    strip_client_conditionals(&mut request, &VarySpec::default());
    validators.conditional_headers(&mut request);
    assert_eq!(request, headers(&[("if-none-match", "\"1\"")]));

    let answer = headers(&[
        ("cache-control", "max-age=10"),
        ("etag", "\"1\""),
        ("date", format_http_date(later.wall).to_str().unwrap()),
    ]);
    assert!(validators.selects(&answer));
    let mut merged = stored.headers;
    merge_304(&mut merged, &answer);
    let renewed = receive(200, &merged, later);
    assert_eq!(renewed.freshness.age(later.mono), secs(0), "the old Age is gone");
    assert_eq!(renewed.freshness.ttl(later.mono), 10);
    assert_eq!(renewed.headers["x-old"], "1");
    assert!(renewed.verdict.is_storable());
}

#[test]
fn a_304_may_forbid_what_was_allowed() {
    let now = Now::read();
    let stored = receive(
        200,
        &headers(&[("cache-control", "max-age=1"), ("etag", "\"1\"")]),
        now,
    );
    let mut merged = stored.headers;
    merge_304(
        &mut merged,
        &headers(&[("cache-control", "private"), ("etag", "\"1\"")]),
    );
    assert_eq!(receive(200, &merged, now).verdict.storable, Err(NoStore::Private));
}

#[test]
fn fields_that_a_304_makes_private_are_dropped() {
    let now = Now::read();
    let stored = receive(
        200,
        &headers(&[("cache-control", "max-age=1"), ("etag", "\"1\"")]),
        now,
    );
    let mut merged = stored.headers;
    let answer = headers(&[
        ("cache-control", "max-age=5, no-cache=\"x-user\""),
        ("x-user", "me"),
    ]);
    merge_304(&mut merged, &answer);
    assert!(!receive(200, &merged, now).headers.contains_key("x-user"));
}

#[test]
fn org_15_dates_far_apart() {
    let now = Now::read();
    let response = headers(&[
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("expires", "Thu, 18 Aug 2050 02:01:18 GMT"),
    ]);
    let stored = receive(200, &response, now);
    assert!(stored.verdict.is_storable());
    assert_eq!(stored.freshness.ttl(now.mono), 365 * 24 * 60 * 60);
}

#[test]
fn sta_01_an_outage_and_what_it_is_called() {
    let stored = receive(200, &headers(&[("cache-control", "s-maxage=600")]), Now::read());
    let now = stored.at.mono + secs(601);
    let outage = Outage::default();
    assert!(stored.freshness.may_serve_stale(now, StaleReason::Outage(outage)));
    let status = CacheStatus::hit()
        .ttl(stored.freshness.ttl(now))
        .detail("outage")
        .to_value();
    assert_eq!(status, "gripstack; hit; ttl=-1; detail=outage");
}

#[test]
fn reasons_are_told() {
    let stored = receive(200, &headers(&[("cache-control", "no-store")]), Now::read());
    let reason = stored.verdict.storable.unwrap_err();
    let status = CacheStatus::forwarded(Fwd::UriMiss)
        .stored(false)
        .detail(reason.as_str())
        .to_value();
    assert_eq!(status, "gripstack; fwd=uri-miss; stored=?0; detail=no-store");
}

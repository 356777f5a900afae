//! What may be stored, case by case.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::time::Now;

struct Case {
    method: Method,
    request: HeaderMap,
    status: u16,
    response: HeaderMap,
    has_instructions: bool,
    limits: StoreLimits,
}

fn response(lines: &[(&'static str, &str)]) -> Case {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    Case {
        method: Method::GET,
        request: HeaderMap::new(),
        status: 200,
        response: headers,
        has_instructions: false,
        limits: StoreLimits::default(),
    }
}

fn cc(value: &str) -> Case {
    response(&[("cache-control", value)])
}

impl Case {
    fn decided(&self) -> Verdict {
        let policy = CacheControl::parse(&self.response);
        let now = Now::read();
        let status = StatusCode::from_u16(self.status).unwrap();
        let response = ResponseFacts {
            status,
            headers: &self.response,
            policy: &policy,
            freshness: &Freshness::of(now, now, &self.response, &policy).of_status(status),
            has_instructions: self.has_instructions,
        };
        decide(
            &RequestFacts::of(&self.method, &self.request),
            &response,
            &self.limits,
        )
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn authorized(mut self) -> Self {
        self.request
            .insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        self
    }

    fn instructs(mut self) -> Self {
        self.has_instructions = true;
        self
    }

    #[track_caller]
    fn stored(self) {
        let both = Verdict {
            shareable: Ok(()),
            storable: Ok(()),
        };
        assert_eq!(self.decided(), both);
    }

    #[track_caller]
    fn neither(self, reason: NoStore) {
        let neither = Verdict {
            shareable: Err(reason),
            storable: Err(reason),
        };
        assert_eq!(self.decided(), neither);
    }

    #[track_caller]
    fn only_shared(self, reason: NoStore) {
        let verdict = Verdict {
            shareable: Ok(()),
            storable: Err(reason),
        };
        assert_eq!(self.decided(), verdict);
    }

    #[track_caller]
    fn only_stored(self, reason: NoStore) {
        let verdict = Verdict {
            shareable: Err(reason),
            storable: Ok(()),
        };
        assert_eq!(self.decided(), verdict);
    }
}

#[test]
fn explicit_freshness_is_stored_whatever_the_status() {
    for status in [
        200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599,
    ] {
        cc("max-age=3600").status(status).stored();
    }
    cc("s-maxage=600").stored();
    response(&[("expires", "Thu, 18 Aug 2050 02:01:18 GMT")]).stored();
}

#[test]
fn step_1_only_plain_get() {
    for method in [
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::from_bytes(b"M-SEARCH").unwrap(),
    ] {
        let mut case = cc("max-age=60");
        case.method = method;
        case.neither(NoStore::Method);
    }
    let mut case = cc("max-age=60");
    case.request
        .insert(UPGRADE, HeaderValue::from_static("websocket"));
    case.neither(NoStore::Bypass);
}

#[test]
fn poi_07_fat_get() {
    let case = cc("max-age=60");
    let policy = CacheControl::parse(&case.response);
    let now = Now::read();
    let request = RequestFacts {
        has_body: true,
        ..RequestFacts::of(&Method::GET, &case.request)
    };
    let response = ResponseFacts {
        status: StatusCode::OK,
        headers: &case.response,
        policy: &policy,
        freshness: &Freshness::of(now, now, &case.response, &policy),
        has_instructions: false,
    };
    let verdict = decide(&request, &response, &case.limits);
    assert_eq!(verdict.storable, Err(NoStore::Bypass));
    assert!(verdict.shareable.is_err() && !verdict.is_storable());
}

#[test]
fn org_09_steps_2_and_3_statuses_with_their_own_paths() {
    for (status, reason) in [
        (101, NoStore::Interim),
        (103, NoStore::Interim),
        (206, NoStore::Range),
        (416, NoStore::Range),
        (304, NoStore::Conditional),
        (412, NoStore::Conditional),
    ] {
        cc("max-age=60").status(status).neither(reason);
    }
}

#[test]
fn step_4_must_understand() {
    cc("max-age=60, no-store, must-understand").stored();
    cc("max-age=60, must-understand")
        .status(599)
        .neither(NoStore::NotUnderstood);
    cc("max-age=60, no-store, must-understand")
        .status(299)
        .neither(NoStore::NotUnderstood);
}

#[test]
fn steps_5_and_6_no_store_and_private() {
    cc("max-age=60, no-store").neither(NoStore::NoStore);
    cc("max-age=60, private").neither(NoStore::Private);
    cc("max-age=60, private=\"\"").neither(NoStore::Private);
    cc("max-age=60, private=\"x-user\"").stored();
}

#[test]
fn col_07_step_7_authorization() {
    cc("max-age=60").authorized().neither(NoStore::Authorization);
    for permission in ["public", "s-maxage=60", "must-revalidate"] {
        cc(&format!("max-age=60, {permission}")).authorized().stored();
    }
}

#[test]
fn step_8_vary_star_anywhere() {
    for value in ["*", "*, *", ", *", "Foo, *", "*, Foo", " * "] {
        response(&[("cache-control", "max-age=60"), ("vary", value)]).neither(NoStore::VaryStar);
    }
    response(&[("cache-control", "max-age=60"), ("vary", "Foo"), ("vary", "*")]).neither(NoStore::VaryStar);
    response(&[("cache-control", "max-age=60"), ("vary", "Foo")]).stored();
}

#[test]
fn col_06_step_9_set_cookie() {
    response(&[("cache-control", "max-age=60"), ("set-cookie", "a=b")]).neither(NoStore::SetCookie);
    // What is not stored hurts nobody.
    response(&[
        ("cache-control", "max-age=60, no-cache=\"set-cookie\""),
        ("set-cookie", "a=b"),
    ])
    .stored();
}

#[test]
fn step_10_endless_bodies() {
    for kind in [
        "text/event-stream",
        "Text/Event-Stream ; charset=utf-8",
        "multipart/x-mixed-replace; boundary=x",
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web-text",
    ] {
        let lines = [("cache-control", "max-age=60"), ("content-type", kind)];
        response(&lines).neither(NoStore::Stream);
        response(&lines).instructs().stored();
        response(&[lines[0], lines[1], ("content-length", "5")]).stored();
    }
    response(&[("cache-control", "max-age=60"), ("content-type", "text/html")]).stored();
}

#[test]
fn grp_03_step_11_grip_status() {
    let case = |status: &str, vary: &str| {
        response(&[
            ("cache-control", "max-age=60"),
            ("grip-status", status),
            ("vary", vary),
        ])
        .instructs()
    };
    for status in ["304", "304 Not Modified", "412", "206", "416"] {
        case(status, "accept").neither(NoStore::Grip);
    }
    case("304", "accept, If-None-Match").stored();
    case("412", "if-match").stored();
    case("206", "range").stored();
    case("304", "range").neither(NoStore::Grip);
    case("404", "accept").stored();
}

#[test]
fn mem_02_step_12_size() {
    let mut case = response(&[("cache-control", "max-age=60"), ("content-length", "100")]);
    case.limits.max_object_bytes = 100;
    assert!(case.decided().is_storable());
    case.limits.max_object_bytes = 99;
    case.only_shared(NoStore::TooLarge);
    response(&[
        ("cache-control", "max-age=60"),
        ("content-length", "999999999999999999999"),
    ])
    .only_shared(NoStore::TooLarge);
}

#[test]
fn org_10_step_12_header_bytes() {
    let mut case = cc("max-age=60");
    let written = "cache-control: max-age=60\r\n".len();
    case.limits.max_header_bytes = written;
    assert!(case.decided().is_storable());
    case.limits.max_header_bytes = written - 1;
    case.only_shared(NoStore::TooLarge);
}

#[test]
fn step_13_silence_is_no_permission() {
    response(&[]).status(599).neither(NoStore::NoPermission);
    response(&[("etag", "\"1\"")])
        .status(302)
        .neither(NoStore::NoPermission);
    response(&[("etag", "\"1\"")])
        .status(414)
        .neither(NoStore::NoPermission);
    // Worth validating, not worth sharing.
    response(&[("etag", "\"1\"")]).only_stored(NoStore::NoPermission);
    response(&[("etag", "\"1\""), ("cache-control", "public")])
        .status(302)
        .stored();
}

#[test]
fn failures_are_shared() {
    response(&[]).status(503).only_shared(NoStore::NoPermission);
    response(&[("cache-control", "private")])
        .status(503)
        .neither(NoStore::Private);
}

#[test]
fn step_14_no_lifetime() {
    let verdict = response(&[]).decided();
    assert_eq!(verdict.storable, Err(NoStore::NoLifetime));
    for value in ["max-age=0", "s-maxage=0", "public", "max-age=0, stale-if-error=0"] {
        cc(value).only_shared(NoStore::NoLifetime);
    }
    cc("max-age=0, stale-while-revalidate=5").stored();
    cc("max-age=0, stale-if-error=5").stored();
    response(&[("expires", "0")]).only_shared(NoStore::NoLifetime);
}

#[test]
fn col_08_c4_max_age_0_is_shared_and_stored_only_to_be_validated() {
    cc("max-age=0").only_shared(NoStore::NoLifetime);
    response(&[("cache-control", "max-age=0"), ("etag", "\"1\"")]).stored();
    response(&[
        ("cache-control", "max-age=0"),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ])
    .stored();
}

#[test]
fn c5_no_cache_is_stored_to_be_validated_and_never_shared() {
    response(&[("cache-control", "no-cache, max-age=60"), ("etag", "\"1\"")]).only_stored(NoStore::NoCache);
    let verdict = cc("no-cache, max-age=60, stale-if-error=60").decided();
    assert_eq!(verdict.shareable, Err(NoStore::NoCache));
    assert_eq!(verdict.storable, Err(NoStore::NoLifetime));
    cc("no-cache=\"x\", max-age=60").stored();
}

#[test]
fn live_counter_is_stored() {
    response(&[
        ("content-type", "text/event-stream"),
        ("cache-control", "s-maxage=600"),
        ("vary", "Accept"),
        ("grip-hold", "stream"),
        ("grip-channel", "counter-x"),
    ])
    .instructs()
    .stored();
}

proptest! {
    #[test]
    fn any_headers_are_judged_without_panic(
        lines in proptest::collection::vec(
            (
                prop_oneof![
                    Just("cache-control"), Just("vary"), Just("content-type"), Just("content-length"),
                    Just("grip-status"), Just("expires"), Just("date"), Just("age"), Just("etag"),
                ],
                proptest::collection::vec(any::<u8>(), 0..30),
            ),
            0..6,
        ),
        status in 100u16..1000,
    ) {
        let mut case = response(&[]).status(status);
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                case.response.append(name, value);
            }
        }
        case.decided();
    }
}

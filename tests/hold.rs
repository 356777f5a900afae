//! The hold layer: instructions, requests, and what passes through.
#![cfg(all(feature = "hold", feature = "testing"))]

mod hold_support;

use gripstack::Edge;
use gripstack::body::{EdgeBody, Held};
use gripstack::hold::{EndReason, HoldError};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use hold_support::*;

/// Status and body of a GET.
async fn outcome(origin: &Origin, debug: bool) -> (u16, String) {
    let service = origin.held(Edge::new().hold_layer().debug(debug));
    let response = start(&service, request(Method::GET, "/", &[])).done().await;
    assert!(!gripstack::grip::has_grip(response.headers()));
    (response.status().as_u16(), text(response).await)
}

fn bad_instruct(text: &str) -> (u16, String) {
    (502, format!("Failed to parse accept instructions: {text}\n"))
}

#[tokio::test(start_paused = true)]
async fn i01_a_response_without_instructions_passes_unchanged() {
    let origin = Origin::fixed(
        200,
        &[("etag", "\"1\""), ("via", "1.1 x"), ("content-length", "5")],
        "hello",
    );
    let edge = Edge::new();
    let response = origin.get(&edge).await;
    assert_eq!(header(&response, "etag"), Some("\"1\""));
    assert_eq!(header(&response, "via"), Some("1.1 x"));
    assert_eq!(header(&response, "content-length"), Some("5"));
    assert_eq!(response.headers().len(), 3);
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert!(response.extensions().get::<Held>().is_none());
    assert_eq!(text(response).await, "hello");
    assert_eq!(edge.hub().stats().channels, 0);
}

#[tokio::test]
async fn i02_a_malformed_hold_is_a_502_that_tells_operators_why() {
    let origin = Origin::fixed(200, &[("grip-hold", "foo")], "secret");
    let service = origin.held(Edge::new().hold_layer());
    let response = get(&service).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(header(&response, "content-type"), Some("text/plain"));
    assert_eq!(header(&response, "content-length"), Some("32"));
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    let why = "grip-instruct; Failed to parse accept instructions: \
               Grip-Hold must be set to either 'response' or 'stream'";
    assert_eq!(header(&response, "gripstack-error"), Some(why));
    assert!(matches!(
        response.extensions().get(),
        Some(HoldError::Instruct(_))
    ));
    assert_eq!(text(response).await, "Error while proxying to origin.\n");
}

#[tokio::test]
async fn i03_debug_tells_the_client_as_well() {
    let origin = Origin::fixed(200, &[("grip-hold", "foo")], "");
    let text = "Grip-Hold must be set to either 'response' or 'stream'";
    assert_eq!(outcome(&origin, true).await, bad_instruct(text));
}

/// A channel's name may be a secret, and so may be what else stands in instructions.
#[tokio::test]
async fn i02_the_field_quotes_nothing_of_the_origin() {
    let shown = |error: Option<&str>| error.expect("the field").to_owned();
    for (name, value, text) in [
        (
            "grip-channel",
            "secret; filter=1; filter=2; filter=3; filter=4; filter=5; filter=6",
            "too many filters for a channel",
        ),
        (
            "grip-keep-alive",
            "x; mode=secret",
            "no such Grip-Keep-Alive mode",
        ),
        (
            "grip-keep-alive",
            "x; format=secret",
            "no such Grip-Keep-Alive format",
        ),
        (
            "grip-expose-headers",
            "secret secret",
            "Grip-Expose-Headers contains an invalid header name",
        ),
    ] {
        let headers = [("grip-hold", "stream"), (name, value)];
        let origin = Origin::new(move |_, _| async move { Ok(reply(200, &headers, "x")) });
        let response = get(&origin.held(Edge::new().hold_layer())).await;
        let why = format!("grip-instruct; Failed to parse accept instructions: {text}");
        assert_eq!(header(&response, "gripstack-error"), Some(&*why));
    }
    let long = format!("secret; prev-id={}", "s".repeat(10_000));
    let origin = Origin::new(move |_, _| {
        let long = long.clone();
        async move {
            Ok(reply(
                200,
                &[("grip-hold", "stream"), ("grip-channel", &long)],
                "x",
            ))
        }
    });
    let response = get(&origin.held(Edge::new().hold_layer())).await;
    let why = shown(header(&response, "gripstack-error"));
    assert!(
        why.contains("prev-id of a channel") && !why.contains("secret"),
        "{why}"
    );
    for body in [
        r#"{"hold":{"mode":"stream","channels":[{"name":"t"}],"meta":{"secret":1}}}"#,
        r#"{"response":{"headers":{"secret":1}}}"#,
        r#"{"response":{"headers":{"secret secret":"1"}}}"#,
        r#"{"hold":{"mode":"stream","channels":[{"name":"secret","filters":["1","2","3","4","5","6"]}]}}"#,
    ] {
        let response = get(&json(200, body).held(Edge::new().hold_layer())).await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        let why = shown(header(&response, "gripstack-error"));
        assert!(
            why.starts_with("grip-instruct; ") && !why.contains("secret"),
            "{why}"
        );
    }
    let headers = [
        ("grip-hold", "stream"),
        ("grip-channel", "t"),
        ("content-encoding", "secret"),
    ];
    let origin = Origin::new(move |_, _| async move { Ok(reply(200, &headers, "x")) });
    let response = get(&origin.held(Edge::new().hold_layer())).await;
    let why = shown(header(&response, "gripstack-error"));
    assert!(!why.contains("secret"), "{why}");
}

#[tokio::test]
async fn i04_i05_i06_i09_i10_i14_i18_i21_malformed_headers() {
    const FILTERS: (&str, &str) = (
        "grip-channel",
        "t; filter=a; filter=b; filter=c; filter=d; filter=e; filter=f",
    );
    type Case = (&'static [(&'static str, &'static str)], &'static str);
    const CASES: [Case; 8] = [
        (
            &[("grip-hold", "Response")],
            "Grip-Hold must be set to either 'response' or 'stream'",
        ),
        (
            &[("grip-hold", "response"), ("grip-timeout", "abc")],
            "failed to parse Grip-Timeout",
        ),
        (
            &[("grip-hold", "response"), ("grip-timeout", "-1")],
            "Grip-Timeout has invalid value",
        ),
        (
            &[("grip-hold", "stream"), ("grip-keep-alive", "x; mode=foo")],
            "no such Grip-Keep-Alive mode 'foo'",
        ),
        (
            &[("grip-hold", "stream"), ("grip-keep-alive", "x; format=foo")],
            "no such Grip-Keep-Alive format 'foo'",
        ),
        (
            &[("grip-status", "abc")],
            "Grip-Status contains invalid status code",
        ),
        (
            &[("grip-link", "foo; rel=next")],
            "failed to parse Grip-Link value",
        ),
        (
            &[("grip-hold", "stream"), FILTERS],
            "too many filters for channel 't'",
        ),
    ];
    for (headers, text) in CASES {
        let origin = Origin::new(move |_, _| async move { Ok(reply(200, headers, "x")) });
        assert_eq!(outcome(&origin, true).await, bad_instruct(text), "{headers:?}");
        assert_eq!(outcome(&origin, false).await.0, 502);
    }
}

#[tokio::test]
async fn i11_i12_i13_status() {
    for (status, code, body) in [("404 Nope", 404, "x"), ("304", 304, ""), ("799", 799, "x")] {
        let origin = Origin::new(move |_, _| async move { Ok(reply(200, &[("grip-status", status)], body)) });
        assert_eq!(outcome(&origin, false).await, (code, body.into()), "{status}");
    }
}

/// RFC 9110 8.6: a length beside a status that has no body would take the next answer for it.
#[tokio::test]
async fn i11_a_status_without_a_body_has_no_length() {
    for status in ["204", "304"] {
        let fields = [("grip-status", status), ("content-length", "2")];
        let origin = Origin::new(move |_, _| async move { Ok(reply(200, &fields, "ok")) });
        let response = origin.get(&Edge::new()).await;
        assert_eq!(header(&response, "content-length"), None, "{status}");
        assert_eq!(text(response).await, "", "{status}");
    }
}

#[cfg(feature = "serve")]
#[tokio::test]
async fn i11_the_phrase_reaches_an_http1_server() {
    let origin = Origin::fixed(200, &[("grip-status", "404 Nope")], "x");
    let response = origin.get(&Edge::new()).await;
    let phrase = response
        .extensions()
        .get::<hyper::ext::ReasonPhrase>()
        .expect("a phrase");
    assert_eq!(phrase.as_ref(), b"Nope");
}

#[tokio::test]
async fn i15_an_unknown_grip_header_is_stripped() {
    let origin = Origin::fixed(200, &[("grip-foo", "1"), ("etag", "\"1\"")], "hello");
    let response = origin.get(&Edge::new()).await;
    assert_eq!(header(&response, "grip-foo"), None);
    assert_eq!(header(&response, "etag"), Some("\"1\""));
    assert_eq!(text(response).await, "hello");
}

#[tokio::test]
async fn i16_a_long_response_with_instructions_is_refused() {
    let long = |headers: &'static [(&'static str, &'static str)]| {
        Origin::new(move |_, _| async move { Ok(reply(200, headers, vec![b'x'; 150_000])) })
    };
    let (status, body) = outcome(&long(&[("grip-foo", "1")]), true).await;
    assert_eq!((status, &*body), (502, "GRIP instruct response too large\n"));
    assert_eq!(outcome(&long(&[("grip-hold", "response")]), false).await.0, 502);
    // What names channels for a cache is an ordinary response.
    assert_eq!(outcome(&long(&[("grip-channel", "t")]), false).await.0, 200);
    assert_eq!(outcome(&long(&[]), false).await.0, 200);
}

#[tokio::test]
async fn i17_expose_headers() {
    let origin = Origin::fixed(
        200,
        &[
            ("grip-expose-headers", "X-A"),
            ("x-a", "1"),
            ("x-b", "2"),
            ("content-type", "text/plain"),
            ("content-length", "5"),
        ],
        "hello",
    );
    let response = origin.get(&Edge::new()).await;
    assert_eq!(header(&response, "x-a"), Some("1"));
    assert_eq!(header(&response, "content-length"), Some("5"));
    assert_eq!(response.headers().len(), 2);
}

#[tokio::test]
async fn i19_i20_links_are_read() {
    for link in ["</a?x=1,2>; rel=next", "</a>"] {
        let origin = Origin::new(move |_, _| async move { Ok(reply(200, &[("grip-link", link)], "x")) });
        assert_eq!(outcome(&origin, false).await, (200, "x".into()), "{link}");
    }
}

fn json(status: u16, body: &'static str) -> Origin {
    Origin::new(move |_, _| async move {
        let headers = [("content-type", "application/grip-instruct"), ("x-carrier", "1")];
        Ok(reply(status, &headers, body))
    })
}

#[tokio::test]
async fn i23_to_i30_json() {
    let bad = [
        (
            200,
            "{bad",
            "failed to parse application/grip-instruct content as JSON",
        ),
        (200, "[]", "instruct must be an object"),
        (
            404,
            "{}",
            "response code for application/grip-instruct content must be 200",
        ),
        (200, r#"{"hold":{}}"#, "hold does not contain 'channels'"),
    ];
    for (status, body, text) in bad {
        assert_eq!(
            outcome(&json(status, body), true).await,
            bad_instruct(text),
            "{body}"
        );
    }
    let code = r#"{"response":{"code":"418","body":"z"}}"#;
    assert_eq!(outcome(&json(200, code), false).await, (418, "z".into()));
    assert_eq!(outcome(&json(200, "{}"), false).await, (200, String::new()));
    assert_eq!(
        outcome(&json(200, r#"{"response":{"code":"abc"}}"#), false)
            .await
            .0,
        502
    );
    let filters =
        r#"{"hold":{"mode":"stream","channels":[{"name":"t","filters":["1","2","3","4","5","6"]}]}}"#;
    assert_eq!(outcome(&json(200, filters), false).await.0, 502);
}

#[tokio::test]
async fn json_makes_a_stream_and_its_carrier_is_discarded() {
    let body = r#"{"hold":{"mode":"stream","channels":[{"name":"t"}]},
                   "response":{"body":"open\n","headers":{"X-A":"1","ETag":"x"}}}"#;
    let edge = Edge::new();
    let origin = json(200, body);
    let mut response = origin.get(&edge).await;
    assert_eq!(header(&response, "x-a"), Some("1"));
    assert_eq!(header(&response, "x-carrier"), None);
    assert_eq!(header(&response, "content-type"), None);
    assert_eq!(ready(response.body_mut()), ["open\n"]);
    publish(&edge, gripstack::Message::bytes("1")).await;
    assert_eq!(ready(response.body_mut()), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_json_body_that_never_comes_is_a_502_in_time() {
    let origin = Origin::new(|_, _| async {
        let mut response = reply(200, &[("content-type", "application/grip-instruct")], "");
        *response.body_mut() = silent();
        Ok(response)
    });
    let begun = tokio::time::Instant::now();
    let (status, body) = outcome(&origin, true).await;
    assert_eq!((status, body.contains("in time")), (502, true));
    assert_eq!(begun.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn i32_a_long_request_cannot_be_held() {
    for (length, status) in [(150_000, 400), (1_000, 200)] {
        let origin = Origin::streams("open\n");
        let service = origin.held(Edge::new().hold_layer());
        let mut request = request(Method::POST, "/", &[]);
        *request.body_mut() = vec![0u8; length].into();
        let response = send(&service, request).await;
        assert_eq!(response.status().as_u16(), status);
        if status == 400 {
            assert_eq!(
                text(response).await,
                "Request too large to accept GRIP instruct.\n"
            );
        }
    }
    // Without a hold its length does not matter.
    let service = Origin::fixed(200, &[], "ok").held(Edge::new().hold_layer());
    let mut request = request(Method::POST, "/", &[]);
    *request.body_mut() = vec![0u8; 150_000].into();
    assert_eq!(text(send(&service, request).await).await, "ok");
}

#[tokio::test]
async fn a_request_body_that_the_origin_left_is_read_before_the_hold() {
    let (mut sender, body) = http_body_util::channel::Channel::<bytes::Bytes, gripstack::BoxError>::new(1);
    let edge = Edge::new();
    // This origin does not read.
    let origin = service_fn(|_: Request<EdgeBody>| async { Ok::<_, gripstack::BoxError>(stream("open\n")) });
    let service = edge.hold_layer().layer(origin);
    let mut request = Request::new(EdgeBody::new(body));
    *request.method_mut() = Method::POST;
    let held = tokio::spawn(service.oneshot(request));
    for piece in ["1", "2", "3"] {
        sender.send_data(piece.into()).await.expect("somebody reads");
    }
    drop(sender);
    let response = held.await.expect("no panic").expect("no error");
    assert!(response.extensions().get::<Held>().is_some());
}

/// Such an origin answers before it has read.
#[tokio::test(start_paused = true)]
async fn a_request_body_that_the_origin_still_reads_ends_before_the_hold() {
    for (reads, ends, status) in [
        (true, "whole", 200),
        (true, "broken", 400),
        (true, "never", 400),
        (false, "whole", 200),
        (false, "broken", 400),
        (false, "never", 400),
        (true, "long", 400),
    ] {
        let (mut sender, body) =
            http_body_util::channel::Channel::<bytes::Bytes, gripstack::BoxError>::new(1);
        let edge = Edge::new();
        let origin = service_fn(move |request: Request<EdgeBody>| async move {
            let reading = reads.then(|| request.into_body().collect());
            tokio::spawn(async move {
                if let Some(reading) = reading {
                    let _ = reading.await;
                }
            });
            Ok::<_, gripstack::BoxError>(stream("open\n"))
        });
        let mut request = request(Method::POST, "/", &[]);
        *request.body_mut() = EdgeBody::new(body);
        let origin = BoxCloneSyncService::new(origin);
        let mut held = start(&edge.hold_layer().layer(origin), request);
        sender.send_data("1".into()).await.expect("somebody reads");
        assert!(
            held.now().await.is_none(),
            "its rest may come, or its client leave"
        );
        let begun = tokio::time::Instant::now();
        match ends {
            "whole" => drop(sender),
            "broken" => sender.abort("the client is gone".into()),
            "long" => {
                let long = vec![0u8; 150_000].into();
                tokio::spawn(async move {
                    let _ = sender.send_data(long).await;
                    std::future::pending::<()>().await;
                });
            }
            _ => {
                tokio::spawn(async move {
                    let _sender = sender;
                    std::future::pending::<()>().await;
                });
            }
        }
        let response = held.done().await;
        assert_eq!(response.status(), status, "{reads} {ends}");
        assert_eq!(
            begun.elapsed().as_secs(),
            if ends == "never" { 15 } else { 0 },
            "{reads} {ends}"
        );
    }
}

#[tokio::test]
async fn i34_head_is_answered_at_once_and_not_held() {
    for headers in [
        &[("grip-hold", "stream"), ("grip-channel", "t"), ("x-a", "1")],
        &[("grip-hold", "response"), ("grip-channel", "t"), ("x-a", "1")],
    ] {
        let edge = Edge::new();
        let origin = Origin::new(move |_, _| async move { Ok(reply(200, headers, "")) });
        let mut waiting = start(&origin.held(edge.hold_layer()), request(Method::HEAD, "/", &[]));
        let response = waiting.now().await.expect("at once");
        assert!(!gripstack::grip::has_grip(response.headers()));
        assert_eq!(header(&response, "x-a"), Some("1"));
        assert_eq!(header(&response, "content-length"), None);
        assert!(response.body().is_end_stream());
        assert!(response.extensions().get::<Held>().is_none());
        assert_eq!(subscriptions(&edge), 0);
        assert_eq!(origin.head(1).method, Method::HEAD);
    }
}

#[tokio::test]
async fn r02_r03_r04_r08_grp_05_what_the_origin_is_sent() {
    let origin = Origin::fixed(200, &[], "");
    let service = origin.held(Edge::new().hold_layer());
    let forged = [
        ("grip-sig", "forged"),
        ("grip-foo", "1"),
        ("Grip-Last", "t; last-id=1"),
        ("grip-hold", "stream"),
        ("grip-feature", "everything"),
        ("accept-encoding", "br"),
        ("cookie", "a=b"),
        ("range", "bytes=0-1"),
    ];
    send(&service, request(Method::GET, "/a?b", &forged)).await;
    let head = origin.head(1);
    let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cookie", "grip-feature", "range"]);
    assert_eq!(head.headers["grip-feature"], gripstack::grip::FEATURES);
    assert_eq!(head.uri, "/a?b");
    assert_eq!(origin.at_least(1), gripstack::Position::ZERO);
}

#[cfg(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc"))]
mod signed {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn r01_grip_sig() {
        let origin = Origin::fixed(200, &[], "");
        let layer = Edge::new()
            .hold_layer()
            .sign("pushpin", "changeme")
            .expect("a backend");
        let service = origin.held(layer);
        let claims = |number: usize| {
            let head = origin.head(number);
            let values: Vec<_> = head.headers.get_all("grip-sig").iter().collect();
            assert_eq!(values.len(), 1, "one, and a fresh one");
            let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
            rules.set_issuer(&["pushpin"]);
            let key = jsonwebtoken::DecodingKey::from_secret(b"changeme");
            let token = values[0].to_str().expect("text");
            let token = jsonwebtoken::decode::<serde_json::Value>(token, &key, &rules).expect("valid");
            assert_eq!(token.header.typ.as_deref(), Some("JWT"));
            assert_eq!(token.claims.as_object().map(|claims| claims.len()), Some(2));
            token.claims["exp"].as_u64().expect("a number")
        };
        send(&service, request(Method::GET, "/", &[("grip-sig", "forged")])).await;
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_secs();
        assert!(claims(1).abs_diff(now + 3_600) <= 60);
        tokio::time::advance(Duration::from_secs(59)).await;
        get(&service).await;
        assert_eq!(claims(2), claims(1), "used again");
        tokio::time::advance(Duration::from_secs(600)).await;
        get(&service).await;
        assert!(claims(3).abs_diff(claims(1) + 659) <= 2, "renewed");
    }

    /// As clients read the `key` of their `GRIP_URL`.
    #[tokio::test]
    async fn r01_a_key_may_be_base64() {
        let origin = Origin::fixed(200, &[], "");
        let layer = || Edge::new().hold_layer();
        let signing = layer().sign("pushpin", "base64:c2VjcmV0").expect("a good key");
        get(&origin.held(signing)).await;
        let key = jsonwebtoken::DecodingKey::from_secret(b"secret");
        let rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        let call = origin.head(1);
        let token = call.headers["grip-sig"].to_str().expect("text");
        jsonwebtoken::decode::<serde_json::Value>(token, &key, &rules).expect("signed with these bytes");
        for bad in ["", "base64:", "base64:@@@"] {
            assert!(layer().sign("pushpin", bad).is_err(), "{bad}");
        }
    }
}

#[cfg(all(
    feature = "jwt",
    not(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc"))
))]
#[test]
fn without_a_backend_signing_is_an_error_when_it_is_asked_for() {
    assert!(Edge::new().hold_layer().sign("a", "b").is_err());
}

#[tokio::test]
async fn disabled_it_does_nothing() {
    let origin = Origin::fixed(200, &[("grip-hold", "response")], "x");
    let service = origin.held(Edge::new().hold_layer().enabled(false));
    let response = send(&service, request(Method::GET, "/", &[("accept-encoding", "br")])).await;
    assert_eq!(header(&response, "grip-hold"), Some("response"));
    assert!(origin.head(1).headers.contains_key("accept-encoding"));
}

#[tokio::test]
async fn a_hold_layer_over_a_hold_layer_holds_once() {
    let edge = Edge::new();
    let origin = Origin::streams("open\n");
    let service = edge.hold_layer().layer(origin.held(edge.hold_layer()));
    let mut response = service
        .oneshot(Request::new(EdgeBody::empty()))
        .await
        .expect("no error");
    assert_eq!(subscriptions(&edge), 1);
    assert_eq!(ready(response.body_mut()), ["open\n"]);
    publish(&edge, gripstack::Message::bytes("1")).await;
    assert_eq!(ready(response.body_mut()), ["1"]);
}

#[tokio::test]
async fn an_error_of_the_service_passes() {
    let service = service_fn(|_: Request<EdgeBody>| async { Err::<Response<EdgeBody>, _>("broken") });
    let error = Edge::new()
        .hold_layer()
        .layer(service)
        .oneshot(Request::new(EdgeBody::empty()))
        .await;
    assert_eq!(error.expect_err("it fails"), "broken");
}

/// Any body in, any body out; trailers and lengths pass.
#[tokio::test]
async fn bodies_pass_as_they_are() {
    let edge = Edge::new();
    let echo = service_fn(|request: Request<EdgeBody>| async {
        Ok::<_, std::convert::Infallible>(Response::new(request.into_body()))
    });
    let layer = edge.hold_layer();
    gripstack::testing::check_body(|body| {
        let response = layer.layer(echo).oneshot(Request::new(body));
        let mut response = std::pin::pin!(response);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match response.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(response) => response.expect("infallible").into_body(),
            std::task::Poll::Pending => panic!("an echo does not wait"),
        }
    });
    let large = Request::new(http_body_util::Full::new(bytes::Bytes::from(vec![1; 300_000])));
    let response = layer.layer(echo).oneshot(large).await.expect("infallible");
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes()
            .len(),
        300_000
    );
}

#[tokio::test(start_paused = true)]
async fn a_part_is_not_held_from_the_whole_is_asked_for() {
    let origin = Origin::new(|_, parts| async move {
        Ok(match parts.headers.contains_key("range") {
            true => reply(206, &[("grip-hold", "stream"), ("grip-channel", "t")], "op"),
            false => stream("open\n"),
        })
    });
    let service = origin.held(Edge::new().hold_layer());
    let ranged = request(
        Method::GET,
        "/",
        &[("range", "bytes=0-1"), ("if-range", "\"1\""), ("x-a", "1")],
    );
    let mut response = send(&service, ranged).await;
    assert_eq!(response.status(), 200);
    assert_eq!(ready(response.body_mut()), ["open\n"]);
    assert!(!origin.head(2).headers.contains_key("if-range"));
    assert_eq!(origin.head(2).headers["x-a"], "1");
}

#[tokio::test]
async fn the_end_of_a_hold_can_be_seen_from_outside() {
    let edge = Edge::new();
    let origin = Origin::streams("open\n");
    let response = origin.get(&edge).await;
    let end = ended(&response);
    assert_eq!(end.reason(), None);
    drop(response);
    assert_eq!(end.reason(), Some(EndReason::Client));
    assert_eq!(subscriptions(&edge), 0);
}

#[tokio::test]
async fn it_is_a_layer_of_an_axum_router() {
    use axum::Router;
    use axum::routing::get;

    let edge = Edge::new();
    let stream = || async {
        let headers = gripstack::grip::Instruct::stream().channel("t").into_headers();
        (headers.expect("valid"), "open\n")
    };
    let router = Router::new()
        .route("/stream", get(stream))
        .route("/plain", get(async || "plain"))
        .layer(edge.hold_layer());
    let ask = |path: &str| {
        let request = Request::builder()
            .uri(path)
            .body(axum::body::Body::empty())
            .expect("valid");
        router.clone().oneshot(request)
    };
    let response = ask("/plain").await.expect("infallible");
    assert_eq!(
        response.into_body().collect().await.expect("whole").to_bytes(),
        "plain"
    );
    let response = ask("/stream").await.expect("infallible");
    assert!(response.extensions().get::<Held>().is_some());
    let mut body = response.into_body();
    let mut next = async || {
        body.frame()
            .await
            .expect("no end")
            .expect("no error")
            .into_data()
            .expect("data")
    };
    assert_eq!(next().await, "open\n");
    publish(&edge, gripstack::Message::bytes("1")).await;
    assert_eq!(next().await, "1");
}

/// What it asks for stands in a body that HEAD has not.
#[tokio::test(start_paused = true)]
async fn a_head_is_answered_where_get_answers_instructions_as_json() {
    let edge = Edge::new();
    let origin = Origin::fixed(
        200,
        &[
            ("content-type", "application/grip-instruct"),
            ("content-length", "99"),
            ("etag", "\"json\""),
            ("grip-hold", "stream"),
            ("x-kept", "1"),
        ],
        "",
    );
    let response = send(&origin.held(edge.hold_layer()), request(Method::HEAD, "/", &[])).await;
    assert_eq!(response.status(), 200);
    let mut names: Vec<_> = response.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "x-kept"]);
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(text(response).await, "");
}

/// A part of them would be a hold that misses messages.
#[tokio::test(start_paused = true)]
async fn l19_a_hold_of_too_many_channels_is_refused_whole() {
    let edge = Edge::new();
    let origin = |hold: &'static str, count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("c{n}")).collect();
        Origin::new(move |_, _| {
            let channels = names.join(", ");
            async move {
                Ok(reply(
                    200,
                    &[("grip-hold", hold), ("grip-channel", &channels)],
                    "body",
                ))
            }
        })
    };
    let layer = || edge.hold_layer().debug(true);
    for hold in ["stream", "response"] {
        let response = get(&origin(hold, 201).held(layer())).await;
        assert_eq!(response.status(), 502);
        assert_eq!(
            header(&response, "gripstack-error"),
            Some("grip-instruct; a hold of 201 channels, at most 200 are allowed")
        );
        assert_eq!(
            text(response).await,
            "a hold of 201 channels, at most 200 are allowed\n"
        );
        assert_eq!(subscriptions(&edge), 0);
        let response = get(&origin(hold, 3).held(layer().max_channels(2))).await;
        assert_eq!(response.status(), 502);
    }
    for (layer, count) in [(layer(), 200), (layer().max_channels(300), 300)] {
        let mut response = get(&origin("stream", count).held(layer)).await;
        assert_eq!(ready(response.body_mut()), ["body"]);
        assert_eq!(subscriptions(&edge), count);
        publish_on(&edge, &format!("c{}", count - 1), bytes("last")).await;
        assert_eq!(ready(response.body_mut()), ["last"]);
    }
}

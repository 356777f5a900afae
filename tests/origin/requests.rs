//! What an origin gets to see.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use gripstack::ClientInfo;
use gripstack::EdgeBody;
use gripstack::error::OriginFailure;
use gripstack::origin::{ForwardedFor, HostPolicy, Origin};
use http::uri::Scheme;
use http::{HeaderName, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use tower::Service;

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The origin is a service like any other: in a stack, and inside an axum router, whose body is another one.
#[test]
fn it_composes() {
    fn check<S>(service: S) -> S
    where
        S: Service<Request<EdgeBody>, Response = Response<EdgeBody>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        service
    }
    let origin = check(Origin::new("http://127.0.0.1:1").unwrap());
    let service = tower::ServiceBuilder::new()
        .map_request(|request: Request<axum::body::Body>| request.map(EdgeBody::new))
        .service(origin);
    let _: axum::Router = axum::Router::new().fallback_service(service);
}

/// Sends a request with these fields and says the head that the origin got.
async fn seen(origin: impl Fn(&RawOrigin) -> Origin, method: &str, fields: &[(&str, &str)]) -> String {
    let raw = RawOrigin::answering(OK).await;
    let mut request = Request::builder().method(method).uri("/x");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(EdgeBody::empty()).unwrap();
    assert_eq!(send(&origin(&raw), request).await.status(), StatusCode::OK);
    raw.head()
}

async fn seen_get(fields: &[(&str, &str)]) -> String {
    seen(RawOrigin::origin, "GET", fields).await
}

/// The values of a field in a head.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter(|(field, _)| *field == name)
        .map(|(_, value)| value)
        .collect()
}

#[tokio::test]
async fn path_and_query_arrive_byte_for_byte() {
    let raw = RawOrigin::answering(OK).await;
    let origin = Origin::new(&format!("{}/base/", raw.url())).unwrap();
    for path in ["/a%2f..%2Fb//c;d?e=%zz&%41+", "/", "/?", "/%E2%82%AC/../."] {
        send(&origin, get(path)).await;
        let head = raw.heads().pop().unwrap();
        assert_eq!(head.lines().next().unwrap(), format!("GET /base{path} HTTP/1.1"));
    }
    let origin = raw.origin();
    send(&origin, get("http://client.example/b?c")).await;
    assert!(raw.heads().pop().unwrap().starts_with("GET /b?c HTTP/1.1\r\n"));
    let options = Request::options("*").header("host", "client.example");
    send(&origin, options.body(EdgeBody::empty()).unwrap()).await;
    assert!(raw.heads().pop().unwrap().starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[tokio::test]
async fn the_path_of_the_origins_url_is_not_left() {
    let raw = RawOrigin::answering(OK).await;
    let origin = Origin::new(&format!("{}/base", raw.url())).unwrap();
    for path in ["/../secret", "/%2e%2e/secret", "/a/..%2f../secret", "/..;/secret"] {
        assert_failure(send(&origin, get(path)).await, OriginFailure::PathClimbs).await;
    }
    assert_eq!(raw.connections(), 0);
    assert_eq!(send(&origin, get("/a/../b")).await.status(), StatusCode::OK);
    assert!(raw.head().starts_with("GET /base/a/../b HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_request_body_streams_through_chunk_by_chunk() {
    let raw = RawOrigin::new(|mut conn| async move {
        let head = conn.head().await.unwrap();
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        assert_eq!(conn.until(b"one\r\n").await, b"3\r\none\r\n");
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n")
            .await;
        assert_eq!(conn.until(b"0\r\n\r\n").await, b"3\r\ntwo\r\n0\r\n\r\n");
        conn.send(b"3\r\nTWO\r\n0\r\n\r\n").await;
        conn.hang().await;
    })
    .await;
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    let request = Request::post("/").body(EdgeBody::new(body)).unwrap();
    sender.send_data("one".into()).await.unwrap();
    // The answer's head and first chunk come while the request's body is still open.
    let mut answer = send(&raw.origin(), request).await.into_body();
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "ONE");
    sender.send_data("two".into()).await.unwrap();
    drop(sender);
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "TWO");
    assert!(answer.frame().await.is_none());
}

#[tokio::test]
async fn a_body_of_known_length_says_it_whatever_the_client_said() {
    for (said, body, length) in [
        (None, "abc", Some("3")),
        (Some("3"), "abc", Some("3")),
        (Some("5"), "abc", Some("3")),
        (Some("5"), "", Some("0")),
        (Some("0"), "", Some("0")),
        (None, "", None),
    ] {
        let raw = RawOrigin::new(|mut conn| async move {
            conn.head().await;
            conn.send(OK.as_bytes()).await;
            conn.hang().await;
        })
        .await;
        let mut request = Request::post("/x");
        if let Some(said) = said {
            request = request.header("content-length", said);
        }
        send(&raw.origin(), request.body(body.into()).unwrap()).await;
        let head = raw.head();
        assert_eq!(
            values(&head, "content-length"),
            Vec::from_iter(length),
            "{said:?} {body:?}"
        );
        assert!(values(&head, "transfer-encoding").is_empty());
    }
}

#[tokio::test]
async fn request_trailers_pass() {
    let raw = RawOrigin::new(|mut conn| async move {
        conn.head().await;
        assert_eq!(
            conn.until(b"\r\n\r\n").await,
            b"3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"
        );
        conn.send(OK.as_bytes()).await;
        conn.hang().await;
    })
    .await;
    let fields = [
        "x-sum",
        "content-length",
        "authorization",
        "grip-sig",
        "x-forwarded-for",
    ];
    let trailers = fields
        .map(|name| (HeaderName::from_static(name), "1".parse().unwrap()))
        .into_iter()
        .collect();
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(2);
    sender.send(Frame::data("abc".into())).await.unwrap();
    sender.send(Frame::trailers(trailers)).await.unwrap();
    drop(sender);
    let request = Request::post("/").header("trailer", fields.join(", "));
    let answer = send(&raw.origin(), request.body(EdgeBody::new(body)).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn poi_07_a_body_is_forwarded_whatever_the_method() {
    for method in [Method::GET, Method::HEAD] {
        let raw = RawOrigin::new(|mut conn| async move {
            conn.head().await;
            conn.until(b"body").await;
            conn.send(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        })
        .await;
        let request = Request::builder().method(method).uri("/");
        let request = request
            .body(EdgeBody::new(Full::new(Bytes::from("body"))))
            .unwrap();
        let origin = raw.origin();
        assert_eq!(send(&origin, request).await.status(), StatusCode::NO_CONTENT);
        let head = raw.head();
        assert_eq!(values(&head, "content-length"), ["4"]);
        // To an origin that passes over the body it would be the next request, and its answer somebody else's.
        assert_eq!(values(&head, "connection"), ["close"]);
    }
}

/// In chunks over HTTP/1, or over HTTP/2 without a length.
#[tokio::test]
async fn poi_07_a_body_of_unknown_length_is_forwarded_whatever_the_method() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "POST", "QUERY"] {
        let raw = RawOrigin::new(|mut conn| async move {
            conn.head().await;
            assert_eq!(conn.until(b"0\r\n\r\n").await, b"4\r\nbody\r\n0\r\n\r\n");
            conn.send(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        })
        .await;
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        sender.send_data("body".into()).await.unwrap();
        drop(sender);
        let request = Request::builder().method(method).uri("/");
        let request = request.body(EdgeBody::new(body)).unwrap();
        let origin = raw.origin();
        assert_eq!(
            send(&origin, request).await.status(),
            StatusCode::NO_CONTENT,
            "{method}"
        );
        let head = raw.head();
        assert_eq!(values(&head, "transfer-encoding"), ["chunked"], "{method}");
        assert!(values(&head, "content-length").is_empty(), "{method}");
        if method == "GET" || method == "HEAD" {
            assert_eq!(values(&head, "connection"), ["close"], "{method}");
        }
    }
}

#[tokio::test]
async fn fields_of_the_connection_stay_on_the_connection() {
    let head = seen_get(&[
        ("connection", "close, X-Mine"),
        ("connection", "x-other"),
        ("x-mine", "1"),
        ("x-other", "1"),
        ("keep-alive", "timeout=9"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("proxy", "http://evil"),
        ("te", "trailers, gzip"),
        ("transfer-encoding", "gzip"),
        ("upgrade", "websocket"),
        ("expect", "100-continue"),
        ("cookie", "a=1"),
        ("accept-encoding", "br"),
        ("x-obs", "ok"),
    ])
    .await;
    let mut names: Vec<_> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .collect();
    names.sort_unstable();
    let ours = raw_host(&head);
    let cdn_loop = values(&head, "cdn-loop")[0];
    assert!(cdn_loop.starts_with("gripstack-"), "{cdn_loop}");
    assert_eq!(
        names,
        [
            ("accept-encoding", "br"),
            ("cdn-loop", cdn_loop),
            ("cookie", "a=1"),
            ("host", ours),
            ("via", "1.1 gripstack"),
            ("x-forwarded-proto", "http"),
            ("x-obs", "ok"),
        ]
    );
}

fn raw_host(head: &str) -> &str {
    let host = values(head, "host");
    assert!(
        host[0].starts_with("127.0.0.1:"),
        "without a host of the client it is the origin's"
    );
    host[0]
}

#[tokio::test]
async fn te_trailers_survives_for_grpc() {
    let head = seen_get(&[("te", "trailers"), ("content-type", "application/grpc+proto")]).await;
    assert_eq!(values(&head, "te"), ["trailers"]);
    assert_eq!(values(&head, "connection"), ["te"]);
}

#[tokio::test]
async fn r03_a_client_cannot_have_our_fields_removed() {
    let head = seen_get(&[
        (
            "connection",
            "Grip-Sig, X-Forwarded-For, X-Forwarded-Host, Host, Cache-Control, CDN-Loop",
        ),
        ("cdn-loop", "first"),
        ("grip-sig", "ours"),
        ("cache-control", "no-cache"),
        ("host", "client.example"),
    ])
    .await;
    assert_eq!(values(&head, "grip-sig"), ["ours"]);
    assert_eq!(values(&head, "host"), ["client.example"]);
    assert_eq!(values(&head, "x-forwarded-host"), ["client.example"]);
    assert_eq!(values(&head, "cache-control"), ["no-cache"]);
    assert_eq!(values(&head, "cdn-loop")[0], "first");
}

#[tokio::test]
async fn poi_01_forwarded_fields_are_ours() {
    let head = seen_get(&[
        ("host", "client.example:81"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-host", "more.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.example"),
    ])
    .await;
    assert_eq!(values(&head, "x-forwarded-host"), ["client.example:81"]);
    assert_eq!(values(&head, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&head, "host"), ["client.example:81"]);
    assert!(
        !head.contains("evil") && !head.contains("forwarded: host"),
        "{head}"
    );

    let raw = RawOrigin::answering(OK).await;
    let mut request = get("/");
    for (name, value) in [("x-forwarded-host", "a.example"), ("x-forwarded-proto", "https")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request.extensions_mut().insert(ClientInfo {
        proxy: Some("127.0.0.9".parse().unwrap()),
        ..ClientInfo::default()
    });
    send(&raw.origin(), request).await;
    let head = raw.head();
    assert_eq!(values(&head, "x-forwarded-host"), ["a.example"]);
    assert_eq!(values(&head, "x-forwarded-proto"), ["https"]);
}

#[tokio::test]
async fn poi_08_overrides_that_no_key_covers_are_removed() {
    let fields = [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Host",
        "X-Forwarded-Server",
        "X-Forwarded-Scheme",
        "X-Forwarded-Port",
        "Forwarded",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Front-End-Https",
        "X-Wap-Profile",
        "X-Forwarded",
        "X-HTTP-Host-Override",
    ];
    let head = seen_get(&fields.map(|name| (name, "DELETE"))).await;
    assert!(!head.contains("DELETE"), "{head}");
}

#[tokio::test]
async fn forwarded_for_follows_its_policy() {
    let peer = Some("192.0.2.7:99".parse::<SocketAddr>().unwrap());
    let mapped = Some("[::ffff:192.0.2.8]:99".parse::<SocketAddr>().unwrap());
    let sent: &[&str] = &["10.0.0.1, 10.0.0.2", "10.0.0.3"];
    let joined = "10.0.0.1, 10.0.0.2, 10.0.0.3";
    let proxy = Some("127.0.0.9".parse().unwrap());
    for (policy, addr, proxy, sent, expected) in [
        (
            ForwardedFor::Append,
            peer,
            proxy,
            sent,
            Some(format!("{joined}, 127.0.0.9")),
        ),
        (ForwardedFor::Append, peer, None, sent, Some("192.0.2.7".into())),
        (ForwardedFor::Append, mapped, None, &[], Some("192.0.2.8".into())),
        (ForwardedFor::Append, None, None, sent, None),
        (ForwardedFor::Replace, peer, None, sent, Some("192.0.2.7".into())),
        (ForwardedFor::Replace, peer, proxy, sent, Some("127.0.0.9".into())),
        (ForwardedFor::Replace, None, None, sent, None),
        (ForwardedFor::Off, peer, proxy, sent, None),
    ] {
        let raw = RawOrigin::answering(OK).await;
        let origin = raw.builder().forwarded_for(policy).build().unwrap();
        let mut request = get("/");
        for value in sent {
            request
                .headers_mut()
                .append("x-forwarded-for", value.parse().unwrap());
        }
        request.extensions_mut().insert(ClientInfo { addr, proxy });
        request.extensions_mut().insert(Scheme::HTTPS);
        send(&origin, request).await;
        let head = raw.head();
        assert_eq!(
            values(&head, "x-forwarded-for"),
            Vec::from_iter(expected.as_deref()),
            "{policy:?}"
        );
        assert_eq!(values(&head, "x-forwarded-proto"), ["https"]);
    }
}

#[tokio::test]
async fn poi_03_the_target_names_the_host_unless_the_policy_does() {
    let fixed = HostPolicy::Fixed("inner.example".parse().unwrap());
    for (policy, expected) in [
        (HostPolicy::Client, "target.example"),
        (HostPolicy::Origin, "127.0.0.1"),
        (fixed, "inner.example"),
    ] {
        let raw = RawOrigin::answering(OK).await;
        let origin = raw.builder().host(policy).build().unwrap();
        let request = Request::get("http://user@target.example/").header("host", "other.example");
        send(&origin, request.body(EdgeBody::empty()).unwrap()).await;
        let head = raw.head();
        let host = values(&head, "host");
        assert_eq!(host.len(), 1);
        assert!(host[0].starts_with(expected), "{host:?}");
        assert_eq!(values(&head, "x-forwarded-host"), ["target.example"]);
    }
}

#[tokio::test]
async fn poi_02_what_names_no_one_host_is_refused_before_the_origin() {
    let raw = RawOrigin::answering(OK).await;
    let origin = raw.origin();
    let mut two = get("/");
    two.headers_mut().append("host", "b.example".parse().unwrap());
    assert_failure(send(&origin, two).await, OriginFailure::BadRequest).await;
    for host in ["a b", "a/b", "u@a.example", "a:b:c"] {
        let mut bad = get("/");
        bad.headers_mut().insert("host", host.parse().unwrap());
        assert_failure(send(&origin, bad).await, OriginFailure::BadRequest).await;
    }
    let connect = Request::connect("a.example:443").body(EdgeBody::empty()).unwrap();
    assert_failure(send(&origin, connect).await, OriginFailure::MethodUnsupported).await;
    assert_eq!(raw.connections(), 0);
}

#[tokio::test]
async fn r12_via_says_in_both_directions_who_passed_it_on() {
    const OLD: &str = "HTTP/1.0 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 2\r\n\r\nok";
    let name = HeaderName::from_static("edge-1");
    let raw = RawOrigin::answering(OLD).await;
    for (origin, asked, answered) in [
        (raw.origin(), "2 gripstack", "1.0 gripstack"),
        (
            raw.builder().via(&name).build().unwrap(),
            "2 edge-1",
            "1.0 edge-1",
        ),
    ] {
        let mut request = get("/");
        request.headers_mut().insert("via", "1.1 first".parse().unwrap());
        *request.version_mut() = Version::HTTP_2;
        let answer = send(&origin, request).await;
        let head = raw.heads().pop().unwrap();
        assert_eq!(values(&head, "via"), ["1.1 first", asked]);
        let via: Vec<_> = answer.headers().get_all("via").iter().collect();
        assert_eq!(via, ["1.1 inner", answered]);
    }
    let silent = raw.builder().without_via().build().unwrap();
    let answer = send(&silent, get("/")).await;
    assert!(!raw.heads().pop().unwrap().contains("via"));
    assert_eq!(answer.headers()["via"], "1.1 inner");
}

/// RFC 8586: what was here before does not go out again, and who else passed it on stays in the field.
#[tokio::test]
async fn a_request_that_comes_again_is_refused() {
    let raw = RawOrigin::answering(OK).await;
    let name = HeaderName::from_static("edge-1");
    let origin = raw.builder().cdn_loop(&name).build().unwrap();
    let with = |value: &str| {
        let mut request = get("/");
        request.headers_mut().insert("cdn-loop", value.parse().unwrap());
        request
    };
    let passed = send(&origin, with("other.example; v=1, edge-10")).await;
    assert_eq!(passed.status(), StatusCode::OK);
    assert_eq!(
        values(&raw.head(), "cdn-loop"),
        ["other.example; v=1, edge-10", "edge-1"]
    );
    let again = send(&origin, with("edge-1, other.example")).await;
    assert_eq!(again.status(), StatusCode::LOOP_DETECTED);
    assert_failure(again, OriginFailure::Loop).await;

    let guarded = tower::Layer::layer(
        &origin.loop_layer(),
        tower::service_fn(|_: Request<EdgeBody>| async {
            Ok::<_, Infallible>(Response::new(EdgeBody::from("inside")))
        }),
    );
    let ask = |request| tower::ServiceExt::oneshot(guarded.clone(), request);
    assert_eq!(ask(with("edge-2")).await.unwrap().status(), StatusCode::OK);
    assert_failure(ask(with("edge-1")).await.unwrap(), OriginFailure::Loop).await;
    assert_eq!(raw.connections(), 1);
}

#[tokio::test]
async fn options_and_trace_go_as_far_as_they_may() {
    for method in ["OPTIONS", "TRACE"] {
        for (asked, forwarded) in [
            ("2", Some("1")),
            ("1", Some("0")),
            ("0007", Some("6")),
            ("0", None),
            ("000", None),
            ("x", Some("x")),
            ("-1", Some("-1")),
        ] {
            let raw = RawOrigin::answering(OK).await;
            let request = Request::builder().method(method).uri("/a?b");
            let request = request
                .header("host", "client.example")
                .header("max-forwards", asked)
                .header("cookie", "secret=1")
                .header("x-own-key", "secret")
                .body(EdgeBody::empty())
                .unwrap();
            let answer = send(&raw.origin(), request).await;
            assert_eq!(answer.status(), StatusCode::OK);
            if let Some(forwarded) = forwarded {
                assert_eq!(
                    values(&raw.head(), "max-forwards"),
                    [forwarded],
                    "{method} {asked}"
                );
                continue;
            }
            assert_eq!(raw.connections(), 0, "{method} {asked}: answered here");
            assert_eq!(answer.headers()["cache-control"], "no-store");
            if method == "TRACE" {
                assert_eq!(answer.headers()["content-type"], "message/http");
                let text = read(answer).await.unwrap();
                assert!(
                    text.starts_with("TRACE /a?b HTTP/1.1\r\nhost: client.example\r\n"),
                    "{text}"
                );
                assert!(!text.contains("secret"), "{text}");
            } else {
                assert!(answer.headers().contains_key("allow"));
                assert_eq!(read(answer).await.unwrap(), "");
            }
        }
    }
    let head = seen_get(&[("max-forwards", "0")]).await;
    assert_eq!(values(&head, "max-forwards"), ["0"], "means nothing to others");
}

#[tokio::test]
async fn routes_pick_an_origin_and_none_is_a_502() {
    let a = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await;
    let b = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb").await;
    let origin = Origin::builder()
        .route("client.example", &a.url())
        .routes([format!("CLIENT.example:80/api={}", b.url()).parse().unwrap()])
        .build()
        .unwrap();
    assert_eq!(read(send(&origin, get("/")).await).await.unwrap(), "a");
    assert_eq!(read(send(&origin, get("/api/x")).await).await.unwrap(), "b");
    let other = Request::get("/").header("host", "other.example");
    let answer = send(&origin, other.body(EdgeBody::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_failure(answer, OriginFailure::RouteNotFound).await;
    let requests: Vec<_> = origin.stats().map(|(_, stats)| stats.requests()).collect();
    assert_eq!(requests, [1, 1]);
}

//! Every answer of the purge layer, through the layer (P-1 to P-11).
#![cfg(feature = "purge")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use gripstack::purge::{Auth, PurgeLayer, Token};
use gripstack::{Edge, EdgeBody, Position, Target, Url};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

/// A layer over a service that counts what reaches it and answers with the headers it got.
#[derive(Clone)]
struct Bench {
    edge: Edge,
    layer: PurgeLayer,
    passed: Arc<AtomicUsize>,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Bench {
    fn new(auth: Auth) -> Self {
        let edge = Edge::new();
        Self {
            layer: PurgeLayer::new(edge.clone(), auth).api(true),
            edge,
            passed: Arc::default(),
        }
    }

    fn open() -> Self {
        Self::new(Auth::Open)
    }

    fn with(&self, set: impl FnOnce(PurgeLayer) -> PurgeLayer) -> Self {
        Self {
            layer: set(self.layer.clone()),
            ..self.clone()
        }
    }

    async fn send(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a good request");
        let passed = self.passed.clone();
        let inner = service_fn(move |request: Request<EdgeBody>| {
            passed.fetch_add(1, Ordering::SeqCst);
            let (parts, body) = request.into_parts();
            let mut response = Response::new(body);
            *response.headers_mut() = parts.headers;
            async move { Ok::<_, Infallible>(response) }
        });
        let response = self.layer.layer(inner).oneshot(request).await;
        let (parts, body) = response.expect("infallible").into_parts();
        let body = body.collect().await.expect("a body of ours").to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).expect("text"),
        }
    }

    fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    fn now(&self) -> Position {
        self.edge.hub().now()
    }

    #[track_caller]
    fn has_purged(&self, target: &Target) {
        let at = self.edge.hub().last_purge(target);
        assert!(at > Position::ZERO, "{target:?}");
    }
}

fn url(authority: &str, path: &str) -> Target {
    Target::Url(Url::new(authority, path))
}

fn key(name: &str) -> Target {
    Target::Key(name.into())
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().expect("text"))
    }

    #[track_caller]
    fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// `{"status":"ok","id":"<node>-<start>-<counter>"}`.
    #[track_caller]
    fn id(&self) -> String {
        let json = self.json(200);
        assert_eq!(json["status"], "ok");
        let id = json["id"].as_str().expect("a string").to_owned();
        let numbers: Vec<u64> = id
            .split('-')
            .map(|part| part.parse().expect("a number"))
            .collect();
        assert_eq!(numbers.len(), 3, "{id}");
        id
    }

    #[track_caller]
    fn fails(&self, status: u16) {
        let json = self.json(status);
        assert!(json["msg"].is_string() && json["detail"].is_string(), "{json}");
    }
}

#[tokio::test]
async fn a_purge_names_the_public_url_of_its_request() {
    let bench = Bench::open();
    let host = [("host", "Example.com:80")];
    bench.send("PURGE /a%2Fb?q=1&q=2", &host, "").await.id();
    bench.has_purged(&url("example.com", "/a%2Fb?q=1&q=2"));
    // HTTP/2, and the absolute form of HTTP/1.1: the target wins.
    bench.send("PURGE https://other.example/x", &host, "").await.id();
    bench.has_purged(&url("other.example", "/x"));
    assert_eq!(
        bench.edge.hub().last_purge(&url("example.com", "/x")),
        Position::ZERO
    );
    bench.send("PURGE /x", &[], "").await.fails(400);
    assert_eq!(bench.passed(), 0);
}

#[tokio::test]
async fn ids_are_strings_that_differ() {
    let bench = Bench::open();
    let host = [("host", "h")];
    let first = bench.send("PURGE /x", &host, "").await.id();
    let second = bench.send("PURGE /x", &host, "a body is ignored").await.id();
    assert_ne!(first, second);
    let answer = bench.send("POST /purge/h/x", &[], "").await;
    assert_eq!(
        answer.body,
        format!(r#"{{"status":"ok","id":"{}"}}"#, answer.id())
    );
}

#[tokio::test]
async fn an_api_purge_of_a_url_takes_the_raw_rest_of_the_target() {
    let bench = Bench::open();
    for (line, authority, path) in [
        (
            "POST /purge/www.example.com/path/x?y=1&z=a%20b",
            "www.example.com",
            "/path/x?y=1&z=a%20b",
        ),
        ("POST /purge/http://a.example/x", "a.example", "/x"),
        ("POST /purge/http:/b.example/x", "b.example", "/x"),
        ("POST /purge/c.example", "c.example", "/"),
    ] {
        bench.send(line, &[("host", "api")], "").await.id();
        bench.has_purged(&url(authority, path));
    }
    for line in ["POST /purge/", "POST /purge//x", "POST /purge/?x"] {
        bench.send(line, &[("host", "api")], "").await.fails(400);
    }
    assert_eq!(bench.passed(), 0);
}

#[tokio::test]
async fn a_key_purge_is_one_of_the_whole_rest() {
    let bench = Bench::open();
    bench.send("POST /service/SID/purge/a/b", &[], "").await.id();
    bench.has_purged(&key("a/b"));
    bench
        .send("POST /service/SID/purge/caf%C3%A9", &[], "")
        .await
        .id();
    bench.has_purged(&key("café"));
    bench
        .send("POST /service/SID/purge/ch:counter-foo", &[], "")
        .await
        .id();
    bench.has_purged(&Target::channel(&"counter-foo".try_into().expect("a good name")));
    for bad in ["", "%FF"] {
        let line = format!("POST /service/SID/purge/{bad}");
        bench.send(&line, &[], "").await.fails(400);
    }
}

#[tokio::test]
async fn pur_12_a_batch_has_at_most_256_keys() {
    let bench = Bench::open();
    let keys = |n: usize| (0..n).map(|n| format!("k{n}")).collect::<Vec<_>>();
    let line = "POST /service/SID/purge";
    let header = keys(257).join(" ");
    bench
        .send(line, &[("surrogate-key", header.as_str())], "")
        .await
        .fails(400);
    let body = json!({"surrogate_keys": keys(257)}).to_string();
    bench.send(line, &[], body).await.fails(400);
    assert_eq!(bench.now(), Position::ZERO, "nothing is purged");
    let body = json!({"surrogate_keys": keys(256)}).to_string();
    let answer = bench.send(line, &[], body).await.json(200);
    assert_eq!(answer.as_object().map(|ids| ids.len()), Some(256));
    assert_eq!(bench.now(), Position::ZERO.next(), "one order");
}

#[tokio::test]
async fn pur_13_a_batch_by_header_is_as_one_by_json() {
    let bench = Bench::open();
    let line = "POST /service/SID/purge";
    let body = json!({"surrogate_keys": ["a", "b/c"]}).to_string();
    let two_lines = [("surrogate-key", "a"), ("surrogate-key", " b/c")];
    for answer in [
        bench.send(line, &[("surrogate-key", "a b/c")], "").await,
        bench.send(line, &two_lines, "ignored").await,
        bench.send(line, &[], body).await,
    ] {
        let ids = answer.json(200);
        let ids = ids.as_object().expect("an object");
        let names: Vec<_> = ids.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "b/c"]);
        let of = |name: &str| ids[name].as_str().expect("a string").to_owned();
        let (first, last) = (of("a"), of("b/c"));
        assert_eq!(
            first.strip_suffix("-1"),
            last.strip_suffix("-2"),
            "{first} {last}"
        );
    }
    for target in [key("a"), key("b/c")] {
        assert_eq!(bench.edge.hub().last_purge(&target), bench.now());
    }
}

#[tokio::test]
async fn a_batch_of_anything_else_is_refused() {
    let bench = Bench::open();
    let line = "POST /service/SID/purge";
    let long = json!({"surrogate_keys": ["k".repeat(1025)]}).to_string();
    for body in [
        "",
        "xx",
        "[]",
        "{}",
        r#"{"surrogate_keys":[]}"#,
        r#"{"surrogate_keys":{}}"#,
        r#"{"surrogate_keys":[1]}"#,
        r#"{"surrogate_keys":["a",null]}"#,
        r#"{"surrogate_keys":["a",""]}"#,
        long.as_str(),
    ] {
        bench.send(line, &[], body.to_owned()).await.fails(400);
    }
    bench.send(line, &[("surrogate-key", " ")], "").await.fails(400);
    bench.send(line, &[], " ".repeat((2 << 20) + 1)).await.fails(413);
    assert_eq!(bench.now(), Position::ZERO);
}

#[tokio::test]
async fn pur_19_a_purge_of_everything_has_no_id() {
    let bench = Bench::open();
    let soft = [("fastly-soft-purge", "1")];
    let answer = bench.send("POST /service/SID/purge_all", &soft, "").await;
    assert_eq!(answer.json(200), json!({"status": "ok"}));
    bench.has_purged(&Target::Everything);
}

#[tokio::test]
async fn pur_15_an_unauthorised_purge_reaches_nobody() {
    let bench = Bench::new(Auth::token("secret"));
    let without = bench.send("PURGE /x", &[("host", "h")], "").await;
    assert_eq!(
        (without.status, without.body.as_str()),
        (405, "Method Not Allowed\n")
    );
    assert_eq!(without.header("allow"), Some("GET, HEAD"));
    assert_eq!(without.header("www-authenticate"), None);
    for wrong in [
        ("fastly-key", "wrong"),
        ("fastly-key", ""),
        ("authorization", "Bearer wrong"),
    ] {
        let answer = bench.send("PURGE /x", &[("host", "h"), wrong], "").await;
        answer.fails(401);
        assert!(answer.header("www-authenticate").is_some());
    }
    for line in [
        "POST /purge/h/x",
        "POST /purge/",
        "POST /service/s/purge/k",
        "POST /service/s/purge/%FF",
        "POST /service/s/purge",
        "POST /service/s/purge_all",
    ] {
        bench.send(line, &[], "").await.fails(401);
        bench.send(line, &[("fastly-key", "wrong")], "").await.fails(401);
    }
    assert_eq!((bench.now(), bench.passed()), (Position::ZERO, 0));
    for good in [("fastly-key", "secret"), ("authorization", "Bearer secret")] {
        bench.send("PURGE /x", &[("host", "h"), good], "").await.id();
    }
}

#[tokio::test]
async fn a_token_for_less_may_not_purge_everything() {
    let bench = Bench::new(Auth::Tokens(vec![Token::select("s"), Token::new("a")]));
    let select = [("fastly-key", "s"), ("host", "h")];
    bench.send("PURGE /x", &select, "").await.id();
    bench.send("POST /service/s/purge/k", &select, "").await.id();
    bench
        .send("POST /service/s/purge_all", &select, "")
        .await
        .fails(403);
    assert_eq!(bench.edge.hub().last_purge(&Target::Everything), Position::ZERO);
    let all = [("fastly-key", "a")];
    bench.send("POST /service/s/purge_all", &all, "").await.json(200);
}

#[tokio::test]
async fn another_service_is_not_found() {
    let bench = Bench::open().with(|layer| layer.service_id("SID"));
    let answer = bench.send("POST /service/other/purge_all", &[], "").await;
    assert_eq!(answer.json(404)["msg"], "Record not found");
    assert_eq!(bench.now(), Position::ZERO);
    bench.send("POST /service/SID/purge_all", &[], "").await.json(200);
}

#[tokio::test]
async fn what_is_not_ours_passes_through_untouched() {
    let bench = Bench::open();
    let headers = [
        ("x", "1"),
        ("fastly-key", "another's"),
        ("authorization", "Bearer t"),
    ];
    for line in [
        "GET /x",
        "GET /purge/h/x",
        "PUT /purge/h/x",
        "POST /purge",
        "POST /purges/h/x",
        "POST /x/purge/h/x",
        "GET /service/s/purge_all",
        "POST /service/s",
        "POST /service/s/purges",
        "POST /service/s/purge_all/",
        "POST /service//purge_all",
        "POST /service/s/version/1/purge_all",
        "purge /x",
        "OPTIONS *",
    ] {
        let before = bench.passed();
        let answer = bench.send(line, &headers, "body").await;
        assert_eq!(bench.passed(), before + 1, "{line}");
        assert_eq!(answer.body, "body", "{line}");
        for (name, value) in headers {
            assert_eq!(answer.header(name), Some(value), "{line}");
        }
    }
    let service_or_nothing = ["POST /purge/h/x", "POST /service/s/purge/k"];
    for bench in [
        bench.with(PurgeLayer::method_only),
        bench.with(|layer| layer.prefix("/control")),
    ] {
        for line in service_or_nothing {
            let before = bench.passed();
            bench.send(line, &[], "").await;
            assert_eq!(bench.passed(), before + 1, "{line}");
        }
        bench.send("PURGE /x", &[("host", "h")], "").await.id();
    }
    let under = bench.with(|layer| layer.prefix("control/"));
    under.send("POST /control/purge/h/y", &[], "").await.id();
    under.has_purged(&url("h", "/y"));
    under.send("POST /control/service/s/purge/z", &[], "").await.id();
    under.has_purged(&key("z"));
    let off = bench.with(|layer| layer.enabled(false));
    let before = off.passed();
    off.send("PURGE /x", &[("host", "h")], "").await;
    assert_eq!(off.passed(), before + 1);
}

#[tokio::test]
async fn our_token_goes_no_further() {
    let bench = Bench::new(Auth::token("hush"));
    let ours = bench.send("GET /x", &[("fastly-key", "hush")], "").await;
    assert_eq!(ours.header("fastly-key"), None);
    let another = bench.send("GET /x", &[("fastly-key", "other")], "").await;
    assert_eq!(another.header("fastly-key"), Some("other"));
    assert!(!format!("{:?}", bench.layer).contains("hush"));
}

#[tokio::test]
async fn a_purge_of_keys_by_header_where_it_is_configured() {
    let bench = Bench::open();
    let headers = [("host", "h"), ("xkey", "a b")];
    bench.send("PURGE /x", &headers, "").await.id();
    assert_eq!(bench.edge.hub().last_purge(&key("a")), Position::ZERO);
    let bench = bench.with(|layer| layer.key_headers(true));
    let answer = bench.send("PURGE /y", &headers, "").await.json(200);
    assert_eq!(answer.as_object().map(|ids| ids.len()), Some(2));
    bench.has_purged(&key("a"));
    bench.has_purged(&key("b"));
    assert_eq!(bench.edge.hub().last_purge(&url("h", "/y")), Position::ZERO);
}

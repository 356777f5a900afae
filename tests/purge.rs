//! Every answer of the purge layer, through the layer, who may purge and how often.
#![cfg(feature = "purge")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gripstack::control::{Authorizer, Caller, Denied};
use gripstack::purge::{Auth, Limits, PurgeLayer, Rate, Token};
use gripstack::{Edge, EdgeBody, Position, Target, Url};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::advance;
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
async fn where_operators_are_a_purge_without_credentials_is_told_what_is_missing() {
    let bench = Bench::new(Auth::token("secret")).with(|layer| layer.challenge(true));
    let answer = bench.send("PURGE /x", &[("host", "h")], "").await;
    answer.fails(401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert!(answer.body.contains("Fastly-Key"), "{}", answer.body);
    assert_eq!((bench.now(), bench.passed()), (Position::ZERO, 0));
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

/// Of the URLs and keys 3 at once, everything once; one more each second and each minute.
fn small() -> Limits {
    let rate = |burst, seconds| Rate {
        burst,
        interval: Duration::from_secs(seconds),
    };
    Limits::new(rate(3, 1), rate(1, 60))
}

impl Answer {
    fn number(&self, name: &str) -> u64 {
        let value = self.header(name).expect("there is one");
        value.parse().expect("a whole number")
    }

    /// Refused for so many seconds.
    #[track_caller]
    fn is_too_much(&self, seconds: u64) {
        let json = self.json(429);
        assert_eq!(self.number("retry-after"), seconds);
        assert_eq!(json["msg"], "Too many requests");
        let detail = json["detail"].as_str().expect("text");
        assert!(detail.contains(&format!("try again in {seconds} s")), "{detail}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_p8_a_purge_of_everything_says_how_many_more_and_until_when() {
    let bench = Bench::new(Auth::token("t"));
    let token = [("fastly-key", "t"), ("host", "h")];
    let all = async || bench.send("POST /service/s/purge_all", &token, "").await;
    let first = all().await;
    first.json(200);
    assert_eq!(first.number("fastly-ratelimit-remaining"), 9);
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let reset = first.number("fastly-ratelimit-reset");
    assert!(reset.abs_diff(since.as_secs() + 10) < 300, "seconds since 1970");
    let second = all().await;
    assert_eq!(second.number("fastly-ratelimit-remaining"), 8);
    assert_eq!(second.number("fastly-ratelimit-reset"), reset + 10);
    advance(Duration::from_secs(20)).await;
    assert_eq!(all().await.number("fastly-ratelimit-remaining"), 9);
    // What Fastly does not count says nothing of it.
    for line in ["PURGE /x", "POST /purge/h/x", "POST /service/s/purge/k"] {
        let answer = bench.send(line, &token, "").await;
        answer.id();
        assert_eq!(answer.header("fastly-ratelimit-remaining"), None, "{line}");
        assert_eq!(answer.header("fastly-ratelimit-reset"), None, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_p9_beyond_the_limit_it_is_429_and_nothing_is_purged() {
    let bench = Bench::open();
    let all = async || bench.send("POST /service/s/purge_all", &[], "").await;
    for _ in 0..10 {
        all().await.json(200);
    }
    let at = bench.now();
    advance(Duration::from_secs(3)).await;
    let refused = all().await;
    refused.is_too_much(7);
    assert_eq!(refused.number("fastly-ratelimit-remaining"), 0);
    assert!(refused.number("fastly-ratelimit-reset") > 0);
    assert_eq!(bench.now(), at);
    // Of URLs and keys there is another.
    bench.send("POST /service/s/purge/k", &[], "").await.id();
    advance(Duration::from_secs(7)).await;
    all().await.json(200);
    all().await.is_too_much(10);
    assert_eq!(bench.passed(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_counts_as_its_keys_all_of_them_or_none() {
    let bench = Bench::open().with(|layer| layer.limits(small()));
    let batch = async |keys: &str| {
        let keys = [("surrogate-key", keys)];
        bench.send("POST /service/s/purge", &keys, "").await
    };
    bench.send("PURGE /x", &[("host", "h")], "").await.id();
    batch("a b").await.json(200);
    for refused in [
        bench.send("PURGE /y", &[("host", "h")], "").await,
        bench.send("POST /purge/h/y", &[], "").await,
        bench.send("POST /service/s/purge/c", &[], "").await,
        batch("c").await,
    ] {
        refused.is_too_much(1);
        assert_eq!(refused.number("fastly-ratelimit-remaining"), 0);
    }
    advance(Duration::from_secs(1)).await;
    let refused = batch("c d").await;
    refused.is_too_much(1);
    assert_eq!(refused.number("fastly-ratelimit-remaining"), 1);
    assert_eq!(bench.edge.hub().last_purge(&key("c")), Position::ZERO);
    batch("c").await.json(200);
    // Larger than all that can be saved up: all of it, but not never.
    batch("e f g h i").await.is_too_much(3);
    advance(Duration::from_secs(3)).await;
    batch("e f g h i").await.json(200);
    bench.send("PURGE /y", &[("host", "h")], "").await.is_too_much(1);
}

#[tokio::test(start_paused = true)]
async fn each_credential_has_its_own_limit_on_all_layers_that_share_it() {
    let limits = small();
    let auth = || Auth::Tokens(vec![Token::new("a"), Token::select("b")]);
    let public = Bench::new(auth()).with(|layer| layer.limits(limits.clone()));
    let control = Bench::new(auth()).with(|layer| layer.limits(limits.clone()));
    let (a, b) = (("fastly-key", "a"), ("fastly-key", "b"));
    let purge = async |bench: &Bench, token| bench.send("PURGE /x", &[("host", "h"), token], "").await;
    // Who is not let in, or sends what makes no sense, uses up nothing.
    for _ in 0..10 {
        purge(&public, ("fastly-key", "c")).await.fails(401);
        public.send("POST /purge/", &[a], "").await.fails(400);
        public
            .send("POST /service/s/purge_all", &[b], "")
            .await
            .fails(403);
    }
    purge(&public, a).await.id();
    purge(&control, ("authorization", "Bearer a")).await.id();
    purge(&public, a).await.id();
    purge(&control, a).await.is_too_much(1);
    purge(&public, ("authorization", "Bearer a")).await.is_too_much(1);
    purge(&public, b).await.id();
    // A clone of a layer, as a router makes for each route, has no limit of its own.
    let route = public.with(|layer| layer.key_headers(true));
    purge(&route, a).await.is_too_much(1);
    let unlimited = control.with(|layer| layer.limits(Limits::new(Rate::UNLIMITED, Rate::UNLIMITED)));
    for _ in 0..100 {
        purge(&unlimited, a).await.id();
        unlimited
            .send("POST /service/s/purge_all", &[a], "")
            .await
            .json(200);
    }
}

/// Each team purges keys that begin with its name, and URLs of its host.
struct Teams;

impl Authorizer<Target> for Teams {
    fn identify(&self, head: &Parts) -> Result<Caller, Denied> {
        let Some(team) = head.headers.get("x-team") else {
            return Err(Denied::missing("send X-Team"));
        };
        match team.to_str() {
            Ok(team @ ("news" | "shop")) => Ok(Caller::new(team)),
            _ => Err(Denied::invalid("there is no such team")),
        }
    }

    fn authorize(&self, team: &Caller, head: &Parts, targets: &[Target]) -> Result<(), Denied> {
        assert!(head.headers.contains_key("x-team"));
        let own = |target: &Target| match target {
            Target::Url(url) => url.host() == team.name(),
            Target::Key(key) => key.starts_with(team.name()),
            _ => false,
        };
        match targets.iter().all(own) {
            true => Ok(()),
            false => Err(Denied::forbidden(format!("not all of it is of {}", team.name()))),
        }
    }
}

#[tokio::test]
async fn an_applications_own_rules_see_the_targets() {
    let bench = Bench::new(Auth::custom(Teams));
    let news = ("x-team", "news");
    bench.send("PURGE /x", &[("host", "news"), news], "").await.id();
    bench.has_purged(&url("news", "/x"));
    bench.send("POST /service/s/purge/news-1", &[news], "").await.id();
    let line = "POST /service/s/purge";
    let body = json!({"surrogate_keys": ["news-1", "news-2"]}).to_string();
    bench.send(line, &[news], body).await.json(200);
    let at = bench.now();
    for (line, headers, body) in [
        ("PURGE /x", [("host", "shop"), news], ""),
        ("POST /purge/shop/x", [("x", "1"), news], ""),
        ("POST /service/s/purge/shop-1", [("x", "1"), news], ""),
        (line, [("surrogate-key", "news-1 shop-1"), news], ""),
        (
            line,
            [("x", "1"), news],
            r#"{"surrogate_keys":["news-1","shop-1"]}"#,
        ),
        ("POST /service/s/purge_all", [("x", "1"), news], ""),
    ] {
        let answer = bench.send(line, &headers, body).await;
        let json = answer.json(403);
        assert_eq!(json["detail"], "not all of it is of news", "{line}");
    }
    assert_eq!((bench.now(), bench.passed()), (at, 0), "all of it or nothing");
}

#[tokio::test]
async fn pur_15_an_applications_own_rules_hide_as_much_as_tokens_do() {
    let bench = Bench::new(Auth::custom(Teams));
    let answer = bench.send("PURGE /x", &[("host", "news")], "").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (405, "Method Not Allowed\n")
    );
    for line in [
        "POST /purge/",
        "POST /service/s/purge/%FF",
        "POST /service/s/purge_all",
    ] {
        assert_eq!(bench.send(line, &[], "").await.json(401)["detail"], "send X-Team");
        let unknown = bench.send(line, &[("x-team", "x")], "").await;
        assert_eq!(unknown.json(401)["detail"], "there is no such team");
    }
    // Nothing is read of whom nobody knows.
    let large = " ".repeat((2 << 20) + 1);
    let line = "POST /service/s/purge";
    bench.send(line, &[], large.clone()).await.fails(401);
    bench.send(line, &[("x-team", "news")], large).await.fails(413);
    assert_eq!((bench.now(), bench.passed()), (Position::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn those_whom_an_application_knows_have_limits_by_their_names() {
    let bench = Bench::new(Auth::custom(Teams)).with(|layer| layer.limits(small()));
    let purge = async |team| {
        let headers = [("host", team), ("x-team", team)];
        bench.send("PURGE /x", &headers, "").await
    };
    for _ in 0..3 {
        // Not allowed: not counted.
        let other = [("host", "shop"), ("x-team", "news")];
        bench.send("PURGE /x", &other, "").await.fails(403);
        purge("news").await.id();
    }
    purge("news").await.is_too_much(1);
    purge("shop").await.id();
}

#[tokio::test]
async fn a_function_of_the_head_is_a_rule() {
    let bench = Bench::new(Auth::custom(|head: &Parts| {
        match head.headers.get("fastly-key") {
            Some(key) if key == "hush" => Ok(Caller::new("operator")),
            Some(_) => Err(Denied::invalid("wrong")),
            None => Err(Denied::missing("none")),
        }
    }));
    let host = ("host", "h");
    bench
        .send("PURGE /x", &[host, ("fastly-key", "hush")], "")
        .await
        .id();
    bench
        .send("PURGE /x", &[host, ("fastly-key", "x")], "")
        .await
        .fails(401);
    assert_eq!(bench.send("PURGE /x", &[host], "").await.status, 405);
    // What it accepts goes no further.
    let ours = bench.send("GET /x", &[("fastly-key", "hush")], "").await;
    assert_eq!(ours.header("fastly-key"), None);
    let another = bench.send("GET /x", &[("fastly-key", "other")], "").await;
    assert_eq!(another.header("fastly-key"), Some("other"));
}

//! Every answer of the publish layer, through the layer (P01 to P19).
#![cfg(feature = "publish")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gripstack::control::{Authorizer, Caller, Denied};
use gripstack::hub::{Delivery, Subscription, Wants};
use gripstack::message::StreamForm;
use gripstack::publish::{Auth, Item, Key, Policy, PublishConfig, PublishError, PublishOptions, Rule};
use gripstack::{
    BoxError, Channel, Edge, EdgeBody, Message, Order, Position, Publication, Publisher,
    RateLimitedPublishLayer, Target, Url,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};

/// A layer over a service that counts what reaches it and answers with what it got.
#[derive(Clone)]
struct Bench {
    edge: Edge,
    layer: RateLimitedPublishLayer,
    passed: Arc<AtomicUsize>,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Bench {
    fn new(auth: Auth) -> Self {
        Self::with(auth, PublishConfig::new())
    }

    fn with(auth: Auth, config: PublishConfig) -> Self {
        let edge = Edge::new();
        Self {
            layer: RateLimitedPublishLayer::new(Publisher::new(edge.clone(), config), auth),
            edge,
            passed: Arc::default(),
        }
    }

    fn open() -> Self {
        Self::new(Auth::Open)
    }

    async fn send<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let passed = self.passed.clone();
        let inner = service_fn(move |request: Request<EdgeBody>| {
            passed.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, Infallible>(Response::new(request.into_body())) }
        });
        let response = self.layer.layer(inner).oneshot(request).await;
        let (parts, body) = response.expect("infallible").into_parts();
        let body = body.collect().await.expect("a body of ours").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).expect("text"),
        }
    }

    async fn post(&self, body: impl Into<Bytes>) -> Answer {
        self.send(request(Method::POST, "/publish/", &[], body)).await
    }

    fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    fn now(&self) -> Position {
        self.edge.hub().now()
    }

    fn subscribe(&self, name: &str) -> Subscription {
        let hub = self.edge.hub();
        let stamp = hub.stamp_at(Position::ZERO);
        let subscription = hub.subscribe(&[channel(name)], stamp, Wants::Stream);
        subscription.expect("a stamp of now")
    }
}

fn channel(name: &str) -> Channel {
    Channel::new(name).expect("a good name")
}

fn request(
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(body.into())).expect("a good request")
}

fn item(name: &str, content: &str) -> serde_json::Value {
    json!({"channel": name, "formats": {"http-stream": {"content": content}}})
}

fn items(items: &[serde_json::Value]) -> String {
    json!({ "items": items }).to_string()
}

async fn next(subscription: &mut Subscription) -> String {
    match subscription.next().await {
        Delivery::Message { message, .. } => match &message.stream {
            Some(StreamForm::Send(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?}"),
        },
        Delivery::Lagged { .. } => panic!("lagged"),
    }
}

impl Answer {
    #[track_caller]
    fn is(&self, status: u16, content_type: &str, body: &str) {
        assert_eq!(
            (
                self.status.as_u16(),
                self.header("content-type"),
                self.body.as_str()
            ),
            (status, Some(content_type), body)
        );
        assert_eq!(self.header("cache-control"), Some("no-store"));
    }

    #[track_caller]
    fn refuses(&self, text: &str) {
        self.is(400, "text/plain", &format!("{text}\n"));
    }

    fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().expect("text"))
    }
}

#[tokio::test]
async fn p01_to_p09_what_is_malformed_is_refused_with_the_known_texts() {
    let bench = Bench::open();
    for (body, text) in [
        ("{}", "Invalid format: object does not contain 'items'"),
        ("[]", "Invalid format."),
        ("xx", "Body is not valid JSON."),
        ("", "Body is not valid JSON."),
        (
            r#"{"items":{}}"#,
            "Invalid format: object contains 'items' with wrong type",
        ),
        (
            r#"{"items":[1]}"#,
            "Invalid format: publish item object is not an object",
        ),
        (
            r#"{"items":[{"channel":"c"}]}"#,
            "Invalid format: no formats specified",
        ),
        (
            r#"{"items":[{"channel":"c","id":1,"http-stream":{"content":"x"}}]}"#,
            "Invalid format: publish item object contains 'id' with wrong type",
        ),
    ] {
        bench.post(body).await.refuses(text);
    }
    assert_eq!(bench.now(), Position::ZERO);
    for fine in [
        r#"{"items":[]}"#,
        r#"{"items":[{"channel":"c","formats":{"x":{}}}]}"#,
    ] {
        bench.post(fine).await.is(200, "text/plain", "Published\n");
    }
}

#[tokio::test]
async fn p10_one_bad_item_refuses_all() {
    let bench = Bench::open();
    let body = items(&[item("c", "x"), json!({"channel": "c", "formats": 1})]);
    let answer = bench.post(body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(bench.now(), Position::ZERO);
}

#[tokio::test]
async fn p11_p12_numbers_as_text_and_formats_in_the_item() {
    let bench = Bench::open();
    let mut subscription = bench.subscribe("c");
    let body = items(&[json!({
        "channel": "c",
        "http-response": {"code": "200", "body": "r"},
        "http-stream": {"content": "s"},
    })]);
    bench.post(body).await.is(200, "text/plain", "Published\n");
    assert_eq!(next(&mut subscription).await, "s");
}

#[tokio::test]
async fn p13_an_unknown_action_is_refused_with_a_message() {
    let bench = Bench::open();
    let body = items(&[json!({"channel": "c", "http-stream": {"action": "bogus"}})]);
    let answer = bench.post(body).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.len() > "Invalid format: \n".len(), "{}", answer.body);
}

#[tokio::test]
async fn p14_p15_accept_chooses_the_type() {
    let bench = Bench::open();
    let accept = async |accept: &str| {
        let headers = [("accept", accept)];
        let body = items(&[item("c", "x")]);
        bench
            .send(request(Method::POST, "/publish/", &headers, body))
            .await
    };
    for json in [
        "application/json",
        "application/*",
        "text/plain, application/json;q=0.1",
    ] {
        let answer = accept(json).await;
        answer.is(200, "application/json", "{\"message\":\"Published\"}\n");
    }
    for text in ["text/plain", "*/*", "*", "text/*", "application/json, text/plain"] {
        accept(text).await.is(200, "text/plain", "Published\n");
    }
    let before = bench.now();
    accept("text/html").await.is(
        406,
        "text/plain",
        "Not Acceptable. Supported formats are text/plain and application/json.\n",
    );
    assert_eq!(bench.now(), before, "nothing was published");
}

#[tokio::test]
async fn p16_other_methods_are_not_allowed() {
    let bench = Bench::new(Auth::token("t"));
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let method: Method = method.parse().expect("a method");
        let answer = bench.send(request(method.clone(), "/publish", &[], "")).await;
        answer.is(405, "text/plain", &format!("Method not allowed: {method}.\n"));
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    assert_eq!(bench.passed(), 0);
}

#[tokio::test]
async fn p17_a_body_of_unknown_length_is_read() {
    let bench = Bench::open();
    let mut subscription = bench.subscribe("c");
    let chunks = [
        r#"{"items":[{"channel":"c","#,
        r#""http-stream":{"con"#,
        r#"tent":"x"}}]}"#,
    ];
    let frames = chunks.map(|chunk| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(chunk))));
    let request = Request::post("/publish/").body(StreamBody::new(tokio_stream::iter(frames)));
    let answer = bench.send(request.expect("a good request")).await;
    answer.is(200, "text/plain", "Published\n");
    assert_eq!(next(&mut subscription).await, "x");
}

/// Chunks without end, and without a length.
struct Endless(Arc<AtomicUsize>);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1000, Ordering::SeqCst);
        let chunk = Bytes::from_static(&[b' '; 1000]);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(chunk))))
    }
}

#[tokio::test]
async fn p18_a_body_over_the_limit_is_refused() {
    let bench = Bench::open();
    let padded = |length: usize| {
        let mut body = items(&[item("c", "x")]);
        body.push_str(&" ".repeat(length - body.len()));
        body
    };
    bench
        .post(padded(1_000_000))
        .await
        .is(200, "text/plain", "Published\n");
    bench
        .post(padded(1_000_001))
        .await
        .refuses("Request body too large.");
    let read = Arc::new(AtomicUsize::new(0));
    let request = Request::post("/publish/").body(Endless(read.clone()));
    let answer = bench.send(request.expect("a good request")).await;
    answer.refuses("Request body too large.");
    assert_eq!(read.load(Ordering::SeqCst), 1_001_000, "no more is read");

    let mut small = bench.clone();
    small.layer = small.layer.max_body_bytes(100);
    small.post(padded(101)).await.refuses("Request body too large.");
}

#[tokio::test]
async fn p19_the_path_is_with_or_without_a_slash_and_nothing_else() {
    let bench = Bench::open();
    let under = Bench {
        layer: bench.layer.clone().prefix("/control/"),
        ..bench.clone()
    };
    for path in ["/publish", "/publish/", "http://h/publish/"] {
        let request = request(Method::POST, path, &[], items(&[]));
        bench.send(request).await.is(200, "text/plain", "Published\n");
    }
    let request_under = request(Method::POST, "/control/publish/", &[], items(&[]));
    under
        .send(request_under)
        .await
        .is(200, "text/plain", "Published\n");
    assert_eq!(bench.passed(), 0);
    for (bench, path) in [
        (&bench, "/"),
        (&bench, "/publish/x"),
        (&bench, "/publish//"),
        (&bench, "/publishes"),
        (&bench, "/x/publish/"),
        (&bench, "/publish/?x=1"),
        (&under, "/publish/"),
        (&under, "/control/"),
    ] {
        let before = bench.passed();
        let answer = bench.send(request(Method::POST, path, &[], "body")).await;
        assert_eq!(answer.body, "body", "{path}: passed through untouched");
        assert_eq!(bench.passed(), before + 1, "{path}");
    }
}

#[tokio::test]
async fn one_post_is_one_order_and_the_answer_says_where() {
    let bench = Bench::open();
    let mut two = item("b", "2");
    two["surrogate-keys"] = json!(["k", "list"]);
    two["purge"] = json!(["https://Example.com:443/x?y", "/path"]);
    let body = items(&[item("a", "1"), two, item("a", "3")]);
    let headers = [("host", "edge.example")];
    let answer = bench
        .send(request(Method::POST, "/publish/", &headers, body))
        .await;
    answer.is(200, "text/plain", "Published\n");
    assert_eq!(answer.header("gripstack-position"), Some("1"));
    let hub = bench.edge.hub();
    let first = Position::ZERO.next();
    assert_eq!(bench.now(), first);
    for name in ["a", "b"] {
        assert_eq!(hub.last_message(&channel(name)), first);
    }
    for target in [
        Target::Key("k".into()),
        Target::Key("list".into()),
        Target::Url(Url::new("example.com", "/x?y")),
        Target::Url(Url::new("edge.example", "/path")),
    ] {
        assert_eq!(hub.last_purge(&target), first, "{target:?}");
    }
    let mut subscription = bench.subscribe("a");
    for expected in ["1", "3"] {
        assert_eq!(next(&mut subscription).await, expected);
    }
    // An answer to nothing has no position.
    assert_eq!(bench.post(items(&[])).await.header("gripstack-position"), None);
}

#[tokio::test]
async fn a_path_to_purge_needs_a_host() {
    let bench = Bench::open();
    let mut item = item("a", "1");
    item["purge"] = json!(["/path"]);
    let answer = bench.post(items(&[item])).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(bench.now(), Position::ZERO);
}

#[tokio::test]
async fn a_url_to_purge_is_one_that_a_request_can_be_for() {
    let bench = Bench::open();
    for url in ["http://u@h/x", "http://h:65536/x", "https://a,b/x"] {
        let mut item = item("a", "1");
        item["purge"] = json!([url]);
        let answer = bench.post(items(&[item])).await;
        assert_eq!(answer.status, 400, "{url}: {}", answer.body);
    }
    assert_eq!(bench.now(), Position::ZERO);
}

#[tokio::test]
async fn credentials_are_asked_for() {
    let bench = Bench::new(Auth::Keys(vec![Key::token("secret"), Key::basic("u", "p")]));
    let send = async |header: Option<(&str, &str)>| {
        let headers: Vec<_> = header.into_iter().collect();
        let body = items(&[item("c", "x")]);
        bench
            .send(request(Method::POST, "/publish/", &headers, body))
            .await
    };
    let missing = send(None).await;
    missing.is(401, "text/plain", "Unauthorized: the credentials are missing.\n");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
    for wrong in ["Bearer wrong", "Bearer", "Basic secret", "secret", "Digest x"] {
        let answer = send(Some(("authorization", wrong))).await;
        answer.is(
            401,
            "text/plain",
            "Unauthorized: the credentials are not valid.\n",
        );
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer error=\"invalid_token\"")
        );
    }
    assert_eq!((bench.now(), bench.passed()), (Position::ZERO, 0));
    for good in [
        ("authorization", "Bearer secret"),
        ("authorization", "Basic dTpw"),
        ("fastly-key", "secret"),
    ] {
        send(Some(good)).await.is(200, "text/plain", "Published\n");
    }
}

/// Each team publishes on channels that begin with its name, and purges nothing.
struct Teams;

impl Authorizer<Item> for Teams {
    fn identify(&self, head: &Parts) -> Result<Caller, Denied> {
        match head.headers.get("x-team").map(|team| team.to_str()) {
            None => Err(Denied::missing("send X-Team")),
            Some(Ok(team @ ("news" | "shop"))) => Ok(Caller::new(team)),
            Some(_) => Err(Denied::invalid("there is no such team")),
        }
    }

    fn authorize(&self, team: &Caller, _: &Parts, items: &[Item]) -> Result<(), Denied> {
        let own = |item: &Item| item.channel.as_str().starts_with(team.name());
        if !items.iter().all(own) {
            return Err(Denied::forbidden(format!("not all of it is of {}", team.name())));
        }
        match items.iter().all(|item| item.options.purges.is_empty()) {
            true => Ok(()),
            false => Err(Denied::forbidden("publishers do not purge")),
        }
    }
}

#[tokio::test]
async fn an_applications_own_rules_see_the_items() {
    let bench = Bench::new(Auth::custom(Teams));
    let send = async |team: Option<&str>, listed: &[serde_json::Value]| {
        let headers: Vec<_> = team.into_iter().map(|team| ("x-team", team)).collect();
        bench
            .send(request(Method::POST, "/publish/", &headers, items(listed)))
            .await
    };
    let (news, shop) = (item("news-1", "x"), item("shop-1", "x"));
    let missing = send(None, std::slice::from_ref(&news)).await;
    missing.is(401, "text/plain", "Unauthorized: send X-Team.\n");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
    let unknown = send(Some("x"), std::slice::from_ref(&news)).await;
    unknown.is(401, "text/plain", "Unauthorized: there is no such team.\n");
    let forbidden = send(Some("news"), &[news.clone(), shop]).await;
    forbidden.is(403, "text/plain", "Forbidden: not all of it is of news.\n");
    let mut purging = news.clone();
    purging["surrogate-keys"] = json!(["k"]);
    let forbidden = send(Some("news"), &[purging]).await;
    forbidden.is(403, "text/plain", "Forbidden: publishers do not purge.\n");
    assert_eq!((bench.now(), bench.passed()), (Position::ZERO, 0));
    send(Some("news"), &[news])
        .await
        .is(200, "text/plain", "Published\n");

    let read = Arc::new(AtomicUsize::new(0));
    let request = Request::post("/publish/").body(Endless(read.clone()));
    assert_eq!(bench.send(request.expect("a good request")).await.status, 401);
    assert_eq!(read.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_reads_the_body_of_who_may_not_publish() {
    let bench = Bench::new(Auth::token("t"));
    let read = Arc::new(AtomicUsize::new(0));
    let request = Request::post("/publish/").body(Endless(read.clone()));
    let answer = bench.send(request.expect("a good request")).await;
    assert_eq!(answer.status, 401);
    assert_eq!(read.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_paced_item_is_answered_when_it_is_accepted() {
    let config = PublishConfig::new().channels("counter-", Rule::latest());
    let bench = Bench::with(Auth::Open, config);
    let mut subscription = bench.subscribe("counter-x");
    let post = async |content: &str| {
        let headers = [("accept", "application/json")];
        let body = items(&[item("counter-x", content)]);
        bench
            .send(request(Method::POST, "/publish/", &headers, body))
            .await
    };
    let first = post("1").await;
    first.is(200, "application/json", "{\"message\":\"Published\"}\n");
    assert_eq!(first.header("gripstack-position"), Some("1"));
    assert_eq!(next(&mut subscription).await, "1");
    for content in ["2", "3"] {
        let answer = post(content).await;
        answer.is(
            200,
            "application/json",
            "{\"message\":\"Published\",\"queued\":1,\"superseded\":0}\n",
        );
        assert_eq!(answer.header("gripstack-position"), None);
    }
    bench
        .post(items(&[item("counter-x", "4")]))
        .await
        .is(200, "text/plain", "Published\n");
    let start = tokio::time::Instant::now();
    assert_eq!(next(&mut subscription).await, "4");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn rlp_08_what_there_is_no_room_for_is_refused_and_nothing_that_waits_is_lost() {
    let config = PublishConfig::new()
        .rule(Rule::latest().interval(Duration::from_millis(2500)))
        .max_channels(1);
    let bench = Bench::with(Auth::Open, config);
    let mut subscription = bench.subscribe("a");
    for content in ["1", "2"] {
        let answer = bench.post(items(&[item("a", content)])).await;
        assert_eq!(answer.status, 200);
    }
    let refused = bench.post(items(&[item("a", "3"), item("b", "1")])).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("3"));
    for content in ["1", "2"] {
        assert_eq!(next(&mut subscription).await, content);
    }
}

#[tokio::test]
async fn what_does_not_fit_a_log_is_too_large() {
    let bench = Bench::open();
    let big = "x".repeat(600_000);
    let answer = bench.post(items(&[item("a", "1"), item("b", &big)])).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    let many: Vec<_> = (0..501).map(|n| item("a", &n.to_string())).collect();
    assert_eq!(bench.post(items(&many)).await.status, 413);
    assert_eq!(bench.now(), Position::ZERO);
}

#[tokio::test]
async fn a_hundred_thousand_items_are_refused() {
    let mut bench = Bench::open();
    let many: Vec<_> = (0..100_000).map(|_| item("a", "x")).collect();
    let body = items(&many);
    bench.post(body.clone()).await.refuses("Request body too large.");
    bench.layer = bench.layer.max_body_bytes(64 << 20);
    let answer = bench.post(body).await;
    answer.refuses("Invalid format: more than 10000 items");
    assert_eq!(bench.now(), Position::ZERO);
}

#[tokio::test]
async fn bad_names_and_types_are_refused() {
    let bench = Bench::open();
    let long = "c".repeat(64 << 10);
    let with = |field: &str, value: serde_json::Value| {
        let mut item = item("c", "x");
        item[field] = value;
        items(&[item])
    };
    for body in [
        items(&[item("a\u{0}b", "x")]),
        items(&[item("a\nb", "x")]),
        items(&[item("", "x")]),
        items(&[item(&long, "x")]),
        with("channel", json!(1)),
        with("formats", json!([])),
        with("prev-id", json!(false)),
        with("policy", json!("sometimes")),
        with("policy", json!(1)),
        with("purge", json!("https://x/")),
        with("purge", json!(["nothing like a URL"])),
        with("surrogate-keys", json!([1])),
        with("surrogate-keys", json!(["a b"])),
        "null".to_owned(),
        "\u{feff}{\"items\":[]}".to_owned(),
        "[".repeat(100_000),
    ] {
        let answer = bench.post(body.clone()).await;
        let start = body.get(..60).unwrap_or(&body);
        assert_eq!(answer.status, 400, "{start}: {}", answer.body);
        assert!(answer.body.len() < 400, "{start}: {}", answer.body);
        assert!(!answer.body.trim_end().contains(char::is_control), "{start}");
    }
    let not_utf8 = b"{\"items\":[{\"channel\":\"\xff\",\"http-stream\":{\"content\":\"x\"}}]}";
    assert_eq!(bench.post(&not_utf8[..]).await.status, 400);
    assert_eq!(bench.now(), Position::ZERO);
}

/// A body that breaks off.
struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_publishes_nothing() {
    let bench = Bench::open();
    let request = Request::post("/publish/").body(Broken).expect("a good request");
    let answer = bench.send(request).await;
    answer.refuses("Failed to read request body.");
    assert_eq!(bench.now(), Position::ZERO);
}

#[tokio::test]
async fn layers_of_one_publisher_pace_together_and_a_disabled_one_does_nothing() {
    let publisher = Publisher::new(Edge::new(), PublishConfig::new().rule(Rule::latest()));
    let mut queued = Vec::new();
    for _ in 0..2 {
        let service = publisher.layer(Auth::Open).layer(gripstack::control::NotFound);
        let headers = [("accept", "application/json")];
        let body = items(&[item("c", "x")]);
        let request = request(Method::POST, "/publish", &headers, body);
        let response = service.oneshot(request).await.expect("infallible");
        queued.push(response.headers().contains_key("gripstack-position"));
    }
    assert_eq!(queued, [true, false]);

    let off = publisher.layer(Auth::Open).enabled(false);
    let service = off.layer(gripstack::control::NotFound);
    let request = request(Method::POST, "/publish", &[], items(&[]));
    let response = service.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 404);
}

fn with_ids(name: &str, id: &str, prev_id: &str) -> serde_json::Value {
    json!({"channel": name, "id": id, "prev-id": prev_id, "formats": {"http-stream": {"content": id}}})
}

/// D1: its publisher need not wait with it.
#[tokio::test(start_paused = true)]
async fn d1_a_message_that_waits_is_answered_at_once_where_that_is_preferred() {
    let asks = |preference: &'static str| [("prefer", preference), ("accept", "application/json")];
    let configured = Bench::with(Auth::Open, PublishConfig::new().respond_async(true));
    let cases = [
        (Bench::open(), asks("respond-async"), true),
        (
            Bench::open(),
            asks("a=\", respond-async\", Respond-Async; x, wait=9"),
            true,
        ),
        (configured, asks("wait=1"), false),
    ];
    for (bench, headers, applied) in cases {
        let mut subscription = bench.subscribe("t");
        bench.post(items(&[with_ids("t", "1", "0")])).await;
        let late = items(&[with_ids("t", "3", "2")]);
        let begun = tokio::time::Instant::now();
        let answer = bench
            .send(request(Method::POST, "/publish/", &headers, late))
            .await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        answer.is(
            202,
            "application/json",
            "{\"message\":\"Accepted\",\"waiting\":1}\n",
        );
        let preference = answer.headers.get("preference-applied");
        assert_eq!(preference.is_some_and(|it| it == "respond-async"), applied);
        bench
            .post(items(&[with_ids("t", "2", "1")]))
            .await
            .is(200, "text/plain", "Published\n");
        for id in ["1", "2", "3"] {
            assert_eq!(next(&mut subscription).await, id);
        }
    }
}

/// D1: only one message can follow another, and who comes second hears that.
#[tokio::test(start_paused = true)]
async fn d1_a_second_message_for_the_same_predecessor_is_refused_whole() {
    let bench = Bench::open();
    bench.post(items(&[with_ids("t", "1", "0")])).await;
    let late = request(
        Method::POST,
        "/publish/",
        &[("prefer", "respond-async")],
        items(&[with_ids("t", "3", "2")]),
    );
    assert_eq!(bench.send(late).await.status, 202);
    let before = bench.now();
    let answer = bench
        .post(items(&[item("u", "x"), with_ids("t", "3b", "2")]))
        .await;
    answer.is(
        409,
        "text/plain",
        "another item of channel \"t\" waits for \"2\", and only one can follow it\n",
    );
    assert_eq!(bench.now(), before);
}

/// The same where what its other items made go out first changed what this one meets.
#[tokio::test(start_paused = true)]
async fn d1_a_call_that_conflicts_after_what_it_hurried_publishes_nothing() {
    let edge = Edge::new();
    let publisher = Publisher::new(edge.clone(), PublishConfig::new().channels("d", Rule::latest()));
    let message = |id: &str, prev_id: &str| Message::bytes(id.to_owned()).with_id(id).with_prev_id(prev_id);
    let say = |name: &str, message: Message, policy| Item {
        channel: channel(name),
        message,
        options: PublishOptions {
            policy: Some(policy),
            ..PublishOptions::default()
        },
    };
    // 3 waits for 2; then the channel knows no last id.
    edge.publish("c", message("1", "0")).await.expect("accepted");
    let waits = Order::from_iter([Publication::new(channel("c"), message("3", "2"))]);
    let waits = edge.accept(waits).await.expect("accepted");
    assert_eq!(waits.waiting(), 1);
    // A state goes out, and another one waits for its turn.
    for id in ["a", "b"] {
        let state = say("c", Message::bytes(id.to_owned()).with_id(id), Policy::Latest);
        publisher.publish_all(vec![state]).await.expect("accepted");
        if id == "a" {
            edge.publish("c", Message::bytes("-")).await.expect("accepted");
        }
    }
    let call = vec![
        say("d", Message::bytes("d"), Policy::Latest),
        say("c", message("3b", "2"), Policy::All),
    ];
    let error = publisher.accept_all(call).await.expect_err("3 waits for 2");
    assert!(matches!(error, PublishError::Conflict(_)), "{error}");
    let last = edge.hub().last_message(&channel("d"));
    assert_eq!(last, Position::ZERO, "nothing of the call is published");
}

//! The one clock, one interleaving at a time: the origin answers when the test says so.
//!
//! Each rule that `tests/model/clock.py` can break has a test here, for holds and for plain requests. Built with
//! `--cfg gripstack_mutants`, `GRIPSTACK_MUTANT=<name>` breaks the rule in the crate itself: then a test whose name
//! begins with the mutant's must fail.
#![cfg(all(feature = "hold", feature = "cache"))]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use gripstack::cache::PacedReads;
use gripstack::hub::Wants;
use gripstack::message::{PushedResponse, ResponseForm};
use gripstack::{Channel, Edge, EdgeBody, Message, Order, PurgeMode, Target, Url};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt, service_fn};

type Stack = BoxCloneSyncService<Request<EdgeBody>, Response<EdgeBody>, Infallible>;

/// A request that has reached the origin, and waits there.
struct Call {
    headers: HeaderMap,
    path: String,
    answer: oneshot::Sender<Response<EdgeBody>>,
}

/// The edge under test, and the origin's end.
struct World {
    edge: Edge,
    stack: Stack,
    calls: mpsc::Receiver<Call>,
}

const PATIENCE: Duration = Duration::from_secs(4);

impl World {
    fn new() -> Self {
        Self::stacked(true)
    }

    /// Without the cache.
    fn hold_only() -> Self {
        Self::stacked(false)
    }

    fn stacked(cached: bool) -> Self {
        let (tx, calls) = mpsc::channel(100);
        let origin = service_fn(move |request: Request<EdgeBody>| {
            let tx = tx.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let path = request.uri().path().to_owned();
                let call = Call {
                    headers: request.headers().clone(),
                    path,
                    answer,
                };
                tx.send(call).await.expect("the test reads the calls");
                Ok::<_, Infallible>(answered.await.expect("the test answers every call"))
            }
        });
        let edge = Edge::new();
        let stack = ServiceBuilder::new()
            .layer(edge.hold_layer())
            .layer(edge.cache_layer().enabled(cached))
            .service(origin);
        Self {
            edge,
            stack: BoxCloneSyncService::new(stack),
            calls,
        }
    }

    /// Starts a request.
    fn get(&self, path: &str, accept: &str) -> JoinHandle<Response<EdgeBody>> {
        let request = Request::get(path)
            .header("host", "example.com")
            .header("accept", accept)
            .body(EdgeBody::empty())
            .expect("valid");
        let stack = self.stack.clone();
        tokio::spawn(async move { stack.oneshot(request).await.expect("infallible") })
    }

    /// Starts a request with an unsafe method.
    fn post(&self, path: &str) -> JoinHandle<Response<EdgeBody>> {
        let request = Request::post(path)
            .header("host", "example.com")
            .body(EdgeBody::empty())
            .expect("valid");
        let stack = self.stack.clone();
        tokio::spawn(async move { stack.oneshot(request).await.expect("infallible") })
    }

    fn hold(&self) -> JoinHandle<Response<EdgeBody>> {
        self.get("/value", "text/event-stream")
    }

    fn plain(&self) -> JoinHandle<Response<EdgeBody>> {
        self.get("/value", "text/plain")
    }

    /// The next request at the origin.
    async fn call(&mut self) -> Call {
        tokio::time::timeout(PATIENCE, self.calls.recv())
            .await
            .expect("a request reaches the origin")
            .expect("open")
    }

    async fn no_call(&mut self) {
        let call = tokio::time::timeout(Duration::from_millis(500), self.calls.recv()).await;
        assert!(call.is_err(), "no request should reach the origin");
    }

    /// Stores what the origin answers to one hold and one plain request.
    async fn store(&mut self, value: &str, fields: &[(&str, &str)]) {
        let hold = self.hold();
        self.call().await.stream(value, fields);
        drop(finished(hold).await);
        let plain = self.plain();
        self.call().await.text(value, fields);
        assert_eq!(body(finished(plain).await).await, value);
    }

    async fn publish(&self, value: &'static str) {
        self.publish_on("updates", value).await;
    }

    async fn publish_on(&self, channel: &str, value: &'static str) {
        let channel = Channel::new(channel).expect("valid");
        let published = self.edge.publish(channel, message(value));
        published.await.expect("accepted");
    }

    /// A plain request that has to reach the origin, which answers so.
    async fn refetches(&mut self, value: &str, fields: &[(&str, &str)]) -> Response<EdgeBody> {
        let plain = self.plain();
        self.call().await.text(value, fields);
        finished(plain).await
    }

    /// One order: the URL purged, the value published.
    async fn order(&self, value: &'static str, mode: PurgeMode) {
        self.edge
            .submit(order(value, "/value", mode))
            .await
            .expect("accepted");
    }
}

impl Call {
    fn respond(self, kind: &str, body: &str, more: &[(&str, &str)], grip: &[(&str, &str)]) {
        let mut response = Response::builder()
            .header("vary", "accept")
            .header("content-type", kind);
        if !more.iter().any(|(name, _)| *name == "cache-control") {
            response = response.header("cache-control", "max-age=600");
        }
        for (name, value) in more.iter().chain(grip) {
            response = response.header(*name, *value);
        }
        let response = response.body(EdgeBody::from(body.to_owned())).expect("valid");
        self.answer.send(response).expect("somebody waits");
    }

    fn stream(self, value: &str, more: &[(&str, &str)]) {
        self.respond(
            "text/event-stream",
            value,
            more,
            &[("grip-hold", "stream"), ("grip-channel", "updates")],
        );
    }

    fn poll(self, value: &str) {
        self.respond(
            "text/plain",
            value,
            &[],
            &[("grip-hold", "response"), ("grip-channel", "updates")],
        );
    }

    fn text(self, value: &str, more: &[(&str, &str)]) {
        self.respond("text/plain", value, more, &[]);
    }

    fn not_modified(self, etag: &str) {
        self.not_modified_with(etag, &[]);
    }

    fn not_modified_with(self, etag: &str, fields: &[(&str, &str)]) {
        let mut response = Response::builder()
            .status(304)
            .header("etag", etag)
            .header("cache-control", "max-age=600");
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        self.answer
            .send(response.body(EdgeBody::empty()).expect("valid"))
            .expect("somebody waits");
    }

    fn fails(self) {
        let response = Response::builder().status(503);
        self.answer
            .send(response.body(EdgeBody::empty()).expect("valid"))
            .expect("somebody waits");
    }
}

fn channel() -> Channel {
    Channel::new("updates").expect("valid")
}

fn message(value: &'static str) -> Message {
    let pushed = PushedResponse {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::from_static(value.as_bytes()),
    };
    let mut message = Message::bytes(value);
    message.response = Some(ResponseForm::Send(Box::new(pushed)));
    message
}

fn order(value: &'static str, path: &str, mode: PurgeMode) -> Order {
    Order::publish(channel(), message(value)).and_purge(Target::Url(Url::new("example.com", path)), mode)
}

async fn finished(request: JoinHandle<Response<EdgeBody>>) -> Response<EdgeBody> {
    tokio::time::timeout(PATIENCE, request)
        .await
        .expect("answered in time")
        .expect("no panic")
}

async fn body(response: Response<EdgeBody>) -> String {
    let bytes = tokio::time::timeout(Duration::from_secs(120), response.into_body().collect());
    String::from_utf8(
        bytes
            .await
            .expect("ends in time")
            .expect("whole")
            .to_bytes()
            .to_vec(),
    )
    .expect("text")
}

/// Reads a held body until it holds all of these.
async fn reads(response: &mut Response<EdgeBody>, expected: &str) {
    let mut got = String::new();
    while got != expected {
        let frame = tokio::time::timeout(PATIENCE, response.body_mut().frame()).await;
        let Ok(Some(Ok(frame))) = frame else {
            panic!("{expected:?} expected, {got:?} came, then {frame:?}")
        };
        got.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("text"));
        assert!(expected.starts_with(&got), "{expected:?} expected, {got:?} came");
    }
}

/// C3: what is published while the origin answers is not in the answer, so it is replayed.
#[tokio::test(start_paused = true)]
async fn stamp_late_a_message_during_the_fetch_reaches_the_hold() {
    let mut world = World::new();
    let hold = world.hold();
    let call = world.call().await;
    world.publish("1").await;
    call.stream("0", &[]);
    reads(&mut finished(hold).await, "01").await;
}

/// C3: the same without a cache below.
#[tokio::test(start_paused = true)]
async fn stamp_late_a_message_during_an_uncached_fetch_reaches_the_hold() {
    let mut world = World::hold_only();
    let hold = world.hold();
    let call = world.call().await;
    world.publish("1").await;
    call.stream("0", &[]);
    reads(&mut finished(hold).await, "01").await;
}

/// C3, C4: an answer that was on its way when the purge came is not served to who comes later.
#[tokio::test(start_paused = true)]
async fn stamp_late_a_fill_that_began_before_a_purge_is_dead_after_it() {
    let mut world = World::new();
    let early = world.plain();
    let call = world.call().await;
    world.order("1", PurgeMode::Hard).await;
    call.text("0", &[]);
    assert_eq!(body(finished(early).await).await, "0");
    let late = world.plain();
    world.call().await.text("1", &[]);
    assert_eq!(body(finished(late).await).await, "1");
}

/// C6, M1: a hold from a stored answer replays what came since it was made.
#[tokio::test(start_paused = true)]
async fn from_now_a_hold_from_a_stored_answer_replays() {
    let mut world = World::new();
    world.store("0", &[]).await;
    world.publish("1").await;
    world.publish("2").await;
    reads(&mut finished(world.hold()).await, "012").await;
}

/// C6: the same where the answer comes straight from the origin.
#[tokio::test(start_paused = true)]
async fn from_now_a_hold_from_a_fresh_answer_replays() {
    let mut world = World::new();
    let hold = world.hold();
    let call = world.call().await;
    world.publish("1").await;
    call.stream("0", &[("cache-control", "no-store")]);
    reads(&mut finished(hold).await, "01").await;
}

/// C4: a purged answer is not served, however it was purged.
#[tokio::test(start_paused = true)]
async fn no_purge_check_a_purged_answer_is_fetched_anew() {
    for mode in [PurgeMode::Hard, PurgeMode::SoftBlock] {
        let mut world = World::new();
        world.store("0", &[]).await;
        world.order("1", mode).await;
        for request in [world.hold(), world.plain()] {
            let call = world.call().await;
            if call.headers["accept"] == "text/plain" {
                call.text("1", &[])
            } else {
                call.stream("1", &[])
            }
            let mut response = finished(request).await;
            reads(&mut response, "1").await;
        }
        world.no_call().await;
    }
}

/// C5: who comes after a purge does not join a flight that left before it, whatever it asks for.
#[tokio::test(start_paused = true)]
async fn join_any_who_comes_after_a_purge_flies_alone() {
    for accept in ["text/plain", "text/event-stream"] {
        let mut world = World::new();
        let early = world.get("/value", accept);
        let old = world.call().await;
        world.order("1", PurgeMode::Hard).await;
        let late = world.get("/value", accept);
        let new = world.call().await;
        let answer = |call: Call, value| match accept {
            "text/plain" => call.text(value, &[]),
            _ => call.stream(value, &[]),
        };
        answer(old, "0");
        drop(finished(early).await);
        assert!(!late.is_finished(), "the old answer is not for it");
        answer(new, "1");
        reads(&mut finished(late).await, "1").await;
    }
}

/// C5, PUR-04: tags are known at the head only: then who came after the purge leaves.
#[tokio::test(start_paused = true)]
async fn join_any_pur_04_who_waits_leaves_at_the_head() {
    let mut world = World::new();
    let early = world.plain();
    let old = world.call().await;
    world
        .edge
        .purge(Target::Key("k".into()), PurgeMode::Hard)
        .await
        .expect("accepted");
    let late = world.plain();
    world.no_call().await;
    old.text("0", &[("surrogate-key", "k")]);
    assert_eq!(body(finished(early).await).await, "0");
    world.call().await.text("1", &[("surrogate-key", "k")]);
    assert_eq!(body(finished(late).await).await, "1");
    world.no_call().await;
}

/// M3: a client that has seen a message, and asks again, gets nothing older. All variants of the URL know.
#[tokio::test(start_paused = true)]
async fn no_aging_a_notified_reader_gets_nothing_older() {
    let mut world = World::new();
    world.store("0", &[]).await;
    world.publish("1").await;
    let plain = world.plain();
    world.call().await.text("1", &[]);
    assert_eq!(body(finished(plain).await).await, "1");
}

/// M3: channels that an answer names without a hold are the URL's, too.
#[tokio::test(start_paused = true)]
async fn no_aging_a_channel_named_without_a_hold_counts() {
    let mut world = World::new();
    let plain = world.plain();
    world.call().await.text("0", &[("grip-channel", "updates")]);
    assert_eq!(body(finished(plain).await).await, "0");
    world.publish("1").await;
    let plain = world.plain();
    world.call().await.text("1", &[]);
    assert_eq!(body(finished(plain).await).await, "1");
}

/// M3: a route may say that its plain readers take the old copy, marked, while the revalidation is held back; another
/// route of the same edge does not.
#[tokio::test(start_paused = true)]
async fn paced_reads_is_a_matter_of_the_route() {
    let edge = Edge::new();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let stack = |reads, namespace| {
        let count = count.clone();
        let origin = service_fn(move |_: Request<EdgeBody>| {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let response = Response::builder()
                .header("cache-control", "max-age=60")
                .header("grip-channel", "updates");
            std::future::ready(Ok::<_, Infallible>(
                response.body(EdgeBody::from(n.to_string())).expect("valid"),
            ))
        });
        ServiceBuilder::new()
            .layer(edge.cache_layer().namespace(namespace).paced_reads(reads))
            .service(origin)
    };
    for (reads, namespace, status) in [
        (PacedReads::Stale, "/a", "gripstack; hit; ttl=60; detail=paced"),
        (PacedReads::Wait, "/b", "gripstack; fwd=stale; ttl=60; stored"),
    ] {
        let stack = stack(reads, namespace);
        let get = || {
            Request::get("/")
                .header("host", "example.com")
                .body(EdgeBody::empty())
                .expect("valid")
        };
        drop(
            stack
                .clone()
                .oneshot(get())
                .await
                .expect("infallible")
                .into_body()
                .collect()
                .await,
        );
        edge.publish(channel(), message("1")).await.expect("accepted");
        let response = stack.clone().oneshot(get()).await.expect("infallible");
        assert_eq!(response.headers()["cache-status"], status);
    }
}

/// M2: a long poll from an answer with a message above its stamp fetches anew, so that its timeout answer is not
/// older than what the client may have had.
#[tokio::test(start_paused = true)]
async fn poll_old_a_long_poll_fetches_anew_after_a_message() {
    let mut world = World::new();
    let first = world.plain();
    world.call().await.poll("0");
    while world.edge.hub().stats().subscriptions == 0 {
        tokio::task::yield_now().await;
    }
    world.publish("1").await;
    assert_eq!(body(finished(first).await).await, "1");
    let second = world.plain();
    world.call().await.poll("1");
    let timeout = tokio::time::timeout(Duration::from_secs(60), second)
        .await
        .expect("ends")
        .expect("no panic");
    assert_eq!(
        body(timeout).await,
        "1",
        "not the same message twice, and nothing older"
    );
}

/// C1: whoever sees the message of an order finds its purges applied. Its other half concerns another URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn split_order_who_sees_the_message_sees_the_purge() {
    let mut world = World::new();
    for accept in ["text/plain", "text/event-stream"] {
        let other = world.get("/other", accept);
        let call = world.call().await;
        assert_eq!(call.path, "/other");
        call.text("0", &[]);
        assert_eq!(body(finished(other).await).await, "0");
    }
    let now = world.edge.hub().stamp_at(world.edge.hub().now());
    let mut subscription = world
        .edge
        .hub()
        .subscribe(&[channel()], now, Wants::Stream)
        .expect("no gap");
    let edge = world.edge.clone();
    let publisher = tokio::spawn(async move { edge.submit(order("1", "/other", PurgeMode::Hard)).await });
    subscription.next().await;
    for accept in ["text/plain", "text/event-stream"] {
        let notified = world.get("/other", accept);
        world.call().await.text("1", &[]);
        assert_eq!(body(finished(notified).await).await, "1");
    }
    publisher.await.expect("no panic").expect("accepted");
}

/// C3: a weak validator cannot tell whether a message is in the answer: a 304 to it moves no stamp, so that a hold
/// replays from where the answer was made.
#[tokio::test(start_paused = true)]
async fn weak_304_does_not_move_the_stamp() {
    let mut world = World::new();
    let weak = [("etag", "W/\"x\""), ("cache-control", "max-age=1")];
    world.store("0", &weak).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    world.publish("1").await;
    let hold = world.hold();
    let call = world.call().await;
    if call.headers.contains_key("if-none-match") {
        call.not_modified("W/\"x\"")
    } else {
        call.stream("0", &weak)
    }
    reads(&mut finished(hold).await, "01").await;
}

/// C3: where the stamp must move, a weak validator is not used at all; a strong one is, and its 304 moves the stamp.
#[tokio::test(start_paused = true)]
async fn weak_304_is_not_asked_for_where_the_stamp_must_move() {
    for (etag, conditional) in [("W/\"x\"", false), ("\"x\"", true)] {
        let mut world = World::new();
        world.store("0", &[("etag", etag)]).await;
        world.publish("1").await;
        let plain = world.plain();
        let call = world.call().await;
        assert_eq!(call.headers.contains_key("if-none-match"), conditional, "{etag}");
        if conditional {
            call.not_modified(etag)
        } else {
            call.text("1", &[])
        }
        drop(finished(plain).await);
        let again = world.plain();
        drop(finished(again).await);
        world.no_call().await;
    }
}

/// M1: a hold does not start from a page with a tag of which it was told, for it does not replay that; with a channel
/// that only another variant names it does, and the page is refreshed meanwhile.
#[tokio::test(start_paused = true)]
async fn no_own_tag_a_message_that_is_not_replayed_makes_a_hold_refetch() {
    let mut world = World::new();
    let hold = world.hold();
    world.call().await.stream("0", &[("surrogate-key", "ch:other")]);
    drop(finished(hold).await);
    world.publish_on("other", "").await;
    let hold = world.hold();
    world.call().await.stream("1", &[("surrogate-key", "ch:other")]);
    reads(&mut finished(hold).await, "1").await;
}

/// M1, the other half: with a channel that only another variant names it starts at once.
#[tokio::test(start_paused = true)]
async fn a_message_on_the_channel_of_another_variant_lets_a_hold_start() {
    let mut world = World::new();
    world.store("0", &[]).await;
    let other = world.get("/value", "text/html");
    world.call().await.text("0", &[("surrogate-key", "ch:other")]);
    drop(finished(other).await);
    world.publish_on("other", "").await;
    reads(&mut finished(world.hold()).await, "0").await;
}

/// X1: what came through a foreign cache may lack what was published before its fetch: a hold replays it.
#[tokio::test(start_paused = true)]
async fn age_ignored_a_hold_through_a_foreign_cache_replays_what_that_may_lack() {
    for mut world in [World::new(), World::hold_only()] {
        world.publish("1").await;
        let hold = world.hold();
        world.call().await.stream("0", &[("age", "0")]);
        reads(&mut finished(hold).await, "01").await;
    }
}

/// X1: it is too old after a purge, says so, and is not kept as fresh.
#[tokio::test(start_paused = true)]
async fn age_ignored_what_a_foreign_cache_kept_past_a_purge_is_marked() {
    let mut world = World::new();
    world.order("1", PurgeMode::Hard).await;
    for _ in 0..2 {
        let plain = world.refetches("0", &[("age", "0")]).await;
        let status = plain.headers()["cache-status"].to_str().expect("ascii");
        assert!(status.contains("detail=foreign-age"), "{status}");
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(body(world.refetches("1", &[("age", "0")]).await).await, "1");
    assert_eq!(body(finished(world.plain()).await).await, "1");
}

/// C4: no mark is forgotten that a fetch under way has to see: what it brings is dead, also while the origin fails.
#[tokio::test(start_paused = true)]
async fn sweep_above_flight_what_a_purge_killed_under_way_stays_dead() {
    let mut world = World::new();
    let early = world.plain();
    let call = world.call().await;
    world.order("1", PurgeMode::Hard).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    call.text("0", &[]);
    assert_eq!(body(finished(early).await).await, "0");
    let late = world.plain();
    world.call().await.fails();
    assert_eq!(finished(late).await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// C3, C4: a 304 that does not move the stamp leaves what marks did to the object.
#[tokio::test(start_paused = true)]
async fn seen_not_inherited_what_was_purged_stays_so_after_a_304() {
    let mut world = World::new();
    let weak = [("etag", "W/\"x\""), ("cache-control", "max-age=1")];
    drop(world.refetches("0", &weak).await);
    tokio::time::advance(Duration::from_secs(2)).await;
    let early = world.plain();
    let call = world.call().await;
    assert!(call.headers.contains_key("if-none-match"));
    world.order("1", PurgeMode::SoftBlock).await;
    call.not_modified("W/\"x\"");
    assert_eq!(body(finished(early).await).await, "0");
    assert_eq!(body(world.refetches("1", &weak).await).await, "1");
}

/// M3: what only a private answer names is the URL's as long as its hold lives.
#[tokio::test(start_paused = true)]
async fn private_teaches_nothing_a_no_store_stream_names_the_channel_of_the_page() {
    let mut world = World::new();
    let hold = world.hold();
    world.call().await.stream("0", &[("cache-control", "no-store")]);
    let hold = finished(hold).await;
    drop(world.refetches("0", &[]).await);
    world.publish("1").await;
    assert_eq!(body(world.refetches("1", &[]).await).await, "1");
    // What was told makes it older, also when who was told is gone.
    world.publish("2").await;
    drop(hold);
    assert_eq!(body(world.refetches("2", &[]).await).await, "2");
}

/// C3: the channel that a 304 names without a hold is the URL's.
#[tokio::test(start_paused = true)]
async fn c3_304_teaches_nothing_a_304_names_a_channel() {
    let mut world = World::new();
    let fields = [("etag", "\"x\""), ("cache-control", "max-age=1")];
    drop(world.refetches("0", &fields).await);
    tokio::time::advance(Duration::from_secs(2)).await;
    let plain = world.plain();
    let named = [("grip-channel", "updates")];
    world.call().await.not_modified_with("\"x\"", &named);
    assert_eq!(body(finished(plain).await).await, "0");
    world.publish("1").await;
    assert_eq!(body(world.refetches("1", &fields).await).await, "1");
}

/// M5: what is under way when an unsafe method succeeds is stale, although nothing was stored; whether it flies or passes.
#[tokio::test(start_paused = true)]
async fn post_skips_what_is_under_way_is_stale_after_an_unsafe_method() {
    for passes in [false, true] {
        let mut world = World::new();
        if passes {
            drop(world.refetches("", &[("cache-control", "no-store")]).await);
        }
        let early = world.plain();
        let call = world.call().await;
        let post = world.post("/value");
        world.call().await.text("", &[]);
        assert_eq!(finished(post).await.status(), StatusCode::OK);
        call.text("0", &[]);
        assert_eq!(body(finished(early).await).await, "0");
        assert_eq!(
            body(world.refetches("1", &[]).await).await,
            "1",
            "passes: {passes}"
        );
    }
}

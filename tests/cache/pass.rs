//! URLs that are remembered as uncacheable: what passes, and what ends that.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gripstack::cache::CacheConfig;
use gripstack::{Edge, EdgeBody, PurgeMode};
use http::Request;
use tokio::sync::watch;
use tower::{Layer, Service, ServiceExt};

use crate::origin::{Gate, Origin, Refused, Reply, Step};
use crate::world::{Ask, Got, World, done, get, head, pass, secs, settle};

const PASSED: &str = "fwd=uri-miss; stored=?0; detail=no-store";

/// The first answer, by which the URL is remembered.
async fn remembered(world: &World) {
    let got = world.get("/a").await;
    assert_eq!(got.in_short().1, PASSED);
    settle().await;
    assert_eq!(world.edge.cache().stats().urls, 0, "nothing of it lives");
}

#[tokio::test(start_paused = true)]
async fn each_that_passes_gets_its_own_answer_at_once() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("no-store").after(secs(1)));
    remembered(&world).await;
    let asks = [world.start("/a").await, world.start("/a").await];
    assert_eq!(world.origin.open_calls(), 2, "not one after the other");
    for (task, n) in asks.into_iter().zip(2..) {
        done(task).await.expect_short(&n.to_string(), PASSED);
    }
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn a_memo_ends_after_its_time_and_by_a_purge() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("no-store").after(secs(1)));
    remembered(&world).await;
    let at_once = async || {
        let before = world.origin.count();
        let asks = [world.start("/a").await, world.start("/a").await];
        let at_once = world.origin.count() - before;
        for task in asks {
            done(task).await;
        }
        at_once
    };
    assert_eq!(at_once().await, 2);
    pass(secs(121)).await;
    assert_eq!(at_once().await, 1, "its time is over: they wait for one");
    assert_eq!(at_once().await, 2);
    for mode in [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft] {
        world.purge_url("/b", mode).await;
        assert_eq!(at_once().await, 2, "another URL's");
        world.purge_url("/a", mode).await;
        assert_eq!(at_once().await, 1, "{mode:?}");
        assert_eq!(at_once().await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_becomes_storable_is_stored_and_the_memo_ends() {
    let world = World::new(|call| match call.n {
        1 | 2 => Reply::ok("no").cc("no-store"),
        _ => Reply::ok("yes").cc("max-age=60").header("surrogate-key", "k"),
    });
    remembered(&world).await;
    world.get("/a").await.expect_short("no", PASSED);
    let got = world.get("/a").await;
    assert_eq!(
        got.in_short(),
        ("yes", "fwd=uri-miss; stored; detail=no-store".into())
    );
    assert!(!got.headers.contains_key("surrogate-key"));
    settle().await;
    world.get("/a").await.expect_short("yes", "hit");
    world.purge_key("k", PurgeMode::Hard).await;
    world.get("/a").await.expect_short("yes", "fwd=uri-miss; stored");
}

/// C4: the request left before the purge, so its answer may be the old value.
#[tokio::test(start_paused = true)]
async fn c4_a_purge_while_one_passes_kills_what_it_brings() {
    for by_key in [false, true] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("no").cc("no-store"),
            2 => Reply::ok("old")
                .cc("max-age=60")
                .header("surrogate-key", "k")
                .gated(&held),
            _ => Reply::ok("new").cc("max-age=60"),
        });
        remembered(&world).await;
        let slow = world.start("/a").await;
        match by_key {
            true => world.purge_key("k", PurgeMode::Hard).await,
            false => world.purge_url("/a", PurgeMode::Hard).await,
        };
        gate.open();
        assert_eq!(done(slow).await.body, "old");
        settle().await;
        assert_eq!(world.get("/a").await.body, "new");
        world.get("/a").await.expect_short("new", "hit");
    }
}

/// Of a request that passes nothing is kept by which a variant could be told.
#[tokio::test(start_paused = true)]
async fn an_answer_that_depends_on_the_request_is_not_kept_from_one_that_passed() {
    for (name, value) in [("vary", "accept-language"), ("content-encoding", "br")] {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("no").cc("no-store"),
            _ => Reply::ok(call.header("accept-language").unwrap_or("none").to_owned())
                .cc("max-age=60")
                .header(name, value),
        });
        remembered(&world).await;
        let got = world.get(get("/a").header("accept-language", "de")).await;
        assert_eq!(got.in_short(), ("de", PASSED.into()));
        settle().await;
        // It is no longer remembered as uncacheable.
        world.get("/a").await.expect_short("none", "fwd=uri-miss; stored");
    }
}

/// Nor if it says so in a description in JSON.
#[tokio::test(start_paused = true)]
async fn a_described_answer_that_depends_on_the_request_is_not_kept_from_one_that_passed() {
    for (name, value) in [("Vary", "Accept-Language"), ("Content-Encoding", "br")] {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("no").cc("no-store"),
            _ => {
                let body = call.header("accept-language").unwrap_or("none");
                let json = format!(r#"{{"response":{{"headers":{{"{name}":"{value}"}},"body":"{body}"}}}}"#);
                Reply::ok(json)
                    .cc("max-age=60")
                    .header("content-type", "application/grip-instruct")
            }
        });
        world.get(get("/a").by_hold()).await;
        settle().await;
        world
            .get(get("/a").by_hold().header("accept-language", "de"))
            .await;
        settle().await;
        // It is no longer remembered as uncacheable.
        let got = world.get(get("/a").by_hold()).await;
        got.expect_short("none", "fwd=uri-miss; stored");
    }
}

/// An answer without `Vary` is filed under what rules already, and that is not known of a request that passed.
#[tokio::test(start_paused = true)]
async fn what_passed_becomes_no_variant_of_a_url_that_has_some_by_then() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.n {
        1 => Reply::ok("no").cc("no-store"),
        2 => Reply::ok("de").cc("max-age=60").gated(&held),
        3 => Reply::ok("fr").cc("max-age=60").header("vary", "accept-language"),
        _ => Reply::ok("none")
            .cc("max-age=60")
            .header("vary", "accept-language"),
    });
    remembered(&world).await;
    let slow = world.start(get("/a").header("accept-language", "de")).await;
    // What a condition comes with does not pass in that way.
    let fr = get("/a")
        .header("accept-language", "fr")
        .header("if-none-match", "\"x\"");
    assert_eq!(world.get(fr).await.body, "fr");
    settle().await;
    gate.open();
    assert_eq!(done(slow).await.body, "de");
    settle().await;
    assert_eq!(world.get("/a").await.body, "none");
    let fr = get("/a").header("accept-language", "fr");
    world.get(fr).await.expect_short("fr", "hit");
}

#[tokio::test(start_paused = true)]
async fn a_part_a_condition_and_a_head_pass_and_are_not_kept() {
    let cases: [(fn() -> Ask, u16); 5] = [
        (|| get("/a").header("range", "bytes=0-0"), 206),
        (|| get("/a").header("range", "bytes=9-"), 416),
        (|| get("/a").header("if-match", "\"x\""), 412),
        (|| get("/a").header("if-none-match", "\"x\""), 304),
        (|| head("/a"), 200),
    ];
    for (ask, status) in cases {
        for policy in ["no-store", "max-age=60"] {
            let world = World::new(move |call| match call.n {
                1 => Reply::ok("no").cc("no-store"),
                2 => Reply::ok("x").cc(policy).code(status),
                _ => Reply::ok("whole").cc("max-age=60"),
            });
            remembered(&world).await;
            assert_eq!(world.get(ask()).await.status, status, "{policy}");
            settle().await;
            let got = world.get("/a").await;
            assert_eq!(
                (got.status.as_u16(), got.body.as_str()),
                (200, "whole"),
                "{status} {policy}"
            );
            settle().await;
            world.get("/a").await.expect_short("whole", "hit");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_authorization_is_not_kept() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("no").cc("no-store"),
        _ => Reply::ok(call.header("authorization").unwrap_or("nobody").to_owned()).cc("max-age=60"),
    });
    remembered(&world).await;
    let got = world.get(get("/a").header("authorization", "x")).await;
    assert_eq!(got.body, "x");
    settle().await;
    assert_eq!(world.get("/a").await.body, "nobody");
}

#[tokio::test(start_paused = true)]
async fn a_304_that_nobody_asked_for_is_no_answer_to_who_passes() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("no").cc("no-store"),
        _ => Reply::not_modified().cc("no-store"),
    });
    remembered(&world).await;
    assert_eq!(world.get("/a").await.status, 502);
}

#[tokio::test(start_paused = true)]
async fn instructions_are_for_the_hold_layer_only_where_requests_pass() {
    for policy in ["no-store", "max-age=60"] {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("no").cc("no-store"),
            _ => Reply::ok("a")
                .cc(policy)
                .header("grip-hold", "stream")
                .header("grip-channel", "t")
                .header("surrogate-key", "k"),
        });
        remembered(&world).await;
        let got = world.get(get("/a").header("grip-sig", "forged")).await;
        assert_eq!(world.origin.last().header("grip-sig"), None);
        for name in ["grip-hold", "grip-channel", "surrogate-key"] {
            assert!(!got.headers.contains_key(name), "{name} {policy}");
        }
        assert_eq!((got.status.as_u16(), got.handoff.is_some()), (200, false));
        let ask = get("/a").header("grip-sig", "ours").by_hold();
        let got = world.get(ask).await;
        assert_eq!(world.origin.last().header("grip-sig"), Some("ours"));
        assert_eq!(got.handoff.is_some(), policy == "max-age=60", "{got:?}");
        assert_eq!(
            got.headers.contains_key("grip-hold"),
            policy == "no-store",
            "{got:?}"
        );
        assert!(!got.headers.contains_key("surrogate-key"));
    }
}

#[tokio::test(start_paused = true)]
async fn instructions_in_json_are_never_shown_where_requests_pass() {
    let json = r#"{"hold":{"mode":"stream","channels":[{"name":"t"}]},"response":{"body":"a"}}"#;
    let world = World::new(move |call| match call.n {
        1 => Reply::ok("no").cc("no-store"),
        _ => Reply::ok(json)
            .cc("no-store")
            .header("content-type", "application/grip-instruct"),
    });
    remembered(&world).await;
    let got = world.get("/a").await;
    assert_eq!((got.status.as_u16(), got.body.contains("channels")), (501, false));
    assert_eq!(world.get(get("/a").by_hold()).await.body, json);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_passes_keeps_its_trailers_and_breaks_as_it_broke() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("no").cc("no-store"),
        2 => {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", "1".parse().expect("a value"));
            Reply::stream([Step::data("a"), Step::Trailers(trailers)]).cc("no-store")
        }
        _ => Reply::stream([Step::data("a"), Step::Break("gone")]).cc("no-store"),
    });
    remembered(&world).await;
    let got = world.get("/a").await;
    assert_eq!(got.trailers.expect("they came")["x-sum"], "1");
    assert!(world.get("/a").await.broken);
    settle().await;
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_takes_its_passing_request_along() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("no").cc("no-store"),
        _ => Reply::hang(),
    });
    remembered(&world).await;
    let task = world.start("/a").await;
    assert_eq!(world.origin.open_calls(), 1);
    task.abort();
    settle().await;
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn the_error_of_the_service_reaches_who_passes() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("no").cc("no-store"),
        _ => Reply::fail(Refused("refused")),
    });
    remembered(&world).await;
    let error = world.try_response("/a").await.expect_err("it fails");
    assert_eq!(error, Refused("refused"));
}

/// Ready when the watched value says so; panics if it is called without having said so itself.
struct Busy {
    origin: Origin,
    state: watch::Sender<State>,
    waiting: Option<Pin<Box<dyn Future<Output = State> + Send>>>,
    ready: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Busy,
    Broken,
}

impl Busy {
    fn new(origin: Origin, state: watch::Sender<State>) -> Self {
        Self {
            origin,
            state,
            waiting: None,
            ready: false,
        }
    }
}

impl Clone for Busy {
    fn clone(&self) -> Self {
        Self::new(self.origin.clone(), self.state.clone())
    }
}

impl Service<Request<EdgeBody>> for Busy {
    type Response = <Origin as Service<Request<EdgeBody>>>::Response;
    type Error = Refused;
    type Future = <Origin as Service<Request<EdgeBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let mut state = self.state.subscribe();
        let waiting = self.waiting.get_or_insert_with(|| {
            Box::pin(async move {
                *state
                    .wait_for(|state| *state != State::Busy)
                    .await
                    .expect("it is kept")
            })
        });
        let state = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        self.ready = state == State::Ready;
        Poll::Ready(match state {
            State::Broken => Err(Refused("not ready, ever")),
            _ => Ok(()),
        })
    }

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without having been polled ready"
        );
        self.origin.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn who_passes_waits_until_the_service_is_ready() {
    for (outcome, storable) in [
        (State::Ready, false),
        (State::Ready, true),
        (State::Broken, false),
    ] {
        let origin = Origin::new(move |call| {
            let policy = if storable && call.n > 1 {
                "max-age=60"
            } else {
                "no-store"
            };
            Reply::ok(call.n.to_string()).cc(policy)
        });
        let state = watch::Sender::new(State::Ready);
        let edge = Edge::builder().cache(CacheConfig::default()).build();
        let service = edge.cache_layer().layer(Busy::new(origin.clone(), state.clone()));
        let ask = || service.clone().oneshot(get("/a").into_request());
        assert_eq!(
            Got::of(ask().await.expect("an answer")).await.in_short().1,
            PASSED
        );
        settle().await;
        state.send_replace(State::Busy);
        let task = tokio::spawn(ask());
        settle().await;
        assert_eq!(origin.count(), 1, "it is not sent yet");
        state.send_replace(outcome);
        let got = done(task).await;
        if outcome == State::Broken {
            assert_eq!(got.expect_err("it fails"), Refused("not ready, ever"));
            continue;
        }
        assert_eq!(Got::of(got.expect("an answer")).await.body, "2");
        settle().await;
        let again = Got::of(ask().await.expect("an answer")).await;
        assert_eq!(again.body, if storable { "2" } else { "3" });
    }
}

#[tokio::test(start_paused = true)]
async fn pur_01_a_request_that_passes_has_seen_no_mark_that_was_forgotten() {
    for (memo, key) in [("no-store", "k"), ("no-store", ""), ("", "k")] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| match call.n {
            1 if memo.is_empty() => Reply::ok("1"),
            1 => Reply::ok("1").cc(memo),
            2 => Reply::ok("old")
                .cc("max-age=1")
                .header("surrogate-key", "k")
                .gated(&held),
            _ => Reply::fail(Refused("down")),
        });
        world.get("/a").await;
        let second = world.start("/a").await;
        match key {
            "" => world.purge_url("/a", PurgeMode::Hard).await,
            key => world.purge_key(key, PurgeMode::Hard).await,
        };
        pass(secs(5)).await;
        assert_eq!(world.edge.hub().stats().marks, 0);
        gate.open();
        done(second).await;
        settle().await;
        // Not even as the last good copy.
        assert!(world.try_response("/a").await.is_err(), "{memo} {key}");
    }
}

/// It was purged while its answer was under way; then the sweep forgets the mark while the body arrives.
#[tokio::test(start_paused = true)]
async fn c4_what_passed_and_is_kept_after_all_was_purged_all_the_same() {
    let (head, body) = (Gate::new(), Gate::new());
    let gates = (head.clone(), body.clone());
    let world = World::new(move |call| match call.n {
        1 => Reply::ok("no").cc("no-store"),
        2 => Reply::stream([Step::data("o"), Step::Wait(gates.1.clone()), Step::data("ld")])
            .cc("max-age=60")
            .gated(&gates.0),
        _ => Reply::fail(Refused("down")),
    });
    remembered(&world).await;
    let passing = world.start("/a").await;
    world.purge_url("/a", PurgeMode::Hard).await;
    head.open();
    settle().await;
    pass(secs(10)).await;
    body.open();
    assert_eq!(done(passing).await.body, "old");
    settle().await;
    assert!(world.try_response("/a").await.is_err(), "it was purged");
}

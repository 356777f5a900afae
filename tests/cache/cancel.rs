//! Clients that go away, wherever they are.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use gripstack::cache::{CacheConfig, PacedReads};
use gripstack::{EdgeBody, PurgeMode};
use http::Response;
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::origin::{Gate, Origin, Reply, Step};
use crate::world::{Ask, Got, World, done, get, ms, pass, secs, settle};

/// Polls a future and then the body that it brings, so many times in all; between two polls everything goes on for a
/// while. Then drops both. Says whether that was after the end.
async fn poll_and_drop<E: std::fmt::Debug>(
    future: impl Future<Output = Result<Response<EdgeBody>, E>>,
    mut polls: usize,
) -> bool {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    let mut response = loop {
        if polls == 0 {
            return false;
        }
        polls -= 1;
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(response) => break response,
            Poll::Pending => pass(ms(5)).await,
        }
    };
    let Ok(response) = &mut response else { return true };
    loop {
        if polls == 0 {
            return false;
        }
        polls -= 1;
        match pin!(response.body_mut().frame()).poll(&mut cx) {
            Poll::Ready(None | Some(Err(_))) => return true,
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Pending => pass(ms(5)).await,
        }
    }
}

/// For each number of polls: makes a world, gets it into a state, and lets a client go away.
async fn at_every_point(
    script: impl Fn() -> Reply,
    before: impl AsyncFn(&World),
    ask: impl Fn() -> Ask,
    config: CacheConfig,
) {
    for polls in 0..40 {
        // The first two answers are quick.
        let slow = script();
        let first = parking_lot::Mutex::new(vec![slow]);
        let armed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let is_armed = armed.clone();
        let world = World::config(config.clone(), move |_| {
            let slow = is_armed
                .load(std::sync::atomic::Ordering::SeqCst)
                .then(|| first.lock().pop())
                .flatten();
            slow.unwrap_or_else(|| instructed("new"))
        });
        before(&world).await;
        armed.store(true, std::sync::atomic::Ordering::SeqCst);
        let ended = poll_and_drop(world.call(ask()), polls).await;
        // Whatever was under way is over: by itself, or because nobody wants it.
        pass(secs(40)).await;
        world.is_idle();
        armed.store(false, std::sync::atomic::Ordering::SeqCst);
        let at = Instant::now();
        world.purge_url("/a", PurgeMode::Hard).await;
        let got = world.get(ask()).await;
        assert_eq!(got.body, "new", "{polls} polls");
        assert!(
            at.elapsed() < secs(1),
            "{polls} polls: it waited for what will never come"
        );
        pass(secs(1)).await;
        world.is_idle();
        let stats = world.edge.cache().stats();
        assert!(stats.urls <= 1 && stats.entries <= 1, "{polls} polls: {stats:?}");
        if ended {
            return;
        }
    }
    panic!("the client never came to an end");
}

fn instructed(body: &'static str) -> Reply {
    Reply::ok(body)
        .cc("max-age=60, stale-while-revalidate=60")
        .header("grip-hold", "stream")
        .header("grip-channel", "c")
}

/// Comes in pieces, of unknown length.
fn slow() -> Reply {
    let pieces = ["s", "l", "o", "w"].map(|piece| [Step::Pause(ms(3)), Step::data(piece)]);
    Reply::stream(pieces.into_iter().flatten())
        .after(ms(12))
        .cc("max-age=60, stale-while-revalidate=60")
        .header("grip-hold", "stream")
        .header("grip-channel", "c")
}

#[tokio::test(start_paused = true)]
async fn col_17_a_miss_is_dropped_at_every_await() {
    at_every_point(slow, async |_| {}, || get("/a"), CacheConfig::default()).await;
    let private = || slow().header("set-cookie", "a=b");
    at_every_point(private, async |_| {}, || get("/a"), CacheConfig::default()).await;
}

#[tokio::test(start_paused = true)]
async fn col_17_a_miss_of_a_hold_is_dropped_at_every_await() {
    at_every_point(slow, async |_| {}, || get("/a").by_hold(), CacheConfig::default()).await;
}

#[tokio::test(start_paused = true)]
async fn col_17_a_refresh_is_dropped_at_every_await() {
    let expired = async |world: &World| {
        world.get("/a").await;
        pass(secs(70)).await;
    };
    at_every_point(slow, expired, || get("/a"), CacheConfig::default()).await;
    let long_expired = async |world: &World| {
        world.get("/a").await;
        pass(secs(170)).await;
    };
    at_every_point(slow, long_expired, || get("/a"), CacheConfig::default()).await;
}

#[tokio::test(start_paused = true)]
async fn col_17_a_paced_read_is_dropped_at_every_await() {
    let aged = async |world: &World| {
        world.get("/a").await;
        world.publish("c").await;
        world.get("/a").await;
        world.publish("c").await;
    };
    let config = CacheConfig::new().interval(ms(20));
    at_every_point(slow, aged, || get("/a"), config.clone()).await;
    let stale = config.paced_reads(PacedReads::Stale);
    at_every_point(slow, aged, || get("/a"), stale).await;
}

#[tokio::test(start_paused = true)]
async fn col_17_an_uncacheable_request_is_dropped_at_every_await() {
    let private = || slow().header("set-cookie", "a=b");
    let known = async |world: &World| {
        world.get(get("/a").header("authorization", "x")).await;
    };
    at_every_point(
        private,
        known,
        || get("/a").header("authorization", "x"),
        CacheConfig::default(),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn col_17_a_client_that_never_polls_strands_nobody() {
    let world = World::new(|_| Reply::ok("a").cc("max-age=60").after(ms(10)));
    let never_polled = world.call("/a");
    settle().await;
    let at = Instant::now();
    let other = world.start("/a").await;
    drop(never_polled);
    assert_eq!(done(other).await.body, "a");
    assert!(at.elapsed() < ms(100), "{:?}", at.elapsed());
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn col_17_an_only_if_cached_miss_leaves_nothing_behind() {
    let world = World::new(|_| Reply::ok("a").cc("max-age=60"));
    let got = world
        .get(get("/a").header("cache-control", "only-if-cached"))
        .await;
    assert_eq!(got.status, 504);
    assert_eq!(world.origin.count(), 0);
    world.is_empty();
    let at = Instant::now();
    world
        .get("/a")
        .await
        .is("a", "gripstack; fwd=uri-miss; ttl=60; stored");
    assert!(
        at.elapsed() < ms(100),
        "it waited for a flight that never started"
    );
}

#[tokio::test(start_paused = true)]
async fn col_03_the_fetch_ends_when_its_only_client_goes() {
    // The head is here, and the origin says nothing more for the time being.
    let world = World::new(|_| Reply::stream([Step::data("a"), Step::Hang]).cc("max-age=60"));
    let mut response = world.response("/a").await;
    response
        .body_mut()
        .frame()
        .await
        .expect("a frame")
        .expect("whole");
    settle().await;
    assert_eq!(world.origin.open_bodies(), 1);
    drop(response);
    settle().await;
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn col_03_the_fetch_ends_when_nobody_takes_the_head() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |_| Reply::stream([Step::Hang]).cc("max-age=60").gated(&held));
    let client = world.start("/a").await;
    client.abort();
    settle().await;
    gate.open();
    settle().await;
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn col_03_an_answer_that_is_nearly_here_is_kept() {
    let world = World::new(|_| {
        Reply::stream([Step::data("aaaa"), Step::Pause(ms(50)), Step::data("bbbb")])
            .sized()
            .cc("max-age=60")
    });
    let mut response = world.response("/a").await;
    response
        .body_mut()
        .frame()
        .await
        .expect("a frame")
        .expect("whole");
    drop(response);
    pass(ms(100)).await;
    world.get("/a").await.expect_short("aaaabbbb", "hit");
}

#[tokio::test(start_paused = true)]
async fn col_02_others_get_the_whole_answer_when_the_first_client_goes() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |_| {
        Reply::stream([Step::data("a"), Step::Wait(held.clone()), Step::data("bcdefghij")]).cc("max-age=60")
    });
    let first = world.call("/a");
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(world.start("/a").await);
    }
    let mut first = first.await.expect("answered");
    first.body_mut().frame().await.expect("a frame").expect("whole");
    drop(first);
    settle().await;
    gate.open();
    for other in others {
        done(other)
            .await
            .expect_short("abcdefghij", "fwd=uri-miss; collapsed");
    }
    world.get("/a").await.expect_short("abcdefghij", "hit");
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_is_waited_for_by_the_flight_alone() {
    // One call at a time: the second flight must wait for a permit, and a hit must not.
    let gate = Gate::new();
    let held = gate.clone();
    let origin: Origin = Origin::new(move |call| match call.uri.path() {
        "/slow" => Reply::ok("slow").gated(&held),
        _ => Reply::ok("a").cc("max-age=60"),
    });
    let limited = tower::limit::ConcurrencyLimit::new(origin.clone(), 1);
    let edge = gripstack::Edge::new();
    let service = tower::Layer::layer(&edge.cache_layer(), limited);
    let call = |path: &str| tower::ServiceExt::oneshot(service.clone(), get(path).into_request());
    let got = Got::of(call("/a").await.expect("answered")).await;
    assert_eq!(got.body, "a");
    let slow = tokio::spawn(call("/slow"));
    settle().await;
    let got = Got::of(call("/a").await.expect("answered")).await;
    got.expect_short("a", "hit");
    let waits = tokio::spawn(call("/b"));
    settle().await;
    assert_eq!(origin.count(), 2);
    gate.open();
    done(slow).await.expect("answered");
    done(waits).await.expect("answered");
    assert_eq!(origin.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn col_03_the_fetch_ends_before_its_head_when_all_have_gone() {
    let world = World::new(|_| Reply::hang());
    let mut clients = vec![world.start("/a").await, world.start("/a").await];
    settle().await;
    assert_eq!((world.origin.count(), world.origin.open_calls()), (1, 1));
    clients.pop().expect("two").abort();
    settle().await;
    assert_eq!(world.origin.open_calls(), 1, "somebody still waits");
    clients.pop().expect("one").abort();
    settle().await;
    assert_eq!(world.origin.open_calls(), 0);
    // Also while instructions are read, which is before there is an answer.
    let world = World::new(|_| {
        Reply::stream([Step::data("{"), Step::Hang]).header("content-type", "application/grip-instruct")
    });
    let client = world.start(get("/a").by_hold()).await;
    settle().await;
    assert_eq!(world.origin.open_bodies(), 1);
    client.abort();
    settle().await;
    assert_eq!(world.origin.open_bodies(), 0);
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn col_03_a_fetch_that_is_too_slow_for_those_who_wait_still_ends() {
    // Slower than anybody waits for it: if it ended with those who leave, no answer would ever come.
    let world = World::new(|call| {
        let reply = Reply::ok(call.n.to_string()).cc("max-age=1, stale-if-error=600");
        reply.after(if call.n == 1 { ms(0) } else { secs(8) })
    });
    world.get("/a").await;
    pass(secs(5)).await;
    world.start("/a").await;
    settle().await;
    let second = world.start("/a").await;
    pass(secs(6)).await;
    assert!(second.is_finished() || world.origin.open_calls() > 0);
    pass(secs(10)).await;
    assert_eq!(world.origin.open_calls(), 0);
    let got = world.get("/a").await;
    assert_ne!(got.body, "1", "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_takes_a_turn_who_has_gone() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=600")
            .header("surrogate-key", "ch:c")
    });
    world.get("/a").await;
    world.publish("c").await;
    world.get("/a").await;
    world.publish("c").await;
    let waits = world.start("/a").await;
    pass(ms(100)).await;
    waits.abort();
    settle().await;
    pass(ms(950)).await;
    assert_eq!(world.origin.count(), 2);
    let at = Instant::now();
    assert_eq!(world.get("/a").await.body, "3");
    assert!(at.elapsed() < ms(100), "the turn was taken");
}

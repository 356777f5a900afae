//! Errors, beside what can still be served and what cannot.

use gripstack::PurgeMode;
use gripstack::cache::CacheConfig;

use crate::origin::{Gate, Refused, Reply, Step};
use crate::world::{World, done, get, pass, secs, settle};

/// Nothing of it can be served any more, so it is in the way of nothing.
#[tokio::test(start_paused = true)]
async fn sta_03_an_error_that_varies_is_kept_where_no_page_can_be_served() {
    for purge in [None, Some(PurgeMode::Hard), Some(PurgeMode::SoftBlock)] {
        let policy = match purge {
            Some(PurgeMode::Hard) => "max-age=60",
            _ => "max-age=60, must-revalidate",
        };
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("good").cc(policy),
            _ => Reply::ok("bad")
                .code(503)
                .cc("max-age=5")
                .header("vary", "accept-encoding"),
        });
        world.get("/a").await;
        match purge {
            None => pass(secs(61)).await,
            Some(mode) => drop(world.purge_url("/a", mode).await),
        }
        for _ in 0..4 {
            assert_eq!(world.get("/a").await.body, "bad", "{purge:?}");
            settle().await;
        }
        assert_eq!(
            world.origin.count(),
            2,
            "it says how long it may be kept: {purge:?}"
        );
    }
}

/// What came last was about the resource, although it was not kept.
#[tokio::test(start_paused = true)]
async fn sta_04_a_page_that_was_arriving_when_the_last_word_was_asked_for_does_not_come_back() {
    for ends_before in [false, true] {
        let (head, body) = (Gate::new(), Gate::new());
        let gates = (head.clone(), body.clone());
        let world = World::new(move |call| match call.n {
            1 => Reply::stream([Step::data("go"), Step::Wait(gates.1.clone()), Step::data("od")])
                .cc("max-age=60"),
            2 => Reply::ok("gone").code(404).cc("no-store").gated(&gates.0),
            _ => Reply::fail(Refused("down")),
        });
        let first = world.start("/a").await;
        world.purge_url("/a", PurgeMode::SoftBlock).await;
        let second = world.start("/a").await;
        let gates = [head, body];
        for n in 0..2 {
            gates[usize::from(ends_before) ^ n].open();
            settle().await;
        }
        assert_eq!(done(first).await.body, "good");
        assert_eq!(done(second).await.body, "gone");
        let got = world.try_response("/a").await;
        assert!(got.is_err(), "{ends_before}: {got:?}");
    }
}

/// A part of it that one asked for is no other word.
#[tokio::test(start_paused = true)]
async fn sta_04_a_part_does_not_keep_the_whole_out() {
    let head = Gate::new();
    let gate = head.clone();
    let world = World::config(CacheConfig::new().max_object_bytes(10), move |call| {
        let reply = match call.header("range") {
            Some(_) => Reply::ok("go")
                .code(206)
                .header("content-range", "bytes 0-1/4")
                .gated(&gate),
            None if call.n == 1 => Reply::ok("too large for it"),
            None => Reply::ok("good"),
        };
        reply.cc("max-age=60")
    });
    world.get("/a").await;
    settle().await;
    let part = world.start(get("/a").header("range", "bytes=0-1")).await;
    assert_eq!(world.origin.count(), 2, "it goes by itself");
    assert_eq!(world.get("/a").await.body, "good");
    settle().await;
    head.open();
    assert_eq!(done(part).await.body, "go");
    settle().await;
    world.get("/a").await.expect_short("good", "hit");
}

/// It came for a request that went alone.
#[tokio::test(start_paused = true)]
async fn sta_03_an_error_that_varies_does_not_hide_a_page_that_comes_beside_all_flights() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.n {
        1 => Reply::stream([Step::data("go"), Step::Wait(held.clone()), Step::data("od")])
            .cc("public, max-age=60"),
        _ => Reply::ok("bad").code(503).header("vary", "accept-encoding"),
    });
    let first = world.start(get("/a").header("authorization", "Basic x")).await;
    assert_eq!(world.get("/a").await.body, "bad");
    gate.open();
    assert_eq!(done(first).await.body, "good");
    settle().await;
    assert_eq!(world.get("/a").await.body, "good");
}

/// It was asked for before the page was, and says what was so then.
#[tokio::test(start_paused = true)]
async fn sta_04_an_older_answer_does_not_keep_a_younger_page_out() {
    let (head, body) = (Gate::new(), Gate::new());
    let gates = (head.clone(), body.clone());
    let world = World::new(move |call| match call.n {
        1 => Reply::ok("gone").code(404).cc("no-store").gated(&gates.0),
        2 => {
            Reply::stream([Step::data("go"), Step::Wait(gates.1.clone()), Step::data("od")]).cc("max-age=60")
        }
        _ => Reply::fail(Refused("down")),
    });
    let older = world.start("/a").await;
    world.purge_url("/a", PurgeMode::SoftBlock).await;
    let younger = world.start("/a").await;
    head.open();
    assert_eq!(done(older).await.body, "gone");
    body.open();
    assert_eq!(done(younger).await.body, "good");
    settle().await;
    world.get("/a").await.expect_short("good", "hit");
}

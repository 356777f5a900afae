//! Unsafe methods.

use gripstack::PurgeMode;

use crate::origin::{Gate, Refused, Reply};
use crate::world::{World, ask, done, get, head, pass, post, secs, settle};
use http::Method;

fn counted() -> World {
    World::new(|call| match call.method {
        Method::GET | Method::HEAD => Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", "accept"),
        _ => Reply::ok("done"),
    })
}

#[tokio::test(start_paused = true)]
async fn i1_a_successful_unsafe_method_invalidates_every_variant() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "WHATEVER"] {
        let world = counted();
        let asks = [
            || get("/a"),
            || get("/a").header("accept", "x/y"),
            || get("/a").by_hold(),
        ];
        for one in asks {
            world.get(one()).await;
        }
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        assert_eq!(world.get(ask(method.clone(), "/a")).await.body, "done");
        for (n, one) in asks.into_iter().enumerate() {
            let got = world.get(one()).await;
            assert_eq!(got.body, (5 + n).to_string(), "{method}");
            assert_eq!(got.in_short().1, "fwd=stale; stored");
        }
        world.get(head("/a")).await.expect_short("", "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn i1_a_redirection_counts_as_success_and_safe_methods_change_nothing() {
    let world = World::new(|call| match call.method {
        Method::GET => Reply::ok(call.n.to_string()).cc("max-age=60"),
        Method::POST => Reply::status(303).header("location", "/elsewhere"),
        _ => Reply::ok("done"),
    });
    world.get("/a").await;
    for method in ["OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH"] {
        world
            .get(ask(
                Method::from_bytes(method.as_bytes()).expect("a method"),
                "/a",
            ))
            .await;
    }
    world.get("/a").await.expect_short("1", "hit");
    world.get(post("/a")).await;
    world.get("/a").await.expect_short("9", "fwd=stale; stored");
}

#[tokio::test(start_paused = true)]
async fn i2_a_failed_one_does_not() {
    for code in [400, 403, 404, 409, 500, 503] {
        let world = World::new(move |call| match call.method {
            Method::GET => Reply::ok(call.n.to_string()).cc("max-age=60"),
            _ => Reply::status(code),
        });
        world.get("/a").await;
        assert_eq!(world.get(post("/a")).await.status.as_u16(), code);
        world.get("/a").await.expect_short("1", "hit");
    }
    let world = World::new(move |call| match call.method {
        Method::GET => Reply::ok(call.n.to_string()).cc("max-age=60"),
        _ => Reply::fail(Refused("down")),
    });
    world.get("/a").await;
    assert!(world.try_response(post("/a")).await.is_err());
    world.get("/a").await.expect_short("1", "hit");
}

#[tokio::test(start_paused = true)]
async fn i3_pur_25_locations_of_the_same_origin_go_along() {
    for (name, value, hit) in [
        ("location", "/b", false),
        ("content-location", "/b", false),
        ("content-location", "https://example.com/b", false),
        ("content-location", "https://EXAMPLE.com:443/b#x", false),
        ("content-location", "https://other/b", true),
        ("location", "//other/b", true),
        ("location", "http://example.com:8080/b", true),
    ] {
        let world = World::new(move |call| match call.method {
            Method::GET => Reply::ok(call.n.to_string()).cc("max-age=60"),
            _ => Reply::ok("done").header(name, value),
        });
        world.get("/b").await;
        let other = || get("/b").host("other");
        world.get(other()).await;
        world.get(post("/a")).await;
        assert_eq!(
            world.get("/b").await.in_short().1 == "hit",
            hit,
            "{name}: {value}"
        );
        world.get(other()).await.expect_short("2", "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn i5_pur_24_a_get_in_flight_is_not_kept_as_fresh() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match (call.method.as_str(), call.n) {
        ("POST", _) => Reply::ok("done"),
        (_, 1) => Reply::ok("old")
            .cc("max-age=60")
            .header("etag", "\"1\"")
            .gated(&held),
        _ => Reply::ok("new").cc("max-age=60"),
    });
    let waits = world.start("/a").await;
    world.get(post("/a")).await;
    gate.open();
    assert_eq!(done(waits).await.body, "old");
    settle().await;
    world.get("/a").await.expect_short("new", "fwd=stale; stored");
    world.get("/a").await.expect_short("new", "hit");
}

#[tokio::test(start_paused = true)]
async fn i5_a_post_never_deletes_the_last_good_copy() {
    let world = World::new(|call| match (call.method.as_str(), call.n) {
        ("POST", _) => Reply::ok("done"),
        (_, 1) => Reply::ok("a").cc("max-age=60"),
        _ => Reply::fail(Refused("down")),
    });
    world.get("/a").await;
    world.get(post("/a")).await;
    world
        .get("/a")
        .await
        .expect_short("a", "fwd=stale; detail=outage");
    world.get("/a").await.expect_short("a", "hit; detail=outage");
}

#[tokio::test(start_paused = true)]
async fn i5_but_what_must_be_revalidated_is_not_served() {
    let world = World::new(|call| match (call.method.as_str(), call.n) {
        ("POST", _) => Reply::ok("done"),
        (_, 1) => Reply::ok("a").cc("max-age=60, must-revalidate"),
        _ => Reply::fail(Refused("down")),
    });
    world.get("/a").await;
    world.get(post("/a")).await;
    assert!(world.try_response("/a").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn i5_without_channels_no_pace_is_kept() {
    let world = counted();
    world.get("/a").await;
    for n in 0..5 {
        world.get(post("/a")).await;
        let got = world.get("/a").await;
        assert_eq!(got.body, (2 * n + 3).to_string());
    }
}

/// What an unsafe method invalidated may still be purged by name.
#[tokio::test(start_paused = true)]
async fn an_invalidation_does_not_hide_a_purge_from_a_hold() {
    for mode in [PurgeMode::Soft, PurgeMode::SoftBlock, PurgeMode::Hard] {
        for purge_first in [false, true] {
            let world = World::new(|call| match call.method {
                Method::POST => Reply::ok("done"),
                _ => Reply::ok(call.n.to_string())
                    .cc("max-age=60")
                    .header("grip-hold", "stream")
                    .header("grip-channel", "c"),
            });
            world.get(get("/a").by_hold()).await;
            if purge_first {
                world.purge_url("/a", mode).await;
            }
            world.get(post("/a")).await;
            if !purge_first {
                world.purge_url("/a", mode).await;
            }
            let got = world.get(get("/a").by_hold()).await;
            assert_eq!(got.body, "3", "{mode:?} {purge_first}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_url_that_nobody_knows_is_marked_and_takes_no_memory() {
    let world = counted();
    let before = world.edge.hub().now();
    for n in 0..10 {
        world.get(post(&format!("/{n}"))).await;
    }
    assert_eq!(world.edge.hub().now().get(), before.get() + 10);
    pass(secs(1)).await;
    world.is_empty();
}

/// Whether the change was made is not known: as if it was.
#[tokio::test(start_paused = true)]
async fn i1_a_client_that_leaves_before_the_answer_may_have_changed_something() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.method {
        Method::POST => Reply::ok("done").gated(&held),
        _ => Reply::ok(call.n.to_string()).cc("max-age=60"),
    });
    world.get("/a").await;
    // Not even sent.
    drop(world.call(post("/a")));
    settle().await;
    world.get("/a").await.expect_short("1", "hit");
    let client = world.start(post("/a")).await;
    client.abort();
    settle().await;
    assert_eq!(world.origin.count(), 2);
    world.get("/a").await.expect_short("3", "fwd=stale; stored");
}

//! Purges, and what is under way when they come.

use gripstack::cache::CacheConfig;
use gripstack::{Order, PurgeMode, Target, Url};
use http_body_util::BodyExt;

use crate::origin::{Gate, Refused, Reply, Step};
use crate::world::{Got, HOST, World, channel, done, get, head, ms, pass, secs, settle};

const MODES: [PurgeMode; 3] = [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft];

/// The first answer waits for a gate, at its head or in its body; the value is the number of the request.
fn gated(at_head: bool) -> (World, Gate) {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| {
        let value = Step::data(call.n.to_string());
        let reply = match (call.n, at_head) {
            (1, true) => Reply::stream([value]).gated(&held),
            (1, false) => Reply::stream([value, Step::Wait(held.clone())]),
            _ => Reply::stream([value]),
        };
        reply.cc("max-age=60").header("surrogate-key", "t")
    });
    (world, gate)
}

#[tokio::test(start_paused = true)]
async fn pur_01_a_flight_does_not_undo_a_purge() {
    for mode in MODES {
        for at_head in [true, false] {
            let (world, gate) = gated(at_head);
            let first = world.start("/a").await;
            world.purge_url("/a", mode).await;
            gate.open();
            assert_eq!(done(first).await.body, "1", "{mode:?}");
            settle().await;
            assert_eq!(world.get("/a").await.body, "2", "{mode:?} {at_head}");
            assert_eq!(world.get("/a").await.body, "2", "{mode:?} {at_head}");
        }
    }
}

/// A purge marks, and walks through nothing. `tests/cost.rs` counts what it takes.
#[tokio::test(start_paused = true)]
async fn pur_20_a_purge_touches_nothing_of_all_that_it_concerns() {
    let objects = 10_000;
    let world = World::new(|_| Reply::ok("1").cc("max-age=60").header("surrogate-key", "t"));
    for n in 0..objects {
        world.get(get(&format!("/{n}"))).await;
    }
    settle().await;
    let stored = world.edge.cache().stats();
    assert_eq!(stored.entries, objects);
    world.purge_key("t", PurgeMode::Hard).await;
    assert_eq!(world.edge.cache().stats(), stored, "nothing was touched");
    assert_eq!(world.get("/7").await.in_short().1, "fwd=uri-miss; stored");
}

#[tokio::test(start_paused = true)]
async fn pur_02_nor_a_purge_by_a_tag_that_only_it_carries() {
    for mode in MODES {
        for at_head in [true, false] {
            let (world, gate) = gated(at_head);
            let first = world.start("/a").await;
            world.purge_key("t", mode).await;
            gate.open();
            assert_eq!(done(first).await.body, "1");
            settle().await;
            assert_eq!(world.get("/a").await.body, "2", "{mode:?} {at_head}");
            assert_eq!(world.get("/a").await.body, "2", "{mode:?} {at_head}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pur_03_who_comes_after_a_purge_does_not_join() {
    for mode in MODES {
        for at_head in [true, false] {
            let (world, gate) = gated(at_head);
            let first = world.start("/a").await;
            world.purge_url("/a", mode).await;
            let second = world.start("/a").await;
            assert_eq!(world.origin.count(), 2, "at once, not when the first one ends");
            gate.open();
            assert_eq!(done(first).await.body, "1");
            assert_eq!(done(second).await.body, "2");
            assert_eq!(world.get("/a").await.body, "2");
            assert_eq!(world.origin.count(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pur_04_who_comes_after_a_purge_by_tag_leaves_at_the_head() {
    for mode in MODES {
        let (world, gate) = gated(true);
        let first = world.start("/a").await;
        world.purge_key("t", mode).await;
        let mut others = Vec::new();
        for _ in 0..5 {
            others.push(world.start("/a").await);
        }
        assert_eq!(world.origin.count(), 1, "who knows which tags it will have");
        gate.open();
        assert_eq!(done(first).await.body, "1");
        for other in others {
            assert_eq!(done(other).await.body, "2");
        }
        assert_eq!(world.origin.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn pur_04_who_comes_while_the_body_arrives_does_not_even_join() {
    for mode in MODES {
        let (world, gate) = gated(false);
        let first = world.start("/a").await;
        world.purge_key("t", mode).await;
        let second = world.start("/a").await;
        gate.open();
        assert_eq!(done(first).await.body, "1");
        assert_eq!(done(second).await.body, "2");
        assert_eq!(world.origin.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn pur_05_a_304_does_not_revive_what_was_purged() {
    for etag in ["\"1\"", "W/\"1\""] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("old").cc("max-age=60").header("etag", etag),
            2 => Reply::not_modified().header("etag", etag).gated(&held),
            _ => Reply::ok("new").cc("max-age=60").header("etag", etag),
        });
        world.get("/a").await;
        pass(secs(61)).await;
        let waits = world.start("/a").await;
        assert!(world.origin.last().is_conditional());
        world.purge_url("/a", PurgeMode::Hard).await;
        gate.open();
        assert_eq!(done(waits).await.body, "new");
        assert!(!world.origin.last().is_conditional());
        assert_eq!(world.get("/a").await.body, "new");
        for call in &world.origin.calls()[2..] {
            assert!(!call.is_conditional());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pur_06_a_refresh_that_began_before_a_soft_purge_is_followed_by_one_more() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| {
        let reply = Reply::ok(call.n.to_string()).cc("max-age=60, stale-while-revalidate=600");
        if call.n == 2 { reply.gated(&held) } else { reply }
    });
    world.get("/a").await;
    pass(secs(70)).await;
    world.get("/a").await.expect_short("1", "hit; detail=swr");
    settle().await;
    assert_eq!(world.origin.count(), 2);
    world.purge_url("/a", PurgeMode::Soft).await;
    gate.open();
    settle().await;
    world.get("/a").await.expect_short("2", "hit; detail=swr");
    settle().await;
    world.get("/a").await.expect_short("3", "hit");
    pass(secs(5)).await;
    assert_eq!(world.origin.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn pur_07_a_purge_of_a_url_takes_every_variant() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", "accept-encoding, accept")
    });
    let mut asks = Vec::new();
    for coding in ["br", "gzip", "identity"] {
        for accept in ["text/html", "text/event-stream"] {
            asks.push(move || {
                get("/a")
                    .header("accept-encoding", coding)
                    .header("accept", accept)
            });
        }
    }
    for ask in &asks {
        world.get(ask()).await;
    }
    for ask in &asks {
        assert_eq!(world.get(ask()).await.in_short().1, "hit");
    }
    assert_eq!(
        world.get(head("/a").header("accept", "text/html")).await.status,
        200
    );
    let before = world.origin.count();
    world.purge_url("/a", PurgeMode::Hard).await;
    for (n, ask) in asks.iter().enumerate() {
        let got = world.get(ask()).await;
        assert_eq!(got.body, (before + n + 1).to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn pur_08_a_purge_covers_both_schemes_which_are_two_objects() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60"));
    let https = || get("/a").extension(http::uri::Scheme::HTTPS);
    world.get("/a").await.expect_short("1", "fwd=uri-miss; stored");
    world.get(https()).await.expect_short("2", "fwd=uri-miss; stored");
    // The scheme is the connection's, whatever a client writes.
    world.get("https://example.com/a").await.expect_short("1", "hit");
    world.purge_url("/a", PurgeMode::Hard).await;
    assert_eq!(world.get("/a").await.body, "3");
    assert_eq!(world.get(https()).await.body, "4");
}

#[tokio::test(start_paused = true)]
async fn pur_09_other_urls_are_untouched() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60"));
    let others = ["/a/", "/a?x", "/ab", "/A"];
    for other in others {
        world.get(other).await;
    }
    let elsewhere = || get("/a").host("www.example.com");
    world.get(elsewhere()).await;
    world.get("/a").await;
    for mode in MODES {
        world.purge_url("/a", mode).await;
        for other in others {
            assert_eq!(world.get(other).await.in_short().1, "hit", "{other}");
        }
        assert_eq!(world.get(elsewhere()).await.in_short().1, "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn pur_10_a_purge_by_the_query_as_api_clients_rebuild_it() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60"));
    world.get("/a?b=1&a=2").await;
    world
        .get("/a?a=2&b=1")
        .await
        .expect_short("2", "fwd=uri-miss; stored");
    world.purge_url("/a?a=2&b=1", PurgeMode::Hard).await;
    assert_eq!(world.get("/a?b=1&a=2").await.body, "3");
    assert_eq!(world.get("/a?a=2&b=1").await.body, "4");
    // They escape what need not be, and as they like.
    let rebuilt = [
        ("next=/home", "next=%2Fhome"),
        ("q=a%20b", "q=a+b"),
        ("tag[]=1", "tag%5B%5D=1"),
        ("t=12:30&e=a@b", "e=a%40b&t=12%3A30"),
        ("x=a,b", "x=a%2Cb"),
        ("q=%c3%a9", "q=%C3%A9"),
        ("u=%7Eme*", "u=~me%2A"),
        ("k", "k="),
    ];
    for (stored, rebuilt) in rebuilt {
        let path = format!("/b?{stored}");
        let old = world.get(get(&path)).await.body;
        world.purge_url(&format!("/b?{rebuilt}"), PurgeMode::Hard).await;
        assert_ne!(world.get(get(&path)).await.body, old, "{stored}");
        world.purge_url(&format!("/b?{rebuilt}x"), PurgeMode::Hard).await;
        assert_eq!(world.get(get(&path)).await.in_short().1, "hit", "{stored}");
    }
}

#[tokio::test(start_paused = true)]
async fn pur_16_a_soft_purge_starts_the_window_of_stale_while_revalidate() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=600, stale-while-revalidate=30"));
    world.get("/a").await;
    world.purge_url("/a", PurgeMode::Soft).await;
    pass(secs(10)).await;
    let got = world.get("/a").await;
    got.is("1", "gripstack; hit; ttl=-10; detail=swr");
    settle().await;
    world.get("/a").await.expect_short("2", "hit");
    assert_eq!(world.origin.count(), 2);

    world.purge_url("/a", PurgeMode::Soft).await;
    pass(secs(31)).await;
    world.get("/a").await.expect_short("3", "fwd=stale; stored");
}

#[tokio::test(start_paused = true)]
async fn pur_17_a_soft_purge_is_answered_by_a_validation() {
    for target in [
        Target::Url(Url::new(HOST, "/a")),
        Target::Key("t".into()),
        Target::Host(HOST.into()),
        Target::Everything,
    ] {
        for mode in [PurgeMode::Soft, PurgeMode::SoftBlock] {
            let world = World::new(|call| {
                let reply = match call.n {
                    1 => Reply::ok("a").header("surrogate-key", "t"),
                    _ => Reply::not_modified(),
                };
                reply.cc("max-age=60").header("etag", "\"1\"")
            });
            world.get("/a").await;
            world.purge(target.clone(), mode).await;
            world
                .get("/a")
                .await
                .is("a", "gripstack; fwd=stale; fwd-status=304; ttl=60; stored");
            assert_eq!(world.origin.last().header("if-none-match"), Some("\"1\""));
            world.get("/a").await.expect_short("a", "hit");
            assert_eq!(world.origin.count(), 2);
        }
    }
}

/// A weak validator cannot say whether what the purge announced is in the answer.
#[tokio::test(start_paused = true)]
async fn pur_17_a_purge_with_a_weak_validator_is_answered_by_a_whole_answer() {
    let since = "Wed, 21 Oct 2015 07:28:00 GMT";
    for (name, value) in [("etag", "W/\"1\""), ("last-modified", since)] {
        for mode in [PurgeMode::Soft, PurgeMode::SoftBlock] {
            let world = World::new(move |call| {
                let reply = match call.is_conditional() {
                    false => Reply::ok(call.n.to_string()),
                    true => Reply::not_modified(),
                };
                reply.cc("max-age=60").header(name, value)
            });
            world.get("/a").await;
            world.purge_url("/a", mode).await;
            world.get("/a").await.expect_short("2", "fwd=stale; stored");
            world.get("/a").await.expect_short("2", "hit");
            assert_eq!(world.origin.count(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pur_17_also_in_the_background() {
    let world = World::new(move |call| {
        let reply = match call.is_conditional() {
            false => Reply::ok(call.n.to_string()),
            true => Reply::not_modified(),
        };
        reply
            .cc("max-age=60, stale-while-revalidate=60")
            .header("etag", "W/\"1\"")
    });
    world.get("/a").await;
    world.purge_url("/a", PurgeMode::Soft).await;
    world.get("/a").await.expect_short("1", "hit; detail=swr");
    settle().await;
    world.get("/a").await.expect_short("2", "hit");
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn pur_18_after_a_soft_purge_the_old_answer_outlives_the_origin() {
    let config = || CacheConfig::new().outage(None);
    for mode in [PurgeMode::Soft, PurgeMode::SoftBlock] {
        let world = World::config(config(), |call| match call.n {
            1 => Reply::ok("a").cc("max-age=60, stale-if-error=600"),
            _ => Reply::fail(Refused("down")),
        });
        world.get("/a").await;
        world.purge_url("/a", mode).await;
        let got = world.get("/a").await;
        assert_eq!(got.body, "a", "{mode:?}");
        assert!(
            got.cache_status().contains("detail=outage"),
            "{}",
            got.cache_status()
        );
    }
    let world = World::config(config(), |call| match call.n {
        1 => Reply::ok("a").cc("max-age=60, stale-if-error=600"),
        _ => Reply::fail(Refused("down")),
    });
    world.get("/a").await;
    world.purge_url("/a", PurgeMode::Hard).await;
    let error = world.try_response("/a").await.expect_err("it is gone");
    assert_eq!(error, Refused("down"));
}

#[tokio::test(start_paused = true)]
async fn pur_23_what_is_stored_late_is_dead_at_its_first_lookup() {
    // The purge comes when the body is whole and the store has not heard of it: between two polls of the pump.
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| {
        Reply::stream([Step::data(call.n.to_string()), Step::Wait(held.clone())]).cc("max-age=60")
    });
    let mut response = world.response("/a").await;
    response
        .body_mut()
        .frame()
        .await
        .expect("a frame")
        .expect("whole");
    gate.open();
    world.purge_url("/a", PurgeMode::Hard).await;
    settle().await;
    assert!(world.edge.cache().stats().entries <= 1);
    assert_eq!(world.get("/a").await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn pur_28_purges_twice_and_in_any_order_come_to_the_same() {
    let orders: [&[PurgeMode]; 4] = [
        &[PurgeMode::Hard, PurgeMode::Soft],
        &[PurgeMode::Soft, PurgeMode::Hard],
        &[PurgeMode::Soft, PurgeMode::Hard, PurgeMode::Soft, PurgeMode::Hard],
        &[PurgeMode::Hard, PurgeMode::Hard],
    ];
    for order in orders {
        let world = World::new(|call| {
            Reply::ok(call.n.to_string())
                .cc("max-age=60, stale-while-revalidate=60, stale-if-error=60")
                .header("etag", "\"1\"")
        });
        world.get("/a").await;
        for mode in order {
            world.purge_url("/a", *mode).await;
        }
        world.get("/a").await.expect_short("2", "fwd=uri-miss; stored");
        assert!(!world.origin.last().is_conditional());
    }
}

#[tokio::test(start_paused = true)]
async fn pur_30_a_purge_takes_the_marker_along() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("private").cc("private"),
        _ => Reply::ok("a").cc("max-age=60").after(ms(100)),
    });
    world.get("/a").await;
    world.purge_url("/a", PurgeMode::Hard).await;
    let first = world.start("/a").await;
    let second = world.start("/a").await;
    assert_eq!(world.origin.count(), 2, "they are collapsed");
    done(first).await.expect_short("a", "fwd=uri-miss; stored");
    done(second).await.expect_short("a", "fwd=uri-miss; collapsed");
}

#[tokio::test(start_paused = true)]
async fn pur_31_a_second_purge_does_not_hide_the_first() {
    for mode in MODES {
        let (world, gate) = gated(true);
        let first = world.start("/a").await;
        world.purge_key("t", mode).await;
        let second = world.start("/a").await;
        world.purge_key("t", mode).await;
        gate.open();
        assert_eq!(done(first).await.body, "1");
        assert_eq!(done(second).await.body, "2");
        assert_eq!(world.origin.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn pur_32_soft_purges_do_not_prolong_the_window() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=600, stale-while-revalidate=30"));
    world.get("/a").await;
    for _ in 0..3 {
        world.purge_url("/a", PurgeMode::Soft).await;
        pass(secs(20)).await;
    }
    world.get("/a").await.expect_short("2", "fwd=stale; stored");
}

#[tokio::test(start_paused = true)]
async fn pur_33_soft_block_blocks_while_the_origin_is_there_and_serves_when_it_is_not() {
    let world = World::new(|call| match call.n {
        3.. => Reply::fail(Refused("down")),
        n => Reply::ok(n.to_string()).cc("max-age=600, stale-while-revalidate=600"),
    });
    world.get("/a").await;
    let order = || {
        Order::publish(channel("c"), gripstack::Message::bytes("x"))
            .and_purge(Target::Url(Url::new(HOST, "/a")), PurgeMode::SoftBlock)
    };
    world.edge.submit(order()).await.expect("accepted");
    world.get("/a").await.expect_short("2", "fwd=stale; stored");
    world.edge.submit(order()).await.expect("accepted");
    let got = world.get("/a").await;
    assert_eq!(got.body, "2");
    assert!(
        got.cache_status().ends_with("detail=outage"),
        "{}",
        got.cache_status()
    );
}

#[tokio::test(start_paused = true)]
async fn a_soft_purge_ends_what_must_be_revalidated() {
    for mode in [PurgeMode::Soft, PurgeMode::SoftBlock] {
        let world = World::new(|call| match call.n {
            1 => Reply::ok("a").cc("max-age=600, must-revalidate"),
            _ => Reply::fail(Refused("down")),
        });
        world.get("/a").await;
        world.purge_url("/a", mode).await;
        let error = world
            .try_response("/a")
            .await
            .expect_err("it must be revalidated");
        assert_eq!(error, Refused("down"));
        // Also in the pause after the failure.
        assert!(world.try_response("/a").await.is_err());
    }
}

/// PUR-06's cousin: those who wait when the purge comes get the answer; the next one does not.
#[tokio::test(start_paused = true)]
async fn a_purge_while_many_wait_costs_one_more_request() {
    let (world, gate) = gated(true);
    let mut before = Vec::new();
    for _ in 0..10 {
        before.push(world.start("/a").await);
    }
    world.purge_url("/a", PurgeMode::Hard).await;
    let mut after = Vec::new();
    for _ in 0..10 {
        after.push(world.start("/a").await);
    }
    gate.open();
    for client in before {
        assert_eq!(done(client).await.body, "1");
    }
    for client in after {
        assert_eq!(done(client).await.body, "2");
    }
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_purge_by_a_channel_takes_what_names_it() {
    let world = World::new(|call| {
        let reply = Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", "accept");
        match call.header("accept") {
            Some("text/event-stream") => reply.header("grip-hold", "stream").header("grip-channel", "c"),
            _ => reply,
        }
    });
    // The channel is learned from one variant, and counts for all.
    let sse = || get("/a").header("accept", "text/event-stream");
    world.get("/a").await;
    world.get(sse()).await;
    world.get("/a").await.expect_short("1", "hit");
    world.purge_key("ch:c", PurgeMode::Hard).await;
    world.get("/a").await.expect_short("3", "fwd=uri-miss; stored");
    world.get(sse()).await.expect_short("4", "fwd=uri-miss; stored");
}

#[tokio::test(start_paused = true)]
async fn two_nested_routers_with_equal_paths_share_no_keys() {
    let edge = gripstack::Edge::new();
    let router = |name: &'static str| {
        let layer = edge.cache_layer().namespace(name);
        axum::Router::new()
            .route(
                "/x",
                axum::routing::get(move || async move {
                    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
                    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    ([("cache-control", "max-age=60")], format!("{name} {n}"))
                }),
            )
            .layer(layer)
    };
    let app = axum::Router::new()
        .nest("/one", router("/one"))
        .nest("/two", router("/two"));
    let fetch = async |path: &str| {
        let (parts, body) = get(path).into_request().into_parts();
        let request = http::Request::from_parts(parts, axum::body::Body::new(body));
        let response = tower::ServiceExt::oneshot(app.clone(), request)
            .await
            .expect("infallible");
        Got::of(response.map(gripstack::EdgeBody::new)).await.body
    };
    let (one, two) = (fetch("/one/x").await, fetch("/two/x").await);
    assert_eq!((one.as_str(), two.as_str()), ("/one 0", "/two 1"));
    let purge = async |path: &str| {
        let target = Target::Url(Url::new(HOST, path));
        edge.purge(target, PurgeMode::Hard).await.expect("accepted")
    };
    purge("/one/x").await;
    assert_eq!(fetch("/two/x").await, two);
    assert_ne!(fetch("/one/x").await, one);
    purge("/x").await;
    assert_eq!(fetch("/two/x").await, two, "no public URL has this path");
}

#[tokio::test(start_paused = true)]
async fn a_purge_of_a_query_that_is_no_text_takes_no_other() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=600"));
    for url in ["/a?h=%FF", "/a?h=%FE", "/a?h=x"] {
        world.get(url).await;
    }
    world.purge_url("/a?h=%FF", PurgeMode::Hard).await;
    for (url, body) in [("/a?h=x", "3"), ("/a?h=%FE", "2")] {
        world.get(url).await.expect_short(body, "hit");
    }
    assert_eq!(world.get("/a?h=%FF").await.body, "4");
}

//! Stale answers, and origins that fail.

use gripstack::cache::CacheConfig;
use gripstack::{Message, PurgeMode};
use tokio::time::Instant;

use crate::origin::{Gate, Refused, Reply, Step};
use crate::world::{World, channel, done, get, ms, pass, secs, settle};

fn strict() -> CacheConfig {
    CacheConfig::new().outage(None)
}

/// The first request succeeds, with this policy; the others fail.
fn dies_with(config: CacheConfig, policy: &'static str) -> World {
    World::config(config, move |call| match call.n {
        1 => Reply::ok("a")
            .cc(policy)
            .header("grip-hold", "stream")
            .header("grip-channel", "c"),
        _ => Reply::fail(Refused("down")),
    })
}

#[tokio::test(start_paused = true)]
async fn sta_01_an_outage_does_not_end_what_s_maxage_ends() {
    let world = dies_with(CacheConfig::default(), "s-maxage=600");
    world.get(get("/a").by_hold()).await;
    pass(secs(601)).await;
    for n in 0..3 {
        let got = world.get(get("/a").by_hold()).await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "a"));
        assert_eq!(got.field("age"), "601");
        let expected = match n {
            0 => "gripstack; fwd=stale; ttl=-1; detail=outage",
            _ => "gripstack; hit; ttl=-1; detail=outage",
        };
        assert_eq!(got.cache_status(), expected);
        let hold = got.handed().instruct.hold.as_ref().expect("a hold");
        assert_eq!(hold.channels[0].name, channel("c"));
    }
    // A day after its end it is over.
    pass(secs(24 * 3600)).await;
    assert!(world.try_response(get("/a").by_hold()).await.is_err());

    let world = dies_with(strict(), "s-maxage=600");
    world.get("/a").await;
    pass(secs(601)).await;
    assert_eq!(world.try_response("/a").await.expect_err("down"), Refused("down"));
}

#[tokio::test(start_paused = true)]
async fn sta_02_must_revalidate_and_no_cache_are_never_overridden() {
    for policy in [
        "max-age=60, must-revalidate",
        "max-age=60, must-revalidate, stale-if-error=600, stale-while-revalidate=600",
        "max-age=60, no-cache",
    ] {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("a").cc(policy).header("etag", "\"1\""),
            _ => Reply::fail(Refused("down")),
        });
        world.get("/a").await;
        pass(secs(61)).await;
        for _ in 0..2 {
            assert!(world.try_response("/a").await.is_err(), "{policy}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sta_03_an_error_with_a_lifetime_does_not_replace_what_can_still_be_served() {
    for (vary, error_vary) in [(false, false), (true, false), (true, true)] {
        let world = World::new(move |call| {
            let reply = match call.n {
                1 => Reply::ok("good").cc("max-age=60, stale-if-error=60"),
                2..5 => Reply::ok("bad").code(503).cc("max-age=300"),
                _ => Reply::ok("better").cc("max-age=60"),
            };
            match call.n == 1 && vary || call.n > 1 && error_vary {
                true => reply.header("vary", "accept"),
                false => reply,
            }
        });
        let ask = || get("/a").header("accept", "text/plain");
        world.get(ask()).await;
        pass(secs(61)).await;
        let got = world.get(ask()).await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "good"));
        assert_eq!(got.in_short().1, "fwd=stale; fwd-status=503; detail=outage");
        assert_eq!(world.get(ask()).await.body, "good");
        // Nor does one that somebody gets: of another variant, which has nothing better.
        world.get(get("/a").header("accept", "text/html")).await;
        assert_eq!(world.get(ask()).await.body, "good", "vary {vary} {error_vary}");
        let mut last = String::new();
        for _ in 0..3 {
            pass(secs(12)).await;
            last = world.get(ask()).await.body;
            assert!(
                last == "good" || last == "better",
                "{last}: vary {vary} {error_vary}"
            );
        }
        assert_eq!(last, "better", "vary {vary} {error_vary}");
    }
}

/// How an origin fails is up to it: `no-store` and cookies are common on error pages.
#[tokio::test(start_paused = true)]
async fn sta_03_an_error_for_nobody_else_does_not_hide_what_can_still_be_served() {
    let replies: [fn() -> Reply; 4] = [
        || Reply::ok("bad").code(503).cc("no-store"),
        || Reply::ok("bad").code(500).cc("private"),
        || Reply::ok("bad").code(502).header("set-cookie", "a=b"),
        || Reply::ok("bad").code(504).cc("no-cache"),
    ];
    for bad in replies {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("good").cc("max-age=60"),
            _ => bad().after(ms(100)),
        });
        world.get("/a").await;
        pass(secs(61)).await;
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(world.start("/a").await);
        }
        for client in clients {
            assert_eq!(done(client).await.body, "good");
        }
        assert_eq!(world.origin.count(), 2);
        world.get("/a").await.expect_short("good", "hit; detail=outage");
        assert_eq!(world.origin.count(), 2, "in the pause");
    }
}

/// An error is kept for as long as it says, up to ten seconds, and then the next one is.
#[tokio::test(start_paused = true)]
async fn sta_03_an_error_replaces_an_error() {
    let world = World::new(move |call| Reply::ok(call.n.to_string()).code(503).cc("max-age=300"));
    for n in 1..4 {
        world.get("/a").await.expect_short(
            &n.to_string(),
            match n {
                1 => "fwd=uri-miss; stored",
                _ => "fwd=stale; stored",
            },
        );
        world.get("/a").await.expect_short(&n.to_string(), "hit");
        pass(secs(11)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sta_04_not_found_is_an_answer_and_replaces() {
    for policy in ["max-age=60", "no-store", ""] {
        for code in [404, 410] {
            let world = World::new(move |call| match call.n {
                1 => Reply::ok("a")
                    .cc("max-age=60, stale-if-error=600")
                    .header("etag", "\"1\""),
                2 if policy.is_empty() => Reply::ok("gone").code(code),
                2 => Reply::ok("gone").code(code).cc(policy),
                _ => Reply::fail(Refused("down")),
            });
            world.get("/a").await;
            pass(secs(61)).await;
            let got = world.get("/a").await;
            assert_eq!((got.status.as_u16(), got.body.as_str()), (code, "gone"));
            pass(secs(61)).await;
            // What is gone does not come back because the origin went, too.
            if let Ok(response) = world.try_response("/a").await {
                assert_eq!(response.status().as_u16(), code, "{policy:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sta_05_no_head_in_time_is_an_error_and_no_body_in_time_is_a_broken_body() {
    let world = World::config(strict(), |call| match call.n {
        1 => Reply::ok("a").cc("max-age=60, stale-if-error=600"),
        2 => Reply::hang(),
        _ => Reply::stream([Step::data("b"), Step::Break("timeout")]).cc("max-age=60"),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    let start = Instant::now();
    let got = world.get("/a").await;
    assert_eq!((got.body.as_str(), start.elapsed()), ("a", secs(15)));
    pass(secs(5)).await;
    let got = world.get("/a").await;
    assert!(got.broken, "{got:?}");
    assert_eq!(got.body, "b");
    // What was there is still there.
    let got = world.get("/a").await;
    assert_eq!((got.body.as_str(), got.broken), ("b", true), "it is asked anew");
}

#[tokio::test(start_paused = true)]
async fn sta_06_a_refresh_that_fails_is_paused() {
    for replies in [
        (|| Reply::fail(Refused("down"))) as fn() -> Reply,
        || Reply::status(503),
        || Reply::status(503).cc("no-store"),
    ] {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("a").cc("max-age=60, stale-while-revalidate=600"),
            _ => replies(),
        });
        world.get("/a").await;
        pass(secs(61)).await;
        for _ in 0..1_000 {
            assert_eq!(world.get("/a").await.body, "a");
            pass(ms(10)).await;
        }
        let attempts = world.origin.count() - 1;
        assert!((2..=5).contains(&attempts), "{attempts} in 10 s");
    }
}

#[tokio::test(start_paused = true)]
async fn sta_07_while_the_origin_fails_hits_do_not_touch_it_and_a_probe_ends_it() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("1").cc("max-age=60"),
        2..5 => Reply::fail(Refused("down")),
        n => Reply::ok(n.to_string()).cc("max-age=60"),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    let (mut attempts, mut last) = (Vec::new(), String::new());
    for step in 0..200 {
        let before = world.origin.count();
        last = world.get("/a").await.body;
        if world.origin.count() > before {
            attempts.push(step / 10);
        }
        pass(ms(100)).await;
    }
    assert_eq!(attempts, [0, 1, 3, 7]);
    assert_eq!(last, "5");
}

#[tokio::test(start_paused = true)]
async fn sta_08_an_age_counts() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60").header("age", "50"));
    let got = world.get("/a").await;
    got.is("1", "gripstack; fwd=uri-miss; ttl=10; stored");
    pass(secs(9)).await;
    let got = world.get("/a").await;
    assert_eq!(got.field("age"), "59");
    got.is("1", "gripstack; hit; ttl=1");
    pass(secs(2)).await;
    world.get("/a").await.expect_short("2", "fwd=stale; stored");
}

#[tokio::test(start_paused = true)]
async fn sta_09_stale_while_revalidate_beside_s_maxage() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("s-maxage=1, stale-while-revalidate=30")
            .after(ms(100))
    });
    world.get("/a").await;
    pass(secs(10)).await;
    let start = Instant::now();
    world.get("/a").await.expect_short("1", "hit; detail=swr");
    world.get("/a").await.expect_short("1", "hit; detail=swr");
    assert_eq!(start.elapsed(), ms(0));
    pass(ms(200)).await;
    world.get("/a").await.expect_short("2", "hit");
    assert_eq!(world.origin.count(), 2);
    pass(secs(40)).await;
    world.get("/a").await.expect_short("3", "fwd=stale; stored");
}

/// What the services below call it does not matter: the cache sees an error.
#[tokio::test(start_paused = true)]
async fn sta_11_every_error_of_the_service_counts() {
    for why in ["no such host", "handshake failed", "reset before the head"] {
        let world = World::config(strict(), move |call| match call.n {
            1 => Reply::ok("a").cc("max-age=60, stale-if-error=60"),
            _ => Reply::fail(Refused(why)),
        });
        world.get("/a").await;
        pass(secs(61)).await;
        world
            .get("/a")
            .await
            .expect_short("a", "fwd=stale; detail=outage");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_flight_that_fails_gets_the_old_answer_like_its_leader() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.n {
        1 => Reply::ok("a").cc("max-age=60"),
        _ => Reply::fail(Refused("down")).gated(&held),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    let clients = [world.start("/a").await, world.start("/a").await];
    gate.open();
    for client in clients {
        done(client).await.expect_short("a", "fwd=stale; detail=outage");
    }
    assert_eq!(world.origin.count(), 2);
}

/// A follower that left a slow flight does not lose the old answer either.
#[tokio::test(start_paused = true)]
async fn who_left_a_slow_flight_still_has_the_old_answer() {
    let world = World::new(move |call| match call.n {
        1 => Reply::ok("a").cc("max-age=60"),
        _ => Reply::fail(Refused("down")).after(secs(10)),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    let clients = [
        world.start("/a").await,
        world.start("/a").await,
        world.start("/a").await,
    ];
    for client in clients {
        assert_eq!(done(client).await.body, "a");
    }
    assert!(world.origin.count() <= 4);
}

#[tokio::test(start_paused = true)]
async fn a_change_just_before_the_outage_keeps_the_last_good_copy() {
    let world = World::new(|call| match (call.method.as_str(), call.n) {
        ("POST", _) => Reply::ok("posted"),
        (_, 1) => Reply::ok("a")
            .cc("s-maxage=600")
            .header("grip-hold", "stream")
            .header("grip-channel", "c"),
        _ => Reply::fail(Refused("down")),
    });
    world.get(get("/a").by_hold()).await;
    world.purge_url("/a", PurgeMode::SoftBlock).await;
    world
        .edge
        .publish(channel("c"), Message::bytes("x"))
        .await
        .expect("accepted");
    for _ in 0..3 {
        let got = world.get(get("/a").by_hold()).await;
        assert_eq!(got.body, "a");
        got.handed();
    }
    settle().await;
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn sta_04_an_answer_about_the_resource_ends_the_old_one_although_it_is_not_stored() {
    for code in [301, 302, 303, 307, 308, 404, 410, 451] {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("old").cc("max-age=1"),
            2 => Reply::status(code).cc("no-store").header("location", "/b"),
            _ => Reply::status(503),
        });
        world.get("/a").await;
        pass(secs(2)).await;
        assert_eq!(world.get("/a").await.status, code);
        let got = world.get("/a").await;
        assert_eq!(got.status, 503, "{code}: {got:?}");
    }
}

/// Error pages name other fields than pages do: those that their own coding depends on.
#[tokio::test(start_paused = true)]
async fn sta_03_an_error_that_varies_does_not_hide_what_can_still_be_served() {
    for (of_page, of_error) in [
        ("", "accept-encoding"),
        ("accept", "accept-encoding"),
        ("", "cookie"),
    ] {
        let world = World::new(move |call| {
            let vary = if call.n == 1 { of_page } else { of_error };
            let reply = match call.n {
                1 => Reply::ok("good").cc("max-age=60"),
                _ => Reply::ok("bad").code(503),
            };
            match vary {
                "" => reply,
                vary => reply.header("vary", vary),
            }
        });
        world.get("/a").await;
        pass(secs(61)).await;
        for _ in 0..3 {
            assert_eq!(world.get("/a").await.body, "good", "{of_page:?} {of_error:?}");
            pass(secs(12)).await;
        }
    }
}

/// What an error says of its variants holds for it as for any answer.
#[tokio::test(start_paused = true)]
async fn sta_03_an_error_goes_to_nobody_who_asked_for_another_coding() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.n {
        1 => Reply::ok("good").cc("max-age=60").header("vary", "accept"),
        _ => Reply::ok(call.header("accept-encoding").unwrap_or("none").to_owned())
            .code(503)
            .cc("max-age=5")
            .header("vary", "accept-encoding")
            .gated(&held),
    });
    world.get("/a").await;
    let ask = |coding| get("/a").header("accept", "b").header("accept-encoding", coding);
    let gzip = world.start(ask("gzip")).await;
    let identity = world.start(ask("identity")).await;
    gate.open();
    assert_eq!(done(gzip).await.body, "gzip");
    assert_eq!(done(identity).await.body, "identity");
    settle().await;
    assert_eq!(world.get(ask("identity")).await.body, "identity");
    world.get("/a").await.expect_short("good", "hit");
}

/// Its body was still arriving when the next fetch failed.
#[tokio::test(start_paused = true)]
async fn sta_03_an_error_does_not_keep_a_page_out_that_comes_later() {
    for of_error in ["", "accept-encoding"] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| {
            let reply = match call.n {
                1 => {
                    let steps = [Step::data("go"), Step::Wait(held.clone()), Step::data("od")];
                    return Reply::stream(steps).cc("max-age=60");
                }
                _ => Reply::ok("bad").code(503).cc("max-age=300"),
            };
            match of_error {
                "" => reply,
                vary => reply.header("vary", vary),
            }
        });
        let first = world.start("/a").await;
        world.purge_url("/a", PurgeMode::SoftBlock).await;
        assert_eq!(world.get("/a").await.body, "bad", "it has nothing better yet");
        gate.open();
        assert_eq!(done(first).await.body, "good");
        settle().await;
        for _ in 0..2 {
            assert_eq!(world.get("/a").await.body, "good", "{of_error:?}");
            pass(secs(12)).await;
        }
    }
}

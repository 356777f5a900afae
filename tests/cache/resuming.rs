//! Where a client left off (rule D7) is its own affair: no answer that others get is made of it.

use gripstack::PurgeMode;

use crate::origin::{Call, Gate, Reply};
use crate::world::{Ask, World, done, get, head, pass, secs, settle};

const FIELDS: [&str; 2] = ["last-event-id", "grip-last"];

/// An answer that says from where it goes on.
fn since(call: &Call) -> Reply {
    let id = FIELDS.iter().find_map(|name| call.header(name));
    Reply::ok(format!("since {}", id.unwrap_or("the start")))
}

/// A request of a client, or for `Grip-Last` of the hold layer, that goes on after 41.
fn resuming(name: &'static str) -> Ask {
    let ask = get("/a").header(name, "41");
    match name {
        "grip-last" => ask.by_hold(),
        _ => ask,
    }
}

/// One that does not.
fn plain(name: &str) -> Ask {
    match name {
        "grip-last" => get("/a").by_hold(),
        _ => get("/a"),
    }
}

#[tokio::test(start_paused = true)]
async fn d7_who_comes_first_shapes_nothing() {
    for name in FIELDS {
        let world = World::new(|call| since(call).cc("max-age=60"));
        for ask in [resuming(name), plain(name), resuming(name)] {
            assert_eq!(world.get(ask).await.body, "since the start", "{name}");
        }
        assert_eq!(world.origin.count(), 1, "{name}");
        assert!(world.origin.last().header(name).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn d7_nor_does_it_shape_what_it_waits_for_together_with_others() {
    for name in FIELDS {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| since(call).cc("max-age=0").gated(&held));
        let leads = world.start(resuming(name)).await;
        let waits = world.start(plain(name)).await;
        gate.open();
        for client in [leads, waits] {
            assert_eq!(done(client).await.body, "since the start", "{name}");
        }
        assert_eq!(world.origin.count(), 1);
    }
}

/// A revalidation, one in the background, a refetch after a purge.
#[tokio::test(start_paused = true)]
async fn d7_nor_what_is_fetched_anew() {
    for name in FIELDS {
        for policy in ["max-age=60", "max-age=60, stale-while-revalidate=600"] {
            let world =
                World::new(move |call| since(call).cc(policy).header("etag", &format!("\"{}\"", call.n)));
            world.get(plain(name)).await;
            pass(secs(61)).await;
            world.get(resuming(name)).await;
            settle().await;
            assert_eq!(
                world.get(plain(name)).await.body,
                "since the start",
                "{name} {policy}"
            );
            world.purge_url("/a", PurgeMode::Hard).await;
            world.get(resuming(name)).await;
            assert_eq!(
                world.get(plain(name)).await.body,
                "since the start",
                "{name} {policy}"
            );
            assert!(
                world
                    .origin
                    .calls()
                    .iter()
                    .all(|call| call.header(name).is_none())
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn d7_nor_what_passes_and_becomes_storable() {
    for name in FIELDS {
        for policy in ["no-store", "private"] {
            let world = World::new(move |call| match call.n {
                1 => since(call).cc(policy),
                _ => since(call).cc("max-age=60"),
            });
            world.get(plain(name)).await;
            settle().await;
            world.get(resuming(name)).await;
            settle().await;
            assert_eq!(
                world.get(plain(name)).await.body,
                "since the start",
                "{name} {policy}"
            );
        }
    }
}

/// What is validated for each request is stored, too.
#[tokio::test(start_paused = true)]
async fn d7_nor_what_is_kept_to_be_validated() {
    for name in FIELDS {
        let world = World::new(move |call| match call.header("if-none-match") == Some("\"1\"") {
            true => Reply::not_modified().cc("no-cache").header("etag", "\"1\""),
            false => since(call).cc("no-cache").header("etag", "\"1\""),
        });
        world.get(resuming(name)).await;
        settle().await;
        assert_eq!(world.get(plain(name)).await.body, "since the start", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn d7_a_head_shapes_nothing_either() {
    let world = World::new(|call| {
        let id = call.header("last-event-id").unwrap_or("none").to_owned();
        Reply::ok("a").cc("max-age=60").header("x-since", &id)
    });
    let got = world.get(head("/a").header("last-event-id", "41")).await;
    assert_eq!(got.field("x-since"), "none");
    settle().await;
    assert_eq!(world.get("/a").await.field("x-since"), "none");
}

#[tokio::test(start_paused = true)]
async fn d7_unless_vary_names_it() {
    for name in FIELDS {
        let world = World::new(move |call| since(call).cc("max-age=60").header("vary", name));
        for _ in 0..3 {
            assert_eq!(world.get(resuming(name)).await.body, "since 41", "{name}");
            assert_eq!(world.get(plain(name)).await.body, "since the start", "{name}");
        }
        // What comes first is asked for without it, for nobody knows yet that it counts.
        assert!(world.origin.count() <= 3, "{name}: {}", world.origin.count());
    }
}

/// An answer that is for one client is made for that client.
#[tokio::test(start_paused = true)]
async fn d7_who_gets_an_answer_of_its_own_gets_it_from_where_it_left_off() {
    for name in FIELDS {
        for policy in ["no-store", "private"] {
            let world = World::new(move |call| since(call).cc(policy));
            // Asked twice: what comes first is asked for without it.
            assert_eq!(
                world.get(resuming(name)).await.body,
                "since 41",
                "{name} {policy}"
            );
            assert_eq!(world.origin.count(), 2);
            settle().await;
            for n in 3..5 {
                assert_eq!(world.get(resuming(name)).await.body, "since 41");
                assert_eq!(world.origin.count(), n, "{name} {policy}");
            }
            assert_eq!(world.get(plain(name)).await.body, "since the start");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn d7_and_who_waits_beside_one_that_turns_out_private_keeps_its_own() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| {
        let reply = since(call).cc("private");
        if call.n == 1 { reply.gated(&held) } else { reply }
    });
    let leads = world.start("/a").await;
    let waits = world.start(get("/a").header("last-event-id", "7")).await;
    gate.open();
    assert_eq!(done(leads).await.body, "since the start");
    assert_eq!(done(waits).await.body, "since 7");
    assert_eq!(world.origin.count(), 2);
}

/// No client can say what the hold layer says.
#[tokio::test(start_paused = true)]
async fn d7_grip_last_of_a_client_reaches_nobody() {
    for policy in ["max-age=60", "no-store"] {
        let world = World::new(move |call| since(call).cc(policy));
        for _ in 0..2 {
            let got = world.get(get("/a").header("grip-last", "41")).await;
            assert_eq!(got.body, "since the start");
            settle().await;
        }
    }
}

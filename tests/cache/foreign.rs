//! Answers that a foreign cache below may have kept (rule X1): they are as old as their `Age` says.

use gripstack::error::BehindCache;
use gripstack::{Position, PurgeMode, Target, Url};

use crate::origin::{Call, Gate, Reply};
use crate::world::{Ask, Got, HOST, World, done, get, head, pass, secs, settle};

const MARK: &str = "detail=foreign-age";

/// What a foreign cache answers: fresh for ten minutes, made so many seconds ago.
fn aged(call: &Call, age: &str) -> Reply {
    Reply::ok(call.n.to_string())
        .cc("s-maxage=600")
        .header("age", age)
        .header("surrogate-key", "k")
}

fn held(call: &Call, age: &str, mode: &str) -> Reply {
    aged(call, age)
        .header("grip-hold", mode)
        .header("grip-channel", "c")
}

fn by_hold() -> Ask {
    get("/a").by_hold()
}

/// It has a mark, and nobody else will get it as fresh.
#[track_caller]
fn is_marked(got: &Got) {
    let status = got.cache_status();
    assert!(status.contains(MARK) && !status.contains("hit"), "{status}");
}

#[track_caller]
fn is_unmarked(got: &Got) {
    assert!(!got.cache_status().contains("detail="), "{}", got.cache_status());
}

#[tokio::test(start_paused = true)]
async fn x1_a_replay_starts_where_the_copy_may_have_been_made() {
    for (ago, age, is_replayed) in [
        // The foreign cache counts from when it got the answer, which may have taken 15 s, in whole seconds.
        (1, "0", true),
        (15, "0", true),
        (40, "0", false),
        (31, "30", true),
        (40, "30", true),
        (100, "30", false),
        (40, " 30, 1", true),
        // No number: it may be of any time.
        (500, "soon", true),
        (500, "-1", true),
        (500, "99999999999999999999999", true),
    ] {
        let world = World::new(move |call| held(call, age, "stream"));
        pass(secs(1_000)).await;
        let position = world.publish("c").await;
        pass(secs(ago)).await;
        // A miss; an entry; one that was fetched in the background.
        for n in 0..3 {
            let got = world.get(by_hold()).await;
            let stamp = got.handed().stamp;
            assert_eq!(stamp.replay < position, is_replayed, "{ago} {age} {n}: {stamp:?}");
            assert!(stamp.replay <= stamp.at, "{stamp:?}");
            settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn x1_without_age_where_the_origin_is_said_to_be_behind_a_cache() {
    for is_behind in [false, true] {
        let world = World::new(move |call| {
            let reply = Reply::ok(call.n.to_string())
                .cc("s-maxage=600")
                .header("grip-hold", "stream")
                .header("grip-channel", "c");
            match is_behind {
                true => reply.extension(BehindCache),
                false => reply,
            }
        });
        pass(secs(60)).await;
        let position = world.publish("c").await;
        pass(secs(10)).await;
        let got = world.get(by_hold()).await;
        assert_eq!(got.handed().stamp.replay < position, is_behind);
    }
}

#[tokio::test(start_paused = true)]
async fn x1_where_nothing_happened_since_it_is_an_answer_like_any() {
    let world = World::new(|call| aged(call, "30"));
    world.purge_url("/a", PurgeMode::Hard).await;
    world.publish("c").await;
    pass(secs(100)).await;
    world
        .get("/a")
        .await
        .is("1", "gripstack; fwd=uri-miss; ttl=570; stored");
    let got = world.get("/a").await;
    assert_eq!(got.field("age"), "30");
    got.is("1", "gripstack; hit; ttl=570");
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn x1_after_a_message_a_plain_reader_gets_it_marked_and_it_is_not_kept_as_fresh() {
    let asks: [fn() -> Ask; 2] = [|| get("/a"), || head("/a")];
    for ask in asks {
        let world = World::new(|call| held(call, "30", "stream"));
        pass(secs(60)).await;
        world.publish("c").await;
        pass(secs(10)).await;
        for n in 1..4 {
            is_marked(&world.get(ask()).await);
            assert_eq!(world.origin.count(), n, "it is asked for again");
            pass(secs(2)).await;
        }
        // By now it was made after the message, whenever that was.
        pass(secs(60)).await;
        is_unmarked(&world.get("/a").await);
        let before = world.origin.count();
        assert_eq!(world.get("/a").await.in_short().1, "hit");
        assert_eq!(world.origin.count(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn x1_a_refill_after_a_purge_is_no_hit() {
    let targets = [
        Target::Url(Url::new(HOST, "/a")),
        Target::Key("k".into()),
        Target::Everything,
    ];
    for target in targets {
        for mode in [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft] {
            for known in [false, true] {
                let world = World::new(|call| aged(call, "30"));
                pass(secs(60)).await;
                if known {
                    world.get("/a").await;
                }
                world.purge(target.clone(), mode).await;
                pass(secs(10)).await;
                let before = world.origin.count();
                for n in 1..3 {
                    is_marked(&world.get("/a").await);
                    settle().await;
                    assert_eq!(world.origin.count(), before + n, "{target:?} {mode:?} {known}");
                }
                pass(secs(60)).await;
                is_unmarked(&world.get("/a").await);
                assert_eq!(world.get("/a").await.in_short().1, "hit");
            }
        }
    }
}

/// Who waited for a fetch that began after all of them came has no younger one to hope for.
#[tokio::test(start_paused = true)]
async fn x1_all_who_waited_for_one_take_it_marked() {
    for by_hold in [false, true] {
        let gate = Gate::new();
        let waits = gate.clone();
        let world = World::new(move |call| held(call, "30", "response").gated(&waits));
        let ask = || match by_hold {
            true => get("/a").by_hold(),
            false => get("/a"),
        };
        pass(secs(60)).await;
        world.purge_url("/a", PurgeMode::Hard).await;
        world.publish("c").await;
        pass(secs(1)).await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(world.start(ask()).await);
        }
        gate.open();
        for client in clients {
            let got = done(client).await;
            assert_eq!(got.body, "1");
            is_marked(&got);
        }
        assert_eq!(world.origin.count(), 1, "{by_hold}");
        settle().await;
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn x1_who_came_after_a_purge_that_came_after_its_start_does_not_take_it() {
    let gate = Gate::new();
    let waits = gate.clone();
    let world = World::new(move |call| match call.n {
        1 | 2 => aged(call, "30").gated(&waits),
        _ => aged(call, "30"),
    });
    pass(secs(60)).await;
    world.purge_url("/a", PurgeMode::Hard).await;
    let before = world.start("/a").await;
    world.purge_url("/a", PurgeMode::Hard).await;
    let after = [world.start("/a").await, world.start("/a").await];
    gate.open();
    let got = done(before).await;
    assert_eq!(got.body, "1");
    is_marked(&got);
    for client in after {
        let got = done(client).await;
        assert_eq!(got.body, "2");
        is_marked(&got);
    }
    assert_eq!(world.origin.count(), 2);
}

/// A 304 that the foreign cache gives tells what was right when that cache was told so.
#[tokio::test(start_paused = true)]
async fn x1_a_304_with_age_moves_the_stamp_no_further() {
    let world = World::new(|call| {
        let reply = match call.is_conditional() {
            true => Reply::not_modified().header("age", "30"),
            false => Reply::ok(call.n.to_string()),
        };
        reply
            .cc("s-maxage=600")
            .header("etag", "\"1\"")
            .header("surrogate-key", "ch:c")
    });
    pass(secs(60)).await;
    world.get("/a").await;
    world.publish("c").await;
    pass(secs(10)).await;
    for n in 2..4 {
        is_marked(&world.get("/a").await);
        assert!(world.origin.count() >= n, "it is asked for again");
        pass(secs(2)).await;
    }
    pass(secs(60)).await;
    is_unmarked(&world.get("/a").await);
    assert_eq!(world.get("/a").await.in_short().1, "hit");
}

/// A request that passes, and one that is validated for itself, bring no younger answers than others.
#[tokio::test(start_paused = true)]
async fn x1_what_passed_is_not_kept_as_fresh_either() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("1").cc("no-store"),
        _ => aged(call, "30"),
    });
    pass(secs(60)).await;
    world.get("/a").await;
    world.purge_key("k", PurgeMode::Hard).await;
    pass(secs(1)).await;
    assert_eq!(world.get("/a").await.body, "2");
    settle().await;
    let got = world.get("/a").await;
    assert_eq!(got.body, "3");
    is_marked(&got);
}

/// What a 304 stands for is its client's: nobody knows that its tags are none of those that were purged.
#[tokio::test(start_paused = true)]
async fn x1_a_304_for_one_client_is_marked_after_any_purge() {
    for purges in [false, true] {
        let world = World::new(|call| match call.header("if-none-match") {
            Some(_) => Reply::not_modified().header("age", "0"),
            None => Reply::ok("1").cc("no-store").header("etag", "\"1\""),
        });
        world.get(get("/a")).await;
        pass(secs(10)).await;
        if purges {
            world.purge_key("k", PurgeMode::Hard).await;
        }
        let got = world.get(get("/a").header("if-none-match", "\"1\"")).await;
        assert_eq!(got.status, 304);
        assert_eq!(
            got.cache_status().contains(MARK),
            purges,
            "{}",
            got.cache_status()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn x1_a_hold_that_needs_a_younger_one_takes_what_there_is_and_does_not_loop() {
    for mode in ["stream", "response"] {
        let world = World::new(move |call| held(call, "30", mode));
        pass(secs(60)).await;
        world.get(by_hold()).await;
        let position = world.publish("c").await;
        pass(secs(1)).await;
        let got = world.get(get("/a").at_least(position)).await;
        assert!(got.handed().stamp.replay < position);
        assert!(world.origin.count() <= 3, "{} requests", world.origin.count());
        assert_eq!(got.status, 200);
    }
    // Nor does what runs in the background.
    let world = World::new(|call| held(call, "30", "stream"));
    world.publish("c").await;
    for _ in 0..10 {
        let got = world.get(by_hold()).await;
        assert_eq!(got.handed().stamp.replay, Position::ZERO);
        settle().await;
    }
    assert!(world.origin.count() <= 3, "{} requests", world.origin.count());
}

/// A hold replays what the answer lacks, also one that is for its client alone; a plain reader does not.
#[tokio::test(start_paused = true)]
async fn x1_what_is_for_one_client_is_marked_where_nothing_replays_what_it_lacks() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("no-store")
            .header("age", "0")
            .header("grip-hold", "stream")
            .header("grip-channel", "c")
    });
    // Its channels become the URL's as long as this is remembered.
    world.get(by_hold()).await;
    pass(secs(60)).await;
    world.publish("c").await;
    let plain = world.get("/a").await;
    assert!(plain.cache_status().ends_with("detail=foreign-age"), "{plain:?}");
    let held = world.get(by_hold()).await;
    assert!(held.cache_status().ends_with("detail=no-store"), "{held:?}");
    // A purge is nothing that could be replayed.
    world.purge_url("/a", PurgeMode::Hard).await;
    for ask in [get("/a"), by_hold()] {
        let got = world.get(ask).await;
        assert!(got.cache_status().ends_with("detail=foreign-age"), "{got:?}");
    }
}

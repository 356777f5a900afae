//! `no-cache` (RFC 9111 5.2.2.4): kept, and never given to anybody for whom the origin was not asked.

use gripstack::PurgeMode;
use http::Method;

use crate::origin::{Call, Gate, Reply, Step};
use crate::world::{World, ask, done, get, head, pass, secs, settle};

const FIRST: &str = "fwd=uri-miss; stored";
const CONFIRMED: &str = "fwd=stale; fwd-status=304; stored";

/// Answers a condition that names the tag of `version` with 304.
fn tagged(call: &Call, version: &str) -> Reply {
    let tag = format!("\"{version}\"");
    let reply = match call.header("if-none-match") == Some(&tag) {
        true => Reply::not_modified(),
        false => Reply::ok(version.to_owned()),
    };
    reply.cc("no-cache").header("etag", &tag)
}

#[tokio::test(start_paused = true)]
async fn it_is_validated_for_each_request() {
    for policy in [
        "no-cache",
        "no-cache, max-age=60",
        "public, no-cache, s-maxage=60, stale-while-revalidate=60",
    ] {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("a").cc(policy).header("etag", "\"1\""),
            2 | 3 => Reply::not_modified().header("etag", "\"1\""),
            _ => Reply::ok("b").cc(policy).header("etag", "\"2\""),
        });
        world.get("/a").await.expect_short("a", FIRST);
        for n in 2..4 {
            world.get("/a").await.expect_short("a", CONFIRMED);
            assert_eq!(world.origin.count(), n);
            assert_eq!(world.origin.last().header("if-none-match"), Some("\"1\""));
        }
        world.get("/a").await.expect_short("b", "fwd=stale; stored");
        settle().await;
        world.get("/a").await;
        assert_eq!(
            world.origin.last().header("if-none-match"),
            Some("\"2\""),
            "{policy}"
        );
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn last_modified_validates_it_as_well() {
    const OLD: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    let world = World::new(|call| match call.header("if-modified-since") {
        Some(OLD) => Reply::not_modified(),
        _ => Reply::ok("a").cc("no-cache").header("last-modified", OLD),
    });
    world.get("/a").await.expect_short("a", FIRST);
    world.get("/a").await.expect_short("a", CONFIRMED);
}

#[tokio::test(start_paused = true)]
async fn clients_that_have_it_are_told_so() {
    let world = World::new(|call| tagged(call, "1"));
    for _ in 0..2 {
        let got = world.get(get("/a").header("if-none-match", "\"1\"")).await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (304, ""));
        settle().await;
    }
    let got = world.get(head("/a")).await;
    assert_eq!((got.status.as_u16(), got.field("content-length")), (200, "1"));
    assert_eq!(world.origin.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn its_body_streams_to_the_one_who_asked() {
    let world = World::new(|call| match call.is_conditional() {
        true => Reply::not_modified(),
        false => Reply::stream([Step::data("a"), Step::Pause(secs(5)), Step::data("b")])
            .cc("no-cache")
            .header("etag", "\"1\""),
    });
    let slow = world.start("/a").await;
    // What has arrived of it is nobody else's.
    let other = world.start("/a").await;
    assert_eq!(world.origin.count(), 2);
    for task in [slow, other] {
        done(task).await.expect_short("ab", FIRST);
    }
    settle().await;
    world.get("/a").await.expect_short("ab", CONFIRMED);
    world.is_idle();
}

/// Nobody gets what another one asked for, and nobody waits for it either.
#[tokio::test(start_paused = true)]
async fn those_who_come_together_are_each_validated_at_once() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.n {
        1 => tagged(call, "1"),
        _ => tagged(call, "1").gated(&held),
    });
    world.get("/a").await;
    settle().await;
    let tasks = [
        world.start("/a").await,
        world.start("/a").await,
        world.start("/a").await,
    ];
    assert_eq!(world.origin.open_calls(), 3);
    assert!(world.origin.calls()[1..].iter().all(Call::is_conditional));
    gate.open();
    for task in tasks {
        done(task).await.expect_short("1", CONFIRMED);
    }
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn those_who_come_together_to_an_unknown_one_ask_each_for_themselves() {
    let world = World::new(|call| tagged(call, &call.n.to_string()).after(secs(1)));
    let first = world.start("/a").await;
    let second = world.start("/a").await;
    let (first, second) = (done(first).await, done(second).await);
    assert_eq!((first.body.as_str(), second.body.as_str()), ("1", "2"));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn it_is_never_given_when_the_origin_fails() {
    for code in [500, 503] {
        let world = World::new(move |call| match call.n {
            1 => tagged(call, "1"),
            _ => Reply::ok("no").code(code),
        });
        world.get("/a").await;
        for _ in 0..2 {
            assert_eq!(world.get("/a").await.status, code);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_not_kept_for_one_user_or_without_a_validator() {
    for (name, value, cc) in [
        ("set-cookie", "a=b", "no-cache"),
        ("x-nothing", "", "no-cache"),
        ("x-nothing", "", "no-cache, private"),
        ("x-nothing", "", "no-cache, no-store"),
    ] {
        let world = World::new(move |call| {
            let reply = Reply::ok(call.n.to_string()).cc(cc).header(name, value);
            match cc == "no-cache" && name != "set-cookie" {
                true => reply,
                false => reply.header("etag", "\"1\""),
            }
        });
        for n in ["1", "2"] {
            let got = world.get("/a").await;
            assert_eq!(got.body, n);
            assert!(
                got.cache_status().contains("stored=?0"),
                "{cc} {name}: {}",
                got.cache_status()
            );
            assert!(!world.origin.last().is_conditional());
        }
        world.is_empty();
    }
}

/// The old answer could have been given for a while; the new one, and it, no longer.
#[tokio::test(start_paused = true)]
async fn it_takes_the_place_of_what_needed_no_validation() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("a")
            .cc("max-age=10, stale-while-revalidate=600")
            .header("etag", "\"1\""),
        2 => Reply::not_modified().cc("no-cache").header("etag", "\"1\""),
        _ => tagged(call, "1"),
    });
    world.get("/a").await;
    pass(secs(11)).await;
    world.get("/a").await.expect_short("a", "hit; detail=swr");
    settle().await;
    world.get("/a").await.expect_short("a", CONFIRMED);
    assert_eq!(world.origin.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn purges_and_unsafe_methods_end_it() {
    for mode in [PurgeMode::Hard, PurgeMode::Soft, PurgeMode::SoftBlock] {
        let world = World::new(|call| tagged(call, "1"));
        world.get("/a").await;
        world.purge_url("/a", mode).await;
        // A strong tag tells that nothing changed; what was purged hard is not there to be confirmed.
        world.get("/a").await;
        assert_eq!(
            world.origin.last().is_conditional(),
            mode != PurgeMode::Hard,
            "{mode:?}"
        );
        settle().await;
        world.get("/a").await.expect_short("1", CONFIRMED);
    }
    let world = World::new(|call| tagged(call, "1"));
    world.get("/a").await;
    world.get(ask(Method::POST, "/a")).await;
    world.get("/a").await.expect_short("1", CONFIRMED);
}

/// C4: what left before a hard purge confirms nothing after it.
#[tokio::test(start_paused = true)]
async fn c4_a_304_that_left_before_a_purge_revives_nothing() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.n {
        1 => tagged(call, "1"),
        2 => tagged(call, "1").gated(&held),
        _ => tagged(call, "2"),
    });
    world.get("/a").await;
    let waits = world.start("/a").await;
    world.purge_url("/a", PurgeMode::Hard).await;
    gate.open();
    assert_eq!(done(waits).await.body, "2");
    settle().await;
    // What it brought instead left before the purge as well.
    world.get("/a").await.expect_short("2", FIRST);
    world.get("/a").await.expect_short("2", CONFIRMED);
}

/// M4 paces what serves several. Each of these is asked for anyhow.
#[tokio::test(start_paused = true)]
async fn messages_hold_no_validation_back() {
    let world = World::new(|call| tagged(call, "1").header("surrogate-key", "ch:news"));
    world.get("/a").await;
    for n in 2..6 {
        world.publish("news").await;
        let at = tokio::time::Instant::now();
        let tasks = [world.start("/a").await, world.start("/a").await];
        for task in tasks {
            assert_eq!(done(task).await.body, "1");
        }
        assert_eq!(at.elapsed(), secs(0), "{n}");
        assert_eq!(world.origin.count(), 2 * n - 1);
    }
}

/// Only who comes later must do without them (RFC 9111 5.2.2.4, 5.2.2.7).
#[tokio::test(start_paused = true)]
async fn fields_that_are_named_reach_the_one_who_asked() {
    for (policy, name) in [
        ("max-age=60, no-cache=\"set-cookie\"", "set-cookie"),
        ("max-age=60, private=\"x-user, x-more\"", "x-user"),
        ("no-cache, private=\"x-user\"", "x-user"),
        ("max-age=0, no-cache=\"set-cookie\"", "set-cookie"),
    ] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| {
            let reply = Reply::ok("a").cc(policy).header("etag", "\"1\"");
            let reply = [format!("{}=1", call.n), format!("{}=2", call.n)]
                .iter()
                .fold(reply, |reply, value| reply.header(name, value));
            match call.n {
                1 => reply.gated(&held),
                _ => reply,
            }
        });
        let leads = world.start("/a").await;
        let waits = world.start("/a").await;
        gate.open();
        let values = |got: &crate::world::Got| -> Vec<String> {
            let values = got.headers.get_all(name).iter();
            values
                .map(|value| value.to_str().expect("ascii").to_owned())
                .collect()
        };
        assert_eq!(values(&done(leads).await), ["1=1", "1=2"], "{policy}");
        let others = values(&done(waits).await);
        assert!(!others.contains(&"1=1".to_owned()), "{policy}: {others:?}");
        settle().await;
        let later = world.get("/a").await;
        match policy.contains("max-age=60") {
            true => assert_eq!((values(&later), world.origin.count()), (vec![], 1), "{policy}"),
            false => assert!(!values(&later).contains(&"1=1".to_owned()), "{policy}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fields_that_a_304_names_reach_the_one_who_asked() {
    let world = World::new(|call| {
        let reply = match call.is_conditional() {
            true => Reply::not_modified(),
            false => Reply::ok("a"),
        };
        reply
            .cc("max-age=60, private=\"x-user\"")
            .header("etag", "\"1\"")
            .header("x-user", &call.n.to_string())
    });
    assert_eq!(world.get("/a").await.field("x-user"), "1");
    pass(secs(61)).await;
    assert_eq!(world.get("/a").await.field("x-user"), "2");
    assert_eq!(world.get("/a").await.field("x-user"), "");
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_no_304_for_another_variant() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| {
        let lang = call.header("accept-language").unwrap_or_default().to_owned();
        let tag = format!("\"{lang}\"");
        let has_it = call
            .header("if-none-match")
            .is_some_and(|tags| tags.contains(&tag));
        let reply = match has_it {
            true => Reply::not_modified(),
            false => Reply::ok(lang),
        };
        reply
            .cc("no-cache")
            .header("etag", &tag)
            .header("vary", "accept-language")
            .gated(&held)
    });
    let en = world.start(get("/a").header("accept-language", "en")).await;
    let ask = get("/a")
        .header("accept-language", "de")
        .header("if-none-match", "\"en\", \"fr\"");
    let de = world.start(ask).await;
    gate.open();
    let (en, de) = (done(en).await, done(de).await);
    assert_eq!((en.status.as_u16(), en.body.as_str()), (200, "en"));
    assert_eq!((de.status.as_u16(), de.body.as_str()), (200, "de"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_nothing_of_what_is_for_somebody_else() {
    for code in [200, 203, 300, 301, 404, 405, 410] {
        for cc in ["no-cache", ""] {
            let gate = Gate::new();
            let held = gate.clone();
            let world = World::new(move |call| {
                let who = call.header("cookie").unwrap_or_default().to_owned();
                let reply = Reply::ok(format!("for {who}"))
                    .code(code)
                    .header("etag", "W/\"1\"")
                    .gated(&held);
                if cc.is_empty() { reply } else { reply.cc(cc) }
            });
            let alice = world.start(get("/a").header("cookie", "alice")).await;
            let ask = get("/a")
                .header("cookie", "bob")
                .header("if-none-match", "W/\"1\"");
            let bob = world.start(ask).await;
            gate.open();
            done(alice).await;
            let bob = done(bob).await;
            assert!(!bob.body.contains("alice"), "{code} {cc}: {bob:?}");
            assert_eq!(bob.status == 304, code == 200, "{code} {cc}");
        }
    }
}

//! Which channels make a URL's answers older: all that its answers name, as long as one lives that does.

use gripstack::{PurgeMode, Target};
use http::Response;
use tokio::time::Instant;

use crate::origin::{Call, Gate, Refused, Reply};
use crate::world::{Ask, Got, World, done, get, ms, pass, secs, settle};

fn by_hold() -> Ask {
    get("/a").by_hold()
}

fn sse() -> Ask {
    get("/a").header("accept", "text/event-stream")
}

/// A page that is held on `c`, and that `d` makes older, too.
fn page(call: &Call, mode: &str) -> Reply {
    Reply::ok(call.n.to_string())
        .cc("s-maxage=600")
        .header("grip-hold", mode)
        .header("grip-channel", "c")
        .header("surrogate-key", "x ch:d")
}

/// So many channels, named in this field with this prefix.
fn naming(mut reply: Reply, field: &'static str, prefix: &str, channels: usize) -> Reply {
    for n in 0..channels {
        reply = reply.header(field, &format!("{prefix}{n}"));
    }
    reply
}

fn is_hit(got: &Got) -> bool {
    got.cache_status().contains("; hit")
}

// M1: a message that a hold will not be sent.

#[tokio::test(start_paused = true)]
async fn m1_a_hold_waits_for_what_it_will_not_be_sent() {
    for (published, refetches) in [
        (&["d"][..], true),
        (&["c", "d"], true),
        (&["d", "c"], true),
        (&["c"], false),
    ] {
        for mode in ["stream", "response"] {
            let world = World::new(move |call| page(call, mode).after(ms(5)));
            world.get(by_hold()).await;
            let mut position = world.edge.hub().now();
            for name in published {
                position = world.publish(name).await;
            }
            let start = Instant::now();
            let got = world.get(by_hold()).await;
            // A long poll waits for either (M2).
            let refetches = refetches || mode == "response";
            assert_eq!(
                got.body,
                if refetches { "2" } else { "1" },
                "{mode} {published:?}"
            );
            assert_eq!(got.handed().stamp.at >= position, refetches);
            assert_eq!(start.elapsed() > ms(0), refetches);
            settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m1_a_crowd_of_holds_waits_for_one_fetch_and_for_its_turn() {
    let world = World::new(|call| page(call, "stream").after(ms(5)));
    world.get(by_hold()).await;
    for n in 2..4 {
        world.publish("d").await;
        let start = Instant::now();
        let mut holds = Vec::new();
        for _ in 0..20 {
            holds.push(world.start(by_hold()).await);
        }
        for hold in holds {
            assert_eq!(done(hold).await.body, n.to_string());
        }
        assert_eq!(world.origin.count(), n);
        assert!(start.elapsed() <= ms(1_010), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn m1_with_the_origin_down_the_hold_starts_from_the_old_one_marked() {
    let world = World::new(|call| match call.n {
        1 => page(call, "stream"),
        _ => Reply::fail(Refused("down")),
    });
    world.get(by_hold()).await;
    world.publish("d").await;
    let got = world.get(by_hold()).await;
    got.handed();
    got.expect_short("1", "fwd=stale; detail=outage");
}

#[tokio::test(start_paused = true)]
async fn m1_a_message_on_a_channel_that_it_subscribes_to_is_sent_however_else_it_is_named() {
    for fields in [
        &[("grip-channel", "c"), ("grip-channel", "d")][..],
        &[("grip-channel", "c, d")],
        &[("grip-channel", "c, d"), ("surrogate-key", "ch:d ch:c")],
    ] {
        let world = World::new(move |call| {
            let reply = Reply::ok(call.n.to_string())
                .cc("s-maxage=600")
                .header("grip-hold", "stream");
            fields
                .iter()
                .fold(reply, |reply, (name, value)| reply.header(name, value))
                .after(ms(5))
        });
        let before = world.get(by_hold()).await.handed().stamp;
        world.publish("d").await;
        let got = world.get(by_hold()).await;
        assert_eq!(
            (got.body.as_str(), got.handed().stamp),
            ("1", before),
            "{fields:?}"
        );
    }
}

/// The hold's own bytes know nothing of it: it need not wait.
#[tokio::test(start_paused = true)]
async fn m1_a_channel_of_another_variant_only_refreshes_in_the_background() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| {
        let reply = Reply::ok(call.n.to_string())
            .cc("s-maxage=600")
            .header("vary", "accept");
        let reply = match call.header("accept") {
            Some("text/event-stream") => reply.header("grip-hold", "stream").header("grip-channel", "c"),
            _ => reply.header("surrogate-key", "ch:d"),
        };
        if call.n > 2 { reply.gated(&held) } else { reply }
    });
    world.get(sse().by_hold()).await;
    world.get("/a").await;
    world.publish("d").await;
    let start = Instant::now();
    assert_eq!(world.get(sse().by_hold()).await.body, "1");
    assert_eq!(start.elapsed(), ms(0));
    settle().await;
    assert_eq!(world.origin.open_calls(), 1, "a refresh");
    gate.open();
    settle().await;
    assert_eq!(world.get(sse().by_hold()).await.body, "3");
    assert_eq!(world.get("/a").await.body, "4");
}

#[tokio::test(start_paused = true)]
async fn m1_a_304_can_name_what_a_hold_will_not_be_sent() {
    let world = World::new(|call| {
        let reply = match call.is_conditional() {
            true => Reply::not_modified().header("surrogate-key", "ch:d"),
            false => Reply::ok(call.n.to_string())
                .header("grip-hold", "stream")
                .header("grip-channel", "c"),
        };
        reply
            .cc("s-maxage=60")
            .header("etag", &format!("\"{}\"", 1 + call.n / 3))
    });
    world.get(by_hold()).await;
    pass(secs(61)).await;
    assert_eq!(world.get(by_hold()).await.body, "1");
    let position = world.publish("d").await;
    let got = world.get(by_hold()).await;
    assert!(got.handed().stamp.at >= position, "{:?}", got.handed().stamp);
}

// Limits.

#[tokio::test(start_paused = true)]
async fn each_of_many_channels_of_a_hold_ages_it() {
    for (channels, published) in [
        (25, [0, 19, 20, 21, 24]),
        (64, [0, 20, 31, 62, 63]),
        (200, [0, 20, 64, 198, 199]),
    ] {
        for mode in ["stream", "response"] {
            let world = World::new(move |call| {
                let reply = Reply::ok(call.n.to_string())
                    .cc("s-maxage=600")
                    .header("grip-hold", mode);
                naming(reply, "grip-channel", "c", channels)
            });
            let got = world.get(by_hold()).await;
            let hold = got.handed().instruct.hold.as_ref().expect("a hold");
            assert_eq!(hold.channels.len(), channels, "it is taken whole");
            for n in published {
                world.get("/a").await;
                let position = world.publish(&format!("c{n}")).await;
                let got = world.get("/a").await;
                assert!(!is_hit(&got), "{n} of {channels} {mode}");
                pass(secs(1)).await;
                let got = world.get(by_hold()).await;
                match mode {
                    "response" => assert!(got.handed().stamp.at >= position, "{n} of {channels}"),
                    // It will be sent: from its stamp on.
                    _ => assert!(got.handed().stamp.replay < position || !is_hit(&got)),
                }
                pass(secs(2)).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_of_more_channels_than_there_may_be_is_left_whole_to_the_hold_layer_to_refuse() {
    for mode in ["stream", "response"] {
        let world = World::new(move |call| {
            let reply = Reply::ok(call.n.to_string())
                .cc("s-maxage=600")
                .header("grip-hold", mode);
            naming(reply, "grip-channel", "c", 201)
        });
        for _ in 0..2 {
            let got = world.get(by_hold()).await;
            match &got.handoff {
                Some(handed) => assert_eq!(handed.instruct.channels().len(), 201, "never in part"),
                None => assert_eq!(got.field("grip-hold"), mode),
            }
            settle().await;
        }
        let got = world.get("/a").await;
        assert!(got.headers.keys().all(|name| !name.as_str().starts_with("grip-")));
    }
}

/// Which of them a message was on cannot be told: as if it was one of them.
#[tokio::test(start_paused = true)]
async fn beyond_what_is_remembered_a_message_and_a_purge_of_any_channel_count() {
    for tags in [65, 100, 1_000] {
        let tagged = move |call: &Call| {
            naming(
                Reply::ok(call.n.to_string()).cc("s-maxage=600"),
                "surrogate-key",
                "ch:",
                tags,
            )
        };
        let world = World::new(tagged);
        world.get("/a").await;
        for n in [0, 20, 63, 64, tags - 1] {
            world.publish(&n.to_string()).await;
            assert!(!is_hit(&world.get("/a").await), "a message on {n} of {tags}");
            assert!(is_hit(&world.get("/a").await));
            pass(secs(1)).await;
            for mode in [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft] {
                world.purge_key(&format!("ch:{n}"), mode).await;
                assert!(
                    !is_hit(&world.get("/a").await),
                    "a purge of {n} of {tags}, {mode:?}"
                );
                assert!(is_hit(&world.get("/a").await));
            }
        }
        if tags < 1_000 {
            // What is no channel's says nothing.
            world.purge_key("other", PurgeMode::Hard).await;
            assert!(is_hit(&world.get("/a").await), "{tags}");
        }
    }
}

/// Whether the purge was meant for it is not known: the last good copy stays.
#[tokio::test(start_paused = true)]
async fn beyond_what_is_remembered_a_purge_deletes_nothing_that_it_may_not_have_named() {
    let world = World::new(|call| match call.n {
        1 => naming(Reply::ok("1").cc("s-maxage=600"), "surrogate-key", "ch:", 100),
        _ => Reply::fail(Refused("down")),
    });
    world.get("/a").await;
    for n in 0..10 {
        world
            .purge_key(&format!("ch:somebody-else-{n}"), PurgeMode::Hard)
            .await;
        assert_eq!(world.get("/a").await.body, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn within_what_is_remembered_only_its_own_count() {
    for tags in [1, 20, 64] {
        let world = World::new(move |call| {
            naming(
                Reply::ok(call.n.to_string()).cc("s-maxage=600"),
                "surrogate-key",
                "ch:",
                tags,
            )
        });
        world.get("/a").await;
        world.publish("other").await;
        world.purge_key("ch:other", PurgeMode::Hard).await;
        world.get("/a").await.expect_short("1", "hit");
        world
            .purge_key(&format!("ch:{}", tags - 1), PurgeMode::Hard)
            .await;
        world.get("/a").await.expect_short("2", "fwd=uri-miss; stored");
        world.publish(&(tags - 1).to_string()).await;
        world.get("/a").await.expect_short("3", "fwd=stale; stored");
    }
}

/// Together more than a URL remembers.
#[tokio::test(start_paused = true)]
async fn variants_whose_channels_together_are_too_many_lose_no_message_and_no_purge() {
    let world = World::new(|call| {
        let accept = call.header("accept").unwrap_or("none").to_owned();
        let reply = Reply::ok(call.n.to_string())
            .cc("s-maxage=600")
            .header("vary", "accept");
        naming(reply, "surrogate-key", &format!("ch:{accept}"), 40)
    });
    let asks = ["x", "y", "z"].map(|accept| move || get("/a").header("accept", accept));
    for accept in ["x", "y", "z"] {
        for n in [0, 24, 39] {
            for ask in &asks {
                world.get(ask()).await;
            }
            world.publish(&format!("{accept}{n}")).await;
            for ask in &asks {
                assert!(!is_hit(&world.get(ask()).await), "a message on {accept}{n}");
            }
            pass(secs(1)).await;
            world.purge_key(&format!("ch:{accept}{n}"), PurgeMode::Hard).await;
            let got = world.get(get("/a").header("accept", accept)).await;
            assert!(!is_hit(&got), "a purge of {accept}{n}");
            pass(secs(1)).await;
        }
    }
}

/// Names that change fill nothing: each leaves with the last answer that named it.
#[tokio::test(start_paused = true)]
async fn rotating_names_fill_nothing() {
    for (field, prefix) in [("surrogate-key", "ch:c"), ("grip-channel", "c")] {
        let world = World::new(move |call| {
            Reply::ok(call.n.to_string())
                .cc("s-maxage=10")
                .header(field, &format!("{prefix}{}", call.n))
        });
        for n in 1..=300 {
            world.get("/a").await.expect_short(
                &n.to_string(),
                if n == 1 {
                    "fwd=uri-miss; stored"
                } else {
                    "fwd=stale; stored"
                },
            );
            pass(secs(11)).await;
        }
        world.get("/a").await;
        world.publish("other").await;
        world.purge_key("ch:other", PurgeMode::Hard).await;
        world.get("/a").await.expect_short("301", "hit");
        world.publish("c7").await;
        world.get("/a").await.expect_short("301", "hit");
        world.publish("c301").await;
        assert!(!is_hit(&world.get("/a").await), "{field}");
    }
}

// Answers that are for one client.

/// A stream that is for one client, and a page that is for all.
fn private_stream(name: &'static str, value: &'static str) -> World {
    World::new(move |call| {
        let reply = Reply::ok(call.n.to_string()).header("vary", "accept");
        match call.header("accept") {
            Some("text/event-stream") => reply
                .header(
                    "cache-control",
                    if name == "cache-control" {
                        value
                    } else {
                        "max-age=60"
                    },
                )
                .header(
                    if name == "cache-control" {
                        "x-nothing"
                    } else {
                        name
                    },
                    value,
                )
                .header("grip-hold", "stream")
                .header("grip-channel", "c"),
            _ => reply.cc("s-maxage=600"),
        }
    })
}

/// With all that the hold layer would keep.
async fn held(world: &World, ask: Ask) -> Response<gripstack::EdgeBody> {
    let response = world.response(ask).await;
    settle().await;
    response
}

const PRIVATE: [(&str, &str); 5] = [
    ("cache-control", "no-store"),
    ("cache-control", "private"),
    ("cache-control", "no-cache"),
    ("set-cookie", "a=b"),
    ("vary", "*"),
];

#[tokio::test(start_paused = true)]
async fn what_is_for_one_client_teaches_its_url_its_channels() {
    for (name, value) in PRIVATE {
        for page_first in [true, false] {
            // The first is fetched for all who might come, the second passes.
            for before in [0, 1, 2] {
                let world = private_stream(name, value);
                if page_first {
                    world.get("/a").await;
                }
                for _ in 0..before {
                    drop(held(&world, sse().by_hold()).await);
                }
                let stream = held(&world, sse().by_hold()).await;
                if !page_first {
                    world.get("/a").await;
                }
                let case = format!("{name}: {value}, {page_first} {before}");
                assert!(is_hit(&world.get("/a").await), "{case}");
                world.publish("c").await;
                let got = world.get("/a").await;
                assert!(!is_hit(&got), "{case}: {}", got.cache_status());
                drop(stream);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_authorization_too() {
    let world = private_stream("x-other", "1");
    world.get("/a").await;
    let stream = held(&world, sse().header("authorization", "x").by_hold()).await;
    world.publish("c").await;
    assert!(!is_hit(&world.get("/a").await));
    drop(stream);
}

/// A page that names channels, without holding anybody.
#[tokio::test(start_paused = true)]
async fn what_is_for_one_client_can_name_them_as_tags() {
    let world = World::new(|call| {
        let reply = Reply::ok(call.n.to_string()).header("vary", "cookie");
        match call.header("cookie") {
            Some(_) => reply.cc("private").header("surrogate-key", "ch:c"),
            None => reply.cc("s-maxage=600"),
        }
    });
    world.get("/a").await;
    let own = held(&world, get("/a").header("cookie", "a=b")).await;
    world.publish("c").await;
    assert!(!is_hit(&world.get("/a").await));
    drop(own);
}

/// A message that came while nobody knew that it concerned the URL concerns it nevertheless.
#[tokio::test(start_paused = true)]
async fn what_was_published_before_its_channel_was_known_counts() {
    let world = private_stream("cache-control", "no-store");
    world.get("/a").await;
    world.publish("c").await;
    assert!(is_hit(&world.get("/a").await));
    let stream = held(&world, sse().by_hold()).await;
    assert!(!is_hit(&world.get("/a").await));
    drop(stream);
}

/// Its client saw the message; what it asks for next must be no older.
#[tokio::test(start_paused = true)]
async fn a_channel_that_leaves_leaves_its_last_message_behind() {
    for (name, value) in PRIVATE {
        let world = private_stream(name, value);
        world.get("/a").await;
        let stream = held(&world, sse().by_hold()).await;
        world.publish("c").await;
        drop(stream);
        // What is kept to be validated keeps its channel.
        world.purge(Target::Key("nothing".into()), PurgeMode::Hard).await;
        settle().await;
        let got = world.get("/a").await;
        assert!(!is_hit(&got), "{name}: {value}: {}", got.cache_status());
        // And no more than that.
        assert!(is_hit(&world.get("/a").await));
        if value == "no-store" {
            world.publish("c").await;
            assert!(is_hit(&world.get("/a").await), "it left");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_whose_place_another_name_took_leaves_its_last_message_behind() {
    let world = World::new(|call| {
        let reply = Reply::ok(call.n.to_string()).header("vary", "accept");
        match call.header("accept") {
            Some("text/event-stream") => reply
                .cc("s-maxage=10")
                .header("grip-hold", "stream")
                .header("grip-channel", &format!("c{}", call.n)),
            _ => reply.cc("s-maxage=600"),
        }
    });
    world.get("/a").await;
    world.get(sse().by_hold()).await;
    world.publish("c2").await;
    pass(secs(11)).await;
    // It names another one, and is younger than the message.
    assert_eq!(world.get(sse().by_hold()).await.body, "3");
    settle().await;
    assert!(!is_hit(&world.get("/a").await));
    assert!(is_hit(&world.get("/a").await));
    world.publish("c2").await;
    assert!(is_hit(&world.get("/a").await), "it left");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_was_evicted_leaves_its_last_message_behind() {
    let world = World::new(|call| {
        let reply = Reply::ok(call.n.to_string())
            .cc("s-maxage=600")
            .header("vary", "accept");
        match call.header("accept") {
            Some("text/event-stream") => reply
                .header("grip-hold", "stream")
                .header("grip-channel", "c")
                .header("surrogate-key", "stream"),
            _ => reply,
        }
    });
    world.get("/a").await;
    world.get(sse().by_hold()).await;
    world.publish("c").await;
    world.purge_key("stream", PurgeMode::Hard).await;
    // It is not there any more.
    world
        .get(sse().by_hold().header("cache-control", "only-if-cached"))
        .await;
    settle().await;
    assert!(!is_hit(&world.get("/a").await));
}

//! Instructions, channels and messages: what the hold layer gets, and what a message does to stored answers.

use gripstack::cache::{CacheConfig, PacedReads};
use gripstack::message::PushedResponse;
use gripstack::{Message, Order, PurgeMode, Target, Url};
use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::origin::{Gate, Refused, Reply, Step};
use crate::world::{Ask, HOST, World, ask, channel, done, get, head, ms, pass, post, secs, settle};

/// What a counter of an application answers: its value is the number of the request.
fn held(n: usize, mode: &str) -> Reply {
    Reply::ok(n.to_string())
        .cc("s-maxage=600")
        .header("grip-hold", mode)
        .header("grip-channel", "c")
}

fn stream() -> World {
    World::new(|call| held(call.n, "stream"))
}

fn by_hold() -> Ask {
    get("/a").by_hold()
}

#[tokio::test(start_paused = true)]
async fn grp_01_instructions_are_for_the_hold_layer_alone() {
    let world = stream();
    for n in 0..2 {
        let got = world.get("/a").await;
        assert!(got.handoff.is_none());
        assert!(
            got.headers.keys().all(|name| !name.as_str().starts_with("grip-")),
            "{:?}",
            got.headers
        );
        assert_eq!(got.body, "1");
        let got = world.get(by_hold()).await;
        assert_eq!(got.body, "2", "{n}");
        assert!(got.headers.keys().all(|name| !name.as_str().starts_with("grip-")));
        let hold = got.handed().instruct.hold.as_ref().expect("a hold");
        assert_eq!(hold.channels[0].name, channel("c"));
        assert_eq!(
            got.handed().stamp,
            world.edge.hub().stamp_at(gripstack::Position::ZERO)
        );
    }
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn grp_01_also_where_nothing_is_cached() {
    let world = World::new(|call| held(call.n, "stream").header("set-cookie", "a=b"));
    for _ in 0..2 {
        let got = world.get("/a").await;
        assert!(got.headers.keys().all(|name| !name.as_str().starts_with("grip-")));
        // Nobody has parsed them: the hold layer does, with a stamp of its own.
        let got = world.get(by_hold()).await;
        assert_eq!((got.handoff.is_none(), got.field("grip-hold")), (true, "stream"));
    }
}

#[tokio::test(start_paused = true)]
async fn grp_01_also_where_nothing_is_looked_up() {
    let world = World::new(|call| held(call.n, "stream"));
    let upgrade: fn() -> Ask = || {
        get("/a")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
    };
    let two_hosts: fn() -> Ask = || get("/a").header("host", "other.example");
    let asks: [fn() -> Ask; 4] = [|| post("/a"), || ask(Method::OPTIONS, "/a"), upgrade, two_hosts];
    for ask in asks {
        let got = world.get(ask().header("grip-sig", "forged")).await;
        assert!(got.headers.keys().all(|name| !name.as_str().starts_with("grip-")));
        assert!(!world.origin.last().headers.contains_key("grip-sig"));
        // The hold layer finds them where they were, and so does the origin what it says.
        let got = world.get(ask().header("grip-sig", "signed").by_hold()).await;
        assert_eq!(got.headers["grip-hold"], "stream");
        assert_eq!(world.origin.last().headers["grip-sig"], "signed");
    }
}

#[tokio::test(start_paused = true)]
async fn grp_01_head_by_the_hold_layer() {
    let world = stream();
    let got = world.get(head("/a").by_hold()).await;
    assert_eq!(got.body, "");
    assert!(got.headers.keys().all(|name| !name.as_str().starts_with("grip-")));
}

#[tokio::test(start_paused = true)]
async fn grp_02_a_hold_is_never_told_that_nothing_changed() {
    for mode in ["stream", "response"] {
        let world = World::new(move |call| held(call.n, mode).header("etag", "\"1\""));
        for _ in 0..2 {
            let got = world.get(by_hold().header("if-none-match", "\"1\"")).await;
            assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "1"));
            got.handed();
        }
        assert_eq!(
            world.get(get("/a").header("if-none-match", "\"1\"")).await.status,
            304
        );
    }
}

#[tokio::test(start_paused = true)]
async fn grp_03_a_held_304_is_not_stored_under_the_plain_key() {
    let world = World::new(|call| match call.n {
        1 => held(1, "response").header("grip-status", "304"),
        n => held(n, "response"),
    });
    world.get(by_hold()).await;
    assert_eq!(world.get(by_hold()).await.body, "2");
    assert_eq!(world.get(by_hold()).await.body, "2");
    // Unless the condition is part of the key.
    let world = World::new(|call| {
        let reply = held(call.n, "response").header("vary", "if-none-match");
        if call.is_conditional() {
            reply.header("grip-status", "304")
        } else {
            reply
        }
    });
    let with = || by_hold().header("if-none-match", "\"1\"");
    // Before it was known that the condition counts, it was not passed on.
    for _ in 0..2 {
        let got = world.get(with()).await;
        assert_eq!(got.body, "2");
        assert_eq!(got.handed().instruct.status.expect("a status").as_u16(), 304);
    }
    assert_eq!(world.origin.last().header("if-none-match"), Some("\"1\""));
    let got = world.get(by_hold()).await;
    assert_eq!((got.body.as_str(), got.handed().instruct.status), ("1", None));
}

#[tokio::test(start_paused = true)]
async fn grp_04_channels_in_order_with_all_they_have() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("grip-hold", "stream")
            .header("grip-channel", "b; prev-id=\"1\"; filter=skip-self")
            .header("grip-channel", "a; prev-id=2")
            .header("grip-channel", "c")
            .header("grip-keep-alive", "x; timeout=20")
    });
    for _ in 0..3 {
        let got = world.get(by_hold()).await;
        let hold = got.handed().instruct.hold.as_ref().expect("a hold");
        let channels: Vec<_> = hold
            .channels
            .iter()
            .map(|channel| (channel.name.as_str(), channel.prev_id.as_deref()))
            .collect();
        assert_eq!(channels, [("b", Some("1")), ("a", Some("2")), ("c", None)]);
        assert_eq!(&*hold.channels[0].filters[0], "skip-self");
        assert!(hold.keep_alive.is_some());
    }
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn grp_04_instructions_in_json_are_cached_as_those_in_headers() {
    let json = r#"{"hold":{"mode":"stream","channels":[{"name":"c","prev-id":"5"}]},
        "response":{"headers":{"X-A":"1","Content-Type":"text/plain"},"body":"value"}}"#;
    let world = World::new(move |_| {
        Reply::ok(json)
            .cc("max-age=60")
            .header("content-type", "application/grip-instruct")
    });
    for _ in 0..2 {
        let got = world.get(by_hold()).await;
        assert_eq!(
            (got.body.as_str(), got.field("x-a"), got.field("content-type")),
            ("value", "1", "text/plain")
        );
        let hold = got.handed().instruct.hold.as_ref().expect("a hold");
        assert_eq!(hold.channels[0].prev_id.as_deref(), Some("5"));
    }
    assert_eq!(world.origin.count(), 1);
    world.publish("c").await;
    world.get("/a").await;
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn grp_04_malformed_instructions_are_for_the_hold_layer_to_refuse() {
    let world = World::new(|call| match call.n {
        ..3 => Reply::ok("a").cc("max-age=60").header("grip-hold", "nonsense"),
        _ => Reply::ok("not json")
            .cc("max-age=60")
            .header("content-type", "application/grip-instruct"),
    });
    for _ in 0..2 {
        let got = world.get(by_hold()).await;
        assert_eq!(
            (got.field("grip-hold"), got.handoff.is_none()),
            ("nonsense", true)
        );
    }
    let got = world.get(by_hold()).await;
    assert_eq!((got.body.as_str(), got.handoff.is_none()), ("not json", true));
    settle().await;
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn grp_05_forged_fields_reach_neither_origin_nor_key() {
    let world = stream();
    let forged = get("/a")
        .header("grip-hold", "stream")
        .header("grip-sig", "x")
        .header("grip-channel", "evil");
    world.get(forged).await;
    let names = world.origin.last().headers;
    assert!(
        names.keys().all(|name| !name.as_str().starts_with("grip-")),
        "{names:?}"
    );
    assert_eq!(world.get("/a").await.in_short().1, "hit");
    // Nor where nothing is cached.
    let world = World::new(|_| Reply::ok("a").cc("private"));
    for _ in 0..2 {
        world.get(get("/a").header("grip-sig", "x")).await;
        assert_eq!(world.origin.last().header("grip-sig"), None);
    }
    // The hold layer's own do.
    world.get(by_hold().header("grip-sig", "x")).await;
    assert_eq!(world.origin.last().header("grip-sig"), Some("x"));
}

#[tokio::test(start_paused = true)]
async fn grp_07_a_hold_starts_from_the_identity_variant() {
    let world = World::new(|call| match call.header("accept-encoding") {
        Some("br") => held(call.n, "stream")
            .header("vary", "accept-encoding")
            .header("content-encoding", "br"),
        _ => held(call.n, "stream").header("vary", "accept-encoding"),
    });
    world.get(get("/a").header("accept-encoding", "br")).await;
    for _ in 0..2 {
        let got = world.get(by_hold()).await;
        assert_eq!((got.body.as_str(), got.field("content-encoding")), ("2", ""));
    }
}

// M1 to M5

#[tokio::test(start_paused = true)]
async fn grp_10_a_hold_that_asks_for_a_range_gets_the_whole() {
    let world = stream();
    for path in ["/a", "/a", "/b"] {
        let got = world.get(get(path).header("range", "bytes=0-0").by_hold()).await;
        assert_eq!((got.status, got.handoff.is_some()), (StatusCode::OK, true));
        assert!(!world.origin.last().headers.contains_key("range"));
    }
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn m1_a_stream_hold_starts_at_once_from_the_old_answer_and_a_refresh_runs() {
    let gate = Gate::new();
    let waits = gate.clone();
    let world = World::new(move |call| {
        let reply = held(call.n, "stream");
        if call.n == 2 { reply.gated(&waits) } else { reply }
    });
    let before = world.get(by_hold()).await.handed().stamp;
    let position = world.publish("c").await;
    let start = Instant::now();
    for _ in 0..10 {
        let got = world.get(by_hold()).await;
        assert_eq!((got.body.as_str(), got.handed().stamp), ("1", before));
        assert_eq!(got.in_short().1, "hit");
    }
    assert_eq!(start.elapsed(), ms(0));
    settle().await;
    assert_eq!(world.origin.count(), 2);
    gate.open();
    settle().await;
    let got = world.get(by_hold()).await;
    assert_eq!((got.body.as_str(), got.handed().stamp.at), ("2", position));
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn m2_a_long_poll_waits_for_one_collapsed_revalidation() {
    let world = World::new(|call| held(call.n, "response").after(ms(100)));
    world.get(by_hold()).await;
    world.get(by_hold()).await.expect_short("1", "hit");
    let position = world.publish("c").await;
    let mut polls = Vec::new();
    for _ in 0..100 {
        polls.push(world.start(by_hold()).await);
    }
    for poll in polls {
        let got = done(poll).await;
        assert_eq!(got.body, "2");
        assert!(got.handed().stamp.at >= position);
    }
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn m2_with_the_origin_down_a_long_poll_gets_the_old_one_marked() {
    let world = World::new(|call| match call.n {
        1 => held(1, "response"),
        _ => Reply::fail(Refused("down")),
    });
    world.get(by_hold()).await;
    world.publish("c").await;
    for expected in ["fwd=stale; detail=outage", "hit; detail=outage"] {
        let got = world.get(by_hold()).await;
        got.handed();
        got.expect_short("1", expected);
    }
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn m3_a_message_is_in_the_next_plain_answer() {
    let world = stream();
    for n in 1..20 {
        assert_eq!(world.get("/a").await.body, n.to_string());
        assert_eq!(
            world.get("/a").await.in_short(),
            (n.to_string().as_str(), "hit".to_owned())
        );
        world.publish("c").await;
    }
}

#[tokio::test(start_paused = true)]
async fn m3_a_head_is_a_plain_request_even_by_the_hold_layer() {
    let world = World::new(|call| held(call.n, "stream").header("x-n", &call.n.to_string()));
    world.get(by_hold()).await;
    world.publish("c").await;
    let got = world.get(head("/a").by_hold()).await;
    assert_eq!(got.field("x-n"), "2");
}

#[tokio::test(start_paused = true)]
async fn m3_a_message_for_another_channel_changes_nothing() {
    let world = stream();
    world.get("/a").await;
    world.publish("other").await;
    world.get("/a").await.expect_short("1", "hit");
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn m3_a_message_during_the_fetch_is_not_missed() {
    let gate = Gate::new();
    let waits = gate.clone();
    let world = World::new(move |call| {
        let reply = held(call.n, "stream");
        if call.n == 1 { reply.gated(&waits) } else { reply }
    });
    // The channel is not known yet: nobody can tell before the head comes.
    let first = world.start("/a").await;
    world.publish("c").await;
    let second = world.start("/a").await;
    gate.open();
    assert_eq!(done(first).await.body, "1");
    assert_eq!(done(second).await.body, "2");
    assert_eq!(world.get("/a").await.body, "2");
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn m3_where_the_route_says_so_the_old_copy_is_given_marked() {
    let config = CacheConfig::new().paced_reads(PacedReads::Stale);
    let world = World::config(config, |call| held(call.n, "stream").after(ms(100)));
    world.get("/a").await;
    world.publish("c").await;
    let start = Instant::now();
    world.get("/a").await.expect_short("1", "hit; detail=paced");
    world.get("/a").await.expect_short("1", "hit; detail=paced");
    assert_eq!(start.elapsed(), ms(0));
    pass(ms(200)).await;
    world.get("/a").await.expect_short("2", "hit");
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn m3_but_not_where_the_origin_demands_a_revalidation() {
    let config = CacheConfig::new().paced_reads(PacedReads::Stale);
    let world = World::config(config, |call| {
        held(call.n, "stream").cc("must-revalidate").after(ms(100))
    });
    world.get("/a").await;
    world.publish("c").await;
    pass(secs(601)).await;
    assert_eq!(world.get("/a").await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn m4_the_first_at_once_then_one_per_interval_and_variant() {
    let world = World::new(|call| held(call.n, "stream").after(ms(5)));
    world.get("/a").await;
    let start = Instant::now();
    let edge = world.edge.clone();
    let publisher = tokio::spawn(async move {
        for _ in 0..30 {
            edge.publish(channel("c"), Message::bytes("x"))
                .await
                .expect("accepted");
            tokio::time::sleep(ms(333)).await;
        }
    });
    let mut readers = Vec::new();
    for n in 0..1_000u64 {
        let service = world.service.clone();
        readers.push(tokio::spawn(async move {
            let mut last = 0;
            tokio::time::sleep(ms(n % 100)).await;
            while start.elapsed() < secs(10) {
                let response = tower::ServiceExt::oneshot(service.clone(), get("/a").into_request());
                let got = crate::world::Got::of(response.await.expect("answered")).await;
                let value: usize = got.body.parse().expect("a number");
                assert!(value >= last, "it went back");
                last = value;
                tokio::time::sleep(ms(100)).await;
            }
        }));
    }
    for reader in readers {
        done(reader).await;
    }
    done(publisher).await;
    let times: Vec<_> = world.origin.calls()[1..]
        .iter()
        .map(|call| call.at.duration_since(start))
        .collect();
    assert!(times[0] <= ms(5), "the first at once: {times:?}");
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= ms(999), "{times:?}");
    }
    assert!((10..=12).contains(&times.len()), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn m4_each_variant_has_a_pace_of_its_own() {
    let world = World::new(|call| {
        let value = format!("{} {}", call.n, call.header("accept").unwrap_or_default());
        Reply::ok(value)
            .cc("s-maxage=600")
            .header("vary", "accept")
            .header("surrogate-key", "ch:c")
    });
    let asks = ["a/a", "b/b", "c/c"].map(|accept| move || get("/a").header("accept", accept));
    for ask in &asks {
        world.get(ask()).await;
    }
    world.publish("c").await;
    let start = Instant::now();
    for ask in &asks {
        world.get(ask()).await;
    }
    assert_eq!(start.elapsed(), ms(0));
    assert_eq!(world.origin.count(), 6);
}

#[tokio::test(start_paused = true)]
async fn m4_a_purge_hurries_a_paced_revalidation() {
    for mode in [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft] {
        let world = stream();
        world.get("/a").await;
        world.publish("c").await;
        world.get("/a").await.expect_short("2", "fwd=stale; stored");
        world.publish("c").await;
        let start = Instant::now();
        let paced = world.start("/a").await;
        assert_eq!(world.origin.count(), 2, "it waits for its turn");
        world.purge_url("/a", mode).await;
        assert_eq!(world.get("/a").await.body, "3");
        assert_eq!(done(paced).await.body, "3");
        assert!(start.elapsed() < ms(10), "{mode:?}: {:?}", start.elapsed());
        assert_eq!(world.origin.count(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn m4_what_was_hurried_does_not_push_later_turns_away() {
    let world = stream();
    world.get("/a").await;
    world.publish("c").await;
    world.get("/a").await;
    for _ in 0..10 {
        world.publish("c").await;
        let paced = world.start("/a").await;
        world.purge_url("/a", PurgeMode::SoftBlock).await;
        world.get("/a").await;
        done(paced).await;
    }
    world.publish("c").await;
    let start = Instant::now();
    world.get("/a").await;
    assert!(start.elapsed() <= secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn m4_who_waits_for_a_turn_never_goes_alone() {
    let world = World::new(|call| match call.n {
        1 => held(1, "stream"),
        _ => Reply::hang(),
    });
    world.get("/a").await;
    world.publish("c").await;
    let start = Instant::now();
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(world.start("/a").await);
    }
    for reader in readers {
        done(reader).await.expect_short("1", "hit; detail=paced-timeout");
    }
    assert!(start.elapsed() <= secs(6), "{:?}", start.elapsed());
    assert_eq!(world.origin.count(), 2);
}

/// They have been told that a newer one is on its way: nobody reads its body, of unknown length, when it comes.
#[tokio::test(start_paused = true)]
async fn m4_what_all_have_waited_for_in_vain_is_kept_when_it_comes() {
    // Of one that says nothing more, and of one that goes on for ever, little by little.
    for (nth, is_kept) in [true, false, false].into_iter().enumerate() {
        let world = World::new(move |call| {
            if call.n != 2 {
                return held(call.n, "stream");
            }
            let last = match nth {
                0 => vec![Step::data("er")],
                1 => vec![Step::Hang],
                _ => (0..200)
                    .flat_map(|_| [Step::Pause(secs(5)), Step::data("x")])
                    .collect(),
            };
            let begins = [Step::data("n"), Step::Pause(ms(100)), Step::data("ew")];
            Reply::stream(begins.into_iter().chain(last))
                .after(secs(6))
                .cc("s-maxage=600")
                .header("grip-hold", "stream")
                .header("grip-channel", "c")
        });
        world.get("/a").await;
        world.publish("c").await;
        let readers = [world.start("/a").await, world.start("/a").await];
        for reader in readers {
            done(reader).await.expect_short("1", "hit; detail=paced-timeout");
        }
        pass(secs(80)).await;
        assert_eq!(world.origin.open_calls(), 0);
        let got = world.get("/a").await;
        if is_kept {
            got.expect_short("newer", "hit");
        }
        assert_eq!(world.origin.count(), if is_kept { 2 } else { 3 });
    }
}

#[tokio::test(start_paused = true)]
async fn m4_nor_when_the_old_one_may_not_be_given() {
    let world = World::new(|call| match call.n {
        1 => held(1, "stream"),
        _ => Reply::hang(),
    });
    world.get("/a").await;
    world.publish("c").await;
    let reader = world.start("/a").await;
    // It is gone meanwhile. Who came before may have it; what is dead is given to nobody nevertheless.
    world.purge_url("/a", PurgeMode::Hard).await;
    let got = done(reader).await;
    assert_eq!(
        (got.status.as_u16(), got.field("gripstack-error")),
        (504, "wait-timeout")
    );
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn m4_explicit_purges_are_not_paced() {
    let world = stream();
    world.get("/a").await;
    let start = Instant::now();
    for n in 2..10 {
        let order = Order::publish(channel("c"), Message::bytes("x"))
            .and_purge(Target::Url(Url::new(HOST, "/a")), PurgeMode::SoftBlock);
        world.edge.submit(order).await.expect("accepted");
        assert_eq!(world.get("/a").await.body, n.to_string());
    }
    assert_eq!(start.elapsed(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn m5_an_unsafe_method_does_not_stop_stream_holds_and_is_paced() {
    let world = World::new(|call| match call.method {
        Method::POST => Reply::ok("done"),
        _ => held(call.n, "stream").after(ms(5)),
    });
    world.get(by_hold()).await;
    world.get("/a").await;
    world.get(post("/a")).await;
    assert_eq!(world.origin.count(), 3);
    // A new hold is as current as those that are open.
    let start = Instant::now();
    world.get(by_hold()).await.expect_short("1", "hit");
    assert_eq!(start.elapsed(), ms(0));
    // A plain request waits; the first one at once, the next for its turn.
    assert_eq!(world.get("/a").await.body, "4");
    for _ in 0..5 {
        world.get(post("/a")).await;
    }
    let before = world.origin.count();
    let start = Instant::now();
    let (one, two) = tokio::join!(world.get("/a"), world.get("/a"));
    assert_eq!((one.body.as_str(), two.body.as_str()), ("10", "10"));
    assert!(
        (ms(900)..ms(1_100)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.origin.count(), before + 1);
}

/// Whatever POST and publish do together: the value that a client was told of is what it gets.
#[tokio::test(start_paused = true)]
async fn m5_post_then_publish_is_one_revalidation() {
    let world = World::new(|call| match call.method {
        Method::POST => Reply::ok("done"),
        _ => held(call.n, "stream"),
    });
    world.get("/a").await;
    world.get(post("/a")).await;
    world.publish("c").await;
    assert_eq!(world.get("/a").await.body, "3");
    world.get("/a").await.expect_short("3", "hit");
}

#[tokio::test(start_paused = true)]
async fn channels_of_one_variant_age_the_others() {
    let world = World::new(|call| {
        let reply = Reply::ok(call.n.to_string())
            .cc("s-maxage=600")
            .header("vary", "accept");
        match call.header("accept") {
            Some("text/event-stream") => reply.header("grip-hold", "stream").header("grip-channel", "c"),
            _ => reply,
        }
    });
    let sse = || get("/a").header("accept", "text/event-stream");
    world.get("/a").await;
    world.publish("c").await;
    world.get("/a").await.expect_short("1", "hit");
    world.get(sse().by_hold()).await;
    // A message from before it was known does not count against what was made before: it does, to be safe.
    assert_eq!(world.get("/a").await.body, "3");
    world.publish("c").await;
    pass(secs(1)).await;
    assert_eq!(world.get("/a").await.body, "4");
}

#[tokio::test(start_paused = true)]
async fn a_surrogate_key_can_name_a_channel() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("s-maxage=600")
            .header("surrogate-key", "x ch:c y")
    });
    let got = world.get("/a").await;
    assert_eq!(got.field("surrogate-key"), "");
    world.get("/a").await.expect_short("1", "hit");
    world.publish("c").await;
    world.get("/a").await.expect_short("2", "fwd=stale; stored");
    world.purge_key("ch:c", PurgeMode::Hard).await;
    world.get("/a").await.expect_short("3", "fwd=uri-miss; stored");
}

#[tokio::test(start_paused = true)]
async fn a_url_with_more_channels_than_are_remembered_is_aged_by_every_message() {
    let world = World::new(|call| {
        let mut reply = Reply::ok(call.n.to_string()).cc("s-maxage=600");
        for n in 0..100 {
            reply = reply.header("surrogate-key", &format!("ch:{n}"));
        }
        reply
    });
    world.get("/a").await;
    world.get("/a").await.expect_short("1", "hit");
    world.publish("99").await;
    assert_eq!(world.get("/a").await.body, "2");
    world.get("/a").await.expect_short("2", "hit");
}

#[tokio::test(start_paused = true)]
async fn a_soft_purge_of_a_url_with_channels_serves_nothing_older() {
    let world = World::new(|call| held(call.n, "stream").cc("stale-while-revalidate=600"));
    world.get("/a").await;
    world.get(by_hold()).await;
    world.purge_url("/a", PurgeMode::Soft).await;
    assert_eq!(world.get("/a").await.body, "3");
    assert_eq!(world.get(by_hold()).await.body, "4");
}

// C5, C6, D5

#[tokio::test(start_paused = true)]
async fn c6_the_hold_layer_gets_a_younger_answer_if_it_asks_for_one() {
    let world = World::new(|call| held(call.n, "stream").after(ms(10)));
    world.get(by_hold()).await;
    world.publish("c").await;
    let now = world.edge.hub().now();
    let start = Instant::now();
    let mut holds = Vec::new();
    for _ in 0..20 {
        holds.push(world.start(get("/a").at_least(now)).await);
    }
    for hold in holds {
        let got = done(hold).await;
        assert_eq!(got.body, "2");
        assert!(got.handed().stamp.at >= now);
    }
    assert!(start.elapsed() < ms(100), "it is not paced");
    assert_eq!(world.origin.count(), 2);
    world.get(get("/a").at_least(now)).await.expect_short("2", "hit");
}

#[tokio::test(start_paused = true)]
async fn c6_who_asks_for_a_younger_answer_joins_no_older_flight() {
    let gate = Gate::new();
    let waits = gate.clone();
    let world = World::new(move |call| {
        let reply = held(call.n, "stream");
        if call.n == 1 { reply.gated(&waits) } else { reply }
    });
    let first = world.start(by_hold()).await;
    world.publish("c").await;
    let now = world.edge.hub().now();
    let second = world.start(get("/a").at_least(now)).await;
    assert_eq!(done(second).await.body, "2");
    gate.open();
    assert_eq!(done(first).await.body, "1");
    settle().await;
    // The older one does not take the younger one's place.
    assert_eq!(world.get(by_hold()).await.body, "2");
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn d5_if_no_younger_answer_is_to_be_had_the_old_one_is_given_marked() {
    let world = World::new(|call| match call.n {
        1 => held(1, "stream"),
        _ => Reply::fail(Refused("down")),
    });
    world.get(by_hold()).await;
    world.publish("c").await;
    let now = world.edge.hub().now();
    for expected in ["fwd=stale; detail=outage", "hit; detail=outage"] {
        let got = world.get(get("/a").at_least(now)).await;
        assert!(got.handed().stamp.at < now);
        got.expect_short("1", expected);
    }
}

/// A position that this clock has not reached: no fetch can bring it.
#[tokio::test(start_paused = true)]
async fn d5_what_cannot_be_had_is_no_loop() {
    let world = stream();
    world.get(by_hold()).await;
    let never = gripstack::Position::new(1_000);
    let got = world.get(get("/a").at_least(never)).await;
    assert_eq!(got.status, 200);
    assert!(world.origin.count() <= 3, "{} requests", world.origin.count());
}

#[tokio::test(start_paused = true)]
async fn c5_a_crowd_whose_flight_is_too_old_makes_one_new_one() {
    let gate = Gate::new();
    let waits = gate.clone();
    let world = World::new(move |call| {
        let reply = held(call.n, "response").after(ms(5));
        if call.n == 1 { reply.gated(&waits) } else { reply }
    });
    let before = world.start(by_hold()).await;
    world.publish("c").await;
    let mut after = Vec::new();
    for _ in 0..50 {
        after.push(world.start(by_hold()).await);
    }
    world.publish("c").await;
    gate.open();
    assert_eq!(done(before).await.body, "1");
    for poll in after {
        assert_eq!(done(poll).await.body, "2");
    }
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hold_keeps_what_is_known_of_its_url() {
    let world = stream();
    let got = world.get(by_hold()).await;
    let kept = got.handoff;
    world.purge_url("/a", PurgeMode::Hard).await;
    world
        .get(get("/a").header("cache-control", "only-if-cached"))
        .await;
    // Nothing is stored, but the channels are known: the tag that they make finds the next answer.
    assert_eq!(world.edge.cache().stats().urls, 1);
    drop(kept);
    settle().await;
    assert_eq!(
        world.edge.cache().stats().urls,
        1,
        "the other form of it is stored"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pushed_poll_answer_ages_like_any_message() {
    let world = World::new(|call| held(call.n, "response"));
    world.get(by_hold()).await;
    let message = Message::response(PushedResponse::new("x"));
    world.edge.publish(channel("c"), message).await.expect("accepted");
    assert_eq!(world.get(by_hold()).await.body, "2");
}

/// The body of an answer with instructions is finite; what it says of itself does not matter.
#[tokio::test(start_paused = true)]
async fn an_event_stream_with_instructions_is_stored_and_one_without_is_not() {
    let world = World::new(|call| {
        let reply = Reply::stream([Step::data(format!("data: {}\n\n", call.n))])
            .cc("max-age=60")
            .header("content-type", "text/event-stream");
        match call.uri.path() {
            "/a" => reply.header("grip-hold", "stream").header("grip-channel", "c"),
            _ => reply,
        }
    });
    world.get(by_hold()).await;
    world.get(by_hold()).await.expect_short("data: 1\n\n", "hit");
    world.get("/b").await;
    assert_eq!(world.get("/b").await.body, "data: 3\n\n");
}

#[tokio::test(start_paused = true)]
async fn col_06_what_a_response_in_json_says_forbids_to_share_it_like_any_other() {
    let forbidden = [
        (r#"{"Set-Cookie":"session=1"}"#, "set-cookie"),
        (r#"{"Cache-Control":"private"}"#, "private"),
        (r#"{"Cache-Control":"no-store"}"#, "no-store"),
        (r#"{"Vary":"*"}"#, "vary-star"),
    ];
    for (headers, why) in forbidden {
        for hold in ["", r#""hold":{"mode":"stream","channels":[{"name":"c"}]},"#] {
            let json = format!(r#"{{{hold}"response":{{"headers":{headers},"body":"a"}}}}"#);
            let world = World::new(move |_| {
                Reply::ok(json.clone())
                    .cc("s-maxage=60")
                    .header("content-type", "application/grip-instruct")
            });
            let (one, two) = tokio::join!(world.get(by_hold()), world.get(by_hold()));
            let three = world.get(by_hold()).await;
            assert_eq!(world.origin.count(), 3, "{headers} {hold}");
            for got in [one, two, three] {
                assert!(got.cache_status().ends_with(why), "{headers} {hold}: {got:?}");
            }
        }
    }
    // And it selects its variants.
    let json = r#"{"response":{"headers":{"Vary":"X-A"},"body":"a"}}"#;
    let world = World::new(move |_| {
        Reply::ok(json)
            .cc("s-maxage=60")
            .header("content-type", "application/grip-instruct")
    });
    for (value, asked) in [("1", 1), ("1", 1), ("2", 2), ("1", 2)] {
        world.get(by_hold().header("x-a", value)).await;
        assert_eq!(world.origin.count(), asked, "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn grp_02_who_has_a_private_answer_is_held_however_the_instructions_came() {
    for json in [false, true] {
        let world = World::new(move |_| {
            let reply = match json {
                true => Reply::ok(
                    r#"{"hold":{"mode":"stream","channels":[{"name":"c"}]},"response":{"body":"hi"}}"#,
                )
                .header("content-type", "application/grip-instruct"),
                false => Reply::ok("hi")
                    .header("grip-hold", "stream")
                    .header("grip-channel", "c"),
            };
            reply.cc("no-store").header("etag", "\"1\"")
        });
        let got = world.get(by_hold().header("if-none-match", "\"1\"")).await;
        assert_eq!(got.status, 200, "{json}");
    }
}

/// Who asked first waited in vain, and has asked again: that answer came first.
#[tokio::test(start_paused = true)]
async fn m1_an_answer_that_was_overtaken_does_not_take_the_younger_ones_place() {
    let world = World::new(|call| {
        let names = if call.n == 1 { "ch:d" } else { "ch:d ch:l" };
        let reply = Reply::ok(call.n.to_string()).cc("s-maxage=600");
        let reply = reply.header("surrogate-key", names);
        match call.n {
            1 => reply.after(secs(6)),
            _ => reply,
        }
    });
    let waiting = [world.start("/a").await, world.start("/a").await];
    pass(secs(70)).await;
    drop(waiting);
    world.get("/a").await.expect_short("2", "hit");
    world.publish("l").await;
    world.get("/a").await.expect_short("3", "fwd=stale; stored");
}

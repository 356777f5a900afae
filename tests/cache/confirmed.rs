//! What a 304 says beside that nothing changed (C3).

use gripstack::PurgeMode;

use crate::origin::{Call, Reply};
use crate::world::{Ask, Got, World, get, ms, pass, secs, settle};

const OLD: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

fn by_hold() -> Ask {
    get("/a").by_hold()
}

/// A page, or what a 304 says with these fields.
fn page(call: &Call, policy: &str, tag: &str, of_304: &[(&'static str, &str)]) -> Reply {
    match call.is_conditional() {
        true => of_304
            .iter()
            .fold(Reply::not_modified().cc(policy), |reply, (name, value)| {
                reply.header(name, value)
            }),
        false => Reply::ok(call.n.to_string()).cc(policy).header("etag", tag),
    }
}

/// Names and ids of the channels that a hold subscribes to.
fn channels(got: &Got) -> Vec<(String, Option<String>)> {
    let hold = got.handed().instruct.hold.as_ref().expect("a hold");
    let channels = hold.channels.iter();
    channels
        .map(|channel| {
            (
                channel.name.as_str().to_owned(),
                channel.prev_id.as_deref().map(str::to_owned),
            )
        })
        .collect()
}

/// What a weak tag confirms may still be the body of the tags that came with it.
#[tokio::test(start_paused = true)]
async fn c3_a_304_that_moves_no_stamp_adds_its_tags() {
    for (tag, key, is_purged) in [
        ("\"1\"", "old", false),
        ("\"1\"", "new", true),
        ("W/\"1\"", "old", true),
        ("W/\"1\"", "new", true),
    ] {
        let world = World::new(move |call| {
            let of_304 = [("surrogate-key", "new"), ("etag", tag)];
            let reply = page(call, "max-age=60", tag, &of_304);
            match call.is_conditional() {
                true => reply,
                false => reply.header("surrogate-key", "old"),
            }
        });
        world.get("/a").await;
        pass(secs(61)).await;
        assert_eq!(world.get("/a").await.body, "1");
        settle().await;
        world.purge_key(key, PurgeMode::Hard).await;
        let body = world.get("/a").await.body;
        assert_eq!(body == "1", !is_purged, "{tag} {key}");
    }
}

#[tokio::test(start_paused = true)]
async fn c3_a_channel_that_a_304_names_without_a_hold_ages_the_page() {
    for (name, value) in [
        ("grip-channel", "c"),
        ("grip-channel", "b, c; prev-id=1"),
        ("surrogate-key", "ch:c"),
    ] {
        for swr in ["", ", stale-while-revalidate=600"] {
            for tag in ["\"1\"", "W/\"1\""] {
                let policy = format!("max-age=60{swr}");
                let world = World::new(move |call| page(call, &policy, tag, &[(name, value)]));
                world.get("/a").await;
                pass(secs(61)).await;
                assert_eq!(world.get("/a").await.body, "1");
                settle().await;
                world.get("/a").await.expect_short("1", "hit");
                let asked = world.origin.count();
                world.publish("c").await;
                let got = world.get("/a").await;
                assert_eq!(world.origin.count(), asked + 1, "{name}: {value}{swr} {tag}");
                assert!(
                    !got.cache_status().contains("; hit"),
                    "{name}: {value}{swr} {tag}"
                );
            }
        }
    }
}

/// The variants of one URL have the same channels.
#[tokio::test(start_paused = true)]
async fn c3_a_channel_that_a_304_names_ages_the_other_variants() {
    let world = World::new(|call| {
        page(
            call,
            "max-age=60",
            "\"1\"",
            &[("grip-channel", "c"), ("vary", "accept")],
        )
        .header("vary", "accept")
    });
    world.get("/a").await;
    pass(secs(61)).await;
    world
        .get(get("/a").header("accept", "x"))
        .await
        .expect_short("2", "fwd=vary-miss; stored");
    world
        .get("/a")
        .await
        .expect_short("1", "fwd=stale; fwd-status=304; stored");
    world.publish("c").await;
    for ask in [get("/a"), get("/a").header("accept", "x")] {
        assert!(!world.get(ask).await.cache_status().contains("; hit"));
    }
}

#[tokio::test(start_paused = true)]
async fn c3_a_304_that_names_channels_without_a_hold_leaves_mode_and_channels() {
    for mode in ["stream", "response"] {
        for (named, expected) in [
            ("c; prev-id=7", [("c", Some("7")), ("d", None)]),
            ("d; prev-id=8, c; prev-id=7", [("c", Some("7")), ("d", Some("8"))]),
            ("c", [("c", None), ("d", None)]),
            // It is learned, and nobody subscribes to it.
            ("e; prev-id=9", [("c", None), ("d", None)]),
        ] {
            let world = World::new(move |call| {
                let reply = page(call, "max-age=600", "\"1\"", &[("grip-channel", named)]);
                match call.is_conditional() {
                    true => reply,
                    false => reply
                        .header("grip-hold", mode)
                        .header("grip-channel", "c; prev-id=1, d; prev-id=2"),
                }
            });
            world.get(by_hold()).await;
            let position = world.publish("c").await;
            world.get(by_hold()).await;
            settle().await;
            let got = world.get(by_hold()).await;
            assert_eq!(
                (got.body.as_str(), world.origin.count()),
                ("1", 2),
                "{mode} {named}"
            );
            assert!(got.handed().stamp.at >= position);
            let hold = got.handed().instruct.hold.as_ref().expect("a hold");
            assert_eq!(format!("{:?}", hold.mode).to_lowercase(), mode);
            let expected = expected.map(|(name, id)| (name.to_owned(), id.map(str::to_owned)));
            assert_eq!(channels(&got), expected, "{mode} {named}");
        }
    }
}

/// Ids belong to the body, and that may be the one before: its client would take a message that it lacks for one that it has.
#[tokio::test(start_paused = true)]
async fn c3_a_weak_304_changes_no_ids() {
    for (stored, confirms) in [("W/\"1\"", "W/\"1\""), ("\"1\"", "W/\"1\"")] {
        for with_hold in [false, true] {
            let world = World::new(move |call| {
                let reply = page(
                    call,
                    "max-age=60",
                    stored,
                    &[("etag", confirms), ("grip-channel", "c; prev-id=3")],
                );
                match call.is_conditional() {
                    true if with_hold => reply.header("grip-hold", "stream"),
                    true => reply,
                    false => reply
                        .header("grip-hold", "stream")
                        .header("grip-channel", "c; prev-id=2"),
                }
            });
            let before = world.get(by_hold()).await;
            world.publish("other").await;
            pass(secs(61)).await;
            world.get(by_hold()).await;
            settle().await;
            let got = world.get(by_hold()).await;
            assert_eq!(got.in_short(), ("1", "hit".into()), "{stored} {confirms}");
            assert_eq!(got.handed().stamp, before.handed().stamp, "{stored} {confirms}");
            assert_eq!(
                channels(&got),
                [("c".into(), Some("2".into()))],
                "{stored} {confirms} {with_hold}"
            );
        }
    }
}

/// It says no more than that the two mean about the same.
#[tokio::test(start_paused = true)]
async fn c3_a_weak_tag_in_a_304_moves_no_stamp() {
    for (name, is_told) in [("message", true), ("soft-block", false), ("soft", false)] {
        let world = World::new(|call| {
            page(call, "max-age=600", "\"5\"", &[("etag", "W/\"5\"")]).header("surrogate-key", "ch:c")
        });
        world.get("/a").await;
        match name {
            "message" => world.publish("c").await,
            "soft-block" => world.purge_url("/a", PurgeMode::SoftBlock).await,
            _ => world.purge_url("/a", PurgeMode::Soft).await,
        };
        // Whoever is told of the change gets it: asked once more, without a condition.
        let got = world.get("/a").await;
        assert_eq!(
            (got.body.as_str(), world.origin.count()),
            ("3", 3),
            "{name} {is_told}"
        );
        assert!(!world.origin.last().is_conditional());
        world.get("/a").await.expect_short("3", "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn c3_a_weak_tag_in_a_304_still_makes_what_expired_fresh() {
    let world = World::new(|call| page(call, "max-age=60", "\"5\"", &[("etag", "W/\"5\"")]));
    world.get("/a").await;
    pass(secs(61)).await;
    world
        .get("/a")
        .await
        .expect_short("1", "fwd=stale; fwd-status=304; stored");
    world.get("/a").await.expect_short("1", "hit");
    assert_eq!(world.origin.count(), 2);
}

/// In the background there is nobody who could wait for ever, but what comes next must find a young one.
#[tokio::test(start_paused = true)]
async fn c3_a_weak_tag_in_a_304_moves_no_stamp_in_the_background_either() {
    let world = World::new(|call| {
        let reply = page(call, "max-age=600", "\"5\"", &[("etag", "W/\"5\"")]);
        match call.is_conditional() {
            true => reply,
            false => reply.header("grip-hold", "stream").header("grip-channel", "c"),
        }
    });
    world.get(by_hold()).await;
    let position = world.publish("c").await;
    let got = world.get(by_hold()).await;
    assert!(got.handed().stamp.at < position);
    for _ in 0..3 {
        pass(secs(2)).await;
        world.get(by_hold()).await;
        settle().await;
    }
    let got = world.get(by_hold()).await;
    assert!(got.handed().stamp.at >= position);
    assert_ne!(got.body, "1");
    assert!(world.origin.count() <= 4, "{} requests", world.origin.count());
}

/// Within its second a date tells no two values apart (RFC 9110 8.8.2.2).
#[tokio::test(start_paused = true)]
async fn c3_a_date_of_its_own_second_moves_no_stamp() {
    let world = World::new(|call| {
        let reply = match call.is_conditional() {
            true => Reply::not_modified(),
            false => Reply::ok(call.n.to_string()),
        };
        reply
            .cc("max-age=999999999")
            .header("date", OLD)
            .header("last-modified", OLD)
            .header("surrogate-key", "ch:c")
    });
    world.get("/a").await;
    for _ in 0..2 {
        world.publish("c").await;
        pass(ms(1_100)).await;
        let got = world.get("/a").await;
        assert_eq!(got.body, world.origin.count().to_string());
        assert!(!world.origin.last().is_conditional());
    }
}

/// A strong tag is about what has that strong tag, byte by byte (RFC 9111 4.3.4).
#[tokio::test(start_paused = true)]
async fn u3_a_strong_tag_in_a_304_confirms_nothing_that_has_a_weak_one() {
    let world = World::new(|call| page(call, "max-age=60", "W/\"1\"", &[("etag", "\"1\"")]));
    world.get("/a").await;
    pass(secs(61)).await;
    world.get("/a").await.expect_short("3", "fwd=stale; stored");
    assert!(!world.origin.last().is_conditional());
}

/// The tag was asked about, and a date of its own second says nothing against it.
#[tokio::test(start_paused = true)]
async fn u3_a_date_in_a_304_that_answers_a_tag_contradicts_nothing() {
    for date in [OLD, "Wed, 21 Oct 2015 07:28:01 GMT"] {
        let world = World::new(move |call| {
            let reply = match call.is_conditional() {
                true => Reply::not_modified(),
                false => Reply::ok(call.n.to_string()).header("etag", "\"1\""),
            };
            reply
                .cc("max-age=999999999")
                .header("date", date)
                .header("last-modified", OLD)
        });
        world.get("/a").await;
        world.purge_url("/a", PurgeMode::SoftBlock).await;
        world
            .get("/a")
            .await
            .expect_short("1", "fwd=stale; fwd-status=304; stored");
        assert_eq!(world.origin.count(), 2, "{date}");
    }
}

/// Whatever an answer comes to by a 304 is decided as of any other: its head may have grown too large.
#[tokio::test(start_paused = true)]
async fn what_a_304_makes_too_large_is_not_kept() {
    let large = "x".repeat(70_000);
    let world = World::new(move |call| {
        let fields = [("etag", "\"1\""), ("x-large", large.as_str())];
        page(call, "max-age=60", "\"1\"", &fields)
    });
    world.get("/a").await.expect_short("1", "fwd=uri-miss; stored");
    pass(secs(61)).await;
    world
        .get("/a")
        .await
        .expect_short("1", "fwd=stale; fwd-status=304; stored=?0; detail=too-large");
    settle().await;
    assert_eq!(world.edge.cache().stats().entries, 0);
    world.get("/a").await.expect_short("3", "fwd=uri-miss; stored");
}

#[tokio::test(start_paused = true)]
async fn x1_a_304_moves_no_stamp_back() {
    let world = World::new(|call| match call.is_conditional() {
        false => Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("etag", "\"1\""),
        true => Reply::not_modified().cc("max-age=600").header("age", "100"),
    });
    pass(secs(60)).await;
    world.purge_url("/a", PurgeMode::Hard).await;
    pass(secs(10)).await;
    world.get("/a").await.expect_short("1", "fwd=uri-miss; stored");
    pass(secs(65)).await;
    world.get("/a").await;
    settle().await;
    world.get("/a").await.expect_short("1", "hit");
    assert_eq!(world.origin.count(), 2);

    let world = World::new(|call| {
        let reply = match call.is_conditional() {
            false => Reply::ok(call.n.to_string())
                .cc("max-age=600")
                .header("etag", "\"1\""),
            true => Reply::not_modified().cc("max-age=600").header("age", "100"),
        };
        reply.header("grip-hold", "stream").header("grip-channel", "c")
    });
    pass(secs(200)).await;
    world.publish("c").await;
    pass(secs(30)).await;
    let first = world.get(get("/a").by_hold()).await.handed().stamp;
    world.purge_url("/a", PurgeMode::SoftBlock).await;
    pass(secs(1)).await;
    let second = world.get(get("/a").by_hold()).await.handed().stamp;
    assert!(second.replay >= first.replay, "{first:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn c3_a_date_that_a_304_brings_is_judged_like_any_other() {
    const OLD: &str = "Wed, 21 Oct 2015 07:00:00 GMT";
    const THEN: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    const LATER: &str = "Wed, 21 Oct 2015 07:30:00 GMT";
    for key in ["ch:c", "x"] {
        let world = World::new(move |call| {
            let reply = match call.n {
                1 => Reply::ok("first")
                    .header("etag", "\"1\"")
                    .header("last-modified", OLD)
                    .header("date", "Wed, 21 Oct 2015 07:20:00 GMT"),
                // Touched: the same bytes, in the very second of this answer.
                2 => Reply::not_modified()
                    .header("etag", "\"1\"")
                    .header("last-modified", THEN)
                    .header("date", THEN),
                // Changed in the same second.
                _ => Reply::ok("second")
                    .header("etag", "\"2\"")
                    .header("last-modified", THEN)
                    .header("date", LATER),
            };
            reply.cc("max-age=600").header("surrogate-key", key)
        });
        world.get("/a").await;
        world.purge_url("/a", PurgeMode::SoftBlock).await;
        let got = world.get("/a").await;
        assert_eq!(got.body, "first");
        assert_eq!(got.headers.contains_key("last-modified"), key == "x", "{key}");
        world.purge_url("/a", PurgeMode::SoftBlock).await;
        assert_eq!(world.get("/a").await.body, "second");
        let got = world.get(get("/a").header("if-modified-since", THEN)).await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "second"), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn g_16_what_governs_instructions_in_json_does_so_after_a_304() {
    // `no-cache` stays, whatever the response says to its client.
    let json = |fields: &str| {
        format!(
            r#"{{"hold":{{"mode":"stream","channels":[{{"name":"c"}}]}},
                "response":{{"headers":{{{fields}"ETag":"\"1\""}},"body":"hi"}}}}"#
        )
    };
    let text = json(r#""Cache-Control":"max-age=600","#);
    let world = World::new(move |call| match call.is_conditional() {
        false => Reply::ok(text.clone())
            .cc("no-cache")
            .header("content-type", "application/grip-instruct"),
        true => Reply::not_modified().header("etag", "\"1\""),
    });
    for n in 1..5 {
        let got = world.get(get("/a").by_hold()).await;
        assert_eq!((got.body.as_str(), world.origin.count()), ("hi", n));
        settle().await;
    }
    // And a lifetime is renewed.
    let text = json("");
    let world = World::new(move |call| match call.is_conditional() {
        false => Reply::ok(text.clone())
            .cc("max-age=60")
            .header("content-type", "application/grip-instruct"),
        true => Reply::not_modified().header("etag", "\"1\""),
    });
    world.get(get("/a").by_hold()).await;
    pass(secs(61)).await;
    for _ in 0..3 {
        assert_eq!(world.get(get("/a").by_hold()).await.body, "hi");
        settle().await;
    }
    assert_eq!(world.origin.count(), 2);
}

//! Revalidation: what is asked, and what a 304 changes.

use gripstack::PurgeMode;
use http::Method;

use crate::origin::{Reply, Step};
use crate::world::{World, channel, get, ms, pass, secs, settle};

const OLD: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// The first answer has these fields; all others are 304 with those.
fn confirmed(
    fields: &'static [(&'static str, &'static str)],
    of_304: &'static [(&'static str, &'static str)],
) -> World {
    World::new(move |call| {
        let (reply, fields) = match call.n {
            1 => (Reply::ok("a"), fields),
            _ => (Reply::not_modified(), of_304),
        };
        fields
            .iter()
            .fold(reply, |reply, (name, value)| reply.header(name, value))
    })
}

#[tokio::test(start_paused = true)]
async fn u1_a_background_refresh_asks_for_the_variant_and_for_nobody() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60, stale-while-revalidate=600")
            .header("vary", "accept")
            .header("etag", "\"1\"")
    });
    let ask = || {
        get("/a?x=y")
            .header("accept", "text/plain")
            .header("cookie", "a=b")
            .header("accept-language", "de")
            .header("if-none-match", "\"x\"")
            .header("if-modified-since", OLD)
            .header("range", "bytes=0-1")
            .header("user-agent", "me")
    };
    world.get(ask()).await;
    pass(secs(61)).await;
    world.get(ask()).await;
    settle().await;
    let call = world.origin.last();
    let mut names: Vec<&str> = call.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "host", "if-none-match"]);
    assert_eq!(
        (call.header("accept"), call.header("if-none-match")),
        (Some("text/plain"), Some("\"1\""))
    );
    assert_eq!(
        (call.method, call.uri.to_string().as_str()),
        (Method::GET, "/a?x=y")
    );
    world.get(ask()).await.expect_short("2", "hit");
}

#[tokio::test(start_paused = true)]
async fn u1_a_foreground_one_asks_for_its_client_without_its_conditions() {
    let world = confirmed(
        &[("cache-control", "max-age=60"), ("etag", "\"1\"")],
        &[("cache-control", "max-age=60")],
    );
    world.get("/a").await;
    pass(secs(61)).await;
    let ask = get("/a")
        .header("cookie", "a=b")
        .header("if-none-match", "\"x\"")
        .header("if-modified-since", OLD)
        .header("if-match", "\"x\"")
        .header("if-unmodified-since", OLD)
        .header("range", "bytes=0-1");
    let got = world.get(ask).await;
    // Its range is one of what was confirmed.
    assert_eq!((got.status.as_u16(), got.body.as_str()), (206, "a"));
    let call = world.origin.last();
    let mut names: Vec<&str> = call.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cookie", "host", "if-none-match"]);
    assert_eq!(call.header("if-none-match"), Some("\"1\""));
}

/// The visitor's fields choose nothing that the origin was not asked for.
#[tokio::test(start_paused = true)]
async fn u1_what_a_background_refresh_brings_is_filed_under_what_it_asked() {
    let world = World::new(|call| {
        let language = call.header("accept-language").unwrap_or("none").to_owned();
        let reply = Reply::ok(format!("{} {language}", call.n));
        match call.n {
            1 => reply.cc("max-age=60, stale-while-revalidate=600"),
            _ => reply
                .cc("max-age=60, stale-while-revalidate=600")
                .header("vary", "accept-language"),
        }
    });
    let german = || get("/a").header("accept-language", "de");
    world.get(german()).await;
    pass(secs(61)).await;
    world.get(german()).await.expect_short("1 de", "hit; detail=swr");
    settle().await;
    assert_eq!(world.get(german()).await.body, "3 de");
    assert_eq!(world.get("/a").await.body, "2 none");
}

#[tokio::test(start_paused = true)]
async fn u1_an_authorized_visitor_does_not_spoil_a_background_refresh() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60, stale-while-revalidate=600"));
    world.get("/a").await;
    pass(secs(61)).await;
    world.get(get("/a").header("authorization", "x")).await;
    settle().await;
    assert_eq!(world.origin.last().header("authorization"), None);
    world.get("/a").await.expect_short("2", "hit");
}

#[tokio::test(start_paused = true)]
async fn u2_the_validator_is_sent_as_it_came() {
    for (fields, name, value) in [
        (
            &[("etag", "\"1\""), ("last-modified", OLD)][..],
            "if-none-match",
            "\"1\"",
        ),
        (&[("etag", "W/\"1\"")][..], "if-none-match", "W/\"1\""),
        (&[("etag", "unquoted")][..], "if-none-match", "unquoted"),
        (&[("last-modified", OLD)][..], "if-modified-since", OLD),
    ] {
        let world = World::new(move |call| {
            let reply = match call.n {
                1 => Reply::ok("a"),
                _ => Reply::not_modified(),
            };
            fields
                .iter()
                .fold(reply.cc("max-age=60"), |reply, (name, value)| {
                    reply.header(name, value)
                })
        });
        world.get("/a").await;
        pass(secs(61)).await;
        world
            .get("/a")
            .await
            .is("a", "gripstack; fwd=stale; fwd-status=304; ttl=60; stored");
        let call = world.origin.last();
        assert_eq!(call.header(name), Some(value));
        let conditions = call
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("if-"));
        assert_eq!(conditions.count(), 1);
        world.get("/a").await.expect_short("a", "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn u3_org_08_a_304_about_another_answer_is_asked_again_without_a_condition() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("1").cc("max-age=60").header("etag", "\"1\""),
        2 => Reply::not_modified().cc("max-age=60").header("etag", "\"2\""),
        _ => Reply::ok("3").cc("max-age=60").header("etag", "\"3\""),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    world.get("/a").await.expect_short("3", "fwd=stale; stored");
    assert_eq!(world.origin.count(), 3);
    assert!(world.origin.calls()[1].is_conditional() && !world.origin.last().is_conditional());
}

#[tokio::test(start_paused = true)]
async fn u4_every_field_of_a_304_counts() {
    let world = confirmed(
        &[
            ("cache-control", "max-age=60"),
            ("etag", "\"1\""),
            ("x-kept", "1"),
            ("x-multi", "1"),
            ("x-multi", "2"),
            ("content-type", "text/plain"),
            ("content-length", "1"),
        ],
        &[
            ("cache-control", "max-age=30"),
            ("x-multi", "3"),
            ("x-multi", "4"),
            ("x-new", "5"),
            ("content-length", "0"),
            ("age", "10"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ],
    );
    world.get("/a").await;
    pass(secs(61)).await;
    for (n, status) in ["fwd=stale; fwd-status=304; ttl=20; stored", "hit; ttl=20"]
        .into_iter()
        .enumerate()
    {
        let got = world.get("/a").await;
        assert_eq!(got.cache_status(), format!("gripstack; {status}"), "{n}");
        assert_eq!(
            (got.field("x-kept"), got.field("x-new"), got.field("content-type")),
            ("1", "5", "text/plain")
        );
        let multi: Vec<_> = got.headers.get_all("x-multi").iter().collect();
        assert_eq!(multi, ["3", "4"]);
        assert_eq!(
            (got.field("content-length"), got.field("age"), got.field("x-hop")),
            ("1", "10", "")
        );
        assert_eq!(got.field("cache-control"), "max-age=30");
    }
}

/// Nothing piles up in the head, however often it is confirmed.
#[tokio::test(start_paused = true)]
async fn u4_a_hundred_304_later_the_head_is_the_same() {
    let fields = &[
        ("cache-control", "max-age=60"),
        ("etag", "\"1\""),
        ("cache-status", "Origin; hit"),
    ];
    for of_304 in [&fields[..2], &fields[..]] {
        let world = confirmed(fields, of_304);
        world.get("/a").await;
        let before = world.get("/a").await.headers;
        for _ in 0..100 {
            pass(secs(61)).await;
            world.get("/a").await;
        }
        let mut after = world.get("/a").await.headers;
        after.insert("date", before["date"].clone());
        assert_eq!(after, before);
        let lines: Vec<_> = before.get_all("cache-status").iter().collect();
        assert_eq!(lines, ["Origin; hit", "gripstack; hit; ttl=60"]);
    }
}

#[tokio::test(start_paused = true)]
async fn u4_a_304_can_forbid_to_keep_it() {
    for policy in ["no-store", "private"] {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("1").cc("max-age=60").header("etag", "\"1\""),
            2 => Reply::not_modified().cc(policy),
            n => Reply::ok(n.to_string()).cc("max-age=60"),
        });
        world.get("/a").await;
        pass(secs(61)).await;
        assert_eq!(world.get("/a").await.body, "1");
        settle().await;
        assert_eq!(world.edge.cache().stats().entries, 0, "{policy}");
        assert_eq!(world.get("/a").await.body, "3");
        assert!(!world.origin.last().is_conditional());
    }
}

#[tokio::test(start_paused = true)]
async fn u4_a_lifetime_that_the_304_does_not_repeat_still_counts() {
    // Far away from any clock, and without a Date: counted from receipt.
    let world = confirmed(
        &[("expires", "Thu, 01 Dec 2994 16:00:00 GMT"), ("etag", "\"1\"")],
        &[("etag", "\"1\"")],
    );
    world.get("/a").await;
    world.purge_url("/a", PurgeMode::Soft).await;
    world
        .get("/a")
        .await
        .expect_short("a", "fwd=stale; fwd-status=304; stored");
    world.get("/a").await.expect_short("a", "hit");
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn u4_surrogate_keys_and_channels_of_a_304_count_and_stay_here() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("1")
            .cc("max-age=60")
            .header("etag", "\"1\"")
            .header("surrogate-key", "one"),
        2 => Reply::not_modified()
            .header("surrogate-key", "two ch:d")
            .header("grip-hold", "stream")
            .header("grip-channel", "c"),
        n => Reply::ok(n.to_string())
            .cc("max-age=60")
            .header("surrogate-key", "two"),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    for _ in 0..2 {
        let got = world.get("/a").await;
        assert_eq!(
            (
                got.body.as_str(),
                got.field("surrogate-key"),
                got.field("grip-hold")
            ),
            ("1", "", "")
        );
    }
    world.purge_key("one", PurgeMode::Hard).await;
    assert_eq!(world.get("/a").await.body, "1", "it no longer carries that key");
    let ages = world.edge.cache().stats();
    assert_eq!(ages.entries, 1);
    world.publish("d").await;
    assert_eq!(world.get("/a").await.body, "3");
}

#[tokio::test(start_paused = true)]
async fn u4_a_channel_that_a_304_names_ages_the_answer() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("1").cc("max-age=60").header("etag", "\"1\""),
        2 => Reply::not_modified()
            .header("grip-hold", "stream")
            .header("grip-channel", "c"),
        n => Reply::ok(n.to_string()).cc("max-age=60"),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    world
        .get("/a")
        .await
        .expect_short("1", "fwd=stale; fwd-status=304; stored");
    world.publish("c").await;
    assert_eq!(world.get("/a").await.body, "3");
}

#[tokio::test(start_paused = true)]
async fn u5_a_304_that_changes_vary_files_the_answer_anew() {
    let world = World::new(|call| match (call.n, call.is_conditional()) {
        (1, _) => Reply::ok("1").cc("max-age=60").header("etag", "\"1\""),
        (2, true) => Reply::not_modified().header("vary", "accept"),
        (n, _) => Reply::ok(n.to_string()).cc("max-age=60").header("vary", "accept"),
    });
    let html = || get("/a").header("accept", "text/html");
    world.get(html()).await;
    pass(secs(61)).await;
    world
        .get(html())
        .await
        .expect_short("1", "fwd=stale; fwd-status=304; stored");
    world.get(html()).await.expect_short("1", "hit");
    assert_eq!(
        world.get(get("/a").header("accept", "text/plain")).await.body,
        "3"
    );
    world.get(html()).await.expect_short("1", "hit");
}

#[tokio::test(start_paused = true)]
async fn u6_a_whole_answer_to_a_condition_replaces() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("etag", &format!("\"{}\"", call.n))
    });
    world.get("/a").await;
    pass(secs(61)).await;
    world.get("/a").await.expect_short("2", "fwd=stale; stored");
    assert!(world.origin.last().is_conditional());
    let got = world.get("/a").await;
    assert_eq!(got.field("etag"), "\"2\"");
    got.expect_short("2", "hit");
}

#[tokio::test(start_paused = true)]
async fn u7_a_304_leaves_the_body_alone() {
    let world = World::new(|call| match call.n {
        1 => Reply::stream((0..100).map(|n| Step::data(format!("{n:<1000}"))))
            .cc("max-age=60")
            .header("etag", "\"1\""),
        _ => Reply::not_modified(),
    });
    let whole = world.get("/a").await.body;
    assert_eq!(whole.len(), 100_000);
    let before = world.edge.cache().stats();
    for _ in 0..10 {
        pass(secs(61)).await;
        assert_eq!(world.get("/a").await.body, whole);
    }
    let after = world.edge.cache().stats();
    assert_eq!((before.entries, before.bytes), (after.entries, after.bytes));
}

/// A message came; only a strong 304 can say that it is in the answer already.
#[tokio::test(start_paused = true)]
async fn c3_a_strong_304_moves_the_stamp_and_a_weak_validator_is_not_even_sent() {
    for (etag, strong) in [("\"1\"", true), ("W/\"1\"", false)] {
        let world = World::new(move |call| {
            let reply = match call.is_conditional() {
                false => Reply::ok(call.n.to_string()),
                true => Reply::not_modified(),
            };
            reply
                .cc("max-age=600")
                .header("etag", etag)
                .header("surrogate-key", "ch:c")
        });
        world.get("/a").await;
        world.publish("c").await;
        let got = world.get("/a").await;
        assert_eq!(got.body, if strong { "1" } else { "2" });
        assert_eq!(world.origin.last().is_conditional(), strong);
        assert_eq!(world.get("/a").await.in_short().1, "hit");
        assert_eq!(world.origin.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn c3_a_304_that_moves_the_stamp_clears_the_ids_unless_it_brings_its_own() {
    for brings in [false, true] {
        let world = World::new(move |call| {
            let reply = match call.is_conditional() {
                false => Reply::ok("a")
                    .header("grip-hold", "stream")
                    .header("grip-channel", "c; prev-id=1, d; prev-id=2"),
                true if brings => Reply::not_modified()
                    .header("grip-hold", "stream")
                    .header("grip-channel", "c; prev-id=7"),
                true => Reply::not_modified(),
            };
            reply.cc("max-age=600").header("etag", "\"1\"")
        });
        let got = world.get(get("/a").by_hold()).await;
        let ids = |got: &crate::world::Got| -> Vec<Option<String>> {
            let hold = got.handed().instruct.hold.clone().expect("a hold");
            hold.channels
                .iter()
                .map(|channel| channel.prev_id.as_ref().map(|id| id.to_string()))
                .collect()
        };
        assert_eq!(ids(&got), [Some("1".into()), Some("2".into())]);
        let position = world.publish("c").await;
        // The hold takes the old one, with its old stamp; in the background a young one is fetched.
        let got = world.get(get("/a").by_hold()).await;
        assert!(got.handed().stamp.at < position);
        assert_eq!(ids(&got), [Some("1".into()), Some("2".into())]);
        settle().await;
        let got = world.get(get("/a").by_hold()).await;
        assert!(got.handed().stamp.at >= position);
        let expected = if brings {
            vec![Some("7".into())]
        } else {
            vec![None, None]
        };
        assert_eq!(ids(&got), expected);
        assert_eq!(
            got.handed().instruct.hold.as_ref().expect("a hold").channels[0].name,
            channel("c")
        );
        pass(ms(1)).await;
        assert_eq!(world.origin.count(), 2);
    }
}

/// A validation for another reason does not move the stamp if it is weak, and costs the ids nothing.
#[tokio::test(start_paused = true)]
async fn c3_a_weak_304_keeps_stamp_and_ids() {
    let world = World::new(|call| {
        let reply = match call.is_conditional() {
            false => Reply::ok("a")
                .header("grip-hold", "stream")
                .header("grip-channel", "c; prev-id=1"),
            true => Reply::not_modified(),
        };
        reply.cc("max-age=60").header("etag", "W/\"1\"")
    });
    let before = world.get(get("/a").by_hold()).await;
    world.publish("other").await;
    pass(secs(61)).await;
    let after = world.get(get("/a").by_hold()).await;
    after.headers.get("cache-status").expect("a status");
    assert_eq!(
        after.cache_status(),
        "gripstack; fwd=stale; fwd-status=304; ttl=60; stored"
    );
    assert_eq!(after.handed().stamp, before.handed().stamp);
    assert_eq!(after.handed().instruct, before.handed().instruct);
}

#[tokio::test(start_paused = true)]
async fn u4_col_06_a_cookie_of_a_304_is_for_the_client_that_asked() {
    let world = World::new(|call| match call.is_conditional() {
        false => Reply::ok("a").cc("max-age=60").header("etag", "\"1\""),
        true => Reply::not_modified()
            .header("set-cookie", &format!("id={}", call.n))
            .after(ms(10)),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    let clients = [world.start("/a").await, world.start("/a").await];
    let mut cookies = Vec::new();
    for client in clients {
        let got = crate::world::done(client).await;
        assert_eq!(got.body, "a");
        cookies.push(got.field("set-cookie").to_owned());
    }
    assert_ne!(cookies[0], cookies[1]);
    assert_ne!(cookies[0], "");
    let stats = world.edge.cache().stats();
    assert_eq!(stats.entries, 1, "the old one is still good for an outage");
}

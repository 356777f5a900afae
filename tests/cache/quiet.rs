//! What was found unmarked is not looked up again before the clock moves; what moves it is then seen.

use gripstack::{PurgeMode, Target, Url};

use crate::origin::Reply;
use crate::world::{HOST, World, get, pass, secs, settle};

/// Stored, found unmarked while the clock stood above its stamp, and then something else happened.
async fn stored_and_found_unmarked(world: &World, path: &str) {
    assert_eq!(world.get(path).await.body, "1");
    settle().await;
    for other in ["other", "another"] {
        world.purge_key(other, PurgeMode::Hard).await;
        for _ in 0..2 {
            assert_eq!(world.get(path).await.in_short(), ("1", "hit".into()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_by_whatever_name_is_seen_after_many_hits() {
    let path = "/a?b=1&a=2";
    let url = |path| Target::Url(Url::new(HOST, path));
    let targets = [
        url(path),
        url("/a?a=2&b=1"),
        Target::Host(HOST.into()),
        Target::Everything,
        Target::Key("k".into()),
    ];
    for target in targets {
        for mode in [
            PurgeMode::Hard,
            PurgeMode::SoftBlock,
            PurgeMode::Soft,
            PurgeMode::Invalidated,
        ] {
            let world = World::new(|call| {
                Reply::ok(call.n.to_string())
                    .cc("max-age=60")
                    .header("surrogate-key", "k l")
            });
            stored_and_found_unmarked(&world, path).await;
            world.purge(target.clone(), mode).await;
            assert_eq!(world.get(path).await.body, "2", "{target:?} {mode:?}");
        }
    }
}

/// A soft purge lets the old one be served while it is revalidated, from then on.
#[tokio::test(start_paused = true)]
async fn a_soft_purge_is_seen_where_the_old_one_may_be_served() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60, stale-while-revalidate=60"));
    stored_and_found_unmarked(&world, "/a").await;
    world.purge_url("/a", PurgeMode::Soft).await;
    assert_eq!(world.get("/a").await.in_short(), ("1", "hit; detail=swr".into()));
    settle().await;
    assert_eq!(world.get("/a").await.in_short(), ("2", "hit".into()));
}

/// PUR-21: also where nobody looked between the purge and its being forgotten.
#[tokio::test(start_paused = true)]
async fn pur_21_a_purge_that_is_forgotten_is_seen_after_many_hits() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60"));
    stored_and_found_unmarked(&world, "/a").await;
    world.purge_url("/a", PurgeMode::Hard).await;
    for n in 0..66_000 {
        world.purge_key(&n.to_string(), PurgeMode::Hard).await;
    }
    assert_eq!(world.get("/a").await.body, "2");
}

/// Channels are the URL's: one that another variant names makes this one older, too.
#[tokio::test(start_paused = true)]
async fn a_channel_that_is_learned_later_counts_from_before() {
    for by_message in [true, false] {
        let world = World::new(|call| {
            let reply = Reply::ok(call.n.to_string())
                .cc("max-age=60")
                .header("vary", "accept-language");
            match call.header("accept-language") {
                Some("fr") => reply.header("surrogate-key", "ch:t"),
                _ => reply,
            }
        });
        stored_and_found_unmarked(&world, "/a").await;
        let moved = async || match by_message {
            true => world.publish("t").await,
            false => world.purge_key("ch:t", PurgeMode::Hard).await,
        };
        moved().await;
        assert_eq!(
            world.get("/a").await.in_short(),
            ("1", "hit".into()),
            "not its channel yet"
        );
        world.get(get("/a").header("accept-language", "fr")).await;
        settle().await;
        assert_eq!(world.get("/a").await.body, "3", "it was older all the time");
        pass(secs(5)).await;
        let got = world.get("/a").await;
        assert_eq!(got.in_short(), ("3", "hit".into()));
        moved().await;
        pass(secs(5)).await;
        assert_eq!(world.get("/a").await.body, "4");
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_answer_is_purged_by_its_new_keys() {
    for (key, body) in [("new", "4"), ("old", "1")] {
        let world = World::new(|call| match call.is_conditional() {
            true => Reply::not_modified()
                .cc("max-age=60")
                .header("etag", "\"1\"")
                .header("surrogate-key", "new"),
            false => Reply::ok(if call.n == 1 { "1" } else { "4" })
                .cc("max-age=60")
                .header("etag", "\"1\"")
                .header("surrogate-key", "old"),
        });
        stored_and_found_unmarked(&world, "/a").await;
        pass(secs(61)).await;
        let got = world.get("/a").await;
        assert_eq!(got.body, "1");
        assert_eq!(world.origin.count(), 2, "it was confirmed");
        world.purge_key("something", PurgeMode::Hard).await;
        assert_eq!(world.get("/a").await.in_short(), ("1", "hit".into()));
        world.purge_key(key, PurgeMode::Hard).await;
        assert_eq!(world.get("/a").await.body, body, "{key}");
    }
}

/// The answer to a HEAD, a 304 and an empty page say what they are, also where the whole body lies in memory.
#[tokio::test(start_paused = true)]
async fn whole_bodies_end_and_say_how_long_they_are() {
    use http_body::Body;
    let world = World::new(|call| match call.uri.path() {
        "/empty" => Reply::stream([]).cc("max-age=60"),
        "/none" => Reply::status(204).cc("max-age=60"),
        "/trailers" => {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", "1".parse().expect("a value"));
            Reply::stream([crate::origin::Step::Trailers(trailers)]).cc("max-age=60")
        }
        _ => Reply::stream([crate::origin::Step::data("abc")])
            .cc("max-age=60")
            .header("etag", "\"1\""),
    });
    for (path, length) in [
        ("/empty", Some(0)),
        ("/none", Some(0)),
        ("/a", Some(3)),
        ("/trailers", Some(0)),
    ] {
        world.get(path).await;
        settle().await;
        let response = world.response(path).await;
        let hint = response.body().size_hint().exact();
        assert_eq!(hint, length, "{path}");
        assert_eq!(
            response.body().is_end_stream(),
            matches!(path, "/empty" | "/none"),
            "{path}"
        );
        let head = world.response(crate::world::head(path)).await;
        assert!(head.body().is_end_stream(), "{path}");
    }
    assert_eq!(world.get("/trailers").await.trailers.expect("kept")["x-sum"], "1");
    let got = world.get(crate::world::head("/a")).await;
    assert_eq!((got.field("content-length"), got.body.as_str()), ("3", ""));
    let response = world.response(get("/a").header("if-none-match", "\"1\"")).await;
    assert_eq!(response.status(), 304);
    assert!(response.body().is_end_stream());
    assert_eq!(world.origin.count(), 4);
}

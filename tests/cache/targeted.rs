//! `CDN-Cache-Control` (RFC 9213): what it says to caches like this one, instead of `Cache-Control` and `Expires`.

use crate::origin::Reply;
use crate::world::{World, get, pass, secs, settle};

fn answering(fields: &'static [(&'static str, &'static str)]) -> World {
    World::new(move |call| {
        let reply = Reply::ok(call.n.to_string());
        fields
            .iter()
            .fold(reply, |reply, (name, value)| reply.header(name, value))
    })
}

#[tokio::test(start_paused = true)]
async fn its_lifetime_counts_whatever_cache_control_says() {
    for public in ["no-store", "private", "no-cache", "max-age=1", "must-revalidate"] {
        let world = World::new(move |_| {
            Reply::ok("a")
                .cc(public)
                .header("expires", "0")
                .header("cdn-cache-control", "max-age=60")
        });
        world.get("/a").await.expect_short("a", "fwd=uri-miss; stored");
        pass(secs(30)).await;
        let got = world.get("/a").await;
        assert_eq!(got.cache_status(), "gripstack; hit; ttl=30", "{public}");
        // Meant for the caches behind us, too, and for clients.
        assert_eq!(got.field("cdn-cache-control"), "max-age=60");
        assert_eq!((got.field("cache-control"), got.field("expires")), (public, "0"));
        pass(secs(30)).await;
        world.get("/a").await.expect_short("a", "fwd=stale; stored");
    }
}

#[tokio::test(start_paused = true)]
async fn what_it_forbids_is_forbidden_whatever_cache_control_says() {
    for targeted in [
        "no-store",
        "private, max-age=60",
        "no-cache, max-age=60",
        "max-age=0",
        "none",
    ] {
        let world = World::new(move |call| {
            Reply::ok(call.n.to_string())
                .cc("public, max-age=60")
                .header("cdn-cache-control", targeted)
        });
        for n in ["1", "2", "3"] {
            let got = world.get("/a").await;
            assert_eq!(got.body, n, "{targeted}");
            assert!(
                got.cache_status().contains("stored=?0"),
                "{targeted}: {}",
                got.cache_status()
            );
            settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_malformed_counts_as_none() {
    for targeted in [
        "max-age=60, &&&",
        "max-age=\"60\"",
        "Max-Age=60",
        "max-age =60",
        "",
        "max-age=60,",
    ] {
        let world = World::new(move |call| {
            Reply::ok(call.n.to_string())
                .cc("no-store")
                .header("cdn-cache-control", targeted)
        });
        world.get("/a").await;
        assert_eq!(world.get("/a").await.body, "2", "{targeted}");
    }
    let world = answering(&[
        ("cache-control", "max-age=60"),
        ("cdn-cache-control", "no-store, &&&"),
    ]);
    world.get("/a").await;
    world.get("/a").await.expect_short("1", "hit");
}

#[tokio::test(start_paused = true)]
async fn it_ends_what_is_remembered_by_cache_control() {
    let world = World::new(|call| {
        let reply = Reply::ok(call.n.to_string()).cc("no-store");
        match call.n {
            1 | 2 => reply,
            _ => reply.header("cdn-cache-control", "max-age=60"),
        }
    });
    for _ in 0..3 {
        world.get("/a").await;
        settle().await;
    }
    world.get("/a").await.expect_short("3", "hit");
}

/// Its ban is not taken for one of the `Cache-Control` beside it.
#[tokio::test(start_paused = true)]
async fn when_it_is_gone_cache_control_counts_again() {
    let world = World::new(|call| {
        let reply = Reply::ok(call.n.to_string()).cc("max-age=60");
        match call.n {
            1 | 2 => reply.header("cdn-cache-control", "no-store"),
            _ => reply,
        }
    });
    for _ in 0..3 {
        world.get("/a").await;
        settle().await;
    }
    world.get("/a").await.expect_short("3", "hit");
}

#[tokio::test(start_paused = true)]
async fn a_304_brings_a_new_one() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("a")
            .header("etag", "\"1\"")
            .header("cdn-cache-control", "max-age=1"),
        _ => Reply::not_modified()
            .header("etag", "\"1\"")
            .header("cdn-cache-control", "max-age=60"),
    });
    world.get("/a").await;
    pass(secs(2)).await;
    world
        .get("/a")
        .await
        .expect_short("a", "fwd=stale; fwd-status=304; stored");
    pass(secs(2)).await;
    let got = world.get(get("/a")).await;
    assert_eq!(got.field("cdn-cache-control"), "max-age=60");
    got.expect_short("a", "hit");
    assert_eq!(world.origin.count(), 2);
}

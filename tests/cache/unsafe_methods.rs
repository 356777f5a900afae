//! What an unsafe method may have changed (RFC 9111 4.4; M5), whatever is known of it and under way.

use http::Method;

use crate::origin::{Call, Gate, Refused, Reply};
use crate::world::{Ask, World, ask, done, get, head, pass, post, secs, settle};

/// A GET that left before the POST was answered.
type Leaves = (&'static str, fn() -> Ask);

const LEAVES: [Leaves; 6] = [
    ("get", || get("/a")),
    ("by hold", || get("/a").by_hold()),
    ("with a cookie", || get("/a").header("cookie", "a=b")),
    ("with a language", || get("/a").header("accept-language", "de")),
    ("with authorization", || get("/a").header("authorization", "x")),
    ("a range", || get("/a").header("range", "bytes=0-0")),
];

/// What is known of the URL by then: nothing, that it is not kept, an old answer, one that is validated each time.
const KNOWN: [&str; 6] = ["", "no-store", "private", "max-age=1", "no-cache", "vary"];

fn known(call: &Call, policy: &str) -> Reply {
    let reply = Reply::ok("known").header("etag", "\"0\"");
    match policy {
        "vary" => reply.cc("max-age=600").header("vary", "accept-language, cookie"),
        _ => reply.cc(policy).header("x-n", &call.n.to_string()),
    }
}

#[tokio::test(start_paused = true)]
async fn i5_what_left_before_it_is_never_kept_as_fresh() {
    for policy in KNOWN {
        for (case, leaves) in LEAVES {
            for gone in [false, true] {
                let gate = Gate::new();
                let held = gate.clone();
                let first = if policy.is_empty() { 0 } else { 1 };
                let world = World::new(move |call| match (call.method.as_str(), call.n) {
                    ("POST", _) => Reply::ok("done"),
                    (_, n) if n <= first => known(call, policy),
                    (_, n) if n == first + 1 => Reply::ok("old")
                        .cc("public, max-age=600")
                        .header("etag", "\"1\"")
                        .gated(&held),
                    _ => Reply::ok("new").cc("public, max-age=600").header("etag", "\"2\""),
                });
                if first > 0 {
                    world.get("/a").await;
                    pass(secs(2)).await;
                }
                let slow = world.start(leaves()).await;
                if world.origin.count() == first {
                    // What is known answers it.
                    continue;
                }
                let post = world.start(post("/a")).await;
                assert_eq!(done(post).await.body, "done");
                if gone {
                    slow.abort();
                }
                gate.open();
                if !gone {
                    let got = done(slow).await;
                    assert_eq!(&got.body[..1], "o", "{policy} {case}: it came before");
                }
                settle().await;
                for ask in [leaves(), get("/a"), get("/a").by_hold()] {
                    let got = world.get(ask).await;
                    assert_ne!(
                        &got.body[..1],
                        "o",
                        "{policy}, {case}, {gone}: {}",
                        got.cache_status()
                    );
                    settle().await;
                }
            }
        }
    }
}

/// The URL that an answer names may be one that nobody has stored yet either.
#[tokio::test(start_paused = true)]
async fn i5_what_left_for_a_place_that_it_names_is_not_kept_as_fresh_either() {
    for policy in ["", "no-store"] {
        for name in ["location", "content-location"] {
            let gate = Gate::new();
            let held = gate.clone();
            let first = if policy.is_empty() { 0 } else { 1 };
            let world = World::new(move |call| match (call.method.as_str(), call.n) {
                ("POST", _) => Reply::ok("done").header(name, "/a"),
                (_, n) if n <= first => known(call, policy),
                (_, n) if n == first + 1 => Reply::ok("old").cc("max-age=600").gated(&held),
                _ => Reply::ok("new").cc("max-age=600"),
            });
            if first > 0 {
                world.get("/a").await;
                settle().await;
            }
            let slow = world.start("/a").await;
            world.get(post("/form")).await;
            gate.open();
            assert_eq!(done(slow).await.body, "old");
            settle().await;
            assert_eq!(world.get("/a").await.body, "new", "{policy} {name}");
        }
    }
}

/// A fetch that began while it was under way may have read the value before.
#[tokio::test(start_paused = true)]
async fn i5_what_left_and_came_while_it_was_under_way_is_asked_for_again() {
    for policy in ["", "no-store"] {
        let gate = Gate::new();
        let held = gate.clone();
        let first = if policy.is_empty() { 0 } else { 1 };
        let world = World::new(move |call| match (call.method.as_str(), call.n) {
            ("POST", _) => Reply::ok("done").gated(&held),
            (_, n) if n <= first => known(call, policy),
            (_, n) => Reply::ok(n.to_string()).cc("max-age=600"),
        });
        if first > 0 {
            world.get("/a").await;
            settle().await;
        }
        let post = world.start(post("/a")).await;
        let before = world.get("/a").await.body;
        settle().await;
        world.get("/a").await.expect_short(&before, "hit");
        gate.open();
        done(post).await;
        assert_ne!(world.get("/a").await.body, before);
    }
}

/// Nothing but a fetch knows of the URL, and its client went away.
#[tokio::test(start_paused = true)]
async fn i5_a_post_whose_client_went_away_invalidates_what_passes() {
    let (gate, never) = (Gate::new(), Gate::new());
    let (held, hangs) = (gate.clone(), never.clone());
    let world = World::new(move |call| match (call.method.as_str(), call.n) {
        ("POST", _) => Reply::ok("done").gated(&hangs),
        (_, 1) => Reply::ok("no").cc("no-store"),
        (_, 2) => Reply::ok("old").cc("max-age=600").gated(&held),
        _ => Reply::ok("new").cc("max-age=600"),
    });
    world.get("/a").await;
    settle().await;
    let slow = world.start("/a").await;
    let client = world.start(post("/a")).await;
    client.abort();
    settle().await;
    gate.open();
    assert_eq!(done(slow).await.body, "old");
    settle().await;
    assert_eq!(world.get("/a").await.body, "new");
}

#[tokio::test(start_paused = true)]
async fn i2_one_that_failed_leaves_what_passes_alone() {
    for code in [400, 404, 500] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| match (call.method.as_str(), call.n) {
            ("POST", _) => Reply::status(code),
            (_, 1) => Reply::ok("no").cc("no-store"),
            (_, 2) => Reply::ok("yes").cc("max-age=600").gated(&held),
            _ => Reply::fail(Refused("asked again")),
        });
        world.get("/a").await;
        settle().await;
        let slow = world.start("/a").await;
        world.get(post("/a")).await;
        gate.open();
        assert_eq!(done(slow).await.body, "yes");
        settle().await;
        world.get("/a").await.expect_short("yes", "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn i3_every_way_to_write_a_place_of_the_same_origin_reaches_it() {
    for name in ["location", "content-location"] {
        for (place, path) in [
            ("/b", "/b"),
            ("/b#part", "/b"),
            ("b", "/dir/b"),
            ("./b", "/dir/b"),
            ("../b", "/b"),
            ("../../../b", "/b"),
            ("b/", "/dir/b/"),
            ("", "/dir/form?x=y"),
            ("?q=1", "/dir/form?q=1"),
            ("#part", "/dir/form?x=y"),
            ("b?q=/../1#part", "/dir/b?q=/../1"),
            ("//example.com/b", "/b"),
            ("//EXAMPLE.com/b", "/b"),
            ("//example.com/b#part", "/b"),
            ("//example.com", "/"),
            ("//example.com?q", "/?q"),
            ("/dir/./b/../c", "/dir/c"),
            ("/b%2fc", "/b%2fc"),
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                let world = World::new(move |call| match call.method {
                    Method::GET => Reply::ok(call.n.to_string()).cc("max-age=600"),
                    _ => Reply::ok("done").code(201).header(name, place),
                });
                world.get(path).await;
                world.get("/untouched").await;
                world.get(get(path).host("other.example")).await;
                world.get(ask(method.clone(), "/dir/form?x=y")).await;
                let got = world.get(path).await;
                assert_eq!(got.in_short().1, "fwd=stale; stored", "{method} {name}: {place}");
                world.get("/untouched").await.expect_short("2", "hit");
                world
                    .get(get(path).host("other.example"))
                    .await
                    .expect_short("3", "hit");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn i3_another_origin_is_not_ours_to_invalidate() {
    for name in ["location", "content-location"] {
        for (place, host, path) in [
            ("//other.example/b", "other.example", "/b"),
            ("http://other.example/b", "other.example", "/b"),
            ("http://other.example/b", "example.com", "/b"),
            ("//example.com:8080/b", "example.com:8080", "/b"),
            ("//example.com:8080/b", "example.com", "/b"),
            ("//user@other.example/b", "other.example", "/b"),
            ("//example.com@other.example/b", "other.example", "/b"),
            ("//example.com@other.example/b", "example.com", "/b"),
            ("//example.com.other.example/b", "example.com", "/b"),
            ("ftp://example.com/b", "example.com", "/b"),
            ("mailto:b", "example.com", "/b"),
            ("\\\\example.com/b", "other.example", "/b"),
        ] {
            let world = World::new(move |call| match call.method {
                Method::GET => Reply::ok(call.n.to_string()).cc("max-age=600"),
                _ => Reply::ok("done").header(name, place),
            });
            world.get(get(path).host(host)).await;
            world.get(post("/form")).await;
            world.get(get(path).host(host)).await.expect_short("1", "hit");
        }
    }
}

/// Only the answer of a method that worked says where the change is.
#[tokio::test(start_paused = true)]
async fn i3_places_that_a_failure_or_a_safe_method_names_stay() {
    for (method, code) in [
        (Method::POST, 400),
        (Method::POST, 503),
        (Method::OPTIONS, 200),
        (Method::HEAD, 200),
    ] {
        let world = World::new(move |call| match call.uri.path() {
            "/b" => Reply::ok(call.n.to_string()).cc("max-age=600"),
            _ => Reply::ok("")
                .code(code)
                .header("location", "/b")
                .header("content-location", "/b"),
        });
        world.get("/b").await;
        world.get(ask(method.clone(), "/form")).await;
        world.get("/b").await.expect_short("1", "hit");
    }
}

/// Both at once, every variant of them, and nothing of it is lost.
#[tokio::test(start_paused = true)]
async fn i3_both_places_and_the_url_itself_go_at_once_and_keep_their_last_good_copy() {
    let world = World::new(move |call| match (call.method.as_str(), call.n) {
        ("POST", _) => Reply::ok("done")
            .header("location", "b")
            .header("content-location", "//example.com/c#x"),
        (_, 1..4) => Reply::ok(call.uri.path().to_owned()).cc("max-age=600"),
        _ => Reply::fail(Refused("down")),
    });
    for path in ["/a", "/b", "/c"] {
        world.get(path).await;
    }
    world.get(post("/a")).await;
    for path in ["/a", "/b", "/c"] {
        world
            .get(path)
            .await
            .expect_short(path, "fwd=stale; detail=outage");
        world.get(head(path)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn i2_one_of_which_nobody_knows_whether_it_succeeded_does() {
    use gripstack::error::{OriginError, OriginFailure};
    let world = World::new(|call| match call.method.as_str() {
        "POST" if call.uri.path() == "/a" => Reply::fail(Refused("reset")),
        "POST" => {
            let failure = match call.uri.path() {
                "/b" => OriginFailure::Reset,
                _ => OriginFailure::ConnectRefused,
            };
            Reply::status(502).extension(OriginError::new(failure, ""))
        }
        _ => Reply::ok(call.n.to_string()).cc("max-age=600"),
    });
    for (path, asked) in [("/a", true), ("/b", true), ("/c", false)] {
        let old = world.get(path).await.body;
        let _ = world.try_response(post(path)).await;
        settle().await;
        let new = world.get(path).await.body;
        assert_eq!(new != old, asked, "{path}");
    }
}

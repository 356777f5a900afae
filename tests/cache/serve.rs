//! One stored answer, for different requests.

use crate::origin::{Reply, Step};
use crate::world::{World, get, head, pass, secs, settle};
use http::HeaderMap;

const OLD: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

fn tagged() -> World {
    World::new(|call| {
        Reply::ok(format!("body {}", call.n))
            .cc("max-age=60")
            .header("etag", "\"1\"")
            .header("last-modified", OLD)
            .header("content-type", "text/plain")
            .header("content-language", "en")
            .header("content-location", "/there")
            .header("content-length", "6")
            .header("access-control-allow-origin", "*")
    })
}

#[tokio::test(start_paused = true)]
async fn r1_a_stored_get_answers_head() {
    let world = tagged();
    let whole = world.get("/a").await;
    let got = world.get(head("/a")).await;
    assert_eq!(
        (
            got.status.as_u16(),
            got.body.as_str(),
            got.field("content-length")
        ),
        (200, "", "6")
    );
    let without_status = |headers: &HeaderMap| {
        let mut headers = headers.clone();
        headers.remove("cache-status");
        headers.remove("age");
        headers
    };
    assert_eq!(without_status(&got.headers), without_status(&whole.headers));
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn r1_head_tells_the_length_that_get_found_out() {
    let world = World::new(|_| Reply::stream([Step::data("he"), Step::data("llo")]).cc("max-age=60"));
    world.get("/a").await;
    assert_eq!(world.get(head("/a")).await.field("content-length"), "5");
}

#[tokio::test(start_paused = true)]
async fn r2_a_head_that_misses_fills_with_a_get() {
    let world = tagged();
    let got = world.get(head("/a")).await;
    assert_eq!((got.body.as_str(), got.field("content-length")), ("", "6"));
    assert_eq!(world.origin.last().method, "GET");
    settle().await;
    world.get("/a").await.expect_short("body 1", "hit");
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn r2_a_head_that_cannot_be_shared_gets_no_body_either() {
    let world = World::new(|_| Reply::stream([Step::data("secret"), Step::Hang]).cc("private"));
    for _ in 0..2 {
        let got = world.get(head("/a")).await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (200, ""));
        settle().await;
        world.is_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn r3_r4_conditions_are_answered_from_the_store() {
    let world = tagged();
    world.get("/a").await;
    for (name, value, code) in [
        ("if-none-match", "\"1\"", 304),
        ("if-none-match", "W/\"1\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"0\", \"1\"", 304),
        ("if-none-match", "\"2\"", 200),
        ("if-none-match", "1", 200),
        ("if-modified-since", OLD, 304),
        ("if-modified-since", "Wed, 21 Oct 2015 07:27:59 GMT", 200),
        ("if-modified-since", "yesterday", 200),
        ("if-match", "\"2\"", 200),
    ] {
        for method in [get, head] {
            let got = world.get(method("/a").header(name, value)).await;
            assert_eq!(got.status.as_u16(), code, "{name}: {value}");
        }
    }
    let both = get("/a")
        .header("if-none-match", "\"2\"")
        .header("if-modified-since", OLD);
    assert_eq!(world.get(both).await.status, 200);
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn r5_what_a_304_says() {
    let world = tagged();
    world.get("/a").await;
    pass(secs(5)).await;
    let got = world.get(get("/a").header("if-none-match", "\"1\"")).await;
    let mut names: Vec<&str> = got.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "access-control-allow-origin",
        "age",
        "cache-control",
        "cache-status",
        "content-location",
        "date",
        "etag",
    ];
    assert_eq!(names, expected);
    assert_eq!((got.body.as_str(), got.field("age")), ("", "5"));
    assert_eq!(got.cache_status(), "gripstack; hit; ttl=55");
}

#[tokio::test(start_paused = true)]
async fn r6_a_condition_that_misses_is_answered_by_the_new_answer() {
    let world = tagged();
    let got = world.get(get("/a").header("if-none-match", "\"1\"")).await;
    assert_eq!(got.status, 304);
    assert!(!world.origin.last().is_conditional());
    settle().await;
    world.get("/a").await.expect_short("body 1", "hit");
}

#[tokio::test(start_paused = true)]
async fn r6_where_nothing_is_cached_the_condition_goes_along() {
    let world = World::new(|call| match call.is_conditional() {
        true => Reply::not_modified().cc("private").header("etag", "\"1\""),
        false => Reply::ok("a").cc("private").header("etag", "\"1\""),
    });
    let ask = || get("/a").header("if-none-match", "\"1\"");
    // What nobody knows yet is asked for so that others could have it, and the condition is judged here.
    assert_eq!(world.get(ask()).await.status, 304);
    assert!(!world.origin.last().is_conditional());
    assert_eq!(world.get(ask()).await.status, 304);
    assert!(world.origin.last().is_conditional());
    assert_eq!(world.get("/a").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn r7_our_304_reaches_nobody_who_did_not_ask() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("a").cc("max-age=60").header("etag", "\"1\""),
        _ => Reply::not_modified(),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    let got = world.get("/a").await;
    assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "a"));
    pass(secs(61)).await;
    let got = world.get(get("/a").header("if-none-match", "\"1\"")).await;
    assert_eq!(got.status, 304);
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_never_reaches_the_origin() {
    let world = World::new(|call| match call.uri.path() {
        "/private" => Reply::ok("private").cc("private"),
        _ => Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("etag", "\"1\""),
    });
    let cached = |path| get(path).header("cache-control", "only-if-cached");
    world.get("/private").await;
    world.get("/a").await;
    world.get(cached("/a")).await.expect_short("2", "hit");
    pass(secs(61)).await;
    for path in ["/a", "/private", "/unknown"] {
        let got = world.get(cached(path)).await;
        assert_eq!(
            (got.status.as_u16(), got.field("gripstack-error")),
            (504, "only-if-cached"),
            "{path}"
        );
    }
    assert_eq!(world.origin.count(), 2);
    // It did not take the old answer away either.
    assert!(world.get("/a").await.in_short().1.starts_with("fwd=stale"));
}

#[tokio::test(start_paused = true)]
async fn age_and_cache_status_move_with_the_second() {
    let world = World::new(|_| {
        Reply::ok("a")
            .cc("max-age=60")
            .header("cache-status", "Origin; hit")
    });
    world.get("/a").await;
    for second in 0..60 {
        let got = world.get("/a").await;
        assert_eq!(got.field("age"), second.to_string());
        let lines: Vec<_> = got.headers.get_all("cache-status").iter().collect();
        assert_eq!(
            lines,
            ["Origin; hit", &format!("gripstack; hit; ttl={}", 60 - second)]
        );
        pass(secs(1)).await;
    }
    let got = world.get("/a").await;
    let lines: Vec<_> = got.headers.get_all("cache-status").iter().collect();
    assert_eq!(lines, ["Origin; hit", "gripstack; fwd=stale; ttl=60; stored"]);
    assert_eq!(got.field("age"), "");
}

#[tokio::test(start_paused = true)]
async fn a_cache_can_have_another_name() {
    let config = gripstack::cache::CacheConfig::new().name("edge one");
    let world = World::config(config, |_| Reply::ok("a").cc("max-age=60"));
    world
        .get("/a")
        .await
        .is("a", "\"edge one\"; fwd=uri-miss; ttl=60; stored");
    world.get("/a").await.is("a", "\"edge one\"; hit; ttl=60");
}

#[tokio::test(start_paused = true)]
async fn trailers_are_stored_and_replayed_and_are_no_headers() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    let sent = trailers.clone();
    let world = World::new(move |_| {
        Reply::stream([Step::data("a"), Step::data("b"), Step::Trailers(sent.clone())]).cc("max-age=60")
    });
    for n in 0..3 {
        let got = world.get("/a").await;
        assert_eq!(
            (got.body.as_str(), got.trailers.as_ref()),
            ("ab", Some(&trailers)),
            "{n}"
        );
        assert_eq!(got.field("x-sum"), "");
    }
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_body_is_an_answer_like_any_other() {
    let world = World::new(|_| Reply::status(204).cc("max-age=60"));
    for n in 0..3 {
        let got = world.get("/a").await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (204, ""), "{n}");
    }
    assert_eq!(world.origin.count(), 1);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_off_does_nothing() {
    let origin: crate::origin::Origin = crate::origin::Origin::new(|_| Reply::ok("a").cc("max-age=60"));
    let edge = gripstack::Edge::new();
    let service = tower::Layer::layer(&edge.cache_layer().enabled(false), origin.clone());
    for _ in 0..2 {
        let response = tower::ServiceExt::oneshot(service.clone(), get("/a").into_request());
        let response = response.await.expect("answered");
        assert!(!response.headers().contains_key("cache-status"));
    }
    assert_eq!((origin.count(), edge.cache().stats().urls), (2, 0));
}

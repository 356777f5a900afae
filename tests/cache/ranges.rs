//! Parts of stored bodies (RFC 9110 14).

use crate::origin::{Reply, Step};
use crate::world::{Got, World, get, head, pass, secs, settle};
use gripstack::PurgeMode;

const OLD: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// Ten bytes in pieces, stored.
async fn stored() -> World {
    let world = World::new(|_| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "45".parse().expect("a value"));
        let steps = ["0123", "4", "56789"].map(Step::data);
        Reply::stream(steps.into_iter().chain([Step::Trailers(trailers)]))
            .cc("max-age=60")
            .header("content-type", "text/plain")
            .header("etag", "\"1\"")
            .header("last-modified", OLD)
            .header("content-md5", "x")
            .header("vary", "origin")
    });
    world.get("/a").await;
    settle().await;
    world
}

#[track_caller]
fn part(got: &Got) -> (u16, &str, &str, &str) {
    let length = got.field("content-length");
    (got.status.as_u16(), &got.body, got.field("content-range"), length)
}

#[tokio::test(start_paused = true)]
async fn r9_a_part_of_what_is_stored() {
    let world = stored().await;
    for (range, body, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("Bytes=3-3", "3", "bytes 3-3/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-1", "9", "bytes 9-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=0-99999999999999999999999999", "0123456789", "bytes 0-9/10"),
        ("bytes= 4-4 ,", "4", "bytes 4-4/10"),
    ] {
        pass(secs(1)).await;
        let got = world.get(get("/a").header("range", range)).await;
        let length = body.len().to_string();
        assert_eq!(part(&got), (206, body, content_range, length.as_str()), "{range}");
        for (name, value) in [
            ("content-type", "text/plain"),
            ("etag", "\"1\""),
            ("vary", "origin"),
            ("content-md5", ""),
        ] {
            assert_eq!(got.field(name), value);
        }
        assert_eq!((got.field("cache-control"), &got.trailers), ("max-age=60", &None));
        assert!(got.field("age").parse::<u64>().expect("a number") > 0);
        assert!(got.cache_status().starts_with("gripstack; hit; ttl="));
    }
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_r10_a_part_that_is_not_there() {
    let world = stored().await;
    for range in [
        "bytes=10-",
        "bytes=10-20",
        "bytes=-0",
        "bytes=99999999999999999999999999-",
    ] {
        let got = world.get(get("/a").header("range", range)).await;
        assert_eq!(part(&got), (416, "", "bytes */10", ""), "{range}");
        // No cache takes it for the answer to anything else.
        assert_eq!(got.field("cache-control"), "no-store");
        assert_eq!((got.field("etag"), got.field("content-type")), ("", ""));
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_ask_for_one_part_in_order_gets_the_whole() {
    let world = stored().await;
    for range in [
        "bytes=2-1",
        "bytes=a-b",
        "bytes=",
        "bytes=-",
        "bytes=1",
        "bytes",
        "lines=0-1",
        "bytes=0-1,3-4",
        "bytes=+1-2",
        "bytes=0 - 1",
        "",
        "bytes=,",
        "bytes =0-1",
    ] {
        let got = world.get(get("/a").header("range", range)).await;
        assert_eq!(
            (got.status.as_u16(), got.body.as_str()),
            (200, "0123456789"),
            "{range}"
        );
        assert_eq!((got.field("content-range"), got.field("content-md5")), ("", "x"));
    }
    let twice = get("/a")
        .header("range", "bytes=0-0")
        .header("range", "bytes=0-0");
    assert_eq!(world.get(twice).await.status, 200);
    let got = world.get(head("/a").header("range", "bytes=0-0")).await;
    assert_eq!(part(&got), (200, "", "", "10"));
}

#[tokio::test(start_paused = true)]
async fn r9_if_range_compares_strongly() {
    let world = stored().await;
    let status = async |if_range: &str| {
        let ask = get("/a")
            .header("range", "bytes=0-0")
            .header("if-range", if_range);
        world.get(ask).await.status.as_u16()
    };
    assert_eq!(status("\"1\"").await, 206);
    assert_eq!(status(OLD).await, 206);
    for other in [
        "W/\"1\"",
        "\"2\"",
        "1",
        "*",
        "\"1\", \"1\"",
        "Wed, 21 Oct 2015 07:28:01 GMT",
        "soon",
        "",
    ] {
        assert_eq!(status(other).await, 200, "{other}");
    }
    // It says nothing without `Range`.
    assert_eq!(world.get(get("/a").header("if-range", "\"2\"")).await.status, 200);
}

/// A second before it was sent, it could still have changed within the same second.
#[tokio::test(start_paused = true)]
async fn r9_a_date_of_the_same_second_is_no_strong_validator() {
    let world = World::new(|_| {
        Reply::ok("hello")
            .cc("max-age=60")
            .header("date", OLD)
            .header("last-modified", OLD)
    });
    world.get("/a").await;
    let ask = get("/a").header("range", "bytes=0-0").header("if-range", OLD);
    assert_eq!(world.get(ask).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn rule_r10_a_condition_comes_before_a_range() {
    let world = stored().await;
    for range in ["bytes=0-0", "bytes=99-"] {
        let ask = get("/a").header("if-none-match", "\"1\"").header("range", range);
        let got = world.get(ask).await;
        assert_eq!(
            (got.status.as_u16(), got.body.as_str(), got.field("content-range")),
            (304, "", "")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_answer_that_is_whole_and_good_has_parts() {
    for code in [404, 203] {
        let world = World::new(move |_| Reply::ok("hello").code(code).cc("max-age=60"));
        world.get("/a").await;
        let got = world.get(get("/a").header("range", "bytes=0-0")).await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (code, "hello"));
    }
    let world = World::new(|_| Reply::ok("").cc("max-age=60"));
    world.get("/a").await;
    let got = world.get(get("/a").header("range", "bytes=-1")).await;
    assert_eq!((got.status.as_u16(), got.body.as_str()), (200, ""));
}

#[tokio::test(start_paused = true)]
async fn c3_a_date_that_proves_nothing_joins_no_parts() {
    const THEN: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    const LATER: &str = "Wed, 21 Oct 2015 07:30:00 GMT";
    let world = World::new(|call| {
        let reply = match call.n {
            1 => Reply::ok("AAAAAAAA").header("date", THEN),
            _ => Reply::ok("BBBBBBBB").header("date", LATER),
        };
        reply.cc("max-age=600").header("last-modified", THEN)
    });
    world.get("/a").await;
    world.purge_url("/a", PurgeMode::Hard).await;
    world.get("/a").await;
    let ask = get("/a").header("range", "bytes=4-").header("if-range", THEN);
    let part = world.get(ask).await;
    assert_eq!((part.status.as_u16(), part.body.as_str()), (200, "BBBBBBBB"));
}

#[tokio::test(start_paused = true)]
async fn a_vary_on_what_fetches_do_not_carry_costs_one_more_at_most() {
    for (name, value, most) in [
        ("range", "bytes=0-", 2),
        ("last-event-id", "7", 2),
        ("grip-last", "c; last-id=1", 1),
        ("grip-foo", "x", 1),
    ] {
        let world = World::new(move |call| {
            Reply::ok(call.n.to_string())
                .cc("max-age=60")
                .header("vary", name)
        });
        for _ in 0..3 {
            let got = world.get(get("/a").header(name, value)).await;
            assert!(got.status.is_success(), "{got:?}");
            assert!(world.origin.count() <= most, "{name}: {}", world.origin.count());
        }
    }
}

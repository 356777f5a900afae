//! Origins that do what they should not.

use gripstack::body::Held;
use gripstack::error::CloseDelimited;

use crate::origin::{Gate, Reply, Step};
use crate::world::{World, chunk, done, get, ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn org_01_a_body_that_breaks_off_is_broken_for_all_and_not_stored() {
    for sized in [false, true] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| {
            if call.n > 1 {
                return Reply::ok("whole").cc("max-age=60");
            }
            let reply = Reply::stream([
                Step::data("60 bytes"),
                Step::Wait(held.clone()),
                Step::Break("end of file before message length reached"),
            ]);
            if sized {
                reply.header("content-length", "100").cc("max-age=60")
            } else {
                reply.cc("max-age=60")
            }
        });
        let clients = [world.start("/a").await, world.start("/a").await];
        gate.open();
        for client in clients {
            let got = done(client).await;
            assert_eq!((got.body.as_str(), got.broken), ("60 bytes", true));
        }
        settle().await;
        world.is_empty();
        world
            .get("/a")
            .await
            .expect_short("whole", "fwd=uri-miss; stored");
    }
}

/// Below hyper this cannot happen; a service in the same process can do it.
#[tokio::test(start_paused = true)]
async fn org_01_a_body_shorter_or_longer_than_it_said_is_not_stored() {
    for length in ["100", "3"] {
        let world = World::new(move |call| match call.n {
            1 => Reply::stream([Step::data("60 "), Step::data("bytes")])
                .cc("max-age=60")
                .header("content-length", length),
            _ => Reply::ok("whole").cc("max-age=60").header("content-length", "5"),
        });
        let got = world.get("/a").await;
        assert!(got.broken, "{length}: {got:?}");
        settle().await;
        world.is_empty();
        world
            .get("/a")
            .await
            .expect_short("whole", "fwd=uri-miss; stored");
        world.get("/a").await.expect_short("whole", "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn org_03_who_joined_sees_the_error_too() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |_| {
        Reply::stream([
            Step::data("a"),
            Step::Wait(held.clone()),
            Step::data("b"),
            Step::Break("reset"),
        ])
        .cc("max-age=60")
    });
    let first = world.start("/a").await;
    let mut joined = Vec::new();
    for _ in 0..5 {
        joined.push(world.start("/a").await);
    }
    gate.open();
    for client in joined.into_iter().chain([first]) {
        let got = done(client).await;
        assert_eq!((got.body.as_str(), got.broken), ("ab", true));
    }
    assert_eq!(world.origin.count(), 1);
    settle().await;
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_with_its_connection_is_not_stored() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .extension(CloseDelimited)
    });
    world
        .get("/a")
        .await
        .expect_short("1", "fwd=uri-miss; stored=?0; detail=close-delimited");
    assert_eq!(world.get("/a").await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn org_07_a_304_that_nobody_asked_for_is_an_error() {
    let world = World::new(|call| match call.n {
        ..4 => Reply::not_modified().cc("max-age=60").header("etag", "\"1\""),
        _ => Reply::ok("a").cc("max-age=60"),
    });
    let clients = [world.start("/a").await, world.start("/a").await];
    for client in clients {
        let got = done(client).await;
        assert_eq!(
            (got.status.as_u16(), got.field("gripstack-error")),
            (502, "unasked-304")
        );
    }
    // Also for a client that made a condition, which the fill did not pass on.
    let got = world.get(get("/a").header("if-none-match", "\"1\"")).await;
    assert_ne!(got.status, 200);
    for _ in 0..5 {
        world.get("/a").await;
    }
    assert_eq!(world.get("/a").await.body, "a");
}

#[tokio::test(start_paused = true)]
async fn org_07_also_where_nothing_is_cached() {
    let world = World::new(|call| match call.n {
        2 => Reply::not_modified(),
        _ => Reply::ok("a").cc("private"),
    });
    world.get("/a").await;
    assert_eq!(world.get("/a").await.status, 502);
    assert_eq!(world.get("/a").await.body, "a");
}

#[tokio::test(start_paused = true)]
async fn org_09_a_206_that_nobody_asked_for_passes_unstored() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .code(206)
            .cc("max-age=60")
            .header("content-range", "bytes 0-0/10")
    });
    for n in 1..4 {
        let got = world.get("/a").await;
        assert_eq!((got.status.as_u16(), got.body), (206, n.to_string()));
    }
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn org_11_a_coding_that_was_not_asked_for_is_stored_as_it_came() {
    let world = World::new(|_| {
        Reply::ok("zipped")
            .cc("max-age=60")
            .header("content-encoding", "gzip")
    });
    for _ in 0..2 {
        let got = world.get("/a").await;
        assert_eq!(
            (got.body.as_str(), got.field("content-encoding")),
            ("zipped", "gzip")
        );
    }
    assert_eq!(world.origin.count(), 1);
    // Not for a hold: what is pushed is appended to its body, as it is.
    let got = world.get(get("/a").by_hold()).await;
    assert_eq!(got.in_short().1, "fwd=uri-miss; stored");
}

#[tokio::test(start_paused = true)]
async fn org_12_trailers_do_not_count_as_headers() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("cache-control", "no-store".parse().expect("a value"));
    let world = World::new(move |_| {
        Reply::stream([Step::data("a"), Step::Trailers(trailers.clone())]).cc("max-age=60")
    });
    world.get("/a").await;
    let got = world.get("/a").await;
    assert_eq!(got.field("cache-control"), "max-age=60");
    got.expect_short("a", "hit");
}

#[tokio::test(start_paused = true)]
async fn org_14_what_connection_lists_stays_here() {
    let world = World::new(|_| {
        Reply::ok("a")
            .cc("max-age=60")
            .header("connection", "close, X-Secret")
            .header("x-secret", "1")
            .header("keep-alive", "timeout=5")
    });
    for _ in 0..2 {
        let got = world.get("/a").await;
        assert_eq!(
            (
                got.field("connection"),
                got.field("x-secret"),
                got.field("keep-alive")
            ),
            ("", "", "")
        );
    }
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn org_04_a_body_in_drips_passes_as_it_comes_and_costs_little() {
    let world = World::new(|_| {
        Reply::stream((0..200).flat_map(|_| [Step::Pause(secs(1)), Step::data("x")])).cc("max-age=600")
    });
    let client = world.start("/a").await;
    pass(secs(100)).await;
    let arriving = world.edge.cache().stats().arriving_bytes;
    assert!((90..100 * 100).contains(&arriving), "{arriving}");
    let got = tokio::time::timeout(secs(200), client)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(got.body.len(), 200);
    settle().await;
    world.is_idle();
    assert_eq!(world.get("/a").await.body.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_head_too_large_to_store_passes() {
    let large = "x".repeat(70_000);
    let world = World::new(move |call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("x-large", &large)
    });
    world
        .get("/a")
        .await
        .expect_short("1", "fwd=uri-miss; stored=?0; detail=too-large");
    assert_eq!(world.get("/a").await.body, "2");
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_held_already_is_for_its_own_request() {
    let world = World::new(|call| {
        Reply::stream([Step::data(call.n.to_string())])
            .cc("max-age=60")
            .extension(Held)
            .after(ms(10))
    });
    let clients = [world.start("/a").await, world.start("/a").await];
    let mut bodies = Vec::new();
    for client in clients {
        bodies.push(done(client).await.body);
    }
    bodies.sort();
    assert_eq!(bodies, ["1", "2"]);
    let response = world.response("/a").await;
    assert!(
        response.extensions().get::<Held>().is_some(),
        "the server must know"
    );
    drop(response);
    settle().await;
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn an_endless_body_of_an_uncacheable_answer_is_never_buffered() {
    for fields in [
        &[("content-type", "text/event-stream")][..],
        &[("cache-control", "no-store")],
        &[
            ("content-type", "application/grpc"),
            ("cache-control", "max-age=60"),
        ],
    ] {
        let world = World::new(move |_| {
            let reply = Reply::stream([
                Step::data("first"),
                Step::Pause(secs(1)),
                Step::Forever(chunk(1_000)),
            ]);
            fields
                .iter()
                .fold(reply, |reply, (name, value)| reply.header(name, value))
        });
        let response = world.response("/a").await;
        let mut body = response.into_body();
        for _ in 0..1_000 {
            let frame = http_body_util::BodyExt::frame(&mut body).await;
            frame.expect("endless").expect("whole");
            assert_eq!(world.edge.cache().stats().arriving_bytes, 0);
        }
        drop(body);
        settle().await;
        world.is_empty();
    }
}

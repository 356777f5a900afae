//! Bounds.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gripstack::cache::CacheConfig;
use gripstack::{Edge, EdgeBody};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use crate::origin::{Gate, Reply, Step};
use crate::world::{World, chunk, done, get, ms, pass, secs, settle};

type Boxed = BoxCloneSyncService<Request<EdgeBody>, Response<EdgeBody>, Infallible>;

fn config(capacity: u64, largest: u64) -> CacheConfig {
    CacheConfig::new()
        .capacity_bytes(capacity)
        .max_object_bytes(largest)
}

#[tokio::test(start_paused = true)]
async fn mem_01_what_is_stored_never_weighs_more_than_the_capacity() {
    let world = World::config(config(4 << 20, 100_000), |_| {
        Reply::ok(chunk(1_000)).cc("max-age=60")
    });
    for n in 0..10_000 {
        world.get(get(&format!("/{n}"))).await;
        let stats = world.edge.cache().stats();
        assert!(stats.bytes <= 4 << 20, "{stats:?}");
    }
    settle().await;
    let stats = world.edge.cache().stats();
    assert!(stats.bytes > 2 << 20, "{stats:?}");
    assert_eq!(stats.urls, stats.entries, "nothing is remembered of what is gone");
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn mem_02_the_largest_is_kept_and_one_byte_more_passes() {
    for (size, kept) in [(100_000, true), (100_001, false)] {
        for sized in [true, false] {
            let world = World::config(config(4 << 20, 100_000), move |call| {
                let body = if call.uri.path() == "/big" {
                    chunk(size)
                } else {
                    chunk(10)
                };
                let reply = Reply::stream([Step::Data(body.slice(..5)), Step::Data(body.slice(5..))]);
                let reply = reply.cc("max-age=60");
                if sized {
                    reply.header("content-length", &body.len().to_string()).sized()
                } else {
                    reply
                }
            });
            for n in 0..20 {
                world.get(get(&format!("/{n}"))).await;
            }
            assert_eq!(world.get("/big").await.body.len(), size);
            settle().await;
            let got = world.get("/big").await;
            assert_eq!(
                (got.body.len(), got.in_short().1 == "hit"),
                (size, kept),
                "{sized}"
            );
            for n in 0..20 {
                assert_eq!(world.get(get(&format!("/{n}"))).await.in_short().1, "hit");
            }
            world.is_idle();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn mem_03_who_reads_what_is_evicted_reads_it_to_its_end() {
    let world = World::config(config(1 << 20, 200_000), |call| {
        let steps = (0..100).map(|_| Step::Data(chunk(1_500)));
        match call.uri.path() {
            "/a" => Reply::stream(steps).cc("max-age=60"),
            _ => Reply::ok(chunk(100_000)).cc("max-age=60"),
        }
    });
    world.get("/a").await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut response = world.response("/a").await;
        response
            .body_mut()
            .frame()
            .await
            .expect("a frame")
            .expect("whole");
        readers.push(response);
    }
    for n in 0..100 {
        world.get(get(&format!("/{n}"))).await;
    }
    for reader in readers {
        let rest = reader.into_body().collect().await.expect("whole").to_bytes();
        assert_eq!(rest.len(), 148_500);
    }
    assert_eq!(
        world.get("/a").await.in_short().1,
        "fwd=uri-miss; stored",
        "it was evicted"
    );
}

#[tokio::test(start_paused = true)]
async fn mem_04_without_room_for_what_arrives_it_passes_unstored() {
    let gate = Gate::new();
    let held = gate.clone();
    let config = CacheConfig::new().flight_budget_bytes(50_000);
    let world = World::config(config, move |call| match call.uri.path() {
        "/first" => Reply::stream([Step::Data(chunk(40_000)), Step::Wait(held.clone())]).cc("max-age=60"),
        _ => Reply::stream((0..30).map(|_| Step::Data(chunk(1_000)))).cc("max-age=60"),
    });
    let first = world.start("/first").await;
    assert_eq!(world.get("/second").await.body.len(), 30_000);
    settle().await;
    let stats = world.edge.cache().stats();
    assert!(stats.arriving_bytes <= 50_000, "{stats:?}");
    let got = world.get("/second").await;
    assert_eq!(got.in_short().1, "fwd=uri-miss; stored=?0; detail=memory");
    gate.open();
    assert_eq!(done(first).await.body.len(), 40_000);
    settle().await;
    world.is_idle();
    world.get("/second").await;
    assert_eq!(world.get("/second").await.in_short().1, "hit");
}

#[tokio::test(start_paused = true)]
async fn mem_04_a_full_budget_is_told_at_the_head() {
    let gate = Gate::new();
    let held = gate.clone();
    let config = CacheConfig::new().flight_budget_bytes(10_000);
    let world = World::config(config, move |call| match call.uri.path() {
        "/first" => Reply::stream([Step::Data(chunk(9_936)), Step::Wait(held.clone())]).cc("max-age=60"),
        _ => Reply::ok("a").cc("max-age=60"),
    });
    let first = world.start("/first").await;
    world
        .get("/second")
        .await
        .expect_short("a", "fwd=uri-miss; stored=?0; detail=memory");
    gate.open();
    done(first).await;
}

#[tokio::test(start_paused = true)]
async fn mem_05_a_million_chunks_of_one_byte_cost_their_bytes() {
    let world = World::new(|_| {
        let byte = chunk(1);
        Reply::stream((0..1_000_000).map(move |_| Step::Data(byte.clone()))).cc("max-age=60")
    });
    assert_eq!(world.get("/a").await.body.len(), 1_000_000);
    settle().await;
    world.is_idle();
    // Put together: one frame.
    let response = world.response("/a").await;
    let mut body = response.into_body();
    let frame = body.frame().await.expect("a frame").expect("whole");
    assert_eq!(frame.into_data().expect("data").len(), 1_000_000);
    assert!(body.frame().await.is_none());
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn mem_06_a_header_at_random_makes_no_more_variants_than_a_url_may_have() {
    let world = World::new(|call| {
        Reply::ok(call.header("x-random").unwrap_or_default().to_owned())
            .cc("max-age=60")
            .header("vary", "x-random")
    });
    for n in 0..10_000 {
        let value = n.to_string();
        let got = world.get(get("/a").header("x-random", &value)).await;
        assert_eq!(got.body, value);
    }
    settle().await;
    let stats = world.edge.cache().stats();
    assert!(stats.entries <= 64, "{stats:?}");
    // The last ones are there.
    let got = world.get(get("/a").header("x-random", "9999")).await;
    got.expect_short("9999", "hit");
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn mem_07_a_scan_leaves_most_of_what_is_hot() {
    let world = World::config(config(4 << 20, 100_000), |_| {
        Reply::ok(chunk(1_000)).cc("max-age=6000")
    });
    for _ in 0..5 {
        for hot in 0..500 {
            world.get(get(&format!("/hot/{hot}"))).await;
        }
    }
    for n in 0..25_000 {
        world.get(get(&format!("/scan/{n}"))).await;
        if n % 10 == 0 {
            world.get(get(&format!("/hot/{}", n / 10 % 500))).await;
        }
    }
    let before = world.origin.count();
    for hot in 0..500 {
        world.get(get(&format!("/hot/{hot}"))).await;
    }
    let lost = world.origin.count() - before;
    assert!(lost < 150, "{lost} of 500");
    assert!(world.edge.cache().stats().bytes <= 4 << 20);
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_for_nobody_is_forgotten() {
    let world = World::new(|call| match call.n % 3 {
        0 => Reply::ok("a").cc("no-store"),
        1 => Reply::status(503),
        _ => Reply::ok("a").cc("max-age=0"),
    });
    for n in 0..1_000 {
        world.get(get(&format!("/{n}"))).await;
    }
    pass(ms(1)).await;
    world.is_empty();
}

/// A cache in front of a body of this many chunks of 100 kB, and how many of them were taken.
fn long_body(chunks: usize, length: bool) -> (Edge, Boxed, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    let origin = service_fn(move |_: Request<EdgeBody>| {
        let counted = counted.clone();
        let piece = move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(chunk(100_000)))
        };
        let body = StreamBody::new(tokio_stream::iter((0..chunks).map(piece)));
        let mut response = Response::new(EdgeBody::new(body));
        let headers = response.headers_mut();
        headers.insert("cache-control", "max-age=60".parse().expect("valid"));
        if length {
            headers.insert("content-length", (chunks * 100_000).into());
        }
        async { Ok::<_, Infallible>(response) }
    });
    let edge = Edge::new();
    let service = BoxCloneSyncService::new(edge.cache_layer().layer(origin));
    (edge, service, taken)
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_what_is_not_stored_costs_little() {
    for length in [true, false] {
        let (edge, service, taken) = long_body(1_000, length);
        let reader = service.oneshot(get("/a").into_request()).await.expect("answered");
        pass(secs(10)).await;
        let bytes = taken.load(Ordering::Relaxed) as u64 * 100_000;
        let counted = edge.cache().stats().arriving_bytes;
        assert!(
            bytes < counted + 500_000,
            "{bytes}, of which {counted} are counted"
        );
        drop(reader);
        settle().await;
        assert_eq!(edge.cache().stats().arriving_bytes, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_gets_all_of_what_is_not_stored() {
    for length in [true, false] {
        let (edge, service, _) = long_body(300, length);
        let response = service.oneshot(get("/a").into_request()).await.expect("answered");
        let (mut body, mut bytes) = (response.into_body(), 0);
        while let Some(frame) = body.frame().await {
            bytes += frame.expect("whole").into_data().expect("data").len();
            // 5 kB/s
            pass(secs(10)).await;
        }
        assert_eq!(bytes, 30_000_000, "{length}");
        assert_eq!(edge.cache().stats().arriving_bytes, 0);
    }
}

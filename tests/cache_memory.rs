//! What the store takes of memory when its answers came over a socket: what it weighs, and not the buffers that they
//! were read into.
#![cfg(all(feature = "cache", feature = "origin"))]

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use bytes::Bytes;
use gripstack::cache::CacheConfig;
use gripstack::origin::Origin;
use gripstack::{Edge, EdgeBody};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt};

const OBJECTS: u64 = 500;

const PLAIN: &str = "Cache-Control: max-age=600\r\n";
const ORDINARY: &str = "Content-Type: text/plain; charset=utf-8\r\nCache-Control: max-age=600\r\n\
     ETag: \"0123456789abcdef\"\r\nLast-Modified: Tue, 03 Nov 2026 10:00:00 GMT\r\nVary: Accept-Encoding\r\n\
     X-Request-Id: 7d9c6a54-12f0-4bb0-9a2e-6d1b0f1c2a3e\r\nServer: origin\r\nX-Frame-Options: DENY\r\n";
const HELD: &str = "Content-Type: text/plain; charset=utf-8\r\nCache-Control: max-age=600\r\n\
     Grip-Hold: stream\r\nGrip-Channel: updates\r\nGrip-Channel: news; prev-id=1234\r\n\
     Grip-Keep-Alive: :\\n\\n; format=cstring; timeout=20\r\nSurrogate-Key: a b c\r\n";

/// Answers `/<bytes>/<anything>` with so many bytes, on as many connections as are made. Its memory is not this
/// thread's, so it is not counted.
fn origin(head: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer_all(&stream, head));
        }
    });
    addr
}

fn answer_all(stream: &TcpStream, head: &str) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let first = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let bytes: usize = first.split('/').nth(1)?.parse().ok()?;
        let mut answer = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {bytes}\r\n\r\n");
        answer.extend(std::iter::repeat_n('x', bytes));
        (&*stream).write_all(answer.as_bytes()).ok()?;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Stores objects of these sizes in turn. Returns what the heap grew by, and what the store says that it holds.
fn store(head: &'static str, sizes: &[usize]) -> (i64, u64) {
    let runtime = runtime();
    let edge = Edge::new();
    let origin = Origin::new(&format!("http://{}", origin(head))).expect("a URL");
    let cache = edge.cache_layer().layer(origin);
    let ask = |bytes: usize, name: u64| {
        let entries = edge.cache().stats().entries;
        runtime.block_on(async {
            let request = Request::get(format!("/{bytes}/{name}")).header("host", "example.com");
            let request = request.body(EdgeBody::empty()).expect("valid");
            let response = cache.clone().oneshot(request).await.expect("answered");
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.expect("whole").to_bytes();
            assert_eq!(body.len(), bytes);
            // It is stored by a task.
            while edge.cache().stats().entries == entries {
                tokio::task::yield_now().await;
            }
        });
    };
    // What is there once is not counted.
    ask(sizes[0], OBJECTS);
    let before = edge.cache().stats().bytes;
    let grown = allocation_counter::measure(|| {
        for (name, bytes) in (0..OBJECTS).zip(sizes.iter().cycle()) {
            ask(*bytes, name);
        }
    });
    (grown.bytes_current, edge.cache().stats().bytes - before)
}

/// Lists of so many short names.
fn names(count: usize, prefix: &str, separator: &str) -> String {
    let names: Vec<String> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    names.join(separator)
}

#[test]
fn what_an_answer_names_weighs_what_it_takes() {
    let vary = format!("{PLAIN}Vary: {}\r\n", names(300, "x", ","));
    let keys = format!("{PLAIN}Surrogate-Key: {}\r\n", names(300, "k", " "));
    let channels = format!("{PLAIN}Surrogate-Key: {}\r\n", names(60, "ch:", " "));
    let long = format!(
        "{PLAIN}Surrogate-Key: {}\r\n",
        names(15, &format!("ch:{:0>900}", 0), " ")
    );
    let unread = format!("{PLAIN}Surrogate-Key: {}\r\n", "k".repeat(20_000));
    for (what, head) in [
        ("vary", vary),
        ("keys", keys),
        ("unread", unread),
        ("channels", channels),
        ("long", long),
    ] {
        let (grown, weight) = store(head.leak(), &[100]);
        let (each, weighs) = (grown / OBJECTS as i64, weight / OBJECTS);
        println!("{what}: {each} bytes of heap an object, which weighs {weighs}");
        let weight = weight as i64;
        assert!(
            (weight * 3 / 4..=weight * 5 / 4).contains(&grown),
            "{what}: {each} bytes of heap an object, which weighs {weighs}"
        );
    }
}

#[test]
fn trailers_weigh_what_they_take() {
    let runtime = runtime();
    let edge = Edge::new();
    let origin = tower::service_fn(async |_: Request<EdgeBody>| {
        let mut trailers = http::HeaderMap::new();
        for n in 0..90 {
            let name: http::HeaderName = format!("x-{n}").parse().expect("valid");
            trailers.insert(name, "v".repeat(100).parse().expect("valid"));
        }
        let frames = [
            Frame::data(Bytes::from_static(b"body")),
            Frame::trailers(trailers),
        ];
        let body = StreamBody::new(tokio_stream::iter(frames.map(Ok::<_, Infallible>)));
        let response = Response::builder().header("cache-control", "max-age=600");
        Ok::<_, Infallible>(response.body(body).expect("valid"))
    });
    let cache = edge.cache_layer().layer(origin);
    let grown = allocation_counter::measure(|| {
        for n in 0..100 {
            runtime.block_on(async {
                let request = Request::get(format!("http://example.com/{n}")).body(EdgeBody::empty());
                let response = cache
                    .clone()
                    .oneshot(request.expect("valid"))
                    .await
                    .expect("answered");
                response.into_body().collect().await.expect("whole");
                while edge.cache().stats().entries == n {
                    tokio::task::yield_now().await;
                }
            });
        }
    });
    let weight = edge.cache().stats().bytes as i64;
    assert!(
        (weight * 3 / 4..=weight * 5 / 4).contains(&grown.bytes_current),
        "{} bytes of heap, which weigh {weight}",
        grown.bytes_current
    );
}

#[test]
fn the_store_takes_what_it_weighs_whatever_buffers_its_answers_came_in() {
    for (what, head) in [("plain", PLAIN), ("ordinary", ORDINARY), ("held", HELD)] {
        for sizes in [
            &[100][..],
            &[1_000],
            &[20_000],
            &[100_000],
            // Buffers for reading grow with what is read.
            &[100, 300_000],
            &[1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 300_000],
        ] {
            let (grown, weight) = store(head, sizes);
            let (each, weighs) = (grown / OBJECTS as i64, weight / OBJECTS);
            println!("{what}, {sizes:?}: {each} bytes of heap an object, which weighs {weighs}");
            // What allocators add is not counted.
            let weight = weight as i64;
            assert!(
                (weight * 7 / 8..=weight * 9 / 8).contains(&grown),
                "{what}, {sizes:?}: {each} bytes of heap an object, which weighs {weighs}"
            );
        }
    }
}

/// An edge with a cache of 2 MB and 1 MB for what is beside it, in front of an origin that answers pieces, and how much
/// memory is taken while nobody reads these bodies on. `read` reads as far as a client has read.
fn taken_by<B>(
    pieces: fn() -> B,
    length: Option<u64>,
    clients: usize,
    read: impl AsyncFn(Response<EdgeBody>, usize) -> Option<Response<EdgeBody>>,
) -> i64
where
    B: Iterator<Item = Bytes> + Send + 'static,
{
    let runtime = runtime();
    let edge = Edge::builder()
        .cache(
            CacheConfig::new()
                .capacity_bytes(2 << 20)
                .max_object_bytes(500_000)
                .flight_budget_bytes(1 << 20),
        )
        .build();
    let origin = tower::service_fn(move |_: Request<EdgeBody>| async move {
        let frames = pieces().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let body = StreamBody::new(tokio_stream::iter(frames));
        let mut response = Response::builder().header("cache-control", "max-age=600");
        if let Some(length) = length {
            response = response.header("content-length", length);
        }
        Ok::<_, Infallible>(response.body(body).expect("valid"))
    });
    let cache = edge.cache_layer().layer(origin);
    let mut held = Vec::with_capacity(2 * clients);
    let grown = allocation_counter::measure(|| {
        runtime.block_on(async {
            for client in 0..clients {
                // Once to have it stored, if it can be, and once for a hit.
                for _ in 0..2 {
                    let request = Request::get(format!("http://example.com/{client}"));
                    let request = request.body(EdgeBody::empty()).expect("valid");
                    let response = cache.clone().oneshot(request).await.expect("answered");
                    held.extend(read(response, client).await);
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
    });
    println!("{} bytes for {clients} clients", grown.bytes_current);
    let stats = edge.cache().stats();
    assert!(stats.memory_bytes <= 3 << 20, "{stats:?}");
    drop(held);
    grown.bytes_current
}

/// Whoever asks for many objects and reads none of them keeps no more than the bounds say, although each was stored.
#[test]
fn what_is_read_after_it_left_the_store_is_bounded() {
    let pieces = || (0..100).map(|_| Bytes::from(vec![b'x'; 4_000]));
    let taken = taken_by(pieces, None, 100, async |mut response, _| {
        if response.headers()["cache-status"].as_bytes().ends_with(b"stored") {
            while response.body_mut().frame().await.is_some() {}
            return None;
        }
        response.body_mut().frame().await;
        Some(response)
    });
    // And what passes unstored: a window each, and what is next.
    assert!(taken < (3 << 20) + 200 * 75_000, "{taken} bytes");
    assert!(taken < 100 * 400_000 / 2, "{taken} bytes");
}

/// Pieces may be as large as an origin likes.
#[test]
fn what_passes_unstored_waits_for_its_reader_with_few_bytes() {
    let pieces = || (0..).map(|_| Bytes::from(vec![b'x'; 50_000]));
    let taken = taken_by(pieces, None, 50, async |mut response, _| {
        response.body_mut().frame().await;
        Some(response)
    });
    assert!(taken < (3 << 20) + 100 * 160_000, "{taken} bytes");
}

/// Nor do the buffers wait that its pieces are cut from.
#[test]
fn what_passes_unstored_does_not_keep_the_buffers_that_its_pieces_are_cut_from() {
    let pieces = || (0..).map(|_| Bytes::from(vec![b'x'; 65_536]).slice(..100));
    let taken = taken_by(pieces, Some(10_000_000), 5, async |mut response, _| {
        response.body_mut().frame().await;
        Some(response)
    });
    assert!(taken < 10 * 300_000, "{taken} bytes");
}

/// Each grows up to the largest that is stored, before it is known that it does not end there.
#[test]
fn what_proves_too_large_counts_until_its_reader_has_had_it() {
    let pieces = || (0..).map(|_| Bytes::from(vec![b'x'; 1_000]));
    let taken = taken_by(pieces, None, 50, async |mut response, _| {
        response.body_mut().frame().await;
        Some(response)
    });
    assert!(taken < (3 << 20) + 100 * 75_000, "{taken} bytes");
}

/// Pieces of a body that are slices of larger buffers, each.
#[test]
fn a_stored_body_does_not_keep_the_buffers_that_its_pieces_are_cut_from() {
    const PIECES: usize = 100;
    let runtime = runtime();
    let edge = Edge::new();
    let origin = tower::service_fn(async |_: Request<EdgeBody>| {
        let piece = |_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 65_536]).slice(..2_000)));
        let body = StreamBody::new(tokio_stream::iter((0..PIECES).map(piece)));
        let response = Response::builder().header("cache-control", "max-age=600");
        Ok::<_, Infallible>(response.body(body).expect("valid"))
    });
    let cache = edge.cache_layer().layer(origin);
    let grown = allocation_counter::measure(|| {
        runtime.block_on(async {
            let request = Request::get("http://example.com/").body(EdgeBody::empty());
            let response = cache.oneshot(request.expect("valid")).await.expect("answered");
            let body = response.into_body().collect().await.expect("whole").to_bytes();
            assert_eq!(body.len(), PIECES * 2_000);
            while edge.cache().stats().entries == 0 {
                tokio::task::yield_now().await;
            }
        });
    });
    assert!(
        grown.bytes_current < 300_000,
        "{} bytes for {} of a body",
        grown.bytes_current,
        PIECES * 2_000
    );
}

/// Readers keep what they read, also when the store no longer does.
#[test]
fn who_does_not_read_what_is_evicted_costs_no_more_than_the_budget() {
    const READERS: i64 = 50;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    // A body in large pieces, and one in small ones, which is put together.
    for size in [50_000, 500] {
        let config = CacheConfig::new()
            .capacity_bytes(8 << 20)
            .max_object_bytes(4 << 20)
            .flight_budget_bytes(4 << 20);
        let edge = Edge::builder().cache(config).build();
        let origin = tower::service_fn(move |_: Request<EdgeBody>| async move {
            let piece = move |_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; size])));
            let body = StreamBody::new(tokio_stream::iter((0..2_000_000 / size).map(piece)));
            let response = Response::builder().header("cache-control", "max-age=600");
            Ok::<_, Infallible>(response.body(body).expect("valid"))
        });
        let cache = edge.cache_layer().layer(origin);
        let grown = allocation_counter::measure(|| {
            runtime.block_on(async {
                let mut readers = Vec::new();
                for n in 0..READERS {
                    let request = Request::get(format!("http://example.com/{n}")).body(EdgeBody::empty());
                    let response = cache
                        .clone()
                        .oneshot(request.expect("valid"))
                        .await
                        .expect("answered");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    readers.push(response);
                }
                std::mem::forget(readers);
            });
        });
        let most = (8 << 20) + (4 << 20) + READERS * 400_000;
        assert!(grown.bytes_current < most, "{} bytes", grown.bytes_current);
    }
}

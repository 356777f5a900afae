//! What a held connection takes of memory, in the whole stack: its socket, its hold, its place in the log.
#![cfg(all(feature = "serve", feature = "hold", feature = "cache"))]

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gripstack::serve::serve;
use gripstack::{Edge, EdgeBody, ServiceBuilderExt};
use http::{Request, Response};
use tower::ServiceBuilder;

const HOLDS: usize = 500;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Half of it is its connection's and the timer's, half of it its hold's.
const MOST_BYTES: i64 = 660;

/// Half of it is the runtime's: a task, and the socket's registration.
const MOST_WITHOUT_HEAD_BYTES: i64 = 4_096;

/// Lists have grown.
const MOST_LEFT_BYTES: i64 = 100;

async fn origin(_: Request<EdgeBody>) -> Result<Response<EdgeBody>, Infallible> {
    let response = Response::builder()
        .header("cache-control", "max-age=600")
        .header("content-type", "text/event-stream")
        .header("grip-hold", "stream")
        .header("grip-channel", "updates")
        .header("grip-keep-alive", ":\\n\\n; format=cstring; timeout=20");
    Ok(response.body("data: 1\n\n".into()).expect("valid"))
}

/// Of clients that are nobody's of this thread: each has the head and the initial body when it is given back.
fn clients(addr: SocketAddr, count: usize) -> std::thread::JoinHandle<Vec<TcpStream>> {
    let connect = move || {
        let mut client = TcpStream::connect(addr).expect("the server listens");
        client
            .write_all(b"GET /stream HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .expect("sent");
        let mut got = Vec::new();
        let mut buf = [0; 4096];
        while !got.ends_with(b"data: 1\n\n\r\n") {
            let n = client.read(&mut buf).expect("answered");
            assert_ne!(n, 0, "held: {}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&buf[..n]);
        }
        client
    };
    std::thread::spawn(move || (0..count).map(|_| connect()).collect())
}

/// Drives the server until it has come to this.
fn eventually(runtime: &tokio::runtime::Runtime, has_come: impl Fn() -> bool) {
    let looking = async {
        while !has_come() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let looked = runtime.block_on(async { tokio::time::timeout(PATIENCE, looking).await });
    looked.expect("it came to this");
}

#[test]
fn a_held_connection_takes_at_most_so_much() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let edge = Edge::builder().build();
    let stack = ServiceBuilder::new()
        .grip_hold(&edge)
        .edge_cache(&edge)
        .service_fn(origin);
    let _entered = runtime.enter();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let server = serve(listener, stack);
    let stats = server.stats();
    runtime.spawn(server.into_future());
    let hold = |count: usize, all: u64| {
        let clients = clients(addr, count);
        eventually(&runtime, || stats.parked() >= all);
        clients.join().expect("all are held")
    };
    let gone = || {
        eventually(&runtime, || stats.open() == 0);
    };
    // What is made once.
    let first = hold(50, 50);
    drop(first);
    gone();
    let held = std::cell::RefCell::new(Vec::new());
    let grown = allocation_counter::measure(|| drop(held.replace(hold(HOLDS, HOLDS as u64))));
    let each = grown.bytes_current / HOLDS as i64;
    println!(
        "{each} bytes and {} allocations for each, {} allocations to make it",
        grown.count_current / HOLDS as i64,
        grown.count_total / HOLDS as u64,
    );
    assert!(each <= MOST_BYTES, "{each}");
    let left = allocation_counter::measure(|| {
        drop(held.take());
        gone();
    });
    let left = (grown.bytes_current + left.bytes_current) / HOLDS as i64;
    println!("{left} bytes of each are there when all are gone");
    assert!(left <= MOST_LEFT_BYTES, "{left}");
}

/// hyper begins with the head: who sends one a byte a second has none of its buffers.
#[test]
fn a_connection_without_a_whole_head_takes_at_most_so_much() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let server = serve(listener, tower::service_fn(origin));
    let stats = server.stats();
    runtime.spawn(server.into_future());
    let connect = |count: usize, all: u64| {
        let connect = move || {
            let mut client = TcpStream::connect(addr).expect("the server listens");
            client.write_all(b"GET / HTTP/1.1\r\nHost: ").expect("sent");
            client
        };
        let clients = std::thread::spawn(move || (0..count).map(|_| connect()).collect::<Vec<_>>());
        eventually(&runtime, || stats.open() >= all && clients.is_finished());
        // It has read what came.
        runtime.block_on(async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        });
        clients.join().expect("all are there")
    };
    let first = connect(50, 50);
    let mut kept = Vec::new();
    let grown = allocation_counter::measure(|| kept = connect(HOLDS, HOLDS as u64 + 50));
    let each = grown.bytes_current / HOLDS as i64;
    println!(
        "{each} bytes and {} allocations for each",
        grown.count_current / HOLDS as i64
    );
    assert!(each <= MOST_WITHOUT_HEAD_BYTES, "{each}");
    drop((first, kept));
    eventually(&runtime, || stats.open() == 0);
}

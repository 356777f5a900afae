//! The last of an answer on HTTP/1, which hyper has and a slow reader has not.
#![cfg(feature = "serve")]

mod serve_support;

use std::time::Duration;

use gripstack::serve::Limits;
use gripstack::{EdgeBody, Waiting};
use http::Response;
use serve_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// One that is slow, but takes something each second, has no idle connection, whatever hyper has of its answer: that is 64 KiB,
/// or what came in one piece.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_http1_gets_its_answer_to_the_end() {
    for (bytes, per_second) in [(6_000_000, 64_000), (60_000, 500)] {
        let service = service(move |_| async move { Response::new(EdgeBody::from("x".repeat(bytes))) });
        let (pipes, server) = start_pipes(service, Limits::default());
        let mut client = pipes.connect(per_second);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut wire = Vec::new();
        let mut piece = vec![0; per_second];
        let got = |wire: &[u8]| wire.iter().rev().take_while(|byte| **byte == b'x').count();
        for second in 1.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let n = client.io.read(&mut piece).await.expect("a pipe");
            assert_ne!(n, 0, "cut after {second} s, {} of {bytes} bytes", got(&wire));
            wire.extend(&piece[..n]);
            if got(&wire) == bytes {
                break;
            }
        }
        assert_eq!(server.stats.stalled(), 0);
        // It is idle from when all is out, in the pipe at the last.
        let end = Instant::now();
        assert_eq!(client.io.read(&mut piece).await.expect("a pipe"), 0);
        assert!(
            (59..=60).contains(&end.elapsed().as_secs()),
            "{:?}",
            end.elapsed()
        );
    }
}

/// A client that has ended its side behind its request still wants its answer (`gripstack::Waiting`, RFC 9112 9.6), all of it, also
/// where it does not take it at once.
#[tokio::test(start_paused = true)]
async fn who_ends_its_side_gets_its_answer_to_the_end() {
    for version in ["1.1", "1.0"] {
        for bytes in [100, 60_000, 600_000] {
            let service = service(move |_| async move { Response::new(EdgeBody::from("x".repeat(bytes))) });
            let (pipes, server) = start_pipes(service, Limits::default());
            let mut client = pipes.connect(4096);
            client
                .send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"))
                .await;
            client.io.shutdown().await.expect("a pipe");
            let mut wire = Vec::new();
            client.io.read_to_end(&mut wire).await.expect("a pipe");
            let got = wire.iter().rev().take_while(|byte| **byte == b'x').count();
            assert_eq!(got, bytes, "HTTP/{version}");
            until("it is closed", || server.stats.open() == 0).await;
        }
    }
}

/// Who was kept waiting (`gripstack::Waiting`) waits no more when the answer comes: it is sent to its end, too.
#[tokio::test(start_paused = true)]
async fn who_ends_its_side_while_what_it_waited_for_comes_gets_all_of_it() {
    let service = service(|request| async move {
        request.extensions().get::<Waiting>().expect("HTTP/1").begin();
        tokio::time::sleep(Duration::from_secs(5)).await;
        Response::new(EdgeBody::from("x".repeat(60_000)))
    });
    let (pipes, server) = start_pipes(service, Limits::default());
    let mut client = pipes.connect(4096);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.bytes(500).await;
    client.io.shutdown().await.expect("a pipe");
    let mut wire = Vec::new();
    client.io.read_to_end(&mut wire).await.expect("a pipe");
    assert!(wire.len() > 59_500, "{} bytes", wire.len());
    until("it is closed", || server.stats.open() == 0).await;
}

/// What comes until the end of the connection to a reader of 8,000 bytes a second, when a drain begins after the first bytes.
async fn drained(request: &str) -> usize {
    let service = service(move |_| async move { Response::new(EdgeBody::from("x".repeat(30_000))) });
    let (pipes, mut server) = start_pipes(service, Limits::default());
    let mut client = pipes.connect(8_000);
    client.send(request).await;
    client.bytes(500).await;
    server.begin_drain();
    let mut got = 500;
    let mut piece = vec![0; 8_000];
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match client.io.read(&mut piece).await.expect("a pipe") {
            0 => break,
            n => got += n,
        }
    }
    assert_eq!(server.drained().await.cut, 0);
    got
}

/// A drain waits for answers up to its deadline, for what hyper has of them, too.
#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_ends_of_answers() {
    assert!(drained("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await > 30_000);
}

/// `Serve::drain`: a request that was sent whole before the signal is answered, on a kept connection too. The head of the answer
/// before it is out, and did not say that it is the last.
#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_came_behind_an_answer_that_is_still_read() {
    let got = drained("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(got > 60_000, "{got} bytes");
}

//! What takes too long, on a paused clock.
#![cfg(feature = "serve")]

mod serve_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use gripstack::EdgeBody;
use gripstack::serve::{Limits, Refusal};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serve_support::*;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// More time than any limit, so that the paused clock moves on to what should happen first.
async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(3_600), future)
        .await
        .expect("it happens at all")
}

#[tokio::test(start_paused = true)]
async fn a_head_has_ten_seconds_from_its_first_byte() {
    let (service, _) = echo();
    let (pipes, server) = start_pipes(service, Limits::default());
    for head in ["G", "GET / HTTP/1.1\r\nHost: a\r\n", "PRI * HTTP/2.0\r\n"] {
        let mut client = pipes.connect(4096);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let start = Instant::now();
        client.send(head).await;
        let refusal = in_time(client.answer()).await;
        assert_eq!(start.elapsed().as_secs(), 10, "{head:?}");
        assert_eq!(refusal.text(), "408 Request Timeout: the head took too long\n");
        assert_eq!(in_time(client.rest()).await, b"");
    }
    // One byte a second does not help.
    let mut client = pipes.connect(4096);
    let start = Instant::now();
    for byte in b"GET / HTTP" {
        client.send([*byte]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(in_time(client.answer()).await.status(), 408);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(server.stats.refused(Refusal::HeadTimeout), 4);
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_without_a_word() {
    let (service, _) = echo();
    let (pipes, _server) = start_pipes(service, Limits::default());
    let mut client = pipes.connect(4096);
    let start = Instant::now();
    assert_eq!(in_time(client.rest()).await, b"");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_a_minute_from_its_last_answer() {
    let service = service(|_| async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        Response::new(EdgeBody::from("slow"))
    });
    let (pipes, _server) = start_pipes(service, Limits::default());
    let mut client = pipes.connect(4096);
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(in_time(client.answer()).await.text(), "slow");
        tokio::time::sleep(Duration::from_secs(59)).await;
    }
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(in_time(client.answer()).await.text(), "slow");
    let start = Instant::now();
    assert_eq!(in_time(client.rest()).await, b"");
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_was_pipelined_in_part_gets_its_time_after_the_answer() {
    let service = service(|_| async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        Response::new(EdgeBody::from("slow"))
    });
    let (pipes, _server) = start_pipes(service, Limits::default());
    let mut client = pipes.connect(4096);
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n")
        .await;
    assert_eq!(in_time(client.answer()).await.text(), "slow");
    tokio::time::sleep(Duration::from_secs(9)).await;
    client.send("Host: a\r\n\r\n").await;
    assert_eq!(in_time(client.answer()).await.text(), "slow");
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_one_by_one() {
    let service = service(|request| async move {
        tokio::time::sleep(Duration::from_secs(100)).await;
        Response::new(EdgeBody::from(request.uri().path().to_owned()))
    });
    let (pipes, server) = start_pipes(service, Limits::default());
    let mut client = pipes.connect(4096);
    let request = |n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n");
    client
        .send(format!("{}{}{}", request(1), request(2), request(3)))
        .await;
    for n in 1..=3 {
        // While one is being answered, the next does not begin.
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!(server.stats.requests(), n, "one at a time");
        assert_eq!(in_time(client.answer()).await.text(), format!("/{n}"));
    }
    // More than is read ahead: the rest waits in the pipe, and is answered all the same.
    let many = 400;
    let requests: String = (0..many).map(request).collect();
    let (read, mut write) = tokio::io::split(client.io);
    tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut write, requests.as_bytes()).await });
    let mut client = Raw::new(tokio::io::join(read, tokio::io::sink()));
    for n in 0..many {
        let answer = tokio::time::timeout(Duration::from_secs(101), client.answer())
            .await
            .expect("in time");
        assert_eq!(answer.text(), format!("/{n}"));
    }
}

/// Behind so many bytes the end of a client's stream is not read: who gets nothing is taken to be gone.
#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_be_seen_to_leave_is_cut() {
    for field in ["X: y", "Connection: upgrade\r\nUpgrade: x"] {
        let (tell, told) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
        let told = Arc::new(parking_lot::Mutex::new(Some(told)));
        let service = service(move |_| {
            let told = told.clone();
            async move {
                // How long it takes to answer is its own business.
                tokio::time::sleep(Duration::from_secs(100)).await;
                let told = told.lock().take().expect("asked once");
                let frames = UnboundedReceiverStream::new(told).map(|text| {
                    let frame = Frame::data(Bytes::from_static(text.as_bytes()));
                    Ok::<_, gripstack::BoxError>(frame)
                });
                Response::new(EdgeBody::new(StreamBody::new(frames)))
            }
        });
        let (pipes, server) = start_pipes(service, Limits::default());
        let mut client = pipes.connect(64 * 1024);
        client
            .send(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"))
            .await;
        client.send("x".repeat(5_000)).await;
        in_time(client.head()).await;
        let mut start = Instant::now();
        // Who gets something is there.
        for text in ["a", "b", "c"] {
            tokio::time::sleep(Duration::from_secs(50)).await;
            tell.send(text).expect("somebody reads");
            start = Instant::now();
            in_time(client.bytes(6)).await;
        }
        let gone = async {
            while server.stats.open() > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        in_time(gone).await;
        assert_eq!(start.elapsed().as_secs(), 60, "{field}");
        assert_eq!(server.stats.stalled(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_slower_than_its_pace_ends_in_408() {
    let (service, _) = echo();
    let (pipes, server) = start_pipes(service, Limits::default());

    let mut client = pipes.connect(4096);
    let start = Instant::now();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")
        .await;
    let answer = in_time(client.answer()).await;
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(answer.text(), "408 Request Timeout: the body comes too slowly\n");
    assert_eq!(in_time(client.rest()).await, b"");
    assert_eq!(server.stats.refused(Refusal::BodyTooSlow), 1);

    // 50 bytes a second use up 30 s of credit in a minute.
    let client = pipes.connect(4096);
    let start = Instant::now();
    let (read, mut write) = tokio::io::split(client.io);
    let trickle = tokio::spawn(async move {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut write, head.as_bytes()).await?;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::io::AsyncWriteExt::write_all(&mut write, &[b'a'; 50]).await?;
        }
        #[expect(unreachable_code, reason = "names the type of the loop's error")]
        Ok::<(), std::io::Error>(())
    });
    let mut client = Raw::new(tokio::io::join(read, tokio::io::sink()));
    assert_eq!(in_time(client.answer()).await.status(), 408);
    let seconds = start.elapsed().as_secs();
    assert!((55..65).contains(&seconds), "{seconds}");
    trickle.abort();

    // 200 bytes a second are enough for ever.
    let mut client = pipes.connect(4096);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n")
        .await;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.send([b'a'; 200]).await;
    }
    assert_eq!(in_time(client.answer()).await.status(), 200);
}

/// gRPC is spoken on HTTP/2 alone; a type that only says so stops no clock.
#[tokio::test(start_paused = true)]
async fn no_type_of_a_body_stops_its_clock_on_http_1() {
    let (service, _) = echo();
    let (pipes, _server) = start_pipes(service, Limits::default());
    for kind in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-or-so",
    ] {
        let mut client = pipes.connect(4096);
        let start = Instant::now();
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 100000\r\n\r\nabc"
            ))
            .await;
        assert_eq!(in_time(client.answer()).await.status(), 408, "{kind}");
        assert_eq!(start.elapsed().as_secs(), 30, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn time_that_the_service_takes_is_not_the_bodys() {
    let service = service(|request| async {
        tokio::time::sleep(Duration::from_secs(300)).await;
        let body = request
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes();
        Response::new(EdgeBody::from(body))
    });
    let (pipes, _server) = start_pipes(service, Limits::default());
    let mut client = pipes.connect(4096);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        .await;
    tokio::time::sleep(Duration::from_secs(320)).await;
    client.send("llo").await;
    assert_eq!(in_time(client.answer()).await.text(), "hello");
}

/// A body without an end, as fast as it is read. The flag is set when it is dropped.
fn endless(dropped: Arc<AtomicBool>) -> EdgeBody {
    struct OnDrop(Arc<AtomicBool>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let guard = OnDrop(dropped);
    let frames = tokio_stream::iter(std::iter::repeat_with(move || {
        let _guard = &guard;
        Ok::<_, gripstack::BoxError>(Frame::data(Bytes::from_static(&[b'a'; 1000])))
    }));
    EdgeBody::new(StreamBody::new(frames))
}

#[tokio::test(start_paused = true)]
async fn a_reader_without_progress_is_cut_and_counted() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let service = service(move |_| {
        let body = endless(flag.clone());
        async move { Response::new(body) }
    });
    let (pipes, server) = start_pipes(service, Limits::default());
    let mut client = pipes.connect(4096);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // A slow reader that moves is left alone.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        client.bytes(2_000).await;
    }
    assert_eq!(server.stats.open(), 1);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(!dropped.load(SeqCst));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(dropped.load(SeqCst), "the body is dropped");
    assert_eq!((server.stats.stalled(), server.stats.open()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_http2_stream_without_progress_is_reset_and_the_others_go_on() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let service = service(move |request| {
        let body = match request.uri().path() {
            "/endless" => endless(flag.clone()),
            _ => EdgeBody::from("small"),
        };
        async move { Response::new(body) }
    });
    let (pipes, server) = start_pipes(service, Limits::default());
    let client = pipes.connect(1_000_000).io;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(client),
    )
    .await
    .expect("a handshake");
    tokio::spawn(connection);
    let get = |path: &str| {
        let uri = format!("http://a{path}");
        http::Request::builder()
            .uri(uri)
            .body(EdgeBody::empty())
            .expect("a request")
    };
    let mut stuck = in_time(sender.send_request(get("/endless")))
        .await
        .expect("an answer")
        .into_body();
    in_time(stuck.frame()).await.expect("a frame").expect("no error");
    for _ in 0..28 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let small = in_time(sender.send_request(get("/small")))
            .await
            .expect("an answer");
        assert_eq!(
            in_time(small.into_body().collect())
                .await
                .expect("a body")
                .to_bytes(),
            "small"
        );
    }
    assert!(!dropped.load(SeqCst));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(dropped.load(SeqCst), "the stream's body is dropped");
    assert_eq!((server.stats.stalled(), server.stats.open()), (1, 1));
    let small = in_time(sender.send_request(get("/small")))
        .await
        .expect("an answer");
    assert_eq!(
        in_time(small.into_body().collect())
            .await
            .expect("a body")
            .to_bytes(),
        "small"
    );
    let end = loop {
        match in_time(stuck.frame()).await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(
        end.is_some_and(|frame| frame.is_err()),
        "the client sees a reset, not an end"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_goes_away() {
    let (service, _) = echo();
    let (pipes, server) = start_pipes(service, Limits::default());
    let client = pipes.connect(65_536).io;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(client),
    )
    .await
    .expect("a handshake");
    let connection = tokio::spawn(connection);
    let request = http::Request::builder()
        .uri("http://a/")
        .body(EdgeBody::empty())
        .expect("a request");
    let answer = in_time(sender.send_request(request)).await.expect("an answer");
    in_time(answer.into_body().collect()).await.expect("a body");
    let start = Instant::now();
    // The client may still be writing when the server is gone: how it ends is not the point.
    let _ = in_time(connection).await.expect("no panic");
    assert_eq!(start.elapsed().as_secs(), 60);
    assert_eq!(server.stats.open(), 0);

    // A client that never speaks after its preface.
    let mut client = pipes.connect(65_536);
    let start = Instant::now();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    in_time(client.rest()).await;
    assert!(start.elapsed() < Duration::from_secs(70), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_does_not_read_acknowledgements_is_cut() {
    let (service, _) = echo();
    let (pipes, server) = start_pipes(service, Limits::default());
    let mut client = pipes.connect(4096);
    client
        .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    // PING frames, each of which asks for an answer that is never read.
    let ping = b"\0\0\x08\x06\0\0\0\0\0abcdefgh".repeat(100);
    let start = Instant::now();
    let flood = async {
        let mut sent = 0;
        while tokio::io::AsyncWriteExt::write_all(&mut client.io, &ping)
            .await
            .is_ok()
        {
            sent += ping.len();
        }
        sent
    };
    let sent = in_time(flood).await;
    assert!(sent < 100_000, "the server does not read on: {sent}");
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!((server.stats.stalled(), server.stats.open()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn limits_without_end_are_none() {
    let service = service(|request| async {
        let body = request
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes();
        Response::new(EdgeBody::from(body))
    });
    let mut limits = Limits::default();
    limits.head = Duration::MAX;
    limits.idle = Duration::MAX;
    limits.stall = Duration::MAX;
    limits.body_grace = Duration::MAX;
    let (pipes, _server) = start_pipes(service, limits);
    let mut client = pipes.connect(16);
    for piece in [
        "POST / HTTP/1.1\r\nHo",
        "st: a\r\nContent-Length: 4\r\n\r\n",
        "ab",
        "cd",
    ] {
        client.send(piece).await;
        tokio::time::sleep(Duration::from_secs(100_000)).await;
    }
    assert_eq!(client.answer().await.text(), "abcd");
}

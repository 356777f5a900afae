//! Failures are responses that say why.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use gripstack::EdgeBody;
use gripstack::error::OriginFailure;
use gripstack::origin::Origin;
use http::{Request, StatusCode};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::support::*;

async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn sta_11_a_refused_connection_is_a_502() {
    let origin = Origin::new(&closed_port().await).unwrap();
    for failures in 1..=3 {
        assert_failure(send(&origin, get("/")).await, OriginFailure::ConnectRefused).await;
        let (_, stats) = origin.stats().next().unwrap();
        assert_eq!(stats.requests(), failures);
        assert_eq!(stats.failures(OriginFailure::ConnectRefused), failures);
        assert_eq!(stats.consecutive_failures(), failures);
        assert_eq!(stats.answers(), 0);
    }
}

#[tokio::test]
async fn sta_11_a_name_that_does_not_resolve_is_a_502() {
    let origin = Origin::builder()
        .route("*", "http://does-not-exist.invalid:80")
        .connect_timeout(PATIENCE)
        .build()
        .unwrap();
    assert_failure(send(&origin, get("/")).await, OriginFailure::Dns).await;
}

#[tokio::test]
async fn no_time_is_too_long() {
    for method in ["GET", "POST"] {
        let (more, rest) = tokio::sync::oneshot::channel();
        let rest = Mutex::new(Some(rest));
        let raw = RawOrigin::new(move |mut conn| {
            let rest = rest.lock().take();
            async move {
                conn.head().await;
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na").await;
                rest.expect("one connection").await.unwrap();
                conn.send(b"b").await;
            }
        })
        .await;
        let origin = raw
            .builder()
            .connect_timeout(Duration::MAX)
            .first_byte_timeout(Duration::MAX)
            .other_first_byte_timeout(Duration::MAX)
            .between_bytes(Some(Duration::MAX))
            .idle_timeout(Duration::MAX)
            .build()
            .unwrap();
        let request = Request::builder().method(method).uri("/");
        let request = request.body(EdgeBody::from("up")).unwrap();
        let response = send(&origin, request).await;
        let waiting = tokio::spawn(read(response));
        tokio::task::yield_now().await;
        more.send(()).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), "ab", "{method}");
    }
}

#[tokio::test]
async fn sta_11_an_end_or_a_reset_before_the_head_is_a_502_and_asked_once() {
    for (answer, reset) in [("", false), ("", true), ("HTTP/1.1 200 OK\r\nContent-Le", false)] {
        for method in ["GET", "POST"] {
            let raw = RawOrigin::new(move |mut conn| async move {
                conn.head().await;
                conn.send(answer.as_bytes()).await;
                if reset {
                    conn.reset();
                }
            })
            .await;
            let request = Request::builder()
                .method(method)
                .uri("/")
                .body(EdgeBody::empty())
                .unwrap();
            assert_failure(send(&raw.origin(), request).await, OriginFailure::Reset).await;
            assert_eq!(raw.heads().len(), 1, "{method} is never sent twice");
        }
    }
}

#[tokio::test]
async fn garbage_is_a_502() {
    for garbage in [
        "garbage\r\n\r\n",
        "\x16\x03\x01\0\0",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "SSH-2.0-x\r\n",
    ] {
        let raw = RawOrigin::closing(garbage).await;
        assert_failure(send(&raw.origin(), get("/")).await, OriginFailure::Malformed).await;
    }
    let raw = RawOrigin::closing("HTTP/1.1 200 OK\r\nX Y: bad name\r\nContent-Length: 0\r\n\r\n").await;
    assert_failure(send(&raw.origin(), get("/")).await, OriginFailure::Malformed).await;
}

#[tokio::test]
async fn org_05_ambiguous_lengths_are_a_502_and_the_connection_is_left() {
    for (fields, failure) in [
        (
            "Content-Length: 2\r\nContent-Length: 3",
            OriginFailure::AmbiguousFraming,
        ),
        ("Content-Length: 2, 3", OriginFailure::AmbiguousFraming),
        ("Content-Length: +2", OriginFailure::AmbiguousFraming),
        (
            "Content-Length: 99999999999999999999",
            OriginFailure::AmbiguousFraming,
        ),
        (
            "Content-Length: 2\r\nTransfer-Encoding: chunked",
            OriginFailure::AmbiguousFraming,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 7",
            OriginFailure::AmbiguousFraming,
        ),
        // Read to the close of the connection, this would look whole, and decoded it would not be.
        ("Transfer-Encoding: chunked, x", OriginFailure::AmbiguousFraming),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
            OriginFailure::AmbiguousFraming,
        ),
        // Nobody asked for another coding, and nothing here would undo it.
        ("Transfer-Encoding: gzip", OriginFailure::AmbiguousFraming),
        ("Transfer-Encoding: identity", OriginFailure::AmbiguousFraming),
        ("Transfer-Encoding: odd", OriginFailure::AmbiguousFraming),
        ("Transfer-Encoding: \"chunked\"", OriginFailure::AmbiguousFraming),
        ("Transfer-Encoding:", OriginFailure::AmbiguousFraming),
        (
            "Transfer-Encoding: gzip, chunked",
            OriginFailure::AmbiguousFraming,
        ),
        (
            "Transfer-Encoding: chunked, chunked",
            OriginFailure::AmbiguousFraming,
        ),
    ] {
        let raw =
            RawOrigin::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n2\r\nok\r\n0\r\n\r\n")).await;
        let origin = raw.origin();
        for connections in 1..=2 {
            let answer = send(&origin, get("/")).await;
            assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{fields}");
            assert_failure(answer, failure).await;
            assert_eq!(raw.connections(), connections, "{fields}");
        }
    }
    // What chunks are HTTP/1.0 does not say (RFC 9112 6.1).
    let raw = RawOrigin::closing("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    let answer = send(&raw.origin(), get("/")).await;
    assert_failure(answer, OriginFailure::AmbiguousFraming).await;
    // No body, so hyper does not look: we do.
    let raw = RawOrigin::closing("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n").await;
    let head = Request::head("/").body(EdgeBody::empty()).unwrap();
    let answer = send(&raw.origin(), head).await;
    assert_failure(answer, OriginFailure::AmbiguousFraming).await;
}

#[tokio::test]
async fn org_07_a_304_that_nobody_asked_for_is_a_502() {
    let raw = RawOrigin::answering("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n").await;
    assert_failure(
        send(&raw.origin(), get("/")).await,
        OriginFailure::UnaskedNotModified,
    )
    .await;
    // Nor does one that the client's `Connection` takes away count as asked for.
    let mut listed = get("/");
    listed
        .headers_mut()
        .insert("if-none-match", "\"a\"".parse().unwrap());
    listed
        .headers_mut()
        .insert("connection", "if-none-match".parse().unwrap());
    assert_failure(
        send(&raw.origin(), listed).await,
        OriginFailure::UnaskedNotModified,
    )
    .await;
}

#[tokio::test]
async fn org_10_a_head_of_200_kib_is_a_502() {
    let long = format!("X-Long: {}\r\n", "x".repeat(200 * 1024));
    let many = "X-Many: y\r\n".repeat(20_000);
    for fields in [long, many] {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
        let raw = RawOrigin::closing(head).await;
        assert_failure(send(&raw.origin(), get("/")).await, OriginFailure::HeadTooLarge).await;
    }
    let below = format!(
        "HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 2\r\n\r\nok",
        "x".repeat(60 * 1024)
    );
    let raw = RawOrigin::closing(below).await;
    assert_eq!(read(send(&raw.origin(), get("/")).await).await.unwrap(), "ok");
}

/// What stands before the head counts, too, or an origin has the edge read for as long as it likes: some megabytes in each
/// poll, with others waiting (RFC 9110 15.2).
#[tokio::test]
async fn org_10_interim_answers_without_end_are_a_502() {
    /// More than any head may have, many times over.
    const MOST: usize = 8 << 20;
    let short = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1_000);
    let long = format!(
        "HTTP/1.1 103 Early Hints\r\nX-Long: {}\r\n\r\n",
        "x".repeat(40 * 1024)
    );
    for interim in [short, long] {
        for is_kept in [false, true] {
            let taken = Arc::<AtomicUsize>::default();
            let (count, interim) = (taken.clone(), interim.clone());
            let raw = RawOrigin::new(move |mut conn| {
                let (count, interim) = (count.clone(), interim.clone());
                async move {
                    conn.head().await;
                    if is_kept {
                        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                        conn.head().await;
                    }
                    while count.load(Relaxed) < MOST && conn.send(interim.as_bytes()).await {
                        count.fetch_add(interim.len(), Relaxed);
                    }
                    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                    conn.end().await;
                }
            })
            .await;
            let origin = raw.origin();
            if is_kept {
                assert_eq!(read(send(&origin, get("/")).await).await.unwrap(), "ok");
            }
            assert_failure(send(&origin, get("/")).await, OriginFailure::HeadTooLarge).await;
            raw.played().await;
            assert!(taken.load(Relaxed) < MOST, "{MOST} bytes and more were taken");
            assert_eq!(raw.connections(), 1, "it is not asked again");
        }
    }
}

#[tokio::test]
async fn a_head_may_have_many_fields_and_no_more() {
    let answer = |fields: usize| {
        let fields: String = (0..fields - 1).map(|n| format!("X-{n}: y\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok")
    };
    for (allowed, fields, is_answer) in [
        (1_000, 101, true),
        (1_000, 1_000, true),
        (1_000, 1_001, false),
        (50, 51, false),
    ] {
        let raw = RawOrigin::closing(answer(fields)).await;
        let origin = raw.builder();
        let origin = match allowed {
            1_000 => origin,
            other => origin.max_head_fields(other),
        };
        let answer = send(&origin.build().unwrap(), get("/")).await;
        match is_answer {
            // And Via.
            true => assert_eq!(answer.headers().len(), fields + 1),
            false => assert_failure(answer, OriginFailure::HeadTooLarge).await,
        }
    }
}

#[tokio::test]
async fn what_nobody_stores_or_holds_has_a_time_of_its_own() {
    let (soon, never) = (Duration::from_millis(100), Duration::from_secs(3_600));
    for (methods, first, others) in [
        (&["GET", "HEAD"][..], soon, never),
        (&["POST", "DELETE", "OPTIONS"], never, soon),
    ] {
        for method in methods {
            let raw = RawOrigin::new(|mut conn| async move {
                conn.head().await;
                conn.end().await;
            })
            .await;
            let origin = raw.builder().first_byte_timeout(first);
            let origin = origin.other_first_byte_timeout(others).build().unwrap();
            let mut request = get("/");
            *request.method_mut() = method.parse().unwrap();
            assert_failure(send(&origin, request).await, OriginFailure::FirstByteTimeout).await;
        }
    }
}

#[tokio::test]
async fn an_origin_that_never_answers_is_a_504() {
    let raw = RawOrigin::new(|mut conn| async move {
        conn.head().await;
        assert_eq!(conn.end().await, b"", "given up, the connection ends");
    })
    .await;
    let timeout = Duration::from_millis(100);
    let origin = raw.builder().first_byte_timeout(timeout).build().unwrap();
    let answer = send(&origin, get("/")).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_failure(answer, OriginFailure::FirstByteTimeout).await;
    raw.played().await;
}

#[tokio::test]
async fn org_04_a_head_that_drips_is_a_504() {
    let raw = RawOrigin::new(|mut conn| async move {
        conn.head().await;
        conn.send(b"HTTP/1.1 200 OK\r\nX-Slow: ").await;
        while conn.send(b"x").await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let timeout = Duration::from_millis(150);
    let origin = raw.builder().first_byte_timeout(timeout).build().unwrap();
    assert_failure(send(&origin, get("/")).await, OriginFailure::FirstByteTimeout).await;
}

/// A listener whose backlog is full drops what more there comes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_that_is_not_made_in_time_is_a_504() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    for _ in 0..8 {
        let connect = tokio::net::TcpStream::connect(addr);
        match tokio::time::timeout(Duration::from_millis(100), connect).await {
            Ok(stream) => filling.push(stream.unwrap()),
            Err(_) => break,
        }
    }
    let origin = Origin::builder()
        .route("*", &format!("http://{addr}"))
        .connect_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let answer = send(&origin, get("/")).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_failure(answer, OriginFailure::ConnectTimeout).await;
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_is_not_the_origins_fault() {
    use http_body_util::channel::Channel;
    let raw = RawOrigin::new(|mut conn| async move {
        conn.head().await;
        let body = conn.end().await;
        assert!(
            !body.ends_with(b"0\r\n\r\n"),
            "the origin must not take it for a whole one"
        );
    })
    .await;
    let (mut sender, body) = Channel::<bytes::Bytes, std::io::Error>::new(1);
    let request = Request::post("/").body(EdgeBody::new(body)).unwrap();
    let origin = raw.origin();
    let breaking = async {
        sender.send_data("abc".into()).await.unwrap();
        sender.abort(std::io::Error::other("gone"));
    };
    let (answer, ()) = tokio::join!(send(&origin, request), breaking);
    assert_failure(answer, OriginFailure::RequestBody).await;
    let (_, stats) = origin.stats().next().unwrap();
    assert_eq!(stats.consecutive_failures(), 0);
    raw.played().await;
}

#[tokio::test]
async fn an_answer_after_failures_ends_the_count_of_them() {
    let raw = RawOrigin::new(|mut conn| async move {
        conn.head().await;
        if conn.number > 1 {
            conn.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    let origin = raw.origin();
    for (status, in_a_row) in [(502, 1), (502, 2), (500, 0)] {
        assert_eq!(send(&origin, get("/")).await.status(), status);
        let (url, stats) = origin.stats().next().unwrap();
        assert_eq!(url, raw.url());
        assert_eq!(stats.consecutive_failures(), in_a_row);
    }
}

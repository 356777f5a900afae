//! What a client gets of an origin's answer.

use std::time::Duration;

use gripstack::EdgeBody;
use gripstack::error::{BehindCache, CloseDelimited, OriginFailure};
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use crate::support::*;

#[tokio::test]
async fn an_answer_arrives_as_it_was() {
    let raw = RawOrigin::closing(
        "HTTP/1.1 299 Sort of fine\r\nX-A: 1\r\nX-A: 2\r\nSet-Cookie: a=b\r\nAge: 007\r\nX-Empty:\r\n\
         X-Obs: \u{e9}\r\nGrip-Hold: stream\r\nContent-Length: 3\r\n\r\nabc",
    )
    .await;
    let answer = send(&raw.origin(), get("/")).await;
    assert_eq!(answer.status().as_u16(), 299);
    let headers = answer.headers();
    assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    for (name, value) in [
        ("set-cookie", "a=b"),
        ("age", "007"),
        ("x-empty", ""),
        ("grip-hold", "stream"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert_eq!(headers["x-obs"].as_bytes(), "\u{e9}".as_bytes());
    assert_eq!(headers["content-length"], "3");
    assert_eq!(answer.body().size_hint().exact(), Some(3));
    assert!(answer.extensions().get::<CloseDelimited>().is_none());
    assert_eq!(read(answer).await.unwrap(), "abc");
}

#[tokio::test]
async fn org_01_a_body_shorter_than_its_length_is_an_error() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    let raw = RawOrigin::closing(format!("{head}{}", "x".repeat(60))).await;
    let origin = raw.origin();
    let answer = send(&origin, get("/")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let (body, failure) = read_broken(answer).await;
    assert_eq!(body.len(), 60);
    assert_eq!(failure, Some(OriginFailure::BodyIncomplete));
    let (_, stats) = origin.stats().next().unwrap();
    assert_eq!(stats.failures(OriginFailure::BodyIncomplete), 1);
    assert_eq!((stats.answers(), stats.consecutive_failures()), (1, 0));
}

#[tokio::test]
async fn org_02_a_body_longer_than_its_length_is_cut_and_its_connection_left() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let raw = RawOrigin::answering(format!("{head}{}", "x".repeat(36))).await;
    let origin = raw.origin();
    for connections in 1..=3 {
        assert_eq!(read(send(&origin, get("/")).await).await.unwrap(), "xxxxxxxxxx");
        assert_eq!(raw.connections(), connections);
    }
}

#[tokio::test]
async fn org_03_chunks_without_a_last_one_are_an_error() {
    for end in ["", "3\r\nab", "zz\r\n", "fffffffffffffffff\r\n"] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let raw = RawOrigin::closing(format!("{head}3\r\nabc\r\n{end}")).await;
        let (body, failure) = read_broken(send(&raw.origin(), get("/")).await).await;
        assert!(body.starts_with(b"abc"));
        assert_eq!(failure, Some(OriginFailure::BodyIncomplete), "{end:?}");
    }
}

#[tokio::test]
async fn org_12_trailers_pass_and_stay_trailers() {
    let raw = RawOrigin::closing(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\nGrip-Hold: stream\r\nGrip-Channel: secret\r\n\
         Surrogate-Key: k\r\nContent-Length: 3\r\nCache-Control: max-age=9\r\nLocation: /\r\n\r\n",
    )
    .await;
    let answer = send(&raw.origin(), get("/")).await;
    assert!(!answer.headers().contains_key("x-sum"));
    let body = answer.into_body().collect().await.unwrap();
    let trailers = body.trailers().unwrap();
    assert_eq!(trailers["x-sum"], "1");
    // Whoever merges them would read another message (RFC 9110 6.5.1).
    assert_eq!(trailers.len(), 1, "{trailers:?}");
    assert_eq!(body.to_bytes(), "abc");
}

#[tokio::test]
async fn org_13_interim_answers_leave_no_trace() {
    let raw = RawOrigin::closing(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Early: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let answer = send(&raw.origin(), get("/")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.headers().keys().collect::<Vec<_>>(),
        ["content-length", "via"]
    );
    assert_eq!(read(answer).await.unwrap(), "ok");
}

/// What counts is what comes before the head: not its body, nor the next answers of the connection.
#[tokio::test]
async fn org_13_a_body_behind_interim_answers_may_be_long() {
    let body = "b".repeat(1 << 20);
    let early = format!(
        "HTTP/1.1 103 Early Hints\r\nX-Long: {}\r\n\r\n",
        "x".repeat(20 * 1024)
    );
    let length = body.len();
    let answer = format!("{early}{early}HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    let raw = RawOrigin::answering(answer).await;
    let origin = raw.origin();
    for _ in 0..5 {
        assert_eq!(read(send(&origin, get("/")).await).await.unwrap(), body);
    }
    assert_eq!(raw.connections(), 1);
}

#[tokio::test]
async fn org_14_fields_of_the_connection_are_removed() {
    let raw = RawOrigin::closing(
        "HTTP/1.1 200 OK\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nX-Kept: 1\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    let answer = send(&raw.origin(), get("/")).await;
    assert_eq!(answer.headers().keys().collect::<Vec<_>>(), ["x-kept", "via"]);
    assert_eq!(read(answer).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_says_so() {
    let raw = RawOrigin::closing("HTTP/1.0 200 OK\r\n\r\nabc").await;
    let answer = send(&raw.origin(), get("/")).await;
    assert!(answer.extensions().get::<CloseDelimited>().is_some());
    assert_eq!(answer.headers().keys().collect::<Vec<_>>(), ["via"]);
    assert_eq!(answer.version(), http::Version::HTTP_11);
    assert_eq!(read(answer).await.unwrap(), "abc");
}

#[tokio::test]
async fn answers_without_a_body_keep_their_length_field() {
    let raw = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    let origin = raw.origin();
    for _ in 0..2 {
        let head = Request::head("/").body(EdgeBody::empty()).unwrap();
        let answer = send(&origin, head).await;
        assert_eq!(answer.headers()["content-length"], "1000");
        assert!(answer.body().is_end_stream());
        assert!(answer.extensions().get::<CloseDelimited>().is_none());
        assert_eq!(read(answer).await.unwrap(), "");
    }
    assert_eq!(raw.connections(), 1);
}

#[tokio::test]
async fn equal_lengths_become_one() {
    let raw = RawOrigin::closing("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok").await;
    let answer = send(&raw.origin(), get("/")).await;
    assert_eq!(
        answer
            .headers()
            .get_all("content-length")
            .iter()
            .collect::<Vec<_>>(),
        ["2"]
    );
    assert_eq!(read(answer).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_304_that_was_asked_for_passes() {
    let raw = RawOrigin::answering("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n").await;
    for (name, value) in [
        ("if-none-match", "\"a\""),
        ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ] {
        let mut request = get("/");
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = send(&raw.origin(), request).await;
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer.headers()["etag"], "\"a\"");
    }
}

#[tokio::test]
async fn org_04_a_body_that_pauses_too_long_breaks_off_unless_it_streams_events() {
    for (kind, silence, breaks) in [
        ("text/plain", None, true),
        ("text/event-stream-or-so", None, true),
        ("Text/Event-Stream; charset=utf-8", None, false),
        ("text/event-stream", Some(Duration::from_secs(60)), false),
        ("text/event-stream", Some(Duration::from_millis(100)), true),
    ] {
        let raw = RawOrigin::new(move |mut conn| async move {
            conn.head().await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 6\r\n\r\nabc");
            conn.send(head.as_bytes()).await;
            conn.hang().await;
        })
        .await;
        let origin = raw
            .builder()
            .between_bytes(Some(Duration::from_millis(100)))
            .stream_silence(silence)
            .build()
            .unwrap();
        let mut body = send(&origin, get("/")).await.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        let next = tokio::time::timeout(Duration::from_millis(500), body.frame()).await;
        assert_eq!(next.is_ok(), breaks, "{kind}");
        if let Ok(next) = next {
            let error = next.unwrap().unwrap_err();
            assert!(
                error.to_string().contains("origin-between-bytes-timeout"),
                "{error}"
            );
        }
    }
}

/// The origin can be ahead of the reader by what the sockets and one connection's buffers hold, whatever the
/// size of the body.
#[tokio::test]
async fn a_gigabyte_streams_in_bounded_memory() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    const TOTAL: u64 = 1 << 30;
    const AHEAD: u64 = 32 << 20;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let raw = RawOrigin::new(move |mut conn| {
        let sent = counter.clone();
        async move {
            conn.head().await;
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {TOTAL}\r\n\r\n").as_bytes())
                .await;
            let chunk = vec![7; 1 << 18];
            while sent.load(Relaxed) < TOTAL && conn.send(&chunk).await {
                sent.fetch_add(chunk.len() as u64, Relaxed);
            }
        }
    })
    .await;
    let mut body = send(&raw.origin(), get("/")).await.into_body();
    let mut got = 0;
    // Not reading for a while: the origin stalls.
    tokio::time::sleep(Duration::from_millis(200)).await;
    while let Some(frame) = body.frame().await {
        got += frame.unwrap().into_data().unwrap().len() as u64;
        let ahead = sent.load(Relaxed).saturating_sub(got);
        assert!(ahead < AHEAD, "the origin is {ahead} bytes ahead");
    }
    assert_eq!(got, TOTAL);
}

#[tokio::test]
async fn x1_an_answer_says_that_a_foreign_cache_stands_between() {
    let raw = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await;
    for behind in [false, true] {
        let origin = raw.builder().behind_cache(behind).build().expect("valid");
        let answer = send(&origin, get("/")).await;
        assert_eq!(answer.extensions().get::<BehindCache>().is_some(), behind);
    }
}

//! Connections: when they are used again, when not, and that nothing is sent twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gripstack::EdgeBody;
use gripstack::error::OriginFailure;
use http::{Request, StatusCode};
use http_body_util::channel::Channel;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// How many connections two requests need, one after the other.
async fn connections_for_two(answer: &str) -> usize {
    let raw = RawOrigin::answering(answer).await;
    let origin = raw.origin();
    for _ in 0..2 {
        assert_eq!(read(send(&origin, get("/")).await).await.unwrap(), "ok");
    }
    assert_eq!(raw.heads().len(), 2);
    raw.connections()
}

#[tokio::test]
async fn a_connection_is_used_again() {
    assert_eq!(connections_for_two(OK).await, 1);
}

#[tokio::test]
async fn a_connection_that_the_origin_will_close_sooner_than_we_is_not() {
    for (announced, connections) in [
        ("timeout=5, max=100", 1),
        ("timeout=4", 2),
        ("max=9, Timeout=1", 2),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {announced}\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(connections_for_two(&answer).await, connections, "{announced}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_the_origin_would() {
    let ended = Arc::new(Notify::new());
    let end = ended.clone();
    let raw = RawOrigin::new(move |mut conn| {
        let end = end.clone();
        async move {
            conn.head().await;
            conn.send(OK.as_bytes()).await;
            conn.end().await;
            end.notify_one();
        }
    })
    .await;
    let origin = raw
        .builder()
        .idle_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    read(send(&origin, get("/")).await).await.unwrap();
    tokio::time::timeout(PATIENCE, ended.notified())
        .await
        .expect("the idle connection ends");
}

#[tokio::test]
async fn a_connection_closed_while_idle_makes_no_request_go_twice() {
    for method in ["GET", "POST"] {
        let raw = RawOrigin::closing(OK).await;
        let origin = raw.origin();
        for _ in 0..50 {
            let request = Request::builder().method(method).uri("/");
            let request = request
                .body(if method == "POST" {
                    "abc".into()
                } else {
                    EdgeBody::empty()
                })
                .unwrap();
            let answer = send(&origin, request).await;
            // The end of the connection races with the next request; it may lose, but not by a second sending of what
            // may not be sent twice.
            if method == "GET" || answer.status() == StatusCode::OK {
                assert_eq!(answer.status(), StatusCode::OK);
                read(answer).await.unwrap();
            } else {
                assert_failure(answer, OriginFailure::Reset).await;
            }
        }
        assert!(raw.heads().len() <= 50);
    }
}

/// An origin whose connections end in the place of the second answer; from the `dead`th on, of the first.
async fn closing_on_reuse(dead: usize) -> RawOrigin {
    RawOrigin::new(move |mut conn| async move {
        conn.head().await;
        if conn.number < dead {
            conn.send(OK.as_bytes()).await;
            conn.head().await;
        }
    })
    .await
}

fn with_method(method: &str) -> Request<EdgeBody> {
    let request = Request::builder().method(method).uri("/").header("x-own", "1");
    request.body(EdgeBody::empty()).unwrap()
}

#[tokio::test]
async fn a_safe_request_is_sent_once_more_where_its_kept_connection_ends() {
    for method in ["GET", "OPTIONS"] {
        let raw = closing_on_reuse(9).await;
        let origin = raw.origin();
        read(send(&origin, get("/")).await).await.unwrap();
        let answer = send(&origin, with_method(method)).await;
        assert_eq!(read(answer).await.unwrap(), "ok", "{method}");
        assert_eq!((raw.connections(), raw.heads().len()), (2, 3), "{method}");
        assert_eq!(raw.heads()[1], raw.heads()[2], "{method}: the same request");
        let retries: Vec<_> = origin.stats().map(|(_, stats)| stats.retries()).collect();
        assert_eq!(retries, [1], "{method}");
    }
}

#[tokio::test]
async fn it_is_sent_once_more_and_not_twice() {
    let raw = closing_on_reuse(1).await;
    let origin = raw.origin();
    read(send(&origin, get("/")).await).await.unwrap();
    assert_failure(send(&origin, get("/")).await, OriginFailure::Reset).await;
    assert_eq!((raw.connections(), raw.heads().len()), (2, 3));
}

#[tokio::test]
async fn what_may_have_changed_something_is_not_sent_again() {
    for (method, body) in [("POST", ""), ("POST", "abc"), ("DELETE", ""), ("GET", "abc")] {
        let raw = closing_on_reuse(9).await;
        let origin = raw.origin();
        read(send(&origin, get("/")).await).await.unwrap();
        let request = with_method(method).map(|_| EdgeBody::from(body));
        assert_failure(send(&origin, request).await, OriginFailure::Reset).await;
        assert_eq!((raw.connections(), raw.heads().len()), (1, 2), "{method} {body}");
    }
}

/// Several kept connections end at once: what is sent once more does not meet another one of them.
#[tokio::test]
async fn kept_connections_that_end_at_once_cost_nobody_an_answer() {
    const SIBLINGS: usize = 8;
    let all = Arc::new(tokio::sync::Barrier::new(SIBLINGS));
    let raw = RawOrigin::new(move |mut conn| {
        let all = all.clone();
        async move {
            conn.head().await;
            if conn.number < SIBLINGS {
                // So that there are so many.
                all.wait().await;
            }
            conn.send(OK.as_bytes()).await;
            conn.head().await;
        }
    })
    .await;
    let origin = raw.origin();
    for _ in 0..2 {
        let asked: Vec<_> = (0..SIBLINGS)
            .map(|_| {
                let origin = origin.clone();
                tokio::spawn(async move { read(send(&origin, get("/")).await).await.unwrap() })
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.await.unwrap(), "ok");
        }
    }
    assert_eq!(
        (raw.connections(), raw.heads().len()),
        (2 * SIBLINGS, 3 * SIBLINGS)
    );
}

#[tokio::test]
async fn there_are_no_more_connections_than_may_be() {
    let open = Arc::new(Mutex::new((0, 0)));
    let counted = open.clone();
    let raw = RawOrigin::new(move |mut conn| {
        let counted = counted.clone();
        async move {
            let count = |more: i32| {
                let (now, most) = &mut *counted.lock();
                *now += more;
                *most = (*most).max(*now);
            };
            count(1);
            conn.head().await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            conn.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                .await;
            count(-1);
        }
    })
    .await;
    let origin = raw.builder().max_connections(2).build().unwrap();
    let asked: Vec<_> = (0..12)
        .map(|_| {
            let origin = origin.clone();
            tokio::spawn(async move { read(send(&origin, get("/")).await).await.unwrap() })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), "ok");
    }
    assert_eq!(raw.connections(), 12);
    assert_eq!(open.lock().1, 2);
}

#[tokio::test]
async fn who_gets_no_connection_in_time_is_told_504() {
    let raw = RawOrigin::new(|mut conn| async move {
        conn.head().await;
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
        conn.end().await;
    })
    .await;
    let origin = raw.builder().max_connections(1);
    let origin = origin
        .first_byte_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let goes_on = send(&origin, get("/")).await;
    assert_eq!(goes_on.status(), StatusCode::OK);
    // Not that the origin is slow: more time would not help.
    assert_failure(send(&origin, get("/")).await, OriginFailure::ConnectTimeout).await;
    assert_eq!(raw.connections(), 1);
    drop(goes_on);
    // Its place is free.
    assert_eq!(send(&origin, get("/")).await.status(), StatusCode::OK);
}

/// It takes no chunks, so a body of unknown length would be left out where the connection is used again.
#[tokio::test]
async fn a_connection_of_http_1_0_is_not_used_again() {
    let raw =
        RawOrigin::answering("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
            .await;
    let origin = raw.origin();
    assert_eq!(read(send(&origin, get("/")).await).await.unwrap(), "ok");
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    sender.send_data("body".into()).await.unwrap();
    drop(sender);
    let request = Request::post("/").body(EdgeBody::new(body)).unwrap();
    assert_eq!(read(send(&origin, request).await).await.unwrap(), "ok");
    assert_eq!(raw.connections(), 2);
    let head = raw.heads()[1].clone();
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
}

#[tokio::test]
async fn a_request_given_up_ends_its_connection() {
    let ended = Arc::new(Notify::new());
    let end = ended.clone();
    let raw = RawOrigin::new(move |mut conn| {
        let end = end.clone();
        async move {
            conn.head().await;
            conn.end().await;
            end.notify_one();
        }
    })
    .await;
    let asking = tokio::spawn(raw.origin().oneshot(get("/")));
    eventually("the request arrives", || !raw.heads().is_empty()).await;
    asking.abort();
    tokio::time::timeout(PATIENCE, ended.notified())
        .await
        .expect("the connection ends");
}

#[tokio::test]
async fn a_body_given_up_ends_its_connection() {
    let ended = Arc::new(Notify::new());
    let end = ended.clone();
    let raw = RawOrigin::new(move |mut conn| {
        let end = end.clone();
        async move {
            conn.head().await;
            conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            while conn.send(b"3\r\nabc\r\n").await {}
            end.notify_one();
        }
    })
    .await;
    drop(send(&raw.origin(), get("/")).await);
    tokio::time::timeout(PATIENCE, ended.notified())
        .await
        .expect("the connection ends");
}

/// An answer before the request's end leaves no connection behind (hyper's issue 4176).
#[tokio::test]
async fn an_early_answer_to_an_endless_upload_ends_the_connection() {
    let got = Arc::new(Mutex::new(None));
    let gets = got.clone();
    let raw = RawOrigin::new(move |mut conn| {
        let gets = gets.clone();
        async move {
            conn.head().await;
            conn.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
                .await;
            *gets.lock() = Some(conn.end().await);
        }
    })
    .await;
    // Neither sent to nor dropped: a client that stalls.
    let (sender, body) = Channel::<Bytes, Infallible>::new(1);
    let request = Request::post("/").body(EdgeBody::new(body)).unwrap();
    let answer = send(&raw.origin(), request).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(read(answer).await.unwrap(), "no");
    eventually("the connection ends", || got.lock().is_some()).await;
    drop(sender);
}

/// A slow upload is the client's own time, not the origin's.
#[tokio::test]
async fn a_slow_upload_does_not_use_up_the_first_byte_timeout() {
    let raw = RawOrigin::new(|mut conn| async move {
        conn.head().await;
        conn.until(b"0\r\n\r\n").await;
        conn.send(OK.as_bytes()).await;
        conn.hang().await;
    })
    .await;
    let origin = raw
        .builder()
        .first_byte_timeout(Duration::from_millis(150))
        .build()
        .unwrap();
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    let request = Request::post("/").body(EdgeBody::new(body)).unwrap();
    let sending = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            sender.send_data("abc".into()).await.unwrap();
        }
        drop(sender);
    };
    let (answer, ()) = tokio::join!(send(&origin, request), sending);
    assert_eq!(answer.status(), StatusCode::OK);
}

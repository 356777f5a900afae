//! Upgrades through a real server: raw client, hyper, the service, raw origin.

use std::net::SocketAddr;
use std::time::Duration;

use gripstack::EdgeBody;
use gripstack::error::OriginFailure;
use gripstack::origin::Origin;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::support::*;

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";

/// A server in front of an origin.
async fn front(origin: Origin) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let origin = origin.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                origin.clone().oneshot(request.map(EdgeBody::new))
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    addr
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let raw = RawOrigin::new(|mut conn| async move {
        let head = conn.head().await.unwrap();
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        assert!(head.contains("sec-websocket-key: x\r\n"), "{head}");
        // The first bytes of the other protocol in the same write as the head.
        conn.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\n\
              Upgrade: WebSocket\r\nSec-WebSocket-Accept: y\r\n\r\nhello",
        )
        .await;
        for _ in 0..3 {
            conn.until(b"ping").await;
            conn.send(b"pong").await;
        }
        assert_eq!(conn.end().await, b"", "the client's end arrives");
        conn.send(b"bye").await;
    })
    .await;
    // As long as for ever is a time, too.
    let origin = raw.builder().stream_silence(Some(Duration::MAX)).build().unwrap();
    let mut client = TcpStream::connect(front(origin).await).await.unwrap();
    client.write_all(ASK.as_bytes()).await.unwrap();
    let head = head_of(&mut client).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("upgrade: websocket\r\n") && head.contains("sec-websocket-accept: y\r\n"),
        "{head}"
    );
    assert!(!head.contains("x-hop"), "{head}");
    let mut hello = [0; 5];
    client.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    for _ in 0..3 {
        client.write_all(b"ping").await.unwrap();
        let mut pong = [0; 4];
        client.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"pong");
    }
    // One side may end before the other.
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye");
    raw.played().await;
}

#[tokio::test]
async fn an_upgraded_connection_that_carries_nothing_ends_where_that_is_asked_for() {
    let raw = RawOrigin::new(|mut conn| async move {
        conn.head().await;
        conn.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        )
        .await;
        assert_eq!(conn.end().await, b"");
    })
    .await;
    let origin = raw.builder().stream_silence(Some(Duration::from_millis(100)));
    let mut client = TcpStream::connect(front(origin.build().unwrap()).await)
        .await
        .unwrap();
    client.write_all(ASK.as_bytes()).await.unwrap();
    head_of(&mut client).await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest)).await;
    end.expect("it ends").unwrap();
    assert_eq!(rest, b"hello");
    raw.played().await;
}

#[tokio::test]
async fn an_upgrade_that_the_origin_declines_is_an_ordinary_answer() {
    let raw = RawOrigin::answering("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno").await;
    let mut client = TcpStream::connect(front(raw.origin()).await).await.unwrap();
    for _ in 0..2 {
        client.write_all(ASK.as_bytes()).await.unwrap();
        let head = head_of(&mut client).await;
        assert!(head.starts_with("http/1.1 426 "), "{head}");
        let mut body = [0; 2];
        client.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"no");
    }
}

#[tokio::test]
async fn what_may_not_be_upgraded_is_forwarded_as_a_plain_request() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let h2c = ASK.replace(
        "Upgrade: websocket",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    );
    for (ask, on) in [(ASK, false), (h2c.as_str(), true)] {
        let raw = RawOrigin::answering(ok).await;
        let origin = raw.builder().upgrades(on).build().unwrap();
        let mut client = TcpStream::connect(front(origin).await).await.unwrap();
        client.write_all(ask.as_bytes()).await.unwrap();
        assert!(head_of(&mut client).await.starts_with("http/1.1 200 "));
        let head = raw.head();
        for name in ["connection:", "upgrade:", "http2-settings:"] {
            assert!(!head.contains(name), "{head}");
        }
    }
    // A server that cannot hand over the connection.
    let raw = RawOrigin::answering(ok).await;
    let mut request = get("/");
    request
        .headers_mut()
        .insert("connection", "upgrade".parse().unwrap());
    request
        .headers_mut()
        .insert("upgrade", "websocket".parse().unwrap());
    send(&raw.origin(), request).await;
    assert!(!raw.head().contains("upgrade"));
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_a_502() {
    let raw = RawOrigin::answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").await;
    assert_failure(send(&raw.origin(), get("/")).await, OriginFailure::UnaskedUpgrade).await;

    let raw = RawOrigin::answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n").await;
    let mut client = TcpStream::connect(front(raw.origin()).await).await.unwrap();
    client.write_all(ASK.as_bytes()).await.unwrap();
    assert!(head_of(&mut client).await.starts_with("http/1.1 502 "));
}

#[tokio::test]
async fn an_upgraded_connection_carries_more_than_a_head_behind_interim_answers() {
    let carried = vec![b'x'; 300 * 1024];
    let sent = carried.clone();
    let raw = RawOrigin::new(move |mut conn| {
        let sent = sent.clone();
        async move {
            conn.head().await;
            conn.send(
                b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\
                  Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
            )
            .await;
            conn.send(&sent).await;
        }
    })
    .await;
    let mut client = TcpStream::connect(front(raw.origin()).await).await.unwrap();
    client.write_all(ASK.as_bytes()).await.unwrap();
    let head = head_of(&mut client).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    let mut got = vec![0; carried.len()];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(got, carried);
}

//! `serve` takes what people have: an axum `Router`, tonic `Routes`, a `ServiceBuilder` stack.
#![cfg(feature = "serve")]

mod grpc_support;
mod serve_support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use bytes::Bytes;
use gripstack::serve::{Limits, serve};
use gripstack::{EdgeBody, ServiceBuilderExt};
use grpc_support::{BytesCodec, ECHO, SHOUT, Shouter};
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::BodyExt;
use serve_support::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    (listener, addr)
}

#[tokio::test]
async fn an_axum_router() {
    let app = axum::Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/shout", post(|body: String| async move { body.to_uppercase() }))
        .route(
            "/who",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        );
    let (listener, addr) = bind().await;
    let server = serve(listener, app)
        .limits(Limits::default())
        .on_request(|peer, parts| {
            parts.extensions.insert(ConnectInfo(peer.remote));
        });
    let _server = Server::start(server, PATIENCE);
    let mut client = connect(addr).await;
    client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(soon(client.answer()).await.text(), "hello");
    client
        .send("POST /shout HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert_eq!(soon(client.answer()).await.text(), "ABC");
    client.send("GET /who HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let local = client.io.local_addr().expect("connected").to_string();
    assert_eq!(soon(client.answer()).await.text(), local);
}

#[cfg(feature = "cache")]
#[tokio::test]
async fn poi_10_a_hit_leaves_no_byte_of_its_request_to_the_next() {
    let app = axum::Router::new()
        .route(
            "/a",
            get(|| async { ([("cache-control", "max-age=60")], "stored") }),
        )
        .route("/next", get(|| async { "next" }))
        .layer(gripstack::Edge::new().cache_layer());
    let (listener, addr) = bind().await;
    let _server = Server::start(serve(listener, app), PATIENCE);
    let mut client = connect(addr).await;
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(soon(client.answer()).await.text(), "stored");
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let hit = soon(client.answer()).await;
    assert!(
        hit.field("cache-status")
            .is_some_and(|status| status.contains("; hit"))
    );
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (fields, body) in [
        (
            format!("Content-Length: {}\r\n", smuggled.len()),
            smuggled.to_owned(),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()),
        ),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let mut client = connect(addr).await;
            client
                .send(format!(
                    "{method} /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
                ))
                .await;
            let rest = match method {
                "HEAD" => {
                    soon(client.head()).await;
                    soon(client.answer()).await
                }
                _ => {
                    soon(client.answer()).await;
                    soon(client.answer()).await
                }
            };
            assert_eq!(rest.text(), "next", "{method} {fields}");
        }
    }
}

#[tokio::test]
async fn a_service_builder_stack() {
    let stack = tower::ServiceBuilder::new()
        .concurrency_limit(10)
        .timeout(Duration::from_secs(5))
        .service_fn(|request: Request<EdgeBody>| async move {
            Ok::<_, Infallible>(Response::new(axum::body::Body::new(request.into_body())))
        });
    let (listener, addr) = bind().await;
    let _server = Server::start(serve(listener, stack), PATIENCE);
    let mut client = connect(addr).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert_eq!(soon(client.answer()).await.text(), "abc");
}

/// A client that ends its side has its answer to come, unless that is kept back until something happens.
#[tokio::test]
async fn a_long_poll_whose_client_ends_its_side_is_over() {
    let edge = gripstack::Edge::new();
    let service = tower::ServiceBuilder::new()
        .grip_hold(&edge)
        .service_fn(|_: Request<EdgeBody>| async {
            let response = Response::builder()
                .header("grip-hold", "response")
                .header("grip-channel", "a");
            response.body(EdgeBody::from("nothing new"))
        });
    let (listener, addr) = bind().await;
    let server = Server::start(serve(listener, service), PATIENCE);
    for ends_at_once in [true, false] {
        let mut client = connect(addr).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        if !ends_at_once {
            until("it waits", || edge.hub().stats().subscriptions == 1).await;
        }
        soon(client.io.shutdown()).await.expect("a socket");
        assert_eq!(soon(client.rest()).await, b"");
        until("it is over", || server.stats.open() == 0).await;
    }
}

#[tokio::test]
async fn tonic_routes() {
    let routes = tonic::service::Routes::new(Shouter::default());
    let (listener, addr) = bind().await;
    let _server = Server::start(serve(listener, routes), PATIENCE);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{addr}")).expect("an address");
    let channel = soon(endpoint.connect()).await.expect("connects");
    let mut client = tonic::client::Grpc::new(channel);

    soon(client.ready()).await.expect("ready");
    let path = PathAndQuery::from_static(SHOUT);
    let message = tonic::Request::new(Bytes::from_static(b"hello"));
    let answer = soon(client.unary(message, path.clone(), BytesCodec))
        .await
        .expect("an answer");
    assert_eq!(answer.into_inner(), "HELLO");
    // An error comes in trailers only.
    soon(client.ready()).await.expect("ready");
    let status = soon(client.unary(tonic::Request::new(Bytes::new()), path, BytesCodec))
        .await
        .expect_err("a status");
    assert_eq!(
        (status.code(), status.message()),
        (tonic::Code::InvalidArgument, "nothing to shout")
    );

    // Both directions at once: each message comes back before the next is sent.
    soon(client.ready()).await.expect("ready");
    let (tx, rx) = tokio::sync::mpsc::channel(1);
    let messages = tokio_stream::wrappers::ReceiverStream::new(rx);
    let path = PathAndQuery::from_static(ECHO);
    tx.send(Bytes::from_static(b"one")).await.expect("room");
    let answer = soon(client.streaming(tonic::Request::new(messages), path, BytesCodec))
        .await
        .expect("an answer");
    let mut answers = answer.into_inner();
    assert_eq!(
        soon(answers.message()).await.expect("no error").as_deref(),
        Some(&b"one"[..])
    );
    tx.send(Bytes::from_static(b"two")).await.expect("room");
    assert_eq!(
        soon(answers.message()).await.expect("no error").as_deref(),
        Some(&b"two"[..])
    );
    drop(tx);
    assert_eq!(soon(answers.message()).await.expect("no error"), None);
}

/// What is not gRPC has no hour, and gRPC no more than that.
#[tokio::test(start_paused = true)]
async fn a_silent_body_on_http2_ends_as_its_type_says() {
    for (kind, seconds) in [
        ("application/grpc", 3600),
        ("application/grpc-web", 30),
        ("text/plain", 30),
    ] {
        let (pipes, listener) = Pipes::new();
        let limits = Limits::default().h2_ping(Duration::MAX);
        let (service, _) = echo();
        let _server = Server::start(serve(listener, service).limits(limits), PATIENCE);
        let io = hyper_util::rt::TokioIo::new(pipes.connect(65_536).io);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io)
                .await
                .expect("a handshake");
        tokio::spawn(connection);
        let (mut body, stream) = http_body_util::channel::Channel::<Bytes, gripstack::BoxError>::new(1);
        let request = Request::post("http://a/")
            .header("content-type", kind)
            .body(stream);
        let start = tokio::time::Instant::now();
        body.send_data(Bytes::from_static(b"hi")).await.expect("sent");
        let answer = sender
            .send_request(request.expect("a request"))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 408, "{kind}");
        assert_eq!(start.elapsed().as_secs(), seconds, "{kind}");
        drop(body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_stream_may_be_silent_for_longer_than_a_slow_body() {
    let (pipes, listener) = Pipes::new();
    let _server = Server::start(
        serve(listener, tonic::service::Routes::new(Shouter::default())),
        PATIENCE,
    );
    let io = hyper_util::rt::TokioIo::new(pipes.connect(65_536).io);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io)
            .await
            .expect("a handshake");
    tokio::spawn(connection);
    let (mut body, stream) = http_body_util::channel::Channel::<Bytes, gripstack::BoxError>::new(1);
    let request = Request::post(format!("http://a{ECHO}"))
        .header("content-type", "application/grpc")
        .body(stream);
    let answer = sender
        .send_request(request.expect("a request"))
        .await
        .expect("an answer");
    let mut answers = answer.into_body();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(300)).await;
        body.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"))
            .await
            .expect("sent");
        let frame = answers.frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), &b"\0\0\0\0\x02hi"[..]);
    }
}

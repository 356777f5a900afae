//! The layers and tonic: gRPC passes them as it is, trailers and all, beside what is held and cached.
#![cfg(all(
    feature = "hold",
    feature = "cache",
    feature = "purge",
    feature = "publish",
    feature = "tower"
))]

mod compose_support;
mod grpc_support;

use std::net::SocketAddr;

use bytes::Bytes;
use compose_support::{App, Client, TOKEN, channel, line, publish, purge, soon};
use gripstack::publish::{self, PublishConfig};
use gripstack::purge::Auth;
use gripstack::{Edge, EdgeBody, ServiceBuilderExt};
use grpc_support::{BytesCodec, SHOUT, Shouter, WATCH};
use http::Request;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceBuilder;

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    (listener, addr)
}

/// A unary call, an error in trailers only, and a stream that is not collected.
async fn grpc_passes(addr: SocketAddr, messages: mpsc::Sender<Result<Bytes, Status>>) {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{addr}")).expect("an address");
    let channel = soon(endpoint.connect()).await.expect("connects");
    let mut client = tonic::client::Grpc::new(channel);
    let bytes = |text: &'static str| tonic::Request::new(Bytes::from_static(text.as_bytes()));

    // Twice: nothing is answered from memory.
    for word in ["hello", "world"] {
        soon(client.ready()).await.expect("ready");
        let path = PathAndQuery::from_static(SHOUT);
        let answer = soon(client.unary(bytes(word), path, BytesCodec))
            .await
            .expect("an answer");
        assert_eq!(answer.into_inner(), word.to_uppercase());
    }

    soon(client.ready()).await.expect("ready");
    let path = PathAndQuery::from_static(SHOUT);
    let status = soon(client.unary(bytes(""), path, BytesCodec))
        .await
        .expect_err("a status");
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "nothing to shout")
    );

    soon(client.ready()).await.expect("ready");
    let path = PathAndQuery::from_static(WATCH);
    let answer = soon(client.server_streaming(bytes(""), path, BytesCodec))
        .await
        .expect("an answer");
    let mut answers = answer.into_inner();
    for word in ["one", "two"] {
        // Each is here before the next is sent.
        messages.send(Ok(word.into())).await.expect("watched");
        assert_eq!(
            soon(answers.message()).await.expect("no error").as_deref(),
            Some(word.as_bytes())
        );
    }
    messages
        .send(Err(Status::aborted("enough")))
        .await
        .expect("watched");
    let status = soon(answers.message()).await.expect_err("a status in trailers");
    assert_eq!((status.code(), status.message()), (Code::Aborted, "enough"));
}

/// The same as frames: where the status stands.
async fn trailers_are_trailers(addr: SocketAddr) {
    let stream = TcpStream::connect(addr).await.expect("connects");
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = soon(hyper::client::conn::http2::handshake(executor, io))
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    let mut call = async |message: &'static [u8]| {
        let request = Request::post(format!("http://{addr}{SHOUT}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(EdgeBody::from(message))
            .expect("a request");
        soon(sender.send_request(request)).await.expect("an answer")
    };

    let answer = call(b"\0\0\0\0\x02hi").await;
    assert_eq!(answer.headers().get("grpc-status"), None);
    assert_eq!(answer.headers().get("content-length"), None);
    let whole = soon(answer.into_body().collect()).await.expect("whole");
    let trailers = whole.trailers().expect("trailers").clone();
    assert_eq!(trailers.get("grpc-status").expect("a status"), "0");
    assert_eq!(whole.to_bytes(), &b"\0\0\0\0\x02HI"[..]);

    let answer = call(b"\0\0\0\0\0").await;
    assert_eq!(answer.headers().get("grpc-status").expect("a status"), "3");
    let whole = soon(answer.into_body().collect()).await.expect("whole");
    assert_eq!(whole.trailers(), None);
    assert!(whole.to_bytes().is_empty());
}

#[tokio::test]
async fn a_layered_tonic_server() {
    let edge = Edge::new();
    let (listener, addr) = bind().await;
    let (shouter, messages) = Shouter::new();
    let layers = ServiceBuilder::new()
        .publish(&edge.publisher(PublishConfig::new()), publish::Auth::token(TOKEN))
        .purge(&edge, Auth::token(TOKEN))
        .grip_hold(&edge)
        .edge_cache(&edge)
        .into_inner();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let mut server = tonic::transport::Server::builder().layer(layers);
    tokio::spawn(server.add_service(shouter).serve_with_incoming(incoming));
    grpc_passes(addr, messages).await;
    trailers_are_trailers(addr).await;
}

#[tokio::test]
async fn each_layer_around_a_tonic_server() {
    let edge = Edge::new();
    let (listener, addr) = bind().await;
    let (shouter, messages) = Shouter::new();
    let mut server = tonic::transport::Server::builder()
        .layer(edge.hold_layer())
        .layer(edge.cache_layer());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(server.add_service(shouter).serve_with_incoming(incoming));
    grpc_passes(addr, messages).await;
}

#[tokio::test]
async fn a_layer_around_one_service() {
    use tonic::service::LayerExt;

    let edge = Edge::new();
    let (listener, addr) = bind().await;
    let (shouter, messages) = Shouter::new();
    // `named_layer`, for tonic routes by the service's name.
    let shouter = ServiceBuilder::new()
        .map_request(|request: Request<EdgeBody>| request.map(tonic::body::Body::new))
        .into_inner()
        .named_layer(shouter);
    let shouter = ServiceBuilder::new()
        .grip_hold(&edge)
        .edge_cache(&edge)
        .into_inner()
        .named_layer(shouter);
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(shouter)
            .serve_with_incoming(incoming),
    );
    grpc_passes(addr, messages).await;
}

/// gRPC, and beside it what is held and cached, on one port.
fn routes(shouter: Shouter, app: &App) -> axum::Router {
    Routes::new(shouter)
        .prepare()
        .into_axum_router()
        .route_service("/stream/{channel}", app.service_of())
        .route_service("/text", app.service_of())
}

/// All at once over one server.
async fn all_on_one_port(edge: &Edge, addr: SocketAddr, messages: mpsc::Sender<Result<Bytes, Status>>) {
    let (h1, h2) = (Client::new(addr), Client::http2(addr));
    let (mut one, mut two) = (h1.get("/stream/news").await, h2.get("/stream/news").await);
    one.until("\n").await;
    two.until("\n").await;
    grpc_passes(addr, messages).await;
    trailers_are_trailers(addr).await;
    edge.publish(channel("news"), line("pushed"))
        .await
        .expect("accepted");
    assert_eq!(
        h2.send(publish("news", "by POST")).await.text().await,
        "Published\n"
    );
    for stream in [&mut one, &mut two] {
        assert_eq!(stream.until("\n").await, "pushed\n");
        assert_eq!(stream.until("\n").await, "by POST\n");
    }
    let first = h1.get("/text").await.text().await;
    assert_eq!(h2.get("/text").await.text().await, first);
    assert_eq!(h2.send(purge("/text")).await.status, 200);
    assert_ne!(h1.get("/text").await.text().await, first);
}

#[cfg(feature = "serve")]
#[tokio::test]
async fn tonic_routes_in_a_service_builder_under_our_serve() {
    let edge = Edge::new();
    let (listener, addr) = bind().await;
    let (shouter, messages) = Shouter::new();
    let stack = ServiceBuilder::new()
        .grip_hold(&edge)
        .edge_cache(&edge)
        .service(Routes::new(shouter));
    tokio::spawn(gripstack::serve(listener, stack).into_future());
    grpc_passes(addr, messages).await;
    trailers_are_trailers(addr).await;
}

#[cfg(feature = "serve")]
#[tokio::test]
async fn grpc_and_holds_on_one_port_under_our_serve() {
    let edge = Edge::new();
    let (listener, addr) = bind().await;
    let (shouter, messages) = Shouter::new();
    let stack = ServiceBuilder::new()
        .publish(&edge.publisher(PublishConfig::new()), publish::Auth::token(TOKEN))
        .purge(&edge, Auth::token(TOKEN))
        .grip_hold(&edge)
        .edge_cache(&edge)
        .service(routes(shouter, &App::default()));
    tokio::spawn(gripstack::serve(listener, stack).into_future());
    all_on_one_port(&edge, addr, messages).await;
}

#[tokio::test]
async fn grpc_and_holds_on_one_port_under_axum_serve() {
    let edge = Edge::new();
    let (listener, addr) = bind().await;
    let (shouter, messages) = Shouter::new();
    let layers = ServiceBuilder::new()
        .publish(&edge.publisher(PublishConfig::new()), publish::Auth::token(TOKEN))
        .purge(&edge, Auth::token(TOKEN))
        .grip_hold(&edge)
        .edge_cache(&edge);
    let router = routes(shouter, &App::default()).layer(layers);
    tokio::spawn(async { axum::serve(listener, router).await });
    all_on_one_port(&edge, addr, messages).await;
}

//! Shouting, heard by all: gRPC and server-sent events on one port.
//!
//! ```sh
//! cargo run --example tonic_app --features serve,tower -- 7004
//! curl -N http://127.0.0.1:7004/shouts          # holds: each shout comes as an event
//! printf '\0\0\0\0\5hello' | curl -s --http2-prior-knowledge http://127.0.0.1:7004/demo.Shouter/Shout \
//!   -H 'Content-Type: application/grpc' -H 'TE: trailers' --data-binary @- | tail -c +6
//! ```
//!
//! The layers let gRPC pass as it is, both directions, trailers and all; what a method publishes reaches every client
//! that is held beside it, over HTTP/1.1 or HTTP/2. Without an argument the port is 7004; 0 takes any.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::{Buf, BufMut};
use gripstack::grip::{Instruct, KeepAlive};
use gripstack::{BoxError, Channel, Edge, Message, ServiceBuilderExt};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::service::Routes;
use tonic::{Request, Status};
use tower::{Service, ServiceBuilder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(7004), |port| port.parse())?;
    let edge = Edge::new();
    let shouter = Shouter {
        edge: edge.clone(),
        channel: Channel::new("shouts")?,
        last: Arc::default(),
    };

    // What tonic routes by, with a route of plain HTTP beside it.
    let routes = Routes::new(shouter.clone())
        .prepare()
        .into_axum_router()
        .route("/shouts", get(shouts).with_state(shouter));
    let service = ServiceBuilder::new()
        .grip_hold(&edge)
        .edge_cache(&edge)
        .service(routes);

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let ctrl_c = async {
        tokio::signal::ctrl_c()
            .await
            .expect("signals can be listened for")
    };
    gripstack::serve(listener, service)
        .drain(ctrl_c, Duration::from_secs(5))
        .await?;
    Ok(())
}

/// The service, and what it remembers.
#[derive(Clone)]
struct Shouter {
    edge: Edge,
    channel: Channel,
    /// The number of the last shout, and the shout.
    last: Arc<Mutex<(u64, String)>>,
}

impl Shouter {
    /// Answers in capitals, and lets all hear it. Stores, then publishes: in this order no client misses it. Each shout
    /// names the one before, so that two at a time are heard in the order in which they were stored.
    async fn shout(self, text: String) -> Result<String, Status> {
        if text.is_empty() {
            return Err(Status::invalid_argument("nothing to shout"));
        }
        let loud = text.to_uppercase();
        let n = {
            let mut last = self.last.lock();
            *last = (last.0 + 1, loud.clone());
            last.0
        };
        let message = Message::sse(Some("shout"), &loud)
            .with_id(n.to_string())
            .with_prev_id((n - 1).to_string());
        match self.edge.publish(self.channel, message).await {
            Ok(_) => Ok(loud),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }

    /// Answers letter by letter.
    fn spell(text: &str) -> impl Stream<Item = Result<String, Status>> + Send + use<> {
        let letters: Vec<_> = text.chars().map(|letter| Ok(letter.into())).collect();
        tokio_stream::iter(letters).throttle(Duration::from_millis(100))
    }
}

/// The last shout, and where to hear of what follows.
async fn shouts(State(shouter): State<Shouter>) -> Response {
    let (n, last) = shouter.last.lock().clone();
    let instructions = Instruct::stream()
        .channel("shouts")
        .prev_id(n.to_string())
        .keep_alive(KeepAlive::new(":\n\n", Duration::from_secs(20)))
        .into_headers()
        .expect("a good channel, a short id and a short keep-alive");
    let body = format!("event: shout\ndata: {last}\n\n");
    ([(CONTENT_TYPE, "text/event-stream")], instructions, body).into_response()
}

// What `tonic-build` makes of a `.proto` file, by hand, so that the example needs no compiler for it: one path a method,
// and a codec. The messages are bare text.

impl tonic::server::NamedService for Shouter {
    const NAME: &'static str = "demo.Shouter";
}

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send>>;

impl tonic::server::UnaryService<String> for Shouter {
    type Response = String;
    type Future = Boxed<tonic::Response<String>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let shout = self.clone().shout(request.into_inner());
        Box::pin(async { shout.await.map(tonic::Response::new) })
    }
}

impl tonic::server::ServerStreamingService<String> for Shouter {
    type Response = String;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;
    type Future = Boxed<tonic::Response<Self::ResponseStream>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let letters: Self::ResponseStream = Box::pin(Self::spell(request.get_ref()));
        Box::pin(std::future::ready(Ok(tonic::Response::new(letters))))
    }
}

impl Service<http::Request<tonic::body::Body>> for Shouter {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let shouter = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Text);
            Ok(match request.uri().path() {
                "/demo.Shouter/Shout" => grpc.unary(shouter, request).await,
                "/demo.Shouter/Spell" => grpc.server_streaming(shouter, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// A message is its text.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = src.copy_to_bytes(src.remaining());
        match String::from_utf8(bytes.into()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Status::invalid_argument("not UTF-8")),
        }
    }
}

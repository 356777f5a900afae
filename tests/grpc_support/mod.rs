//! A gRPC service without a generator, for the tests of composition.
#![allow(dead_code, reason = "each test file uses its part")]

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http::{Request, Response};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Status, Streaming};
use tower::Service;

pub const SHOUT: &str = "/test.Shouter/Shout";
pub const WATCH: &str = "/test.Shouter/Watch";
pub const ECHO: &str = "/test.Shouter/Echo";

/// Messages are bytes: what a generated codec does, without a generator.
#[derive(Clone, Copy, Default)]
pub struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

type Messages = mpsc::Receiver<Result<Bytes, Status>>;

/// What a generated server does: one path a method. `Shout` answers in capitals, `Watch` with what the test sends,
/// `Echo` with what the client sends.
#[derive(Clone, Default)]
pub struct Shouter(Arc<Mutex<Option<Messages>>>);

impl Shouter {
    /// And where to send what `Watch` answers.
    pub fn new() -> (Self, mpsc::Sender<Result<Bytes, Status>>) {
        let (tx, rx) = mpsc::channel(1);
        (Self(Arc::new(Mutex::new(Some(rx)))), tx)
    }
}

impl tonic::server::NamedService for Shouter {
    const NAME: &'static str = "test.Shouter";
}

impl tonic::server::UnaryService<Bytes> for Shouter {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let message = request.into_inner();
        std::future::ready(if message.is_empty() {
            Err(Status::invalid_argument("nothing to shout"))
        } else {
            Ok(tonic::Response::new(message.to_ascii_uppercase().into()))
        })
    }
}

impl tonic::server::ServerStreamingService<Bytes> for Shouter {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, _: tonic::Request<Bytes>) -> Self::Future {
        let messages = self.0.clone();
        Box::pin(async move {
            match messages.lock().await.take() {
                Some(messages) => Ok(tonic::Response::new(ReceiverStream::new(messages))),
                None => Err(Status::failed_precondition("watched already")),
            }
        })
    }
}

impl tonic::server::StreamingService<Bytes> for Shouter {
    type Response = Bytes;
    type ResponseStream = Streaming<Bytes>;
    type Future = std::future::Ready<Result<tonic::Response<Streaming<Bytes>>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

impl Service<Request<tonic::body::Body>> for Shouter {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let me = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(BytesCodec);
            Ok(match request.uri().path() {
                SHOUT => grpc.unary(me, request).await,
                WATCH => grpc.server_streaming(me, request).await,
                ECHO => grpc.streaming(me, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

//! What the tests of the hold layer share: scripted origins, and readers that never wait for real.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod seeds;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use gripstack::body::EdgeBody;
use gripstack::error::BoxError;
use gripstack::grip::Instruct;
use gripstack::handoff::{AskedByHold, Handoff};
use gripstack::hold::{GripHold, HoldEnd};
use gripstack::hub::LogLimits;
use gripstack::message::PushedResponse;
use gripstack::testing::{self, Call, ScriptedOrigin};
use gripstack::{Channel, Edge, GripHoldLayer, Message, Position, Stamp};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

pub type Reply = Result<Response<EdgeBody>, BoxError>;
pub type Inner = BoxCloneSyncService<Request<EdgeBody>, Response<EdgeBody>, BoxError>;

/// An origin that answers by a function of the number of the request (from 1) and of what it asks.
#[derive(Clone)]
pub struct Origin(ScriptedOrigin<BoxError>);

impl Origin {
    pub fn new<F, R>(answer: F) -> Self
    where
        F: Fn(usize, Call) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        Self(ScriptedOrigin::new(move |call| {
            testing::Reply::later(answer(call.n, call.clone()))
        }))
    }

    /// Answers always the same head and body.
    pub fn fixed(status: u16, headers: &'static [(&'static str, &'static str)], body: &'static str) -> Self {
        Self::new(move |_, _| async move { Ok(reply(status, headers, body)) })
    }

    /// Answers by the edge and the number of the request.
    pub fn of<F, R>(edge: &Edge, answer: F) -> Self
    where
        F: Fn(Edge, usize) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let edge = edge.clone();
        Self::new(move |number, _| answer(edge.clone(), number))
    }

    /// Answers always [a stream hold](stream).
    pub fn streams(body: &'static str) -> Self {
        Self::new(move |_, _| async move { Ok(stream(body)) })
    }

    /// Answers always [a long poll](poll).
    pub fn polls(body: &'static str) -> Self {
        Self::new(move |_, _| async move { Ok(poll(body)) })
    }

    pub fn calls(&self) -> usize {
        self.0.count()
    }

    /// The request with this number, from 1.
    pub fn head(&self, number: usize) -> Call {
        self.0.calls()[number - 1].clone()
    }

    /// What the hold layer asked it for.
    pub fn at_least(&self, number: usize) -> Position {
        let head = self.head(number);
        AskedByHold::of(&head.extensions)
            .expect("asked by the hold layer")
            .at_least
    }

    /// The hold layer over it.
    pub fn held(&self, layer: GripHoldLayer) -> GripHold<Inner> {
        layer.layer(BoxCloneSyncService::new(self.0.clone()))
    }

    /// The hold layer of this edge over its cache over it.
    #[cfg(feature = "cache")]
    pub fn cached(&self, edge: &Edge) -> GripHold<Inner> {
        let cache = edge.cache_layer().layer(self.0.clone());
        edge.hold_layer().layer(BoxCloneSyncService::new(cache))
    }

    /// A GET through the hold layer of this edge.
    pub async fn get(&self, edge: &Edge) -> Response<EdgeBody> {
        get(&self.held(edge.hold_layer())).await
    }

    /// A GET through the hold layer of this edge, that may wait for a message.
    pub fn start(&self, edge: &Edge) -> Waiting {
        start(&self.held(edge.hold_layer()), request(Method::GET, "/", &[]))
    }

    /// The same, waiting by now.
    pub async fn waiting(&self, edge: &Edge) -> Waiting {
        let mut waiting = self.start(edge);
        assert!(waiting.now().await.is_none(), "it waits");
        waiting
    }
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<EdgeBody> {
    let mut response = Response::new(EdgeBody::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a valid status");
    *response.headers_mut() = header_map(headers);
    response
}

pub fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).expect("a valid name");
        map.append(name, value.parse().expect("a valid value"));
    }
    map
}

/// A stream hold on `t`.
pub fn stream(body: &'static str) -> Response<EdgeBody> {
    reply(200, &[("grip-hold", "stream"), ("grip-channel", "t")], body)
}

/// A long poll on `t`.
pub fn poll(body: &'static str) -> Response<EdgeBody> {
    reply(200, &[("grip-hold", "response"), ("grip-channel", "t")], body)
}

/// The same as a cache of ours would answer it: no `Grip-*`, but instructions and the stamp of its fetch.
pub fn cached(mut response: Response<EdgeBody>, stamp: Stamp) -> Response<EdgeBody> {
    let instruct = Instruct::from_headers(response.headers())
        .expect("well-formed")
        .expect("instructions");
    gripstack::grip::strip(response.headers_mut());
    response
        .extensions_mut()
        .insert(Handoff::new(Arc::new(instruct), stamp));
    response
}

/// The same, stamped before everything.
pub fn old(edge: &Edge, response: Response<EdgeBody>) -> Response<EdgeBody> {
    cached(response, edge.hub().stamp_at(Position::ZERO))
}

/// A body that never comes.
pub fn silent() -> EdgeBody {
    type Never = Result<http_body::Frame<Bytes>, BoxError>;
    EdgeBody::new(http_body_util::StreamBody::new(tokio_stream::pending::<Never>()))
}

pub fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<EdgeBody> {
    let mut request = Request::new(EdgeBody::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a valid path");
    *request.headers_mut() = header_map(headers);
    request
}

/// A GET through the layer.
pub async fn get(service: &GripHold<Inner>) -> Response<EdgeBody> {
    send(service, request(Method::GET, "/", &[])).await
}

pub async fn send(service: &GripHold<Inner>, request: Request<EdgeBody>) -> Response<EdgeBody> {
    service
        .clone()
        .oneshot(request)
        .await
        .expect("the service does not fail")
}

/// A GET that waits: a long poll.
pub fn start(service: &GripHold<Inner>, request: Request<EdgeBody>) -> Waiting {
    Waiting(Box::pin(service.clone().oneshot(request)))
}

/// A response that is waited for.
pub struct Waiting(Pin<Box<dyn Future<Output = Reply> + Send>>);

impl Waiting {
    /// Goes on as far as it can without time passing; the response, if it is there.
    pub async fn now(&mut self) -> Option<Response<EdgeBody>> {
        for _ in 0..20 {
            let polled = std::future::poll_fn(|cx| Poll::Ready(self.0.as_mut().poll(cx))).await;
            if let Poll::Ready(response) = polled {
                return Some(response.expect("the service does not fail"));
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// Waits for the response, however long that takes on a paused clock.
    pub async fn done(self) -> Response<EdgeBody> {
        self.0.await.expect("the service does not fail")
    }
}

/// The next piece of data. Panics at the end, at an error, or if nothing comes within an hour.
pub async fn data(body: &mut EdgeBody) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(3_600), body.frame()).await;
    let frame = frame
        .expect("something comes")
        .expect("no end")
        .expect("no error");
    String::from_utf8(frame.into_data().expect("no trailers").to_vec()).expect("text")
}

/// All that can be read without time passing, one string a frame; `end` and `error` say how it ended.
pub fn ready(body: &mut EdgeBody) -> Vec<String> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    loop {
        match Pin::new(&mut *body).poll_frame(&mut cx) {
            Poll::Pending => return got,
            Poll::Ready(Some(Ok(frame))) => {
                got.push(String::from_utf8_lossy(&frame.into_data().expect("no trailers")).into_owned());
            }
            Poll::Ready(Some(Err(_))) => {
                got.push("error".into());
                return got;
            }
            Poll::Ready(None) => {
                got.push("end".into());
                return got;
            }
        }
    }
}

pub async fn text(response: Response<EdgeBody>) -> String {
    let body = response.into_body().collect().await.expect("no error").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

pub fn ended(response: &Response<EdgeBody>) -> HoldEnd {
    response
        .extensions()
        .get::<HoldEnd>()
        .expect("it was held")
        .clone()
}

pub fn header<'a>(response: &'a Response<EdgeBody>, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().expect("text"))
}

pub fn is_marked(response: &Response<EdgeBody>) -> bool {
    header(response, "cache-status") == Some("gripstack; detail=gap")
}

pub fn channel(name: &str) -> Channel {
    Channel::new(name).expect("a valid name")
}

/// A message with ids; an empty one is none.
pub fn identified(mut message: Message, id: &str, prev_id: &str) -> Message {
    message.id = (!id.is_empty()).then(|| id.into());
    message.prev_id = (!prev_id.is_empty()).then(|| prev_id.into());
    message
}

/// A message for streams with ids.
pub fn with_ids(text: &str, id: &str, prev_id: &str) -> Message {
    identified(bytes(text), id, prev_id)
}

/// A message that answers long polls.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Message {
    let pushed = PushedResponse {
        status: StatusCode::from_u16(status).expect("a valid status"),
        headers: header_map(headers),
        body: body.to_owned().into(),
    };
    Message::response(pushed)
}

pub fn close() -> Message {
    Message::close()
}

pub fn hint() -> Message {
    Message::hint()
}

/// Publishes on `t`.
pub async fn publish(edge: &Edge, message: Message) -> Position {
    publish_on(edge, "t", message).await
}

pub async fn publish_on(edge: &Edge, name: &str, message: Message) -> Position {
    edge.publish(channel(name), message).await.expect("accepted")
}

pub fn subscriptions(edge: &Edge) -> usize {
    edge.hub().stats().subscriptions
}

/// A message for streams.
pub fn bytes(text: &str) -> Message {
    Message::bytes(text.to_owned())
}

/// An edge whose channels remember two messages, and the last two of five on `t`.
pub async fn overflowed() -> Edge {
    let edge = forgetful();
    for n in 1..=5 {
        publish(&edge, bytes(&n.to_string())).await;
    }
    edge
}

/// An edge whose channels remember two messages.
pub fn forgetful() -> Edge {
    let limits = LogLimits::new().entries(2);
    Edge::builder().log_limits(limits).build()
}

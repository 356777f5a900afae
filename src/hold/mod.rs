//! The push edge: holds clients, and pushes to them what is published.
//!
//! A [`GripHoldLayer`] goes over any HTTP service. A response of that service with GRIP instructions becomes a hold:
//!
//! - `Grip-Hold: stream`: the response goes out at once; its body goes on with every message, until a `close`, a
//!   drain, or its maximum age.
//! - `Grip-Hold: response` (long poll): the next message is the response; when the time is up, the origin's is.
//!
//! Any other response passes as it is. Clients can neither send nor see a `Grip-*`.
//!
//! ```
//! use bytes::Bytes;
//! use gripstack::body::EdgeBody;
//! use gripstack::grip::Instruct;
//! use gripstack::{Channel, Edge, Message};
//! use http::{Request, Response};
//! use http_body_util::BodyExt;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
//! let edge = Edge::new();
//! let service = ServiceBuilder::new()
//!     .layer(edge.hold_layer())
//!     .service(service_fn(async |_: Request<EdgeBody>| {
//!         let mut response = Response::new(EdgeBody::from("hello\n"));
//!         *response.headers_mut() = Instruct::stream().channel("news").into_headers()?;
//!         Ok::<_, gripstack::BoxError>(response)
//!     }));
//!
//! let request = Request::new(EdgeBody::empty());
//! let mut body = service.oneshot(request).await?.into_body();
//! assert_eq!(body.frame().await.unwrap()?.into_data().unwrap(), "hello\n");
//! edge.publish(Channel::new("news")?, Message::bytes("world\n")).await?;
//! assert_eq!(body.frame().await.unwrap()?.into_data().unwrap(), "world\n");
//! # Ok(()) }
//! ```
//!
//! # Nothing falls between an answer and its hold
//!
//! The clock is read before a request can leave. What comes back carries that stamp, or, from a cache of ours, that of
//! the fetch which once brought it. The hold replays what was published above the stamp, and goes on. So an old
//! cached answer is as good to hold from as a new one.
//!
//! Where the log no longer reaches back to the stamp, or a `close` or `hint` is above it, the service below is asked
//! once more, past every cache. If that brings nothing younger, because the origin is down, the hold starts from what
//! there is: its response says `Cache-Status: gripstack; detail=gap`, it is counted, and it ends after about a
//! minute ([`GripHoldLayer::marked_age`]), so that its client comes back. Only a GET without a body is ever made again;
//! and not the first that holds at a URL which had answered 16 times without any instructions: such URLs cost no copy.
//! For one request that is done 10 times at most. A long poll that can ask no more, or not at all, says so in the same way once
//! a `hint` has come.
//!
//! # Ids
//!
//! Without ids a client may get a message that its initial body contains already, never the reverse. Where
//! `Grip-Channel` names a `prev-id` and messages have ids, each comes once and in order. A message whose predecessor is
//! missing waits 5 s for it, then goes out without it (after up to 5 s in which the edge that took it [waits](crate::publish)
//! for the same); what comes later and names no predecessor, a `close` too, waits
//! behind it. A long poll asks the origin instead, after 0.2 s, with `Grip-Last`, which a cache keeps from it; where
//! that holds once more or cannot be asked, the message goes out all the same, as it does to one that is not a GET.
//!
//! What is published between two long polls of a client reaches it by an id, or when its time is up.
//!
//! # WebSockets
//!
//! Off by default: an upgrade passes through to the origin. With `GripHoldLayer::websocket_over_http` (feature `websocket`) the
//! WebSocket ends here, and its origin speaks HTTP: what a client does are events in the bodies of `POST` requests to the same
//! URL (`application/websocket-events`), one request at a time, each with the connection's `Connection-Id`; its answers
//! say what the client gets. An origin that answers `OPEN` with `Sec-WebSocket-Extensions: grip` may say which channels the
//! client reads (`c:{"type": "subscribe", "channel": "news"}`): from there on it gets the `ws-message` form of whatever was
//! published since that request left, so nothing falls between. What the origin remembers of a connection it says in
//! `Set-Meta-*`, and gets back as `Meta-*`.
//!
//! Messages of up to 200,000 bytes, 20 channels, 1,000,000 bytes an answer. A client that takes nothing for 30 s is cut, and so
//! is one whose messages are gone from the log before it took them. Over HTTP/2 (RFC 8441) WebSockets are not served; they are not
//! compressed; filters of a channel are refused, for without them a client would get what it is not meant to.
//!
//! # Where this differs from the reference proxy
//!
//! - A stream with a `prev-id` and without a next link is held. Links are not followed: a `hint` means nothing to a
//!   stream.
//! - A message is dropped as one that is said once more only if its content and its `prev-id` are the same as well; what has its
//!   id alone is another message.
//! - A client that reads too slowly is cut when the log no longer has what it needs; until then nothing is dropped.
//! - Held answers say `Cache-Control: no-store` and lose `Age`, `Expires`, `ETag` and `Last-Modified`, unless a
//!   published response brings its own.
//! - HEAD is answered at once, and what is not a GET is never made a second time.
//! - A response that asks for no hold streams through; it is refused above 100,000 bytes only where its length
//!   is known beforehand.
//! - `Grip-Expose-Headers` is obeyed for long streams as well; in a published response it means nothing.
//! - A part of a stream (206) is not held: the whole is asked for.
//! - A hold may name 200 channels ([`GripHoldLayer::max_channels`]). One that names more is refused, not held in part.
//! - HEAD is answered without its instructions where GET answers them as JSON.
//! - When a long poll's time is up, its client's `If-None-Match` or `If-Modified-Since` counts, also where a cache of
//!   ours gave the answer.
//!
//! # The layer's own failures
//!
//! They are responses; the header `gripstack-error` says why, and a [`HoldError`] is in the extensions. 502: the
//! instructions are malformed or name too many channels, or the response of a long poll is longer than 100,000 bytes or took longer than 15 s.
//! 400: the request to be held has a longer body, or one that took longer.

mod answer;
mod body;
mod client_request;
mod drained;
mod failure;
mod future;
mod guard;
mod holdable;
mod ids;
mod keep_alive;
mod layer;
mod long_poll;
mod original;
mod plain_urls;
mod poll;
mod request_body;
mod service;
#[cfg(feature = "jwt")]
mod sign;
mod stream;
mod subscribed;
#[cfg(feature = "websocket")]
mod websocket;

pub use self::body::Lagged;
pub use self::failure::HoldError;
pub use self::future::ResponseFuture;
pub use self::guard::{EndReason, HoldEnd};
pub use self::layer::GripHoldLayer;
pub use self::service::GripHold;
#[cfg(feature = "jwt")]
pub use self::sign::SignError;
#[cfg(feature = "websocket")]
pub use self::websocket::SocketEnd;
#[cfg(feature = "jwt")]
pub use crate::jwt::KeyError;

use crate::edge::Edge;

impl Edge {
    /// A hold layer for the channels of this edge. It watches [`Edge::drain`].
    #[cfg_attr(docsrs, doc(cfg(feature = "hold")))]
    pub fn hold_layer(&self) -> GripHoldLayer {
        GripHoldLayer::new(self.hub().clone()).drain(self.watch_drain())
    }
}

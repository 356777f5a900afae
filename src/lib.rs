//! Tower layers that make any HTTP service a *push edge*, a *pull cache*, or both.
//!
//! ```text
//!             client                       application / operator
//!               |                        publish |  | purge
//!    +----------v-----------------------------v--v-----------+
//!    |  RateLimitedPublishLayer   POST /publish/             |
//!    |  PurgeLayer                PURGE, /service/../purge   |
//!    |-------------------------------------------------------|
//!    |  GripHoldLayer     holds the client, pushes           |   push edge
//!    |  EdgeCacheLayer    answers from memory                |   pull cache
//!    +----------------------------|--------------------------+
//!                                 v
//!               any Service<Request> : axum Router, tonic, reverse proxy to an origin
//! ```
//!
//! A service answers once, with a value and with [GRIP](https://pushpin.org/docs/protocols/grip/) instructions: hold
//! this client, on that channel. The edge caches both, sends the value, keeps the connection open, and pushes what is
//! published on the channel. Cache and push share one clock: each answer carries the position at which its fetch began,
//! and a hold starts from there. So **no client that connects around a change misses it, nor stays on an old value**,
//! whatever the cache answered it with; [`rules`] says exactly what that means.
//!
//! # Quick start
//!
//! ```no_run
//! # #[cfg(feature = "full")] mod quick_start {
//! use gripstack::grip::Instruct;
//! use gripstack::{BoxError, Edge, EdgeBody, Message, ServiceBuilderExt};
//! use http::{Request, Response};
//! use tower::ServiceBuilder;
//!
//! async fn news(_: Request<EdgeBody>) -> Result<Response<EdgeBody>, BoxError> {
//!     let mut response = Response::new(EdgeBody::from("data: hello\n\n"));
//!     response.headers_mut().insert("content-type", "text/event-stream".parse()?);
//!     response.headers_mut().insert("cache-control", "s-maxage=600".parse()?);
//!     response.headers_mut().extend(Instruct::stream().channel("news").into_headers()?);
//!     Ok(response)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let edge = Edge::new();
//!     let stack = ServiceBuilder::new().grip_hold(&edge).edge_cache(&edge).service_fn(news);
//!     tokio::spawn(async move {
//!         for n in 1.. {
//!             tokio::time::sleep(std::time::Duration::from_secs(1)).await;
//!             edge.publish("news", Message::sse(None, &n.to_string())).await.expect("it is small");
//!         }
//!     });
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     gripstack::serve(listener, stack).await?; // `curl -N http://127.0.0.1:8080/`
//!     Ok(())
//! }
//! # }
//! # fn main() {}
//! ```
//!
//! [`Edge`] is the handle that ties the layers together; all state is in it. Each layer works alone as well, in any
//! `ServiceBuilder`, in `axum::Router::layer`, in tonic's `Server::builder().layer`. They take any request body and
//! answer an [`EdgeBody`]; the error is that of the service below, for their own failures are responses.
//!
//! # The layers
//!
//! In this order, outside in; from an [`Edge`], or with `ServiceBuilderExt` by name:
//!
//! | Layer | What it does | Made by | By name |
//! |---|---|---|---|
//! | [`RateLimitedPublishLayer`] | takes GRIP publishes over HTTP, paces them where asked | [`Publisher::layer`] | `.publish(&publisher, auth)` |
//! | [`PurgeLayer`] | takes purges by URL, surrogate key, all | [`Edge::purge_layer`] | `.purge(&edge, auth)` |
//! | [`GripHoldLayer`] | turns answers with instructions into held streams and long polls | [`Edge::hold_layer`] | `.grip_hold(&edge)` |
//! | [`EdgeCacheLayer`] | answers from memory, collapses misses (RFC 9111, 5861, 9211, 9213) | [`Edge::cache_layer`] | `.edge_cache(&edge)` |
//!
//! Each of these pages has an example. From Rust one publishes and purges with [`Edge::publish`], [`Edge::purge`],
//! both in one step with [`Edge::submit`], and paced with a [`Publisher`]. Around a
//! stack, [`serve()`] is a server for any Tower service, and [`Origin`](origin::Origin) one that forwards to HTTP origins.
//!
//! # Features
//!
//! | Feature | Default | What it adds |
//! |---|---|---|
//! | `hold`, `cache`, `purge`, `publish` | yes | the four layers |
//! | `websocket` | | WebSockets whose origin speaks HTTP, in the hold layer |
//! | `serve` | | the server: HTTP/1.1 and HTTP/2, limits, a drain |
//! | `origin` | | the service that forwards to origins |
//! | `tls` | | TLS in both |
//! | `tower` | | `ServiceBuilderExt` |
//! | `axum` | | public URLs below axum's `nest`; instructions as parts of axum's responses |
//! | `jwt-rust-crypto`, `jwt-aws-lc` | | JSON Web Tokens: publishers that sign, requests to the origin that are signed. Pick one |
//! | `metrics` | | counters and gauges for whatever recorder is installed: [`telemetry`] |
//! | `testing` | | help for tests: [`guide::testing`] |
//! | `full` | | all of these, with `jwt-rust-crypto` |
//!
//! # Where to read on
//!
//! - [`guide::testing`]: how a stack is tested, without a socket and without waiting.
//! - [`guide::operations`]: probes, drains, memory, nginx and Varnish, who may listen.
//! - What `Cache-Status` says, in [`cache`]; what `gripstack-error` says, in [`error`].
//! - "When it does not compile", in `ServiceBuilderExt`.
//! - [`rules`]: the rules of the one clock, which code and tests cite by name.
//!
//! # Versions
//!
//! The minimum supported Rust version is 1.95; raising it is a minor release. Before 1.0 a minor version may break, and
//! the changelog says how; a patch never does. Public dependencies, whose major versions are ours: `http`, `http-body`,
//! `bytes`, `tower-layer`, `tower-service`, `tracing`, `tokio`, and `tower`, `axum` and `metrics` with the features of
//! these names.
#![cfg_attr(docsrs, feature(doc_cfg))]
// A room that a feature leaves out does not use what the others do. With all of them, nothing may lie idle.
#![cfg_attr(not(feature = "full"), allow(dead_code, unused_imports))]

mod authority;
mod bell;
#[cfg(any(feature = "cache", feature = "hold"))]
mod below;
pub mod body;
#[cfg(feature = "tower")]
mod builder_ext;
pub mod cluster;
#[cfg(any(feature = "purge", feature = "publish"))]
pub mod control;
mod drain;
mod edge;
pub mod error;
pub mod guide;
#[cfg(any(
    feature = "hold",
    feature = "cache",
    feature = "publish",
    feature = "origin",
    feature = "serve"
))]
mod hop_by_hop;
pub mod hub;
#[cfg(feature = "jwt")]
mod jwt;
mod log;
mod marks;
#[cfg(any(feature = "origin", feature = "serve"))]
mod media_type;
pub mod message;
mod mutants;
pub mod order;
pub mod position;
#[cfg(any(feature = "cache", feature = "purge"))]
mod public_path;
mod reasons;
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
mod request;
#[doc = include_str!("rules.md")]
pub mod rules {}
mod settings;
mod sync;
pub mod telemetry;
pub mod time;
#[cfg(any(feature = "cache", feature = "origin", feature = "serve"))]
mod trailers;
#[cfg(any(feature = "hold", feature = "serve"))]
mod waiting;

#[cfg(any(feature = "hold", feature = "cache", feature = "publish"))]
pub mod grip;
#[cfg(any(feature = "hold", feature = "cache"))]
pub mod handoff;

#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "hold")]
pub mod hold;

#[cfg(feature = "publish")]
pub mod publish;
#[cfg(feature = "purge")]
pub mod purge;

#[cfg(feature = "origin")]
pub mod origin;
#[cfg(feature = "serve")]
pub mod serve;

#[cfg(all(feature = "full", any(test, fuzzing)))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use body::EdgeBody;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use builder_ext::ServiceBuilderExt;
#[cfg(feature = "cache")]
pub use cache::EdgeCacheLayer;
pub use drain::{Drain, DrainSignal};
pub use edge::{Accepted, Edge, EdgeBuilder, SubmitError};
pub use error::BoxError;
#[cfg(feature = "hold")]
pub use hold::GripHoldLayer;
pub use hub::Hub;
pub use message::{Channel, Message};
pub use order::{Order, Publication, Purge, PurgeMode, Target, Url};
pub use position::{ClockId, Position, Stamp};
#[cfg(feature = "publish")]
pub use publish::{Publisher, RateLimitedPublishLayer};
#[cfg(feature = "purge")]
pub use purge::PurgeLayer;
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
pub use request::{ClientInfo, KeepUnderscores};
#[cfg(feature = "serve")]
pub use serve::{Serve, serve};
#[cfg(any(feature = "hold", feature = "serve"))]
pub use waiting::Waiting;

/// The README's example, compiled.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;

//! A Tower service that forwards to real applications over HTTP/1.1.
//!
//! [`Origin`] streams both ways: neither the body of a request nor that of a response is ever collected. What
//! goes wrong is a response, never an error of the service: 502 or 504 (RFC 9110 15.6.3, 15.6.5), with the
//! reason in the field `gripstack-error` and the typed [`OriginError`](crate::error::OriginError) in the
//! extensions. A request that may have reached the application is never sent twice, with one exception: a safe one
//! without a body (GET, HEAD, OPTIONS, TRACE), whose kept connection ends in the place of an answer, goes out once more on
//! a new connection.
//!
//! ```no_run
//! # fn main() -> Result<(), gripstack::origin::BuildError> {
//! use gripstack::origin::Origin;
//!
//! let origin = Origin::builder()
//!     .route("*", "http://127.0.0.1:8080")
//!     .route("api.example.com/v2", "http://127.0.0.1:8082")
//!     .build()?;
//! # drop(origin);
//! # Ok(())
//! # }
//! ```
//!
//! What it changes on the way, and what not:
//!
//! - Path and query arrive byte for byte. The prefix of a route is not stripped; a path in the origin's URL is
//!   put in front. A path that leads out of either (`/../secret`, in whatever spelling) is refused with 400.
//! - Fields of the connection are removed in both directions (RFC 9110 7.6.1), among them what `Connection`
//!   lists. `Expect` is answered here.
//! - Fields that applications tend to trust but that no cache key covers are removed from requests
//!   (`X-Original-URL`, `X-HTTP-Method-Override`, `Forwarded` and the like), also where they are written with
//!   underscores; `X-Forwarded-For`, `-Proto` and `-Host` are ours, or a trusted proxy's. The client's address comes from [`ClientInfo`](crate::ClientInfo) in the request's extensions.
//! - A GET or HEAD with a body goes out with it, and its connection is not used again. Nor is one that speaks HTTP/1.0.
//! - Trailers pass in both directions, but for those that would make another message of the head they are merged into (RFC
//!   9110 6.5.1).
//! - `Via` is appended in both directions (RFC 9110 7.6.3), unless [told otherwise](Builder::without_via); OPTIONS and TRACE go
//!   as far as `Max-Forwards` says.
//! - `CDN-Loop` (RFC 8586) gets one more member, by which a request that comes again is known, and refused with 508: an
//!   origin leads back to this server. In front of a cache [`Origin::loop_layer`] does that.
//! - 1xx answers are dropped, 103 Early Hints (RFC 8297) among them, for hyper's server cannot send them; too many are a 502.
//!   Not a 101 that was asked for: then both sides are joined until one ends.

mod awaited;
mod body;
mod builder;
mod cdn_loop;
mod climb;
mod connect;
mod failure;
mod forward;
mod headers;
mod max_forwards;
mod route;
mod stats;
#[cfg(feature = "tls")]
mod tls;
mod upgrade;
mod via;

#[cfg(all(feature = "full", any(test, fuzzing)))]
pub(crate) mod fuzz;

pub use builder::{BuildError, BuildProblem, Builder};
pub use cdn_loop::{LoopFuture, LoopGuard, LoopLayer};
pub use forward::{Origin, ResponseFuture};
pub use headers::{ForwardedFor, HostPolicy};
pub use route::Route;
pub use stats::Stats;

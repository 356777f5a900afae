//! A server for any Tower service, called as `axum::serve` is.
//!
//! [`serve`] accepts connections, tells HTTP/1.x from HTTP/2 by the first bytes (plain or after a TLS handshake), and
//! answers each request with the service. Hyper speaks both protocols; what is ours is everything around it:
//!
//! * a strict reader in front of HTTP/1 (RFC 9112): heads, lengths and chunks that two readers could understand
//!   differently are answered `400`, `414`, `431` or `501` with one line that says why, and the service never
//!   sees them ([`Refusal`] lists the reasons);
//! * one request at a time on an HTTP/1 connection: what a client pipelines waits outside the protocol, so a
//!   connection that breaks is noticed at once. A client that ends its side behind a whole request is answered; of one who
//!   is [kept waiting](crate::Waiting) or [held](crate::body::Held) it counts as going away;
//! * time: heads, bodies, readers and idle connections have deadlines ([`Limits`]);
//! * numbers: connections, streams, buffers are bounded, and [`Stats`] counts what met a limit;
//! * parking: a connection whose last answer is [held](crate::body::Held) leaves HTTP's state machine once all that there
//!   is has been written; what goes on is its socket and the body, whatever layers made of that, in the hands of a few
//!   tasks that have many of them ([`Parking`]). Not so on HTTP/2, whose
//!   streams share a connection, for HEAD and where a request asks to leave HTTP (nothing is held), before the request's body
//!   is read, and where the answer frames itself (`Content-Length`, `Transfer-Encoding`, `Trailer`);
//! * a drain: stop accepting, tell clients and long-lived responses, wait, cut.
//!
//! In each request's extensions are the [`Peer`], a [`Drain`](crate::Drain), the [`ClientInfo`](crate::ClientInfo) and the
//! [scheme](http::uri::Scheme): those of the connection, or what a [trusted proxy](Serve::trusted_proxies) says. A request
//! has one host, in lower case and without its scheme's default port, in the target and in `Host`, and one `Cookie`. An error of the service becomes a
//! `502`, a panic a `500`; what it was, the log says.
//!
//! # Example
//!
//! ```no_run
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use gripstack::EdgeBody;
//! use http::{Request, Response};
//!
//! # async fn run() -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let service = tower::service_fn(|_: Request<EdgeBody>| async {
//!     Ok::<_, Infallible>(Response::new(EdgeBody::from("hello\n")))
//! });
//! gripstack::serve::serve(listener, service)
//!     .drain(async { tokio::signal::ctrl_c().await.ok(); }, Duration::from_secs(30))
//!     .await?;
//! # Ok(())
//! # }
//! ```

mod accept;
mod adapter;
mod addresses;
mod authority;
mod body;
mod chunked;
mod connection;
mod framer;
mod head;
mod limits;
mod link;
mod listener;
mod panics;
mod park;
mod proxy_protocol;
mod quiet;
mod refusal;
mod slot;
mod socket;
mod stats;
mod streams;
mod timer;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod trusted;
mod windows;

#[cfg(all(feature = "full", any(test, fuzzing)))]
pub(crate) mod fuzz;

pub use accept::{Drained, Serve, serve};
pub use limits::Limits;
pub use listener::{Listener, Peer};
pub use park::Parking;
pub use refusal::{Refusal, Refused};
pub use stats::Stats;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
pub use trusted::{NotANetwork, TrustedProxies};

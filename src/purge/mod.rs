//! [`PurgeLayer`]: turns purge requests into orders, for those who may.
//!
//! | Request | Purges | Answer |
//! |---|---|---|
//! | `PURGE <url>` | that URL: all variants, both schemes | `{"status":"ok","id":".."}` |
//! | `POST /purge/<host>/<path>?<query>` | that URL | the same |
//! | `POST /service/<id>/purge/<key>` | what carries the surrogate key | the same |
//! | `POST /service/<id>/purge`, `Surrogate-Key: a b` or `{"surrogate_keys":["a","b"]}` | what carries one of up to 256 keys | `{"a":"..","b":".."}` |
//! | `POST /service/<id>/purge_all` | everything, hard | `{"status":"ok"}` |
//!
//! The first works with a new layer; the others, which are Fastly's API, after [`PurgeLayer::api`], for they
//! could be paths of the application. `Fastly-Soft-Purge` with any value makes a purge soft; the header
//! `gripstack-purge: hard | soft | soft-block` chooses exactly. Purging what is not cached is no error.
//!
//! Credentials are a token, as `Fastly-Key` or as `Authorization: Bearer`, or whatever an application's
//! [own rules](Auth::custom) accept. Without any, `PURGE` is a method that is not allowed (405; [or 401](PurgeLayer::challenge)) and the API
//! answers 401; neither reaches the inner service. Each credential has [limits](PurgeLayer::limits): beyond them the answer is
//! 429, with `Retry-After`. `Fastly-RateLimit-Remaining` and `Fastly-RateLimit-Reset`, which clients of Fastly read,
//! are on that answer and, as Fastly does not count other purges, on that to `purge_all`.
//!
//! An answer is given when the order has been applied: no request that comes later gets what was purged, however
//! many fetches were under way. The public URL of a request is its target's authority, else its `Host`, with its
//! path and query as they arrive: keep this layer outside of whatever rewrites them. Below a router that strips a prefix
//! the [namespace](PurgeLayer::namespace) is put back; with the feature `axum`, below axum's `nest`, by itself.
//!
//! ```
//! use gripstack::purge::{Auth, PurgeLayer};
//! use gripstack::{Edge, PurgeMode};
//! use tower::ServiceBuilder;
//!
//! let edge = Edge::new();
//! let stack = ServiceBuilder::new()
//!     .layer(PurgeLayer::new(edge, Auth::token("secret")).mode(PurgeMode::SoftBlock))
//!     .service(gripstack::control::NotFound);
//! # let _ = stack;
//! ```

mod auth;
mod layer;
mod limit;
mod service;
mod wire;

#[cfg(all(feature = "full", any(test, fuzzing)))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

pub use self::auth::{Auth, Token};
pub use self::layer::PurgeLayer;
pub use self::limit::{Limits, Rate};
pub use self::service::PurgeService;
pub use crate::control::ResponseFuture;

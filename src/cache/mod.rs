//! The pull cache: a shared cache (RFC 9111, 9213) that streams misses, collapses requests, and knows GRIP.
//!
//! ```text
//! service    a request: pass it, or look for an answer
//! memo       a URL whose answers are not kept; `pass`: its requests go by
//! visit      what a request does: answer from memory, `wait` for a flight, or ask `alone`
//! resource   one URL: its variants, its `channels`, its flights, and the decision between them (`find`)
//! look       what may become of a stored answer: fresh, stale, refetch, dead (the one test of `position::serves`)
//! flight     a fetch that several requests wait for; `fetch` runs it in a task of its own
//! arrived    what became of a fetch: the one disposition; `note`: what that tells of the URL
//! entry      a stored answer, or one that is still arriving: the same thing; it knows no URL
//! serve      an answer of an entry, for one request
//! store      entries, each under its URL, bounded by bytes
//! account    what bodies take until the last reader lets go of them
//! policy/    pure functions of headers and time
//! ```
//!
//! Instructions (`Grip-*`) are for a hold layer above. Without one clients get the bare answer, which a warning in the log
//! says once.
//!
//! A hit is decided and answered in `call`, without a task, a wait or a copy of the body. A miss runs in a task
//! that no client owns: clients read the growing log of its body, the first one too.
#![cfg_attr(feature = "full", doc = "", doc = include_str!("../../docs/cache-status.md"))]

/// Warns, the first time.
macro_rules! say_once {
    ($text:literal) => {{
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| tracing::warn!(target: "gripstack::cache", $text));
    }};
}

mod account;
mod alone;
mod arrived;
mod channels;
mod config;
mod confirm;
mod dates;
mod entry;
mod fetch;
mod find;
mod flight;
mod future;
mod handle;
mod key;
mod layer;
mod location;
mod look;
mod memo;
mod note;
mod pass;
mod policy;
mod pump;
mod refusal;
mod resource;
mod serve;
mod service;
mod shard;
mod store;
mod sweep;
mod tags;
mod visit;
mod wait;

#[cfg(all(feature = "full", any(test, fuzzing)))]
pub(crate) mod fuzz;

pub use self::config::{CacheConfig, PacedReads};
pub use self::future::ResponseFuture;
pub use self::handle::{Cache, CacheStats};
pub use self::layer::EdgeCacheLayer;
pub use self::service::EdgeCache;

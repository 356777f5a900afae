//! Tower layers that make any HTTP service a *push edge*, a *pull cache*, or both.
//!
//! See the README for a picture, and [`Edge`] for the handle that ties the layers together.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod authority;
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
mod log;
mod marks;
pub mod message;
mod mutants;
pub mod order;
pub mod position;
#[cfg(feature = "purge")]
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

/// The README's example, compiled.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;

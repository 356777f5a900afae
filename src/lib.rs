//! Tower layers that make any HTTP service a *push edge*, a *pull cache*, or both.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod body;
mod drain;
pub mod error;
mod log;
pub mod message;
pub mod position;
mod sync;
pub mod time;

#[cfg(any(feature = "hold", feature = "cache", feature = "publish"))]
pub mod grip;

#[cfg(feature = "cache")]
pub mod cache;

#[cfg(feature = "origin")]
pub mod origin;
#[cfg(feature = "serve")]
pub mod serve;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use body::EdgeBody;
pub use drain::{Drain, DrainSignal};
pub use error::BoxError;
pub use message::{Channel, Message};
pub use position::{ClockId, Position, Stamp};
#[cfg(feature = "serve")]
pub use serve::{Serve, serve};

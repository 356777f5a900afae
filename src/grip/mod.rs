//! The GRIP wire format: what an origin answers, what a publisher posts. Pure: bytes in, values out, no I/O.
//!
//! - [`Instruct`] is what a response asks of the edge. [`Instruct::from_headers`] and [`Instruct::from_json`]
//!   read it; [`Instruct::stream`] and [`Instruct::response`] make one, so that a handler written in Rust never
//!   spells a `Grip-` header.
//! - [`parse_publish`] reads the body of a publish, [`to_item_json`] writes one item of it.
//! - `ws_events`, `ws_control` and `ws_headers` (with the feature `hold`) are WebSockets over HTTP: the events of a
//!   connection as bodies of requests and answers, what an origin says of a connection inside it, and the fields beside.
//! - [`strip`] takes every `Grip-*` header off a message, [`FEATURES`] says what this edge supports.
//!
//! Deliberate differences from the reference proxy: a channel name must be one that [`Channel`](crate::Channel)
//! accepts; a status must be final (200 to 999); commas are allowed inside the `<>` of a `Grip-Link`; `\t` is an
//! escape of the `cstring` format and an unknown escape is an error; six filters are an error in JSON as in
//! headers; the `mode` of a JSON keep-alive is read; `{}` is an empty 200; every refusal has a text.
//!
//! ```
//! use gripstack::grip::{Instruct, KeepAlive};
//! use std::time::Duration;
//!
//! let headers = Instruct::stream()
//!     .channel("updates")
//!     .prev_id("41")
//!     .keep_alive(KeepAlive::text(": ping\n\n", Duration::from_secs(20)))
//!     .into_headers()?;
//! assert_eq!(headers["grip-channel"], "updates; prev-id=41");
//! assert_eq!(Instruct::from_headers(&headers)?.unwrap().hold.unwrap().channels.len(), 1);
//! # Ok::<(), gripstack::grip::InstructError>(())
//! ```

#[cfg(feature = "axum")]
mod axum;
mod binary;
mod builder;
mod channel;
mod draft;
mod encode;
mod error;
mod feature;
mod fields;
mod header;
mod instruct;
mod item;
mod item_encode;
mod item_format;
mod json;
mod keep_alive;
mod syntax;
mod ws_close;
#[cfg(feature = "hold")]
pub mod ws_control;
#[cfg(feature = "hold")]
pub mod ws_events;
#[cfg(feature = "hold")]
pub mod ws_headers;
mod ws_kind;

#[cfg(all(feature = "full", any(test, fuzzing)))]
pub(crate) mod fuzz;
#[cfg(test)]
mod header_cases;
#[cfg(test)]
mod json_cases;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod publish_cases;

pub use builder::InstructBuilder;
pub use error::{FieldError, InstructError, PublishFormatError};
pub(crate) use feature::is_grip;
#[cfg(feature = "hold")]
pub(crate) use feature::speaks;
pub use feature::{FEATURES, has_grip, strip};
pub use instruct::{
    DEFAULT_TIMEOUT, Hold, HoldChannel, HoldMode, Instruct, MAX_FILTERS, MAX_ID_BYTES, MAX_INSTRUCT_BYTES,
    MIN_TIMEOUT, NextLink,
};
pub use item::{ItemPolicy, ItemPurge, MAX_ITEMS, MAX_PURGE_TARGETS, PublishItem, parse_publish};
pub use item_encode::to_item_json;
#[cfg(feature = "cache")]
pub(crate) use json::is_instruct;
pub use json::{INSTRUCT_TYPE, JsonResponse, is_instruct_type};
pub use keep_alive::{KeepAlive, KeepAliveError, KeepAliveMode};
pub use ws_close::{CloseCodeError, CloseFrame, MAX_CONTROL_BYTES, MAX_REASON_BYTES};

//! WebSockets over HTTP: batches of events as bodies (`application/websocket-events`).
//!
//! What a client does becomes events of a request, what an answer says becomes frames for the client. An event is
//! `TYPE SP length CRLF content CRLF`, with the length in hexadecimal digits, or `TYPE CRLF` where there is no content.
//!
//! - [`decode`] reads a body; contents are parts of it, not copies. [`encode`] writes one.
//! - [`content_bytes`] and [`drop_accepted`] are for origins that accept a request in part.
//!
//! Deliberate differences from the reference proxy: what is malformed is an error, always (it reads negative lengths,
//! lengths beyond the end, `0x`, signs, and does not look at what follows a content); text is UTF-8; a ping or pong has at
//! most 125 bytes; a close has a code that may be on the wire.
//!
//! ```
//! use bytes::Bytes;
//! use gripstack::grip::ws_events::{Event, Limits, decode, encode};
//!
//! let body = Bytes::from("OPEN\r\nTEXT 7\r\nm:hello\r\n");
//! let events = decode(&body, Limits::default())?;
//! assert_eq!(events, [Event::Open, Event::Text("m:hello".into())]);
//! assert_eq!(encode(&events), body);
//! # Ok::<(), gripstack::grip::ws_events::EventsError>(())
//! ```

mod accept;
mod decode;
mod encode;
mod error;
mod event;

#[cfg(test)]
mod accept_cases;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;

pub use accept::{AcceptError, Accepted, content_bytes, drop_accepted};
pub use decode::{Limits, MAX_EVENTS, MAX_EVENTS_BYTES, decode};
pub use encode::encode;
pub use error::{EventFault, EventsError};
pub use event::Event;

/// The media type of events. Of an answer it is compared exactly, so without any parameter.
pub const EVENTS_TYPE: &str = "application/websocket-events";

//! The fields beside the events of a WebSocket over HTTP: what the edge says in each request, and what answers say.
//!
//! - [`keep_for_requests`] makes a client's handshake what all requests have in common; [`RequestFields`] adds what
//!   each one says.
//! - [`Answer`] is what an answer says of the connection, [`Meta`] what the edge remembers for the origin.
//! - [`keep_for_client`] leaves of an answer's fields what the client sees.
//!
//! ```
//! use gripstack::grip::ws_headers::{Answer, KeepAliveInterval, Meta, RequestFields, is_events_type};
//! use http::{HeaderMap, HeaderValue};
//!
//! let mut answer = HeaderMap::new();
//! answer.insert("content-type", HeaderValue::from_static("application/websocket-events"));
//! answer.insert("sec-websocket-extensions", HeaderValue::from_static(r#"grip; message-prefix="p:""#));
//! answer.insert("keep-alive-interval", HeaderValue::from_static("5"));
//! answer.insert("set-meta-user", HeaderValue::from_static("bob"));
//! assert!(is_events_type(&answer));
//!
//! let mut meta = Meta::default();
//! meta.apply(&answer)?;
//! let answer = Answer::from_headers(&answer)?;
//! assert_eq!(answer.prefix.unwrap().as_str(), "p:");
//! assert_eq!(answer.keep_alive, KeepAliveInterval::Every(std::time::Duration::from_secs(20)));
//!
//! let connection_id = HeaderValue::from_static("0b6d5f9e-4f5c-4a0e-8f0a-6a4b8a1c2d3e");
//! let request = RequestFields { connection_id: &connection_id, meta: &meta, body_bytes: 6, replayed: 0 };
//! let mut fields = HeaderMap::new();
//! request.write(&mut fields);
//! assert_eq!((&fields["meta-user"], &fields["content-length"]), (&"bob".parse()?, &"6".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod meta;
mod names;
mod request;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod meta_cases;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod request_cases;

pub use answer::{Answer, AnswerError, KeepAliveInterval, MIN_INTERVAL, keep_for_client};
pub use meta::{MAX_META, MAX_META_BYTES, Meta, MetaError};
pub use names::{is_events_type, reads_as_events_type, strip_for_edge};
pub use request::{RequestFields, keep_for_requests};

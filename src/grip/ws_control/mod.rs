//! What an origin says to the edge inside a WebSocket: messages that begin with `c:`, beside those for the client.
//!
//! [`judge`] tells which is which, and takes the prefix off what is the client's; [`Control`] reads what is the edge's.
//!
//! ```
//! use bytes::Bytes;
//! use gripstack::grip::ws_control::{Control, MessagePrefix, Part, Verdict, judge};
//! use gripstack::message::SocketKind;
//!
//! // "m:", unless the origin says otherwise.
//! let prefix = MessagePrefix::default();
//! let judge = |text| judge(Some(&prefix), SocketKind::Text, Part::Whole, text);
//!
//! let message = Bytes::from("m:hello");
//! assert_eq!(judge(&message), Verdict::Pass("hello".into()));
//! let control = Bytes::from(r#"c:{"type":"subscribe","channel":"news"}"#);
//! let Verdict::Control(json) = judge(&control) else { panic!() };
//! let Control::Subscribe { channel, .. } = Control::from_json(json)? else { panic!() };
//! assert_eq!(channel.as_str(), "news");
//! # Ok::<(), gripstack::grip::ws_control::ControlError>(())
//! ```

mod control;
mod encode;
mod error;
mod prefix;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod prefix_cases;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusal_cases;

pub use control::{Control, DEFAULT_DELAY, DelayedMessage, SocketKeepAlive};
pub use error::ControlError;
pub use prefix::{DropReason, MessagePrefix, Part, Verdict, judge};

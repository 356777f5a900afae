//! Which messages of an origin are for the edge, and which for the client.

use bytes::Bytes;

use crate::message::SocketKind;
use crate::reasons::reasons;

/// What a message for the edge begins with.
pub(super) const CONTROL: &str = "c:";

/// What a message for the client begins with, and reaches it without. Default `m:`; may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePrefix(Box<str>);

/// How much of a message there is to judge it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The first frame of several. What is decided of it holds for all of them.
    FirstFrame,
}

/// Whom a message of an origin is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The edge: this is what [`Control::from_json`](super::Control::from_json) reads.
    Control(&'a str),
    /// The client, as this.
    Pass(Bytes),
    /// Nobody.
    Drop(DropReason),
}

reasons! {
    /// Why a message reaches nobody.
    pub enum DropReason {
        /// It does not begin with the prefix.
        Unprefixed = "unprefixed",
        /// It is one for the edge in several frames.
        FragmentedControl = "fragmented-control",
        /// It is one for the edge and no text.
        ControlNotUtf8 = "control-not-utf8",
    }
}

/// Tells whom a message of an origin is for. Without a prefix the origin speaks no GRIP on this connection, and all is
/// the client's as it is.
///
/// With one, a text that begins with `c:` is the edge's, whatever the prefix. Any other text, and bytes, have to begin
/// with the prefix, which is taken off; of a message in several frames the first one has to have all of it. Pings and
/// pongs pass.
///
/// ```
/// use bytes::Bytes;
/// use gripstack::grip::ws_control::{DropReason, MessagePrefix, Part, Verdict, judge};
/// use gripstack::message::SocketKind;
///
/// let prefix = MessagePrefix::default();
/// let text = Bytes::from("hello");
/// let of = |prefix| judge(prefix, SocketKind::Text, Part::Whole, &text);
/// assert_eq!(of(None), Verdict::Pass(text.clone()));
/// assert_eq!(of(Some(&prefix)), Verdict::Drop(DropReason::Unprefixed));
/// ```
pub fn judge<'a>(
    prefix: Option<&MessagePrefix>,
    kind: SocketKind,
    part: Part,
    content: &'a Bytes,
) -> Verdict<'a> {
    let Some(prefix) = prefix else {
        return Verdict::Pass(content.clone());
    };
    match kind {
        SocketKind::Ping | SocketKind::Pong => return Verdict::Pass(content.clone()),
        SocketKind::Text => {
            if let Some(control) = content.strip_prefix(CONTROL.as_bytes()) {
                return match (part, str::from_utf8(control)) {
                    (Part::FirstFrame, _) => Verdict::Drop(DropReason::FragmentedControl),
                    (Part::Whole, Ok(json)) => Verdict::Control(json),
                    (Part::Whole, Err(_)) => Verdict::Drop(DropReason::ControlNotUtf8),
                };
            }
        }
        SocketKind::Binary => {}
    }
    if content.starts_with(prefix.0.as_bytes()) {
        Verdict::Pass(content.slice(prefix.0.len()..))
    } else {
        Verdict::Drop(DropReason::Unprefixed)
    }
}

// === impl MessagePrefix ===

impl MessagePrefix {
    /// This prefix. As text, so that what is left of a text without it is text.
    pub fn new(prefix: impl Into<Box<str>>) -> Self {
        Self(prefix.into())
    }

    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MessagePrefix {
    fn default() -> Self {
        Self::new("m:")
    }
}

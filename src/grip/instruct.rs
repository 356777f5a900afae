//! What a response asks of the edge.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::KeepAlive;
use crate::message::Channel;

/// Longest hold of a response hold without a `Grip-Timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(55);

/// A shorter `Grip-Timeout` is raised to this.
pub const MIN_TIMEOUT: Duration = Duration::from_secs(5);

/// More filters on one channel are an error.
pub const MAX_FILTERS: usize = 5;

/// Longest `id` or `prev-id`, in bytes.
pub const MAX_ID_BYTES: usize = 1024;

/// Longest body of a response that carries instructions, in bytes.
pub const MAX_INSTRUCT_BYTES: usize = 100_000;

/// What a response asks of the edge. Without a hold and without a next link the response goes out at once.
///
/// ```
/// use gripstack::grip::Instruct;
/// use std::time::Duration;
///
/// // A stream of two channels, and a long poll that knows which message its answer contains.
/// let stream = Instruct::stream().channel("news").channel("user-al").into_headers()?;
/// let poll = Instruct::response().channel("news").prev_id("41").timeout(Duration::from_secs(25)).into_headers()?;
/// // No hold, but each message on the channel makes the cached answer older.
/// let plain = Instruct::immediate().channel("news").into_headers()?;
/// assert_eq!(stream["grip-hold"], "stream");
/// assert_eq!((&poll["grip-hold"], &poll["grip-timeout"]), (&"response".parse().unwrap(), &"25".parse().unwrap()));
/// assert!(!plain.contains_key("grip-hold"));
/// # Ok::<(), gripstack::grip::InstructError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instruct {
    /// Whether and how to hold the request (`Grip-Hold`, or `hold` in JSON).
    pub hold: Option<Hold>,
    /// Channels named without a hold: what the response tells about, though nobody is to wait. Distinct names. Empty
    /// when there is a hold.
    pub unheld: Vec<HoldChannel>,
    /// What the client sees as the status (`Grip-Status`). Default: that of the response.
    pub status: Option<StatusCode>,
    /// The phrase beside the status, for HTTP/1.1. Default: the standard one.
    pub reason: Option<Box<str>>,
    /// If there are any, only these headers reach the client (`Grip-Expose-Headers`); never a `Grip-*`.
    pub expose_headers: Vec<HeaderName>,
    /// Where a stream goes on, or recovers (`Grip-Link` with `rel=next`).
    pub next: Option<NextLink>,
    /// What to POST to when the hold ends (`Grip-Link` with `rel=gone`). A URI reference, not resolved.
    pub gone: Option<Box<str>>,
    /// Names and values for filters (`Grip-Set-Meta`, `hold.meta`). The last one of a name counts.
    pub meta: Vec<(Box<str>, Box<str>)>,
}

/// How a request is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// For one answer, or for a body that goes on.
    pub mode: HoldMode,
    /// What it listens to: distinct names, maybe none. A hold layer refuses a hold of more than it
    /// [allows](crate::GripHoldLayer::max_channels).
    pub channels: Vec<HoldChannel>,
    /// Response holds: after this the response itself is the answer. Whole seconds on the wire. Default
    /// [`DEFAULT_TIMEOUT`], at least [`MIN_TIMEOUT`]. Means nothing to streams.
    pub timeout: Duration,
    /// Streams: what to send in silence. Default: nothing. Means nothing to response holds.
    pub keep_alive: Option<KeepAlive>,
}

/// The two kinds of hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldMode {
    /// Long poll: the next message is the response.
    Response,
    /// The response goes out at once and its body goes on with each message.
    Stream,
}

/// A channel that a hold listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldChannel {
    /// Its name.
    pub name: Channel,
    /// The id of the last message that the body already contains. At most [`MAX_ID_BYTES`].
    pub prev_id: Option<Arc<str>>,
    /// Names of filters, in order, known or not. At most [`MAX_FILTERS`].
    pub filters: Vec<Box<str>>,
}

/// Where a stream goes on, or recovers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextLink {
    /// A URI reference, not resolved.
    pub uri: Box<str>,
    /// Fetched after this long without activity. Whole seconds. Default 120 s.
    pub timeout: Duration,
}

/// What a channel takes beside its name and ids. Measured.
#[cfg(feature = "cache")]
const CHANNEL_BYTES: usize = 192;

// === impl Instruct ===

impl Instruct {
    /// The channels that it names, with a hold or without.
    pub fn channels(&self) -> &[HoldChannel] {
        match &self.hold {
            Some(hold) => &hold.channels,
            None => &self.unheld,
        }
    }

    /// Bytes of memory that it takes, about, with what a URL remembers of its channels.
    #[cfg(feature = "cache")]
    pub(crate) fn bytes(&self) -> usize {
        let channel = |channel: &HoldChannel| {
            let filters: usize = channel.filters.iter().map(|filter| filter.len() + 16).sum();
            let id = channel.prev_id.as_ref().map_or(0, |id| id.len() + 16);
            CHANNEL_BYTES + channel.name.as_str().len() + id + filters
        };
        let channels: usize = self.channels().iter().map(channel).sum();
        let keep_alive = self.hold.as_ref().and_then(|hold| hold.keep_alive.as_ref());
        let keep_alive = keep_alive.map_or(0, |keep_alive| keep_alive.content.len());
        let meta = self
            .meta
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32);
        let exposed = self.expose_headers.iter().map(|name| name.as_str().len() + 32);
        let links = self.next.as_ref().map_or(0, |next| next.uri.len());
        let links = links + self.gone.as_ref().map_or(0, |gone| gone.len());
        let reason = self.reason.as_ref().map_or(0, |reason| reason.len());
        size_of::<Self>()
            + channels
            + keep_alive
            + meta.sum::<usize>()
            + exposed.sum::<usize>()
            + links
            + reason
    }
}

// === impl HoldMode ===

impl HoldMode {
    /// As GRIP spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Stream => "stream",
        }
    }

    /// `response` or `stream`, nothing else; case-sensitive.
    pub(super) fn from_bytes(text: &[u8]) -> Option<Self> {
        match text {
            b"response" => Some(Self::Response),
            b"stream" => Some(Self::Stream),
            _ => None,
        }
    }
}

// === impl HoldChannel ===

impl HoldChannel {
    /// This channel without an id and without filters.
    pub fn new(name: Channel) -> Self {
        Self {
            name,
            prev_id: None,
            filters: Vec::new(),
        }
    }
}

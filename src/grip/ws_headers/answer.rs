//! Fields of an origin's answers.

use std::time::Duration;

use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
};

use super::names::{self, CONTENT_BYTES_ACCEPTED, KEEP_ALIVE_INTERVAL};
use crate::grip::syntax;
use crate::grip::ws_control::MessagePrefix;
use crate::hop_by_hop;

/// A shorter `Keep-Alive-Interval` is raised to this.
pub const MIN_INTERVAL: Duration = Duration::from_secs(20);

/// What an answer says of the connection. What is to be remembered is [`Meta`](super::Meta)'s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// If the origin speaks GRIP on this connection, what messages for the client begin with
    /// (`Sec-WebSocket-Extensions: grip; message-prefix=..`). Counts in the answer that opens the connection only.
    pub prefix: Option<MessagePrefix>,
    /// When the origin is asked although nothing happened (`Keep-Alive-Interval`).
    pub keep_alive: KeepAliveInterval,
    /// How many bytes of content of the request it accepted (`Content-Bytes-Accepted`). Default: all.
    pub accepted: Option<u64>,
}

/// What an answer says of when the origin is asked although nothing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAliveInterval {
    /// Nothing: as before.
    #[default]
    Unchanged,
    /// Never. Also what is said by something that is no number.
    Off,
    /// After so long a silence. Whole seconds, at least [`MIN_INTERVAL`].
    Every(Duration),
}

/// Why an answer makes no sense. To go on would show a client what is the edge's, or lose what it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// `Sec-WebSocket-Extensions` has a quote that does not end.
    #[error("failed to parse Sec-WebSocket-Extensions")]
    Extensions,
    /// The prefix of messages is not UTF-8.
    #[error("message-prefix is not valid UTF-8")]
    PrefixNotUtf8,
    /// `Content-Bytes-Accepted` is no number.
    #[error("failed to parse Content-Bytes-Accepted")]
    Accepted,
}

/// Leaves of the fields of the answer that opens a connection what the client sees with the 101: `Set-Cookie`,
/// `Sec-WebSocket-Protocol` and all that is the application's. Not what is for the edge, nor what is about the body or
/// the connection to the origin; `Sec-WebSocket-Accept` is for whoever holds the client's connection to say.
pub fn keep_for_client(headers: &mut HeaderMap) {
    names::strip_for_edge(headers);
    hop_by_hop::remove(headers);
    names::remove_where(headers, |name| {
        [CONTENT_TYPE, CONTENT_ENCODING, SEC_WEBSOCKET_ACCEPT].contains(name) || hop_by_hop::is_framing(name)
    });
}

// === impl Answer ===

impl Answer {
    /// Reads the fields of an answer whose body is events. Of a field that stands there more than once the first counts.
    ///
    /// # Errors
    ///
    /// When what it says of the extension or of what it accepted cannot be read. (The reference proxy then goes on
    /// without GRIP, or as if all was accepted.)
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, AnswerError> {
        Ok(Self {
            prefix: prefix(headers)?,
            keep_alive: first(headers, &KEEP_ALIVE_INTERVAL).map_or(KeepAliveInterval::Unchanged, interval),
            accepted: first(headers, &CONTENT_BYTES_ACCEPTED).map(number).transpose()?,
        })
    }
}

// === impl KeepAliveInterval ===

impl KeepAliveInterval {
    /// What holds from here on, after this interval.
    pub fn after(self, before: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Unchanged => before,
            Self::Off => None,
            Self::Every(interval) => Some(interval),
        }
    }
}

fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(|value| value.as_bytes())
}

/// The prefix of the first `grip` among the extensions. Without the parameter it is the default, without its value empty.
fn prefix(headers: &HeaderMap) -> Result<Option<MessagePrefix>, AnswerError> {
    let values = || headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
    if values().any(|value| syntax::has_open_quote(value.as_bytes())) {
        return Err(AnswerError::Extensions);
    }
    let mut extensions = values().flat_map(|value| syntax::elements(value.as_bytes()));
    let grip = extensions.find_map(|extension| {
        let (name, params) = syntax::first_and_params(extension);
        (name == b"grip").then_some(params)
    });
    let Some(mut params) = grip else {
        return Ok(None);
    };
    let prefix = params.find(|(name, _)| name.eq_ignore_ascii_case(b"message-prefix"));
    let Some((_, value)) = prefix else {
        return Ok(Some(MessagePrefix::default()));
    };
    let value = value.unwrap_or_default();
    let value = str::from_utf8(&value).map_err(|_| AnswerError::PrefixNotUtf8)?;
    Ok(Some(MessagePrefix::new(value)))
}

fn interval(value: &[u8]) -> KeepAliveInterval {
    match syntax::seconds(value) {
        Ok(interval) if !interval.is_zero() => KeepAliveInterval::Every(interval.max(MIN_INTERVAL)),
        _ => KeepAliveInterval::Off,
    }
}

/// Digits only.
fn number(value: &[u8]) -> Result<u64, AnswerError> {
    let digits = value.trim_ascii();
    let all = digits.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.filter(|_| all).ok_or(AnswerError::Accepted)
}

//! Why instructions or a publish are refused. The texts are the reference proxy's where it has one.

use std::borrow::Cow;

use super::{KeepAliveError, MAX_ID_BYTES, MAX_ITEMS};
use crate::message::{Channel, ChannelError};

/// Why instructions are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstructError {
    /// `Grip-Hold` has another value.
    #[error("Grip-Hold must be set to either 'response' or 'stream'")]
    Hold,
    /// A channel has a name that no channel may have.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A channel has more than [`MAX_FILTERS`](super::MAX_FILTERS) filters.
    #[error("too many filters for channel '{0}'")]
    TooManyFilters(Channel),
    /// The `prev-id` of a channel is longer than [`MAX_ID_BYTES`].
    #[error("the prev-id of channel '{0}' has more than {MAX_ID_BYTES} bytes")]
    PrevIdTooLong(Channel),
    /// `Grip-Timeout` is no integer.
    #[error("failed to parse Grip-Timeout")]
    TimeoutParse,
    /// `Grip-Timeout` is negative.
    #[error("Grip-Timeout has invalid value")]
    TimeoutInvalid,
    /// `Grip-Keep-Alive` is malformed.
    #[error(transparent)]
    KeepAlive(#[from] KeepAliveError),
    /// An element of `Grip-Set-Meta` names nothing.
    #[error("Grip-Set-Meta cannot be empty")]
    MetaEmpty,
    /// `Grip-Status` is no final status (200 to 999).
    #[error("Grip-Status contains invalid status code")]
    Status,
    /// `Grip-Expose-Headers` lists what cannot be a header's name. Passing over it could expose everything.
    #[error("Grip-Expose-Headers contains invalid header name '{0}'")]
    ExposeHeaders(Box<str>),
    /// `Grip-Link` has no `<>`.
    #[error("failed to parse Grip-Link value")]
    LinkParse,
    /// `Grip-Link` has no URI reference inside the `<>`.
    #[error("Grip-Link contains invalid link")]
    LinkInvalid,
    /// The `timeout` of a `Grip-Link` is no integer.
    #[error("failed to parse Grip-Link timeout value")]
    LinkTimeoutParse,
    /// The `timeout` of a `Grip-Link` is negative.
    #[error("Grip-Link timeout has invalid value")]
    LinkTimeoutInvalid,
    /// A header that must be text is not UTF-8.
    #[error("{0} is not valid UTF-8")]
    NotUtf8(&'static str),
    /// The body is longer than [`MAX_INSTRUCT_BYTES`](super::MAX_INSTRUCT_BYTES).
    #[error("GRIP instruct response too large")]
    TooLarge,
    /// The response with the JSON is not a 200.
    #[error("response code for application/grip-instruct content must be 200")]
    CarrierStatus,
    /// The body is no JSON.
    #[error("failed to parse application/grip-instruct content as JSON")]
    NotJson,
    /// The JSON is no object.
    #[error("instruct must be an object")]
    NotAnObject,
    /// `hold.mode` has another value.
    #[error("hold 'mode' must be set to either 'response' or 'stream'")]
    JsonHoldMode,
    /// `hold.keep-alive.mode` has another value.
    #[error("keep-alive 'mode' must be set to either 'idle' or 'interval'")]
    JsonKeepAliveMode,
    /// A field of the JSON is malformed.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A header cannot carry this. [`Instruct::to_json`](super::Instruct::to_json) can carry channels, ids,
    /// filters and meta.
    #[error("{header} cannot carry {what} '{value}'; use the JSON form (Instruct::to_json)")]
    Unencodable {
        /// The header.
        header: &'static str,
        /// What it is.
        what: &'static str,
        /// The text itself.
        value: Box<str>,
    },
    /// The builder was given an id before it was given a channel.
    #[error("prev_id is called after channel")]
    PrevIdWithoutChannel,
}

/// Why a publish is refused. As text it is the body of the 400 response, without the newline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishFormatError {
    /// It is no JSON, or nested deeper than 127 levels.
    #[error("Body is not valid JSON.")]
    NotJson,
    /// One of its items is none, for instance a string with half of a surrogate pair in it. Counted from 0.
    #[error("Body is not valid JSON: items[{0}].")]
    ItemNotJson(usize),
    /// It is no object.
    #[error("Invalid format.")]
    NotAnObject,
    /// It has more than [`MAX_ITEMS`] items.
    #[error("Invalid format: more than {MAX_ITEMS} items")]
    TooManyItems,
    /// An item is malformed.
    #[error("Invalid format: {0}")]
    Item(#[from] FieldError),
}

/// Why a field of a JSON object is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FieldError {
    text: Cow<'static, str>,
    /// The same without the name that it quotes, if it does.
    unquoted: Option<Cow<'static, str>>,
}

// === impl InstructError ===

impl InstructError {
    /// What it says, but no name nor value of the instructions, for those who did not write them.
    pub(crate) fn unquoted(&self) -> Cow<'static, str> {
        match self {
            Self::Channel(ChannelError::Control(_)) => "the channel name contains a control character".into(),
            Self::TooManyFilters(_) => "too many filters for a channel".into(),
            Self::PrevIdTooLong(_) => {
                format!("the prev-id of a channel has more than {MAX_ID_BYTES} bytes").into()
            }
            Self::KeepAlive(KeepAliveError::Mode(_)) => "no such Grip-Keep-Alive mode".into(),
            Self::KeepAlive(KeepAliveError::Format(_)) => "no such Grip-Keep-Alive format".into(),
            Self::ExposeHeaders(_) => "Grip-Expose-Headers contains an invalid header name".into(),
            Self::Field(FieldError {
                unquoted: Some(text), ..
            }) => text.clone(),
            Self::Unencodable { header, what, .. } => format!("{header} cannot carry {what}").into(),
            // They quote nothing.
            Self::Hold
            | Self::Channel(ChannelError::Empty | ChannelError::TooLong(_))
            | Self::TimeoutParse
            | Self::TimeoutInvalid
            | Self::KeepAlive(
                KeepAliveError::Empty
                | KeepAliveError::TimeoutParse
                | KeepAliveError::TimeoutInvalid
                | KeepAliveError::Cstring
                | KeepAliveError::Base64,
            )
            | Self::MetaEmpty
            | Self::Status
            | Self::LinkParse
            | Self::LinkInvalid
            | Self::LinkTimeoutParse
            | Self::LinkTimeoutInvalid
            | Self::NotUtf8(_)
            | Self::TooLarge
            | Self::CarrierStatus
            | Self::NotJson
            | Self::NotAnObject
            | Self::JsonHoldMode
            | Self::JsonKeepAliveMode
            | Self::Field(FieldError { unquoted: None, .. })
            | Self::PrevIdWithoutChannel => self.to_string().into(),
        }
    }
}

// === impl FieldError ===

impl FieldError {
    pub(super) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            unquoted: None,
        }
    }

    pub(super) fn not_an_object(what: &str) -> Self {
        Self::new(format!("{what} is not an object"))
    }

    pub(super) fn missing(what: &str, field: &str) -> Self {
        Self::new(format!("{what} does not contain '{field}'"))
    }

    pub(super) fn wrong_type(what: &str, field: &str) -> Self {
        Self::new(format!("{what} contains '{field}' with wrong type"))
    }

    pub(super) fn invalid(what: &str, field: &str) -> Self {
        Self::new(format!("{what} contains '{field}' with invalid value"))
    }

    pub(super) fn unsupported(what: &str, field: &str) -> Self {
        Self::new(format!("{what} contains '{field}', which is not supported"))
    }

    /// Of an element whose name is its author's.
    pub(super) fn element(what: &str, name: &str, problem: &str) -> Self {
        Self {
            text: format!("{what} contains '{}' with {problem}", shown(name)).into(),
            unquoted: Some(format!("{what} contains an element with {problem}").into()),
        }
    }
}

/// Foreign text inside an error: cut at 100 characters, and without control characters, for it ends in logs.
pub(super) fn shown(text: &str) -> Box<str> {
    text.chars()
        .take(100)
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

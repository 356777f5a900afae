//! Why a message for the edge is refused.

use crate::grip::FieldError;
use crate::message::{Channel, ChannelError};

/// Why a message for the edge is refused. It then has no effect, and none on the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It is no JSON, or nested deeper than 127 levels.
    #[error("the control message is not valid JSON")]
    NotJson,
    /// A field is missing or malformed, or it is no object at all.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// There is no such type.
    #[error("'type' contains unknown value: {0}")]
    UnknownType(Box<str>),
    /// A channel has a name that no channel may have.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A subscription has more than [`MAX_FILTERS`](crate::grip::MAX_FILTERS) filters. The reference proxy closes the
    /// connection (1011): without them a client could get what it is not meant to.
    #[error("too many filters for channel '{0}'")]
    TooManyFilters(Channel),
}

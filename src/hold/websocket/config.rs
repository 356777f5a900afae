//! What a route says of its WebSockets.

use crate::message::Channel;

/// What a route says of its WebSockets. Shared by all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionConfig {
    /// Stands before each channel that an origin names. Default none.
    pub channel_prefix: Box<str>,
    /// Channels that each client reads from the beginning, whatever its origin says. Called as they are, and never left.
    pub implicit: Box<[Channel]>,
    /// A request has one event at most. Default off.
    pub one_event: bool,
}

//! Why a client's connection ended.

use http::StatusCode;

use crate::reasons::reasons;

reasons! {
    /// Why a client's connection ended, or never began.
    pub enum SocketEnd {
        /// Both sides have closed.
        Closed = "closed",
        /// The client went away without a close frame.
        Client = "client",
        /// The client broke the protocol, or sent more than is taken.
        ClientFault = "client-fault",
        /// The client did not answer a close frame.
        ClientSilent = "client-silent",
        /// The origin ended the connection without a close (`DISCONNECT`).
        Disconnected = "disconnected",
        /// The origin wants more filters on a channel than there may be. Without them the client could get what it is not
        /// meant to. 1011.
        Filters = "too-many-filters",
        /// The server is going away. 503 before the connection is open.
        Drain = "drain",
        /// The origin was not reached.
        Unreachable = "origin-unreachable",
        /// The origin was reached, and gave no whole answer.
        NoAnswer = "origin-no-answer",
        /// The origin answered with another status than 200, or with something else than events.
        NoEvents = "origin-no-events",
        /// A field of the origin's answer makes no sense.
        Fields = "origin-fields",
        /// The origin's events are malformed, or too many.
        Events = "origin-events",
        /// The origin did not begin by opening, or did so twice.
        Open = "origin-open",
        /// The origin accepted what it was not offered.
        Accepted = "origin-accepted",
        /// The origin accepts nothing although it has all that can come.
        Stuck = "origin-stuck",
    }
}

// === impl SocketEnd ===

impl SocketEnd {
    /// The status of a handshake that ends so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Drain => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

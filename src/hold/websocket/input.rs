//! What a driver tells beside messages and answers.

use crate::grip::CloseFrame;

/// Why a request has no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The origin was not reached: no connection, no TLS.
    NotReached,
    /// The connection broke, or the time was up, before the body of the request was sent whole.
    #[cfg_attr(not(test), expect(dead_code, reason = "no client of ours tells"))]
    SentInPart,
    /// The same after it was sent: the origin may have acted on it.
    SentWhole,
}

/// What a client did that no client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFault {
    /// Its frames make no sense (1002).
    Protocol,
    /// A text is not UTF-8 (1007).
    NotUtf8,
    /// A message is, or becomes, longer than [`MAX_BACKLOG_BYTES`](super::MAX_BACKLOG_BYTES) (1009).
    TooLarge,
}

// === impl NoAnswer ===

impl NoAnswer {
    /// Whether the origin cannot have acted on the request.
    pub(super) fn is_harmless(self) -> bool {
        match self {
            Self::NotReached | Self::SentInPart => true,
            Self::SentWhole => false,
        }
    }
}

// === impl ClientFault ===

impl ClientFault {
    /// What its client is told.
    pub(super) fn frame(self) -> CloseFrame {
        let code = match self {
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
        };
        CloseFrame::new(code, "").expect("a code of RFC 6455")
    }
}

//! Why a body is none of events.

use crate::grip::{CloseCodeError, MAX_CONTROL_BYTES};

/// Why a body is none of events, and where. Its text quotes nothing of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {fault}")]
pub struct EventsError {
    /// Counted from 0: where what is wrong begins.
    pub at: usize,
    /// What is wrong.
    pub fault: EventFault,
}

/// What is wrong in a body of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventFault {
    /// The body is longer than allowed.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// More events than allowed, those of unknown types included.
    #[error("more than {0} events")]
    TooMany(usize),
    /// A line does not end, or not with CRLF.
    #[error("the line does not end with CRLF")]
    LineEnd,
    /// A type is empty, or has other characters than visible ASCII.
    #[error("the type is no word of visible ASCII characters")]
    Type,
    /// A length is empty, has other characters than hexadecimal digits (a sign, `0x`), or is beyond all memory.
    #[error("the length is no number in hexadecimal digits")]
    Length,
    /// Less is left than the length says.
    #[error("the content has {stated} bytes, {left} are left")]
    Truncated {
        /// What the length says.
        stated: usize,
        /// How many bytes there are.
        left: usize,
    },
    /// Something else than CRLF follows a content.
    #[error("the content is not followed by CRLF")]
    ContentEnd,
    /// A text, or the reason of a close, is not UTF-8.
    #[error("the text is not valid UTF-8")]
    NotUtf8,
    /// A ping, pong or close has more bytes than a control frame may have.
    #[error("a control frame has at most {MAX_CONTROL_BYTES} bytes")]
    ControlTooLong,
    /// The content of a close is half a code.
    #[error("a close code has two bytes")]
    CloseCodeCut,
    /// A code that no close frame may have.
    #[error(transparent)]
    CloseCode(CloseCodeError),
}

//! Close frames of WebSockets, and how long control frames may be (RFC 6455 5.5, 7.4).

use std::sync::Arc;

/// Longest payload of a control frame: close, ping, pong (RFC 6455 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// Longest reason of a close frame: a control frame less its code.
pub const MAX_REASON_BYTES: usize = MAX_CONTROL_BYTES - 2;

/// The code of an end that nothing is wrong with. What a frame without a code means, too.
pub(super) const NORMAL: u16 = 1000;

/// What a close frame says: a code that may be on the wire, and a reason that fits beside it.
///
/// ```
/// use gripstack::grip::CloseFrame;
///
/// let frame = CloseFrame::new(4001, "bye")?;
/// assert_eq!((frame.code(), frame.reason()), (4001, "bye"));
/// // What is too long is cut, never within a character.
/// assert_eq!(CloseFrame::new(1000, &"ü".repeat(100))?.reason().len(), 122);
/// // "There was no code" is nothing that one can say.
/// assert!(CloseFrame::new(1005, "").is_err());
/// # Ok::<(), gripstack::grip::CloseCodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: u16,
    reason: Arc<str>,
}

/// A code that no close frame may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no close frame may have the code {0}")]
pub struct CloseCodeError(pub(super) u16);

/// Whether a close frame may have this code: those that are defined or registered for the wire, and those of
/// libraries and applications. Not 1005, 1006 and 1015, which stand for frames that never came.
pub(super) const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

// === impl CloseFrame ===

impl CloseFrame {
    /// A frame with this code, and as much of the reason as fits: [`MAX_REASON_BYTES`], cut between characters.
    ///
    /// # Errors
    ///
    /// When no frame may have the code (RFC 6455 7.4).
    pub fn new(code: u16, reason: &str) -> Result<Self, CloseCodeError> {
        if !may_be_sent(code) {
            return Err(CloseCodeError(code));
        }
        let end = reason.floor_char_boundary(MAX_REASON_BYTES);
        Ok(Self {
            code,
            reason: reason[..end].into(),
        })
    }

    /// The code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The reason; mostly empty. At most [`MAX_REASON_BYTES`].
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Bytes of its payload.
    #[cfg(feature = "hold")]
    pub(super) fn payload_bytes(&self) -> usize {
        size_of::<u16>() + self.reason.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_a_code_that_may_be_on_the_wire() {
        for code in [
            1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1014, 3000, 4001, 4999,
        ] {
            assert_eq!(CloseFrame::new(code, "").map(|frame| frame.code()), Ok(code));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            assert_eq!(CloseFrame::new(code, ""), Err(CloseCodeError(code)));
        }
        assert_eq!(
            CloseCodeError(1006).to_string(),
            "no close frame may have the code 1006"
        );
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let cut = |reason: &str| CloseFrame::new(NORMAL, reason).expect("a code").reason().len();
        assert_eq!(cut(&"x".repeat(MAX_REASON_BYTES)), 123);
        assert_eq!(cut(&"x".repeat(MAX_REASON_BYTES + 1)), 123);
        // 41 times three bytes fit exactly; of the others a part of the last one would be left.
        assert_eq!(cut(&"€".repeat(50)), 123);
        assert_eq!(cut(&format!("x{}", "€".repeat(50))), 121);
        assert_eq!(cut(&format!("xx{}", "😀".repeat(50))), 122);
    }
}

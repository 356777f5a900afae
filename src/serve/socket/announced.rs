//! What a client of HTTP/2 says of its windows.

use super::frame_reader::{ACK, FrameHead, SETTINGS, WINDOW_UPDATE};
use crate::serve::streams::Streams;

/// Its identifier and its value (RFC 9113 6.5.1).
const SETTING_BYTES: usize = 6;
/// How much a window is opened (RFC 9113 6.9).
const INCREMENT_BYTES: usize = 4;

/// `SETTINGS_INITIAL_WINDOW_SIZE` (RFC 9113 6.5.2).
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];

/// Reads what a client says of its windows.
#[derive(Default)]
pub(super) struct Announced {
    /// Length of what the frame under way says again and again; 0: it says nothing of them.
    size: usize,
    word: [u8; SETTING_BYTES],
    has: usize,
}

// === impl Announced ===

impl Announced {
    /// A frame begins.
    pub(super) fn begin(&mut self, head: &FrameHead) {
        self.has = 0;
        self.size = match head.kind {
            SETTINGS if head.flags & ACK == 0 => SETTING_BYTES,
            WINDOW_UPDATE if head.stream == 0 => INCREMENT_BYTES,
            _ => 0,
        };
    }

    /// It goes on.
    pub(super) fn read(&mut self, mut payload: &[u8], streams: &Streams) {
        while self.size > 0 && !payload.is_empty() {
            let new = (self.size - self.has).min(payload.len());
            self.word[self.has..self.has + new].copy_from_slice(&payload[..new]);
            self.has += new;
            payload = &payload[new..];
            if self.has == self.size {
                self.has = 0;
                self.apply(streams);
            }
        }
    }

    fn apply(&self, streams: &Streams) {
        match (self.size, self.word) {
            (SETTING_BYTES, [x, y, a, b, c, d]) if [x, y] == INITIAL_WINDOW_SIZE => {
                streams.windows().set_of_stream(u32::from_be_bytes([a, b, c, d]));
            }
            // The first bit is reserved.
            (INCREMENT_BYTES, [a, b, c, d, ..]) => {
                streams.open_window(u32::from_be_bytes([a & 0x7f, b, c, d]))
            }
            _ => {}
        }
    }
}

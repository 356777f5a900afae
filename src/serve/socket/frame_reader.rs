//! The frames of a client of HTTP/2, in bytes that come in any pieces.

/// What a client sends first (RFC 9113 3.4).
pub(super) const PREFACE_BYTES: usize = 24;
/// Length, type, flags, stream (RFC 9113 4.1).
const HEAD_BYTES: usize = 9;

/// Types of frames (RFC 9113 6), and flags.
pub(super) const DATA: u8 = 0;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;

/// Takes bytes that come in any pieces apart.
pub(super) struct FrameReader {
    /// Bytes to the next frame.
    left: usize,
    head: [u8; HEAD_BYTES],
    has: usize,
}

/// A part of a frame.
pub(super) enum Part<'a> {
    Head(FrameHead),
    /// More of what follows the last head, or of the preface.
    Payload(&'a [u8]),
}

/// How a frame begins.
pub(super) struct FrameHead {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0: the connection.
    pub(super) stream: u32,
    /// Length of what follows, in bytes.
    pub(super) payload: usize,
}

// === impl FrameReader ===

impl FrameReader {
    pub(super) fn new() -> Self {
        Self {
            left: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            has: 0,
        }
    }

    /// The next part in these bytes, which is taken off them; `None`: more are needed.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Part<'a>> {
        if bytes.is_empty() {
            return None;
        }
        if self.left > 0 {
            let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= payload.len();
            *bytes = rest;
            return Some(Part::Payload(payload));
        }
        let new = (HEAD_BYTES - self.has).min(bytes.len());
        self.head[self.has..self.has + new].copy_from_slice(&bytes[..new]);
        self.has += new;
        *bytes = &bytes[new..];
        if self.has < HEAD_BYTES {
            return None;
        }
        self.has = 0;
        let [a, b, c, kind, flags, w, x, y, z] = self.head;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Part::Head(FrameHead {
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes([w & 0x7f, x, y, z]),
            payload: self.left,
        }))
    }
}

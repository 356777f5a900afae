//! How frames of a body stand on the wire.

use bytes::Bytes;

/// How frames of a body stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Framing {
    /// As chunks (RFC 9112 7.1).
    Chunked,
    /// As they are, to the end of the connection (RFC 9112 6.3).
    Close,
}

const CRLF: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Most digits of a chunk's size, and its line's end.
const MOST_SIZE: usize = 2 * size_of::<usize>() + CRLF.len();

// === impl Framing ===

impl Framing {
    /// Adds data, which is not empty.
    pub(super) fn data(self, data: Bytes, out: &mut impl Extend<Bytes>) {
        match self {
            Self::Chunked => out.extend([size_line(data.len()), data, Bytes::from_static(CRLF)]),
            Self::Close => out.extend([data]),
        }
    }

    /// Adds the end of the body.
    pub(super) fn end(self, out: &mut impl Extend<Bytes>) {
        match self {
            Self::Chunked => out.extend([Bytes::from_static(LAST_CHUNK)]),
            Self::Close => {}
        }
    }
}

fn size_line(len: usize) -> Bytes {
    let mut line = Vec::with_capacity(MOST_SIZE);
    line.extend(format!("{len:X}").as_bytes());
    line.extend(CRLF);
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(framing: Framing, frames: &[&'static str]) -> Vec<u8> {
        let mut out = Vec::new();
        for frame in frames {
            framing.data(Bytes::from_static(frame.as_bytes()), &mut out);
        }
        framing.end(&mut out);
        out.concat()
    }

    #[test]
    fn frames_become_chunks_or_stay_as_they_are() {
        let frames = ["a", "0123456789abcdefghijklmnopq"];
        assert_eq!(
            wire(Framing::Chunked, &frames),
            b"1\r\na\r\n1B\r\n0123456789abcdefghijklmnopq\r\n0\r\n\r\n"
        );
        assert_eq!(wire(Framing::Close, &frames), b"a0123456789abcdefghijklmnopq");
    }
}

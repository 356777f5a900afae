//! Follows the framing of a chunked body (RFC 9112 7.1), strictly.

use super::refusal::Refusal;

/// Longest chunk line, extensions included, in bytes.
const MAX_LINE_BYTES: usize = 1024;

/// Follows the framing of a chunked body, byte by byte. Stricter than hyper, which then decodes it: every line
/// ends in CRLF, a size has digits only, an extension no control characters, a trailer the form of a field.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of this line, or of the trailer section.
    line_bytes: usize,
    trailer_fields: usize,
    limits: TrailerLimits,
}

/// Limits of a trailer section.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrailerLimits {
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit.
    Size,
    SizeDigits(u64),
    /// Whitespace after a size; only an extension may follow.
    SizeSpace(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Chunked {
    pub(super) fn new(limits: TrailerLimits) -> Self {
        Self {
            state: State::Size,
            line_bytes: 0,
            trailer_fields: 0,
            limits,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Follows the framing over these bytes and says how many belong to the body: all of them, unless it ends
    /// within them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if let State::Data(left) = self.state {
                let here = left.min((bytes.len() - at) as u64);
                at += here as usize;
                self.state = if here == left {
                    State::DataCr
                } else {
                    State::Data(left - here)
                };
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Refusal> {
        self.line_bytes += 1;
        let in_trailers = matches!(
            self.state,
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf | State::EndLf
        );
        if in_trailers && self.line_bytes > self.limits.bytes {
            return Err(Refusal::Trailers);
        }
        if !in_trailers && self.line_bytes > MAX_LINE_BYTES {
            return Err(Refusal::ChunkFraming);
        }
        match (self.state, byte) {
            (State::Size, digit) => Ok(State::SizeDigits(hex(digit).ok_or(Refusal::ChunkSize)?)),
            (State::SizeDigits(size), b'\r') => Ok(State::SizeLf(size)),
            (State::SizeDigits(size), b';') => Ok(State::Extension(size)),
            (State::SizeDigits(size), b' ' | b'\t') => Ok(State::SizeSpace(size)),
            (State::SizeDigits(size), digit) => {
                let digit = hex(digit).ok_or(Refusal::ChunkSize)?;
                let size = size.checked_mul(16).ok_or(Refusal::ChunkSize)?;
                Ok(State::SizeDigits(size + digit))
            }
            (State::SizeSpace(size), b' ' | b'\t') => Ok(State::SizeSpace(size)),
            (State::SizeSpace(size), b';') => Ok(State::Extension(size)),
            (State::SizeSpace(_), _) => Err(Refusal::ChunkSize),
            (State::Extension(size), b'\r') => Ok(State::SizeLf(size)),
            (State::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => Ok(State::Extension(size)),
            (State::SizeLf(size), b'\n') => {
                self.line_bytes = 0;
                Ok(if size == 0 {
                    State::TrailerStart
                } else {
                    State::Data(size)
                })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.line_bytes = 0;
                Ok(State::Size)
            }
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart, byte) if is_token(byte) => {
                self.trailer_fields += 1;
                if self.trailer_fields > self.limits.fields {
                    return Err(Refusal::Trailers);
                }
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, byte) if is_token(byte) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::Done),
            _ if in_trailers => Err(Refusal::Trailers),
            _ => Err(Refusal::ChunkFraming),
        }
    }
}

fn hex(digit: u8) -> Option<u64> {
    char::from(digit).to_digit(16).map(u64::from)
}

/// Whether a byte may stand in a token (RFC 9110 5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TrailerLimits = TrailerLimits { bytes: 64, fields: 2 };

    /// Fed whole and byte by byte: both must say the same.
    fn follow(bytes: &[u8]) -> Result<(usize, bool), Refusal> {
        let mut whole = Chunked::new(LIMITS);
        let at_once = whole.advance(bytes).map(|n| (n, whole.is_done()));
        let mut stepwise = Chunked::new(LIMITS);
        let mut taken = 0;
        for byte in bytes.chunks(1) {
            match stepwise.advance(byte) {
                Ok(n) => taken += n,
                Err(refusal) => {
                    assert_eq!(at_once, Err(refusal));
                    return at_once;
                }
            }
        }
        assert_eq!(at_once, Ok((taken, stepwise.is_done())));
        at_once
    }

    #[test]
    fn follows_chunks_to_their_end() {
        assert_eq!(follow(b"3\r\nabc\r\n0\r\n\r\nGET"), Ok((13, true)));
        assert_eq!(follow(b"3;a=\"b\"\r\nabc\r\n00\r\n\r\n"), Ok((20, true)));
        assert_eq!(follow(b"1 ;x\r\na\r\n0\r\nA: b\r\nC:\r\n\r\n"), Ok((24, true)));
        assert_eq!(follow(b"ffffffffffffffff\r\nabc"), Ok((21, false)));
    }

    #[test]
    fn refuses_what_others_might_read_differently() {
        for (bytes, refusal) in [
            (&b"3\nabc\r\n"[..], Refusal::ChunkSize),
            (b"3\r\nabc\n0\r\n\r\n", Refusal::ChunkFraming),
            (b"3\r\nabcd\r\n", Refusal::ChunkFraming),
            (b"3\rabc", Refusal::ChunkFraming),
            (b"\r\n", Refusal::ChunkSize),
            (b"0x3\r\nabc", Refusal::ChunkSize),
            (b"-1\r\n", Refusal::ChunkSize),
            (b"+1\r\n", Refusal::ChunkSize),
            (b" 3\r\nabc", Refusal::ChunkSize),
            (b"3 \r\nabc", Refusal::ChunkSize),
            (b"10000000000000000\r\n", Refusal::ChunkSize),
            (b"fffffffffffffffff\r\n", Refusal::ChunkSize),
            (b"3;a\nabc", Refusal::ChunkFraming),
            (b"3;\0\r\nabc", Refusal::ChunkFraming),
            (b"0\r\n\n", Refusal::Trailers),
            (b"0\r\nA : b\r\n\r\n", Refusal::Trailers),
            (b"0\r\nA: b\n\r\n", Refusal::Trailers),
            (b"0\r\nA: b\r\n c\r\n\r\n", Refusal::Trailers),
            (b"0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", Refusal::Trailers),
        ] {
            assert_eq!(follow(bytes), Err(refusal), "{}", bytes.escape_ascii());
        }
        assert_eq!(
            follow(&[b"3;", &[b'a'; 2000][..]].concat()),
            Err(Refusal::ChunkFraming)
        );
        assert_eq!(
            follow(&[b"0\r\nA:", &[b'a'; 99][..]].concat()),
            Err(Refusal::Trailers)
        );
    }
}

//! Follows the messages on an HTTP/1 connection: which bytes are a head, which a body, which the next head.

use super::chunked::{Chunked, TrailerLimits};
use super::head::{self, Framing, HeadLimits, Scan};
use super::refusal::Refusal;

/// Follows the messages on an HTTP/1 connection. Does no I/O: it is shown bytes and says how many may be given on.
pub(super) struct Framer {
    state: State,
    limits: HeadLimits,
}

enum State {
    /// Expects a head. One empty line before it is ignored (RFC 9112 2.2).
    Head {
        scan: Scan,
        blank_seen: bool,
    },
    /// Within a body; whether the head asked to leave HTTP.
    Length {
        left: u64,
        upgrade: bool,
    },
    Chunked {
        chunked: Box<Chunked>,
        upgrade: bool,
    },
    /// After a request that asks to leave HTTP: the next bytes are a head or not, its answer will tell.
    Undecided,
    /// Not HTTP any more.
    Through,
    /// Refused: nothing more is read.
    Closed,
}

/// What the first of the bytes shown are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole head of this many bytes.
    Head(usize),
    /// So many bytes of a body.
    Body(usize),
    /// So many bytes to ignore.
    Skip(usize),
    /// The start of a head. Show them again with more.
    More,
}

impl Framer {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            state: State::head(),
            limits,
        }
    }

    pub(super) fn expects_head(&self) -> bool {
        matches!(self.state, State::Head { .. })
    }

    pub(super) fn is_undecided(&self) -> bool {
        matches!(self.state, State::Undecided)
    }

    pub(super) fn is_through(&self) -> bool {
        matches!(self.state, State::Through)
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.state, State::Length { .. } | State::Chunked { .. })
    }

    /// The answer to a request that asked to leave HTTP.
    pub(super) fn decide(&mut self, accepted: bool) {
        self.state = if accepted { State::Through } else { State::head() };
    }

    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Looks at the next bytes, at least one, in a state that expects a head or a body.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        match &mut self.state {
            State::Head { scan, blank_seen } => {
                if !*blank_seen && bytes.starts_with(b"\r\n") {
                    self.state = State::Head {
                        scan: Scan::default(),
                        blank_seen: true,
                    };
                    return Ok(Step::Skip(2));
                }
                let Some(head) = head::read(bytes, scan, &self.limits)? else {
                    return Ok(Step::More);
                };
                self.state = match head.framing {
                    Framing::Length(0) => State::after_message(head.upgrade),
                    Framing::Length(left) => State::Length {
                        left,
                        upgrade: head.upgrade,
                    },
                    Framing::Chunked => State::Chunked {
                        chunked: Box::new(Chunked::new(TrailerLimits {
                            bytes: self.limits.bytes,
                            fields: self.limits.fields,
                        })),
                        upgrade: head.upgrade,
                    },
                };
                Ok(Step::Head(head.len))
            }
            State::Length { left, upgrade } => {
                let here = (*left).min(bytes.len() as u64);
                *left -= here;
                if *left == 0 {
                    self.state = State::after_message(*upgrade);
                }
                Ok(Step::Body(here as usize))
            }
            State::Chunked { chunked, upgrade } => {
                let here = chunked.advance(bytes)?;
                if chunked.is_done() {
                    self.state = State::after_message(*upgrade);
                }
                Ok(Step::Body(here))
            }
            State::Undecided | State::Through | State::Closed => Ok(Step::More),
        }
    }
}

impl State {
    fn head() -> Self {
        Self::Head {
            scan: Scan::default(),
            blank_seen: false,
        }
    }

    fn after_message(upgrade: bool) -> Self {
        if upgrade { Self::Undecided } else { Self::head() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 512,
        fields: 4,
        target_bytes: 128,
    };

    /// The steps over all of the bytes, shown in pieces of a size.
    fn steps(bytes: &[u8], piece: usize) -> Result<String, Refusal> {
        let mut framer = Framer::new(LIMITS);
        let mut text = String::new();
        let mut hold = Vec::new();
        for piece in bytes.chunks(piece) {
            hold.extend_from_slice(piece);
            while !hold.is_empty() {
                let taken = match framer.step(&hold)? {
                    Step::More => break,
                    Step::Head(n) => {
                        text.push('H');
                        n
                    }
                    Step::Body(n) => {
                        text.push_str(&"b".repeat(n));
                        n
                    }
                    Step::Skip(n) => n,
                };
                hold.drain(..taken);
            }
        }
        Ok(text)
    }

    #[test]
    fn follows_pipelined_messages_however_they_are_cut() {
        let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n\
            POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\
            GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /";
        for piece in 1..bytes.len() {
            assert_eq!(
                steps(bytes, piece).as_deref(),
                Ok("HHbbbHbbbbbbbbbbbH"),
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn ignores_one_empty_line_and_no_more() {
        assert_eq!(steps(b"\r\n\r\nGET", 1), Err(Refusal::RequestLine));
    }

    #[test]
    fn waits_after_a_request_to_leave_http() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\nbGET\n\0";
        for piece in 1..bytes.len() {
            assert_eq!(steps(bytes, piece).as_deref(), Ok("Hb"), "in pieces of {piece}");
        }
    }
}

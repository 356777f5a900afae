//! Just enough of HTTP/1.1: requests as a server meets them, answers as a client meets them.

use std::fmt;

use memchr::memmem;

/// A request whose body has arrived.
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub body: &'a [u8],
}

/// What some bytes are that a client sent.
pub enum Parsed<'a> {
    /// A request, and how many bytes it took.
    Whole(Request<'a>, usize),
    /// The start of one.
    More,
    Bad,
}

/// Follows one answer. Does no I/O: it is shown bytes, and hands out those of the body.
#[derive(Default)]
pub struct Decoder {
    state: State,
    /// A head that arrived in part.
    head: Vec<u8>,
    status: u16,
    /// The server said that it closes after this one.
    closes: bool,
}

#[derive(Default)]
enum State {
    #[default]
    Head,
    Length(u64),
    ChunkSize {
        size: u64,
        is_extension: bool,
    },
    ChunkData(u64),
    ChunkEnd,
    /// After the last chunk, and whether this line has anything in it.
    Trailers {
        is_empty: bool,
    },
    UntilClose,
    Done,
}

/// Why bytes are not an answer.
#[derive(Debug)]
pub struct Malformed(&'static str);

/// The first request in `input`.
pub fn request(input: &[u8]) -> Parsed<'_> {
    let Some(end) = memmem::find(input, b"\r\n\r\n") else {
        return Parsed::More;
    };
    let Ok(head) = std::str::from_utf8(&input[..end]) else {
        return Parsed::Bad;
    };
    let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let mut words = line.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Parsed::Bad;
    };
    let length = match field(fields, "content-length").map(str::parse) {
        None => 0,
        Some(Ok(length)) => length,
        Some(Err(_)) => return Parsed::Bad,
    };
    let body = end + 4;
    match input.get(body..body + length) {
        Some(bytes) => Parsed::Whole(
            Request {
                method,
                path,
                body: bytes,
            },
            body + length,
        ),
        None => Parsed::More,
    }
}

/// The value of a field in a head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

// === impl Decoder ===

impl Decoder {
    /// Takes what belongs to the answer from `bytes`, and says how much that was: all, unless the answer is done.
    pub fn feed(&mut self, bytes: &[u8], mut body: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match &mut self.state {
                State::Head => self.feed_head(rest)?,
                State::Length(left) => {
                    let taken = part(*left, rest);
                    body(taken);
                    *left -= taken.len() as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    taken.len()
                }
                State::ChunkSize { size, is_extension } => {
                    match rest[0] {
                        b'\n' if *size == 0 => self.state = State::Trailers { is_empty: true },
                        b'\n' => self.state = State::ChunkData(*size),
                        b'\r' => {}
                        b';' => *is_extension = true,
                        _ if *is_extension => {}
                        digit => {
                            let value = char::from(digit)
                                .to_digit(16)
                                .ok_or(Malformed("size of a chunk"))?;
                            *size =
                                size.checked_mul(16).ok_or(Malformed("size of a chunk"))? + u64::from(value);
                        }
                    }
                    1
                }
                State::ChunkData(left) => {
                    let taken = part(*left, rest);
                    body(taken);
                    *left -= taken.len() as u64;
                    if *left == 0 {
                        self.state = State::ChunkEnd;
                    }
                    taken.len()
                }
                State::ChunkEnd => {
                    match rest[0] {
                        b'\r' => {}
                        b'\n' => self.state = State::chunk(),
                        _ => return Err(Malformed("end of a chunk")),
                    }
                    1
                }
                State::Trailers { is_empty } => {
                    match rest[0] {
                        b'\r' => {}
                        b'\n' if *is_empty => self.state = State::Done,
                        b'\n' => *is_empty = true,
                        _ => *is_empty = false,
                    }
                    1
                }
                State::UntilClose => {
                    body(rest);
                    rest.len()
                }
                State::Done => return Ok(at),
            };
        }
        Ok(at)
    }

    /// The status, once the head has arrived.
    pub fn status(&self) -> Option<u16> {
        (!matches!(self.state, State::Head)).then_some(self.status)
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the connection ends with this answer.
    pub fn is_last(&self) -> bool {
        self.closes
    }

    fn feed_head(&mut self, rest: &[u8]) -> Result<usize, Malformed> {
        let before = self.head.len();
        self.head.extend_from_slice(rest);
        let Some(end) = memmem::find(&self.head, b"\r\n\r\n") else {
            return Ok(rest.len());
        };
        let whole = std::mem::take(&mut self.head);
        let head = std::str::from_utf8(&whole[..end]).map_err(|_| Malformed("head"))?;
        let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        self.status =
            (line.split(' ').nth(1).and_then(|code| code.parse().ok())).ok_or(Malformed("status"))?;
        self.closes = field(fields, "connection").is_some_and(|option| option.eq_ignore_ascii_case("close"));
        self.state = if self.status < 200 {
            State::Head
        } else if field(fields, "transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            State::chunk()
        } else if self.status == 204 || self.status == 304 {
            State::Done
        } else {
            match field(fields, "content-length").map(str::parse) {
                Some(Ok(0)) => State::Done,
                Some(Ok(length)) => State::Length(length),
                Some(Err(_)) => return Err(Malformed("length")),
                None => State::UntilClose,
            }
        };
        Ok(end + 4 - before)
    }
}

// === impl State ===

impl State {
    fn chunk() -> Self {
        State::ChunkSize {
            size: 0,
            is_extension: false,
        }
    }
}

/// As much of `bytes` as is `left`.
fn part(left: u64, bytes: &[u8]) -> &[u8] {
    &bytes[..usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())]
}

// === impl Malformed ===

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer is malformed: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for std::io::Error {
    fn from(malformed: Malformed) -> Self {
        std::io::Error::other(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is handed out of an answer that arrives in pieces of `size` bytes.
    fn decode(answer: &[u8], size: usize) -> (Decoder, Vec<u8>) {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in answer.chunks(size) {
            let taken = decoder.feed(piece, |body| out.extend_from_slice(body)).unwrap();
            assert_eq!(taken, piece.len());
        }
        (decoder, out)
    }

    #[test]
    fn answers_are_the_same_in_pieces_of_any_size() {
        let answers: [(&[u8], &[u8], bool); 5] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", true),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", true),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;x=1\r\nhello\r\n0B\r\n, and again\r\n0\r\nA: b\r\n\r\n",
                b"hello, and again",
                true,
            ),
            (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", true),
            (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end", false),
        ];
        for (answer, body, is_done) in answers {
            for size in 1..=answer.len() {
                let (decoder, out) = decode(answer, size);
                assert_eq!(out, body, "in pieces of {size}");
                assert_eq!(decoder.status(), Some(200));
                assert_eq!(decoder.is_done(), is_done);
            }
        }
    }

    #[test]
    fn what_follows_an_answer_is_not_taken() {
        let mut decoder = Decoder::default();
        let taken = decoder
            .feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP", |_| {})
            .unwrap();
        assert_eq!(taken, 39);
    }

    #[test]
    fn a_server_says_that_it_closes() {
        assert!(
            decode(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
                9
            )
            .0
            .is_last()
        );
        assert!(
            !decode(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 9)
                .0
                .is_last()
        );
    }

    #[test]
    fn a_request_waits_for_its_body() {
        let whole = b"POST /pub/a HTTP/1.1\r\nHost: h\r\ncontent-length: 3\r\n\r\nabcGET";
        for end in 0..whole.len() - 3 {
            assert!(matches!(request(&whole[..end]), Parsed::More), "{end} bytes");
        }
        let Parsed::Whole(request, used) = request(whole) else {
            panic!("it is whole")
        };
        assert_eq!(
            (request.method, request.path, request.body, used),
            ("POST", "/pub/a", &b"abc"[..], whole.len() - 3)
        );
    }
}

//! A body into events.

use std::str;

use bytes::Bytes;

use super::{Event, EventFault, EventsError};
use crate::grip::ws_close::{CloseCodeError, CloseFrame, MAX_CONTROL_BYTES, NORMAL};

/// Most bytes of an answer's body, unless told otherwise. As the reference proxy has it.
pub const MAX_EVENTS_BYTES: usize = 1_000_000;

/// Most events of one body, unless told otherwise. The shortest take six bytes of a body, and more of memory.
pub const MAX_EVENTS: usize = 10_000;

/// What libraries write where there is no code, and what such an absence is called (RFC 6455 7.4.1).
const NO_CODE: [u16; 2] = [0, 1005];

/// How much a body may have. What has more is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Default [`MAX_EVENTS_BYTES`].
    pub max_bytes: usize,
    /// Those of unknown types count. Default [`MAX_EVENTS`].
    pub max_events: usize,
}

/// Reads a whole body. An event of an unknown type is passed over; so is a content where none belongs. All or nothing.
///
/// # Errors
///
/// What is malformed, and where.
pub fn decode(body: &Bytes, limits: Limits) -> Result<Vec<Event>, EventsError> {
    let mut reader = Reader { body, at: 0 };
    if body.len() > limits.max_bytes {
        return Err(EventFault::TooLarge(limits.max_bytes).at(limits.max_bytes));
    }
    let mut events = Vec::new();
    let mut count = 0;
    while reader.at < body.len() {
        if count == limits.max_events {
            return Err(EventFault::TooMany(limits.max_events).at(reader.at));
        }
        count += 1;
        events.extend(reader.event()?);
    }
    Ok(events)
}

/// Reads from one place on.
struct Reader<'a> {
    body: &'a Bytes,
    at: usize,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// The next event; `None` if its type is unknown.
    fn event(&mut self) -> Result<Option<Event>, EventsError> {
        let begin = self.at;
        let line = self.line()?;
        let space = line.iter().position(|&byte| byte == b' ');
        let name = &line[..space.unwrap_or(line.len())];
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return Err(EventFault::Type.at(begin));
        }
        let (begin, content) = match space {
            Some(space) => {
                let length =
                    hex(&line[space + 1..]).ok_or_else(|| EventFault::Length.at(begin + space + 1))?;
                (self.at, self.content(length)?)
            }
            None => (self.at, Bytes::new()),
        };
        Ok(Some(match name {
            b"OPEN" => Event::Open,
            b"TEXT" => {
                utf8(&content, begin)?;
                Event::Text(content)
            }
            b"BINARY" => Event::Binary(content),
            b"PING" => Event::Ping(control(content, begin)?),
            b"PONG" => Event::Pong(control(content, begin)?),
            b"CLOSE" => Event::Close(close(&control(content, begin)?, begin)?),
            b"DISCONNECT" => Event::Disconnect,
            _ => return Ok(None),
        }))
    }

    /// The line that begins here, without its end.
    fn line(&mut self) -> Result<&'a [u8], EventsError> {
        let rest: &'a [u8] = &self.body[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = end.and_then(|end| rest[..end].strip_suffix(b"\r"));
        let line = line.ok_or_else(|| EventFault::LineEnd.at(self.at))?;
        self.at += line.len() + 2;
        Ok(line)
    }

    /// The content that begins here, of this length: a part of the body.
    fn content(&mut self, stated: usize) -> Result<Bytes, EventsError> {
        let left = self.body.len() - self.at;
        if stated > left {
            return Err(EventFault::Truncated { stated, left }.at(self.at));
        }
        let end = self.at + stated;
        if !self.body[end..].starts_with(b"\r\n") {
            return Err(EventFault::ContentEnd.at(end));
        }
        let content = self.body.slice(self.at..end);
        self.at = end + 2;
        Ok(content)
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: MAX_EVENTS_BYTES,
            max_events: MAX_EVENTS,
        }
    }
}

// === impl EventFault ===

impl EventFault {
    fn at(self, at: usize) -> EventsError {
        EventsError { at, fault: self }
    }
}

/// Digits only, in either case: no sign, no `0x`, no space, and at least one.
fn hex(digits: &[u8]) -> Option<usize> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Text that begins at this place.
fn utf8(content: &[u8], begin: usize) -> Result<&str, EventsError> {
    str::from_utf8(content).map_err(|error| EventFault::NotUtf8.at(begin + error.valid_up_to()))
}

/// What fits in a control frame.
fn control(content: Bytes, begin: usize) -> Result<Bytes, EventsError> {
    if content.len() > MAX_CONTROL_BYTES {
        return Err(EventFault::ControlTooLong.at(begin));
    }
    Ok(content)
}

/// A code and a reason, or nothing.
fn close(content: &[u8], begin: usize) -> Result<Option<CloseFrame>, EventsError> {
    let Some((code, reason)) = content.split_first_chunk() else {
        return match content {
            [] => Ok(None),
            _ => Err(EventFault::CloseCodeCut.at(begin)),
        };
    };
    let reason = utf8(reason, begin + code.len())?;
    let mut code = u16::from_be_bytes(*code);
    if NO_CODE.contains(&code) {
        code = NORMAL;
    }
    match CloseFrame::new(code, reason) {
        Ok(frame) => Ok(Some(frame)),
        Err(error @ CloseCodeError(_)) => Err(EventFault::CloseCode(error).at(begin)),
    }
}

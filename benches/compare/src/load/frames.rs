//! Just enough of HTTP/2 for a client that asks for streams and reads what is pushed on them.

/// Follows what a server sends on one connection. Does no I/O.
#[derive(Default)]
pub struct Frames {
    /// The start of a frame.
    pending: Vec<u8>,
}

/// What happens on a stream, which are numbered from 0.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It is answered with 200.
    Answered(usize),
    Data(usize, &'a [u8]),
    Ended(usize),
}

const HEAD_BYTES: usize = 9;

// Types of frames, and flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

const MOST: u32 = 0x7fff_ffff;
const FIRST_WINDOW: u32 = 65_535;
/// `:status: 200` in the static table, as one byte.
const STATUS_200: u8 = 0x88;

/// The start of a connection, with windows that are never full, and a request on each stream.
pub fn opening<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut settings = vec![0, 4];
    settings.extend(MOST.to_be_bytes());
    frame(SETTINGS, 0, 0, &settings, &mut out);
    frame(
        WINDOW_UPDATE,
        0,
        0,
        &(MOST - FIRST_WINDOW).to_be_bytes(),
        &mut out,
    );
    for (index, path) in paths.enumerate() {
        // From the static table: GET, https, then names whose values are not indexed.
        let mut block = vec![0x82, 0x87];
        for (name, value) in [
            (&[0x01][..], "localhost"),
            (&[0x04], path),
            (&[0x0f, 0x04], "text/event-stream"),
        ] {
            block.extend_from_slice(name);
            block.push(u8::try_from(value.len()).expect("paths here are short"));
            block.extend_from_slice(value.as_bytes());
        }
        frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            index as u32 * 2 + 1,
            &block,
            &mut out,
        );
    }
    out
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

// === impl Frames ===

impl Frames {
    /// Takes what arrived. What has to be sent back goes to `out`.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut on: impl FnMut(Event<'_>),
    ) -> Result<(), String> {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(head) = self.pending.get(at..at + HEAD_BYTES) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & MOST;
            let body = at + HEAD_BYTES;
            let Some(payload) = self.pending.get(body..body + length) else {
                break;
            };
            take(kind, flags, stream, payload, out, &mut on)?;
            at = body + length;
        }
        self.pending.drain(..at);
        Ok(())
    }
}

fn take(
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &[u8],
    out: &mut Vec<u8>,
    on: &mut impl FnMut(Event<'_>),
) -> Result<(), String> {
    let index = (stream as usize).saturating_sub(1) / 2;
    match kind {
        DATA => on(Event::Data(index, content(flags & !PRIORITY, payload)?)),
        HEADERS if flags & END_STREAM == 0 => {
            let first = without_updates(content(flags, payload)?).first();
            if first != Some(&STATUS_200) {
                return Err(format!("the status of a stream is not 200 ({first:x?})"));
            }
            on(Event::Answered(index));
        }
        SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[], out),
        PING if flags & ACK == 0 => frame(PING, ACK, 0, payload, out),
        RST_STREAM => return Err(format!("stream {stream} was reset")),
        GOAWAY => return Err("the server goes away".to_owned()),
        _ => {}
    }
    if (kind == DATA || kind == HEADERS) && flags & END_STREAM != 0 {
        on(Event::Ended(index));
    }
    Ok(())
}

/// A block of fields after updates of the table's size, which may stand before them.
fn without_updates(mut block: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        // A number that does not fit goes on in bytes of which the last has no high bit.
        let more = match first & 0x1f {
            0x1f => rest.iter().take_while(|&&byte| byte & 0x80 != 0).count() + 1,
            _ => 0,
        };
        block = rest.get(more..).unwrap_or(&[]);
    }
    block
}

/// What is in a frame without padding and priority.
fn content(flags: u8, payload: &[u8]) -> Result<&[u8], String> {
    let short = || "a frame is too short".to_owned();
    let (padding, mut rest) = match payload.split_first() {
        Some((padding, rest)) if flags & PADDED != 0 => (usize::from(*padding), rest),
        _ => (0, payload),
    };
    if flags & PRIORITY != 0 {
        rest = rest.get(5..).ok_or_else(short)?;
    }
    rest.get(..rest.len().saturating_sub(padding)).ok_or_else(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_followed_in_pieces_of_any_size() {
        let mut wire = Vec::new();
        frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100], &mut wire);
        frame(
            HEADERS,
            END_HEADERS,
            1,
            &[0x3f, 0xe1, 0x1f, STATUS_200],
            &mut wire,
        );
        frame(
            HEADERS,
            END_HEADERS | PRIORITY,
            3,
            &[0, 0, 0, 0, 16, 0x20, STATUS_200],
            &mut wire,
        );
        frame(DATA, 0, 3, b"one", &mut wire);
        frame(PING, 0, 0, b"8 bytes.", &mut wire);
        frame(DATA, PADDED | END_STREAM, 1, b"\x02two..", &mut wire);
        for size in [wire.len(), 7, 2] {
            let (mut frames, mut out, mut seen) = (Frames::default(), Vec::new(), Vec::new());
            for piece in wire.chunks(size) {
                frames
                    .feed(piece, &mut out, |event| seen.push(format!("{event:?}")))
                    .unwrap();
            }
            assert_eq!(out[..9], [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0]);
            assert_eq!(&out[18..], b"8 bytes.");
            assert_eq!(out[9..14], [0, 0, 8, PING, ACK]);
            let data = |index, bytes: &[u8]| format!("{:?}", Event::Data(index, bytes));
            assert_eq!(seen.len(), 5, "{seen:?}");
            assert_eq!(seen[..2], ["Answered(0)", "Answered(1)"]);
            assert_eq!(
                seen[2..],
                [data(1, b"one"), data(0, b"two"), "Ended(0)".to_owned()]
            );
        }
    }
}

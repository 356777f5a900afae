//! The frames of a client's side of a connection (RFC 6455 5), without any I/O. What a header is, is soketto's business.

use std::str;

use bytes::{Buf, Bytes, BytesMut};
use soketto::Parsing;
use soketto::base::{Codec, Error, Header, OpCode};

use super::backlog::MAX_BACKLOG_BYTES;
use super::input::ClientFault;
use crate::grip::CloseFrame;
use crate::message::SocketKind;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A whole message.
    Message(SocketKind, Bytes),
    /// A close frame. Nothing comes after it.
    Close(Option<CloseFrame>),
    /// What no client may send. Nothing is read after it.
    Fault(ClientFault),
}

/// Makes messages of bytes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// What has come and is not read.
    bytes: BytesMut,
    /// The frame whose payload is awaited.
    frame: Option<Header>,
    /// The fragments of the message that has begun.
    begun: Option<(SocketKind, BytesMut)>,
    is_over: bool,
}

// === impl Reader ===

impl Reader {
    /// These bytes have come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.is_over {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Bytes that have come and are not read yet.
    pub(super) fn unread(&self) -> usize {
        self.bytes.len()
    }

    /// What comes next; `None`: not all of it is there.
    pub(super) fn next(&mut self) -> Option<Heard> {
        while !self.is_over {
            match self.step() {
                Ok(Some(heard)) => {
                    self.is_over = matches!(heard, Heard::Close(_));
                    return Some(heard);
                }
                Ok(None) => {}
                Err(None) => {
                    if self.bytes.is_empty() {
                        // Most sockets are silent mostly.
                        self.bytes = BytesMut::new();
                    }
                    return None;
                }
                Err(Some(fault)) => {
                    *self = Self {
                        is_over: true,
                        ..Self::default()
                    };
                    return Some(Heard::Fault(fault));
                }
            }
        }
        None
    }

    /// Reads one frame. `Err(None)`: not all of it is there.
    fn step(&mut self) -> Result<Option<Heard>, Option<ClientFault>> {
        let header = match self.frame.take() {
            Some(frame) => frame,
            None => self.header()?,
        };
        if self.bytes.len() < header.payload_len() {
            self.frame = Some(header);
            return Err(None);
        }
        let mut payload = self.bytes.split_to(header.payload_len());
        Codec::apply_mask(&header, &mut payload);
        let heard = match header.opcode() {
            OpCode::Ping => Ok(Some(Heard::Message(SocketKind::Ping, payload.freeze()))),
            OpCode::Pong => Ok(Some(Heard::Message(SocketKind::Pong, payload.freeze()))),
            OpCode::Close => close_frame(&payload).map(|frame| Some(Heard::Close(frame))),
            opcode => self.data_frame(opcode, header.is_fin(), payload),
        };
        heard.map_err(Some)
    }

    fn header(&mut self) -> Result<Header, Option<ClientFault>> {
        let mut codec = Codec::new();
        codec.set_max_data_size(MAX_BACKLOG_BYTES);
        let header = match codec.decode_header(&self.bytes) {
            Ok(Parsing::Done { value, offset }) => {
                self.bytes.advance(offset);
                value
            }
            Ok(Parsing::NeedMore(_)) => return Err(None),
            Err(Error::PayloadTooLarge { .. }) => return Err(Some(ClientFault::TooLarge)),
            Err(_) => return Err(Some(ClientFault::Protocol)),
        };
        if !header.is_masked() {
            return Err(Some(ClientFault::Protocol));
        }
        let begun = self.begun.as_ref().filter(|_| !header.opcode().is_control());
        let before = begun.map_or(0, |(_, content)| content.len());
        match before + header.payload_len() <= MAX_BACKLOG_BYTES {
            true => Ok(header),
            false => Err(Some(ClientFault::TooLarge)),
        }
    }

    fn data_frame(
        &mut self,
        opcode: OpCode,
        is_final: bool,
        payload: BytesMut,
    ) -> Result<Option<Heard>, ClientFault> {
        let (kind, content) = match (opcode, self.begun.take()) {
            (OpCode::Continue, Some((kind, mut content))) => {
                content.extend_from_slice(&payload);
                (kind, content)
            }
            (OpCode::Text, None) => (SocketKind::Text, payload),
            (OpCode::Binary, None) => (SocketKind::Binary, payload),
            _ => return Err(ClientFault::Protocol),
        };
        if !is_final {
            self.begun = Some((kind, content));
            return Ok(None);
        }
        if kind == SocketKind::Text && str::from_utf8(&content).is_err() {
            return Err(ClientFault::NotUtf8);
        }
        Ok(Some(Heard::Message(kind, content.freeze())))
    }
}

fn close_frame(payload: &[u8]) -> Result<Option<CloseFrame>, ClientFault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload.is_empty() {
            true => Ok(None),
            false => Err(ClientFault::Protocol),
        };
    };
    let reason = str::from_utf8(reason).map_err(|_| ClientFault::NotUtf8)?;
    let frame = CloseFrame::new(u16::from_be_bytes(*code), reason);
    frame.map(Some).map_err(|_| ClientFault::Protocol)
}

/// Writes a message in one frame.
pub(super) fn write(kind: SocketKind, content: &[u8], out: &mut BytesMut) {
    let opcode = match kind {
        SocketKind::Text => OpCode::Text,
        SocketKind::Binary => OpCode::Binary,
        SocketKind::Ping => OpCode::Ping,
        SocketKind::Pong => OpCode::Pong,
    };
    write_frame(opcode, content, out);
}

/// Writes a close frame.
pub(super) fn write_close(frame: &CloseFrame, out: &mut BytesMut) {
    let mut content = frame.code().to_be_bytes().to_vec();
    content.extend_from_slice(frame.reason().as_bytes());
    write_frame(OpCode::Close, &content, out);
}

fn write_frame(opcode: OpCode, content: &[u8], out: &mut BytesMut) {
    let mut header = Header::new(opcode);
    header.set_payload_len(content.len());
    let mut codec = Codec::new();
    let head = codec.encode_header(&header);
    out.reserve(head.len() + content.len());
    out.extend_from_slice(head);
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASK: [u8; 4] = [1, 0x80, 3, 0xff];

    /// A frame as a client sends it: its first byte, its payload.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ ..126 => bytes.push(0x80 | len as u8),
            len @ 126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&MASK);
        bytes.extend(
            payload
                .iter()
                .zip(0..)
                .map(|(byte, place): (_, usize)| byte ^ MASK[place % 4]),
        );
        bytes
    }

    fn heard(bytes: &[u8]) -> Vec<Heard> {
        let mut reader = Reader::default();
        reader.push(bytes);
        std::iter::from_fn(|| reader.next()).collect()
    }

    #[test]
    fn what_no_client_may_send_is_a_fault() {
        use ClientFault::{NotUtf8, Protocol, TooLarge};
        let long = vec![b'x'; MAX_BACKLOG_BYTES + 1];
        let cases: &[(&str, Vec<u8>, ClientFault)] = &[
            ("not masked", vec![0x81, 1, b'x'], Protocol),
            ("an extension that nobody agreed to", frame(0xc1, b"x"), Protocol),
            ("a kind that there is not", frame(0x83, b"x"), Protocol),
            ("a control frame that there is not", frame(0x8b, b"x"), Protocol),
            ("a fragment of a control frame", frame(0x09, b"x"), Protocol),
            ("a long control frame", frame(0x89, &[b'x'; 126]), Protocol),
            ("a continuation of nothing", frame(0x80, b"x"), Protocol),
            (
                "a message within a message",
                [frame(0x01, b"x"), frame(0x81, b"x")].concat(),
                Protocol,
            ),
            ("half a code", frame(0x88, b"x"), Protocol),
            (
                "a code that stands for no frame",
                frame(0x88, &[3, 0xed]),
                Protocol,
            ),
            ("a reason that is no text", frame(0x88, &[3, 0xe8, 0xff]), NotUtf8),
            ("a text that is none", frame(0x81, b"\xc3"), NotUtf8),
            ("too long", frame(0x82, &long), TooLarge),
            (
                "too long in two parts",
                [frame(0x02, &long[1..]), frame(0x80, b"x")].concat(),
                TooLarge,
            ),
            (
                "longer than anything",
                [vec![0x82, 0xff], vec![0xff; 8], MASK.to_vec()].concat(),
                TooLarge,
            ),
        ];
        for (case, bytes, fault) in cases {
            let mut reader = Reader::default();
            reader.push(bytes);
            assert_eq!(reader.next(), Some(Heard::Fault(*fault)), "{case}");
            // Nothing comes after it, nor is it kept.
            reader.push(&frame(0x81, b"x"));
            assert_eq!((reader.next(), reader.unread()), (None, 0), "{case}");
        }
    }

    #[test]
    fn a_close_is_the_last() {
        let close = |payload: &[u8]| heard(&[frame(0x88, payload), frame(0x81, b"x")].concat());
        assert_eq!(close(b""), [Heard::Close(None)]);
        let said = CloseFrame::new(4_000, "b\u{fc}").expect("a code");
        assert_eq!(
            close(&[&[0xf, 0xa0], "b\u{fc}".as_bytes()].concat()),
            [Heard::Close(Some(said))]
        );
    }

    #[test]
    fn a_silent_reader_has_no_buffer() {
        let mut reader = Reader::default();
        reader.push(&frame(0x82, &[0; 1_000]));
        assert!(reader.next().is_some() && reader.next().is_none());
        assert_eq!(reader.bytes.capacity(), 0);
    }

    proptest! {
        /// However messages are cut into frames, and bytes into reads.
        #[test]
        fn messages_are_whole(
            messages in prop::collection::vec(("[a-z\u{e9}\u{20ac}]{0,80}", prop::collection::vec(any::<prop::sample::Index>(), 0..4)), 0..6),
            cuts in prop::collection::vec(1usize..40, 1..20),
        ) {
            let mut bytes = Vec::new();
            let mut want = Vec::new();
            for (text, places) in &messages {
                let content = text.as_bytes();
                let mut places: Vec<_> = places.iter().map(|place| place.index(content.len() + 1)).collect();
                places.sort_unstable();
                let mut parts = Vec::new();
                let mut from = 0;
                for to in places.into_iter().chain([content.len()]) {
                    parts.push(&content[from..to]);
                    from = to;
                }
                for (nth, part) in parts.iter().enumerate() {
                    let opcode = if nth == 0 { 1 } else { 0 };
                    let last = if nth + 1 == parts.len() { 0x80 } else { 0 };
                    bytes.extend(frame(opcode | last, part));
                    if last == 0 {
                        bytes.extend(frame(0x89, b"p"));
                        want.push(Heard::Message(SocketKind::Ping, Bytes::from_static(b"p")));
                    }
                }
                want.push(Heard::Message(SocketKind::Text, Bytes::copy_from_slice(content)));
            }
            let mut reader = Reader::default();
            let mut got = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (read, left) = rest.split_at((*cut).min(rest.len()));
                reader.push(read);
                got.extend(std::iter::from_fn(|| reader.next()));
                rest = left;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(got, want);
        }

        /// What is written is read, by a client's library.
        #[test]
        fn what_is_written_is_one_frame(len in prop_oneof![0usize..130, 65_530usize..65_540], kind in 0u8..3) {
            let kinds = [SocketKind::Text, SocketKind::Binary, SocketKind::Pong];
            // A control frame is short.
            let kind = kinds[usize::from(if len > 125 { kind % 2 } else { kind })];
            let content = vec![b'x'; len];
            let mut out = BytesMut::new();
            write(kind, &content, &mut out);
            let parsed = Codec::new().decode_header(&out).expect("a frame");
            let Parsing::Done { value: header, offset } = parsed else {
                panic!("all of it is there");
            };
            prop_assert!(header.is_fin() && !header.is_masked());
            prop_assert_eq!(header.payload_len(), len);
            prop_assert_eq!(&out[offset..], &content[..]);
        }
    }
}

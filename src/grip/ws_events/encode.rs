//! Events into a body.

use std::io::Write;

use bytes::Bytes;

use super::Event;

/// Writes events one after the other. Nothing is checked: what comes from a socket was, and of a message that was
/// accepted in part the rest is sent as it is.
///
/// A content that is empty is left out, as the reference proxy does.
pub fn encode<'a, I>(events: I) -> Bytes
where
    I: IntoIterator<Item = &'a Event, IntoIter: Clone>,
{
    let events = events.into_iter();
    let mut out = Vec::with_capacity(events.clone().map(written_bytes).sum());
    for event in events {
        write(event, &mut out);
    }
    out.into()
}

fn write(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(event.type_name().as_bytes());
    let content_bytes = event.content_bytes();
    if content_bytes > 0 {
        write!(out, " {content_bytes:x}\r\n").expect("memory takes all that is written");
        if let Some((_, content)) = event.as_message() {
            out.extend_from_slice(content);
        }
        if let Event::Close(Some(frame)) = event {
            out.extend_from_slice(&frame.code().to_be_bytes());
            out.extend_from_slice(frame.reason().as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// How long it will be.
fn written_bytes(event: &Event) -> usize {
    let line = event.type_name().len() + 2;
    match event.content_bytes() {
        0 => line,
        content => line + 1 + hex_digits(content) + content + 2,
    }
}

const fn hex_digits(number: usize) -> usize {
    (number.ilog2() / 4 + 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_before() {
        for len in [0, 1, 15, 16, 255, 256, 4095, 4096, 65_535, 65_536] {
            let event = Event::Binary(vec![0; len].into());
            assert_eq!(encode([&event]).len(), written_bytes(&event), "{len}");
        }
    }
}

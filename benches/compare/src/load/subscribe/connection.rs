//! One connection, with one subscriber, or with HTTP/2 several.

use std::io::{self, ErrorKind, Read};

use super::tally::Tally;
use crate::events::Events;
use crate::http1::Decoder;
use crate::load::frames::{self, Event, Frames};
use crate::load::link::Link;
use crate::load::now;

pub struct Connection {
    link: Link,
    pub stage: Stage,
    wire: Wire,
    readers: Vec<Reader>,
    /// How often it was made again.
    pub repeats: u8,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Stage {
    Connecting,
    Asked,
    /// All its subscribers are.
    Held,
    Ended,
}

enum Wire {
    Http1(Decoder),
    Http2(Frames),
}

#[derive(Clone, Default)]
struct Reader {
    events: Events,
    is_held: bool,
    /// The number of the last message.
    seen: u32,
}

impl Connection {
    /// With so many streams of HTTP/2; with none of them, one of HTTP/1.1.
    pub fn new(link: Link, streams: usize) -> Self {
        Self {
            link,
            stage: Stage::Connecting,
            wire: match streams {
                0 => Wire::Http1(Decoder::default()),
                _ => Wire::Http2(Frames::default()),
            },
            readers: vec![Reader::default(); streams.max(1)],
            repeats: 0,
        }
    }

    /// Asks for a path on each stream.
    pub fn ask(&mut self, paths: &[String]) -> Result<(), String> {
        if let Some(error) = self.link.stream.take_error().map_err(text)? {
            return Err(format!("cannot connect: {error}"));
        }
        let request = match &self.wire {
            Wire::Http1(_) => format!(
                "GET {} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
                paths[0]
            )
            .into_bytes(),
            Wire::Http2(_) => frames::opening(paths.iter().map(String::as_str)),
        };
        self.link.write(&request).map_err(text)?;
        self.stage = Stage::Asked;
        Ok(())
    }

    pub fn read(&mut self, input: &mut [u8], tally: &mut Tally) -> Result<(), String> {
        loop {
            let read = match self.link.read(input) {
                Ok(0) => return Err("the server closed".to_owned()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(text(error)),
            };
            self.take(&input[..read], tally)?;
            if self.stage == Stage::Asked && self.readers.iter().all(|reader| reader.is_held) {
                self.stage = Stage::Held;
            }
            // A socket that gave less had no more; the next comes with an event.
            if self.link.is_plain() && read < input.len() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<(), String> {
        let time = now();
        let mut order = Ok(());
        match &mut self.wire {
            Wire::Http1(decoder) => {
                let reader = &mut self.readers[0];
                decoder
                    .feed(bytes, |body| reader.take(body, time, tally, &mut order))
                    .map_err(text)?;
                match decoder.status() {
                    None => {}
                    Some(200) => reader.is_held = true,
                    Some(status) => return Err(format!("status {status}")),
                }
                if decoder.is_done() {
                    return Err(format!("the answer ended after message {}", reader.seen));
                }
            }
            Wire::Http2(frames) => {
                let (readers, mut answer) = (&mut self.readers, Vec::new());
                frames.feed(bytes, &mut answer, |event| match event {
                    Event::Answered(index) if index < readers.len() => readers[index].is_held = true,
                    Event::Data(index, body) if index < readers.len() => {
                        readers[index].take(body, time, tally, &mut order);
                    }
                    other => order = Err(format!("not expected: {other:?}")),
                })?;
                if !answer.is_empty() {
                    self.link.write(&answer).map_err(text)?;
                }
            }
        }
        order
    }
}

// === impl Reader ===

impl Reader {
    fn take(&mut self, body: &[u8], time: u64, tally: &mut Tally, order: &mut Result<(), String>) {
        let seen = &mut self.seen;
        self.events.feed(body, |number| {
            if number != *seen + 1 {
                *order = Err(format!("message {number} after {seen}"));
            }
            *seen = number;
            tally.arrived(number, time);
        });
    }
}

fn text(error: impl Into<io::Error>) -> String {
    error.into().to_string()
}

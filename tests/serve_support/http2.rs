//! A client of HTTP/2 that speaks in frames (RFC 9113 4, 6).

use std::collections::HashMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout_at};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END: u8 = 5;

/// `SETTINGS_INITIAL_WINDOW_SIZE` (RFC 9113 6.5.2).
pub const INITIAL_WINDOW: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub fn initial_window(bytes: u32) -> Vec<u8> {
    let mut settings = vec![0, INITIAL_WINDOW];
    settings.extend(bytes.to_be_bytes());
    frame(SETTINGS, 0, 0, &settings)
}

pub fn open_window(stream: u32, bytes: usize) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &(bytes as u32).to_be_bytes())
}

fn request(stream: u32, method: &[u8], flags: u8, path: &str) -> Vec<u8> {
    let mut fields = method.to_vec();
    if !path.is_empty() {
        fields.extend([0x86, 4, path.len() as u8]);
        fields.extend(path.as_bytes());
    }
    fields.extend([0x41, 1, b'a']);
    frame(HEADERS, flags, stream, &fields)
}

/// `GET http://a/` and this path.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    request(stream, &[0x82], END, path)
}

pub fn head(stream: u32, path: &str) -> Vec<u8> {
    request(stream, &[2, 4, b'H', b'E', b'A', b'D'], END, path)
}

/// A client of HTTP/2 that answers pings and keeps what comes.
pub struct Client {
    pub io: DuplexStream,
    got: Vec<u8>,
    /// Kind, flags and stream of each frame, and how much was in it.
    pub frames: Vec<(u8, u8, u32, usize)>,
    pub bodies: HashMap<u32, Vec<u8>>,
    /// It opens windows by what it has taken: that of the connection, and those of streams.
    pub opens: (bool, bool),
}

impl Client {
    pub async fn begin(mut io: DuplexStream, window: u32) -> Self {
        io.write_all(&[PREFACE, &initial_window(window)].concat())
            .await
            .expect("open");
        Self {
            io,
            got: Vec::new(),
            frames: Vec::new(),
            bodies: HashMap::new(),
            opens: (false, false),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.expect("open");
    }

    /// Takes so many bytes at most, in so much time. False: it is closed.
    pub async fn take(&mut self, most: usize, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut left = most;
        let mut buf = vec![0; most];
        while left > 0 {
            match timeout_at(until, self.io.read(&mut buf[..left])).await {
                Err(_) => break,
                Ok(Ok(0) | Err(_)) => return false,
                Ok(Ok(n)) => {
                    left -= n;
                    self.got.extend_from_slice(&buf[..n]);
                }
            }
            let answers = self.parse();
            // It may be closed, with more to read.
            let _ = self.io.write_all(&answers).await;
        }
        tokio::time::sleep_until(until).await;
        true
    }

    /// Takes apart what has come. What to answer.
    fn parse(&mut self) -> Vec<u8> {
        let mut answers = Vec::new();
        while let [a, b, c, kind, flags, w, x, y, z, rest @ ..] = &self.got[..] {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some(payload) = rest.get(..len) else {
                break;
            };
            let (kind, flags, stream) = (*kind, *flags, u32::from_be_bytes([*w, *x, *y, *z]));
            self.frames.push((kind, flags, stream, len));
            if kind == PING && flags & ACK == 0 {
                answers.extend(frame(PING, ACK, 0, payload));
            }
            if kind == DATA {
                self.bodies.entry(stream).or_default().extend_from_slice(payload);
                if len > 0 && self.opens.0 {
                    answers.extend(open_window(0, len));
                }
                if len > 0 && self.opens.1 && flags & END_STREAM == 0 {
                    answers.extend(open_window(stream, len));
                }
            }
            self.got.drain(..9 + len);
        }
        answers
    }

    pub fn has(&self, kind: u8, flags: u8, stream: u32) -> bool {
        let mut frames = self.frames.iter();
        frames.any(|frame| (frame.0, frame.2) == (kind, stream) && frame.1 & flags == flags)
    }

    pub fn count(&self, kind: u8, stream: u32) -> usize {
        let frames = self.frames.iter();
        frames
            .filter(|frame| (frame.0, frame.2) == (kind, stream))
            .count()
    }

    /// How many bytes of the body of this stream have come.
    pub fn bytes_of(&self, stream: u32) -> usize {
        self.bodies.get(&stream).map_or(0, Vec::len)
    }
}

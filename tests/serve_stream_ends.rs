//! The ends of HTTP/2 streams: what the service has given, and its reader has not taken.
#![cfg(feature = "serve")]

mod serve_support;

use std::time::Duration;

use bytes::Bytes;
use gripstack::EdgeBody;
use gripstack::serve::Limits;
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use serve_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout_at};
use tokio_stream::{Stream, StreamExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END: u8 = 5;

/// `SETTINGS_INITIAL_WINDOW_SIZE` (RFC 9113 6.5.2).
const INITIAL_WINDOW: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET http://a/` and this path.
fn get(stream: u32, path: &str) -> Vec<u8> {
    let mut fields = vec![0x82, 0x86, 4, path.len() as u8];
    fields.extend(path.as_bytes());
    fields.extend([0x41, 1, b'a']);
    frame(HEADERS, END, stream, &fields)
}

/// A client of HTTP/2 that answers pings and keeps what comes.
struct Client {
    io: DuplexStream,
    got: Vec<u8>,
    /// Kind, flags and stream of each frame, and how much was in it.
    frames: Vec<(u8, u8, u32, usize)>,
}

impl Client {
    async fn begin(pipes: &Pipes, capacity: usize, window: u32) -> Self {
        let mut io = pipes.connect(capacity).io;
        let mut settings = vec![0, INITIAL_WINDOW];
        settings.extend(window.to_be_bytes());
        io.write_all(PREFACE).await.expect("open");
        io.write_all(&frame(SETTINGS, 0, 0, &settings))
            .await
            .expect("open");
        Self {
            io,
            got: Vec::new(),
            frames: Vec::new(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.expect("open");
    }

    /// Takes so many bytes at most, in so much time at most. False: it is closed.
    async fn take(&mut self, most: usize, patience: Duration) -> bool {
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
            while let [a, b, c, kind, flags, w, x, y, z, rest @ ..] = &self.got[..] {
                let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                let Some(payload) = rest.get(..len) else {
                    break;
                };
                let (kind, flags, stream) = (*kind, *flags, u32::from_be_bytes([*w, *x, *y, *z]));
                self.frames.push((kind, flags, stream, len));
                let pong = (kind == PING && flags & ACK == 0).then(|| frame(PING, ACK, 0, payload));
                self.got.drain(..9 + len);
                if let Some(pong) = pong {
                    // It may be closed, with more to read.
                    let _ = self.io.write_all(&pong).await;
                }
            }
        }
        tokio::time::sleep_until(until).await;
        true
    }

    fn has(&self, kind: u8, flags: u8, stream: u32) -> bool {
        let mut frames = self.frames.iter();
        frames.any(|frame| (frame.0, frame.2) == (kind, stream) && frame.1 & flags == flags)
    }

    /// How many bytes of the body of this stream have come.
    fn bytes_of(&self, stream: u32) -> usize {
        let data = self
            .frames
            .iter()
            .filter(|frame| (frame.0, frame.2) == (DATA, stream));
        data.map(|frame| frame.3).sum()
    }
}

fn stream(frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> EdgeBody {
    EdgeBody::new(StreamBody::new(frames.map(Ok::<_, gripstack::BoxError>)))
}

/// Texts of this length, and of 1,000 bytes in one piece and no length, with trailers, and without an end; and a hold that says
/// nothing.
fn texts() -> BoxService {
    service(|request| async move {
        let path = request.uri().path().trim_start_matches('/');
        let text = |length| Bytes::from("x".repeat(length));
        let piece = Frame::data(text(1_000));
        Response::new(match path {
            "unknown" => stream(tokio_stream::once(piece)),
            "trailers" => {
                let trailers =
                    http::HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("a"))]);
                stream(tokio_stream::iter([piece, Frame::trailers(trailers)]))
            }
            "endless" => stream(tokio_stream::once(piece).chain(tokio_stream::pending())),
            "hold" => stream(tokio_stream::pending()),
            length => EdgeBody::from(text(length.parse().expect("a length"))),
        })
    })
}

/// `Limits::stall`: a reader that takes nothing of what is ready for it is cut, on HTTP/2 the stream, and counted; also where
/// hyper has the whole of a short answer, known to be that or not.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_short_answer_is_not_taken_is_reset() {
    for (window, path) in [0, 1, 999]
        .into_iter()
        .flat_map(|window| ["/1000", "/unknown", "/trailers", "/endless"].map(|path| (window, path)))
    {
        let (pipes, server) = start_pipes(texts(), Limits::default());
        let mut client = Client::begin(&pipes, 65_536, window).await;
        client.send(&[get(1, "/hold"), get(3, path)].concat()).await;
        assert!(client.take(65_536, Duration::from_secs(300)).await);
        assert!(client.has(HEADERS, 0, 1) && client.has(HEADERS, 0, 3));
        assert_eq!(client.bytes_of(3), window as usize);
        assert_eq!(server.stats.stalled(), 1, "{path}, a window of {window}");
        assert!(client.has(RST_STREAM, 0, 3), "{path}, a window of {window}");
        assert!(!client.has(RST_STREAM, 0, 1), "the other goes on");
    }
}

/// Also where what it has no room for is the connection's window.
#[tokio::test(start_paused = true)]
async fn answers_that_the_connections_window_has_no_room_for_are_reset() {
    let (pipes, server) = start_pipes(texts(), Limits::default());
    let mut client = Client::begin(&pipes, 1 << 20, 1 << 20).await;
    client
        .send(&[get(1, "/65000"), get(3, "/1000"), get(5, "/1000")].concat())
        .await;
    assert!(client.take(1 << 20, Duration::from_secs(50)).await);
    assert!(client.has(DATA, END_STREAM, 1));
    assert_eq!(
        client.bytes_of(1) + client.bytes_of(3) + client.bytes_of(5),
        65_535
    );
    assert_eq!(server.stats.stalled(), 2);
    assert!(client.has(RST_STREAM, 0, 3) && client.has(RST_STREAM, 0, 5));
}

/// What surely fits goes in one piece.
#[tokio::test(start_paused = true)]
async fn an_answer_that_fits_into_the_windows_is_one_frame() {
    let (pipes, _server) = start_pipes(texts(), Limits::default());
    let mut client = Client::begin(&pipes, 65_536, 1_000).await;
    client.send(&get(1, "/1000")).await;
    client.take(65_536, Duration::from_secs(1)).await;
    let data: Vec<_> = client.frames.iter().filter(|frame| frame.0 == DATA).collect();
    assert_eq!(data, [&(DATA, END_STREAM, 1, 1_000)]);
}

/// One that is slow, but takes something each second, is no idle connection and does not stall, whatever hyper has of its
/// answer. It is idle from when all is out.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_http2_gets_its_answer_to_the_end() {
    for bytes in [60_000, 200_000] {
        let (pipes, server) = start_pipes(texts(), Limits::default());
        let mut client = Client::begin(&pipes, 1024, 1 << 20).await;
        client
            .send(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()))
            .await;
        client.send(&get(1, &format!("/{bytes}"))).await;
        let mut seconds = 0;
        while !client.has(DATA, END_STREAM, 1) {
            let is_open = client.take(500, Duration::from_secs(1)).await;
            seconds += 1;
            let got = client.bytes_of(1);
            assert!(is_open, "cut after {seconds} s and {got} of {bytes} bytes");
        }
        assert_eq!((client.bytes_of(1), server.stats.stalled()), (bytes, 0));
        let end = Instant::now();
        while client.take(500, Duration::from_secs(1)).await {}
        // The last of it was in the pipe for a while.
        assert!(
            (56..=61).contains(&end.elapsed().as_secs()),
            "{:?}",
            end.elapsed()
        );
    }
}

/// A page with a hundred pictures over half a megabit a second, to a browser with windows of its own: hyper has all of them at
/// once, and the client none for a minute and a half. It is not idle.
#[tokio::test(start_paused = true)]
async fn a_page_over_a_slow_line_is_no_idle_connection() {
    const PICTURES: u32 = 100;
    const BYTES: usize = 60_000;
    let (pipes, server) = start_pipes(texts(), Limits::default());
    let mut client = Client::begin(&pipes, 128 * 1024, 6 << 20).await;
    client
        .send(&frame(WINDOW_UPDATE, 0, 0, &(15_u32 << 20).to_be_bytes()))
        .await;
    let streams: Vec<_> = (0..PICTURES).map(|nth| 2 * nth + 1).collect();
    for stream in &streams {
        client.send(&get(*stream, "/60000")).await;
    }
    let mut seconds = 0;
    let is_whole = |client: &Client, stream: u32| {
        client.bytes_of(stream) == BYTES && client.has(DATA, END_STREAM, stream)
    };
    while !streams.iter().all(|stream| is_whole(&client, *stream)) {
        let is_open = client.take(64_000, Duration::from_secs(1)).await;
        seconds += 1;
        let whole = streams
            .iter()
            .filter(|stream| is_whole(&client, **stream))
            .count();
        assert!(
            is_open,
            "cut after {seconds} s, with {whole} of {PICTURES} pictures whole"
        );
    }
    assert_eq!(server.stats.stalled(), 0);
}

/// A drain waits for answers up to its deadline, for what hyper has of them, too.
#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_ends_of_streams() {
    let (pipes, mut server) = start_pipes(texts(), Limits::default());
    let mut client = Client::begin(&pipes, 1024, 65_535).await;
    client.send(&get(1, "/60000")).await;
    client.take(500, Duration::from_secs(1)).await;
    server.begin_drain();
    for second in 1.. {
        let is_open = client.take(8_000, Duration::from_secs(1)).await;
        if client.has(DATA, END_STREAM, 1) {
            break;
        }
        let got = client.bytes_of(1);
        assert!(
            is_open,
            "cut {second} s after the drain began, of 10, and {got} bytes"
        );
    }
    assert_eq!(client.bytes_of(1), 60_000);
}

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
use serve_support::http2::*;
use serve_support::*;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt};

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
        let mut client = Client::begin(pipes.connect(65_536).io, window).await;
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
    let mut client = Client::begin(pipes.connect(1 << 20).io, 1 << 20).await;
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
    let mut client = Client::begin(pipes.connect(65_536).io, 1_000).await;
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
        let mut client = Client::begin(pipes.connect(1024).io, 1 << 20).await;
        client.send(&open_window(0, 1 << 20)).await;
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
    let mut client = Client::begin(pipes.connect(128 * 1024).io, 6 << 20).await;
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
    let mut client = Client::begin(pipes.connect(1024).io, 65_535).await;
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

//! What was found at the ends of answers: readers that move, and those that do not.
#![cfg(feature = "serve")]

mod serve_support;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gripstack::EdgeBody;
use gripstack::serve::{Limits, Listener, Peer, serve};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::*;
use serve_support::http2::*;
use serve_support::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt};

fn stream(frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> EdgeBody {
    EdgeBody::new(StreamBody::new(frames.map(Ok::<_, gripstack::BoxError>)))
}

/// Texts of this length, a hold that says nothing, and a tunnel through which this much comes, and no more.
fn texts() -> BoxService {
    service(|mut request| async move {
        if request.method() == http::Method::CONNECT {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let io = upgrade.await.expect("upgraded");
                let mut io = hyper_util::rt::TokioIo::new(io);
                io.write_all(&vec![b't'; 65_035]).await.expect("open");
                std::future::pending::<()>().await;
            });
            return Response::new(EdgeBody::empty());
        }
        let path = request.uri().path().trim_start_matches('/');
        let status = |status| {
            let mut response = Response::new(EdgeBody::from("x".repeat(100)));
            *response.status_mut() = status;
            response
        };
        match path {
            "hold" => Response::new(stream(tokio_stream::pending())),
            "204" => status(StatusCode::NO_CONTENT),
            "304" => status(StatusCode::NOT_MODIFIED),
            length => Response::new(EdgeBody::from("x".repeat(length.parse().expect("a length")))),
        }
    })
}

const SECOND: Duration = Duration::from_secs(1);

/// `Limits::stall`: "longest time in which a reader takes nothing". One that takes all that comes, at once, and opens the
/// connection's window by it, as a client does whose line is slow and whose window is what RFC 9113 begins with, takes something
/// each second. That its streams share the window is no stall of theirs.
#[tokio::test(start_paused = true)]
async fn streams_that_share_a_window_that_moves_do_not_stall() {
    const STREAMS: u32 = 100;
    const BYTES: usize = 60_000;
    let (pipes, server) = start_pipes(texts(), Limits::default());
    let mut client = Client::begin(pipes.connect(128 * 1024).io, 1 << 20).await;
    client.opens = (true, false);
    for nth in 0..STREAMS {
        client.send(&get(2 * nth + 1, "/60000")).await;
    }
    let is_whole = |client: &Client, nth: u32| client.bytes_of(2 * nth + 1) == BYTES;
    for second in 1..=300 {
        assert!(client.take(40_000, SECOND).await, "cut after {second} s");
        if (0..STREAMS).all(|nth| is_whole(&client, nth)) {
            break;
        }
        let reset = (0..STREAMS)
            .filter(|nth| client.has(RST_STREAM, 0, 2 * nth + 1))
            .count();
        assert_eq!((reset, server.stats.stalled()), (0, 0), "after {second} s");
    }
    assert!((0..STREAMS).all(|nth| is_whole(&client, nth)));
}

/// RFC 9110 9.3.2, 15.3.5, 15.4.5: no content, whatever the service gives; HTTP/1 keeps it back.
#[tokio::test(start_paused = true)]
async fn what_has_no_content_has_none_on_http2() {
    let (pipes, _server) = start_pipes(texts(), Limits::default());
    let mut client = Client::begin(pipes.connect(1 << 20).io, 65_535).await;
    client
        .send(&[head(1, "/100"), get(3, "/204"), get(5, "/304")].concat())
        .await;
    client.take(1 << 20, SECOND).await;
    assert!([1, 3, 5].iter().all(|stream| client.has(HEADERS, 0, *stream)));
    assert_eq!([1, 3, 5].map(|stream| client.bytes_of(stream)), [0, 0, 0]);
}

/// Nor have the server's own answers: of a service that fails or panics.
#[tokio::test(start_paused = true)]
async fn the_servers_own_answers_to_head_have_no_content_on_http2() {
    let service = BoxService::new(tower::service_fn(|request: http::Request<EdgeBody>| async move {
        assert_ne!(request.uri().path(), "/panics");
        Err::<Response<EdgeBody>, gripstack::BoxError>("fails".into())
    }));
    let (pipes, _server) = start_pipes(service, Limits::default());
    let mut client = Client::begin(pipes.connect(1 << 20).io, 65_535).await;
    client
        .send(&[head(1, "/fails"), head(3, "/panics")].concat())
        .await;
    client.take(1 << 20, SECOND).await;
    assert!([1, 3].iter().all(|stream| client.has(HEADERS, 0, *stream)));
    assert_eq!([1, 3].map(|stream| client.bytes_of(stream)), [0, 0]);
}

/// Counts how often it is written to.
struct Counted(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    /// As a socket.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

struct One(Option<Counted>);

impl Listener for One {
    type Io = Counted;

    async fn accept(&mut self) -> io::Result<(Counted, Peer)> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        match self.0.take() {
            Some(io) => Ok((io, Peer::new(nowhere, nowhere))),
            None => std::future::pending().await,
        }
    }
}

/// DESIGN 7: a publish is encoded once per wire form (HTTP/2 data), and a delivery costs what `send` costs: one message is one
/// frame and one write, the thousandth of a hold, too, to a reader that opens its windows as it takes.
#[tokio::test(start_paused = true)]
async fn a_message_of_an_old_hold_is_one_frame_and_one_write() {
    const MESSAGES: usize = 50;
    let mut all = Vec::new();
    for size in [100, 1_000] {
        let (messages, source) = mpsc::unbounded_channel::<Bytes>();
        let source = Arc::new(parking_lot::Mutex::new(Some(source)));
        let service = service(move |_| {
            let source = source.lock().take().expect("one request");
            async move { Response::new(stream(UnboundedReceiverStream::new(source).map(Frame::data))) }
        });
        let (io, far) = tokio::io::duplex(1 << 20);
        let writes = Arc::new(AtomicUsize::new(0));
        let listener = One(Some(Counted(far, writes.clone())));
        let _server = Server::start(serve(listener, service).limits(Limits::default()), PATIENCE);
        let mut client = Client::begin(io, 65_535).await;
        client.opens = (true, true);
        client.send(&get(1, "/")).await;
        let mut costs = Vec::new();
        for _ in 0..2 {
            client.take(1 << 20, Duration::from_millis(10)).await;
            let before = (client.count(DATA, 1), writes.load(Ordering::Relaxed));
            for _ in 0..MESSAGES {
                messages.send(Bytes::from(vec![b'x'; size])).expect("held");
                client.take(1 << 20, Duration::from_millis(1)).await;
            }
            costs.push((
                client.count(DATA, 1) - before.0,
                writes.load(Ordering::Relaxed) - before.1,
            ));
            // What else is sent until all windows were used once.
            let rest = 65_535_usize.saturating_sub(client.bytes_of(1)).div_ceil(size);
            for _ in 0..rest {
                messages.send(Bytes::from(vec![b'x'; size])).expect("held");
                client.take(1 << 20, Duration::from_millis(1)).await;
            }
        }
        all.push((size, costs));
    }
    assert!(
        all.iter().all(|(_, costs)| costs[0] == costs[1]),
        "frames and writes of {MESSAGES} messages, first and later: {all:?}"
    );
}

/// Each kind of answer of HTTP/1 is out at some time, through whatever pipe: what comes behind it is answered, the connection is
/// idle a minute later, and a drain waits for it no longer than for its last look.
#[tokio::test(start_paused = true)]
async fn every_kind_of_answer_is_out_at_last() {
    let kinds = [
        "GET /0 HTTP/1.1\r\n\r\n",
        "GET /1 HTTP/1.1\r\n\r\n",
        "GET /60000 HTTP/1.1\r\n\r\n",
        "HEAD /60000 HTTP/1.1\r\n\r\n",
        "GET /204 HTTP/1.1\r\n\r\n",
        "GET /304 HTTP/1.1\r\n\r\n",
        "GET /chunks HTTP/1.1\r\n\r\n",
        "HEAD /chunks HTTP/1.1\r\n\r\n",
        "GET /60000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "POST /60000 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        "POST /chunks HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
    ];
    for kind in kinds {
        for capacity in [16, 70_000] {
            for drains in [false, true] {
                let service = service(|request| async move {
                    let path = request.uri().path().to_owned();
                    http_body_util::BodyExt::collect(request.into_body())
                        .await
                        .expect("whole");
                    let text = |length: usize| EdgeBody::from("x".repeat(length));
                    let status = |status| {
                        let mut response = Response::new(EdgeBody::empty());
                        *response.status_mut() = status;
                        response
                    };
                    match path.trim_start_matches('/') {
                        "204" => status(StatusCode::NO_CONTENT),
                        "304" => status(StatusCode::NOT_MODIFIED),
                        "chunks" => Response::new(stream(tokio_stream::iter(
                            [1, 0, 60_000].map(|length| Frame::data(Bytes::from("x".repeat(length)))),
                        ))),
                        length => Response::new(text(length.parse().unwrap_or(7))),
                    }
                });
                let (pipes, mut server) = start_pipes(service, Limits::default());
                let mut client = pipes.connect(capacity).io;
                let request = kind.replacen("\r\n", "\r\nHost: a\r\n", 1);
                let (mut reads, mut writes) = tokio::io::split(&mut client);
                let both = request.clone() + &request;
                let sent = async {
                    writes.write_all(both.as_bytes()).await.expect("open");
                };
                let mut wire = Vec::new();
                let mut piece = vec![0; 70_000];
                let mut last = Instant::now();
                let mut drained = None;
                let taken = async {
                    loop {
                        let quiet = tokio::time::timeout(5 * SECOND, reads.read(&mut piece)).await;
                        match quiet {
                            Ok(Ok(0)) => break,
                            Ok(n) => {
                                wire.extend_from_slice(&piece[..n.expect("open")]);
                                last = Instant::now();
                            }
                            Err(_) if drains && drained.is_none() => {
                                server.begin_drain();
                                drained = Some(Instant::now());
                            }
                            Err(_) => assert!(last.elapsed() < 100 * SECOND, "{kind}: never idle"),
                        }
                    }
                };
                tokio::join!(sent, taken);
                let heads = wire
                    .windows(11)
                    .filter(|bytes| bytes.starts_with(b"HTTP/1.") && bytes[9] != b'1');
                assert_eq!(heads.count(), 2, "{kind} {capacity} {}", wire.len());
                match drained {
                    Some(since) => {
                        assert!(
                            since.elapsed() < SECOND,
                            "{kind} {capacity}: {:?}",
                            since.elapsed()
                        );
                        assert_eq!(server.drained().await.cut, 0);
                    }
                    None => assert_eq!(last.elapsed().as_secs(), 60, "{kind} {capacity}"),
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Take(usize),
    OpenStream(usize, usize),
    Open(usize),
    Initial(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..40_000_usize).prop_map(Act::Take),
        4 => (0..4_usize, 1..20_000_usize).prop_map(|(nth, bytes)| Act::OpenStream(nth, bytes)),
        3 => (1..40_000_usize).prop_map(Act::Open),
        1 => (0..70_000_u32).prop_map(Act::Initial),
    ]
}

/// A body: its pieces, and whether its length is known.
fn body() -> impl Strategy<Value = (Vec<usize>, bool)> {
    let size = prop_oneof![
        Just(0),
        Just(1),
        Just(2),
        1..300_usize,
        16_380..16_390_usize,
        1..40_000_usize
    ];
    (prop::collection::vec(size, 0..6), any::<bool>())
}

fn bytes_of(nth: usize, pieces: &[usize]) -> Vec<u8> {
    (0..pieces.iter().sum::<usize>())
        .map(|at| (at * 31 + at / 256 + nth * 7) as u8)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Whatever windows there are, all bytes come, and the end, once they are open; nobody stalled.
    #[test]
    fn bodies_come_whole_through_any_windows(
        bodies in prop::collection::vec(body(), 1..5),
        window in prop_oneof![Just(0_u32), Just(1), 1..70_000_u32],
        capacity in 64..70_000_usize,
        acts in prop::collection::vec(act(), 0..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let outcome: Result<(), TestCaseError> = runtime.block_on(async {
            let given = bodies.clone();
            let service = service(move |request| {
                let nth: usize = request.uri().path()[1..].parse().expect("a number");
                let (pieces, is_known) = given[nth].clone();
                async move {
                    let all = Bytes::from(bytes_of(nth, &pieces));
                    if is_known {
                        return Response::new(EdgeBody::from(all));
                    }
                    let mut at = 0;
                    let frames = pieces.into_iter().map(move |piece| {
                        at += piece;
                        Frame::data(all.slice(at - piece..at))
                    });
                    Response::new(stream(tokio_stream::iter(frames.collect::<Vec<_>>())))
                }
            });
            let (pipes, server) = start_pipes(service, Limits::default());
            let mut client = Client::begin(pipes.connect(capacity).io, window).await;
            for nth in 0..bodies.len() {
                client.send(&get(2 * nth as u32 + 1, &format!("/{nth}"))).await;
            }
            let ms = Duration::from_millis(1);
            for act in &acts {
                let bytes = match act {
                    Act::Take(most) => {
                        client.take(*most, ms).await;
                        continue;
                    }
                    Act::OpenStream(nth, bytes) if *nth < bodies.len() => open_window(2 * *nth as u32 + 1, *bytes),
                    Act::OpenStream(..) => continue,
                    Act::Open(bytes) => open_window(0, *bytes),
                    Act::Initial(bytes) => initial_window(*bytes),
                };
                // The pipe may be full both ways.
                client.take(1 << 20, ms).await;
                client.send(&bytes).await;
            }
            client.take(1 << 20, ms).await;
            client.send(&open_window(0, 4 << 20)).await;
            client.send(&initial_window(1 << 20)).await;
            client.take(4 << 20, SECOND).await;
            for (nth, (pieces, _)) in bodies.iter().enumerate() {
                let stream = 2 * nth as u32 + 1;
                let got = client.bodies.get(&stream).cloned().unwrap_or_default();
                prop_assert!(got == bytes_of(nth, pieces), "{nth}: {} of {:?}", got.len(), pieces);
                let ends = client.frames.iter().filter(|frame| {
                    frame.2 == stream && frame.0 <= HEADERS && frame.1 & END_STREAM != 0
                });
                prop_assert_eq!(ends.count(), 1);
            }
            prop_assert_eq!(server.stats.stalled(), 0);
            // And then it is idle: GOAWAY after a minute, and the end.
            let rest = client.take(1 << 20, Duration::from_secs(58)).await;
            prop_assert!(rest && !client.has(GOAWAY, 0, 0));
            let mut is_open = true;
            for _ in 0..10 {
                is_open = is_open && client.take(1 << 20, SECOND).await;
            }
            prop_assert!(client.has(GOAWAY, 0, 0) && !is_open);
            Ok(())
        });
        outcome?;
    }
}

//! Held answers on HTTP/1, parked and not: the same bytes on the wire.
#![cfg(feature = "serve")]

mod serve_support;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gripstack::body::Held;
use gripstack::serve::{Limits, Parking, serve};
use gripstack::{BoxError, EdgeBody};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use parking_lot::Mutex;
use serve_support::*;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

type Step = Result<Frame<Bytes>, BoxError>;

/// Not parked, and whoever goes on with what is.
const WAYS: [Parking; 3] = [Parking::Off, Parking::Tasks, Parking::Lots];

/// A server on pipes whose held answers say what a test sends.
struct World {
    pipes: Pipes,
    server: Server,
    holds: Arc<Mutex<Vec<mpsc::UnboundedSender<Step>>>>,
    parking: Parking,
}

impl World {
    fn new(parking: Parking) -> Self {
        let holds = Arc::<Mutex<Vec<mpsc::UnboundedSender<Step>>>>::default();
        let kept = holds.clone();
        let service = service(move |request| {
            let kept = kept.clone();
            async move {
                let (parts, body) = request.into_parts();
                if parts.uri.path() == "/plain" {
                    return Response::new(EdgeBody::from("plain"));
                }
                let reads = parts.uri.path() != "/unread";
                let body = if reads {
                    body.collect().await.map(drop).map(|()| None)
                } else {
                    Ok(Some(body))
                };
                let unread = body.expect("whole");
                let (tell, told) = mpsc::unbounded_channel();
                kept.lock().push(tell);
                let steps = UnboundedReceiverStream::new(told).map(move |step| {
                    // As long as the answer lasts.
                    let _ = &unread;
                    step
                });
                let mut response = Response::new(EdgeBody::new(StreamBody::new(steps)));
                response.extensions_mut().insert(Held);
                if parts.uri.path() == "/length" {
                    response
                        .headers_mut()
                        .insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
                }
                assert_ne!(parts.method, Method::CONNECT);
                response
            }
        });
        let (pipes, listener) = Pipes::new();
        let server = Server::start(
            serve(listener, service)
                .limits(Limits::default())
                .parking(parking),
            PATIENCE,
        );
        Self {
            pipes,
            server,
            holds,
            parking,
        }
    }

    fn last(&self) -> mpsc::UnboundedSender<Step> {
        self.holds.lock().last().expect("held").clone()
    }

    fn say(&self, text: &str) {
        let _ = self
            .last()
            .send(Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes()))));
    }

    fn fail(&self) {
        let _ = self.last().send(Err("broken".into()));
    }

    /// Its body ends when all that was said is read.
    fn end(&self) {
        self.holds.lock().clear();
    }

    /// Asks, and waits until the answer is held; where the server parks, until it is parked.
    async fn hold(&self, request: &str) -> Raw<DuplexStream> {
        let mut client = self.pipes.connect(64 * 1024);
        client.send(request).await;
        self.held().await;
        client
    }

    async fn held(&self) {
        until("it is held", || !self.holds.lock().is_empty()).await;
        settle().await;
        assert_eq!(
            self.server.stats.parked(),
            u64::from(self.parking != Parking::Off)
        );
    }
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// What came, without the date, and the chunks of a body made one.
fn normal(wire: &[u8]) -> String {
    let text = String::from_utf8_lossy(wire).into_owned();
    let Some((head, mut body)) = text.split_once("\r\n\r\n") else {
        return text;
    };
    let head: Vec<&str> = head
        .lines()
        .filter(|line| !line.to_lowercase().starts_with("date:"))
        .collect();
    let mut normal = head.join("\n") + "\n\n";
    if !head
        .iter()
        .any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"))
    {
        return normal + body;
    }
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return normal + "<end>" + rest;
        }
        normal.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").expect("a chunk's end");
    }
    normal + body
}

/// Runs a script each way, and compares.
async fn same<F: Future<Output = Vec<u8>>>(script: impl Fn(World) -> F) -> String {
    let [unparked, parked @ ..] = WAYS;
    let unparked = normal(&soon(script(World::new(unparked))).await);
    for way in parked {
        assert_eq!(normal(&soon(script(World::new(way))).await), unparked, "{way:?}");
    }
    unparked
}

const GET: &str = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_held_answer_is_the_same_on_the_wire() {
    let wire = same(|world| async move {
        let mut client = world.hold(GET).await;
        for text in ["a", "bc", "0123456789abcdef"] {
            world.say(text);
            settle().await;
        }
        // Several at once, and nothing at all.
        for text in ["x", "", "y"] {
            world.say(text);
        }
        world.end();
        let wire = client.rest().await;
        until("it is gone", || world.server.stats.open() == 0).await;
        assert_eq!(world.server.stats.parked(), 0);
        wire
    })
    .await;
    assert_eq!(
        wire,
        "HTTP/1.1 200 OK\nconnection: close\ntransfer-encoding: chunked\n\nabc0123456789abcdefxy<end>\r\n"
    );
}

#[tokio::test]
async fn so_it_is_to_a_client_of_http_1_0_which_sees_its_end_by_the_connection() {
    let wire = same(|world| async move {
        let mut client = world.hold("GET /hold HTTP/1.0\r\nHost: a\r\n\r\n").await;
        world.say("a");
        settle().await;
        world.say("b");
        world.end();
        client.rest().await
    })
    .await;
    assert!(wire.ends_with("\n\nab"), "{wire}");
}

#[tokio::test]
async fn a_body_that_breaks_off_has_no_end() {
    let wire = same(|world| async move {
        let mut client = world.hold(GET).await;
        world.say("a");
        settle().await;
        world.say("b");
        world.fail();
        client.rest().await
    })
    .await;
    assert!(wire.ends_with("\n\nab"), "{wire}");
}

#[tokio::test]
async fn trailers_that_nobody_announced_stay_away() {
    let wire = same(|world| async move {
        let mut client = world.hold(GET).await;
        world.say("a");
        settle().await;
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        let _ = world.last().send(Ok(Frame::trailers(trailers)));
        world.end();
        client.rest().await
    })
    .await;
    assert!(wire.ends_with("\n\na<end>\r\n"), "{wire}");
}

#[tokio::test]
async fn requests_come_before_a_hold_and_none_after_it() {
    let wire = same(|world| async move {
        let mut client = world.pipes.connect(64 * 1024);
        let post = "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let plain = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(plain).await;
        let mut wire = client.answer().await.body;
        // The last of these is not answered.
        client.send(format!("{post}{plain}")).await;
        world.held().await;
        world.say("a");
        settle().await;
        client.send(plain).await;
        world.say("b");
        settle().await;
        world.end();
        wire.extend(client.rest().await);
        wire
    })
    .await;
    assert!(wire.starts_with("plainHTTP/1.1 200"), "{wire}");
    assert!(wire.ends_with("ab<end>\r\n"), "{wire}");
}

#[tokio::test]
async fn what_a_socket_does_not_take_at_once_follows_in_order() {
    let long: String = (0..200_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    for (pipe, piece) in [(1, 50), (7, 1_000), (1_000, 100_000)] {
        let mut wires = Vec::new();
        for parking in WAYS {
            let world = World::new(parking);
            let mut client = world.pipes.connect(pipe);
            client.send(GET).await;
            let head = soon(client.head()).await;
            world.held().await;
            let text = &long[..piece * 2];
            for piece in text.as_bytes().chunks(piece) {
                world.say(std::str::from_utf8(piece).expect("text"));
            }
            settle().await;
            world.end();
            let body = soon(client.rest()).await;
            let wire = normal(&[head.as_bytes(), &body].concat());
            assert!(
                wire.ends_with(&format!("\n\n{text}<end>\r\n")),
                "{pipe} {parking:?}"
            );
            wires.push(wire);
        }
        assert_eq!(wires[0], wires[1]);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    for parking in WAYS {
        // Closed, and half-closed: for a hold both mean gone.
        for half in [false, true] {
            let world = World::new(parking);
            let mut client = world.hold(GET).await;
            let hold = world.last();
            if half {
                client.io.shutdown().await.expect("a pipe");
                soon(hold.closed()).await;
            } else {
                drop(client);
                soon(hold.closed()).await;
            }
            until("it is gone", || world.server.stats.open() == 0).await;
            assert_eq!(world.server.stats.parked(), 0);
        }
    }
}

#[tokio::test]
async fn one_that_sent_more_than_is_read_ahead_is_noticed_too() {
    for (parking, upgrade) in [
        (Parking::Lots, ""),
        (Parking::Tasks, ""),
        (Parking::Off, ""),
        (Parking::Off, "Connection: upgrade\r\nUpgrade: h2c\r\n"),
    ] {
        let get = GET.replace("\r\n\r\n", &format!("\r\n{upgrade}\r\n"));
        let world = World::new(parking);
        let mut client = world.hold(&get).await;
        client.send("x".repeat(5_000)).await;
        world.say("a");
        settle().await;
        let hold = world.last();
        assert!(!hold.is_closed());
        drop(client);
        soon(hold.closed()).await;
        // With the request already, and before it is parked.
        let client = world.hold(&format!("{get}{}", "x".repeat(5_000))).await;
        let hold = world.last();
        drop(client);
        soon(hold.closed()).await;
        // Before its answer, and again and again.
        let mut client = world.hold(&format!("{get}{}", "x".repeat(5_000))).await;
        let hold = world.last();
        for _ in 0..10 {
            client.send("x".repeat(5_000)).await;
            settle().await;
        }
        assert!(!hold.is_closed());
        client.io.shutdown().await.expect("a pipe");
        soon(hold.closed()).await;
        // And one that never stops is cut.
        let mut client = world.hold(&get).await;
        let hold = world.last();
        let junk = vec![b'x'; 70 * 1024];
        let _ = soon(client.io.write_all(&junk)).await;
        soon(hold.closed()).await;
    }
}

/// One that waits for a message is no stalled reader, whatever it sent.
#[tokio::test(start_paused = true)]
async fn one_that_sent_more_than_is_read_ahead_may_wait_for_as_long_as_others() {
    for parking in WAYS {
        let world = World::new(parking);
        let mut client = world.hold(&format!("{GET}{}", "x".repeat(5_000))).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        world.say("a");
        world.end();
        assert!(
            client.rest().await.ends_with(b"1\r\na\r\n0\r\n\r\n"),
            "{parking:?}"
        );
        assert_eq!(world.server.stats.stalled(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stands_still_is_cut() {
    for parking in WAYS {
        let world = World::new(parking);
        let mut client = world.pipes.connect(512);
        client.send(GET).await;
        client.head().await;
        world.held().await;
        let hold = world.last();
        world.say(&"x".repeat(10_000));
        let start = tokio::time::Instant::now();
        hold.closed().await;
        assert_eq!(
            (start.elapsed().as_secs(), world.server.stats.stalled()),
            (30, 1),
            "{parking:?}"
        );
        drop(client);
        // One that takes a little from time to time goes on.
        let world = World::new(parking);
        let mut client = world.pipes.connect(512);
        client.send(GET).await;
        client.head().await;
        world.held().await;
        let hold = world.last();
        world.say(&"x".repeat(10_000));
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let mut some = [0; 256];
            assert!(client.io.read(&mut some).await.expect("a pipe") > 0);
        }
        assert!(!hold.is_closed());
        assert_eq!(world.server.stats.stalled(), 0, "{parking:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_is_parked_and_then_cuts_it() {
    for parking in WAYS {
        let mut world = World::new(parking);
        let mut client = world.hold(GET).await;
        let hold = world.last();
        world.server.begin_drain();
        settle().await;
        assert!(!hold.is_closed());
        world.say("a");
        assert!(client.head().await.contains("200"));
        assert_eq!(client.bytes(6).await, b"1\r\na\r\n");
        hold.closed().await;
        let drained = world.server.drained().await;
        assert_eq!((drained.cut, drained.left), (1, 0), "{parking:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_parked_is_held_all_the_same() {
    let unread = "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    for (request, say) in [
        ("GET /length HTTP/1.1\r\nHost: a\r\n\r\n", "abc"),
        (unread, "abc"),
        (
            "GET /hold HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            "abc",
        ),
    ] {
        let world = World::new(Parking::Lots);
        let mut client = world.pipes.connect(64 * 1024);
        client.send(request).await;
        until("it is held", || !world.holds.lock().is_empty()).await;
        settle().await;
        assert_eq!(world.server.stats.parked(), 0, "{request}");
        world.say(say);
        let head = soon(client.head()).await;
        assert!(head.contains("200 OK"), "{request}: {head}");
        world.end();
        let body = soon(client.rest()).await;
        assert!(
            normal(&[head.as_bytes(), &body].concat()).contains(say),
            "{request}"
        );
    }
    // HEAD is answered at once.
    let world = World::new(Parking::Lots);
    let mut client = world.pipes.connect(64 * 1024);
    client.send("HEAD /hold HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(soon(client.head()).await.contains("200 OK"));
    assert_eq!(
        (soon(client.rest()).await, world.server.stats.parked()),
        (Vec::new(), 0)
    );
}

#[tokio::test]
async fn a_request_that_comes_in_chunks_is_read_to_its_end_too() {
    let world = World::new(Parking::Lots);
    let request = "POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let _client = world.hold(request).await;
}

/// DESIGN 7: who has fallen off its log is cut within 10 s, although its body is not polled for a message.
#[tokio::test(start_paused = true)]
async fn s7_a_reader_whose_body_has_broken_off_is_not_waited_for() {
    for parking in [Parking::Tasks, Parking::Lots] {
        let world = World::new(parking);
        let mut client = world.pipes.connect(16);
        client.send(GET).await;
        client.head().await;
        world.held().await;
        world.say(&"x".repeat(1_000));
        settle().await;
        world.fail();
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(world.server.stats.open(), 1, "{parking:?}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let stats = &world.server.stats;
        assert_eq!((stats.open(), stats.stalled()), (0, 0), "{parking:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_again_after_a_while_gets_all_of_it_once() {
    for parking in [Parking::Tasks, Parking::Lots] {
        let world = World::new(parking);
        let mut client = world.pipes.connect(16);
        client.send(GET).await;
        client.head().await;
        world.held().await;
        let mut said = String::new();
        let mut say = |text: String| {
            said.push_str(&text);
            world.say(&text);
        };
        say("x".repeat(1_000));
        for second in 0..29 {
            say(format!("[{second}]"));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        say("[more]".to_owned());
        world.end();
        let body = normal(&[b"transfer-encoding: chunked\r\n\r\n", &client.rest().await[..]].concat());
        assert!(body.ends_with(&format!("{said}<end>\r\n")), "{parking:?}: {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_over_is_let_go_however_slow_its_reader_is() {
    for parking in WAYS {
        let world = World::new(parking);
        let mut client = world.pipes.connect(16);
        client.send(GET).await;
        until("it is held", || !world.holds.lock().is_empty()).await;
        // More than the pipe takes, so that it is not parked, and less than is kept for a slow reader.
        world.say(&"x".repeat(1_000));
        let hold = world.last();
        world.fail();
        client.bytes(1).await;
        settle().await;
        assert!(hold.is_closed(), "{parking:?}");
    }
    // Nor does it matter that it was parked before.
    for parking in WAYS {
        let world = World::new(parking);
        let mut client = world.pipes.connect(16);
        client.send(GET).await;
        client.head().await;
        world.held().await;
        world.say(&"x".repeat(1_000));
        let hold = world.last();
        world.fail();
        client.bytes(1).await;
        settle().await;
        assert!(hold.is_closed(), "{parking:?}");
    }
}

/// Its end is never taken.
struct Stuck(DuplexStream);

struct StuckListener(PipeListener);

impl gripstack::serve::Listener for StuckListener {
    type Io = Stuck;

    async fn accept(&mut self) -> std::io::Result<(Stuck, gripstack::serve::Peer)> {
        self.0.accept().await.map(|(io, peer)| (Stuck(io), peer))
    }
}

impl tokio::io::AsyncRead for Stuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Stuck {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_connection_has_a_time_limit() {
    let all = WAYS.map(|parking| (parking, false));
    for (parking, leaves) in all
        .into_iter()
        .chain([(Parking::Lots, true), (Parking::Tasks, true)])
    {
        let service = service(|_| async {
            let (tell, told) = mpsc::unbounded_channel::<Step>();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                drop(tell);
            });
            let mut response =
                Response::new(EdgeBody::new(StreamBody::new(UnboundedReceiverStream::new(told))));
            response.extensions_mut().insert(Held);
            response
        });
        let (pipes, listener) = Pipes::new();
        let server = Server::start(serve(StuckListener(listener), service).parking(parking), PATIENCE);
        let start = tokio::time::Instant::now();
        let mut client = pipes.connect(4_096);
        client.send(GET).await;
        client.head().await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(server.stats.open(), 1);
        if leaves {
            client.io.shutdown().await.expect("a pipe");
        }
        while server.stats.open() > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(start.elapsed().as_secs() < 60, "{parking:?}: for ever");
        }
        assert_eq!(server.stats.stalled(), u64::from(!leaves), "{parking:?}");
    }
}

/// The text of a body, chunked or not, that may be cut anywhere.
fn chunks(wire: &str) -> Vec<&str> {
    let Some((head, body)) = wire.split_once("\r\n\r\n") else {
        return Vec::new();
    };
    if !head.contains("chunked") {
        return vec![body];
    }
    let is_text = |line: &&str| line.bytes().all(|byte| byte.is_ascii_lowercase());
    body.split("\r\n").skip(1).step_by(2).filter(is_text).collect()
}

/// Chances that are the same each time.
struct Chances(u64);

impl Chances {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Keeps what it takes until it is flushed, as TLS does, takes little at a time, and is often busy.
struct Moody {
    io: DuplexStream,
    kept: Vec<u8>,
    chances: Chances,
}

impl Moody {
    fn is_busy(&mut self, cx: &mut Context<'_>) -> bool {
        let busy = self.chances.below(3) == 0;
        if busy {
            cx.waker().wake_by_ref();
        }
        busy
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Self { io, kept, .. } = self;
        while !kept.is_empty() {
            let written = std::task::ready!(Pin::new(&mut *io).poll_write(cx, kept))?;
            kept.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

struct MoodyListener(PipeListener, Chances);

impl gripstack::serve::Listener for MoodyListener {
    type Io = Moody;

    async fn accept(&mut self) -> std::io::Result<(Moody, gripstack::serve::Peer)> {
        let (io, peer) = self.0.accept().await?;
        let moody = Moody {
            io,
            kept: Vec::new(),
            chances: Chances(self.1.below(u64::MAX) | 1),
        };
        Ok((moody, peer))
    }
}

impl tokio::io::AsyncRead for Moody {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.is_busy(cx) {
            true => Poll::Pending,
            false => Pin::new(&mut self.io).poll_read(cx, buf),
        }
    }
}

impl tokio::io::AsyncWrite for Moody {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.is_busy(cx) {
            return Poll::Pending;
        }
        if self.kept.len() >= 256 {
            std::task::ready!(self.poll_empty(cx))?;
        }
        let taken = buf.len().min(1 + self.chances.below(64) as usize);
        self.kept.extend(&buf[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.is_busy(cx) {
            return Poll::Pending;
        }
        std::task::ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        std::task::ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Whatever the moment at which a connection is parked: each byte once and in order, and an end where there was one.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_doubled_however_a_socket_behaves() {
    for seed in 1..=200_u64 {
        let mut chances = Chances(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let is_old = chances.below(3) == 0;
        let breaks = chances.below(4) == 0;
        let (tell, told) = mpsc::unbounded_channel::<Step>();
        let told = Arc::new(Mutex::new(Some(told)));
        let service = service(move |_| {
            let told = told.lock().take().expect("asked once");
            async move {
                let mut response =
                    Response::new(EdgeBody::new(StreamBody::new(UnboundedReceiverStream::new(told))));
                response.extensions_mut().insert(Held);
                response
            }
        });
        let (pipes, listener) = Pipes::new();
        let moody = MoodyListener(listener, Chances(seed));
        let server = Server::start(serve(moody, service), PATIENCE);
        let client = pipes.connect([1, 3, 64, 4096][chances.below(4) as usize]);
        let version = if is_old { "1.0" } else { "1.1" };
        let (mut reader, mut writer) = tokio::io::split(client.io);
        let sending = async move {
            let request = format!("GET /hold HTTP/{version}\r\nHost: a\r\n\r\n");
            writer.write_all(request.as_bytes()).await.expect("a pipe");
            // Its client goes on, before and after it is parked.
            let _ = writer.write_all(b"GET /more HTTP/1.1\r\nHost: a\r\n\r\n").await;
            writer
        };
        let mut pauses = Chances(chances.below(u64::MAX) | 1);
        let reading = async move {
            let mut wire = Vec::new();
            let mut piece = [0; 37];
            loop {
                for _ in 0..pauses.below(20) {
                    tokio::task::yield_now().await;
                }
                match reader.read(&mut piece).await.expect("a pipe") {
                    0 => return wire,
                    n => wire.extend(&piece[..n]),
                }
            }
        };
        let telling = async {
            let mut all = Vec::new();
            for _ in 0..chances.below(12) {
                for _ in 0..chances.below(60) {
                    tokio::task::yield_now().await;
                }
                let len = [1, 5, 300][chances.below(3) as usize];
                let text: Vec<u8> = (0..len).map(|_| b'a' + chances.below(26) as u8).collect();
                all.extend(&text);
                tell.send(Ok(Frame::data(text.into()))).expect("it is read");
            }
            if breaks {
                let _ = tell.send(Err("broken".into()));
            }
            drop(tell);
            all
        };
        let (writer, wire, said) = soon(async { tokio::join!(sending, reading, telling) }).await;
        drop(writer);
        let said = String::from_utf8(said).expect("text");
        let wire = String::from_utf8(wire).expect("text");
        if breaks {
            // What was not yet written is lost with it, but there is no end.
            let text: String = chunks(&wire).concat();
            assert!(
                said.starts_with(&text) && !wire.contains("\r\n0\r\n"),
                "{seed}: {said:?} is not {wire:?}"
            );
        } else {
            let wire = normal(wire.as_bytes());
            let end = if is_old { "" } else { "<end>\r\n" };
            assert!(
                wire.ends_with(&format!("\n\n{said}{end}")),
                "{seed}: {said:?} is not {wire:?}"
            );
        }
        until("it is gone", || server.stats.open() == 0).await;
        assert_eq!(server.stats.parked(), 0);
    }
}

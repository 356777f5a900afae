//! Help for the tests of `serve`: servers to talk to, and a client that speaks in bytes.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod http2;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gripstack::EdgeBody;
use gripstack::serve::{Drained, Limits, Listener, Peer, Serve, Stats, serve};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tower::util::BoxCloneSyncService;

/// How long a test waits for what must come soon.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub type BoxService = BoxCloneSyncService<Request<EdgeBody>, Response<EdgeBody>, gripstack::BoxError>;

/// A running server.
pub struct Server {
    pub stats: Stats,
    drain: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<Drained>>,
}

impl Server {
    pub fn start<L, S>(server: Serve<L, S>, deadline: Duration) -> Self
    where
        L: Listener,
        Serve<L, S>: IntoFuture<Output = std::io::Result<Drained>, IntoFuture: Send + 'static>,
    {
        let stats = server.stats();
        let (drain, signal) = oneshot::channel::<()>();
        let task = tokio::spawn(server.drain(signal, deadline).into_future());
        Self {
            stats,
            drain: Some(drain),
            task,
        }
    }

    pub fn begin_drain(&mut self) {
        let drain = self.drain.take().expect("drained once");
        drain.send(()).expect("the server runs");
    }

    pub async fn drained(mut self) -> Drained {
        let drained = soon(&mut self.task).await.expect("the server does not panic");
        drained.expect("there is no error")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server on loopback.
pub async fn start_tcp(service: BoxService, limits: Limits) -> (SocketAddr, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let server = serve(listener, service).limits(limits);
    (addr, Server::start(server, PATIENCE))
}

/// A server on pipes in memory, for tests on a paused clock.
pub fn start_pipes(service: BoxService, limits: Limits) -> (Pipes, Server) {
    let (pipes, listener) = Pipes::new();
    (
        pipes,
        Server::start(serve(listener, service).limits(limits), PATIENCE),
    )
}

/// The client's end of a [`PipeListener`].
pub struct Pipes(mpsc::UnboundedSender<DuplexStream>);

pub struct PipeListener(mpsc::UnboundedReceiver<DuplexStream>);

impl Pipes {
    pub fn new() -> (Self, PipeListener) {
        let (tx, rx) = mpsc::unbounded_channel();
        (Self(tx), PipeListener(rx))
    }

    /// A connection whose pipe holds so many bytes each way.
    pub fn connect(&self, capacity: usize) -> Raw<DuplexStream> {
        let (client, server) = tokio::io::duplex(capacity);
        self.0.send(server).expect("the server runs");
        Raw::new(client)
    }
}

impl Listener for PipeListener {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        match self.0.recv().await {
            Some(stream) => Ok((stream, Peer::new(nowhere, nowhere))),
            None => std::future::pending().await,
        }
    }
}

/// Answers what it saw: `method target body`, and counts.
pub fn echo() -> (BoxService, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let service = tower::service_fn(move |request: Request<EdgeBody>| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let text = format!("{} {} {}\n", parts.method, parts.uri, body.escape_ascii());
            Ok::<_, gripstack::BoxError>(Response::new(EdgeBody::from(text)))
        }
    });
    (BoxService::new(service), seen)
}

/// A service of a function that cannot fail.
pub fn service<F, Fut>(f: F) -> BoxService
where
    F: Fn(Request<EdgeBody>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<EdgeBody>> + Send + 'static,
{
    BoxService::new(tower::service_fn(move |request| {
        let answer = f(request);
        async move { Ok::<_, gripstack::BoxError>(answer.await) }
    }))
}

/// A body that breaks off before its first byte.
pub struct Broken;

impl http_body::Body for Broken {
    type Data = bytes::Bytes;
    type Error = gripstack::BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, gripstack::BoxError>>> {
        std::task::Poll::Ready(Some(Err("broken".into())))
    }
}

/// A client that speaks in bytes.
pub struct Raw<T> {
    pub io: T,
    read: Vec<u8>,
}

/// An answer as it stood on the wire: the head with its empty line, the body decoded.
#[derive(Debug)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status line")
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

pub async fn connect(addr: SocketAddr) -> Raw<TcpStream> {
    let stream = soon(TcpStream::connect(addr)).await.expect("connects");
    stream.set_nodelay(true).expect("a socket");
    Raw::new(stream)
}

impl<T: AsyncRead + AsyncWrite + Unpin> Raw<T> {
    pub fn new(io: T) -> Self {
        Self { io, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.io.write_all(bytes.as_ref()))
            .await
            .expect("the server reads");
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        self.io
            .read_buf(&mut self.read)
            .await
            .expect("the server does not reset")
            > 0
    }

    async fn take_until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return self.read.drain(..at + end.len()).collect();
            }
            assert!(
                self.more().await,
                "ended early after {}",
                self.read.escape_ascii()
            );
        }
    }

    async fn take(&mut self, len: usize) -> Vec<u8> {
        while self.read.len() < len {
            assert!(
                self.more().await,
                "ended early after {}",
                self.read.escape_ascii()
            );
        }
        self.read.drain(..len).collect()
    }

    /// A head, with its empty line.
    pub async fn head(&mut self) -> String {
        let head = self.take_until(b"\r\n\r\n").await;
        String::from_utf8(head).expect("text")
    }

    /// A line, without its end.
    pub async fn line(&mut self) -> String {
        let line = self.take_until(b"\r\n").await;
        String::from_utf8(line).expect("text").trim_end().to_owned()
    }

    /// An answer with its body.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = Answer {
            head: self.head().await,
            body: Vec::new(),
        };
        if let Some(length) = answer.field("content-length") {
            let length = length.parse().expect("a number");
            answer.body = self.take(length).await;
        } else if answer.field("transfer-encoding").is_some() {
            loop {
                let size = self.take_until(b"\r\n").await;
                let size = std::str::from_utf8(&size).expect("text").trim_end();
                let size = usize::from_str_radix(size, 16).expect("a size");
                let chunk = self.take(size + 2).await;
                answer.body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        }
        answer
    }

    /// Everything up to the end of the stream, which must not be a reset.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Some bytes.
    pub async fn bytes(&mut self, len: usize) -> Vec<u8> {
        self.take(len).await
    }
}

/// Waits, but not for ever.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Waits until it holds, by looking again.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::SystemTime::now();
    while !holds() {
        let waited = start.elapsed().unwrap_or_default();
        assert!(waited < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An error that a test service may return.
pub fn never(error: Infallible) -> gripstack::BoxError {
    match error {}
}

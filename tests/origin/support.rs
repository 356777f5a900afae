//! A scripted origin on a raw socket, and a client for the service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gripstack::EdgeBody;
use gripstack::error::{BoxError, ERROR_HEADER, OriginError, OriginFailure};
use gripstack::origin::{Builder, Origin};
use http::{Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An origin that plays a script on each connection.
pub struct RawOrigin {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    heads: Vec<String>,
    /// Scripts that ran to their end.
    played: usize,
    /// Scripts that panicked.
    failed: usize,
}

/// One connection of an origin.
pub struct Conn {
    /// Counted from 0.
    pub number: usize,
    stream: TcpStream,
    buffer: Vec<u8>,
    seen: Arc<Mutex<Seen>>,
}

impl RawOrigin {
    pub async fn new<F, Fut>(script: F) -> Self
    where
        F: Fn(Conn) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let connections = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut seen = connections.lock();
                    seen.connections += 1;
                    seen.connections - 1
                };
                let playing = tokio::spawn(script(Conn {
                    number,
                    stream,
                    buffer: Vec::new(),
                    seen: connections.clone(),
                }));
                let seen = connections.clone();
                tokio::spawn(async move {
                    let result = playing.await;
                    let mut seen = seen.lock();
                    match result {
                        Ok(()) => seen.played += 1,
                        Err(_) => seen.failed += 1,
                    }
                });
            }
        });
        Self { addr, seen }
    }

    /// Answers each request on each connection with these bytes, and keeps the connection.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::new(move |mut conn| {
            let answer = answer.clone();
            async move {
                while conn.head().await.is_some() {
                    conn.send(&answer).await;
                }
            }
        })
        .await
    }

    /// Answers one request on each connection with these bytes, and closes.
    pub async fn closing(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::new(move |mut conn| {
            let answer = answer.clone();
            async move {
                conn.head().await;
                conn.send(&answer).await;
            }
        })
        .await
    }

    /// Waits until a script has been played to its end, or has failed.
    pub async fn played(&self) {
        eventually("a script is played", || {
            let seen = self.seen.lock();
            seen.played + seen.failed > 0
        })
        .await;
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn origin(&self) -> Origin {
        self.builder().build().unwrap()
    }

    pub fn builder(&self) -> Builder {
        Origin::builder().route("*", &self.url())
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().connections
    }

    /// The heads of all requests so far, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.seen.lock().heads.clone()
    }

    /// The head of the only request.
    pub fn head(&self) -> String {
        let heads = self.heads();
        assert_eq!(heads.len(), 1, "one request at the origin");
        heads[0].clone()
    }
}

impl Drop for RawOrigin {
    /// What a script asserts counts.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.seen.lock().failed, 0, "a script failed");
        }
    }
}

impl Conn {
    /// Reads the head of a request; none at the end of the connection.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let head = String::from_utf8(head).unwrap();
                self.seen.lock().heads.push(head.clone());
                return Some(head);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads until these bytes have come; says all up to their end.
    pub async fn until(&mut self, wanted: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = find(&self.buffer, wanted) {
                return self.buffer.drain(..at + wanted.len()).collect();
            }
            assert!(self.fill().await, "ended before {wanted:?}");
        }
    }

    /// Reads until the connection ends, however it does.
    pub async fn end(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Keeps the connection open and silent.
    pub async fn hang(self) {
        std::future::pending::<()>().await;
    }

    /// Closes with a reset instead of an end.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    async fn fill(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(read) if read > 0)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A GET without anything.
pub fn get(path: &str) -> Request<EdgeBody> {
    let request = Request::get(path).header("host", "client.example");
    request.body(EdgeBody::empty()).unwrap()
}

pub async fn send(origin: &Origin, request: Request<EdgeBody>) -> Response<EdgeBody> {
    let answer = tokio::time::timeout(PATIENCE, origin.clone().oneshot(request));
    answer.await.expect("an answer in time").unwrap()
}

/// The whole body, or what it broke off with.
pub async fn read(response: Response<EdgeBody>) -> Result<String, BoxError> {
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect());
    let body = body.await.expect("an end in time")?;
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

/// What came of a body, and why it ended early.
pub async fn read_broken(response: Response<EdgeBody>) -> (Vec<u8>, Option<OriginFailure>) {
    let mut body = response.into_body();
    let mut got = Vec::new();
    loop {
        let frame = tokio::time::timeout(PATIENCE, body.frame());
        match frame.await.expect("a frame in time") {
            None => return (got, None),
            Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(error)) => {
                let error = error.downcast::<OriginError>().expect("a typed error");
                return (got, Some(error.failure));
            }
        }
    }
}

/// Checks that a response stands for this failure, in all the places that say so.
pub async fn assert_failure(response: Response<EdgeBody>, failure: OriginFailure) {
    let error = response.extensions().get::<OriginError>().cloned();
    assert_eq!(
        error.as_ref().map(|error| error.failure),
        Some(failure),
        "{error:?}"
    );
    assert_eq!(response.status(), failure.status());
    assert_eq!(response.headers()[ERROR_HEADER], failure.as_str());
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let length = response.headers()["content-length"].to_str().unwrap().to_owned();
    let body = read(response).await.unwrap();
    assert_eq!(body.len().to_string(), length);
    assert!(body.ends_with('\n'), "{body:?}");
}

/// Polls until something holds.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let patience = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    patience.await.unwrap_or_else(|_| panic!("never: {what}"));
}

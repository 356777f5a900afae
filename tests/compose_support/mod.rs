//! Help for the tests of composition: an application, a client, and ears for what is logged.
#![allow(dead_code, reason = "each test file uses its part")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use gripstack::grip::Instruct;
use gripstack::{BoxError, Channel, EdgeBody, Message};
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::util::BoxCloneSyncService;

/// How long a test waits for what must come soon.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Who may publish and purge.
pub const TOKEN: &str = "secret";

/// A stack without its type.
pub type Boxed = BoxCloneSyncService<Request<EdgeBody>, Response<EdgeBody>, Infallible>;

/// What connects, and sends our body.
pub type Connects = HyperClient<HttpConnector, EdgeBody>;

pub fn channel(name: &str) -> Channel {
    Channel::new(name).expect("a good name")
}

/// Waits, but not for ever.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Instructions to hold a stream on this channel.
pub fn stream_headers(name: &str) -> HeaderMap {
    let instruct = Instruct::stream().channel(name);
    instruct.into_headers().expect("good instructions")
}

/// An application that knows GRIP. `/stream/X` is a stream on channel X, `/poll/X` a long poll on it, anything else
/// is text that may be cached for an hour and says how often the application was asked.
#[derive(Clone, Default)]
pub struct App(Arc<AtomicUsize>);

impl App {
    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub fn answer<B>(&self, request: &Request<B>) -> Response<EdgeBody> {
        let n = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let path = request.uri().path();
        let mut response = Response::new(EdgeBody::from(format!("{path} {n}\n")));
        let headers = response.headers_mut();
        if let Some(name) = path.strip_prefix("/stream/") {
            *headers = stream_headers(name);
        } else if let Some(name) = path.strip_prefix("/poll/") {
            let instruct = Instruct::response().channel(name);
            *headers = instruct.into_headers().expect("good instructions");
        } else {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("s-maxage=3600"));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    }

    /// As a service below our layers.
    pub fn service(&self) -> Boxed {
        self.service_of()
    }

    /// As a service of any request body.
    pub fn service_of<B: 'static>(&self) -> BoxCloneSyncService<Request<B>, Response<EdgeBody>, Infallible> {
        let app = self.clone();
        BoxCloneSyncService::new(tower::service_fn(move |request| {
            std::future::ready(Ok(app.answer(&request)))
        }))
    }
}

/// A response that is read bit by bit.
pub struct Live {
    pub headers: HeaderMap,
    pub status: u16,
    body: EdgeBody,
    read: Vec<u8>,
}

impl Live {
    pub fn new<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = response.into_parts();
        Self {
            headers: parts.headers,
            status: parts.status.as_u16(),
            body: EdgeBody::new(body),
            read: Vec::new(),
        }
    }

    /// Reads until the end of this text, and returns all that came up to it.
    pub async fn until(&mut self, text: &str) -> String {
        let end = text.as_bytes();
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                let came = self.read.drain(..at + end.len()).collect();
                return String::from_utf8(came).expect("text");
            }
            let frame = soon(self.body.frame()).await;
            let frame = frame.unwrap_or_else(|| panic!("ended after {}", self.read.escape_ascii()));
            if let Ok(data) = frame.expect("no error").into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }

    /// Reads all.
    pub async fn text(self) -> String {
        let rest = soon(self.body.collect()).await.expect("whole").to_bytes();
        String::from_utf8([self.read, rest.to_vec()].concat()).expect("text")
    }

    pub fn field(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }
}

/// A client of one server.
pub struct Client {
    addr: SocketAddr,
    client: Connects,
}

impl Client {
    pub fn new(addr: SocketAddr) -> Self {
        let client = HyperClient::builder(TokioExecutor::new()).build_http();
        Self { addr, client }
    }

    /// Over HTTP/2 with prior knowledge.
    pub fn http2(addr: SocketAddr) -> Self {
        let client = HyperClient::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http2_only(true)
            .build_http();
        Self { addr, client }
    }

    pub async fn send(&self, mut request: Request<EdgeBody>) -> Live {
        let uri = format!("http://{}{}", self.addr, request.uri());
        *request.uri_mut() = uri.parse().expect("a URI");
        Live::new(soon(self.client.request(request)).await.expect("an answer"))
    }

    pub async fn get(&self, path: &str) -> Live {
        self.send(get(path)).await
    }
}

pub fn get(path: &str) -> Request<EdgeBody> {
    let request = Request::get(path).body(EdgeBody::empty());
    request.expect("a request")
}

/// A request from somebody who may publish and purge.
pub fn request(method: Method, path: &str, body: &'static str) -> Request<EdgeBody> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(ACCEPT, "*/*")
        .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
        .body(EdgeBody::from(body))
        .expect("a request")
}

/// The method `PURGE`.
pub fn purge(path: &str) -> Request<EdgeBody> {
    request(Method::from_bytes(b"PURGE").expect("a method"), path, "")
}

/// A publish of one line to a channel.
pub fn publish(name: &str, line: &str) -> Request<EdgeBody> {
    let item = serde_json::json!({"items": [{"channel": name, "formats": {
        "http-stream": {"content": format!("{line}\n")},
        "http-response": {"body": format!("{line}\n")},
    }}]});
    request(Method::POST, "/publish", "").map(|_| EdgeBody::from(item.to_string()))
}

/// A line for those who hold.
pub fn line(text: &str) -> Message {
    Message::line(text)
}

/// Hears what this thread logs, at level `WARN` and above, while the returned guard lives.
pub fn listen() -> (Heard, tracing::subscriber::DefaultGuard) {
    // Somebody must always listen, or a callsite that another thread reaches first is switched off for all.
    static ALWAYS: OnceLock<()> = OnceLock::new();
    ALWAYS.get_or_init(|| {
        let nobody = tracing_subscriber::fmt().with_writer(std::io::sink);
        let _ = tracing::subscriber::set_global_default(nobody.finish());
    });
    let heard = Heard::default();
    let writer = heard.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    (heard, guard)
}

/// What was logged.
#[derive(Clone, Default)]
pub struct Heard(Arc<parking_lot::Mutex<Vec<u8>>>);

impl Heard {
    pub fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().clone()).expect("text");
        text.lines().map(str::to_owned).collect()
    }
}

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

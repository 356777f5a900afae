//! An edge with a cache in front of a scripted origin, and clients of it.

use std::time::Duration;

use bytes::Bytes;
use gripstack::cache::{CacheConfig, EdgeCache};
use gripstack::handoff::{AskedByHold, Handoff};
use gripstack::{Channel, Edge, EdgeBody, Message, Position, PurgeMode, Target, Url};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use tower::{Layer, Service, ServiceExt};

use crate::origin::{Call, Origin, Refused, Reply};

pub const HOST: &str = "example.com";

/// Everything of one test.
pub struct World<E: Send + 'static = Refused> {
    pub edge: Edge,
    pub origin: Origin<E>,
    pub service: EdgeCache<Origin<E>>,
}

/// What a client got.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub handoff: Option<Handoff>,
    /// What else came along: while it is kept, the client's hold lives.
    #[expect(dead_code, reason = "it is only kept")]
    pub extensions: http::Extensions,
    pub body: String,
    pub trailers: Option<HeaderMap>,
    /// The body broke off.
    pub broken: bool,
}

/// A request, before it is sent.
pub struct Ask(Request<EdgeBody>);

// === impl World ===

impl World {
    pub fn new(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(CacheConfig::default(), Origin::new(script))
    }

    pub fn config(config: CacheConfig, script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(config, Origin::new(script))
    }
}

impl<E: std::fmt::Debug + Send + 'static> World<E> {
    pub fn with(config: CacheConfig, origin: Origin<E>) -> Self {
        let edge = Edge::builder().cache(config).build();
        let service = edge.cache_layer().layer(origin.clone());
        Self {
            edge,
            origin,
            service,
        }
    }

    /// Calls the service, and does not poll what it gives.
    pub fn call(&self, ask: impl Into<Ask>) -> <EdgeCache<Origin<E>> as Service<Request<EdgeBody>>>::Future {
        self.service.clone().call(ask.into().0)
    }

    pub async fn try_response(&self, ask: impl Into<Ask>) -> Result<Response<EdgeBody>, E> {
        self.service.clone().oneshot(ask.into().0).await
    }

    pub async fn response(&self, ask: impl Into<Ask>) -> Response<EdgeBody> {
        self.try_response(ask).await.expect("the service answers")
    }

    pub async fn get(&self, ask: impl Into<Ask>) -> Got {
        Got::of(self.response(ask).await).await
    }

    /// Starts a request, and lets it get as far as it can at this moment.
    pub async fn start(&self, ask: impl Into<Ask>) -> JoinHandle<Got> {
        let service = self.service.clone();
        let request = ask.into().0;
        let task = tokio::spawn(async move {
            let response = service.oneshot(request).await.expect("the service answers");
            Got::of(response).await
        });
        settle().await;
        task
    }

    pub async fn purge(&self, target: Target, mode: PurgeMode) -> Position {
        self.edge.purge(target, mode).await.expect("accepted")
    }

    pub async fn purge_url(&self, path: &str, mode: PurgeMode) -> Position {
        self.purge(Target::Url(Url::new(HOST, path)), mode).await
    }

    pub async fn purge_key(&self, key: &str, mode: PurgeMode) -> Position {
        self.purge(Target::Key(key.into()), mode).await
    }

    pub async fn publish(&self, name: &str) -> Position {
        let message = Message::bytes("news");
        self.edge.publish(channel(name), message).await.expect("accepted")
    }

    /// Nothing is under way, and nothing is left of what was. Call after [`settle`].
    #[track_caller]
    pub fn is_idle(&self) {
        let stats = self.edge.cache().stats();
        assert_eq!(stats.arriving_bytes, 0, "{stats:?}");
        assert_eq!(self.origin.open_calls(), 0, "requests at the origin");
        assert_eq!(self.origin.open_bodies(), 0, "bodies from the origin");
    }

    /// And nothing is remembered.
    #[track_caller]
    pub fn is_empty(&self) {
        self.is_idle();
        let stats = self.edge.cache().stats();
        assert_eq!((stats.urls, stats.entries), (0, 0), "{stats:?}");
    }
}

// === impl Ask ===

pub fn get(path: &str) -> Ask {
    ask(Method::GET, path)
}

pub fn head(path: &str) -> Ask {
    ask(Method::HEAD, path)
}

pub fn post(path: &str) -> Ask {
    ask(Method::POST, path)
}

pub fn ask(method: Method, path: &str) -> Ask {
    let mut request = Request::new(EdgeBody::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a path");
    Ask(request).header("host", HOST)
}

impl Ask {
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().expect("a value");
        self.0.headers_mut().append(name, value);
        self
    }

    /// Another one than `example.com`.
    pub fn host(mut self, host: &str) -> Self {
        self.0.headers_mut().insert("host", host.parse().expect("a host"));
        self
    }

    pub fn body(self, body: &'static str) -> Self {
        Self(self.0.map(|_| EdgeBody::from(body)))
    }

    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.0.extensions_mut().insert(value);
        self
    }

    /// The hold layer asks.
    pub fn by_hold(self) -> Self {
        self.at_least(Position::ZERO)
    }

    /// The hold layer asks for an answer no older than this.
    pub fn at_least(mut self, at_least: Position) -> Self {
        AskedByHold { at_least }.say(self.0.extensions_mut());
        self
    }

    pub fn into_request(self) -> Request<EdgeBody> {
        self.0
    }
}

impl From<&str> for Ask {
    fn from(path: &str) -> Self {
        get(path)
    }
}

// === impl Got ===

impl Got {
    pub async fn of(response: Response<EdgeBody>) -> Self {
        let (parts, mut body) = response.into_parts();
        let mut got = Self {
            status: parts.status,
            handoff: parts.extensions.get::<Handoff>().cloned(),
            extensions: parts.extensions,
            headers: parts.headers,
            body: String::new(),
            trailers: None,
            broken: false,
        };
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => bytes.extend_from_slice(&data),
                Ok(Err(other)) => got.trailers = other.into_trailers().ok(),
                Err(_) => got.broken = true,
            }
        }
        got.body = String::from_utf8(bytes).expect("text");
        got
    }

    /// A field's only value; the empty string without it.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().expect("ascii"));
        assert!(values.next().is_none(), "{name} is repeated: {:?}", self.headers);
        value
    }

    /// `Cache-Status`.
    #[track_caller]
    pub fn cache_status(&self) -> &str {
        self.field("cache-status")
    }

    #[track_caller]
    pub fn is(self, body: &str, cache_status: &str) -> Self {
        assert_eq!((self.body.as_str(), self.cache_status()), (body, cache_status));
        self
    }

    /// Its body and `Cache-Status`, the latter without the name and the lifetime that is left.
    #[track_caller]
    pub fn in_short(&self) -> (&str, String) {
        let short: Vec<&str> = self
            .cache_status()
            .split("; ")
            .skip(1)
            .filter(|parameter| !parameter.starts_with("ttl="))
            .collect();
        (self.body.as_str(), short.join("; "))
    }

    #[track_caller]
    pub fn expect_short(self, body: &str, status: &str) -> Self {
        assert_eq!(self.in_short(), (body, status.to_owned()));
        self
    }

    #[track_caller]
    pub fn handed(&self) -> &Handoff {
        self.handoff.as_ref().expect("it carries instructions")
    }
}

pub fn channel(name: &str) -> Channel {
    Channel::new(name).expect("a valid name")
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Lets time pass.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
    settle().await;
}

/// Lets every task get as far as it can, at this moment.
pub async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// What a task brought; it must be there within some seconds.
pub async fn done<T>(task: JoinHandle<T>) -> T {
    let patience = tokio::time::timeout(secs(60), task);
    patience.await.expect("in time").expect("no panic")
}

/// A chunk of so many bytes.
pub fn chunk(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

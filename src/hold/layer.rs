//! The layer and its options.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use tower_layer::Layer;

use super::guard::Counters;
use super::plain_urls::PlainUrls;
use super::service::GripHold;
#[cfg(feature = "jwt")]
use super::sign::{SignError, Signer};
#[cfg(feature = "websocket")]
use super::websocket::SessionConfig;
use crate::drain::Drain;
use crate::grip::FEATURES;
use crate::hub::Hub;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::time::times;

/// Longest hold unless told otherwise.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Channels of one hold unless told otherwise.
const MAX_CHANNELS: usize = 200;

/// When the client of a stream that may lack messages is made to come back, unless told otherwise.
const MARKED_AGE: Duration = Duration::from_secs(60);

/// Holds clients whose responses carry GRIP instructions, and pushes messages to them. See the
/// [module](super) for what it does.
///
/// All state is in the [`Hub`]: layers of one hub share it, however many are made.
///
/// ```
/// use std::time::Duration;
///
/// use gripstack::grip::Instruct;
/// use gripstack::{Edge, EdgeBody, Message};
/// use http::{Request, Response};
/// use http_body_util::BodyExt;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
/// let edge = Edge::new();
/// let holds = edge.hold_layer().max_age(Duration::from_secs(3600));
/// let stack = ServiceBuilder::new().layer(holds).service_fn(async |_: Request<EdgeBody>| {
///     let mut response = Response::new(EdgeBody::empty());
///     *response.headers_mut() = Instruct::stream().channel("news").into_headers()?;
///     Ok::<_, gripstack::BoxError>(response)
/// });
/// let mut held = stack.oneshot(Request::new(EdgeBody::empty())).await?.into_body();
/// edge.publish("news", Message::line("hello")).await?;
/// assert_eq!(held.frame().await.unwrap()?.into_data().unwrap(), "hello\n");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct GripHoldLayer {
    options: Options,
    warned: Arc<Warned>,
    counters: Arc<Counters>,
    plain_urls: Arc<PlainUrls>,
}

/// What the services of a layer share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) counters: Arc<Counters>,
    pub(super) plain_urls: Arc<PlainUrls>,
    warned: Arc<Warned>,
}

/// What was logged already.
#[derive(Default)]
struct Warned {
    /// A wrong order of layers.
    order: AtomicBool,
    /// A hold that hears nothing.
    deaf: AtomicBool,
}

#[derive(Clone)]
pub(super) struct Options {
    pub(super) hub: Hub,
    pub(super) drain: Option<Drain>,
    max_age: Duration,
    marked_age: Duration,
    drain_spread: Duration,
    retry: Option<RangeInclusive<Duration>>,
    pub(super) max_channels: usize,
    pub(super) debug: bool,
    pub(super) enabled: bool,
    pub(super) features: HeaderValue,
    #[cfg(feature = "jwt")]
    pub(super) signer: Option<Arc<Signer>>,
    #[cfg(feature = "websocket")]
    pub(super) websockets: Option<std::sync::Arc<SessionConfig>>,
}

// === impl GripHoldLayer ===

impl GripHoldLayer {
    /// Holds for the channels of this hub. Install a metrics recorder before.
    pub fn new(hub: Hub) -> Self {
        Self {
            options: Options {
                hub,
                drain: None,
                max_age: MAX_AGE,
                marked_age: MARKED_AGE,
                drain_spread: Duration::ZERO,
                retry: None,
                max_channels: MAX_CHANNELS,
                debug: false,
                enabled: true,
                features: HeaderValue::from_static(FEATURES),
                #[cfg(feature = "jwt")]
                signer: None,
                #[cfg(feature = "websocket")]
                websockets: None,
            },
            warned: Arc::default(),
            counters: Arc::new(Counters::new()),
            plain_urls: Arc::new(PlainUrls::new()),
        }
    }

    /// Longest hold. Default 24 h; each hold's own limit lies within 10 % of it, at random, so that holds that
    /// began together do not end together. A stream then ends cleanly and its client comes back; a long poll gets
    /// its timeout answer.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.options.max_age = age;
        self
    }

    /// How long a stream lives that had to start although messages may be missing (it says so in `Cache-Status`).
    /// Default 60 s; each one's own limit lies within half of it, at random. Its client then comes back and gets
    /// the present.
    #[must_use]
    pub fn marked_age(mut self, age: Duration) -> Self {
        self.options.marked_age = age;
        self
    }

    /// How many channels a hold may name. Default 200. A response that asks for a hold of more is refused whole, with a
    /// 502: a hold of some of them would miss what is published on the others. A response that is not held may name
    /// any number.
    #[must_use]
    pub fn max_channels(mut self, channels: usize) -> Self {
        self.options.max_channels = channels;
        self
    }

    /// Whether the body of a 502 tells clients what is wrong with an origin's instructions, and quotes them: names of
    /// channels, too. Default no. Logs tell it always; so does the header `gripstack-error`, which quotes nothing.
    #[must_use]
    pub fn debug(mut self, debug: bool) -> Self {
        self.options.debug = debug;
        self
    }

    /// Whether the layer does anything. Default yes; otherwise requests and responses pass as they are, `Grip-*`
    /// included.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.options.enabled = enabled;
        self
    }

    /// Ends all holds in an orderly way when this drain begins. [`Edge::hold_layer`](crate::Edge::hold_layer)
    /// sets that of its edge. A drain in a request's extensions is watched as well.
    #[must_use]
    pub fn drain(mut self, drain: Drain) -> Self {
        self.options.drain = Some(drain);
        self
    }

    /// In a drain holds end at random within this time, so that not all clients come back at once. Default: all end at
    /// once. What is published meanwhile still reaches them; the server's deadline has to be longer.
    #[must_use]
    pub fn drain_spread(mut self, spread: Duration) -> Self {
        self.options.drain_spread = spread;
        self
    }

    /// Tells each reader of server-sent events after which time to connect again, whatever the connection ended of: at
    /// random within this range, in whole milliseconds, as a first line `retry:` (HTML standard, 9.2.6). So the clients
    /// of a process that dies do not come back at once either. Default: the line is the origin's business.
    #[must_use]
    pub fn retry(mut self, within: RangeInclusive<Duration>) -> Self {
        self.options.retry = Some(within);
        self
    }

    /// Whether WebSockets are spoken with here, and their origin over HTTP: it is told what a client does as events in the
    /// bodies of `POST` requests to the same URL (`application/websocket-events`), and its answers say what the client gets
    /// and which channels it reads. Default no: an upgrade passes through to the origin. What an origin whose client library
    /// says "WebSocket over HTTP" needs; see [`websockets`](super#websockets).
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn websocket_over_http(mut self, on: bool) -> Self {
        self.options.websockets = on.then(Default::default);
        self
    }

    /// Signs requests to the origin: `Grip-Sig` is a JWT (HS256) with this issuer, valid for an hour. The key is text, or
    /// `base64:` and its bytes in base64. Default: no `Grip-Sig`. Installs the process's JWT crypto provider if there is none yet.
    ///
    /// # Errors
    /// If the key is empty or not the base64 that it says it is, the issuer cannot be signed, or this was compiled without a JWT backend (`jwt-rust-crypto` or
    /// `jwt-aws-lc`).
    #[cfg(feature = "jwt")]
    pub fn sign(mut self, issuer: &str, key: impl AsRef<[u8]>) -> Result<Self, SignError> {
        self.options.signer = Some(Arc::new(Signer::new(issuer, key.as_ref())?));
        Ok(self)
    }
}

impl<S> Layer<S> for GripHoldLayer {
    type Service = GripHold<S>;

    fn layer(&self, inner: S) -> GripHold<S> {
        let shared = Shared {
            options: self.options.clone(),
            counters: self.counters.clone(),
            plain_urls: self.plain_urls.clone(),
            warned: self.warned.clone(),
        };
        GripHold::new(inner, Arc::new(shared))
    }
}

impl std::fmt::Debug for GripHoldLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GripHoldLayer")
            .field("max_age", &self.options.max_age)
            .field("enabled", &self.options.enabled)
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// How long one hold may last.
    pub(super) fn max_age(&self) -> Duration {
        times(self.options.max_age, 0.9 + 0.2 * fastrand::f64())
    }

    /// How long one marked stream may last.
    pub(super) fn marked_age(&self) -> Duration {
        times(self.options.marked_age, 0.5 + fastrand::f64())
    }

    /// How long after the beginning of a drain one hold ends.
    pub(super) fn drain_delay(&self) -> Duration {
        match self.options.drain_spread {
            Duration::ZERO => Duration::ZERO,
            spread => times(spread, fastrand::f64()),
        }
    }

    /// What one reader of this answer is told about its next connection.
    pub(super) fn retry(&self, headers: &HeaderMap) -> Option<Bytes> {
        let within = self.options.retry.as_ref()?;
        let content_type = headers.get(CONTENT_TYPE)?.as_bytes();
        let essence = content_type.split(|byte| *byte == b';').next()?.trim_ascii();
        if !essence.eq_ignore_ascii_case(b"text/event-stream") {
            return None;
        }
        let more = within.end().saturating_sub(*within.start());
        let after = within.start().saturating_add(times(more, fastrand::f64()));
        Some(format!("retry: {}\n\n", after.as_millis()).into())
    }

    /// Logs a wrong order of layers, once.
    pub(super) fn warn_of_order(&self, what: &'static str) {
        if !self.warned.order.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "gripstack::hold", "{what}");
        }
    }

    /// Logs a hold without channels, once.
    pub(super) fn warn_of_deaf(&self, path: &str) {
        if !self.warned.deaf.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "gripstack::hold", path, "a hold without channels: nothing that is published reaches it");
        }
    }
}

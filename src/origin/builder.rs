//! Building an [`Origin`].

use std::time::Duration;

use http::HeaderName;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::cdn_loop::CdnLoop;
use super::connect::{Connector, Places};
use super::forward::{Inner, Origin};
use super::headers::{ForwardedFor, Forwarding, HostPolicy};
use super::route::{Route, Routes};
use super::via::Via;
use crate::sync::Arc;
use crate::time::FOR_EVER;

/// hyper's smallest buffer.
const MIN_HEAD_BYTES: usize = 8 * 1024;

/// Options of an [`Origin`]. Begun with [`Origin::builder`].
///
/// ```
/// use std::time::Duration;
/// use gripstack::origin::{ForwardedFor, HostPolicy, Origin};
///
/// # fn main() -> Result<(), gripstack::origin::BuildError> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # let _entered = runtime.enter();
/// let origin = Origin::builder()
///     .route("*", "http://127.0.0.1:8000")
///     .first_byte_timeout(Duration::from_secs(60))
///     .forwarded_for(ForwardedFor::Replace)
///     .host(HostPolicy::Origin)
///     .build()?;
/// # drop(origin);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    routes: Vec<Result<Route, BuildError>>,
    connect_timeout: Duration,
    first_byte_timeout: Duration,
    other_first_byte_timeout: Duration,
    between_bytes: Option<Duration>,
    stream_silence: Option<Duration>,
    idle_timeout: Duration,
    max_idle: usize,
    max_connections: usize,
    max_head_bytes: usize,
    max_head_fields: usize,
    upgrades: bool,
    behind_cache: bool,
    forwarding: Forwarding,
    cdn_loop: CdnLoop,
    #[cfg(feature = "tls")]
    ca_pem: Option<Vec<u8>>,
}

/// Why an [`Origin`] cannot be built: which route or URL, and what is wrong with it.
///
/// ```
/// use gripstack::origin::Origin;
///
/// let error = Origin::builder().route("*", "ftp://example.com").build().unwrap_err();
/// assert_eq!(error.subject(), "ftp://example.com");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("origin {subject:?}: {problem}")]
pub struct BuildError {
    subject: String,
    problem: BuildProblem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildProblem {
    /// The pattern of a route.
    #[error("{0}")]
    Pattern(&'static str),
    /// The URL.
    #[error("{0}")]
    Url(String),
    /// The URL is `https://`, but TLS was not compiled in.
    #[error("https needs the feature `tls` of gripstack")]
    TlsDisabled,
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(String),
    /// Another route has the same host and prefix.
    #[error("another route has the same host and prefix")]
    Duplicate,
    /// There is no route at all.
    #[error("there is no route to any origin")]
    NoRoutes,
}

// === impl Builder ===

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            routes: Vec::new(),
            connect_timeout: Duration::from_secs(2),
            first_byte_timeout: Duration::from_secs(15),
            other_first_byte_timeout: Duration::from_secs(60),
            between_bytes: Some(Duration::from_secs(30)),
            stream_silence: None,
            idle_timeout: Duration::from_secs(4),
            max_idle: 128,
            max_connections: 10_000,
            max_head_bytes: 64 * 1024,
            max_head_fields: 1_000,
            upgrades: true,
            behind_cache: false,
            forwarding: Forwarding {
                via: Some(Via::new(&HeaderName::from_static("gripstack"))),
                ..Forwarding::default()
            },
            cdn_loop: CdnLoop::random(),
            #[cfg(feature = "tls")]
            ca_pem: None,
        }
    }

    /// Requests for `HOST[/PREFIX]` go to this URL; see [`Route`]. The order does not matter: a host with a port
    /// beats one without, which beats `*`, and among the same host the longest prefix wins.
    pub fn route(mut self, pattern: &str, url: &str) -> Self {
        self.routes.push(Route::new(pattern, url));
        self
    }

    /// The same with routes that were parsed before.
    pub fn routes(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        self.routes.extend(routes.into_iter().map(Ok));
        self
    }

    /// Longest time for resolving, TCP and TLS together. Default 2 s. Then 504.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Longest time until the whole head of the answer to a GET or HEAD is there, connecting included: that is what may be
    /// stored or held. Default 15 s. Then 504. Above that, give a cache the same [time](crate::cache::CacheConfig::flight_timeout);
    /// messages are kept for 15 s at most for who waits for his first answer.
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.first_byte_timeout = timeout;
        self
    }

    /// The same of all other methods. Default 60 s. It counts from the moment the origin had the last it was sent: a client
    /// that sends its body slowly does not use it up.
    pub fn other_first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.other_first_byte_timeout = timeout;
        self
    }

    /// Whether a cache that is not a gripstack stands between this and the application, and may answer without `Age`. Each
    /// answer then counts as a second older, and replays start earlier by the [overlap](crate::hub::LogLimits::overlap);
    /// one with `Age` does without this. Purge that cache before this one. Default: no.
    pub fn behind_cache(mut self, behind_cache: bool) -> Self {
        self.behind_cache = behind_cache;
        self
    }

    /// Longest pause within the body of an answer while a client waits for more; then the body breaks off.
    /// Default 30 s; `None` is no limit. Not of [streams](Self::stream_silence).
    pub fn between_bytes(mut self, timeout: Option<Duration>) -> Self {
        self.between_bytes = timeout;
        self
    }

    /// The same of streams of events (`text/event-stream`, `multipart/x-mixed-replace` and gRPC), and the longest time in
    /// which an upgraded connection carries nothing in either direction. Default `None`: no limit, for TCP keep-alive finds
    /// out when their origin has vanished.
    pub fn stream_silence(mut self, timeout: Option<Duration>) -> Self {
        self.stream_silence = timeout;
        self
    }

    /// How long an idle connection is kept. Default 4 s: many servers close theirs after 5 s, and a request that
    /// crosses with that is lost. A connection whose origin announces no more than this (`Keep-Alive:
    /// timeout=N`, seconds) is used once.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Most idle connections kept to one origin. Default 128.
    pub fn max_idle(mut self, connections: usize) -> Self {
        self.max_idle = connections;
        self
    }

    /// Most connections open at once, to all origins together, upgraded and idle ones included: a file descriptor each.
    /// Default 10,000, at least 1. Who needs one more waits for one, for the [time to the first
    /// byte](Self::first_byte_timeout) at most. Then 504.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Longest head of an answer, in bytes. Default 64 KiB, at least 8 KiB. A longer one is a 502. The same size bounds what
    /// may come behind a first interim answer (1xx), all others and the head together, and how much of a body is read ahead.
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes.max(MIN_HEAD_BYTES);
        self
    }

    /// Most field lines in the head of an answer. Default 1,000. One with more is a 502.
    pub fn max_head_fields(mut self, fields: usize) -> Self {
        self.max_head_fields = fields;
        self
    }

    /// Whether upgrades (WebSocket and others, not `h2c`) are passed through. On by default. An upgraded
    /// connection goes past everything above; its time limit is [another](Self::stream_silence). Once one side has ended, the other may
    /// be silent for a minute.
    pub fn upgrades(mut self, on: bool) -> Self {
        self.upgrades = on;
        self
    }

    /// What becomes of `X-Forwarded-For`. Default [`ForwardedFor::Append`].
    pub fn forwarded_for(mut self, policy: ForwardedFor) -> Self {
        self.forwarding.forwarded_for = policy;
        self
    }

    /// What `Host` the origin sees. Default [`HostPolicy::Client`].
    pub fn host(mut self, policy: HostPolicy) -> Self {
        self.forwarding.host = policy;
        self
    }

    /// Appends `Via: <version> <name>` to requests and answers (RFC 9110 7.6.3). Default `gripstack`. Some applications
    /// do less for what comes by a proxy: nginx compresses such answers only with `gzip_proxied any`.
    pub fn via(mut self, name: &HeaderName) -> Self {
        self.forwarding.via = Some(Via::new(name));
        self
    }

    /// Says in no message that it was passed on.
    pub fn without_via(mut self) -> Self {
        self.forwarding.via = None;
        self
    }

    /// The name in `CDN-Loop` (RFC 8586) by which a request is known that was here before. No other server on the way to the
    /// application may have it. Default: `gripstack-` and a random number.
    pub fn cdn_loop(mut self, name: &HeaderName) -> Self {
        self.cdn_loop = CdnLoop::new(name);
        self
    }

    /// Trusts these certificates (PEM, one or several) for `https://` origins, instead of the system's.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Builds it. Nothing is connected yet.
    ///
    /// # Errors
    /// A route or URL that cannot be used, the same route twice, none at all, or certificates that cannot be
    /// loaded.
    pub fn build(self) -> Result<Origin, BuildError> {
        let routes = Routes::new(self.routes.into_iter().collect::<Result<_, _>>()?)?;
        if routes.origins().next().is_none() {
            return Err(BuildError::new("", BuildProblem::NoRoutes));
        }
        #[cfg(feature = "tls")]
        let tls = match routes.origins().find(|origin| origin.is_https()) {
            Some(origin) => Some(
                super::tls::connector(self.ca_pem.as_deref())
                    .map_err(|why| BuildError::new(origin.url(), BuildProblem::Tls(why)))?,
            ),
            None => None,
        };
        let places = Places::new(
            self.max_connections,
            self.first_byte_timeout.max(self.other_first_byte_timeout),
        );
        // Idle ones leave room for those that are needed.
        let max_idle = self
            .max_idle
            .min(self.max_connections.div_ceil(2 * routes.origins().count()));
        let connector = Connector::new(
            self.connect_timeout,
            places,
            self.max_head_bytes,
            #[cfg(feature = "tls")]
            tls,
        );
        let client = |max_idle| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                // hyper adds it to now.
                .pool_idle_timeout(self.idle_timeout.min(FOR_EVER))
                .pool_max_idle_per_host(max_idle)
                .http1_max_buf_size(self.max_head_bytes)
                .http1_max_headers(self.max_head_fields)
                // What is sent again was never begun: the connection had been closed while it was idle.
                .retry_canceled_requests(true)
                .set_host(false)
                .build(connector.clone())
        };
        Ok(Origin::from_inner(Arc::new(Inner {
            client: client(max_idle),
            fresh: client(0),
            routes,
            forwarding: self.forwarding,
            cdn_loop: self.cdn_loop,
            first_byte_timeout: self.first_byte_timeout,
            other_first_byte_timeout: self.other_first_byte_timeout,
            between_bytes: self.between_bytes,
            stream_silence: self.stream_silence,
            idle_timeout: self.idle_timeout,
            upgrades: self.upgrades,
            behind_cache: self.behind_cache,
        })))
    }
}

// === impl BuildError ===

impl BuildError {
    pub(super) fn new(subject: &str, problem: BuildProblem) -> Self {
        Self {
            subject: subject.to_owned(),
            problem,
        }
    }

    /// The route or URL.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &BuildProblem {
        &self.problem
    }
}

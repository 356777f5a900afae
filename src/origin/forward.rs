//! The service: one request to one origin, and its answer back.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::time::Instant;
use tower_service::Service;

use super::awaited::Awaited;
use super::body::{Download, Exchange, Upload};
use super::builder::{BuildError, Builder};
use super::cdn_loop::{CdnLoop, LoopLayer};
use super::connect::Connector;
use super::headers::{self, Forwarding, Framing};
use super::route::{Routes, Upstream};
use super::stats::Stats;
use super::{failure, max_forwards, upgrade};
use crate::body::EdgeBody;
use crate::error::{BehindCache, CloseDelimited, OriginError, OriginFailure};
use crate::hop_by_hop;
use crate::request::{self, ClientInfo, is_https};
use crate::sync::Arc;
use crate::time::after;

/// A service that forwards to one or several HTTP/1.1 origins. See [the module](super).
///
/// Always ready; a clone is a handle to the same connections and counters. Dropping its future gives the
/// request up and closes its connection.
///
/// ```
/// use gripstack::error::OriginError;
/// use gripstack::origin::Origin;
/// use gripstack::{Edge, EdgeBody, ServiceBuilderExt};
/// use http::Request;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
/// // Nobody listens there.
/// let stack = ServiceBuilder::new()
///     .edge_cache(&Edge::new())
///     .service(Origin::new("http://127.0.0.1:9")?);
/// let request = Request::get("http://example.com/").body(EdgeBody::empty())?;
/// let response = stack.oneshot(request).await?;
/// assert_eq!(response.status(), 502);
/// assert_eq!(response.headers()["gripstack-error"], "origin-connect-refused");
/// assert!(response.extensions().get::<OriginError>().is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Origin(Arc<Inner>);

/// The answer of an [`Origin`], to come.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Response<EdgeBody>> + Send>>);

pub(super) struct Inner {
    pub(super) client: Client<Connector, Upload>,
    /// A connection for each request.
    pub(super) fresh: Client<Connector, Upload>,
    pub(super) routes: Routes,
    pub(super) forwarding: Forwarding,
    pub(super) cdn_loop: CdnLoop,
    /// Of a GET or HEAD, and of all else.
    pub(super) first_byte_timeout: Duration,
    pub(super) other_first_byte_timeout: Duration,
    /// Of bodies, and of streams of events and what was upgraded.
    pub(super) between_bytes: Option<Duration>,
    pub(super) stream_silence: Option<Duration>,
    pub(super) idle_timeout: Duration,
    pub(super) upgrades: bool,
    /// A cache that is not ours stands between.
    pub(super) behind_cache: bool,
}

/// What a request leaves behind for reading its answer.
struct Asked {
    head_only: bool,
    conditional: bool,
    upgrade: Option<upgrade::Wanted>,
    exchange: Option<Arc<Exchange>>,
}

// === impl Origin ===

impl Origin {
    /// All requests go to this URL, with the defaults of the [`Builder`].
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(url: &str) -> Result<Self, BuildError> {
        Self::builder().route("*", url).build()
    }

    /// Options; see [`Builder`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A layer that refuses what this origin has forwarded before, for the outside of a stack. The origin itself does so,
    /// too, but what a cache collects never reaches it.
    pub fn loop_layer(&self) -> LoopLayer {
        LoopLayer::new(self.0.cdn_loop.clone())
    }

    /// Each origin's URL, as it was given, and what happened to it.
    pub fn stats(&self) -> impl Iterator<Item = (&str, &Stats)> {
        self.0
            .routes
            .origins()
            .map(|origin| (origin.url(), origin.stats()))
    }

    pub(super) fn from_inner(inner: Arc<Inner>) -> Self {
        Self(inner)
    }
}

impl Service<Request<EdgeBody>> for Origin {
    type Response = Response<EdgeBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    /// Always: nothing is reserved.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<EdgeBody>) -> ResponseFuture {
        let inner = self.0.clone();
        ResponseFuture(Box::pin(async move {
            match inner.forward(request).await {
                Ok(response) => response,
                Err(error) => failure::response(error),
            }
        }))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = self.0.routes.origins().map(Upstream::url);
        f.debug_tuple("Origin").field(&urls.collect::<Vec<_>>()).finish()
    }
}

// === impl ResponseFuture ===

impl Future for ResponseFuture {
    type Output = Result<Response<EdgeBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    async fn forward(&self, mut request: Request<EdgeBody>) -> Result<Response<EdgeBody>, OriginError> {
        request::settle(&mut request);
        let client = request
            .extensions()
            .get::<ClientInfo>()
            .copied()
            .unwrap_or_default();
        let authority = headers::authority(request.uri(), request.headers())
            .map_err(|kind| OriginError::new(kind, "`Host` is not one valid host"))?;
        if request.method() == Method::CONNECT {
            return Err(OriginError::new(OriginFailure::MethodUnsupported, "CONNECT"));
        }
        if let Some(answer) = max_forwards::spend(&mut request) {
            return Ok(answer);
        }
        let port = if is_https(request.extensions()) { 443 } else { 80 };
        let origin = self.routes.find(authority.as_ref(), port, request.uri().path())?;
        self.cdn_loop.check(request.headers())?;
        let stats = origin.stats();
        stats.request();
        let result = self.exchange(origin, authority.as_ref(), client, request).await;
        match &result {
            Ok(_) => stats.answer(),
            Err(error) => {
                let before = stats.no_answer(error.failure);
                // Loud once per outage, not once per request.
                if before == 0 && error.failure.is_outage() {
                    tracing::warn!(target: "gripstack::origin", origin = origin.url(), %error, "no answer");
                } else {
                    tracing::debug!(target: "gripstack::origin", origin = origin.url(), %error, "no answer");
                }
            }
        }
        result
    }

    async fn exchange(
        &self,
        origin: &Upstream,
        authority: Option<&Authority>,
        client: ClientInfo,
        request: Request<EdgeBody>,
    ) -> Result<Response<EdgeBody>, OriginError> {
        let (mut request, asked) = self.request(origin, authority, client, request)?;
        let again = (asked.exchange.is_none() && is_safe(request.method())).then(|| copy(&request));
        let begun = Instant::now();
        let mut connection = Awaited::watch(&mut request);
        let mut answer = self
            .head(
                &self.client,
                request,
                asked.exchange.as_deref(),
                &connection,
                begun,
            )
            .await;
        // An origin closes connections that are idle for long enough, and the next request may be on its way: its
        // end comes in the place of the answer. What is safe may be asked again (RFC 9110 9.2.2), once, where no such
        // end is due.
        if let (Err(error), Some(mut again)) = (&answer, again)
            && error.failure == OriginFailure::Reset
            && Awaited::has_answered(&connection)
        {
            origin.stats().retry();
            connection = Awaited::watch(&mut again);
            answer = self.head(&self.fresh, again, None, &connection, begun).await;
        }
        let answer = answer?;
        Awaited::note(&connection);
        self.answer(answer, asked, origin.stats(), &connection)
            .inspect_err(|_| poison(&connection))
    }

    /// The request as the origin gets it.
    fn request(
        &self,
        origin: &Upstream,
        authority: Option<&Authority>,
        client: ClientInfo,
        request: Request<EdgeBody>,
    ) -> Result<(Request<Upload>, Asked), OriginError> {
        let (mut parts, body) = request.into_parts();
        let uri = origin
            .uri(parts.uri.path_and_query())
            .map_err(|error| OriginError::new(OriginFailure::BadRequest, error.to_string()))?;
        let upgrade = match self.upgrades {
            true => upgrade::wanted(parts.version, &parts.headers, &mut parts.extensions),
            false => None,
        };
        let mut fields = parts.headers;
        let client = (client, is_https(&parts.extensions));
        headers::clean_request(&mut fields, client, authority, &self.forwarding);
        if let Some(via) = &self.forwarding.via {
            via.append(&mut fields, parts.version);
        }
        self.cdn_loop.append(&mut fields);
        headers::set_host(&mut fields, authority, origin.authority(), &self.forwarding.host);
        let exact = match body.is_end_stream() {
            true => Some(0),
            false => body.size_hint().exact(),
        };
        headers::set_length(&mut fields, exact);
        if exact != Some(0) && matches!(parts.method, Method::GET | Method::HEAD) {
            // Many origins pass over such a body (RFC 9110 9.3.1), and would take it for the next request, of which
            // another client would get the answer.
            fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(upgrade) = &upgrade {
            fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            fields.insert(header::UPGRADE, upgrade.protocols.clone());
        }
        let asked = Asked {
            head_only: parts.method == Method::HEAD,
            conditional: headers::is_conditional(&fields),
            upgrade,
            exchange: (!body.is_end_stream()).then(Exchange::new),
        };
        let mut request = Request::new(Upload::new(body, asked.exchange.clone()));
        *request.method_mut() = parts.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = fields;
        Ok((request, asked))
    }

    /// Waits for the head of the answer.
    async fn head(
        &self,
        client: &Client<Connector, Upload>,
        request: Request<Upload>,
        exchange: Option<&Exchange>,
        connection: &CaptureConnection,
        begun: Instant,
    ) -> Result<Response<Incoming>, OriginError> {
        let patience = match *request.method() {
            // What may be stored or held.
            Method::GET | Method::HEAD => self.first_byte_timeout,
            _ => self.other_first_byte_timeout,
        };
        let mut deadline = after(begun, patience);
        let mut answer = client.request(request);
        loop {
            match tokio::time::timeout_at(deadline, &mut answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if error.is_connect() => return Err(failure::classify_connect(&error)),
                Ok(Err(error)) => return Err(failure::classify(&error)),
                Err(_) => {}
            }
            match exchange.map(|exchange| exchange.deadline(patience)) {
                Some(later) if later > Instant::now() => deadline = later,
                // It was never asked: more time would not help.
                _ if connection.connection_metadata().is_none() => {
                    let detail = format!(
                        "no connection after {patience:?}: not made, or as many as there may be are in use"
                    );
                    return Err(OriginError::new(OriginFailure::ConnectTimeout, detail));
                }
                _ => {
                    let detail = format!("no head after {patience:?}");
                    return Err(OriginError::new(OriginFailure::FirstByteTimeout, detail));
                }
            }
        }
    }

    /// The answer as the client gets it. After an error its connection must not be used again.
    fn answer(
        &self,
        answer: Response<Incoming>,
        asked: Asked,
        stats: &Stats,
        connection: &CaptureConnection,
    ) -> Result<Response<EdgeBody>, OriginError> {
        let (mut parts, body) = answer.into_parts();
        if let Some(via) = &self.forwarding.via {
            via.append(&mut parts.headers, parts.version);
        }
        if parts.version == Version::HTTP_10 {
            // It takes no chunks: hyper would leave a body of unknown length out of the next request on it.
            poison(connection);
        }
        // What the client's connection speaks is its server's business.
        parts.version = Version::HTTP_11;
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return switch(parts, asked.upgrade, self.stream_silence);
        }
        if parts.status == StatusCode::NOT_MODIFIED && !asked.conditional {
            let detail = "304 to a request without conditions";
            return Err(OriginError::new(OriginFailure::UnaskedNotModified, detail));
        }
        let framing = headers::framing(&mut parts.headers).map_err(|kind| {
            OriginError::new(
                kind,
                "lengths that contradict each other, or a coding that was not asked for",
            )
        })?;
        if headers::announced_keep_alive(&parts.headers)
            .is_some_and(|seconds| Duration::from_secs(seconds) <= self.idle_timeout)
        {
            poison(connection);
        }
        hop_by_hop::remove(&mut parts.headers);
        let bodiless =
            asked.head_only || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if framing == Framing::Close && !bodiless {
            parts.extensions.insert(CloseDelimited);
        }
        if self.behind_cache {
            parts.extensions.insert(BehindCache);
        }
        let between_bytes = match headers::is_event_stream(&parts.headers) {
            true => self.stream_silence,
            false => self.between_bytes,
        };
        let body = Download::new(body, between_bytes, asked.exchange, stats.clone());
        Ok(Response::from_parts(parts, EdgeBody::new(body)))
    }
}

/// Joins both sides after a 101 that was asked for.
fn switch(
    mut parts: http::response::Parts,
    wanted: Option<upgrade::Wanted>,
    silence: Option<Duration>,
) -> Result<Response<EdgeBody>, OriginError> {
    let unasked = |detail: &str| OriginError::new(OriginFailure::UnaskedUpgrade, detail);
    let origin = parts.extensions.remove::<OnUpgrade>();
    let (Some(wanted), Some(origin)) = (wanted, origin) else {
        return Err(unasked("101 to a request without an upgrade"));
    };
    let protocol = parts.headers.get(header::UPGRADE).cloned();
    let Some(protocol) = protocol.filter(|protocol| wanted.offers(protocol)) else {
        return Err(unasked("101 with a protocol that was not asked for"));
    };
    hop_by_hop::remove(&mut parts.headers);
    parts
        .headers
        .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(header::UPGRADE, protocol);
    upgrade::join(wanted.client, origin, silence);
    Ok(Response::from_parts(parts, EdgeBody::empty()))
}

/// Methods that change nothing (RFC 9110 9.2.1).
fn is_safe(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

/// Of a request without a body.
fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::new(EdgeBody::empty(), None));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Keeps a connection from being used again.
fn poison(connection: &CaptureConnection) {
    if let Some(connection) = connection.connection_metadata().as_ref() {
        connection.poison();
    }
}

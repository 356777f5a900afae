//! The access log: one line for each request, when it ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use gripstack::body::Held;
use gripstack::hold::{EndReason, HoldEnd};
use gripstack::serve::Refused;
use gripstack::{BoxError, ClientInfo, EdgeBody};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tower::{Layer, Service};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Logs requests at the target `access`, also those that the server [refused](Self::refused): who (`proxy`: by which trusted proxy), what, status, `Cache-Status`, how it ended, bytes, seconds.
#[derive(Clone)]
pub struct AccessLayer {
    holds: Holds,
    query: bool,
    is_control: bool,
}

/// What [`AccessLayer`] makes.
#[derive(Clone)]
pub struct Access<S> {
    inner: S,
    layer: AccessLayer,
}

/// How many clients are held now.
#[derive(Clone, Default)]
pub struct Holds(Arc<AtomicU64>);

/// One client that is held.
struct Hold(Holds);

/// A line in the making; written when it is dropped. A held client has it for as long as it is held.
struct Line {
    is_control: bool,
    started: Instant,
    client: Option<ClientInfo>,
    method: Method,
    /// The host, as long as this, and the target.
    url: Box<str>,
    host_bytes: usize,
    status: Option<StatusCode>,
    cache: Option<HeaderValue>,
    hold_end: Option<HoldEnd>,
    bytes: u64,
    end: End,
}

/// How a request ended.
enum End {
    /// Nobody waited for its end.
    Abandoned,
    Complete,
    Broken(String),
}

/// A body that knows what it belongs to.
struct LoggedBody {
    inner: EdgeBody,
    line: Line,
    _hold: Option<Hold>,
}

/// The body of a client that is held, where nothing of it is logged.
struct HeldBody {
    inner: EdgeBody,
    _hold: Hold,
}

// === impl AccessLayer ===

impl AccessLayer {
    /// `query`: whether queries are logged; they may hold what is nobody's business.
    pub fn new(query: bool) -> Self {
        Self {
            holds: Holds::default(),
            query,
            is_control: false,
        }
    }

    /// One for operators' and publishers' requests: what is refused is at level INFO, the rest, which may be a probe
    /// or thousands of publishes a second, at DEBUG.
    pub fn control(&self) -> Self {
        Self {
            holds: Holds::default(),
            query: self.query,
            is_control: true,
        }
    }

    /// How many of the requests that went through here are held now.
    pub fn holds(&self) -> Holds {
        self.holds.clone()
    }

    /// Logs a request that the server refused before it came here.
    pub fn refused(&self, refused: &Refused) {
        let without_query = |target: &str| match self.query {
            true => target.to_owned(),
            false => target.split('?').next().unwrap_or_default().to_owned(),
        };
        tracing::info!(
            target: "access",
            listener = self.is_control.then_some("control"),
            peer = %refused.peer.remote.ip(),
            method = refused.method.as_ref().map(tracing::field::display),
            path = refused.target.as_deref().map(without_query).map(tracing::field::display),
            status = refused.reason.status().as_u16(),
            end = "refused",
            reason = refused.reason.as_str(),
        );
    }

    /// The line of this request; `None`: none is wanted, whatever becomes of it.
    fn begin(&self, request: &Request<EdgeBody>) -> Option<Line> {
        // What succeeds on the control listener is told at DEBUG, what does not at INFO.
        if !tracing::enabled!(target: "access", tracing::Level::INFO) {
            return None;
        }
        let uri = request.uri();
        let host = match uri.authority() {
            Some(authority) => authority.as_str().into(),
            None => {
                let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
                String::from_utf8_lossy(host.unwrap_or_default())
            }
        };
        let target = match uri.path_and_query() {
            Some(target) if self.query => target.as_str(),
            _ => uri.path(),
        };
        Some(Line {
            is_control: self.is_control,
            started: Instant::now(),
            client: request.extensions().get().copied(),
            method: request.method().clone(),
            host_bytes: host.len(),
            url: [&*host, target].concat().into(),
            status: None,
            cache: None,
            hold_end: None,
            bytes: 0,
            end: End::Abandoned,
        })
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        let layer = self.clone();
        Access { inner, layer }
    }
}

// === impl Access ===

impl<S> Service<Request<EdgeBody>> for Access<S>
where
    S: Service<Request<EdgeBody>, Response = Response<EdgeBody>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<EdgeBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<EdgeBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        let line = self.layer.begin(&request);
        let holds = self.layer.holds.clone();
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            let hold = response.extensions().get::<Held>().map(|_| holds.one_more());
            Ok(match (line, hold) {
                (None, None) => response,
                (None, Some(hold)) => response.map(|inner| EdgeBody::new(HeldBody { inner, _hold: hold })),
                (Some(mut line), hold) => {
                    line.status = Some(response.status());
                    line.cache = response.headers().get(CACHE_STATUS).cloned();
                    line.hold_end = response.extensions().get().cloned();
                    response.map(|body| EdgeBody::new(LoggedBody::new(body, line, hold)))
                }
            })
        })
    }
}

// === impl Holds ===

impl Holds {
    /// How many.
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn one_more(self) -> Hold {
        self.0.fetch_add(1, Relaxed);
        Hold(self)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

// === impl Line ===

impl Line {
    /// Whether an answer of this kind has no body, whatever its headers say (RFC 9110 6.4.1).
    fn is_bodiless(&self) -> bool {
        self.method == Method::HEAD
            || matches!(
                self.status,
                Some(StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            )
    }
}

/// An event at this level.
macro_rules! log_line {
    ($level:ident, $line:ident, $end:ident, $hold_end:ident) => {
        tracing::$level!(
            target: "access",
            listener = $line.is_control.then_some("control"),
            peer = $line.client.and_then(|client| client.addr).map(|addr| tracing::field::display(addr.ip())),
            proxy = $line.client.and_then(|client| client.proxy).map(tracing::field::display),
            method = %$line.method,
            host = ?$line.url[..$line.host_bytes],
            path = %$line.url[$line.host_bytes..],
            status = $line.status.map(|status| status.as_u16()),
            cache = $line.cache.as_ref().map(tracing::field::debug),
            end = $end,
            hold = $hold_end.map(|reason| reason.as_str()),
            bytes = $line.bytes,
            seconds = %format_args!("{:.6}", $line.started.elapsed().as_secs_f64()),
        )
    };
}

impl Drop for Line {
    fn drop(&mut self) {
        let end = match (&self.end, self.status) {
            (End::Abandoned, None) => "client left before the answer",
            (End::Abandoned, Some(_)) => "client left",
            (End::Complete, _) => "complete",
            (End::Broken(why), _) => why,
        };
        // A hold that nobody ended is one whose client left.
        let hold_end = self
            .hold_end
            .as_ref()
            .map(|end| end.reason().unwrap_or(EndReason::Client));
        let is_quiet = self.is_control && self.status.is_some_and(|status| status.as_u16() < 400);
        match is_quiet {
            true => log_line!(debug, self, end, hold_end),
            false => log_line!(info, self, end, hold_end),
        }
    }
}

// === impl LoggedBody ===

impl LoggedBody {
    fn new(inner: EdgeBody, line: Line, hold: Option<Hold>) -> Self {
        Self {
            inner,
            line,
            _hold: hold,
        }
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let is_whole = self.inner.is_end_stream() || self.line.is_bodiless();
        if is_whole && matches!(self.line.end, End::Abandoned) {
            self.line.end = End::Complete;
        }
    }
}

impl Body for LoggedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Some(Err(error)) => self.line.end = End::Broken(error.to_string()),
            None => self.line.end = End::Complete,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl HeldBody ===

impl Body for HeldBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;

//! What operators see: `/metrics` and `/healthz`, and why publish and purge are closed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use gripstack::{Drain, EdgeBody};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use tower::{Layer, Service};

use crate::answer;
use crate::local::LocalOnly;
use crate::telemetry::Metrics;

/// Answers `/metrics` and `/healthz`; explains publish and purge where they are closed.
#[derive(Clone)]
pub struct ControlLayer {
    metrics: Metrics,
    drain: Drain,
    closed: Closed,
    /// Who may publish and purge without credentials, if anybody.
    open_to: Option<LocalOnly>,
    enabled: bool,
}

/// What nobody may do, for the settings name no credential for it.
#[derive(Clone, Copy, Default)]
pub struct Closed {
    /// Publishing.
    pub publish: bool,
    /// ... except for the demo, which presents one.
    pub except_demo: bool,
    /// Purging.
    pub purge: bool,
}

/// What [`ControlLayer`] makes.
#[derive(Clone)]
pub struct Control<S> {
    inner: S,
    layer: ControlLayer,
}

const PUBLISH_IS_CLOSED: &str = "Publishing is closed. Start the server with --publish-key KEY, or with --open-control \
                                 on loopback.\n";
const PURGE_IS_CLOSED: &str =
    "Purging is closed. Start the server with --purge-token TOKEN, or with --open-control on loopback.\n";

// === impl ControlLayer ===

impl ControlLayer {
    /// `/healthz` answers 503 as soon as the drain begins. What is closed is answered 403, with the option that
    /// opens it.
    pub fn new(metrics: Metrics, drain: Drain, closed: Closed) -> Self {
        Self {
            metrics,
            drain,
            closed,
            open_to: None,
            enabled: true,
        }
    }

    /// Who may publish and purge without credentials. Others are answered 403, with the reason.
    pub fn open_to(mut self, open_to: Option<LocalOnly>) -> Self {
        self.open_to = open_to;
        self
    }

    /// If not, everything passes through.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    fn own(&self, request: &Request<EdgeBody>) -> Option<Response<EdgeBody>> {
        if !self.enabled {
            return None;
        }
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET | &Method::HEAD, "/metrics") => {
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                Some(answer::of(StatusCode::OK, kind, self.metrics.render()))
            }
            (&Method::GET | &Method::HEAD, "/healthz") if self.drain.has_begun() => Some(answer::draining()),
            (&Method::GET | &Method::HEAD, "/healthz") => Some(answer::text(StatusCode::OK, "ok\n")),
            (method, _) if is_publish(method, path) || is_purge(method, path) => {
                self.refuse(method, path, request)
            }
            _ => None,
        }
    }

    /// Why somebody may not publish or purge, as far as it is not a matter of credentials.
    fn refuse(&self, method: &Method, path: &str, request: &Request<EdgeBody>) -> Option<Response<EdgeBody>> {
        if let Some(open_to) = &self.open_to
            && let Err(foreign) = open_to.check(request)
        {
            return Some(answer::text(StatusCode::FORBIDDEN, foreign.why()));
        }
        let why = match is_purge(method, path) {
            true => self.closed.purge.then_some(PURGE_IS_CLOSED),
            false => self
                .closed
                .to_publisher(request.headers())
                .then_some(PUBLISH_IS_CLOSED),
        };
        why.map(|why| answer::text(StatusCode::FORBIDDEN, why))
    }
}

// === impl Closed ===

impl Closed {
    fn to_publisher(self, headers: &HeaderMap) -> bool {
        self.publish && !(self.except_demo && headers.contains_key(header::AUTHORIZATION))
    }
}

fn is_publish(method: &Method, path: &str) -> bool {
    method == Method::POST && matches!(path, "/publish" | "/publish/")
}

fn is_purge(method: &Method, path: &str) -> bool {
    method.as_str() == "PURGE"
        || (method == Method::POST && (path.starts_with("/purge/") || path.starts_with("/service/")))
}

impl<S> Layer<S> for ControlLayer {
    type Service = Control<S>;

    fn layer(&self, inner: S) -> Control<S> {
        let layer = self.clone();
        Control { inner, layer }
    }
}

// === impl Control ===

impl<S> Service<Request<EdgeBody>> for Control<S>
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
        match self.layer.own(&request) {
            Some(response) => Box::pin(std::future::ready(Ok(response))),
            None => Box::pin(self.inner.call(request)),
        }
    }
}

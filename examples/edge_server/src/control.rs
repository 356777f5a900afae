//! What operators see: `/metrics` and `/healthz`, and why publish and purge are closed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use gripstack::{Drain, EdgeBody};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use tower::{Layer, Service};

use crate::answer;
use crate::telemetry::Metrics;

/// Answers `/metrics` and `/healthz`; explains publish and purge where they are closed.
#[derive(Clone)]
pub struct ControlLayer {
    metrics: Metrics,
    drain: Drain,
    closed: Closed,
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
            enabled: true,
        }
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
            (&Method::POST, "/publish" | "/publish/") if self.closed.to_publisher(request.headers()) => {
                Some(answer::text(StatusCode::FORBIDDEN, PUBLISH_IS_CLOSED))
            }
            (method, _) if self.closed.purge && is_purge(method, path) => {
                Some(answer::text(StatusCode::FORBIDDEN, PURGE_IS_CLOSED))
            }
            _ => None,
        }
    }
}

// === impl Closed ===

impl Closed {
    fn to_publisher(self, headers: &HeaderMap) -> bool {
        self.publish && !(self.except_demo && headers.contains_key(header::AUTHORIZATION))
    }
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

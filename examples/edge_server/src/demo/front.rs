//! The page, what it shows, and its switch. In front of the edge, and nothing of it is logged or stored.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use gripstack::EdgeBody;
use gripstack::serve::Peer;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::json;
use tower::{Layer, Service};

use super::Demo;
use crate::access::Holds;
use crate::answer;
use crate::local::{LocalOnly, is_cross_site};

const PAGE: &str = include_str!("../page.html");

/// The page runs nothing and reaches nothing but itself.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves `/` and `/demo/`; all else passes. Does nothing without a demo.
#[derive(Clone)]
pub struct DemoLayer {
    demo: Option<Demo>,
    holds: Holds,
}

/// What [`DemoLayer`] makes.
#[derive(Clone)]
pub struct Front<S> {
    inner: S,
    layer: DemoLayer,
}

// === impl DemoLayer ===

impl DemoLayer {
    /// `holds`: how many clients are connected.
    pub fn new(demo: Option<Demo>, holds: Holds) -> Self {
        Self { demo, holds }
    }

    async fn answer(holds: Holds, demo: Demo, request: Request<EdgeBody>) -> Response<EdgeBody> {
        let is_local = is_local(&request);
        match (request.method().as_str(), request.uri().path()) {
            ("GET" | "HEAD", "/") => page(),
            ("GET", "/demo/state") => Self::state(&holds, &demo, is_local).await,
            ("POST", "/demo/origin/stop" | "/demo/origin/start") if is_cross_site(&request) => {
                answer::text(StatusCode::FORBIDDEN, "only from the page\n")
            }
            ("POST", "/demo/origin/stop") => {
                demo.stop().await;
                Self::state(&holds, &demo, is_local).await
            }
            ("POST", "/demo/origin/start") => match demo.restart().await {
                Ok(()) => Self::state(&holds, &demo, is_local).await,
                Err(error) => {
                    let why = format!("the origin cannot start: {error}\n");
                    answer::text(StatusCode::SERVICE_UNAVAILABLE, why)
                }
            },
            (_, "/" | "/demo/state" | "/demo/origin/stop" | "/demo/origin/start") => {
                answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")
            }
            _ => answer::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    async fn state(holds: &Holds, demo: &Demo, is_local: bool) -> Response<EdgeBody> {
        let counters = &demo.0.counters;
        let state = json!({
            "clients": holds.count(),
            "reads": counters.reads(),
            "writes": counters.writes(),
            "up": demo.is_up().await,
            "publish": counters.publish_command(is_local),
        });
        answer::of(StatusCode::OK, "application/json", state.to_string())
    }
}

fn page() -> Response<EdgeBody> {
    let mut response = answer::of(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Whether it comes from this machine, and by a name that no other site can have: one that resolves to here would read
/// the answer as its own.
fn is_local(request: &Request<EdgeBody>) -> bool {
    let peer = request.extensions().get::<Peer>();
    peer.is_some_and(|peer| peer.remote.ip().is_loopback()) && LocalOnly::default().check(request).is_ok()
}

impl<S> Layer<S> for DemoLayer {
    type Service = Front<S>;

    fn layer(&self, inner: S) -> Front<S> {
        let layer = self.clone();
        Front { inner, layer }
    }
}

// === impl Front ===

impl<S> Service<Request<EdgeBody>> for Front<S>
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
        let path = request.uri().path();
        let is_ours = (path == "/" || path.starts_with("/demo/")) && request.method().as_str() != "PURGE";
        match &self.layer.demo {
            Some(demo) if is_ours => {
                let answer = DemoLayer::answer(self.layer.holds.clone(), demo.clone(), request);
                Box::pin(async { Ok(answer.await) })
            }
            _ => Box::pin(self.inner.call(request)),
        }
    }
}

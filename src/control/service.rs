//! The service of a control layer: some requests are its own, all others pass through.

use std::fmt;
use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::ResponseFuture;
use crate::body::EdgeBody;
use crate::error::BoxError;

/// What a control layer answers itself. Nobody else implements it: its module is private.
pub trait Endpoint: Clone + Send + 'static {
    /// Whether a request is for this endpoint, by its head. Then it never reaches the inner service.
    fn takes(&self, head: &Parts) -> bool;

    /// What a request that is not for it loses on its way to the inner service. Default: nothing.
    fn pass(&self, _head: &mut Parts) {}

    /// Answers a request that it takes: authorises it first, then reads what there is to read.
    fn answer<B>(self, head: Parts, body: B) -> impl Future<Output = Response<EdgeBody>> + Send + 'static
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>;
}

/// The service of a control layer: answers what is for its endpoint `E`, all else passes through to `S`.
#[derive(Clone)]
pub struct ControlService<S, E> {
    inner: S,
    endpoint: E,
}

// === impl ControlService ===

impl<S, E> ControlService<S, E> {
    pub(crate) fn new(inner: S, endpoint: E) -> Self {
        Self { inner, endpoint }
    }
}

impl<S: fmt::Debug, E> fmt::Debug for ControlService<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, E, ReqBody, ResBody> Service<Request<ReqBody>> for ControlService<S, E>
where
    S: Service<Request<EdgeBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
    E: Endpoint,
    ReqBody: Body<Data = Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<EdgeBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        if self.endpoint.takes(&head) {
            return ResponseFuture::own(self.endpoint.clone().answer(head, body));
        }
        self.endpoint.pass(&mut head);
        // The service that was polled ready is the one that is called, here and now: nothing to replace.
        let request = Request::from_parts(head, EdgeBody::new(body));
        ResponseFuture::pass(self.inner.call(request))
    }
}

//! The service of a control layer: some requests are its own, all others pass through.

use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
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
///
/// It is always ready, for what it answers needs nothing of what is below, which may be at its limit, or busy with the
/// very request whose handler publishes. What passes through waits for `S` itself.
pub struct ControlService<S, E> {
    inner: S,
    /// Whether this very `inner` was polled ready.
    is_ready: bool,
    endpoint: E,
}

// === impl ControlService ===

impl<S, E> ControlService<S, E> {
    pub(crate) fn new(inner: S, endpoint: E) -> Self {
        Self {
            inner,
            is_ready: false,
            endpoint,
        }
    }
}

impl<S: Clone, E: Clone> Clone for ControlService<S, E> {
    fn clone(&self) -> Self {
        // To be ready is not cloned with a service.
        Self::new(self.inner.clone(), self.endpoint.clone())
    }
}

impl<S: Clone, E> ControlService<S, E> {
    /// Puts a clone in the place of the inner service, which is returned.
    fn renew(&mut self) -> S {
        self.is_ready = false;
        let fresh = self.inner.clone();
        mem::replace(&mut self.inner, fresh)
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
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.is_ready = true,
            Poll::Pending => self.is_ready = false,
            // Who failed is done with. A request that passes asks another one, and gets its error.
            Poll::Ready(Err(_)) => drop(self.renew()),
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        if self.endpoint.takes(&head) {
            // A place that was kept below, or waited for, is given back: who asks next may be long in coming.
            drop(self.renew());
            return ResponseFuture::own(self.endpoint.clone().answer(head, body));
        }
        self.endpoint.pass(&mut head);
        if !mem::take(&mut self.is_ready) {
            return self.wait(head, body);
        }
        // The service that was polled ready is the one that is called, here and now: nothing to replace.
        let request = Request::from_parts(head, EdgeBody::new(body));
        ResponseFuture::pass(self.inner.call(request))
    }
}

impl<S, E> ControlService<S, E>
where
    S: Service<Request<EdgeBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
    E: Clone,
{
    /// Sends a request that passes as soon as the inner service is ready. Apart, so that others pay nothing for it.
    #[cold]
    #[inline(never)]
    fn wait<B>(&mut self, head: Parts, body: B) -> ResponseFuture<S::Future>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // Who waited keeps its place in the queue.
        let mut inner = self.renew();
        let request = Request::from_parts(head, EdgeBody::new(body));
        ResponseFuture::wait(async move {
            poll_fn(|cx| inner.poll_ready(cx)).await?;
            inner.call(request).await
        })
    }
}

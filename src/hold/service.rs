//! The service.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::client_request::ClientRequest;
use super::future::ResponseFuture;
use super::layer::Shared;
use super::original::{Original, ask, prepare};
use super::request_body::WatchedBody;
#[cfg(feature = "websocket")]
use super::websocket;
use crate::below::Below;
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::position::Position;
use crate::sync::Arc;
use crate::time::Now;

/// Holds clients whose responses carry GRIP instructions. Made by a [`GripHoldLayer`](super::GripHoldLayer).
#[derive(Clone)]
pub struct GripHold<S> {
    inner: S,
    shared: Arc<Shared>,
}

// === impl GripHold ===

impl<S> GripHold<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, ReqBody> Service<Request<ReqBody>> for GripHold<S>
where
    S: Below,
    ReqBody: Body<Data = Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
{
    type Response = Response<EdgeBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S, S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let mut request = request.map(EdgeBody::new);
        let Shared {
            options, plain_urls, ..
        } = &*self.shared;
        if !options.enabled {
            return ResponseFuture::passing(self.inner.call(request));
        }
        if ask(request.extensions_mut(), Position::ZERO) {
            self.shared
                .warn_of_order("a hold layer below another one does nothing");
            return ResponseFuture::passing(self.inner.call(request));
        }
        #[cfg(feature = "websocket")]
        if options.websockets.is_some() && websocket::is_asked_for(&request) {
            // The one that was polled ready is called; a clone takes its place.
            let fresh = self.inner.clone();
            let below = std::mem::replace(&mut self.inner, fresh);
            let opening = websocket::open(below, request, self.shared.clone());
            return ResponseFuture::settling(Box::pin(async { Ok(opening.await) }));
        }
        prepare(request.headers_mut(), options, Now::read);
        let has_body = !request.body().is_end_stream();
        let original = Original::of(&request, has_body, plain_urls);
        let mut watch = None;
        if has_body {
            request = request.map(|body| {
                let (body, watching) = WatchedBody::new(body);
                watch = Some(watching);
                EdgeBody::new(body)
            });
        }
        // Before the request can leave: whatever is accepted from here on may be missing from the answer.
        let fetch = options.hub.begin_fetch(Instant::now());
        let (future, inner) = if original.is_repeatable() {
            // The one that was polled ready is called, and may be asked again; a clone takes its place.
            let fresh = self.inner.clone();
            let mut inner = std::mem::replace(&mut self.inner, fresh);
            (inner.call(request), Some(inner))
        } else {
            (self.inner.call(request), None)
        };
        let client = ClientRequest {
            shared: self.shared.clone(),
            inner,
            original,
            watch,
            asked: 0,
            has: None,
        };
        ResponseFuture::asking(future, client, fetch)
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for GripHold<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GripHold")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

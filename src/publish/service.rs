//! The service: takes what is ours, authorises it, reads it, hands it to the publisher.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::layer::Settings;
use super::publisher::Publisher;
use super::wire::{self, Failure, Format};
use crate::body::EdgeBody;
use crate::control::{ReadError, ResponseFuture, read};
use crate::error::BoxError;
use crate::grip::parse_publish;

/// Answers publishes; all other requests pass through. See the [module](super).
#[derive(Clone)]
pub struct RateLimitedPublish<S> {
    inner: S,
    publisher: Publisher,
    settings: Arc<Settings>,
}

// === impl RateLimitedPublish ===

impl<S> RateLimitedPublish<S> {
    pub(super) fn new(inner: S, publisher: Publisher, settings: Arc<Settings>) -> Self {
        Self {
            inner,
            publisher,
            settings,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for RateLimitedPublish<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitedPublish")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RateLimitedPublish<S>
where
    S: Service<Request<EdgeBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
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
        let (parts, body) = request.into_parts();
        if self.settings.enabled && wire::is_ours(&parts, &self.settings.path) {
            let (publisher, settings) = (self.publisher.clone(), self.settings.clone());
            return ResponseFuture::own(async move {
                publish(&publisher, &settings, &parts, body)
                    .await
                    .unwrap_or_else(Failure::into_response)
            });
        }
        // The service that was polled ready is the one that is called, here and now: nothing to replace.
        let request = Request::from_parts(parts, EdgeBody::new(body));
        ResponseFuture::pass(self.inner.call(request))
    }
}

async fn publish<B>(
    publisher: &Publisher,
    settings: &Settings,
    parts: &Parts,
    body: B,
) -> Result<Response<EdgeBody>, Failure>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    if parts.method != Method::POST {
        return Err(Failure::Method(parts.method.clone()));
    }
    settings.auth.check(&parts.headers).map_err(Failure::Refused)?;
    let format = Format::wanted(&parts.headers).ok_or(Failure::NotAcceptable)?;
    let body = read(body, settings.max_body_bytes)
        .await
        .map_err(|error| match error {
            ReadError::TooLarge => Failure::BodyTooLarge,
            ReadError::Broken => Failure::BodyBroken,
        })?;
    let items = parse_publish(&body).map_err(Failure::Format)?;
    drop(body);
    let count = items.len();
    let mode = publisher.config().purge_mode;
    let items = items.into_iter().map(|item| wire::item(item, parts, mode));
    let items = items.collect::<Result<_, _>>()?;
    match publisher.publish_all(items).await {
        Ok(receipt) => {
            tracing::debug!(target: "gripstack::publish", items = count, ?receipt, "published");
            Ok(wire::published(receipt, format))
        }
        Err(error) => {
            tracing::warn!(target: "gripstack::publish", items = count, %error, "a publish was not accepted");
            Err(Failure::Publish(error))
        }
    }
}

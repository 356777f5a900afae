//! The service: takes what is ours, authorises it, reads it, hands it to the publisher.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use http_body::Body;

use super::layer::Settings;
use super::publisher::Publisher;
use super::wire::{self, Failure, Format};
use crate::body::EdgeBody;
use crate::control::{ControlService, Endpoint, ReadError, read};
use crate::error::BoxError;
use crate::grip::parse_publish;

/// Answers publishes; all other requests pass through. See the [module](super).
pub type RateLimitedPublish<S> = ControlService<S, PublishEndpoint>;

/// What answers publishes: see [`RateLimitedPublish`].
#[derive(Clone, Debug)]
pub struct PublishEndpoint {
    pub(super) publisher: Publisher,
    pub(super) settings: Arc<Settings>,
}

// === impl PublishEndpoint ===

impl Endpoint for PublishEndpoint {
    fn takes(&self, head: &Parts) -> bool {
        self.settings.enabled && wire::is_ours(head, &self.settings.path)
    }

    async fn answer<B>(self, head: Parts, body: B) -> Response<EdgeBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        publish(&self.publisher, &self.settings, &head, body)
            .await
            .unwrap_or_else(Failure::into_response)
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
    let caller = settings.auth.identify(parts).map_err(Failure::Denied)?;
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
    let items = items.collect::<Result<Vec<_>, _>>()?;
    settings
        .auth
        .authorize(caller.as_ref(), parts, &items)
        .map_err(Failure::Denied)?;
    let preferred = wire::prefers_async(&parts.headers);
    let published = if preferred || publisher.config().respond_async {
        publisher.accept_all(items).await
    } else {
        publisher.publish_all(items).await
    };
    match published {
        Ok(receipt) => {
            tracing::debug!(target: "gripstack::publish", items = count, ?receipt, "published");
            Ok(wire::published(receipt, format, preferred))
        }
        Err(error) => {
            tracing::warn!(target: "gripstack::publish", items = count, %error, "a publish was not accepted");
            Err(Failure::Publish(error))
        }
    }
}

//! The service: takes what is ours, authorises it, submits one order.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::Body;

use super::auth::FASTLY_KEY;
use super::layer::Settings;
use super::wire::{self, Failure, Route};
use crate::body::EdgeBody;
use crate::control::{ControlService, Endpoint, ReadError, read};
use crate::edge::Edge;
use crate::error::BoxError;
use crate::order::{Order, Purge, PurgeMode, Target};
use crate::position::Position;
use crate::time::Now;

/// Bytes of a batch: all keys at their longest, as JSON that escapes every character.
const MAX_BATCH_BYTES: usize = 2 << 20;

/// Answers purge requests; all others pass through. See the [module](super).
pub type PurgeService<S> = ControlService<S, PurgeEndpoint>;

/// What answers purge requests: see [`PurgeService`].
#[derive(Clone, Debug)]
pub struct PurgeEndpoint {
    pub(super) edge: Edge,
    pub(super) settings: Arc<Settings>,
}

// === impl PurgeEndpoint ===

impl Endpoint for PurgeEndpoint {
    fn takes(&self, head: &Parts) -> bool {
        self.settings.enabled && Route::of(head, &self.settings).is_some()
    }

    fn pass(&self, head: &mut Parts) {
        if head.headers.contains_key(FASTLY_KEY) && self.settings.auth.owns_key_in(head) {
            head.headers.remove(FASTLY_KEY);
        }
    }

    async fn answer<B>(self, head: Parts, body: B) -> Response<EdgeBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let route = Route::of(&head, &self.settings).expect("it was one when it was taken");
        match purge(&self.edge, &self.settings, &head, route, body).await {
            Ok(response) => response,
            Err(failure) => failure.into_response(route == Route::Method && !self.settings.challenge),
        }
    }
}

async fn purge<B>(
    edge: &Edge,
    settings: &Settings,
    parts: &Parts,
    route: Route<'_>,
    body: B,
) -> Result<Response<EdgeBody>, Failure>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let headers = &parts.headers;
    // Before anything is read or looked at: who may not purge learns nothing from the answer.
    let who = settings
        .auth
        .identify(parts, route.scope())
        .map_err(Failure::Denied)?;
    if let (Some(known), Some(named)) = (&settings.service, route.service())
        && known != named
    {
        return Err(Failure::UnknownService);
    }
    let mode = match route {
        Route::All { .. } => wire::mode_of_all(headers)?,
        _ => wire::mode(headers, settings.mode)?,
    };
    let wanted = Wanted::read(settings, parts, route, body).await?;
    let targets = wanted.targets();
    settings
        .auth
        .authorize(&who, parts, &targets)
        .map_err(Failure::Denied)?;
    let left = settings
        .limits
        .take(&who, route.scope(), targets.len(), Now::read())
        .map_err(Failure::Limited)?;
    let at = submit(edge, targets, mode).await?;
    Ok(match wanted {
        Wanted::One(_) => settings.ids.one(at),
        Wanted::Each(keys) => settings.ids.each(&keys, at),
        Wanted::All => wire::all(left),
    })
}

/// What a request purges; answers have as many forms.
enum Wanted {
    One(Target),
    Each(Vec<Arc<str>>),
    All,
}

impl Wanted {
    async fn read<B>(settings: &Settings, parts: &Parts, route: Route<'_>, body: B) -> Result<Self, Failure>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let headers = &parts.headers;
        Ok(match route {
            Route::Method => {
                let names = ["surrogate-key", "xkey"].into_iter();
                let keys = names
                    .filter(|_| settings.key_headers)
                    .find_map(|name| wire::keys_of_headers(headers, name));
                match keys {
                    Some(keys) => Self::Each(keys?),
                    None => Self::One(wire::url_of_request(parts, &settings.namespace)?),
                }
            }
            Route::Url(rest) => Self::One(wire::url_of_api(rest)?),
            Route::Key { key, .. } => Self::One(Target::Key(wire::key_of_path(key)?)),
            Route::Batch { .. } => Self::Each(match wire::keys_of_headers(headers, "surrogate-key") {
                Some(keys) => keys?,
                None => match read(body, MAX_BATCH_BYTES).await {
                    Ok(body) => wire::keys_of_body(&body)?,
                    Err(ReadError::TooLarge) => return Err(Failure::TooLarge),
                    Err(ReadError::Broken) => return Err(Failure::bad("the body broke off")),
                },
            }),
            Route::All { .. } => Self::All,
        })
    }

    fn targets(&self) -> Vec<Target> {
        match self {
            Self::One(target) => vec![target.clone()],
            Self::Each(keys) => keys.iter().cloned().map(Target::Key).collect(),
            Self::All => vec![Target::Everything],
        }
    }
}

/// One order: all of it takes one position.
async fn submit(edge: &Edge, targets: Vec<Target>, mode: PurgeMode) -> Result<Position, Failure> {
    let count = targets.len();
    let purges = targets.into_iter().map(|target| Purge { target, mode });
    let order = Order {
        purges: purges.collect(),
        ..Order::default()
    };
    match edge.submit(order).await {
        Ok(at) => {
            tracing::debug!(target: "gripstack::purge", targets = count, ?mode, position = at.get(), "purged");
            Ok(at)
        }
        Err(error) => {
            tracing::warn!(target: "gripstack::purge", %error, "a purge was not accepted");
            Err(Failure::Unavailable)
        }
    }
}

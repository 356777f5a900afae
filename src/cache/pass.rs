//! What is remembered of a URL that proved uncacheable, and how its requests pass.
//!
//! Where the reason is the answer's own `Cache-Control`, the next answer only has to be compared with it: no
//! resource is made, the request is not copied, and its answer is looked through once.

use std::future::Future;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, HOST, VARY};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::arrived::Arrived;
use super::fields::Fields;
use super::handle::Cache;
use super::key::named_by;
use super::policy::{CacheStatus, Fwd};
use super::resource::Resource;
use super::serve::CACHE_STATUS;
use super::visit::{Visit, private};
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::grip;
use crate::handoff::AskedByHold;
use crate::order::TargetKey;
use crate::position::Position;
use crate::sync::Arc;
use crate::time::Now;

/// A URL proved uncacheable: its requests are not collapsed for a while.
pub(super) struct Memo {
    until: Instant,
    stamp: Position,
    why: &'static str,
    /// The URL's, by which it is purged.
    keys: Box<[TargetKey]>,
    /// The `Cache-Control` that forbids to keep or share an answer, whatever else it says.
    forbids: Option<HeaderValue>,
    /// `Cache-Status` of those that pass.
    status: HeaderValue,
}

// === impl Memo ===

impl Memo {
    /// Of a URL whose answer was this one.
    pub(super) fn new(
        cache: &Cache,
        resource: &Resource,
        arrived: &Arrived,
        why: &'static str,
        now: Instant,
    ) -> Self {
        let status = CacheStatus::forwarded(Fwd::UriMiss)
            .name(cache.config().name)
            .stored(false)
            .detail(why);
        Self {
            until: now + cache.config().uncacheable_ttl,
            stamp: cache.hub().now(),
            why,
            keys: resource.keys.clone(),
            forbids: arrived.forbidden_by(),
            status: status.to_value(),
        }
    }

    pub(super) fn why(&self) -> &'static str {
        self.why
    }

    /// Whether its time is not over, and the URL was not purged since.
    pub(super) fn is_valid(&self, cache: &Cache, now: Instant) -> bool {
        now < self.until && cache.hub().judge(&[&self.keys], &[], self.stamp).last_mark <= self.stamp
    }

    /// Whether a response is forbidden by the very same `Cache-Control`, and nothing in it is for us.
    fn fits<B>(&self, response: &Response<B>) -> bool {
        let headers = response.headers();
        let mut lines = 0;
        for (name, value) in headers {
            if *name == CACHE_CONTROL {
                lines += 1;
                if self.forbids.as_ref() != Some(value) {
                    return false;
                }
            } else if is_for_us(name) {
                return false;
            }
        }
        lines == 1 && response.status() != StatusCode::NOT_MODIFIED && !grip::is_instruct_type(headers)
    }
}

fn is_for_us(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("grip-") || name == "surrogate-key"
}

/// What is remembered by which this request can pass, and when it was asked.
pub(super) fn passes(
    cache: &Cache,
    key: TargetKey,
    parts: &Parts,
    fields: Fields,
) -> Option<(Arc<Memo>, Now)> {
    // What decides whether an answer may be kept, or is whole, would have to be kept itself.
    let matters = [Fields::CONDITION, Fields::LIMIT, Fields::KEYED];
    if parts.method != Method::GET || matters.iter().any(|kind| fields.has(*kind)) {
        return None;
    }
    let asked = Now::read();
    let memo = cache
        .memo(key, asked.mono)
        .filter(|memo| memo.forbids.is_some())?;
    Some((memo, asked))
}

/// Lets it pass.
pub(super) fn pass<S, B>(
    cache: Cache,
    (key, namespace): (TargetKey, std::sync::Arc<str>),
    (memo, asked): (Arc<Memo>, Now),
    mut parts: Parts,
    mut inner: S,
) -> impl Future<Output = Result<Response<EdgeBody>, S::Error>>
where
    S: Service<Request<EdgeBody>, Response = Response<B>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    cache.counters().pass.add(1);
    cache.counters().fetches.add(1);
    let by_hold = AskedByHold::of(&parts.extensions).is_some();
    if !by_hold {
        grip::strip(&mut parts.headers);
    }
    async move {
        // Before the request can leave. It needs no pin: who asks on behalf of a hold has pinned the logs already.
        let stamp = cache.hub().now();
        let scheme = parts.extensions.get::<Scheme>().cloned();
        let (uri, host) = (parts.uri.clone(), parts.headers.get(HOST).cloned());
        std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
        let future = inner.call(Request::from_parts(parts, EdgeBody::empty()));
        let mut response = future.await?.map(EdgeBody::new);
        if memo.fits(&response) {
            response.headers_mut().append(CACHE_STATUS, memo.status.clone());
            return Ok(response);
        }
        let mut parts = Request::new(()).into_parts().0;
        parts.uri = uri;
        parts.headers.extend(host.map(|host| (HOST, host)));
        if let Some(scheme) = scheme {
            parts.extensions.insert(scheme);
        }
        if by_hold {
            let any = AskedByHold {
                at_least: Position::ZERO,
            };
            any.say(&mut parts.extensions);
        }
        // Of the request no more is left than its URL: what depends on other fields is not kept.
        let keeps =
            !response.headers().contains_key(VARY) && !response.headers().contains_key(CONTENT_ENCODING);
        let fields = Fields::of(&parts.headers);
        let Some(named) = named_by(&parts, &namespace) else {
            return Ok(private(response, by_hold, memo.status.clone()));
        };
        let resource = cache.index().resource(named, key);
        let paced_reads = cache.config().paced_reads;
        let visit = Visit::new(&cache, resource, parts, fields, paced_reads);
        // In a box of its own: it is rare, and large.
        Ok(Box::pin(visit.settle(response, stamp, asked, memo.why, None, keeps)).await)
    }
}

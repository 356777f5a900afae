//! What is remembered of a URL that proved uncacheable, and how its requests pass.
//!
//! Where the reason is the answer's own `Cache-Control`, the next answer only has to be compared with it: no
//! resource is made, the request is not copied, and its answer is looked through once.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, request};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::arrived::Arrived;
use super::fetch::call;
use super::handle::Cache;
use super::policy::{CacheControl, CacheStatus, Fwd};
use super::resource::Resource;
use super::serve::CACHE_STATUS;
use super::visit::private;
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::grip;
use crate::handoff::AskedByHold;
use crate::order::TargetKey;
use crate::position::Position;
use crate::sync::Arc;

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

/// A request that passes because of a memo.
pub(super) struct Pass {
    cache: Cache,
    key: TargetKey,
    memo: Arc<Memo>,
    request: Request<EdgeBody>,
    by_hold: bool,
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

    /// Whether these headers are forbidden by the very same `Cache-Control`, and nothing in them is for us.
    fn fits(&self, headers: &HeaderMap) -> bool {
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
        lines == 1 && !grip::is_instruct_type(headers)
    }
}

fn is_for_us(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("grip-") || name == "surrogate-key"
}

// === impl Pass ===

impl Pass {
    /// `None`: nothing is remembered by which this request could pass, and it has to be looked for.
    pub(super) fn of(cache: &Cache, key: TargetKey, parts: &request::Parts) -> Option<Arc<Memo>> {
        if parts.method != Method::GET || parts.headers.contains_key(CACHE_CONTROL) {
            return None;
        }
        cache
            .memo(key, Instant::now())
            .filter(|memo| memo.forbids.is_some())
    }

    pub(super) fn new(cache: &Cache, key: TargetKey, memo: Arc<Memo>, parts: request::Parts) -> Self {
        let by_hold = AskedByHold::of(&parts.extensions).is_some();
        let mut request = Request::from_parts(parts, EdgeBody::empty());
        if !by_hold {
            grip::strip(request.headers_mut());
        }
        Self {
            cache: cache.clone(),
            key,
            memo,
            request,
            by_hold,
        }
    }

    pub(super) async fn run<S, B>(self, mut inner: S) -> Result<Response<EdgeBody>, S::Error>
    where
        S: Service<Request<EdgeBody>, Response = Response<B>>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Self {
            cache,
            key,
            memo,
            request,
            by_hold,
        } = self;
        cache.counters().pass.add(1);
        cache.counters().fetches.add(1);
        let mut response = call(&mut inner, request).await?.map(EdgeBody::new);
        if memo.fits(response.headers()) {
            response.headers_mut().append(CACHE_STATUS, memo.status.clone());
            return Ok(response);
        }
        let policy = CacheControl::parse(response.headers());
        if !policy.no_store && !policy.is_private() && !response.status().is_server_error() {
            // This one was asked for alone. The next request finds out what others may have.
            cache.forget_memo(key);
        }
        Ok(private(response, by_hold, memo.status.clone()))
    }
}

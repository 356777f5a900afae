//! What is remembered of a URL that proved uncacheable, and how its requests pass.
//!
//! Where the reason is the answer's own `Cache-Control`, the next answer only has to be compared with it: no
//! resource is made, the request is not copied, and its answer is looked through once. One that could be kept ends
//! that.

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tokio::time::Instant;

use super::arrived::Arrived;
use super::fields::Fields;
use super::handle::Cache;
use super::key::{Named, is_https};
use super::policy::{CDN_CACHE_CONTROL, CacheStatus, Fwd};
use super::resource::Resource;
use super::serve::CACHE_STATUS;
use super::tags::SURROGATE_KEY;
use super::visit::{Visit, private};
use crate::body::EdgeBody;
use crate::grip;
use crate::handoff::AskedByHold;
use crate::hub::{Quiet, Since};
use crate::order::{TargetKey, Url};
use crate::position::Position;
use crate::sync::Arc;
use crate::time::Now;

/// A URL proved uncacheable: its requests are not collapsed for a while.
pub(super) struct Memo {
    url: Url,
    until: Instant,
    stamp: Position,
    why: &'static str,
    /// The URL's, by which it is purged.
    keys: Box<[TargetKey]>,
    quiet: Quiet,
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
            url: resource.url.clone(),
            until: now + cache.config().uncacheable_ttl,
            stamp: cache.hub().now(),
            why,
            keys: resource.keys.clone(),
            quiet: Quiet::default(),
            forbids: arrived.forbidden_by(),
            status: status.to_value(),
        }
    }

    pub(super) fn why(&self) -> &'static str {
        self.why
    }

    /// What it takes that others determine.
    pub(super) fn bytes(&self) -> usize {
        self.url.as_str().len() + self.forbids.as_ref().map_or(0, HeaderValue::len)
    }

    #[cfg(test)]
    pub(super) fn shares(&self, value: &HeaderValue) -> bool {
        let own = self.forbids.as_ref();
        own.is_some_and(|own| own.as_bytes().as_ptr() == value.as_bytes().as_ptr())
    }

    pub(super) fn is_of(&self, named: &Named<'_>) -> bool {
        named.is(&self.url)
    }

    /// Whether its time is not over, and the URL was not purged since.
    pub(super) fn is_valid(&self, cache: &Cache, now: Instant) -> bool {
        let since = Since {
            stamp: self.stamp,
            keys: [&self.keys, &[]],
            quiet: Some(&self.quiet),
            channel_keys: &[],
            channels: &[],
        };
        now < self.until && cache.hub().judge(since).last_mark <= self.stamp
    }

    /// Whether a response is forbidden by the very same `Cache-Control`, and nothing in it is for us.
    fn fits<B>(&self, response: &Response<B>) -> bool {
        let mut lines = 0;
        for (name, value) in response.headers() {
            if *name == CACHE_CONTROL {
                lines += 1;
                if self.forbids.as_ref() != Some(value) {
                    return false;
                }
            } else if *name == CONTENT_TYPE {
                if grip::is_instruct(value) {
                    return false;
                }
            } else if is_for_us(name) {
                return false;
            }
        }
        lines == 1 && response.status() != StatusCode::NOT_MODIFIED
    }
}

fn is_for_us(name: &HeaderName) -> bool {
    grip::is_grip(name) || *name == SURROGATE_KEY || *name == CDN_CACHE_CONTROL
}

/// What is remembered by which this request can pass.
pub(super) fn passes<B>(
    cache: &Cache,
    (named, key): (&Named<'_>, TargetKey),
    request: &Request<B>,
    fields: Fields,
    now: Instant,
) -> Option<Arc<Memo>> {
    // What decides whether an answer may be kept, or is whole, would have to be kept itself.
    let matters = [Fields::CONDITION, Fields::LIMIT, Fields::KEYED];
    if *request.method() != Method::GET || matters.iter().any(|kind| fields.has(*kind)) {
        return None;
    }
    cache
        .memo(key, now)
        .filter(|memo| memo.forbids.is_some() && memo.is_of(named))
}

/// A request that passes.
pub(super) struct Passing {
    cache: Cache,
    memo: Arc<Memo>,
    stamp: Position,
    asked: Instant,
    by_hold: bool,
    is_https: bool,
}

// === impl Passing ===

impl Passing {
    /// Of a request that is about to leave. It needs no pin: who asks on behalf of a hold has pinned the logs already.
    pub(super) fn new<B>(cache: &Cache, memo: Arc<Memo>, request: &Request<B>, now: Instant) -> Self {
        cache.counters().pass.add(1);
        cache.counters().fetches.add(1);
        Self {
            cache: cache.clone(),
            memo,
            stamp: cache.hub().now(),
            asked: now,
            by_hold: AskedByHold::of(request.extensions()).is_some(),
            is_https: is_https(request.uri(), request.extensions()),
        }
    }

    pub(super) fn is_by_hold(&self) -> bool {
        self.by_hold
    }

    /// What the client gets.
    pub(super) fn answer(self, mut response: Response<EdgeBody>) -> Passed {
        if !self.memo.fits(&response) {
            return Passed::Misfit(Misfit {
                passing: self,
                response,
            });
        }
        let status = self.memo.status.clone();
        response.headers_mut().append(CACHE_STATUS, status);
        Passed::Fits(response)
    }
}

/// What came for a request that passes.
pub(super) enum Passed {
    /// The client gets it as it is.
    Fits(Response<EdgeBody>),
    Misfit(Misfit),
}

/// An answer that is not forbidden by what is remembered.
pub(super) struct Misfit {
    passing: Passing,
    response: Response<EdgeBody>,
}

// === impl Misfit ===

impl Misfit {
    /// Looks at it whole, and keeps it where it can be kept.
    pub(super) async fn settle(self) -> Response<EdgeBody> {
        let Self { passing, response } = self;
        let Passing {
            cache,
            memo,
            stamp,
            asked,
            by_hold,
            is_https,
        } = passing;
        let named = Named::Url(memo.url.clone());
        let key = named.key();
        let Ok(resource) = cache.index().resource(named, key) else {
            return private(response, by_hold, memo.status.clone());
        };
        // Of the request no more is left than its URL: what depends on other fields is not kept, nor filed among what
        // does.
        let depends =
            response.headers().contains_key(VARY) || response.headers().contains_key(CONTENT_ENCODING);
        let keeps = |resource: &Resource| !depends && !resource.varies();
        let visit = Visit::of_url(&cache, resource, stamp, (is_https, by_hold));
        visit
            .settle(response, stamp, Now::at(asked), memo.why, None, keeps)
            .await
    }
}

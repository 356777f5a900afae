//! How the requests of a URL pass whose answers are not kept.
//!
//! Where the reason is the answer's own, the next answer only has to be compared with it: no resource is made, the
//! request is not copied, and its answer is looked through once. One that could be kept ends that.

use http::{HeaderMap, Method, Request, Response};
use tokio::time::Instant;

use super::arrived::Sent;
use super::handle::Cache;
use super::key::RequestUrl;
use super::memo::Memo;
use super::refusal::{Reader, private};
use super::serve::CACHE_STATUS;
use super::visit::Visit;
use crate::body::EdgeBody;
use crate::handoff::AskedByHold;
use crate::order::TargetKey;
use crate::position::Stamp;
use crate::request::{Fields, is_https};
use crate::sync::Arc;
use crate::time::Now;

/// What is remembered by which this request can pass.
pub(super) fn passes<B>(
    cache: &Cache,
    (named, key): (&RequestUrl<'_>, TargetKey),
    request: &Request<B>,
    fields: Fields,
    now: Instant,
) -> Option<Arc<Memo>> {
    // What decides whether an answer may be kept, or is whole, would have to be kept itself.
    let matters = [Fields::CONDITION, Fields::RANGE, Fields::LIMIT, Fields::KEYED];
    if *request.method() != Method::GET || matters.iter().any(|kind| fields.has(*kind)) {
        return None;
    }
    cache.memo(key, now).filter(|memo| memo.lets_pass(named))
}

/// A request that passes.
pub(super) struct Passing {
    cache: Cache,
    memo: Arc<Memo>,
    stamp: Stamp,
    asked: Instant,
    door: u64,
    by_hold: bool,
    is_https: bool,
}

// === impl Passing ===

impl Passing {
    /// Of a request that is about to leave. It needs no pin: who asks on behalf of a hold has pinned the logs already, and
    /// what is kept against all expectation sees its marks when it comes, if none was forgotten meanwhile.
    pub(super) fn new<B>(
        cache: &Cache,
        memo: Arc<Memo>,
        request: &Request<B>,
        door: u64,
        now: Instant,
    ) -> Self {
        cache.counters().pass.add(1);
        cache.counters().fetches.add(1);
        Self {
            cache: cache.clone(),
            memo,
            stamp: cache.hub().stamp_at(cache.hub().now()),
            asked: now,
            door,
            by_hold: AskedByHold::of(request.extensions()).is_some(),
            is_https: is_https(request.extensions()),
        }
    }

    /// What the client gets.
    pub(super) fn answer(self, mut response: Response<EdgeBody>) -> Passed {
        if !self.memo.fits(&response) {
            return Passed::Unlike(Unlike {
                passing: self,
                response,
            });
        }
        let status = self.memo.status().clone();
        response.headers_mut().append(CACHE_STATUS, status);
        Passed::Alike(response)
    }
}

/// What came for a request that passes.
pub(super) enum Passed {
    /// The same forbids to keep it: the client gets it as it is.
    Alike(Response<EdgeBody>),
    Unlike(Unlike),
}

/// An answer that is not forbidden by what is remembered.
pub(super) struct Unlike {
    passing: Passing,
    response: Response<EdgeBody>,
}

// === impl Unlike ===

impl Unlike {
    /// Looks at it whole, and keeps it where it can be kept.
    pub(super) async fn settle(self) -> Response<EdgeBody> {
        let Self { passing, response } = self;
        let Passing {
            cache,
            memo,
            stamp,
            asked,
            door,
            by_hold,
            is_https,
        } = passing;
        let reader = match by_hold {
            true => Reader::Hold,
            false => Reader::Client,
        };
        let named = RequestUrl::Url(memo.url().clone());
        let key = named.key();
        let Ok(resource) = cache.index().resource(named, key) else {
            return private(response, reader, memo.status().clone());
        };
        if !resource.is_of_door(door, || false) {
            return private(response, reader, memo.status().clone());
        }
        let sent = Sent {
            method: &Method::GET,
            headers: &HeaderMap::new(),
            is_https,
            by_hold,
            stamp,
            at: Now::at(asked),
        };
        // Of the request no more is left than its URL.
        let visit = Visit::of_url(&cache, resource, stamp, (is_https, by_hold), reader);
        let pin = cache.hub().begin_fetch(Instant::now());
        visit.settle(response, sent, (memo.why(), true), None, pin).await
    }
}

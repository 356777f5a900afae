//! A request that may be answered from the cache: what becomes of it.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, request};
use http_body::Body;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::arrived::{Arrived, Disposition, Sent, look_at};
use super::config::PacedReads;
use super::entry::Entry;
use super::fetch::{FlightTask, ForLeader, RESUMING, carry_alone};
use super::find::{Asking, Departure, Found, NESTED, Served, Wait};
use super::flight::{Failure, Flight, Gone, Landed, Landing, Phase};
use super::handle::Cache;
use super::look::Needs;
use super::policy::{
    Arrival, CacheStatus, Freshness, Fwd, Outage, is_not_modified, names_tag_of, not_modified_headers,
    reduce_accept_encoding,
};
use super::resource::Resource;
use super::serve::{CACHE_STATUS, Given};
use super::tags::SURROGATE_KEY;
use crate::below::{Below, call};
use crate::body::{EdgeBody, Selected};
use crate::error::ERROR_HEADER;
use crate::grip;
use crate::handoff::{AskedByHold, ClientHasIt};
use crate::hub::Fetch;
use crate::position::{Position, Stamp};
use crate::request::{Fields, is_https};
use crate::sync::Arc;
use crate::time::{Now, after};

/// A foreign cache between may have answered with something older than this request may have (rule X1).
const FOREIGN_AGE: &str = "foreign-age";
/// Flights that one request waits for, one after the other. Each is of its own making from the second on at the
/// latest, and that one serves it: more can only be a defect.
const MAX_FLIGHTS: usize = 8;

/// A request that may be answered from the cache.
pub(super) struct Visit {
    cache: Cache,
    resource: Arc<Resource>,
    needs: Needs,
    parts: request::Parts,
    fields: Fields,
    is_https: bool,
    since: Instant,
}

/// What a visit does next.
pub(super) enum Next<E> {
    /// `None`: the freshness is its own.
    Answer(Arc<Entry>, Option<Box<Freshness>>, Served),
    /// It waits for a flight; if that is its own, what only its own request may have comes here.
    Wait(Box<Wait>, Option<oneshot::Receiver<ForLeader<E>>>),
    /// It asks for itself, and says why.
    Alone(&'static str),
    /// It gets nothing, for it wants nothing fetched.
    Nothing,
}

/// What came of waiting.
enum Waited<E> {
    Response(Box<Response<EdgeBody>>),
    Error(E),
    /// Nothing for this request: it asks for itself, and says why. An old answer may still be better.
    Alone(&'static str, Option<Arc<Entry>>),
    /// Something too old, or another variant: decide anew.
    Again,
}

// === impl Visit ===

impl Visit {
    #[inline]
    pub(super) fn new<B>(
        cache: &Cache,
        resource: Arc<Resource>,
        request: Request<B>,
        fields: Fields,
        paced_reads: PacedReads,
        since: Instant,
    ) -> Self {
        let by_hold = AskedByHold::of(request.extensions());
        let hub = cache.hub();
        let arrival = hub.stamp_at(hub.now());
        let needs = Needs {
            arrival,
            // No fetch of ours can bring more than this clock has reached.
            at_least: by_hold.map_or(Position::ZERO, |asked| asked.at_least.min(arrival.at)),
            by_hold: by_hold.is_some(),
            is_head: *request.method() == Method::HEAD,
            paced_reads,
        };
        let is_https = is_https(request.extensions());
        Self {
            cache: cache.clone(),
            resource,
            needs,
            parts: request.into_parts().0,
            fields,
            is_https,
            since,
        }
    }

    /// Of a GET whose fields nothing depends on.
    pub(super) fn of_url(
        cache: &Cache,
        resource: Arc<Resource>,
        arrival: Stamp,
        (is_https, by_hold): (bool, bool),
    ) -> Self {
        Self {
            needs: Needs {
                arrival,
                at_least: Position::ZERO,
                by_hold,
                is_head: false,
                paced_reads: cache.config().paced_reads,
            },
            cache: cache.clone(),
            resource,
            parts: Request::new(()).into_parts().0,
            fields: Fields::NONE,
            is_https,
            since: Instant::now(),
        }
    }

    /// Decides, and starts what that needs. Without an await between the two: a client that goes away leaves no
    /// flight behind that others wait for in vain.
    pub(super) fn decide<S: Below>(&self, below: &S, now: Instant) -> Next<S::Error> {
        let asking = Asking {
            resource: &self.resource,
            needs: &self.needs,
            method: &self.parts.method,
            headers: &self.parts.headers,
            fields: self.fields,
            is_https: self.is_https,
            extensions: &self.parts.extensions,
        };
        match self.cache.find(&asking, now) {
            Found::Answer {
                entry,
                freshness,
                served,
                refresh,
            } => {
                if let Some(departure) = refresh {
                    self.depart(*departure, below, None);
                }
                Next::Answer(entry, freshness, served)
            }
            Found::Wait { wait, departure } => {
                let leader = departure.map(|departure| {
                    let (tell, told) = oneshot::channel();
                    self.depart(*departure, below, Some(tell));
                    told
                });
                Next::Wait(wait, leader)
            }
            Found::Alone(why) => Next::Alone(why),
            Found::Nothing => Next::Nothing,
        }
    }

    /// A stored answer. `None`, if its body cannot be read any more.
    pub(super) fn answer(
        &self,
        entry: &Arc<Entry>,
        freshness: Option<&Freshness>,
        served: Served,
        now: Instant,
    ) -> Option<Response<EdgeBody>> {
        let counters = self.cache.counters();
        let status = match served {
            Served::Fresh => None,
            Served::Stale => Some(CacheStatus::hit().detail("swr")),
            Served::Outage => Some(CacheStatus::hit().detail("outage")),
            Served::Paced => Some(CacheStatus::hit().detail("paced")),
        };
        if status.is_none() {
            counters.hit.add(1)
        } else {
            counters.stale.add(1)
        }
        self.give_at(entry, freshness.unwrap_or(&entry.head.freshness), status, now)
    }

    fn give(
        &self,
        entry: &Arc<Entry>,
        freshness: &Freshness,
        status: Option<CacheStatus<'_>>,
    ) -> Option<Response<EdgeBody>> {
        self.give_at(entry, freshness, status, Instant::now())
    }

    fn give_at(
        &self,
        entry: &Arc<Entry>,
        freshness: &Freshness,
        status: Option<CacheStatus<'_>>,
        now: Instant,
    ) -> Option<Response<EdgeBody>> {
        let name = self.cache.config().name;
        let given = Given {
            resource: &self.resource,
            dates: self.cache.dates(),
            needs: &self.needs,
            request: &self.parts.headers,
            asks_conditionally: self.fields.has(Fields::CONDITION),
            asks_for_a_part: self.fields.has(Fields::RANGE),
            now,
            freshness,
            status: status.map(|status| status.name(name)),
            name,
        };
        given.respond(entry)
    }

    pub(super) async fn run<S: Below>(
        self,
        below: S,
        mut next: Next<S::Error>,
    ) -> Result<Response<EdgeBody>, S::Error> {
        let until = after(Instant::now(), self.cache.config().flight_timeout);
        for _ in 0..MAX_FLIGHTS {
            let (mut wait, leader) = match next {
                Next::Wait(wait, leader) => (wait, leader),
                Next::Answer(entry, freshness, served) => {
                    match self.answer(&entry, freshness.as_deref(), served, Instant::now()) {
                        Some(response) => return Ok(response),
                        None => return self.go_alone(below, "unreadable", None).await,
                    }
                }
                Next::Alone(why) => return self.go_alone(below, why, None).await,
                Next::Nothing => return Ok(error(StatusCode::GATEWAY_TIMEOUT, "only-if-cached")),
            };
            // As long as the old answer is in its hands.
            let _pin = wait.pin.take();
            match self.wait(wait, leader, until).await {
                Waited::Response(response) => return Ok(*response),
                Waited::Error(error) => return Err(error),
                Waited::Alone(why, old) => return self.go_alone(below, why, old).await,
                Waited::Again => next = self.decide(&below, Instant::now()),
            }
        }
        tracing::warn!(target: "gripstack::cache", url = self.resource.url.as_str(), "left too many flights");
        self.go_alone(below, "too-many-flights", None).await
    }

    /// Starts a flight. Whatever of this panics, or whoever drops it before it runs: the departure takes it off the list.
    fn depart<S: Below>(
        &self,
        departure: Departure,
        below: &S,
        leader: Option<oneshot::Sender<ForLeader<S::Error>>>,
    ) {
        let mut request = self.parts.clone();
        // At most four variants, and what is keyed is what is forwarded.
        reduce_accept_encoding(&mut request.headers);
        let task = FlightTask {
            cache: self.cache.clone(),
            departure,
            below: below.clone(),
            request,
            is_https: self.is_https,
            by_hold: self.needs.by_hold,
            leader,
        };
        tokio::spawn(task.run());
    }

    /// Waits for a flight, and takes what it brings if that is good enough. `leader`: it is its own. One of somebody else
    /// is left after a while for a new one, but it does not go on so after `until`.
    async fn wait<E>(
        &self,
        wait: Box<Wait>,
        leader: Option<oneshot::Receiver<ForLeader<E>>>,
        until: Instant,
    ) -> Waited<E> {
        let Wait {
            flight,
            mut phase,
            old,
            fwd,
            paced,
            pin: _,
        } = *wait;
        let leads = leader.is_some();
        let longest = self.cache.config().wait_timeout;
        let landed = self.landed(&mut phase, old.as_ref());
        let brought = if leads && !paced {
            // Its own flight: that has a time limit of its own.
            landed.await
        } else {
            let now = Instant::now();
            let turn = flight.turn.map_or(now, |turn| turn.max(now));
            match tokio::time::timeout_at(after(turn, longest), landed).await {
                Ok(brought) => brought,
                Err(_) if !paced && after(now, longest) < until => return Waited::Again,
                Err(_) => {
                    let old = match paced {
                        true => {
                            let status = CacheStatus::hit().detail("paced-timeout");
                            self.old(old.as_ref(), self.cache.pace(), status)
                        }
                        false => self.old_after_failure(old.as_ref(), None),
                    };
                    return Waited::of(old, || error(StatusCode::GATEWAY_TIMEOUT, "wait-timeout"));
                }
            }
        };
        match brought {
            Phase::Landed(landed) => {
                let own = match leader.map(|mut leader| leader.try_recv()) {
                    Some(Ok(ForLeader::Fields(own))) => own,
                    _ => HeaderMap::new(),
                };
                self.take((landed, own), old, fwd, leads)
            }
            Phase::Gone(gone) => self.take_own(gone, leader, old, fwd).await,
            // It hangs, and there is an old answer; or its sender is gone, which lives as long as the flight, which is ours.
            Phase::Waiting | Phase::Flying { .. } => {
                let old = self.old_after_failure(old.as_ref(), None);
                Waited::of(old, || failed(Failure::Died))
            }
        }
    }

    /// Where a flight has nothing for all: takes what is for its leader, or an old answer.
    async fn take_own<E>(
        &self,
        gone: Gone,
        leader: Option<oneshot::Receiver<ForLeader<E>>>,
        old: Option<Arc<Entry>>,
        fwd: Fwd,
    ) -> Waited<E> {
        let (is_failure, status) = match &gone {
            Gone::NotShareable { error, .. } => (error.is_some(), *error),
            Gone::Failed(failure) => (true, failure.status()),
        };
        if is_failure && let Some(old) = self.old_after_failure(old.as_ref(), status) {
            return Waited::Response(Box::new(old));
        }
        let own = match leader {
            Some(leader) => leader.await.ok(),
            None => None,
        };
        match (gone, own) {
            // It was made for somebody who comes for the first time.
            (Gone::NotShareable { why, .. }, Some(ForLeader::Response(_))) if self.resumes() => {
                Waited::Alone(why, old)
            }
            (Gone::NotShareable { why, .. }, Some(ForLeader::Response(response))) => {
                let response = self.as_asked(*response);
                Waited::Response(Box::new(self.finish_private(response, why)))
            }
            (Gone::NotShareable { .. }, Some(ForLeader::Landed(landed, own))) => {
                self.take((*landed, own), None, fwd, true)
            }
            (Gone::NotShareable { why, kept, .. }, _) => {
                match kept.and_then(|kept| self.has_already(&kept, fwd, why)) {
                    Some(response) => Waited::Response(Box::new(response)),
                    None => Waited::Alone(why, old),
                }
            }
            (Gone::Failed(_), Some(ForLeader::Error(error))) => Waited::Error(error),
            (Gone::Failed(failure), Some(ForLeader::Response(response))) => {
                Waited::Response(Box::new(self.finish_private(*response, failure.as_str())))
            }
            (Gone::Failed(failure), _) => Waited::Response(Box::new(failed(failure))),
        }
    }

    /// 304, if this request, which waited, names the very tag of an answer that is for somebody else: then it has the same,
    /// and gets nothing of it. A date proves less.
    fn has_already(&self, kept: &Arc<Entry>, fwd: Fwd, why: &str) -> Option<Response<EdgeBody>> {
        let hub = self.cache.hub();
        let channels = self.resource.channels(hub);
        let has_it = self.fields.has(Fields::CONDITION)
            && names_tag_of(&self.parts.headers, &kept.head.headers)
            && !(self.needs.by_hold && (kept.head.is_hold() || kept.head.instruct_unchanged.is_some()))
            && self.needs.is_served_by(hub, &self.resource, kept, &channels);
        if !has_it {
            return None;
        }
        self.cache.counters().collapsed.add(1);
        let status = CacheStatus::forwarded(fwd).collapsed(true).detail(why);
        self.give(kept, &kept.head.freshness, Some(status))
    }

    /// What a flight comes to; or, once it hangs, nothing more than that, if the old answer may be given then.
    async fn landed(&self, phase: &mut watch::Receiver<Phase>, old: Option<&Arc<Entry>>) -> Phase {
        let is_over = |phase: &Phase| matches!(phase, Phase::Landed(_) | Phase::Gone(_));
        let hangs = |phase: &Phase| matches!(phase, Phase::Flying { hangs: true, .. });
        let first = match phase.wait_for(|phase| is_over(phase) || hangs(phase)).await {
            Ok(phase) => phase.clone(),
            Err(_) => return Phase::Waiting,
        };
        if is_over(&first) || self.may_have(old, self.cache.outage()).is_some() {
            return first;
        }
        let last = phase.wait_for(is_over).await;
        last.map_or(Phase::Waiting, |phase| phase.clone())
    }

    /// Whether it says what it has had already.
    fn resumes(&self) -> bool {
        RESUMING.iter().any(|name| self.parts.headers.contains_key(name))
    }

    /// Takes what a flight brought, if it is this request's variant and young enough for it (rule C5). `own`: fields that
    /// nobody else gets.
    fn take<E>(
        &self,
        (landed, own): (Landed, HeaderMap),
        old: Option<Arc<Entry>>,
        fwd: Fwd,
        leads: bool,
    ) -> Waited<E> {
        let entry = &landed.entry;
        if landed.is_error
            && let Some(old) = self.old_after_failure(old.as_ref(), Some(entry.head.status))
        {
            return Waited::Response(Box::new(old));
        }
        let variant = self.cache.variant_of(
            Some(&entry.head.vary),
            &self.parts.headers,
            self.is_https,
            self.needs.by_hold,
        );
        if variant != entry.head.variant {
            return Waited::Again;
        }
        let mut status = CacheStatus::forwarded(fwd);
        if let Some(code) = landed.fwd_status.and_then(|code| StatusCode::from_u16(code).ok()) {
            status = status.fwd_status(code);
        }
        let counters = self.cache.counters();
        if leads {
            counters.miss.add(1);
            status = status.stored(landed.storable);
        } else {
            counters.collapsed.add(1);
            status = status.collapsed(true);
        }
        if let Some(why) = landed.why {
            status = status.detail(why);
        }
        let channels = self.resource.channels(self.cache.hub());
        if !self
            .needs
            .is_served_by(self.cache.hub(), &self.resource, entry, &channels)
        {
            if !self
                .needs
                .has_no_better(self.cache.hub(), &self.resource, &landed, &channels)
            {
                return Waited::Again;
            }
            status = status.detail(FOREIGN_AGE);
        }
        match self.give(entry, &entry.head.freshness, Some(status)) {
            Some(mut response) => {
                response.headers_mut().extend(own);
                Waited::Response(Box::new(response))
            }
            None => Waited::Alone("too-late", old),
        }
    }

    /// How fresh the old answer is, where it may be given although no better one came.
    fn may_have(&self, old: Option<&Arc<Entry>>, excuse: Option<Outage>) -> Option<Freshness> {
        let channels = self.resource.channels(self.cache.hub());
        let hub = self.cache.hub();
        self.needs
            .may_have_old(hub, &self.resource, old?, &channels, excuse, Instant::now())
    }

    /// The old answer, where it may be given although no better one came. `status` says why.
    fn old(
        &self,
        old: Option<&Arc<Entry>>,
        excuse: Option<Outage>,
        status: CacheStatus<'_>,
    ) -> Option<Response<EdgeBody>> {
        let freshness = self.may_have(old, excuse)?;
        self.cache.counters().stale.add(1);
        self.give(old?, &freshness, Some(status))
    }

    /// The old answer, if the failure of a fetch excuses it. `error`: what the origin answered.
    fn old_after_failure(
        &self,
        old: Option<&Arc<Entry>>,
        error: Option<StatusCode>,
    ) -> Option<Response<EdgeBody>> {
        let mut status = CacheStatus::forwarded(Fwd::Stale).detail("outage");
        if let Some(error) = error {
            status = status.fwd_status(error);
        }
        self.old(old, self.cache.outage(), status)
    }

    /// Asks for itself alone.
    async fn go_alone<S: Below>(
        self,
        mut below: S,
        why: &'static str,
        old: Option<Arc<Entry>>,
    ) -> Result<Response<EdgeBody>, S::Error> {
        // Rule C3.
        let fetch = self.cache.hub().begin_fetch(Instant::now());
        let at = Now::read();
        self.cache.counters().pass.add(1);
        self.cache.counters().fetches.add(1);
        let mut request = Request::from_parts(self.parts.clone(), EdgeBody::empty());
        reduce_accept_encoding(request.headers_mut());
        if !self.needs.by_hold {
            grip::strip(request.headers_mut());
        }
        request.extensions_mut().insert(self.cache.id());
        let headers = request.headers().clone();
        let response = match call(&mut below, request).await {
            Ok(response) => response.map(EdgeBody::new),
            Err(error) => {
                self.cache.fetch_failed(&self.resource, Failure::Service);
                return match self.old_after_failure(old.as_ref(), None) {
                    Some(old) => Ok(old),
                    None => Err(error),
                };
            }
        };
        let method = self.parts.method.clone();
        let sent = Sent {
            method: &method,
            headers: &headers,
            is_https: self.is_https,
            by_hold: self.needs.by_hold,
            stamp: fetch.stamp(),
            at,
        };
        // What is made for who has had something already is for nobody else (rule D7).
        let keeps = !self.resumes() && why != NESTED;
        Ok(self.settle(response, sent, (why, keeps), old, fetch).await)
    }

    /// Takes what came for this request alone. `keeps`: what proves storable after all is stored.
    pub(super) async fn settle(
        self,
        response: Response<EdgeBody>,
        sent: Sent<'_>,
        (why, keeps): (&'static str, bool),
        old: Option<Arc<Entry>>,
        pin: Fetch,
    ) -> Response<EdgeBody> {
        let arrived = match look_at(&self.cache, &self.resource, sent, response).await {
            Ok(arrived) => arrived,
            Err(failure) => {
                self.cache.fetch_failed(&self.resource, failure);
                let old = self.old_after_failure(old.as_ref(), None);
                return old.unwrap_or_else(|| failed(failure));
            }
        };
        let disposition = arrived.disposition();
        self.cache
            .take_note(&self.resource, &arrived, disposition, old.as_ref());
        if let Some(error) = arrived.error()
            && let Some(old) = self.old_after_failure(old.as_ref(), Some(error))
        {
            return old;
        }
        let is_kept = keeps && matches!(disposition, Disposition::Kept(_) | Disposition::Shared(Ok(())));
        let mut detail = match disposition {
            Disposition::Failed(failure) => failure.as_str(),
            Disposition::Private(why) | Disposition::Kept(why) | Disposition::Shared(Err(why)) => why,
            Disposition::Shared(Ok(())) => why,
        };
        if arrived.is_too_old(self.cache.hub(), &self.resource, &self.needs) {
            detail = FOREIGN_AGE;
        }
        match is_kept {
            true => self.keep(arrived, sent, detail, pin),
            false => self.finish_private(arrived.into_private(&self.resource), detail),
        }
    }

    /// Gives an answer that goes into the store as well.
    fn keep(self, arrived: Arrived, sent: Sent<'_>, why: &'static str, pin: Fetch) -> Response<EdgeBody> {
        let own = arrived.own_fields();
        let (landed, body) = arrived.into_landed(&self.cache, &self.resource, sent, Ok(()));
        let landing = Landing {
            resource: self.resource.clone(),
            flight: Arc::new(Flight::new(landed.entry.head.variant, None)),
            pin,
        };
        let status = CacheStatus::forwarded(Fwd::UriMiss).stored(true).detail(why);
        let response = self.give(&landed.entry, &landed.entry.head.freshness, Some(status));
        tokio::spawn(carry_alone(self.cache.clone(), landing, (landed, body)));
        let Some(mut response) = response else {
            return failed(Failure::Died);
        };
        response.headers_mut().extend(own);
        response
    }

    /// An answer to this request that was asked for without its conditions, so that others could have it, too: they are
    /// judged here (RFC 9110 13.2.1).
    fn as_asked(&self, mut response: Response<EdgeBody>) -> Response<EdgeBody> {
        let is_held = self.needs.by_hold && grip::has_grip(response.headers());
        let now = Now::read();
        let arrival = Arrival {
            received: now.wall,
            took: now.mono.saturating_duration_since(self.since),
            proves_after: self.cache.dates().proves_after(self.resource.key()),
        };
        let has_it = self.fields.has(Fields::CONDITION)
            && response.status() == StatusCode::OK
            && is_not_modified(&self.parts.headers, response.headers(), arrival);
        if !has_it {
            return response;
        }
        if is_held {
            response.extensions_mut().insert(ClientHasIt);
            return response;
        }
        let (mut parts, body) = response.into_parts();
        parts.status = StatusCode::NOT_MODIFIED;
        let headers = not_modified_headers(&parts.headers);
        let mut selected = std::mem::replace(&mut parts.headers, headers);
        if let Some(length) = body.size_hint().exact() {
            selected.insert(CONTENT_LENGTH, length.into());
        }
        parts.extensions.insert(Selected(selected));
        Response::from_parts(parts, EdgeBody::empty())
    }

    /// An answer for this request alone.
    fn finish_private(&self, mut response: Response<EdgeBody>, why: &'static str) -> Response<EdgeBody> {
        if self.needs.is_head {
            *response.body_mut() = EdgeBody::empty();
        }
        let status = CacheStatus::forwarded(Fwd::UriMiss)
            .name(self.cache.config().name)
            .stored(false)
            .detail(why);
        private(response, self.needs.by_hold, status.to_value())
    }
}

// === impl Waited ===

impl<E> Waited<E> {
    fn of(response: Option<Response<EdgeBody>>, otherwise: impl FnOnce() -> Response<EdgeBody>) -> Self {
        Self::Response(Box::new(response.unwrap_or_else(otherwise)))
    }
}

/// An answer for one request alone, with this `Cache-Status`.
pub(super) fn private(
    mut response: Response<EdgeBody>,
    by_hold: bool,
    status: HeaderValue,
) -> Response<EdgeBody> {
    if !by_hold {
        if grip::is_instruct_type(response.headers()) {
            return error(StatusCode::NOT_IMPLEMENTED, "grip-instruct-without-hold");
        }
        grip::strip(response.headers_mut());
    }
    response.headers_mut().remove(SURROGATE_KEY);
    response.headers_mut().append(CACHE_STATUS, status);
    response
}

fn failed(failure: Failure) -> Response<EdgeBody> {
    let status = match failure {
        Failure::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => failure.status().unwrap_or(StatusCode::BAD_GATEWAY),
    };
    error(status, failure.as_str())
}

/// An answer of ours, that says why.
fn error(status: StatusCode, why: &'static str) -> Response<EdgeBody> {
    let mut response = Response::new(EdgeBody::from(format!("{why}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ERROR_HEADER, HeaderValue::from_static(why));
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! A request that may be answered from the cache: what becomes of it.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, request};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_service::Service;

use super::arrived::look_at;
use super::config::PacedReads;
use super::entry::Entry;
use super::fetch::{Told, Trip, call, carry_alone};
use super::fields::Fields;
use super::find::{AsWhat, Found, Limits, Start, Wait};
use super::flight::{Failure, Flight, Gone, Landed, Phase};
use super::handle::Cache;
use super::key::is_https;
use super::look::Ask;
use super::policy::{CacheStatus, Freshness, Fwd, Outage, RequestDirectives, reduce_accept_encoding};
use super::resource::Resource;
use super::serve::{CACHE_STATUS, Given};
use super::tags::SURROGATE_KEY;
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::grip;
use crate::handoff::AskedByHold;
use crate::position::Position;
use crate::sync::Arc;
use crate::time::Now;

/// Why an answer of ours is not the origin's: for operators to search for.
const GRIPSTACK_ERROR: HeaderName = HeaderName::from_static("gripstack-error");
/// Flights that one request waits for, one after the other. Each is of its own making from the second on at the
/// latest, and that one serves it: more can only be a defect.
const MAX_FLIGHTS: usize = 8;

/// A request that may be answered from the cache.
pub(super) struct Visit {
    cache: Cache,
    resource: Arc<Resource>,
    ask: Ask,
    parts: request::Parts,
    fields: Fields,
    is_https: bool,
}

// === impl Visit ===

impl Visit {
    pub(super) fn new<B>(
        cache: &Cache,
        resource: Arc<Resource>,
        request: Request<B>,
        fields: Fields,
        paced_reads: PacedReads,
    ) -> Self {
        let by_hold = AskedByHold::of(request.extensions());
        let arrival = cache.hub().now();
        let ask = Ask {
            arrival,
            // No fetch of ours can bring more than this clock has reached.
            at_least: by_hold.map_or(Position::ZERO, |asked| asked.at_least.min(arrival)),
            by_hold: by_hold.is_some(),
            is_head: *request.method() == Method::HEAD,
            paced_reads,
        };
        let is_https = is_https(request.uri(), request.extensions());
        Self {
            cache: cache.clone(),
            resource,
            ask,
            parts: request.into_parts().0,
            fields,
            is_https,
        }
    }

    /// Of a GET whose fields nothing depends on.
    pub(super) fn of_url(
        cache: &Cache,
        resource: Arc<Resource>,
        arrival: Position,
        (is_https, by_hold): (bool, bool),
    ) -> Self {
        Self {
            ask: Ask {
                arrival,
                by_hold,
                paced_reads: cache.config().paced_reads,
                ..Ask::default()
            },
            cache: cache.clone(),
            resource,
            parts: Request::new(()).into_parts().0,
            fields: Fields::NONE,
            is_https,
        }
    }

    /// Decides, and starts what that needs. Without an await between the two: a client that goes away leaves no
    /// flight behind that others wait for in vain.
    pub(super) fn decide<S, B>(&self, inner: &S, now: Instant) -> Next<S::Error>
    where
        S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        match self.find(now) {
            Found::Answer {
                entry,
                freshness,
                as_what,
                refresh,
            } => {
                if let Some(start) = refresh {
                    self.start(start, inner.clone(), None);
                }
                Next::Answer(entry, freshness, as_what)
            }
            Found::Wait { wait, start } => {
                let told = start.map(|start| {
                    let (tell, told) = oneshot::channel();
                    self.start(start, inner.clone(), Some(tell));
                    told
                });
                Next::Wait(wait, told)
            }
            Found::Alone(why) => Next::Alone(why),
            Found::Nothing => Next::Nothing,
        }
    }

    fn find(&self, now: Instant) -> Found {
        let variant = |vary: Option<&_>| {
            let variant = match self.fields.has(Fields::KEYED) {
                true => Cache::variant,
                false => Cache::plain_variant,
            };
            variant(
                &self.cache,
                vary,
                &self.parts.headers,
                self.is_https,
                self.ask.by_hold,
            )
        };
        let limits = || Limits {
            only_if_cached: self.parts.headers.contains_key(CACHE_CONTROL)
                && RequestDirectives::parse(&self.parts.headers).only_if_cached,
            has_authorization: self.parts.headers.contains_key(AUTHORIZATION),
        };
        self.cache.find(&self.resource, &self.ask, variant, limits, now)
    }

    /// A stored answer. `None`, if its body cannot be read any more.
    pub(super) fn answer(
        &self,
        entry: &Arc<Entry>,
        freshness: Freshness,
        as_what: AsWhat,
        now: Instant,
    ) -> Option<Response<EdgeBody>> {
        let counters = self.cache.counters();
        let status = match as_what {
            AsWhat::Fresh => None,
            AsWhat::Stale => Some(CacheStatus::hit().detail("swr")),
            AsWhat::Outage => Some(CacheStatus::hit().detail("outage")),
            AsWhat::Paced => Some(CacheStatus::hit().detail("paced")),
        };
        if status.is_none() {
            counters.hit.add(1)
        } else {
            counters.stale.add(1)
        }
        self.give_at(entry, freshness, status, now)
    }

    fn give(
        &self,
        entry: &Arc<Entry>,
        freshness: Freshness,
        status: Option<CacheStatus<'_>>,
    ) -> Option<Response<EdgeBody>> {
        self.give_at(entry, freshness, status, Instant::now())
    }

    fn give_at(
        &self,
        entry: &Arc<Entry>,
        freshness: Freshness,
        status: Option<CacheStatus<'_>>,
        now: Instant,
    ) -> Option<Response<EdgeBody>> {
        let name = self.cache.config().name;
        let given = Given {
            ask: &self.ask,
            request: &self.parts.headers,
            asks_conditionally: self.fields.has(Fields::CONDITION),
            asks_for_a_part: self.fields.has(Fields::RANGE),
            now,
            freshness,
            stamp: self.cache.hub().stamp_at(entry.stamp),
            status: status.map(|status| status.name(name)),
            name,
        };
        given.respond(entry)
    }

    pub(super) async fn run<S, B>(
        self,
        inner: S,
        mut next: Next<S::Error>,
    ) -> Result<Response<EdgeBody>, S::Error>
    where
        S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let until = Instant::now() + self.cache.config().flight_timeout;
        for _ in 0..MAX_FLIGHTS {
            let (wait, told) = match next {
                Next::Wait(wait, told) => (wait, told),
                Next::Answer(entry, freshness, as_what) => {
                    match self.answer(&entry, freshness, as_what, Instant::now()) {
                        Some(response) => return Ok(response),
                        None => return self.go_alone(inner, "unreadable", None).await,
                    }
                }
                Next::Alone(why) => return self.go_alone(inner, why, None).await,
                Next::Nothing => return Ok(error(StatusCode::GATEWAY_TIMEOUT, "only-if-cached")),
            };
            match self.wait(wait, told, until).await {
                Waited::Response(response) => return Ok(*response),
                Waited::Error(error) => return Err(error),
                Waited::Alone(why, old) => return self.go_alone(inner, why, old).await,
                Waited::Again => next = self.decide(&inner, Instant::now()),
            }
        }
        tracing::warn!(target: "gripstack::cache", url = self.resource.url.as_str(), "left too many flights");
        self.go_alone(inner, "too-many-flights", None).await
    }

    fn start<S, B>(&self, start: Start, inner: S, tell: Option<oneshot::Sender<Told<S::Error>>>)
    where
        S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut request = self.parts.clone();
        // At most four variants, and what is keyed is what is forwarded.
        reduce_accept_encoding(&mut request.headers);
        let trip = Trip {
            cache: self.cache.clone(),
            resource: self.resource.clone(),
            start,
            inner,
            request,
            is_https: self.is_https,
            by_hold: self.ask.by_hold,
            tell,
        };
        tokio::spawn(trip.run());
    }

    /// Waits for a flight, and takes what it brings if that is good enough. `told`: it is its own. One of somebody else
    /// is left after a while for a new one, but it does not go on so after `until`.
    async fn wait<E>(
        &self,
        wait: Wait,
        told: Option<oneshot::Receiver<Told<E>>>,
        until: Instant,
    ) -> Waited<E> {
        let Wait {
            flight,
            mut phase,
            old,
            fwd,
            paced,
        } = wait;
        let leads = told.is_some();
        let is_over = |phase: &Phase| matches!(phase, Phase::Landed(_) | Phase::Gone(_));
        let landed = async { phase.wait_for(is_over).await.map(|phase| phase.clone()) };
        let brought = if leads && !paced {
            // Its own flight: that has a time limit of its own.
            landed.await
        } else {
            let now = Instant::now();
            let turn = flight.turn.map_or(now, |turn| turn.max(now));
            match tokio::time::timeout_at(turn + self.cache.config().wait_timeout, landed).await {
                Ok(brought) => brought,
                Err(_) if paced => {
                    let status = CacheStatus::hit().detail("paced-timeout");
                    let old = self.old(old.as_ref(), self.cache.pace(), status);
                    let response = old.unwrap_or_else(|| error(StatusCode::GATEWAY_TIMEOUT, "wait-timeout"));
                    return Waited::Response(Box::new(response));
                }
                Err(_) if now + self.cache.config().wait_timeout < until => return Waited::Again,
                Err(_) => {
                    let old = self.old_after_failure(old.as_ref(), None);
                    let response = old.unwrap_or_else(|| error(StatusCode::GATEWAY_TIMEOUT, "wait-timeout"));
                    return Waited::Response(Box::new(response));
                }
            }
        };
        match brought {
            Ok(Phase::Landed(landed)) => {
                let own = match told.map(|mut told| told.try_recv()) {
                    Some(Ok(Told::Fields(own))) => own,
                    _ => HeaderMap::new(),
                };
                self.take((landed, own), old, fwd, leads)
            }
            Ok(Phase::Gone(Gone::NotShareable {
                error: Some(status), ..
            })) if let Some(old) = self.old_after_failure(old.as_ref(), Some(status)) => {
                Waited::Response(Box::new(old))
            }
            Ok(Phase::Gone(Gone::NotShareable { why, .. })) => match told {
                Some(told) => match told.await {
                    Ok(Told::Response(response)) => {
                        Waited::Response(Box::new(self.finish_private(*response, why)))
                    }
                    Ok(Told::Landed(landed, own)) => self.take((*landed, own), None, fwd, true),
                    _ => Waited::Alone(why, old),
                },
                None => Waited::Alone(why, old),
            },
            Ok(Phase::Gone(Gone::Failed(failure))) => {
                if let Some(old) = self.old_after_failure(old.as_ref(), failure.status()) {
                    return Waited::Response(Box::new(old));
                }
                let told = match told {
                    Some(told) => told.await.ok(),
                    None => None,
                };
                match told {
                    Some(Told::Error(error)) => Waited::Error(error),
                    Some(Told::Response(response)) => {
                        Waited::Response(Box::new(self.finish_private(*response, failure.as_str())))
                    }
                    Some(Told::Landed(..) | Told::Fields(_)) | None => {
                        Waited::Response(Box::new(failed(failure)))
                    }
                }
            }
            // Its sender lives as long as the flight, which is ours.
            Ok(Phase::Waiting | Phase::Flying { .. }) | Err(_) => {
                Waited::Response(Box::new(failed(Failure::Died)))
            }
        }
    }

    /// Takes what a flight brought, if it is this request's variant and young enough for it. `own`: fields that nobody
    /// else gets.
    fn take<E>(
        &self,
        (landed, own): (Landed, HeaderMap),
        old: Option<Arc<Entry>>,
        fwd: Fwd,
        leads: bool,
    ) -> Waited<E> {
        let entry = &landed.entry;
        if landed.is_error
            && let Some(old) = self.old_after_failure(old.as_ref(), Some(entry.status))
        {
            return Waited::Response(Box::new(old));
        }
        let variant = self.cache.variant(
            Some(&entry.vary),
            &self.parts.headers,
            self.is_https,
            self.ask.by_hold,
        );
        let channels = self.resource.state.lock().channels.clone();
        if variant != entry.variant || !self.ask.is_served_by(self.cache.hub(), entry, &channels) {
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
        match self.give(entry, entry.freshness, Some(status)) {
            Some(mut response) => {
                response.headers_mut().extend(own);
                Waited::Response(Box::new(response))
            }
            None => Waited::Alone("too-late", old),
        }
    }

    /// The old answer, where it may be given although no better one came. `status` says why.
    fn old(
        &self,
        old: Option<&Arc<Entry>>,
        excuse: Option<Outage>,
        status: CacheStatus<'_>,
    ) -> Option<Response<EdgeBody>> {
        let old = old?;
        let channels = self.resource.state.lock().channels.clone();
        let now = Instant::now();
        let freshness = self
            .ask
            .may_have_old(self.cache.hub(), old, &channels, excuse, now)?;
        self.cache.counters().stale.add(1);
        self.give(old, freshness, Some(status))
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
    async fn go_alone<S, B>(
        self,
        mut inner: S,
        why: &'static str,
        old: Option<Arc<Entry>>,
    ) -> Result<Response<EdgeBody>, S::Error>
    where
        S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let fetch = self.cache.hub().begin_fetch(Instant::now());
        let asked = Now::read();
        self.cache.counters().pass.add(1);
        self.cache.counters().fetches.add(1);
        let mut request = Request::from_parts(self.parts.clone(), EdgeBody::empty());
        reduce_accept_encoding(request.headers_mut());
        if !self.ask.by_hold {
            grip::strip(request.headers_mut());
        }
        let response = match call(&mut inner, request).await {
            Ok(response) => response.map(EdgeBody::new),
            Err(error) => {
                return match self.old_after_failure(old.as_ref(), None) {
                    Some(old) => Ok(old),
                    None => Err(error),
                };
            }
        };
        Ok(self
            .settle(response, fetch.stamp().at, asked, why, old, |_| true)
            .await)
    }

    /// Takes what came for this request alone. `keeps`: what proves storable after all is stored.
    pub(super) async fn settle(
        self,
        response: Response<EdgeBody>,
        stamp: Position,
        asked: Now,
        why: &'static str,
        old: Option<Arc<Entry>>,
        keeps: impl FnOnce(&Resource) -> bool,
    ) -> Response<EdgeBody> {
        let arrived = match look_at(&self.cache, &self.parts.headers, response, asked).await {
            Ok(arrived) => arrived,
            Err(failure) => {
                let old = self.old_after_failure(old.as_ref(), None);
                return old.unwrap_or_else(|| failed(failure));
            }
        };
        if let Some(error) = arrived.error()
            && let Some(old) = self.old_after_failure(old.as_ref(), Some(error))
        {
            return old;
        }
        if self.ask.is_head || arrived.why_private().is_some() || !arrived.verdict.is_storable() {
            let why = arrived.verdict.storable.err().map_or(why, |why| why.as_str());
            let response = arrived.into_private();
            return self.finish_private(response, why);
        }
        self.cache.forget_memo(self.resource.key());
        if !keeps(&self.resource) {
            return self.finish_private(arrived.into_private(), why);
        }
        let own = arrived.own_fields();
        let (landed, body) = arrived.into_landed(
            &self.cache,
            &self.resource,
            &self.parts.headers,
            self.is_https,
            self.ask.by_hold,
            stamp,
        );
        let flight = Arc::new(Flight::new(landed.entry.variant, None));
        let status = CacheStatus::forwarded(Fwd::UriMiss).stored(true).detail(why);
        let response = self.give(&landed.entry, landed.entry.freshness, Some(status));
        tokio::spawn(carry_alone(self.cache.clone(), flight, (landed, body)));
        let Some(mut response) = response else {
            return failed(Failure::Died);
        };
        response.headers_mut().extend(own);
        response
    }

    /// An answer for this request alone.
    fn finish_private(&self, mut response: Response<EdgeBody>, why: &'static str) -> Response<EdgeBody> {
        if self.ask.is_head {
            *response.body_mut() = EdgeBody::empty();
        }
        let status = CacheStatus::forwarded(Fwd::UriMiss)
            .name(self.cache.config().name)
            .stored(false)
            .detail(why);
        private(response, self.ask.by_hold, status.to_value())
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

/// What a visit does next.
pub(super) enum Next<E> {
    Answer(Arc<Entry>, Freshness, AsWhat),
    /// It waits for a flight; if that is its own, what only its own request may have comes here.
    Wait(Wait, Option<oneshot::Receiver<Told<E>>>),
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
    headers.insert(GRIPSTACK_ERROR, HeaderValue::from_static(why));
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

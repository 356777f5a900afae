//! A request that may be answered from the cache: what becomes of it.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body;
use tokio::sync::oneshot;
use tower_service::Service;

use super::arrived::look_at;
use super::entry::Entry;
use super::fetch::{Told, Trip, carry_alone};
use super::find::{AsWhat, Found, Start, Wait};
use super::flight::{Failure, Flight, Gone, Landed, Phase};
use super::handle::Cache;
use super::look::{Ask, Why};
use super::policy::{CacheStatus, Fwd, RequestDirectives};
use super::resource::Resource;
use super::serve::Given;
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
    is_https: bool,
}

// === impl Visit ===

impl Visit {
    pub(super) fn new(cache: &Cache, resource: Arc<Resource>, parts: request::Parts) -> Self {
        let by_hold = parts.extensions.get::<AskedByHold>();
        let ask = Ask {
            arrival: cache.hub().now(),
            at_least: by_hold.map_or(Position::ZERO, |asked| asked.at_least),
            by_hold: by_hold.is_some(),
            is_head: parts.method == Method::HEAD,
        };
        let scheme = parts.uri.scheme().or_else(|| parts.extensions.get());
        let is_https = scheme.is_some_and(|scheme| *scheme == http::uri::Scheme::HTTPS);
        Self {
            cache: cache.clone(),
            resource,
            ask,
            parts,
            is_https,
        }
    }

    pub(super) fn find(&self) -> Found {
        let variant = |vary: Option<&_>| {
            self.cache
                .variant(vary, &self.parts.headers, self.is_https, self.ask.by_hold)
        };
        let may_share = match self.parts.headers.contains_key(AUTHORIZATION) {
            true => Err("authorization"),
            false => Ok(()),
        };
        self.cache.find(
            &self.resource,
            &self.ask,
            variant,
            may_share,
            tokio::time::Instant::now(),
        )
    }

    /// A stored answer. `None`, if its body cannot be read any more.
    pub(super) fn answer(&self, entry: &Arc<Entry>, as_what: AsWhat) -> Option<Response<EdgeBody>> {
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
        self.give(entry, status)
    }

    fn give(&self, entry: &Arc<Entry>, status: Option<CacheStatus<'_>>) -> Option<Response<EdgeBody>> {
        let name = self.cache.config().name;
        let given = Given {
            ask: &self.ask,
            request: &self.parts.headers,
            now: Now::read(),
            stamp: self.cache.hub().stamp_at(entry.stamp),
            status: status.map(|status| status.name(name)),
            name,
        };
        given.respond(entry)
    }

    pub(super) async fn run<S, B>(self, inner: S, mut found: Found) -> Result<Response<EdgeBody>, S::Error>
    where
        S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        for _ in 0..MAX_FLIGHTS {
            let wait = match found {
                Found::Alone(why) => return self.go_alone(inner, why).await,
                Found::Answer {
                    entry,
                    as_what,
                    refresh,
                } => {
                    if let Some(start) = refresh {
                        self.start(start, inner.clone(), None);
                    }
                    match self.answer(&entry, as_what) {
                        Some(response) => return Ok(response),
                        None => return self.go_alone(inner, "unreadable").await,
                    }
                }
                Found::Wait(wait) => wait,
            };
            if self.only_if_cached() {
                return Ok(error(StatusCode::GATEWAY_TIMEOUT, "only-if-cached"));
            }
            match self.wait(inner.clone(), wait).await {
                Waited::Response(response) => return Ok(*response),
                Waited::Error(error) => return Err(error),
                Waited::Alone(why) => return self.go_alone(inner, why).await,
                Waited::Again => found = self.find(),
            }
        }
        tracing::warn!(target: "gripstack::cache", url = self.resource.url.as_str(), "left too many flights");
        self.go_alone(inner, "too-many-flights").await
    }

    fn only_if_cached(&self) -> bool {
        self.parts.headers.contains_key(CACHE_CONTROL)
            && RequestDirectives::parse(&self.parts.headers).only_if_cached
    }

    fn start<S, B>(&self, start: Start, inner: S, tell: Option<oneshot::Sender<Told<S::Error>>>)
    where
        S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let trip = Trip {
            cache: self.cache.clone(),
            resource: self.resource.clone(),
            start,
            inner,
            request: self.parts.clone(),
            is_https: self.is_https,
            by_hold: self.ask.by_hold,
            tell,
        };
        tokio::spawn(trip.run());
    }

    /// Waits for a flight, and takes what it brings if that is good enough.
    async fn wait<S, B>(&self, inner: S, wait: Wait) -> Waited<S::Error>
    where
        S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Wait {
            flight,
            mut phase,
            start,
            old,
            why,
            paced,
        } = wait;
        let told = start.map(|start| {
            let (tell, told) = oneshot::channel();
            self.start(start, inner, Some(tell));
            told
        });
        let leads = told.is_some();
        let is_over = |phase: &Phase| matches!(phase, Phase::Landed(_) | Phase::Gone(_));
        let landed = async { phase.wait_for(is_over).await.map(|phase| phase.clone()) };
        let brought = if leads && !paced {
            // Its own flight: that has a time limit of its own.
            landed.await
        } else {
            let turn = flight.turn.unwrap_or_else(tokio::time::Instant::now);
            match tokio::time::timeout_at(turn + self.cache.config().wait_timeout, landed).await {
                Ok(brought) => brought,
                Err(_) if paced => {
                    return self.old_or(old, "paced-timeout", StatusCode::GATEWAY_TIMEOUT, "wait-timeout");
                }
                Err(_) => return Waited::Alone("wait-timeout"),
            }
        };
        match brought {
            Ok(Phase::Landed(landed)) => self.take(landed, old, why, leads),
            Ok(Phase::Gone(Gone::NotShareable(why))) => match told {
                Some(told) => match told.await {
                    Ok(Told::Response(response)) => {
                        Waited::Response(Box::new(self.finish_private(*response, why)))
                    }
                    _ => Waited::Alone(why),
                },
                None => Waited::Alone(why),
            },
            Ok(Phase::Gone(Gone::Failed(failure))) => {
                if let Some(old) = self.old_if_allowed(old) {
                    return Waited::Response(Box::new(old));
                }
                let error_told = match told {
                    Some(told) => told.await.ok(),
                    None => None,
                };
                match error_told {
                    Some(Told::Error(error)) => Waited::Error(error),
                    _ => Waited::Response(Box::new(failed(failure))),
                }
            }
            // Its sender lives as long as the flight, which is ours.
            Ok(Phase::Waiting | Phase::Flying(_)) | Err(_) => {
                Waited::Response(Box::new(failed(Failure::Died)))
            }
        }
    }

    /// Takes what a flight brought, if it is this request's variant and young enough for it.
    fn take<E>(&self, landed: Landed, old: Option<Arc<Entry>>, why: Option<Why>, leads: bool) -> Waited<E> {
        let entry = &landed.entry;
        if landed.is_error
            && let Some(old) = self.old_if_allowed(old)
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
        let fwd = if why.is_some() { Fwd::Stale } else { Fwd::UriMiss };
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
        match self.give(entry, Some(status)) {
            Some(response) => Waited::Response(Box::new(response)),
            None => Waited::Alone("too-late"),
        }
    }

    fn old_if_allowed(&self, old: Option<Arc<Entry>>) -> Option<Response<EdgeBody>> {
        let old = old?;
        let channels = self.resource.state.lock().channels.clone();
        let now = tokio::time::Instant::now();
        if !self
            .ask
            .may_have_old(self.cache.hub(), &old, &channels, self.cache.outage(), now)
        {
            return None;
        }
        self.cache.counters().stale.add(1);
        self.give(&old, Some(CacheStatus::forwarded(Fwd::Stale).detail("outage")))
    }

    fn old_or<E>(
        &self,
        old: Option<Arc<Entry>>,
        detail: &'static str,
        status: StatusCode,
        why: &'static str,
    ) -> Waited<E> {
        let given = old.and_then(|old| self.give(&old, Some(CacheStatus::hit().detail(detail))));
        Waited::Response(Box::new(given.unwrap_or_else(|| error(status, why))))
    }

    /// Asks for itself alone. What proves storable after all is stored.
    async fn go_alone<S, B>(self, mut inner: S, why: &'static str) -> Result<Response<EdgeBody>, S::Error>
    where
        S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let fetch = self.cache.hub().begin_fetch(tokio::time::Instant::now());
        let asked = Now::read();
        self.cache.counters().pass.add(1);
        self.cache.counters().fetches.add(1);
        let mut request = Request::from_parts(self.parts.clone(), EdgeBody::empty());
        if !self.ask.by_hold {
            grip::strip(request.headers_mut());
        }
        std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
        let response = inner.call(request).await?.map(EdgeBody::new);
        let arrived = match look_at(&self.cache, &self.parts, response, asked).await {
            Ok(arrived) => arrived,
            Err(failure) => return Ok(failed(failure)),
        };
        if self.ask.is_head || arrived.why_private().is_some() || !arrived.verdict.is_storable() {
            let why = arrived.verdict.storable.err().map_or(why, |why| why.as_str());
            let response = arrived.into_private();
            return Ok(self.finish_private(response, why));
        }
        self.cache.forget_memo(self.resource.key());
        let (landed, body) = arrived.into_landed(
            &self.cache,
            &self.resource,
            &self.parts,
            self.is_https,
            self.ask.by_hold,
            fetch.stamp().at,
        );
        let flight = Arc::new(Flight::new(landed.entry.variant, None));
        let status = CacheStatus::forwarded(Fwd::UriMiss).stored(true).detail(why);
        let response = self.give(&landed.entry, Some(status));
        tokio::spawn(carry_alone(self.cache.clone(), flight, (landed, body)));
        Ok(response.unwrap_or_else(|| failed(Failure::Died)))
    }

    /// An answer for this request alone.
    fn finish_private(&self, mut response: Response<EdgeBody>, why: &'static str) -> Response<EdgeBody> {
        if !self.ask.by_hold {
            if grip::is_instruct_type(response.headers()) {
                return error(StatusCode::NOT_IMPLEMENTED, "grip-instruct-without-hold");
            }
            grip::strip(response.headers_mut());
        }
        if self.ask.is_head {
            *response.body_mut() = EdgeBody::empty();
        }
        let name = self.cache.config().name;
        let status = CacheStatus::forwarded(Fwd::UriMiss)
            .name(name)
            .stored(false)
            .detail(why);
        status.append_to(response.headers_mut());
        response
    }
}

/// What came of waiting.
enum Waited<E> {
    Response(Box<Response<EdgeBody>>),
    Error(E),
    /// Nothing for this request: it asks for itself, and says why.
    Alone(&'static str),
    /// Something too old, or another variant: decide anew.
    Again,
}

fn failed(failure: Failure) -> Response<EdgeBody> {
    let status = match failure {
        Failure::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
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

//! A request that may be answered from the cache: what becomes of it.

use http::{Method, Request, Response, StatusCode, request};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::config::PacedReads;
use super::entry::Entry;
use super::fetch::{FlightTask, ForLeader};
use super::find::{Asking, Departure, Found, Served, Wait};
use super::handle::Cache;
use super::look::Needs;
use super::policy::{CacheStatus, Freshness, Fwd, Outage, reduce_accept_encoding};
use super::refusal::{Reader, refused};
use super::resource::Resource;
use super::serve::Given;
use super::wait::Waited;
use crate::below::Below;
use crate::body::EdgeBody;
use crate::handoff::AskedByHold;
use crate::position::{Position, Stamp};
use crate::request::{Fields, RESUMING, is_https};
use crate::sync::Arc;
use crate::time::after;

/// Flights that one request waits for, one after the other. Each is of its own making from the second on at the
/// latest, and that one serves it: more can only be a defect.
const MAX_FLIGHTS: usize = 8;

/// A request that may be answered from the cache.
pub(super) struct Visit {
    pub(super) cache: Cache,
    pub(super) resource: Arc<Resource>,
    pub(super) needs: Needs,
    pub(super) parts: request::Parts,
    pub(super) fields: Fields,
    pub(super) is_https: bool,
    /// Who gets the answer, where the request no longer tells.
    pub(super) reader: Option<Reader>,
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

// === impl Visit ===

impl Visit {
    #[inline]
    pub(super) fn new<B>(
        cache: &Cache,
        resource: Arc<Resource>,
        request: Request<B>,
        fields: Fields,
        paced_reads: PacedReads,
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
            reader: None,
            cache: cache.clone(),
            resource,
            needs,
            parts: request.into_parts().0,
            fields,
            is_https,
        }
    }

    /// Of a GET of which no more is left than its URL. What depends on its fields is not kept.
    pub(super) fn of_url(
        cache: &Cache,
        resource: Arc<Resource>,
        arrival: Stamp,
        (is_https, by_hold): (bool, bool),
        reader: Reader,
    ) -> Self {
        Self {
            reader: Some(reader),
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
        }
    }

    /// Whether no more of its request is left than the URL.
    pub(super) fn is_of_url(&self) -> bool {
        self.reader.is_some()
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
    #[inline]
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

    pub(super) fn give(
        &self,
        entry: &Arc<Entry>,
        freshness: &Freshness,
        status: Option<CacheStatus<'_>>,
    ) -> Option<Response<EdgeBody>> {
        self.give_at(entry, freshness, status, Instant::now())
    }

    #[inline]
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
                Next::Nothing => return Ok(refused(StatusCode::GATEWAY_TIMEOUT, "only-if-cached")),
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

    /// Whether it says what it has had already.
    pub(super) fn resumes(&self) -> bool {
        RESUMING.iter().any(|name| self.parts.headers.contains_key(name))
    }

    /// How fresh the old answer is, where it may be given although no better one came.
    pub(super) fn may_have(&self, old: Option<&Arc<Entry>>, excuse: Option<Outage>) -> Option<Freshness> {
        let old = old?;
        let hub = self.cache.hub();
        let channels = self.resource.channels(hub);
        self.needs
            .may_have_old(hub, &self.resource, old, &channels, excuse, Instant::now())
    }

    /// The old answer, where it may be given although no better one came. `status` says why.
    pub(super) fn old(
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
    pub(super) fn old_after_failure(
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
}

//! Runs a flight: asks the service below, and lands what it answers.

use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
use http::{HeaderMap, Method, Request, StatusCode, request};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::arrived::{Arrived, Disposition, Sent, look_at};
use super::channels::Channels;
use super::confirm::{Confirmation, Confirmed};
use super::entry::Entry;
use super::find::Departure;
use super::flight::{Failure, Flight, Gone, Landed, Landing, Phase};
use super::handle::Cache;
use super::policy::{NoStore, Validators, VarySpec, is_error_status, strip_client_conditionals};
use super::pump::{Pump, Pumped, put_together};
use super::resource::{Resource, State};
use crate::below::{Below, call};
use crate::body::{Chunk, EdgeBody};
use crate::log::{End, Log};
use crate::marks::Standing;
use crate::mutants::mutant;
use crate::position::Stamp;
use crate::request::{RESUMING, is_keyed};
use crate::sync::Arc;
use crate::time::{Now, after};

/// What is needed to run a flight.
pub(super) struct FlightTask<S: Below> {
    pub(super) cache: Cache,
    pub(super) departure: Departure,
    pub(super) below: S,
    /// The request of who started it.
    pub(super) request: request::Parts,
    pub(super) is_https: bool,
    pub(super) by_hold: bool,
    /// Where what only this request may have goes; `None`: nobody waits.
    pub(super) leader: Option<oneshot::Sender<ForLeader<S::Error>>>,
}

/// What only the request that started a flight may have.
pub(super) enum ForLeader<E> {
    Private(Box<Arrived>),
    /// With the fields that only this request may have.
    Landed(Box<Landed>, HeaderMap),
    /// Those, beside what all get.
    Fields(HeaderMap),
    Error(E),
}

/// What a flight asked, as it was sent.
struct AsSent {
    headers: HeaderMap,
    is_https: bool,
    by_hold: bool,
    stamp: Stamp,
    at: Now,
}

/// What came of asking.
enum Asked<E> {
    Answer(Box<Arrived>, AsSent),
    /// What was stored is still right.
    Confirmed(Box<Confirmed>),
    Error(E),
    Nothing(Failure),
}

impl<S: Below> FlightTask<S> {
    /// Runs in a task of its own: no client that goes away takes it along. But it ends when the last that waited is gone.
    pub(super) async fn run(mut self) {
        let (resource, flight) = (self.resource().clone(), self.flight().clone());
        if self.leader.is_none() {
            flight.go_on();
        }
        let asked = tokio::select! {
            // First: what nobody waits for is not sent.
            biased;
            () = deserted(&resource, &flight) => return,
            asked = self.ask() => asked,
        };
        match asked {
            Asked::Answer(arrived, as_sent) => self.land(*arrived, &as_sent).await,
            Asked::Confirmed(confirmed) => self.land_confirmed(*confirmed),
            Asked::Error(error) => {
                if let Some(leader) = self.leader.take() {
                    let _ = leader.send(ForLeader::Error(error));
                }
                self.fail(Failure::Service);
            }
            Asked::Nothing(failure) => self.fail(failure),
        }
    }

    /// Asks the service below when it is its turn, until the head of the answer is here.
    async fn ask(&mut self) -> Asked<S::Error> {
        let flight = self.flight().clone();
        flight.wait_for_turn().await;
        if flight.turn.is_some() {
            let (now, interval) = (Instant::now(), self.cache.config().interval);
            let mut state = self.resource().state.lock();
            state.took_turn(flight.files_under(), now, interval);
        }
        // Rule C3: from here on whatever is accepted may be missing in the answer, so the clock is read first.
        let since = Instant::now();
        let mut fetch = self.cache.hub().begin_fetch(since);
        self.flight().phase.send_replace(Phase::Flying {
            stamp: fetch.stamp(),
            since,
            hangs: false,
        });
        let mut old = self.departure.old.clone().filter(|old| self.is_alive(old));
        loop {
            let validators = old.as_ref().and_then(|old| self.usable_validators(old));
            let at = Now::read();
            self.cache.counters().fetches.add(1);
            let request = self.request_for(validators.as_ref());
            let headers = request.headers().clone();
            let call = call(&mut self.below, request);
            let response = match tokio::time::timeout(self.cache.config().flight_timeout, call).await {
                Ok(Ok(response)) => response.map(EdgeBody::new),
                Ok(Err(error)) => return Asked::Error(error),
                Err(_) => return Asked::Nothing(Failure::Timeout),
            };
            if mutant!("stamp-late") {
                fetch = self.cache.hub().begin_fetch(Instant::now());
            }
            let as_sent = AsSent {
                headers,
                is_https: self.is_https,
                by_hold: self.by_hold,
                stamp: fetch.stamp(),
                at,
            };
            if response.status() == StatusCode::NOT_MODIFIED
                && let (Some(entry), Some(validators)) = (old.take(), &validators)
            {
                if validators.selects(response.headers()) && self.is_alive(&entry) {
                    let confirmation = Confirmation {
                        old: &entry,
                        response: &response,
                        sent: as_sent.sent(),
                        is_strong: validators.confirmed_strongly_by(response.headers()),
                    };
                    let confirmed = confirmation.apply(&self.cache, self.resource());
                    return Asked::Confirmed(Box::new(confirmed));
                }
                // It validated something else: ask once more, without a condition.
                continue;
            }
            return match look_at(&self.cache, self.resource(), as_sent.sent(), response).await {
                Ok(arrived) => Asked::Answer(Box::new(arrived), as_sent),
                Err(failure) => Asked::Nothing(failure),
            };
        }
    }

    fn resource(&self) -> &Arc<Resource> {
        &self.departure.landing.resource
    }

    fn flight(&self) -> &Arc<Flight> {
        &self.departure.landing.flight
    }

    fn is_alive(&self, entry: &Entry) -> bool {
        let channels = self.resource().channels(self.cache.hub());
        self.cache
            .is_alive(self.resource(), entry, &channels, Instant::now())
    }

    /// Rule C3: what is asked for a younger stamp is asked with a condition only if the validator is strong. If a `Vary`
    /// makes the client's own conditions part of the key, they select the variant, and nothing of ours may
    /// take their place.
    fn usable_validators(&self, old: &Entry) -> Option<Validators> {
        let head = &old.head;
        if head.vary.contains(&IF_NONE_MATCH) || head.vary.contains(&IF_MODIFIED_SINCE) {
            return None;
        }
        let usable = |validators: &&Validators| {
            !self.departure.moves_the_stamp || validators.is_strong() || mutant!("weak-304")
        };
        head.validators.as_ref().filter(usable).cloned()
    }

    fn request_for(&self, validators: Option<&Validators>) -> Request<EdgeBody> {
        let mut request = Request::new(EdgeBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.request.uri.clone();
        *request.version_mut() = self.request.version;
        *request.extensions_mut() = self.request.extensions.clone();
        request.extensions_mut().insert(self.cache.id());
        let vary = self.resource().state.lock().vary.clone().unwrap_or_default();
        let mut headers = self.request.headers.clone();
        if self.leader.is_none() {
            // In the background: what selects the variant, and nothing of whoever happened to come.
            headers = selecting(&headers, &vary);
        }
        strip_client_conditionals(&mut headers, &vary);
        for name in RESUMING
            .iter()
            .chain([&RANGE])
            .filter(|name| !vary.contains(name))
        {
            headers.remove(name);
        }
        if let Some(validators) = validators {
            validators.conditional_headers(&mut headers);
        }
        *request.headers_mut() = headers;
        request
    }

    /// Lands an answer whose body is here already.
    fn land_confirmed(mut self, confirmed: Confirmed) {
        let Confirmed {
            entry,
            behind,
            verdict,
            own,
        } = confirmed;
        self.cache.origin_answered(self.resource());
        let disposition = Disposition::of(&verdict);
        let old = self.departure.old.as_ref();
        let moved = old.is_some_and(|old| old.head.variant != entry.head.variant);
        let kept = disposition.kept();
        let is_of_its_request = verdict.shareable.is_err_and(NoStore::is_of_its_request);
        if moved || kept.is_err() && !is_of_its_request {
            let (of, old) = (self.flight().files_under(), self.departure.old.as_ref());
            self.cache.supersede(self.resource(), of, entry.head.stamp, old);
        }
        let landed = Landed {
            entry: entry.clone(),
            behind,
            storable: kept.is_ok(),
            fwd_status: Some(304),
            is_error: false,
            why: kept.err(),
        };
        match disposition {
            Disposition::Private(why) | Disposition::Kept(why) => {
                let leader = self.leader.take();
                to_leader(self.flight(), leader, why, (landed, own));
            }
            Disposition::Shared(_) | Disposition::Failed(_) => {
                self.tell_fields(own);
                to_all(self.flight(), landed);
            }
        }
        finish(
            &self.cache,
            &self.departure.landing,
            kept.is_ok().then_some(entry),
        );
    }

    async fn land(mut self, arrived: Arrived, as_sent: &AsSent) {
        let sent = as_sent.sent();
        let disposition = arrived.disposition();
        self.cache.take_note(
            self.resource(),
            &arrived,
            disposition,
            || self.flight().files_under(),
            self.departure.old.as_ref(),
        );
        let own = arrived.own_fields();
        let error = arrived.error();
        match disposition {
            Disposition::Failed(failure) => {
                self.hand_over(arrived, Gone::Failed(failure));
            }
            Disposition::Private(why) => {
                let gone = Gone::NotShareable {
                    why,
                    error,
                    kept: None,
                };
                self.hand_over(arrived, gone);
            }
            Disposition::Kept(why) => {
                let landed = arrived.into_landed(&self.cache, self.resource(), sent, Ok(()));
                let leader = self.leader.take();
                let announce = |flight: &Flight, landed| to_leader(flight, leader, why, (landed, own));
                carry(self.cache, self.departure.landing, landed, announce).await;
            }
            Disposition::Shared(storable) => {
                let landed = arrived.into_landed(&self.cache, self.resource(), sent, storable);
                self.tell_fields(own);
                carry(self.cache, self.departure.landing, landed, to_all).await;
            }
        }
    }

    /// Gives an answer to the one request that may have it.
    fn hand_over(&mut self, arrived: Arrived, gone: Gone) {
        self.flight().phase.send_replace(Phase::Gone(gone));
        if let Some(leader) = self.leader.take() {
            let _ = leader.send(ForLeader::Private(Box::new(arrived)));
        }
    }

    /// To be called before the answer is announced: who started it takes them along.
    fn tell_fields(&mut self, own: HeaderMap) {
        if !own.is_empty()
            && let Some(leader) = self.leader.take()
        {
            let _ = leader.send(ForLeader::Fields(own));
        }
    }

    fn fail(&self, failure: Failure) {
        self.cache.fetch_failed(self.resource(), failure);
        if failure == Failure::Timeout {
            // The first that waited out the time limit frees all.
            let flights = self.resource().state.lock().flights.clone();
            for flight in flights {
                flight.hang();
            }
        }
        self.flight()
            .phase
            .send_replace(Phase::Gone(Gone::Failed(failure)));
    }
}

/// Waits until all are gone who waited for a flight. It is off the list then: nobody will wait.
async fn deserted(resource: &Resource, flight: &Arc<Flight>) {
    loop {
        flight.phase.closed().await;
        if flight.goes_on() {
            return std::future::pending().await;
        }
        if resource.abandon(flight, || false) {
            return;
        }
    }
}

// === impl AsSent ===

impl AsSent {
    fn sent(&self) -> Sent<'_> {
        Sent {
            method: &Method::GET,
            headers: &self.headers,
            is_https: self.is_https,
            by_hold: self.by_hold,
            stamp: self.stamp,
            at: self.at,
        }
    }
}

/// The fields that select a variant, and the host.
fn selecting(headers: &HeaderMap, vary: &VarySpec) -> HeaderMap {
    let mut selected = HeaderMap::new();
    for (name, value) in headers {
        if *name == http::header::HOST
            || vary.contains(name)
            || is_keyed(name)
            || name.as_str().starts_with("grip-")
        {
            selected.append(name, value.clone());
        }
    }
    selected
}

/// Ends a body that nobody carries any more.
struct Carrier(Arc<Log<Chunk>>);

// === impl Carrier ===

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.end(End::Failed("its carrier is gone".into()));
    }
}

/// Announces an answer that only the one who started the flight gets, with these fields.
fn to_leader<E>(
    flight: &Flight,
    leader: Option<oneshot::Sender<ForLeader<E>>>,
    why: &'static str,
    (landed, own): (Landed, HeaderMap),
) {
    let gone = Gone::NotShareable {
        why,
        error: None,
        kept: landed.storable.then(|| landed.entry.clone()),
    };
    flight.phase.send_replace(Phase::Gone(gone));
    if let Some(leader) = leader {
        let _ = leader.send(ForLeader::Landed(Box::new(landed), own));
    }
}

/// Announces an answer to all who wait.
fn to_all(flight: &Flight, landed: Landed) {
    flight.phase.send_replace(Phase::Landed(landed));
}

/// Carries the body of a landed answer to whoever reads it, and into the store. `announce`: tells those who may.
async fn carry(
    cache: Cache,
    landing: Landing,
    (landed, body): (Landed, EdgeBody),
    announce: impl FnOnce(&Flight, Landed),
) {
    let _carrier = Carrier(landed.entry.body.clone());
    // Dropped first: nobody joins what has broken off.
    let landing = landing;
    let entry = landed.entry.clone();
    let (is_error, mut storable, mut why) = (landed.is_error, landed.storable, landed.why);
    if storable && cache.is_budget_used_up() {
        (storable, why) = (false, Some("memory"));
        cache.remember_unstorable(&landing.resource, &entry, "memory");
    }
    if is_error {
        storable &= !has_better(&cache, &landing.resource, &entry);
    }
    let landed = Landed {
        storable,
        why,
        ..landed
    };
    announce(&landing.flight, landed);
    let pump = Pump::new(&cache, &landing, &entry, storable);
    match pump.run(body).await {
        Pumped::Whole { bytes, chunks } => {
            let entry = match put_together(&cache, &entry.body, bytes, chunks) {
                Some(body) => Arc::new(entry.with_body(body)),
                None => entry,
            };
            finish(&cache, &landing, Some(entry));
        }
        _ if is_error => {}
        _ => finish(&cache, &landing, None),
    }
}

/// Whether something is stored that can still be served when the origin fails: no error takes its place.
fn has_better(cache: &Cache, resource: &Resource, error: &Entry) -> bool {
    let Some(stored) = cache.store().get(resource.key(), error.head.variant) else {
        return false;
    };
    gives_way(cache, resource, &resource.channels(cache.hub()), error, &stored)
}

/// Of an error and a page that can still be served when the origin fails, the page is kept, whichever came first.
fn gives_way(cache: &Cache, resource: &Resource, channels: &Channels, error: &Entry, page: &Entry) -> bool {
    is_error_status(error.head.status) && cache.is_good_page(resource, page, channels)
}

/// Carries an answer that came outside the list of flights, because its URL was thought uncacheable.
pub(super) async fn carry_alone(cache: Cache, landing: Landing, landed: (Landed, EdgeBody)) {
    carry(cache, landing, landed, to_all).await;
}

/// Rule C4: not if marks that it has not seen are forgotten, or if one of those that are not has killed it; nor if the origin
/// has spoken since. What gives way to it goes.
fn may_be_stored(cache: &Cache, landing: &Landing, state: &mut State, entry: &Entry) -> bool {
    let (resource, channels) = (&*landing.resource, state.channels(cache.hub()));
    let since = entry.since(&resource.keys, &channels);
    if landing.flight.is_superseded()
        || landing.pin.is_revoked()
        || cache.hub().judge(since).standing == Standing::Dead
    {
        return false;
    }
    let Some(stored) = cache.store().peek(resource.key(), entry.head.variant) else {
        return true;
    };
    if gives_way(cache, resource, &channels, &stored, entry) {
        cache.store().remove(resource.key(), &stored);
    }
    // Of two that were under way together, the one that was asked for last (RFC 9111 4).
    let asked_at = |entry: &Entry| entry.head.freshness.asked_at();
    let is_like = is_error_status(stored.head.status) == is_error_status(entry.head.status);
    let is_overtaken = is_like && asked_at(&stored) > asked_at(entry);
    !is_overtaken && !gives_way(cache, resource, &channels, entry, &stored)
}

fn finish(cache: &Cache, landing: &Landing, entry: Option<Arc<Entry>>) {
    let resource = &landing.resource;
    let mut state = resource.state.lock();
    if let Some(entry) = entry
        && may_be_stored(cache, landing, &mut state, &entry)
    {
        entry.charge.get_or_init(|| {
            cache
                .account()
                .charge(entry.head_weight() + resource.url.as_str().len() as u64)
        });
        if let Some(surplus) = state.stored(entry.head.variant) {
            let gone = cache.store().peek(resource.key(), surplus);
            if let Some(head) = gone.as_ref().map(|gone| &gone.head)
                && let Some(named) = &head.named
            {
                let now = Instant::now();
                let left = head.freshness.lifetime().saturating_sub(head.freshness.age(now));
                state.outlive(cache.hub(), named, after(now, left));
            }
            cache.store().forget(resource.key(), surplus);
        }
        if !is_error_status(entry.head.status) {
            state.stored_page(&entry.head.vary);
        }
        cache.store().insert(resource, entry);
    }
    // In the same step: whoever comes finds the one or the other.
    let flight = state.land(&landing.flight);
    drop(state);
    drop(flight);
    cache.counters().bytes.set(cache.store().weight() as f64);
}

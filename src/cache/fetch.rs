//! Runs a flight: asks the service below, and lands what it answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
use http::{HeaderMap, Method, Request, Response, StatusCode, request};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_service::Service;

use super::arrived::{Arrived, is_error_status, look_at};
use super::confirm::Confirmation;
use super::entry::Entry;
use super::find::Start;
use super::flight::{Failure, Flight, Gone, Landed, Phase};
use super::handle::Cache;
use super::look::{Ask, Look};
use super::pass::Memo;
use super::policy::{NoStore, Validators, VarySpec, Verdict, strip_client_conditionals};
use super::pump::{Pump, Pumped, put_together};
use super::resource::Resource;
use super::unkeyed::is_keyed;
use crate::body::{Chunk, EdgeBody};
use crate::error::BoxError;
use crate::grip;
use crate::log::{End, Log};
use crate::mutants::mutant;
use crate::position::Position;
use crate::sync::Arc;
use crate::time::Now;

/// First pause after a failed fetch, for those who can have an old answer; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// What is needed to run a flight.
pub(super) struct Trip<S, E> {
    pub(super) cache: Cache,
    pub(super) resource: Arc<Resource>,
    pub(super) start: Start,
    pub(super) inner: S,
    /// The request of who started it.
    pub(super) request: request::Parts,
    pub(super) is_https: bool,
    pub(super) by_hold: bool,
    /// Where what only this request may have goes; `None`: nobody waits.
    pub(super) tell: Option<oneshot::Sender<Told<E>>>,
}

/// What only the request that started a flight may have.
pub(super) enum Told<E> {
    Response(Box<Response<EdgeBody>>),
    /// With the fields that only this request may have.
    Landed(Box<Landed>, HeaderMap),
    /// Those, beside what all get.
    Fields(HeaderMap),
    Error(E),
}

/// Takes the flight off the list, however its task ends.
struct Landing {
    resource: Arc<Resource>,
    flight: Arc<Flight>,
}

impl<S, E> Trip<S, E> {
    /// Runs in a task of its own: no client that goes away takes it along.
    pub(super) async fn run<B>(mut self)
    where
        S: Service<Request<EdgeBody>, Response = Response<B>, Error = E>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let flight = self.start.flight.clone();
        let landing = Landing {
            resource: self.resource.clone(),
            flight: flight.clone(),
        };
        flight.wait_for_turn().await;
        if flight.turn.is_some() {
            let (now, interval) = (Instant::now(), self.cache.config().interval);
            let mut state = self.resource.state.lock();
            state.took_turn(flight.files_under(), now, interval);
        }
        // From here on whatever is accepted may be missing in the answer: read the clock first.
        let since = Instant::now();
        let mut fetch = self.cache.hub().begin_fetch(since);
        let stamp = fetch.stamp().at;
        flight.phase.send_replace(Phase::Flying { stamp, since });
        let mut old = self.start.old.clone().filter(|old| self.is_alive(old));
        loop {
            let validators = old.as_ref().and_then(|old| self.usable_validators(old));
            let asked = Now::read();
            self.cache.counters().fetches.add(1);
            let request = self.request_for(validators.as_ref());
            let sent = request.headers().clone();
            let call = call(&mut self.inner, request);
            let response = match tokio::time::timeout(self.cache.config().flight_timeout, call).await {
                Ok(Ok(response)) => response.map(EdgeBody::new),
                Ok(Err(error)) => {
                    if let Some(tell) = self.tell.take() {
                        let _ = tell.send(Told::Error(error));
                    }
                    return self.fail(landing, Failure::Service);
                }
                Err(_) => return self.fail(landing, Failure::Timeout),
            };
            if mutant!("stamp-late") {
                fetch = self.cache.hub().begin_fetch(Instant::now());
            }
            let stamp = fetch.stamp().at;
            if response.status() == StatusCode::NOT_MODIFIED
                && let (Some(entry), Some(validators)) = (old.take(), &validators)
            {
                if validators.selects(response.headers()) && self.is_alive(&entry) {
                    let confirmation = Confirmation {
                        old: &entry,
                        from: response.headers(),
                        sent: &sent,
                        is_strong: validators.is_strong(),
                        stamp,
                        asked,
                        is_https: self.is_https,
                        by_hold: self.by_hold,
                    };
                    let (entry, verdict, own) = confirmation.apply(&self.cache);
                    return self.land_confirmed(landing, entry, verdict, own);
                }
                // It validated something else: ask once more, without a condition.
                continue;
            }
            let arrived = match look_at(&self.cache, &sent, response, asked).await {
                Ok(arrived) => arrived,
                Err(failure) => return self.fail(landing, failure),
            };
            return self.land(landing, arrived, &sent, stamp).await;
        }
    }

    fn is_alive(&self, entry: &Entry) -> bool {
        let channels = self.resource.state.lock().channels.clone();
        let look = Ask::default().look(self.cache.hub(), entry, &channels, Instant::now());
        !matches!(look, Look::Dead)
    }

    /// A weak validator cannot tell whether what was announced since is in the answer: a fetch whose answer has to
    /// be younger asks without a condition. So does one whose variant depends on the client's condition: ours would
    /// take its place.
    fn usable_validators(&self, old: &Entry) -> Option<Validators> {
        if old.vary.contains(&IF_NONE_MATCH) || old.vary.contains(&IF_MODIFIED_SINCE) {
            return None;
        }
        let usable = |validators: &&Validators| {
            !self.start.moves_the_stamp || validators.is_strong() || mutant!("weak-304")
        };
        old.validators.as_ref().filter(usable).cloned()
    }

    fn request_for(&self, validators: Option<&Validators>) -> Request<EdgeBody> {
        let mut request = Request::new(EdgeBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.request.uri.clone();
        *request.version_mut() = self.request.version;
        *request.extensions_mut() = self.request.extensions.clone();
        let vary = self.resource.state.lock().vary.clone().unwrap_or_default();
        let mut headers = self.request.headers.clone();
        if self.tell.is_none() {
            // In the background: what selects the variant, and nothing of whoever happened to come.
            headers = selecting(&headers, &vary);
        }
        strip_client_conditionals(&mut headers, &vary);
        headers.remove(RANGE);
        if !self.by_hold {
            grip::strip(&mut headers);
        }
        if let Some(validators) = validators {
            validators.conditional_headers(&mut headers);
        }
        *request.headers_mut() = headers;
        request
    }

    /// Lands an answer whose body is here already.
    fn land_confirmed(mut self, landing: Landing, entry: Entry, verdict: Verdict, own: HeaderMap) {
        answered(&self.resource);
        let entry = Arc::new(entry);
        let why = verdict.storable.or(verdict.shareable).err();
        let landed = Landed {
            entry: entry.clone(),
            storable: why.is_none(),
            fwd_status: Some(304),
            is_error: false,
            why: why.map(NoStore::as_str),
        };
        let moved = self
            .start
            .old
            .as_ref()
            .is_some_and(|old| old.variant != entry.variant);
        if let Err(why) = verdict.shareable {
            let is_kept = verdict.is_kept_for_validation();
            if moved || !is_kept && !why.is_of_its_request() {
                self.supersede();
            }
            let gone = Gone::NotShareable {
                why: why.as_str(),
                error: None,
            };
            landing.flight.phase.send_replace(Phase::Gone(gone));
            if let Some(tell) = self.tell.take() {
                let _ = tell.send(Told::Landed(Box::new(landed), own));
            }
            if is_kept {
                finish(&self.cache, &landing, Some(entry));
            }
            return;
        }
        self.tell_fields(own);
        landing.flight.phase.send_replace(Phase::Landed(landed));
        if why.is_some() || moved {
            self.supersede();
        }
        finish(&self.cache, &landing, why.is_none().then_some(entry));
    }

    /// The origin has answered, and the answer is not kept: what was stored before is no longer its last word.
    fn supersede(&self) {
        if let Some(old) = &self.start.old {
            self.cache.store().remove(self.resource.key(), old);
        }
    }

    async fn land(mut self, landing: Landing, arrived: Arrived, sent: &HeaderMap, stamp: Position) {
        let error = arrived.error();
        match error {
            Some(_) => {
                self.cache.counters().fetch_errors.add(1);
                pause(&self.resource);
            }
            None => answered(&self.resource),
        }
        if error.is_none() && arrived.supersedes() {
            self.supersede();
        }
        let in_background = self.tell.is_none();
        let own = arrived.own_fields();
        let is_kept = arrived.is_kept_for_validation();
        if let Some(why) = arrived.why_private().filter(|_| !is_kept) {
            if error.is_none() && arrived.verdict.storable.is_err() {
                let memo = Memo::new(&self.cache, &self.resource, &arrived, why, Instant::now());
                self.cache.remember_uncacheable(self.resource.key(), memo);
            }
            let gone = arrived
                .failure()
                .map_or(Gone::NotShareable { why, error }, Gone::Failed);
            let response = arrived.into_private();
            landing.flight.phase.send_replace(Phase::Gone(gone));
            if let Some(tell) = self.tell.take() {
                let _ = tell.send(Told::Response(Box::new(response)));
            }
            return;
        }
        let landed = arrived.into_landed(
            &self.cache,
            &self.resource,
            sent,
            self.is_https,
            self.by_hold,
            stamp,
        );
        if is_kept {
            let tell = self.tell.take();
            let announce = |flight: &Flight, landed| {
                let why = NoStore::NoCache.as_str();
                let gone = Gone::NotShareable { why, error: None };
                flight.phase.send_replace(Phase::Gone(gone));
                if let Some(tell) = tell {
                    let _ = tell.send(Told::Landed(Box::new(landed), own));
                }
            };
            return carry(self.cache, landing, landed, in_background, announce).await;
        }
        self.tell_fields(own);
        carry(self.cache, landing, landed, in_background, to_all).await;
    }

    /// To be called before the answer is announced: who started it takes them along.
    fn tell_fields(&mut self, own: HeaderMap) {
        if !own.is_empty()
            && let Some(tell) = self.tell.take()
        {
            let _ = tell.send(Told::Fields(own));
        }
    }

    fn fail(&self, landing: Landing, failure: Failure) {
        self.cache.counters().fetch_errors.add(1);
        tracing::debug!(target: "gripstack::cache", url = self.resource.url.as_str(), why = failure.as_str(), "a fetch failed");
        pause(&landing.resource);
        landing
            .flight
            .phase
            .send_replace(Phase::Gone(Gone::Failed(failure)));
    }
}

/// Calls a service as soon as it is ready.
pub(super) async fn call<S, B>(inner: &mut S, request: Request<EdgeBody>) -> Result<Response<B>, S::Error>
where
    S: Service<Request<EdgeBody>, Response = Response<B>>,
{
    std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
    inner.call(request).await
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

/// Announces an answer to all who wait.
fn to_all(flight: &Flight, landed: Landed) {
    flight.phase.send_replace(Phase::Landed(landed));
}

/// Carries the body of a landed answer to whoever reads it, and into the store. `announce`: tells those who may.
async fn carry(
    cache: Cache,
    landing: Landing,
    (landed, body): (Landed, EdgeBody),
    in_background: bool,
    announce: impl FnOnce(&Flight, Landed),
) {
    let _carrier = Carrier(landed.entry.body.clone());
    // Dropped first: nobody joins what has broken off.
    let landing = landing;
    let entry = landed.entry.clone();
    let (is_error, mut storable, mut why) = (landed.is_error, landed.storable, landed.why);
    if storable && cache.is_budget_used_up() {
        (storable, why) = (false, Some("memory"));
    }
    if is_error {
        storable &= !has_better(&cache, &entry);
    }
    let landed = Landed {
        storable,
        why,
        ..landed
    };
    announce(&landing.flight, landed);
    let pump = Pump::new(&cache, &landing.flight, &entry, storable, in_background);
    match pump.run(body).await {
        Pumped::Whole { bytes, chunks } => {
            let entry = match put_together(&cache, &entry.body, bytes, chunks) {
                Some(body) => Arc::new(entry.with_body(body)),
                None => entry,
            };
            if is_error && has_better(&cache, &entry) {
                return;
            }
            finish(&cache, &landing, Some(entry));
        }
        _ if is_error => {}
        _ => finish(&cache, &landing, None),
    }
}

/// Whether something is stored that can still be served when the origin fails: no error takes its place.
fn has_better(cache: &Cache, error: &Entry) -> bool {
    let Some(stored) = cache.store().get(error.resource.key(), error.variant) else {
        return false;
    };
    let channels = error.resource.state.lock().channels.clone();
    !is_error_status(stored.status)
        && Ask::default()
            .may_have_old(cache.hub(), &stored, &channels, cache.outage(), Instant::now())
            .is_some()
}

/// Carries an answer that came outside the list of flights, because its URL was thought uncacheable.
pub(super) async fn carry_alone(cache: Cache, flight: Arc<Flight>, landed: (Landed, EdgeBody)) {
    let landing = Landing {
        resource: landed.0.entry.resource.clone(),
        flight,
    };
    carry(cache, landing, landed, false, to_all).await;
}

fn finish(cache: &Cache, landing: &Landing, entry: Option<Arc<Entry>>) {
    let mut state = landing.resource.state.lock();
    if let Some(entry) = entry {
        let url = entry.resource.key();
        entry
            .head
            .get_or_init(|| cache.account().charge(entry.head_weight()));
        if let Some(surplus) = state.stored(entry.variant) {
            cache.store().forget(url, surplus);
        }
        cache.store().insert(url, entry);
    }
    // In the same step: whoever comes finds the one or the other.
    state
        .flights
        .retain(|flight| !Arc::ptr_eq(flight, &landing.flight));
    drop(state);
    cache.counters().bytes.set(cache.store().weight() as f64);
}

/// The origin has answered: no pause any more.
fn answered(resource: &Resource) {
    resource.state.lock().failing = None;
}

/// After a failure: a pause for those who can have an old answer.
fn pause(resource: &Resource) {
    let mut state = resource.state.lock();
    let failures = state.failing.map_or(0, |(_, failures)| failures);
    let pause = (FIRST_PAUSE * 2u32.pow(failures.min(8))).min(LONGEST_PAUSE);
    state.failing = Some((Instant::now() + pause, failures + 1));
}

// === impl Landing ===

impl Drop for Landing {
    fn drop(&mut self) {
        self.resource
            .state
            .lock()
            .flights
            .retain(|flight| !Arc::ptr_eq(flight, &self.flight));
        self.flight.phase.send_if_modified(|phase| {
            let died = matches!(phase, Phase::Waiting | Phase::Flying { .. });
            if died {
                *phase = Phase::Gone(Gone::Failed(Failure::Died));
            }
            died
        });
    }
}

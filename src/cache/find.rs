//! The decision between a URL's stored answers and its flights, under its lock.

use std::time::Duration;

use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{Extensions, HeaderMap, Method};
use tokio::sync::watch;
use tokio::time::Instant;

use super::channels::Channels;
use super::config::PacedReads;
use super::entry::Entry;
use super::flight::{Flight, Landing, Phase};
use super::handle::Cache;
use super::key::VariantKey;
use super::look::{Look, Needs, Why};
use super::policy::{Freshness, Fwd, RequestDirectives, VarySpec, is_error_status};
use super::resource::{Resource, State};
use crate::hub::Fetch;
use crate::mutants::mutant;
use crate::request::Fields;
use crate::sync::Arc;

/// A request, as the decision sees it.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) resource: &'a Arc<Resource>,
    pub(super) needs: &'a Needs,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) fields: Fields,
    pub(super) is_https: bool,
    pub(super) extensions: &'a Extensions,
}

/// Why such a request passes.
pub(super) const NESTED: &str = "nested";

/// What a request does.
pub(super) enum Found {
    /// It is answered.
    Answer {
        entry: Arc<Entry>,
        /// `None`: its own.
        freshness: Option<Box<Freshness>>,
        served: Served,
        refresh: Option<Box<Departure>>,
    },
    /// It waits for a flight. `departure`: one of its own.
    Wait {
        wait: Box<Wait>,
        departure: Option<Box<Departure>>,
    },
    /// It goes by itself, and says why.
    Alone(&'static str),
    /// There is nothing for it, and it does not want it fetched.
    Nothing,
}

/// A request that waits for a flight.
pub(super) struct Wait {
    pub(super) flight: Arc<Flight>,
    /// Received under the lock: whoever carries the body sees that somebody waits.
    pub(super) phase: watch::Receiver<Phase>,
    /// A stored answer, for the case that there is no better one.
    pub(super) old: Option<Arc<Entry>>,
    /// Why it goes forward.
    pub(super) fwd: Fwd,
    /// It waits for a turn.
    pub(super) paced: bool,
    /// Keeps the marks that the stored answer has not seen.
    pub(super) pin: Option<Fetch>,
}

/// How a stored answer is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Served {
    Fresh,
    /// While it is revalidated.
    Stale,
    /// Fetches fail just now.
    Outage,
    /// The revalidation is held back.
    Paced,
}

/// A flight that has to be started, and at once: if it is on the list, others wait for it. Dropped, it is off the list.
pub(super) struct Departure {
    pub(super) landing: Landing,
    pub(super) old: Option<Arc<Entry>>,
    /// Its answer is of use only if it is stamped later than the old one.
    pub(super) moves_the_stamp: bool,
}

/// What is stored for a request that it cannot simply have.
struct Stored {
    old: Option<Arc<Entry>>,
    why: Option<Why>,
    fwd: Fwd,
}

impl Stored {
    const NOTHING: Self = Self {
        old: None,
        why: None,
        fwd: Fwd::UriMiss,
    };

    /// Nothing, if what there was is gone by now.
    fn if_alive(self, is_alive: impl FnOnce(&Entry) -> bool) -> Self {
        match &self.old {
            Some(old) if !is_alive(old) => Self::NOTHING,
            _ => self,
        }
    }
}

impl Asking<'_> {
    /// It wants less than the whole.
    fn wants_less(&self) -> bool {
        *self.method == Method::HEAD || self.fields.has(Fields::CONDITION) || self.fields.has(Fields::RANGE)
    }

    /// Nothing that has to be fetched (RFC 9111 5.2.1.7).
    fn only_if_cached(&self) -> bool {
        self.headers.contains_key(CACHE_CONTROL) && RequestDirectives::parse(self.headers).only_if_cached
    }
}

impl Cache {
    /// Decides for a request.
    pub(super) fn find(&self, asking: &Asking<'_>, now: Instant) -> Found {
        let mut state = asking.resource.state.lock();
        let variant = self.variant_wanted(asking, state.vary.as_deref());
        let channels = state.channels(self.hub());
        let stored = match self.find_stored(asking, &mut state, variant, &channels, now) {
            Ok(found) => return found,
            Err(stored) => stored,
        };
        if let Some(found) = self.find_excused(asking, &mut state, &stored, &channels, now) {
            return found;
        }
        if asking.only_if_cached() {
            return Found::Nothing;
        }
        if self.went_through(asking.extensions) {
            // It would wait for itself.
            say_once!(
                "a cache layer is below another one of the same edge: it passes what that one asks for"
            );
            return Found::Alone(NESTED);
        }
        if stored.old.is_none()
            && let Some(why) = self.why_alone(asking, now)
        {
            return Found::Alone(why);
        }
        self.find_flight(asking, &mut state, variant, stored, &channels, now)
    }

    /// A stored answer that will do; or what is stored otherwise.
    fn find_stored(
        &self,
        asking: &Asking<'_>,
        state: &mut State,
        variant: VariantKey,
        channels: &Channels,
        now: Instant,
    ) -> Result<Found, Stored> {
        let Asking { resource, needs, .. } = asking;
        let Some(entry) = self.store().get(resource.key(), variant) else {
            let has = |other| self.store().has(resource.key(), other);
            let varies = state.vary.as_ref().is_some_and(|vary| !vary.names().is_empty());
            let fwd = match varies && state.others(variant).any(has) {
                true => Fwd::VaryMiss,
                false => Fwd::UriMiss,
            };
            return Err(Stored {
                old: None,
                why: None,
                fwd,
            });
        };
        state.used(variant);
        match needs.look(self.hub(), resource, &entry, channels, now) {
            Look::Fresh { aged } => {
                let refresh = match aged {
                    true => self.in_background(resource, state, &entry, Why::Aged, channels, now),
                    false => None,
                };
                Ok(Found::Answer {
                    freshness: None,
                    entry,
                    served: Served::Fresh,
                    refresh,
                })
            }
            Look::Stale { freshness, why } => {
                let refresh = self.in_background(resource, state, &entry, why, channels, now);
                Ok(Found::Answer {
                    entry,
                    freshness: Some(freshness),
                    served: Served::Stale,
                    refresh,
                })
            }
            Look::Refetch(why) => Err(Stored {
                old: Some(entry),
                why: Some(why),
                fwd: Fwd::Stale,
            }),
            Look::Dead => {
                self.store().remove(resource.key(), &entry);
                Err(Stored::NOTHING)
            }
        }
    }

    /// The old answer, where there is no better one just now: fetches fail, or the next one is held back (rule M3).
    fn find_excused(
        &self,
        asking: &Asking<'_>,
        state: &mut State,
        stored: &Stored,
        channels: &Channels,
        now: Instant,
    ) -> Option<Found> {
        let Asking { resource, needs, .. } = asking;
        let (entry, why) = (stored.old.as_ref()?, stored.why?);
        let may_have_old = |excuse| needs.may_have_old(self.hub(), resource, entry, channels, excuse, now);
        if state.is_failing(now)
            && let Some(freshness) = may_have_old(self.outage())
        {
            return Some(Found::Answer {
                entry: entry.clone(),
                freshness: Some(freshness.into()),
                served: Served::Outage,
                refresh: None,
            });
        }
        let is_held_back = why.is_paced(channels) && needs.paced_reads == PacedReads::Stale && !needs.by_hold;
        if is_held_back && let Some(freshness) = may_have_old(self.pace()) {
            return Some(Found::Answer {
                entry: entry.clone(),
                freshness: Some(freshness.into()),
                served: Served::Paced,
                refresh: self.in_background(resource, state, entry, why, channels, now),
            });
        }
        None
    }

    /// Why a request of a URL of which nothing is stored goes by itself.
    fn why_alone(&self, asking: &Asking<'_>, now: Instant) -> Option<&'static str> {
        if asking.headers.contains_key(AUTHORIZATION) {
            return Some("authorization");
        }
        let memo = self.memo(asking.resource.key(), now)?;
        memo.is_about(asking.wants_less()).then(|| memo.why())
    }

    /// A flight that is under way, or a new one.
    fn find_flight(
        &self,
        asking: &Asking<'_>,
        state: &mut State,
        variant: VariantKey,
        stored: Stored,
        channels: &Channels,
        now: Instant,
    ) -> Found {
        // From here on all marks are kept that it has not seen. Those before, as long as it is stored, for without the lock
        // no sweep gets past it; if it left the store meanwhile, it is looked once more.
        let pin = stored.old.is_some().then(|| self.hub().begin_fetch(now));
        let stored = stored.if_alive(|old| self.is_alive(asking.resource, old, channels, now));
        let Stored { old, why, fwd } = stored;
        // Nobody gets what another one asked for, so nobody waits for that either.
        let each = old
            .as_ref()
            .is_some_and(|entry| entry.head.freshness.always_validates());
        let paced = !each && why.is_some_and(|why| why.is_paced(channels));
        let joinable = |flight: &&Arc<Flight>| {
            !each && flight.files_under() == variant && self.can_join(flight, asking, channels, now)
        };
        if let Some(flight) = state.flights.iter().find(joinable) {
            if !paced {
                flight.hurry();
            }
            let wait = Box::new(Wait {
                phase: flight.phase.subscribe(),
                flight: flight.clone(),
                old,
                fwd,
                paced,
                pin,
            });
            return Found::Wait {
                wait,
                departure: None,
            };
        }
        let turn = paced.then(|| state.turn(variant, now, self.config().interval));
        let flight = Arc::new(Flight::new(variant, turn));
        if !each {
            state.flights.push(flight.clone());
        }
        let departure = self.departure(asking.resource, &flight, (old.clone(), why), channels, now);
        let wait = Box::new(Wait {
            phase: flight.phase.subscribe(),
            flight,
            old,
            fwd,
            paced,
            pin,
        });
        Found::Wait {
            wait,
            departure: Some(departure),
        }
    }

    fn can_join(&self, flight: &Flight, asking: &Asking<'_>, channels: &Channels, now: Instant) -> bool {
        let Asking { resource, needs, .. } = asking;
        match &*flight.phase.borrow() {
            Phase::Waiting => true,
            Phase::Flying { stamp, since, .. } => {
                // Those who joined a slow one leave it by now: they make a new one, once for all of them.
                now.saturating_duration_since(*since) < self.config().wait_timeout
                    && needs.may_be_served_from(self.hub(), resource, channels, *stamp)
            }
            Phase::Landed(landed) => {
                // Who comes after the head finds a stored answer that is not whole yet: like any other it has to be fresh.
                let entry = &landed.entry;
                let is_kept = landed.storable && !flight.is_superseded();
                (is_kept && entry.head.freshness.is_fresh(now) || mutant!("join-any"))
                    && needs.is_served_by(self.hub(), resource, entry, channels)
            }
            Phase::Gone(_) => false,
        }
    }

    /// A refresh that nobody waits for: none if one is under way, or fetches fail just now, or, where messages
    /// are the reason, one ran in this interval.
    fn in_background(
        &self,
        resource: &Arc<Resource>,
        state: &mut State,
        entry: &Arc<Entry>,
        why: Why,
        channels: &Channels,
        now: Instant,
    ) -> Option<Box<Departure>> {
        let variant = entry.head.variant;
        let under_way = |flight: &Arc<Flight>| flight.files_under() == variant && flight.may_be_stored();
        if state.is_failing(now) || state.flights.iter().any(under_way) {
            return None;
        }
        let turn = why
            .is_paced(channels)
            .then(|| state.turn(variant, now, self.config().interval));
        let flight = Arc::new(Flight::new(variant, turn));
        state.flights.push(flight.clone());
        let old = (Some(entry.clone()), Some(why));
        Some(self.departure(resource, &flight, old, channels, now))
    }

    /// A flight, and what it takes along to validate: what that has not seen when the flight is pinned may be forgotten, so it
    /// is looked at after that.
    fn departure(
        &self,
        resource: &Arc<Resource>,
        flight: &Arc<Flight>,
        (old, why): (Option<Arc<Entry>>, Option<Why>),
        channels: &Channels,
        now: Instant,
    ) -> Box<Departure> {
        let landing = Landing {
            resource: resource.clone(),
            flight: flight.clone(),
            pin: self.hub().begin_fetch(now),
        };
        Box::new(Departure {
            landing,
            old: old.filter(|old| self.is_alive(resource, old, channels, now)),
            moves_the_stamp: why.is_some_and(Why::moves_the_stamp),
        })
    }

    /// Whether a stored answer was not purged hard. It has seen all marks then.
    pub(super) fn is_alive(
        &self,
        resource: &Resource,
        entry: &Entry,
        channels: &Channels,
        now: Instant,
    ) -> bool {
        let look = Needs::any(self.hub()).look(self.hub(), resource, entry, channels, now);
        !matches!(look, Look::Dead)
    }

    /// Whether it is no error and can still be served when the origin fails: no error takes its place, or hides it.
    pub(super) fn is_good_page(&self, resource: &Resource, entry: &Entry, channels: &Channels) -> bool {
        let (hub, now) = (self.hub(), Instant::now());
        let may_have = || Needs::any(hub).may_have_old(hub, resource, entry, channels, self.outage(), now);
        !is_error_status(entry.head.status) && may_have().is_some()
    }

    fn variant_wanted(&self, asking: &Asking<'_>, vary: Option<&VarySpec>) -> VariantKey {
        let variant = match asking.fields.has(Fields::KEYED) {
            true => Self::variant_of,
            false => Self::plain_variant,
        };
        variant(self, vary, asking.headers, asking.is_https, asking.needs.by_hold)
    }
}

impl State {
    /// Fetches failed a moment ago: none now for those who can have an old answer.
    fn is_failing(&self, now: Instant) -> bool {
        self.failing.is_some_and(|(until, _)| now < until)
    }

    /// After a failure: a pause for those who can have an old answer.
    pub(super) fn pause(&mut self, now: Instant) {
        /// First pause; doubled with each failure.
        const FIRST: Duration = Duration::from_secs(1);
        const LONGEST: Duration = Duration::from_secs(4);
        let failures = self.failing.map_or(0, |(_, failures)| failures);
        let pause = (FIRST * 2u32.pow(failures.min(8))).min(LONGEST);
        self.failing = Some((now + pause, failures.saturating_add(1)));
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::header::ETAG;
    use http::{Request, Response};
    use tower::{Layer, ServiceExt, service_fn};

    use super::super::key::RequestUrl;
    use super::super::layer::EdgeCacheLayer;
    use super::*;
    use crate::body::EdgeBody;
    use crate::order::{Order, PurgeMode, Target, Url};
    use crate::testing::read_now;

    /// A stored answer, and its URL.
    async fn stored(cache: &Cache) -> (Arc<Resource>, Arc<Entry>) {
        let origin = service_fn(|_: Request<EdgeBody>| async {
            let response = Response::builder().header(CACHE_CONTROL, "max-age=60");
            Ok::<_, Infallible>(
                response
                    .header(ETAG, "\"1\"")
                    .body(String::from("1"))
                    .expect("valid"),
            )
        });
        let request = Request::get("http://h/").body(EdgeBody::empty()).expect("valid");
        let service = EdgeCacheLayer::new(cache.clone()).layer(origin);
        let response = service.oneshot(request).await.expect("no error");
        read_now(&mut response.into_body()).expect("it is all there");
        while cache.stats().entries == 0 {
            tokio::task::yield_now().await;
        }
        let url = RequestUrl::Url(Url::new("h", "/"));
        let key = url.key();
        let resource = cache.index().get(&url, key).expect("its own").expect("it lives");
        let variant = resource.state.lock().variants()[0];
        let entry = cache.store().get(key, variant).expect("it is stored");
        (resource, entry)
    }

    /// It was looked at, and then purged and displaced before it was pinned. Its mark is forgotten, for nothing needs it.
    #[tokio::test]
    async fn c4_what_is_purged_hard_after_it_was_looked_at_is_taken_along_by_nobody() {
        for joins in [false, true] {
            let cache = Cache::default();
            let (resource, entry) = stored(&cache).await;
            let (hub, now) = (cache.hub(), Instant::now());
            let (needs, channels) = (Needs::any(hub), resource.channels(hub));
            let (headers, extensions) = (HeaderMap::new(), Extensions::new());
            let asking = Asking {
                resource: &resource,
                needs: &needs,
                method: &Method::GET,
                headers: &headers,
                fields: Fields::NONE,
                is_https: false,
                extensions: &extensions,
            };
            let mut state = resource.state.lock();
            let variant = entry.head.variant;
            let look = needs.look(hub, &resource, &entry, &channels, now);
            assert!(matches!(look, Look::Fresh { .. }));
            hub.apply(Order::purge(Target::url("h", "/"), PurgeMode::Hard), now);
            cache.store().remove(resource.key(), &entry);
            let waits = |state: &mut State| {
                let stored = Stored {
                    old: Some(entry.clone()),
                    why: Some(Why::Aged),
                    fwd: Fwd::Stale,
                };
                match cache.find_flight(&asking, state, variant, stored, &channels, now) {
                    Found::Wait { wait, departure } => (wait, departure),
                    _ => panic!("it waits"),
                }
            };
            let (waits, departure) = if joins {
                let departure =
                    cache.in_background(&resource, &mut state, &entry, Why::Expired, &channels, now);
                let (wait, none) = waits(&mut state);
                (wait, none.or(departure))
            } else {
                waits(&mut state)
            };
            // Nothing fails under the lock: what is dropped takes it.
            drop(state);
            let upto = hub.begin_pass(usize::MAX);
            while hub.forget(upto, 1) {}
            let departure = departure.expect("one departs");
            for old in [&waits.old, &departure.old].into_iter().flatten() {
                let excuse = cache.outage();
                let excused = needs.may_have_old(hub, &resource, old, &channels, excuse, now);
                assert!(excused.is_none(), "it comes back when the origin is down");
            }
            assert!(waits.old.is_none() && departure.old.is_none());
            assert!(matches!(waits.fwd, Fwd::UriMiss) && !waits.paced);
        }
    }
}

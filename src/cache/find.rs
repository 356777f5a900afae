//! The decision between a URL's stored answers and its flights, under its lock.

use tokio::sync::watch;
use tokio::time::Instant;

use super::config::PacedReads;
use super::entry::{Entry, VariantKey};
use super::flight::{Flight, Phase};
use super::handle::Cache;
use super::look::{Ask, Look, Why};
use super::policy::{Freshness, Fwd, VarySpec};
use super::resource::{Channels, Resource, State};
use crate::mutants::mutant;
use crate::sync::Arc;

/// What a request does.
pub(super) enum Found {
    /// It is answered.
    Answer {
        entry: Arc<Entry>,
        freshness: Freshness,
        as_what: AsWhat,
        refresh: Option<Start>,
    },
    /// It waits for a flight. `start`: one of its own.
    Wait { wait: Wait, start: Option<Start> },
    /// It goes by itself, and says why.
    Alone(&'static str),
    /// There is nothing for it, and it does not want it fetched.
    Nothing,
}

/// What a request may get beside a stored answer.
pub(super) struct Limits {
    /// Nothing that has to be fetched (RFC 9111 5.2.1.7).
    pub(super) only_if_cached: bool,
    /// Nothing that another one asked for.
    pub(super) has_authorization: bool,
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
}

/// How a stored answer is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AsWhat {
    Fresh,
    /// While it is revalidated.
    Stale,
    /// Fetches fail just now.
    Outage,
    /// The revalidation is held back.
    Paced,
}

/// A flight that has to be started, and at once: if it is on the list, others wait for it.
pub(super) struct Start {
    pub(super) flight: Arc<Flight>,
    pub(super) old: Option<Arc<Entry>>,
    /// Its answer is of use only if it is stamped later than the old one.
    pub(super) moves_the_stamp: bool,
}

impl Cache {
    /// Decides for a request, whose variant under a `Vary` is `variant`. `limits`: of what it may get
    /// where no stored answer will do.
    pub(super) fn find(
        &self,
        resource: &Arc<Resource>,
        ask: &Ask,
        variant: impl Fn(Option<&VarySpec>) -> VariantKey,
        limits: impl FnOnce() -> Limits,
        now: Instant,
    ) -> Found {
        let hub = self.hub();
        let mut state = resource.state.lock();
        let variant = variant(state.vary.as_deref());
        let channels = state.channels.clone();
        let stored = self.store().get(resource.key(), variant);
        if stored.is_some() {
            state.used(variant);
        }
        let look = stored.as_ref().map(|entry| ask.look(hub, entry, &channels, now));
        let mut fwd = Fwd::UriMiss;
        let (old, why) = match (stored, look) {
            (Some(entry), Some(Look::Fresh { aged })) => {
                let refresh = aged.then(|| self.in_background(&mut state, &entry, Why::Aged, &channels, now));
                return Found::Answer {
                    freshness: entry.freshness,
                    entry,
                    as_what: AsWhat::Fresh,
                    refresh: refresh.flatten(),
                };
            }
            (Some(entry), Some(Look::Stale { freshness, why })) => {
                let refresh = self.in_background(&mut state, &entry, why, &channels, now);
                return Found::Answer {
                    entry,
                    freshness,
                    as_what: AsWhat::Stale,
                    refresh,
                };
            }
            (Some(entry), Some(Look::Refetch(why))) => (Some(entry), Some(why)),
            (Some(entry), _) => {
                self.store().remove(resource.key(), &entry);
                (None, None)
            }
            (None, _) => {
                let has = |other| self.store().has(resource.key(), other);
                if state.vary.as_ref().is_some_and(|vary| !vary.names().is_empty())
                    && state.others(variant).any(has)
                {
                    fwd = Fwd::VaryMiss;
                }
                (None, None)
            }
        };
        if why.is_some() {
            fwd = Fwd::Stale;
        }
        // Nobody gets what another one asked for, so nobody waits for that either.
        let each = old
            .as_ref()
            .is_some_and(|entry| entry.freshness.always_validates());
        if let (Some(entry), Some(why)) = (&old, why) {
            let failing = state.failing.is_some_and(|(until, _)| now < until);
            if failing && let Some(freshness) = ask.may_have_old(hub, entry, &channels, self.outage(), now) {
                return Found::Answer {
                    entry: entry.clone(),
                    freshness,
                    as_what: AsWhat::Outage,
                    refresh: None,
                };
            }
            if why.is_paced(&channels)
                && ask.paced_reads == PacedReads::Stale
                && !ask.by_hold
                && let Some(freshness) = ask.may_have_old(hub, entry, &channels, self.pace(), now)
            {
                let refresh = self.in_background(&mut state, entry, why, &channels, now);
                return Found::Answer {
                    entry: entry.clone(),
                    freshness,
                    as_what: AsWhat::Paced,
                    refresh,
                };
            }
        }
        let limits = limits();
        if limits.only_if_cached {
            return Found::Nothing;
        }
        let paced = !each && why.is_some_and(|why| why.is_paced(&channels));
        let alone = limits.has_authorization.then_some("authorization");
        let memo = || self.memo(resource.key(), now).map(|memo| memo.why());
        if old.is_none()
            && let Some(why) = alone.or_else(memo)
        {
            return Found::Alone(why);
        }
        let joinable = |flight: &&Arc<Flight>| {
            !each && flight.files_under() == variant && self.can_join(flight, resource, ask, &channels, now)
        };
        if let Some(flight) = state.flights.iter().find(joinable) {
            if !paced {
                flight.hurry();
            }
            let (flight, phase) = (flight.clone(), flight.phase.subscribe());
            let wait = Wait {
                flight,
                phase,
                old,
                fwd,
                paced,
            };
            return Found::Wait { wait, start: None };
        }
        let turn = paced.then(|| state.turn(variant, now, self.config().interval));
        let flight = Arc::new(Flight::new(variant, turn));
        if !each {
            state.flights.push(flight.clone());
        }
        let moves_the_stamp = why.is_some_and(Why::moves_the_stamp);
        let start = Start {
            flight: flight.clone(),
            old: old.clone(),
            moves_the_stamp,
        };
        let wait = Wait {
            phase: flight.phase.subscribe(),
            flight,
            old,
            fwd,
            paced,
        };
        Found::Wait {
            wait,
            start: Some(start),
        }
    }

    fn can_join(
        &self,
        flight: &Flight,
        resource: &Resource,
        ask: &Ask,
        channels: &Channels,
        now: Instant,
    ) -> bool {
        match &*flight.phase.borrow() {
            Phase::Waiting => true,
            Phase::Flying { stamp, since } => {
                // Those who joined a slow one leave it by now: they make a new one, once for all of them.
                now < *since + self.config().wait_timeout
                    && ask.may_be_served_from(self.hub(), &resource.keys, channels, *stamp)
            }
            Phase::Landed(landed) => {
                (landed.storable || mutant!("join-any"))
                    && ask.is_served_by(self.hub(), &landed.entry, channels)
            }
            Phase::Gone(_) => false,
        }
    }

    /// A refresh that nobody waits for: none if one is under way, or fetches fail just now, or, where messages
    /// are the reason, one ran in this interval.
    fn in_background(
        &self,
        state: &mut State,
        entry: &Arc<Entry>,
        why: Why,
        channels: &Channels,
        now: Instant,
    ) -> Option<Start> {
        let failing = state.failing.is_some_and(|(until, _)| now < until);
        let under_way =
            |flight: &Arc<Flight>| flight.files_under() == entry.variant && flight.may_be_stored();
        if failing || state.flights.iter().any(under_way) {
            return None;
        }
        let turn = why
            .is_paced(channels)
            .then(|| state.turn(entry.variant, now, self.config().interval));
        let flight = Arc::new(Flight::new(entry.variant, turn));
        state.flights.push(flight.clone());
        Some(Start {
            flight,
            old: Some(entry.clone()),
            moves_the_stamp: why.moves_the_stamp(),
        })
    }
}

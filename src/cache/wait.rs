//! A request that waits for a flight, and takes what it brings if that is good enough for it.

use http::{HeaderMap, Response, StatusCode};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::alone::{Conditions, FOREIGN_AGE};
use super::entry::Entry;
use super::fetch::ForLeader;
use super::find::Wait;
use super::flight::{Failure, Gone, Landed, Phase};
use super::policy::{CacheStatus, Fwd, names_tag_of};
use super::refusal::{failed, refused};
use super::visit::Visit;
use crate::body::EdgeBody;
use crate::request::Fields;
use crate::sync::Arc;
use crate::time::after;

/// What came of waiting.
pub(super) enum Waited<E> {
    Response(Box<Response<EdgeBody>>),
    Error(E),
    /// Nothing for this request: it asks for itself, and says why. An old answer may still be better.
    Alone(&'static str, Option<Arc<Entry>>),
    /// Something too old, or another variant: decide anew.
    Again,
}

impl Visit {
    /// Waits for a flight, and takes what it brings if that is good enough. `leader`: it is its own. One of somebody else
    /// is left after a while for a new one, but it does not go on so after `until`.
    pub(super) async fn wait<E>(
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
            let brought = tokio::time::timeout_at(after(turn, longest), landed).await;
            if brought.is_err() {
                flight.go_on();
            }
            match brought {
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
                    return Waited::of(old, || refused(StatusCode::GATEWAY_TIMEOUT, "wait-timeout"));
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
                flight.go_on();
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
            (Gone::NotShareable { why, .. }, Some(ForLeader::Private(_))) if self.resumes() => {
                Waited::Alone(why, old)
            }
            (Gone::NotShareable { why, .. }, Some(ForLeader::Private(arrived))) => Waited::Response(
                Box::new(self.give_private(*arrived, Conditions::Withheld, fwd, why)),
            ),
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
            (Gone::Failed(failure), Some(ForLeader::Private(arrived))) => {
                let why = failure.as_str();
                Waited::Response(Box::new(self.give_private(
                    *arrived,
                    Conditions::Withheld,
                    fwd,
                    why,
                )))
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
            && self.is_of_its_variant(kept)
            && names_tag_of(&self.parts.headers, &kept.head.headers)
            && !(self.needs.by_hold && (kept.head.is_hold() || kept.head.instruct_unchanged.is_some()))
            && self.needs.is_served_by(hub, &self.resource, kept, &channels);
        if !has_it {
            return None;
        }
        let status = CacheStatus::forwarded(fwd).collapsed(true).detail(why);
        let response = self.give(kept, &kept.head.freshness, Some(status))?;
        // Only a 200 becomes one (RFC 9110 13.2.1).
        if response.status() != StatusCode::NOT_MODIFIED {
            return None;
        }
        self.cache.counters().collapsed.add(1);
        Some(response)
    }

    /// Whether an answer is for requests like this one, as far as its `Vary` tells.
    fn is_of_its_variant(&self, entry: &Entry) -> bool {
        let variant = self.cache.variant_of(
            Some(&entry.head.vary),
            &self.parts.headers,
            self.is_https,
            self.needs.by_hold,
        );
        variant == entry.head.variant
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
        if !self.is_of_its_variant(entry) {
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
}

// === impl Waited ===

impl<E> Waited<E> {
    fn of(response: Option<Response<EdgeBody>>, otherwise: impl FnOnce() -> Response<EdgeBody>) -> Self {
        Self::Response(Box::new(response.unwrap_or_else(otherwise)))
    }
}

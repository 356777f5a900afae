//! What is noted of a URL when a fetch of it ends: the same for a flight, for a request that goes alone, and for one that
//! passes.

use tokio::time::Instant;

use super::arrived::{Arrived, Disposition};
use super::channels::Named;
use super::entry::Entry;
use super::flight::Failure;
use super::handle::Cache;
use super::key::VariantKey;
use super::memo::{About, Forbids, Memo};
use super::resource::Resource;
use crate::position::Stamp;
use crate::sync::Arc;
use crate::time::after;

impl Cache {
    /// An answer came, and this is what becomes of it. `old`: what is stored of the variant that was
    /// asked for.
    pub(super) fn take_note(
        &self,
        resource: &Arc<Resource>,
        arrived: &Arrived,
        disposition: Disposition,
        asked_for: impl FnOnce() -> VariantKey,
        old: Option<&Arc<Entry>>,
    ) {
        if arrived.error().is_some() {
            self.counters().fetch_errors.add(1);
            resource.state.lock().pause(Instant::now());
        } else {
            self.origin_answered(resource);
            if arrived.supersedes() {
                self.supersede(resource, asked_for(), arrived.stamp(), old);
            }
        }
        let (why, about) = match disposition {
            Disposition::Failed(_) => return,
            Disposition::Kept(_) | Disposition::Shared(Ok(())) => return self.forget_memo(resource.key()),
            Disposition::Private(why) => (why, About::All),
            Disposition::Shared(Err(why)) => (why, About::Parts),
        };
        if arrived.tells_of_its_url() {
            self.remember(resource, arrived.named(), (why, about), arrived.forbidden_by());
        }
    }

    /// The origin has answered, with this stamp, and the answer is not kept: what was stored of this variant before is no longer
    /// its last word, nor is what still arrives. `old`: what was validated.
    pub(super) fn supersede(
        &self,
        resource: &Resource,
        variant: VariantKey,
        stamp: Stamp,
        old: Option<&Arc<Entry>>,
    ) {
        let state = resource.state.lock();
        for flight in state
            .flights
            .iter()
            .filter(|flight| flight.files_under() == variant)
        {
            flight.supersede(stamp);
        }
        // It may have been stored after this was asked.
        let stored = self.store().peek(resource.key(), variant);
        let is_older = |stored: &Arc<Entry>| stored.head.stamp.at <= stamp.at;
        let gone = stored.filter(is_older);
        for entry in gone.iter().chain(old) {
            self.store().remove(resource.key(), entry);
        }
        drop(state);
    }

    /// Room is short: what could be kept is not.
    pub(super) fn remember_unstorable(&self, resource: &Arc<Resource>, entry: &Entry, why: &'static str) {
        self.remember(resource, entry.head.named.as_ref(), (why, About::Parts), None);
    }

    /// No answer came.
    pub(super) fn fetch_failed(&self, resource: &Resource, failure: Failure) {
        self.counters().fetch_errors.add(1);
        tracing::debug!(target: "gripstack::cache", url = resource.url.as_str(), why = failure.as_str(), "a fetch failed");
        resource.state.lock().pause(Instant::now());
    }

    /// The origin has answered: no pause any more.
    pub(super) fn origin_answered(&self, resource: &Resource) {
        resource.state.lock().failing = None;
    }

    fn remember(
        &self,
        resource: &Arc<Resource>,
        named: Option<&Arc<Named>>,
        why: (&'static str, About),
        forbids: Option<Forbids>,
    ) {
        let now = Instant::now();
        // Each request that passes alone comes by here, and mostly brings nothing new.
        let known = self.memo(resource.key(), now);
        if known.is_some_and(|known| known.says(resource, named, why, forbids.as_ref())) {
            return;
        }
        let until = after(now, self.config().uncacheable_ttl);
        let name = self.config().name;
        let memo = Memo::new(self.hub(), name, resource, named, why, forbids, until);
        self.remember_memo(resource.key(), memo);
    }
}

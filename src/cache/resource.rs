//! One URL: what is known of it while a variant, a flight or a hold of it lives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::channels::{Channels, Named, Snapshot, Union};
use super::flight::Flight;
use super::key::{RequestUrl, VariantKey};
use super::policy::VarySpec;
use super::shard::{Ended, Shard};
use crate::hub::Hub;
use crate::message::Channel;
use crate::order::{Target, TargetKey, Url};
use crate::sync::{Arc, Mutex};
use crate::time::after;
use std::sync::Weak;

/// Variants of one URL whose pace is remembered.
const MAX_PACED: usize = 64;
/// Variants of one URL that are stored; the one that was not asked for the longest goes first.
const MAX_VARIANTS: usize = 64;
/// Shards of the index.
const SHARDS: usize = 16;

/// One URL.
pub(crate) struct Resource {
    pub(super) url: Url,
    /// The URL, as it is and as API clients rebuild it; its host; everything.
    pub(super) keys: Box<[TargetKey]>,
    pub(super) state: Mutex<State>,
    /// Which layer asked first, of those that cannot know what public URL this is.
    door: AtomicU64,
    key: TargetKey,
    index: Weak<Index>,
}

#[derive(Default)]
pub(super) struct State {
    /// What its answers are filed under: see [`Resource::rule`].
    pub(super) vary: Option<Arc<VarySpec>>,
    /// An error said so, when there was no page.
    error_rules: bool,
    /// What its answers named, as long as they live.
    union: Option<Box<Union>>,
    pub(super) flights: Vec<Arc<Flight>>,
    /// Variants that are stored, or were: about in the order of their use.
    variants: Vec<VariantKey>,
    /// Variants, and when the last paced revalidation of each started.
    pub(super) paced: Vec<(VariantKey, Instant)>,
    /// Its fetches fail: none before this moment for those who can have an old answer; and how many failed.
    pub(super) failing: Option<(Instant, u32)>,
}

/// The key is that of another URL, which lives. One of the two is cached.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyTaken;

/// All resources that live.
pub(super) struct Index {
    shards: [Mutex<Shard>; SHARDS],
}

/// Where one may be. What lives stays at its place.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    shard: usize,
    number: usize,
}

// === impl Resource ===

impl Resource {
    pub(super) fn key(&self) -> TargetKey {
        self.key
    }

    /// Whether a layer may use it. Of those that cannot know what public URL they see only one does, while it lives: two of
    /// them, each below another prefix, may see one path of two URLs.
    pub(super) fn is_of_door(&self, door: u64, knows: impl FnOnce() -> bool) -> bool {
        let first = self.door.load(Ordering::Relaxed);
        first == door
            || knows()
            || first == 0
                && self
                    .door
                    .compare_exchange(0, door, Ordering::Relaxed, Ordering::Relaxed)
                    .map_or_else(|first| first == door, |_| true)
    }

    /// Takes a flight off the list if nobody waits for it or reads it: then nobody will.
    pub(super) fn abandon(&self, flight: &Arc<Flight>, is_read: impl Fn() -> bool) -> bool {
        let mut state = self.state.lock();
        let abandoned = !is_read() && flight.phase.receiver_count() == 0;
        let _flight = abandoned.then(|| state.land(flight));
        drop(state);
        abandoned
    }

    /// What an answer with this `Vary` is filed under, and from now on all that come: the last one rules. One
    /// without a field does not make the variants of the others one (RFC 9111 4.1).
    pub(super) fn rule(&self, vary: VarySpec) -> Arc<VarySpec> {
        self.state.lock().rule(vary)
    }

    /// The same of an error, which makes nothing of a page: while one can be served, or is about to be, that stays where it is
    /// looked for, and the error is told apart by its own fields beside. Returns whether it is looked for there.
    pub(super) fn rule_of_error(
        &self,
        hub: &Hub,
        vary: VarySpec,
        is_good: impl Fn(VariantKey, &Channels) -> bool,
    ) -> (Arc<VarySpec>, bool) {
        let mut state = self.state.lock();
        let channels = state.channels(hub);
        let ruling = state.vary.clone();
        let has_page = || {
            let is_arriving = |flight: &Arc<Flight>| flight.brings_a_page();
            let is_good = |variant: &VariantKey| is_good(*variant, &channels);
            state.flights.iter().any(is_arriving) || state.variants.iter().any(is_good)
        };
        match ruling {
            Some(ruling) if has_page() => {
                let own = VarySpec::clone(&ruling).with(vary.names().iter().cloned());
                match own == *ruling {
                    true => (ruling, true),
                    false => (Arc::new(own), false),
                }
            }
            _ => {
                let ruling = state.rule(vary);
                state.error_rules = true;
                (ruling, true)
            }
        }
    }

    /// An answer names these channels: they are the URL's while what is given lives. `more`: it names others, too.
    pub(super) fn learn(&self, hub: &Hub, channels: Vec<Channel>, more: bool) -> Option<Arc<Named>> {
        if channels.is_empty() && !more {
            return None;
        }
        let mut state = self.state.lock();
        state.union.get_or_insert_default().learn(hub, channels, more)
    }

    /// The union of what its answers named.
    pub(super) fn channels(&self, hub: &Hub) -> Snapshot {
        self.state.lock().channels(hub)
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        let Some(index) = self.index.upgrade() else { return };
        let mut shard = index.shards[self.key.slot(SHARDS)].lock();
        // Another one may have taken its place already.
        shard.remove_dead(self.key);
    }
}

// === impl State ===

impl State {
    /// The union of what its answers named.
    pub(super) fn channels(&mut self, hub: &Hub) -> Snapshot {
        match &mut self.union {
            Some(union) => union.get(hub).into(),
            None => Snapshot::default(),
        }
    }

    /// See [`Resource::rule`].
    fn rule(&mut self, vary: VarySpec) -> Arc<VarySpec> {
        self.error_rules = false;
        match &self.vary {
            Some(ruling) if !ruling.names().is_empty() && vary.names().is_empty() => ruling.clone(),
            _ => self.vary.insert(Arc::new(vary)).clone(),
        }
    }

    /// A page that is filed under these is stored: it is looked for there, although an error came while it arrived.
    pub(super) fn stored_page(&mut self, vary: &Arc<VarySpec>) {
        if std::mem::take(&mut self.error_rules) {
            self.vary = Some(vary.clone());
        }
    }

    /// A variant is stored. Returns the one that has to go for it.
    pub(super) fn stored(&mut self, variant: VariantKey) -> Option<VariantKey> {
        self.variants.retain(|other| *other != variant);
        // Nearly all URLs have one.
        self.variants.reserve_exact(usize::from(self.variants.is_empty()));
        self.variants.push(variant);
        (self.variants.len() > MAX_VARIANTS).then(|| self.variants.remove(0))
    }

    /// An answer that names these goes for want of room, not because something took its place: they stay the URL's.
    pub(super) fn outlive(&mut self, hub: &Hub, named: &Arc<Named>, until: Instant) {
        self.union.get_or_insert_default().outlive(hub, named, until);
    }

    /// A variant is asked for. Where there are few, their order does not matter.
    pub(super) fn used(&mut self, variant: VariantKey) {
        let older = self.variants.len().saturating_sub(MAX_VARIANTS / 2);
        if let Some(place) = self.variants[..older].iter().position(|other| *other == variant) {
            self.variants[place..].rotate_left(1);
        }
    }

    /// Variants that are stored, or were.
    pub(super) fn variants(&self) -> &[VariantKey] {
        &self.variants
    }

    /// Variants beside this one that are stored, or were.
    pub(super) fn others(&self, variant: VariantKey) -> impl Iterator<Item = VariantKey> {
        self.variants
            .iter()
            .copied()
            .filter(move |other| *other != variant)
    }

    /// Takes a flight off the list.
    pub(super) fn land(&mut self, flight: &Arc<Flight>) -> Option<Arc<Flight>> {
        let place = self.flights.iter().position(|other| Arc::ptr_eq(other, flight))?;
        let flight = self.flights.remove(place);
        if self.flights.is_empty() {
            // Nearly all URLs have none.
            self.flights = Vec::new();
        }
        Some(flight)
    }

    /// When the next paced revalidation of this variant may start.
    pub(super) fn turn(&self, variant: VariantKey, now: Instant, interval: Duration) -> Instant {
        let last = self.paced.iter().find(|(paced, _)| *paced == variant);
        last.map_or(now, |(_, last)| after(*last, interval).max(now))
    }

    /// One starts: from now on the pace counts from here.
    pub(super) fn took_turn(&mut self, variant: VariantKey, now: Instant, interval: Duration) {
        self.paced
            .retain(|(paced, last)| *paced != variant && after(*last, interval) > now);
        if self.paced.len() < MAX_PACED {
            self.paced.push((variant, now));
        }
    }
}

// === impl Index ===

impl Index {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// The resource of this URL and its key, if it lives.
    pub(super) fn get(
        &self,
        named: &RequestUrl<'_>,
        key: TargetKey,
    ) -> Result<Option<Arc<Resource>>, KeyTaken> {
        let living = self.shards[key.slot(SHARDS)].lock().get(key);
        match living {
            Some(resource) if !named.is(&resource.url) => Err(KeyTaken),
            living => Ok(living),
        }
    }

    /// The resource of this URL and its key, made if it does not live.
    pub(super) fn resource(
        self: &Arc<Self>,
        named: RequestUrl<'_>,
        key: TargetKey,
    ) -> Result<Arc<Resource>, KeyTaken> {
        let mut shard = self.shards[key.slot(SHARDS)].lock();
        if let Some(resource) = shard.get(key) {
            // What may be dropped here locks this shard.
            drop(shard);
            return if named.is(&resource.url) {
                Ok(resource)
            } else {
                Err(KeyTaken)
            };
        }
        let url = named.into_url();
        let canonical = url.canonical().map(|url| TargetKey::of(&Target::Url(url)));
        let host = TargetKey::of(&Target::Host(url.host().into()));
        let everything = TargetKey::of(&Target::Everything);
        let resource = Arc::new(Resource {
            keys: [Some(key), canonical, Some(host), Some(everything)]
                .into_iter()
                .flatten()
                .collect(),
            url,
            state: Mutex::default(),
            door: AtomicU64::new(0),
            key,
            index: Arc::downgrade(self),
        });
        shard.insert(key, Arc::downgrade(&resource));
        Ok(resource)
    }

    /// What lives at this place, if something does, and the next place. `None` at the end of them.
    pub(super) fn visit(&self, place: Place) -> Option<(Option<Arc<Resource>>, Place)> {
        let Place { shard, number } = place;
        let (resource, shard, number) = match self.shards.get(shard)?.lock().nth(number) {
            Ok(resource) => (resource, shard, number + 1),
            Err(Ended) => (None, shard + 1, 0),
        };
        Some((resource, Place { shard, number }))
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_urls_of_one_key_are_not_taken_for_each_other() {
        let index = Arc::new(Index::new());
        let key = TargetKey::of(&Target::Everything);
        let named = |path| RequestUrl::Url(Url::new("h", path));
        let one = index.resource(named("/1"), key).expect("nothing is there");
        assert!(Arc::ptr_eq(
            &one,
            &index.resource(named("/1"), key).expect("its own")
        ));
        assert!(index.get(&named("/1"), key).expect("its own").is_some());
        assert!(index.get(&named("/2"), key).is_err());
        assert!(index.resource(named("/2"), key).is_err());
        drop(one);
        assert!(index.get(&named("/2"), key).expect("its place is free").is_none());
        assert!(index.resource(named("/2"), key).is_ok());
    }
}

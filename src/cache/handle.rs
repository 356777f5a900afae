//! [`Cache`]: the handle with all state.

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache as Memos, DefaultLifecycle};
use tokio::time::Instant;

use super::account::Account;
use super::config::CacheConfig;
use super::dates::Dates;
use super::key::VariantKey;
use super::memo::{ByLength, Memo};
use super::policy::{Outage, StoreLimits, VariantHasher, VarySpec};
use super::refusal::Reader;
use super::resource::Index;
use super::store::Store;
use super::sweep::Sweeper;
use crate::cluster::{Bus, Local};
use crate::handoff::AskedByHold;
use crate::hub::{Hub, LogLimits, Sweep};
use crate::order::{TargetKey, TargetKeyHashing};
use crate::request::keyed_in;
use crate::sync::Arc;
use crate::telemetry::{Counter, Gauge, names};

/// URLs that are remembered as uncacheable: fewer, if they are long.
const MEMOS: usize = 65_536;

/// A cache: what is stored, and what is under way. A handle: clones share everything.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    config: CacheConfig,
    hub: Hub,
    bus: Arc<dyn Bus>,
    store: Store,
    index: Arc<Index>,
    hasher: VariantHasher,
    /// URLs that proved uncacheable.
    memos: Memos<TargetKey, Arc<Memo>, ByLength, TargetKeyHashing>,
    dates: Dates,
    /// The last layer that was made.
    doors: AtomicU64,
    /// Bytes of bodies that are arriving.
    arriving: AtomicU64,
    account: Arc<Account>,
    counters: Counters,
    sweeper: Sweeper,
}

/// Tells one cache from another. In the extensions of a request: it went through that one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CacheId(usize);

/// A cache that may be gone.
pub(super) struct WeakCache(std::sync::Weak<Inner>);

pub(super) struct Counters {
    pub(super) hit: Counter,
    pub(super) stale: Counter,
    pub(super) miss: Counter,
    pub(super) collapsed: Counter,
    pub(super) pass: Counter,
    pub(super) fetches: Counter,
    pub(super) fetch_errors: Counter,
    pub(super) bytes: Gauge,
}

/// A moment's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Stored answers.
    pub entries: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of bodies that are arriving.
    pub arriving_bytes: u64,
    /// Bytes in memory: of what is stored, what is arriving, and what clients still read although it left the store.
    pub memory_bytes: u64,
    /// URLs of which a variant, a flight or a hold lives.
    pub urls: usize,
}

// === impl Cache ===

impl Default for Cache {
    fn default() -> Self {
        Self::new(CacheConfig::default())
    }
}

impl Cache {
    /// A cache of its own, with a clock of its own: for use without an [`Edge`](crate::Edge).
    pub fn new(config: CacheConfig) -> Self {
        let hub = Hub::new(LogLimits::default());
        Self::of(config, hub.clone(), Arc::new(Local::new(hub)))
    }

    pub(crate) fn of(config: CacheConfig, hub: Hub, bus: Arc<dyn Bus>) -> Self {
        let result = |value| Counter::labelled(names::CACHE, "result", value);
        let inner = Arc::new(Inner {
            store: Store::new(&config),
            index: Arc::new(Index::new()),
            hasher: VariantHasher::default(),
            memos: Memos::with(
                MEMOS,
                MEMOS as u64,
                ByLength,
                TargetKeyHashing::default(),
                DefaultLifecycle::default(),
            ),
            dates: Dates::default(),
            doors: AtomicU64::new(0),
            arriving: AtomicU64::new(0),
            account: Arc::new(Account::new(config.capacity_bytes + config.flight_budget_bytes)),
            counters: Counters {
                hit: result("hit"),
                stale: result("stale"),
                miss: result("miss"),
                collapsed: result("collapsed"),
                pass: result("pass"),
                fetches: Counter::new(names::FETCHES),
                fetch_errors: Counter::new(names::FETCH_ERRORS),
                bytes: Gauge::new(names::CACHE_BYTES),
            },
            config,
            hub,
            bus,
            sweeper: Sweeper::default(),
        });
        let weak: std::sync::Weak<Inner> = Arc::downgrade(&inner);
        inner.hub.attach(weak);
        Self(inner)
    }

    /// A moment's figures.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.0.store.len(),
            bytes: self.0.store.weight(),
            arriving_bytes: self.0.arriving.load(Ordering::Relaxed),
            memory_bytes: self.0.account.bytes(),
            urls: self.0.index.len(),
        }
    }

    /// Whether a request comes from a layer above of this cache.
    pub(super) fn went_through(&self, extensions: &http::Extensions) -> bool {
        extensions.get::<CacheId>() == Some(&self.id())
    }

    /// Who reads the answer to a request.
    pub(super) fn reader(&self, extensions: &http::Extensions) -> Reader {
        match AskedByHold::of(extensions) {
            _ if self.went_through(extensions) => Reader::Cache,
            Some(_) => Reader::Hold,
            None => Reader::Client,
        }
    }

    /// Tells it from others.
    pub(super) fn id(&self) -> CacheId {
        CacheId(Arc::as_ptr(&self.0) as usize)
    }

    pub(super) fn dates(&self) -> &Dates {
        &self.0.dates
    }

    /// A number for one more layer.
    pub(super) fn next_door(&self) -> u64 {
        self.0.doors.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn config(&self) -> &CacheConfig {
        &self.0.config
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(super) fn bus(&self) -> &dyn Bus {
        &*self.0.bus
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn index(&self) -> &Arc<Index> {
        &self.0.index
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(super) fn outage(&self) -> Option<Outage> {
        self.0.config.outage.map(|max_stale| Outage {
            max_stale,
            despite_s_maxage: true,
            despite_proxy_revalidate: true,
        })
    }

    /// What excuses an old answer while its revalidation is held back: the operator's pace.
    pub(super) fn pace(&self) -> Option<Outage> {
        let CacheConfig {
            outage,
            interval,
            wait_timeout,
            ..
        } = self.0.config;
        Some(Outage {
            max_stale: outage
                .unwrap_or_default()
                .max(interval.saturating_add(wait_timeout)),
            despite_s_maxage: true,
            despite_proxy_revalidate: true,
        })
    }

    pub(super) fn limits(&self) -> StoreLimits {
        StoreLimits {
            max_object_bytes: self.0.config.max_object_bytes,
            max_header_bytes: 64 << 10,
        }
    }

    /// The variant that a request wants, under this `Vary` and what counts without it.
    pub(super) fn variant_of(
        &self,
        vary: Option<&VarySpec>,
        request: &http::HeaderMap,
        is_https: bool,
        by_hold: bool,
    ) -> VariantKey {
        let mut unkeyed = keyed_in(request).peekable();
        if unkeyed.peek().is_none() {
            return self.plain_variant(vary, request, is_https, by_hold);
        }
        let vary = vary.cloned().unwrap_or_default().with(unkeyed.cloned());
        self.plain_variant(Some(&vary), request, is_https, by_hold)
    }

    /// The same for a request without [`KEYED`](crate::request::Fields::KEYED) fields.
    pub(super) fn plain_variant(
        &self,
        vary: Option<&VarySpec>,
        request: &http::HeaderMap,
        is_https: bool,
        by_hold: bool,
    ) -> VariantKey {
        let fields = vary
            .filter(|vary| !vary.names().is_empty())
            .and_then(|vary| vary.variant_key(request, &self.0.hasher))
            .unwrap_or_default();
        // Two bits that no field can set: who asks, and how.
        VariantKey((fields & !3) | u128::from(is_https) << 1 | u128::from(by_hold))
    }

    /// Says, while it is valid, that this URL is not collapsed.
    pub(super) fn memo(&self, url: TargetKey, now: Instant) -> Option<Arc<Memo>> {
        let memo = self.0.memos.get(&url)?;
        if !memo.is_valid(self.hub(), now) {
            self.0.memos.remove(&url);
            return None;
        }
        Some(memo)
    }

    pub(super) fn remember_memo(&self, url: TargetKey, memo: Memo) {
        self.0.memos.insert(url, Arc::new(memo));
    }

    pub(super) fn forget_memo(&self, url: TargetKey) {
        self.0.memos.remove(&url);
    }

    pub(super) fn sweeper(&self) -> &Sweeper {
        &self.0.sweeper
    }

    pub(super) fn downgrade(&self) -> WeakCache {
        WeakCache(Arc::downgrade(&self.0))
    }

    pub(super) fn account(&self) -> &Arc<Account> {
        &self.0.account
    }

    /// Takes bytes of the budget for what is arriving; false, if it is used up.
    pub(super) fn take_budget(&self, bytes: u64) -> bool {
        let before = self.0.arriving.fetch_add(bytes, Ordering::Relaxed);
        before + bytes <= self.0.config.flight_budget_bytes && self.0.account.has_room(bytes)
    }

    pub(super) fn is_budget_used_up(&self) -> bool {
        self.0.arriving.load(Ordering::Relaxed) >= self.0.config.flight_budget_bytes
            || !self.0.account.has_room(1)
    }

    pub(super) fn return_budget(&self, bytes: u64) {
        self.0.arriving.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// === impl WeakCache ===

impl WeakCache {
    pub(super) fn upgrade(&self) -> Option<Cache> {
        self.0.upgrade().map(Cache)
    }
}

// === impl Inner ===

impl Sweep for Inner {
    fn marked(self: Arc<Self>, set: usize, forgettable: usize) {
        Cache(self).marked(set, forgettable);
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cache").field(&self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, Response};

    use super::super::arrived::{Sent, look_at};
    use super::super::key::RequestUrl;
    use super::super::memo::{About, MEMO_BYTES};
    use super::*;
    use crate::body::EdgeBody;
    use crate::order::Url;
    use crate::time::Now;

    /// Anybody can make up URLs, as long as heads may be, that an application answers with an uncacheable error.
    #[tokio::test]
    async fn what_is_remembered_as_uncacheable_is_bounded_by_bytes() {
        let cache = Cache::default();
        // As a server gives it: a piece of a buffer with the whole head.
        let head = bytes::Bytes::from([&b"no-store"[..], &[b'x'; 8_192]].concat());
        let line = http::HeaderValue::from_maybe_shared(head.slice(..8)).expect("valid");
        let (mut bytes, mut kept) = (0, 0);
        for n in 0..3_000 {
            let url = Url::new("h", &format!("/{n}?{}", "x".repeat(60_000)));
            let key = RequestUrl::Url(url.clone()).key();
            let resource = cache
                .index()
                .resource(RequestUrl::Url(url), key)
                .expect("its own");
            let request = Request::builder().method(Method::GET).body(()).expect("valid");
            let response = Response::builder()
                .header("cache-control", &line)
                .body(EdgeBody::empty())
                .expect("valid");
            let sent = Sent {
                method: request.method(),
                headers: request.headers(),
                is_https: false,
                by_hold: false,
                stamp: cache.hub().stamp_at(cache.hub().now()),
                at: Now::read(),
            };
            let arrived = look_at(&cache, &resource, sent, response).await;
            let now = Instant::now();
            let Ok(arrived) = arrived else {
                panic!("it can be looked at")
            };
            let forbids = arrived.forbidden_by();
            let why = ("no-store", About::All);
            let until = now + cache.config().uncacheable_ttl;
            let memo = Memo::new(cache.hub(), "x", &resource, None, why, forbids, until);
            assert!(!memo.shares(&line), "one word keeps a whole head");
            cache.remember_memo(key, memo);
            if let Some(memo) = cache.memo(key, now) {
                (bytes, kept) = (bytes + memo.bytes(), kept + 1);
            }
        }
        assert!(kept > 0);
        let weight = cache.0.memos.weight();
        assert!(weight <= MEMOS as u64, "{weight}");
        let held: usize = cache.0.memos.iter().map(|(_, memo)| memo.bytes()).sum();
        assert!(held <= MEMOS * MEMO_BYTES, "{held} bytes of {bytes}");
    }
}

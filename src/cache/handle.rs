//! [`Cache`]: the handle with all state.

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache as Memos, DefaultLifecycle};
use tokio::time::Instant;

use super::config::CacheConfig;
use super::entry::VariantKey;
use super::pass::Memo;
use super::policy::{Outage, StoreLimits, VariantHasher, VarySpec};
use super::resource::Index;
use super::store::Store;
use super::unkeyed::keyed_in;
use crate::cluster::{Bus, Local};
use crate::hub::{Hub, LogLimits};
use crate::order::{TargetKey, TargetKeyHashing};
use crate::sync::Arc;
use crate::telemetry::{Counter, Gauge, names};

/// URLs that are remembered as uncacheable.
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
    memos: Memos<TargetKey, Arc<Memo>, UnitWeighter, TargetKeyHashing>,
    /// Bytes of bodies that are arriving.
    arriving: AtomicU64,
    counters: Counters,
}

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
        Self(Arc::new(Inner {
            store: Store::new(&config),
            index: Arc::new(Index::new()),
            hasher: VariantHasher::default(),
            memos: Memos::with(
                MEMOS,
                MEMOS as u64,
                UnitWeighter,
                TargetKeyHashing::default(),
                DefaultLifecycle::default(),
            ),
            arriving: AtomicU64::new(0),
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
        }))
    }

    /// A moment's figures.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.0.store.len(),
            bytes: self.0.store.weight(),
            arriving_bytes: self.0.arriving.load(Ordering::Relaxed),
            urls: self.0.index.len(),
        }
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
            max_stale: outage.unwrap_or_default().max(interval + wait_timeout),
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
    pub(super) fn variant(
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

    /// The same for a request without [`KEYED`](super::fields::Fields::KEYED) fields.
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
        if !memo.is_valid(self, now) {
            self.0.memos.remove(&url);
            return None;
        }
        Some(memo)
    }

    pub(super) fn remember_uncacheable(&self, url: TargetKey, memo: Memo) {
        self.0.memos.insert(url, Arc::new(memo));
    }

    pub(super) fn forget_memo(&self, url: TargetKey) {
        self.0.memos.remove(&url);
    }

    /// Takes bytes of the budget for what is arriving; false, if it is used up.
    pub(super) fn take_budget(&self, bytes: u64) -> bool {
        let before = self.0.arriving.fetch_add(bytes, Ordering::Relaxed);
        before + bytes <= self.0.config.flight_budget_bytes
    }

    pub(super) fn is_budget_used_up(&self) -> bool {
        self.0.arriving.load(Ordering::Relaxed) >= self.0.config.flight_budget_bytes
    }

    pub(super) fn return_budget(&self, bytes: u64) {
        self.0.arriving.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cache").field(&self.stats()).finish()
    }
}

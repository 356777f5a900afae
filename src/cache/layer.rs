//! [`EdgeCacheLayer`].

use std::sync::Arc;

use tower_layer::Layer;

use super::handle::Cache;
use super::service::EdgeCache;

/// Puts a [`Cache`] in front of a service. All state is the handle's: every service that this makes shares it.
#[derive(Clone, Debug)]
pub struct EdgeCacheLayer {
    cache: Cache,
    namespace: Arc<str>,
    enabled: bool,
}

// === impl EdgeCacheLayer ===

impl EdgeCacheLayer {
    /// Answers from this cache, and fills it.
    pub fn new(cache: Cache) -> Self {
        Self {
            cache,
            namespace: "".into(),
            enabled: true,
        }
    }

    /// The prefix that a router above has stripped from the path, such as `/api` (axum's `nest`): keys are made of
    /// the public URL, and a purge names that. Default: none.
    #[must_use]
    pub fn namespace(mut self, prefix: &str) -> Self {
        self.namespace = prefix.trim_end_matches('/').into();
        self
    }

    /// Whether it does anything. Default: yes.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }
}

impl<S> Layer<S> for EdgeCacheLayer {
    type Service = EdgeCache<S>;

    fn layer(&self, inner: S) -> EdgeCache<S> {
        EdgeCache::new(inner, self.cache.clone(), self.namespace.clone(), self.enabled)
    }
}

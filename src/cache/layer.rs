//! [`EdgeCacheLayer`].

use std::sync::Arc;

use tower_layer::Layer;

use super::config::PacedReads;
use super::handle::Cache;
use super::service::EdgeCache;

/// Puts a [`Cache`] in front of a service. All state is the handle's: every service that this makes shares it.
///
/// ```
/// use gripstack::{Edge, EdgeBody};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
/// let edge = Edge::new();
/// let stack = ServiceBuilder::new().layer(edge.cache_layer()).service_fn(async |_: Request<EdgeBody>| {
///     Response::builder().header("cache-control", "s-maxage=60").body(EdgeBody::from("hello"))
/// });
/// for status in ["gripstack; fwd=uri-miss; ttl=60; stored", "gripstack; hit; ttl=60"] {
///     let request = Request::get("http://example.com/").body(EdgeBody::empty())?;
///     let response = stack.clone().oneshot(request).await?;
///     assert_eq!(response.headers()["cache-status"], status);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct EdgeCacheLayer {
    cache: Cache,
    namespace: Arc<str>,
    enabled: bool,
    paced_reads: PacedReads,
}

// === impl EdgeCacheLayer ===

impl EdgeCacheLayer {
    /// Answers from this cache, and fills it.
    pub fn new(cache: Cache) -> Self {
        let paced_reads = cache.config().paced_reads;
        Self {
            cache,
            namespace: "".into(),
            enabled: true,
            paced_reads,
        }
    }

    /// The prefix that a router above has stripped from the path, such as `/api` (axum's `nest`): keys are made of
    /// the public URL, and a purge names that. Default: none.
    #[must_use]
    pub fn namespace(mut self, prefix: &str) -> Self {
        self.namespace = prefix.trim_end_matches('/').into();
        self
    }

    /// What a plain request below this layer gets while a message has made the stored answer older. Default: as the
    /// cache's [`CacheConfig`](super::CacheConfig) says.
    #[must_use]
    pub fn paced_reads(mut self, paced_reads: PacedReads) -> Self {
        self.paced_reads = paced_reads;
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
        EdgeCache::new(
            inner,
            self.cache.clone(),
            self.namespace.clone(),
            self.enabled,
            self.paced_reads,
        )
    }
}

//! The layer and its options.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tower_layer::Layer;

use super::auth::Auth;
use super::limit::Limits;
use super::service::{PurgeEndpoint, PurgeService};
use super::wire::Ids;
use crate::control::{ControlService, normal_prefix};
use crate::edge::Edge;
use crate::order::PurgeMode;

/// Takes purge requests out of the way of all others. See the [module](super).
///
/// ```
/// use gripstack::control::NotFound;
/// use gripstack::purge::Auth;
/// use gripstack::{Edge, EdgeBody};
/// use http::Request;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
/// let edge = Edge::new();
/// let purges = edge.purge_layer(Auth::token("secret")).api(true);
/// let stack = ServiceBuilder::new().layer(purges).service(NotFound);
/// let purge = |name: &str, value: &str| {
///     let request = Request::builder().method("PURGE").uri("http://example.com/news");
///     stack.clone().oneshot(request.header(name, value).body(EdgeBody::empty()).unwrap())
/// };
/// assert_eq!(purge("fastly-key", "secret").await?.status(), 200);
/// assert_eq!(purge("authorization", "Bearer guess").await?.status(), 401);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PurgeLayer {
    edge: Edge,
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) auth: Auth,
    pub(super) enabled: bool,
    pub(super) api: bool,
    pub(super) prefix: String,
    pub(super) namespace: String,
    pub(super) service: Option<String>,
    pub(super) mode: PurgeMode,
    pub(super) key_headers: bool,
    pub(super) challenge: bool,
    pub(super) ids: Ids,
    pub(super) limits: Limits,
}

// === impl PurgeLayer ===

impl PurgeLayer {
    /// Purges what this edge holds, for those whom `auth` lets in: the method `PURGE`, hard unless the request
    /// says otherwise.
    pub fn new(edge: Edge, auth: Auth) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let ids = Ids {
            // 24 bits: it reads like Fastly's.
            node: (RandomState::new().hash_one(0u8) >> 40) as u32,
            started: since_epoch.map_or(0, |since| since.as_secs()),
        };
        Self {
            edge,
            settings: Arc::new(Settings {
                auth,
                enabled: true,
                api: false,
                prefix: String::new(),
                namespace: String::new(),
                service: None,
                mode: PurgeMode::Hard,
                key_headers: false,
                challenge: false,
                ids,
                limits: Limits::default(),
            }),
        }
    }

    /// Whether it does anything; if not, all requests pass through. Default: it does.
    #[must_use]
    pub fn enabled(self, enabled: bool) -> Self {
        self.with(|settings| settings.enabled = enabled)
    }

    /// Whether it takes `POST /purge/..` and `POST /service/..`, too. Default: no.
    #[must_use]
    pub fn api(self, api: bool) -> Self {
        self.with(|settings| settings.api = api)
    }

    /// Only the method `PURGE`, as a new layer does: no path of the application is taken.
    #[must_use]
    pub fn method_only(self) -> Self {
        self.api(false)
    }

    /// The paths of the API lie under this one, for instance `/control`. Default: none.
    #[must_use]
    pub fn prefix(self, prefix: &str) -> Self {
        self.with(|settings| settings.prefix = normal_prefix(prefix))
    }

    /// Where the layer sits below a router that strips a prefix, that prefix, for instance `/a`: the method `PURGE` then
    /// names the public URL. Default: none. With the feature `axum`, below axum's `nest`, it need not be said.
    #[must_use]
    pub fn namespace(self, prefix: &str) -> Self {
        self.with(|settings| settings.namespace = normal_prefix(prefix))
    }

    /// The API knows this service only; calls for others are answered 404. Default: any id will do.
    #[must_use]
    pub fn service_id(self, id: &str) -> Self {
        self.with(|settings| settings.service = Some(id.to_owned()))
    }

    /// What a purge means that does not say it. Default [`PurgeMode::Hard`]; with [`PurgeMode::SoftBlock`] the
    /// last good copy survives a change just before an outage.
    #[must_use]
    pub fn mode(self, unmarked: PurgeMode) -> Self {
        self.with(|settings| settings.mode = unmarked)
    }

    /// Whether a `PURGE` with a `Surrogate-Key` or `xkey` header purges these keys instead of its URL, as
    /// Varnish is often configured. Default: no.
    #[must_use]
    pub fn key_headers(self, key_headers: bool) -> Self {
        self.with(|settings| settings.key_headers = key_headers)
    }

    /// Whether a `PURGE` without credentials is answered as the API is: 401, and what is missing. Default: no, but 405 as
    /// if there were no such method. For a listener that only operators reach.
    #[must_use]
    pub fn challenge(self, challenge: bool) -> Self {
        self.with(|settings| settings.challenge = challenge)
    }

    /// How often each credential may purge; beyond it 429 says when to try again. Without credentials
    /// ([`Auth::Open`]) all are one. Default: [`Limits::default`], which this layer and its clones share.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        self.with(|settings| settings.limits = limits)
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for PurgeLayer {
    type Service = PurgeService<S>;

    fn layer(&self, inner: S) -> PurgeService<S> {
        let endpoint = PurgeEndpoint {
            edge: self.edge.clone(),
            settings: self.settings.clone(),
        };
        ControlService::new(inner, endpoint)
    }
}

// === impl Edge ===

impl Edge {
    /// A [`PurgeLayer`] of this edge.
    pub fn purge_layer(&self, auth: Auth) -> PurgeLayer {
        PurgeLayer::new(self.clone(), auth)
    }
}

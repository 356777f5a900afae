//! The layer and its options.

use std::sync::Arc;

use tower_layer::Layer;

use super::auth::Auth;
use super::publisher::Publisher;
use super::service::{PublishEndpoint, RateLimitedPublish};
use crate::control::{ControlService, normal_prefix};

/// Takes publishes out of the way of all other requests. See the [module](super).
///
/// ```
/// use gripstack::control::NotFound;
/// use gripstack::publish::{Auth, PublishConfig};
/// use gripstack::{Edge, EdgeBody};
/// use http::Request;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
/// let publisher = Edge::new().publisher(PublishConfig::new());
/// let stack = ServiceBuilder::new().layer(publisher.layer(Auth::token("secret"))).service(NotFound);
/// let item = r#"{"items": [{"channel": "news", "http-stream": {"content": "data: 1\n\n"}}]}"#;
/// let request = Request::post("/publish").header("authorization", "Bearer secret");
/// let response = stack.oneshot(request.body(EdgeBody::from(item))?).await?;
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["gripstack-position"], "1");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimitedPublishLayer {
    publisher: Publisher,
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) auth: Auth,
    pub(super) enabled: bool,
    pub(super) path: String,
    pub(super) max_body_bytes: usize,
}

// === impl RateLimitedPublishLayer ===

impl RateLimitedPublishLayer {
    /// Hands what it gets to this publisher, from those whom `auth` lets in.
    pub fn new(publisher: Publisher, auth: Auth) -> Self {
        Self {
            publisher,
            settings: Arc::new(Settings {
                auth,
                enabled: true,
                path: "/publish".to_owned(),
                max_body_bytes: 1_000_000,
            }),
        }
    }

    /// Whether it does anything; if not, all requests pass through. Default: it does.
    #[must_use]
    pub fn enabled(self, enabled: bool) -> Self {
        self.with(|settings| settings.enabled = enabled)
    }

    /// Its path lies under this one: `/control` makes it `/control/publish`. Default: none.
    #[must_use]
    pub fn prefix(self, prefix: &str) -> Self {
        self.with(|settings| settings.path = format!("{}/publish", normal_prefix(prefix)))
    }

    /// Longest body of a publish. Default 1,000,000 bytes.
    #[must_use]
    pub fn max_body_bytes(self, bytes: usize) -> Self {
        self.with(|settings| settings.max_body_bytes = bytes)
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for RateLimitedPublishLayer {
    type Service = RateLimitedPublish<S>;

    fn layer(&self, inner: S) -> RateLimitedPublish<S> {
        let endpoint = PublishEndpoint {
            publisher: self.publisher.clone(),
            settings: self.settings.clone(),
        };
        ControlService::new(inner, endpoint)
    }
}

// === impl Publisher ===

impl Publisher {
    /// A layer that hands what it gets to this publisher.
    pub fn layer(&self, auth: Auth) -> RateLimitedPublishLayer {
        RateLimitedPublishLayer::new(self.clone(), auth)
    }
}

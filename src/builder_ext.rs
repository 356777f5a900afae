//! [`ServiceBuilderExt`]: the layers as methods of [`tower::ServiceBuilder`].

#[cfg(feature = "cache")]
use crate::cache::EdgeCacheLayer;
#[cfg(any(feature = "hold", feature = "cache", feature = "purge"))]
use crate::edge::Edge;
#[cfg(feature = "hold")]
use crate::hold::GripHoldLayer;
#[cfg(feature = "publish")]
use crate::publish::{Publisher, RateLimitedPublishLayer};
#[cfg(feature = "purge")]
use crate::purge::PurgeLayer;
#[cfg(any(feature = "hold", feature = "cache", feature = "purge", feature = "publish"))]
use tower::layer::util::Stack;

/// Adds the layers of an [edge](crate::Edge) to a [`tower::ServiceBuilder`], each with its defaults.
///
/// What is added first sees a request first. The order that most want, from the client to the application:
///
/// ```
/// # #[cfg(all(feature = "hold", feature = "cache", feature = "purge", feature = "publish"))]
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use gripstack::publish::{self, PublishConfig};
/// use gripstack::purge;
/// use gripstack::{Channel, Edge, EdgeBody, Message, ServiceBuilderExt};
/// use gripstack::grip::Instruct;
/// use http::{Request, Response};
/// use http_body_util::BodyExt;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// let edge = Edge::new();
/// let service = ServiceBuilder::new()
///     .publish(&edge.publisher(PublishConfig::new()), publish::Auth::token("secret"))
///     .purge(&edge, purge::Auth::token("secret"))
///     .grip_hold(&edge)     // outside of the cache, so that instructions are cached with the body
///     .edge_cache(&edge)
///     .service_fn(async |_: Request<EdgeBody>| {
///         let mut response = Response::new(EdgeBody::from("hello\n"));
///         *response.headers_mut() = Instruct::stream().channel("news").into_headers()?;
///         Ok::<_, gripstack::BoxError>(response)
///     });
///
/// let request = Request::get("http://example.com/").body(EdgeBody::empty())?;
/// let mut body = service.oneshot(request).await?.into_body();
/// assert_eq!(body.frame().await.unwrap()?.into_data().unwrap(), "hello\n");
/// edge.publish(Channel::new("news")?, Message::bytes("world\n")).await?;
/// assert_eq!(body.frame().await.unwrap()?.into_data().unwrap(), "world\n");
/// # Ok::<(), gripstack::BoxError>(())
/// # })?;
/// # Ok::<(), gripstack::BoxError>(())
/// ```
///
/// For a layer with options, make it from the edge, set them, and add it with `layer`:
///
/// ```
/// # #[cfg(feature = "cache")] {
/// use gripstack::{Edge, EdgeBody};
/// use http::{Request, Response};
/// use tower::ServiceBuilder;
///
/// let edge = Edge::new();
/// let service = ServiceBuilder::new()
///     .layer(edge.cache_layer().namespace("/api"))
///     .service_fn(async |_: Request<EdgeBody>| {
///         Ok::<_, std::convert::Infallible>(Response::new(EdgeBody::empty()))
///     });
/// # let _ = service;
/// # }
/// ```
///
/// # When it does not compile
///
/// The layers take any request body, ask the service below with [`EdgeBody`](crate::EdgeBody), and answer one; their
/// error is that of the service below. So:
///
/// | What one would write | Why it fails | What works |
/// |---|---|---|
/// | `.layer(axum::middleware::from_fn(..))` below, in one `ServiceBuilder` | it takes axum's own body alone | see below |
/// | `service_fn` over `Request<Incoming>` below | it is asked with `Request<EdgeBody>` | a handler of that, or of any `Request<B>` |
/// | `rate_limit` below | it is not `Clone` | `buffer` above it |
/// | `timeout` below, under `axum::Router::layer` | its error is not `Infallible` | axum's `HandleErrorLayer` above it |
/// | `option_layer(layer)` | two types of response | `.enabled(bool)` on the layer |
/// | `axum::serve(listener, stack)` | it wants axum's own types | `Router::new().fallback_service(stack)`, or `gripstack::serve` |
/// | `add_service(layer.layer(grpc))` | tonic routes by the service's name | `layer.named_layer(grpc)` of tonic's `LayerExt` |
/// | `stack.ready().await?.call(request)` | the type of the request's body is ambiguous | `stack.oneshot(request)` |
///
/// The longest of these messages, forty lines of bounds that are not satisfied, is that of axum's `from_fn` and whatever
/// else takes axum's `Request` alone: the layers ask what is below with an `EdgeBody`, since they make requests of their own,
/// and `from_fn` is a service of `Request<axum::body::Body>` only. Two ways out. A router takes any body, so a call of
/// `layer` for each of the two does; the later one is outside:
///
/// ```
/// # #[cfg(feature = "full")] {
/// # use axum::{Router, extract::Request, middleware::{Next, from_fn}, response::Response, routing::get};
/// # use gripstack::{Edge, EdgeBody, ServiceBuilderExt};
/// # use tower::ServiceBuilder;
/// async fn check(request: Request, next: Next) -> Response {
///     next.run(request).await
/// }
///
/// let edge = Edge::new();
/// let router: Router = Router::new()
///     .route("/", get(|| async { "hello" }))
///     .layer(from_fn(check))
///     .layer(ServiceBuilder::new().grip_hold(&edge).edge_cache(&edge));
/// # let _ = router;
/// # }
/// ```
///
/// In one `ServiceBuilder` the request gets axum's body in between:
///
/// ```
/// # #[cfg(feature = "full")] {
/// # use axum::{Router, extract::Request, middleware::{Next, from_fn}, response::Response, routing::get};
/// # use gripstack::{Edge, EdgeBody, ServiceBuilderExt};
/// # use tower::ServiceBuilder;
/// # async fn check(request: Request, next: Next) -> Response {
/// #     next.run(request).await
/// # }
/// # let edge = Edge::new();
/// let layers = ServiceBuilder::new()
///     .grip_hold(&edge)
///     .edge_cache(&edge)
///     .map_request(|request: http::Request<EdgeBody>| request.map(axum::body::Body::new))
///     .layer(from_fn(check));
/// let router: Router = Router::new().route("/", get(|| async { "hello" })).layer(layers);
/// # let _ = router;
/// # }
/// ```
///
/// Above the layers `from_fn` needs nothing of this.
///
/// It cannot be implemented outside of this crate.
pub trait ServiceBuilderExt<L>: sealed::Sealed<L> + Sized {
    /// Holds the clients of responses with GRIP instructions, and pushes to them what is published to the edge. See
    /// [`hold`](crate::hold).
    #[cfg(feature = "hold")]
    #[cfg_attr(docsrs, doc(cfg(feature = "hold")))]
    fn grip_hold(self, edge: &Edge) -> tower::ServiceBuilder<Stack<GripHoldLayer, L>>;

    /// Answers from the edge's cache, and fills it. See [`cache`](crate::cache).
    #[cfg(feature = "cache")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
    fn edge_cache(self, edge: &Edge) -> tower::ServiceBuilder<Stack<EdgeCacheLayer, L>>;

    /// The same below a router that strips this prefix, such as `/api` (axum's `nest`): see
    /// [`EdgeCacheLayer::namespace`].
    #[cfg(feature = "cache")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
    fn edge_cache_at(self, edge: &Edge, prefix: &str) -> tower::ServiceBuilder<Stack<EdgeCacheLayer, L>>;

    /// Takes the method `PURGE` from those whom `auth` lets in. See [`purge`](crate::purge).
    #[cfg(feature = "purge")]
    #[cfg_attr(docsrs, doc(cfg(feature = "purge")))]
    fn purge(self, edge: &Edge, auth: crate::purge::Auth) -> tower::ServiceBuilder<Stack<PurgeLayer, L>>;

    /// Takes `POST /publish` from those whom `auth` lets in. A publisher, not an edge, since that says which channels
    /// are paced, and all who publish share its pacing: [`Edge::publisher`](crate::Edge::publisher) makes one. See
    /// [`publish`](crate::publish).
    #[cfg(feature = "publish")]
    #[cfg_attr(docsrs, doc(cfg(feature = "publish")))]
    fn publish(
        self,
        publisher: &Publisher,
        auth: crate::publish::Auth,
    ) -> tower::ServiceBuilder<Stack<RateLimitedPublishLayer, L>>;
}

mod sealed {
    pub trait Sealed<L> {}
}

// === impl ServiceBuilder ===

impl<L> sealed::Sealed<L> for tower::ServiceBuilder<L> {}

impl<L> ServiceBuilderExt<L> for tower::ServiceBuilder<L> {
    #[cfg(feature = "hold")]
    fn grip_hold(self, edge: &Edge) -> tower::ServiceBuilder<Stack<GripHoldLayer, L>> {
        self.layer(edge.hold_layer())
    }

    #[cfg(feature = "cache")]
    fn edge_cache(self, edge: &Edge) -> tower::ServiceBuilder<Stack<EdgeCacheLayer, L>> {
        self.layer(edge.cache_layer())
    }

    #[cfg(feature = "cache")]
    fn edge_cache_at(self, edge: &Edge, prefix: &str) -> tower::ServiceBuilder<Stack<EdgeCacheLayer, L>> {
        self.layer(edge.cache_layer().namespace(prefix))
    }

    #[cfg(feature = "purge")]
    fn purge(self, edge: &Edge, auth: crate::purge::Auth) -> tower::ServiceBuilder<Stack<PurgeLayer, L>> {
        self.layer(edge.purge_layer(auth))
    }

    #[cfg(feature = "publish")]
    fn publish(
        self,
        publisher: &Publisher,
        auth: crate::publish::Auth,
    ) -> tower::ServiceBuilder<Stack<RateLimitedPublishLayer, L>> {
        self.layer(publisher.layer(auth))
    }
}

//! The control layers in the stacks of others. Most of it is proved by compiling.
#![cfg(all(feature = "purge", feature = "publish"))]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gripstack::control::NotFound;
use gripstack::publish::{self, PublishConfig, Publisher};
use gripstack::purge::{self, PurgeLayer};
use gripstack::{BoxError, Channel, Edge, EdgeBody, Position, RateLimitedPublishLayer};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use tokio::sync::Notify;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

fn layers() -> (Edge, RateLimitedPublishLayer, PurgeLayer) {
    let edge = Edge::new();
    let publisher = Publisher::new(edge.clone(), PublishConfig::new());
    let publish = publisher.layer(publish::Auth::token("t"));
    let purge = edge.purge_layer(purge::Auth::token("t")).api(true);
    (edge, publish, purge)
}

fn publish_request<B>(body: impl FnOnce(Bytes) -> B) -> Request<B> {
    let json = r#"{"items":[{"channel":"c","http-stream":{"content":"x"}}]}"#;
    Request::post("/publish/")
        .header("authorization", "Bearer t")
        .body(body(Bytes::from_static(json.as_bytes())))
        .expect("a good request")
}

fn purge_request<B>(body: B) -> Request<B> {
    Request::builder()
        .method("PURGE")
        .uri("http://h/x")
        .header("fastly-key", "t")
        .body(body)
        .expect("a good request")
}

#[tokio::test]
async fn on_an_axum_router_before_its_routes() {
    use axum::body::Body;
    use axum::routing::{get, post};

    let (edge, publish, purge) = layers();
    let app = axum::Router::new()
        .route("/x", get(|| async { "x" }))
        .route("/publish/{channel}", post(|| async { "the application's" }))
        .layer(ServiceBuilder::new().layer(publish).layer(purge));
    let send = async |request: Request<Body>| {
        let response = app.clone().oneshot(request).await.expect("infallible");
        let body = response.into_body().collect().await.expect("a body");
        String::from_utf8(body.to_bytes().to_vec()).expect("text")
    };
    let get = Request::get("/x").body(Body::empty()).expect("a good request");
    assert_eq!(send(get).await, "x");
    let own = Request::post("/publish/c").body(Body::empty());
    assert_eq!(send(own.expect("a good request")).await, "the application's");
    assert!(
        send(purge_request(Body::empty()))
            .await
            .contains(r#""status":"ok""#)
    );
    assert_eq!(edge.hub().now(), Position::ZERO.next());
}

#[tokio::test]
async fn around_an_axum_router_every_path_is_seen() {
    use axum::body::Body;

    let (edge, publish, purge) = layers();
    let app = axum::Router::new().route("/x", axum::routing::get(|| async { "x" }));
    let stack = ServiceBuilder::new().layer(publish).layer(purge).service(app);
    let response = stack.clone().oneshot(publish_request(Body::from)).await;
    assert_eq!(response.expect("infallible").status(), 200);
    let response = stack.oneshot(purge_request(Body::empty())).await;
    assert_eq!(response.expect("infallible").status(), 200);
    assert_eq!(
        edge.hub()
            .last_message(&Channel::new("c").expect("a good name"))
            .get(),
        1
    );
    assert_eq!(edge.hub().now().get(), 2);
}

/// tonic's server takes the layers; nothing is served.
#[test]
fn on_a_tonic_server() {
    let (_, publish, purge) = layers();
    let routes = tonic::service::Routes::default();
    let _ = tonic::transport::Server::builder()
        .layer(publish)
        .layer(purge)
        .add_routes(routes);
}

#[tokio::test]
async fn each_alone_over_any_service_in_any_order() {
    let (edge, publish, purge) = layers();
    let answer =
        |_: Request<EdgeBody>| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("x")))) };
    let inner = service_fn(answer);
    for request in [publish_request(Full::new), purge_request(Full::default())] {
        let stacks = [
            publish.layer(purge.layer(inner)).oneshot(request.clone()).await,
            purge.layer(publish.layer(inner)).oneshot(request).await,
        ];
        for response in stacks {
            assert_eq!(response.expect("infallible").status(), 200);
        }
    }
    assert_eq!(edge.hub().now().get(), 4);
    // The same layer on services of different types.
    for response in [
        purge.layer(inner).oneshot(publish_request(Full::new)).await,
        purge.layer(NotFound).oneshot(publish_request(Full::new)).await,
    ] {
        let body = response.expect("infallible").into_body();
        let body = body.collect().await.expect("a body").to_bytes();
        assert!(body == "x" || body == "Not Found\n", "{body:?}");
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the service's own error")]
struct Own;

#[tokio::test]
async fn errors_of_the_inner_service_stay_what_they_are() {
    let (_, publish, purge) = layers();
    let failing = |_: Request<EdgeBody>| async { Err::<Response<Empty<Bytes>>, _>(Own) };
    let service = publish.layer(purge.layer(service_fn(failing)));
    let request = Request::get("/")
        .body(Empty::<Bytes>::new())
        .expect("a good request");
    assert_eq!(service.oneshot(request).await.err(), Some(Own));
}

/// A service that insists on being polled ready before each call, as its clones do for themselves.
struct Strict {
    ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            calls: self.calls.clone(),
        }
    }
}

impl Service<Request<EdgeBody>> for Strict {
    type Response = Response<EdgeBody>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<EdgeBody>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<EdgeBody>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being polled ready"
        );
        self.calls.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(Response::new(EdgeBody::empty())))
    }
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    let (_, publish, purge) = layers();
    let calls = Arc::new(AtomicUsize::new(0));
    let strict = Strict {
        ready: false,
        calls: calls.clone(),
    };
    let mut service = publish.layer(purge.layer(strict));
    for request in [
        Request::get("/")
            .body(Empty::<Bytes>::new())
            .expect("a good request"),
        purge_request(Empty::new()),
        Request::get("/").body(Empty::new()).expect("a good request"),
    ] {
        std::future::poll_fn(|cx| Service::<Request<Empty<Bytes>>>::poll_ready(&mut service, cx))
            .await
            .expect("infallible");
        service.call(request).await.expect("infallible");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

/// Below this there is one place, and nobody leaves it before `leave`.
fn crowded(
    leave: Arc<Notify>,
) -> impl Service<Request<EdgeBody>, Response = Response<EdgeBody>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        .concurrency_limit(1)
        .service_fn(move |_: Request<EdgeBody>| {
            let leave = leave.clone();
            async move {
                leave.notified().await;
                Ok(Response::new(EdgeBody::from("left")))
            }
        })
}

fn get_request() -> Request<Empty<Bytes>> {
    Request::get("/").body(Empty::new()).expect("a good request")
}

#[tokio::test(start_paused = true)]
async fn what_is_controlled_does_not_wait_for_the_application() {
    let (edge, publish, purge) = layers();
    let leave = Arc::new(Notify::new());
    let service = publish.layer(purge.layer(edge.hold_layer().layer(crowded(leave.clone()))));
    let first = tokio::spawn(service.clone().oneshot(get_request()));
    tokio::task::yield_now().await;
    // All are asked through one service, as one connection does, which waits below all the time.
    let mut one = service.clone();
    for _ in 0..2 {
        let ready = std::future::poll_fn(|cx| Service::<Request<Empty<Bytes>>>::poll_ready(&mut one, cx));
        let ready = tokio::time::timeout(Duration::from_secs(60), ready).await;
        ready.expect("in time").expect("infallible");
        let purged = one.call(purge_request(Empty::new())).await;
        assert_eq!(purged.expect("infallible").status(), 200);
    }
    let published = service.clone().oneshot(publish_request(Full::new)).await;
    assert_eq!(published.expect("infallible").status(), 200);
    // What passes waits for its turn, and nobody who did not pass stands before it.
    let second = tokio::spawn(service.clone().oneshot(get_request()));
    tokio::task::yield_now().await;
    leave.notify_one();
    assert_eq!(first.await.expect("no panic").expect("infallible").status(), 200);
    leave.notify_one();
    assert_eq!(second.await.expect("no panic").expect("infallible").status(), 200);
    drop(one);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_publish_through_the_stack_that_it_is_in() {
    let (edge, publish, purge) = layers();
    let own: Arc<OnceLock<BoxCloneSyncService<_, _, Infallible>>> = Arc::default();
    let stack = own.clone();
    let handler = move |_: Request<EdgeBody>| {
        let stack = stack.get().expect("it is set before the first request").clone();
        async move { stack.oneshot(publish_request(Full::new)).await }
    };
    let inner = ServiceBuilder::new().concurrency_limit(1).service_fn(handler);
    let stack = publish.layer(purge.layer(inner));
    assert!(own.set(BoxCloneSyncService::new(stack.clone())).is_ok());
    let answer = tokio::time::timeout(Duration::from_secs(60), stack.oneshot(get_request()));
    assert_eq!(answer.await.expect("in time").expect("infallible").status(), 200);
    assert_eq!(edge.hub().now(), Position::new(1));
}

/// It is never ready.
#[derive(Clone)]
struct Broken;

impl Service<Request<EdgeBody>> for Broken {
    type Response = Response<EdgeBody>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Response<EdgeBody>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Err("broken"))
    }

    fn call(&mut self, _: Request<EdgeBody>) -> Self::Future {
        panic!("called without being ready")
    }
}

#[tokio::test]
async fn an_error_of_the_application_is_for_what_passes() {
    let (_, publish, purge) = layers();
    let service = publish.layer(purge.layer(Broken));
    let published = service.clone().oneshot(publish_request(Full::new)).await;
    assert_eq!(published.expect("it is not asked").status(), 200);
    assert_eq!(service.oneshot(get_request()).await.err(), Some("broken"));
}

/// What passes through keeps its trailers and its length, both ways.
#[tokio::test]
async fn bodies_pass_through_frame_by_frame() {
    let (_, publish, purge) = layers();
    let echo = |request: Request<EdgeBody>| async { Ok::<_, Infallible>(Response::new(request.into_body())) };
    let service = publish.layer(purge.layer(service_fn(echo)));
    let trailers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )]);
    let body = Full::new(Bytes::from("body")).with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
    let request = Request::post("/x").body(body).expect("a good request");
    let response = service.clone().oneshot(request).await.expect("infallible");
    let collected = response.into_body().collect().await.expect("a body");
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "body");

    let request = Request::post("/x").body(Full::new(Bytes::from("body")));
    let response = service.oneshot(request.expect("a good request")).await;
    let body = response.expect("infallible").into_body();
    assert_eq!(body.size_hint().exact(), Some(4));
}

/// The services are what frameworks ask of them.
#[test]
fn services_and_futures_can_be_sent() {
    fn check<S>(_: &S)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<EdgeBody>, Error = Infallible>
            + Clone
            + Send
            + Sync,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
    {
    }
    let (_, publish, purge) = layers();
    check(&publish.layer(purge.layer(NotFound)));
}

//! The layers and axum: around a router, around its routes, below a router, under nested routers; served by
//! `axum::serve` and by ours.
#![cfg(all(
    feature = "hold",
    feature = "cache",
    feature = "purge",
    feature = "publish",
    feature = "tower"
))]

mod compose_support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use compose_support::{
    App, Client, Live, PATIENCE, TOKEN, channel, line, publish, purge, soon, stream_headers,
};
use gripstack::grip::Instruct;
use gripstack::message::PushedResponse;
use gripstack::publish::{self, PublishConfig};
use gripstack::purge::Auth;
use gripstack::{Edge, EdgeBody, Message, ServiceBuilderExt};
use http::{Method, StatusCode};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};

/// With axum's own server.
async fn axum_serve(router: Router) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async { axum::serve(listener, router).await });
    Client::new(addr)
}

/// With ours.
#[cfg(feature = "serve")]
async fn our_serve<S, B>(service: S) -> SocketAddr
where
    S: Service<http::Request<EdgeBody>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Error: Into<gripstack::BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<gripstack::BoxError>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(gripstack::serve(listener, service).into_future());
    addr
}

fn auth() -> Auth {
    Auth::token(TOKEN)
}

/// All four layers, for `Router::layer`.
macro_rules! all_layers {
    ($edge:expr) => {
        ServiceBuilder::new()
            .publish(
                &$edge.publisher(PublishConfig::new()),
                publish::Auth::token(TOKEN),
            )
            .purge(&$edge, auth())
            .grip_hold(&$edge)
            .edge_cache(&$edge)
    };
}

/// Streams, a long poll and text, as handlers of axum. Counts what reaches them.
fn handlers(asked: &Arc<AtomicUsize>) -> Router {
    let asked = asked.clone();
    Router::new()
        .route("/stream", get(|| async { (stream_headers("news"), "hello\n") }))
        .route(
            "/poll",
            get(|| async {
                let instruct = Instruct::response().channel("news").timeout(PATIENCE * 2);
                (instruct.into_headers().expect("good instructions"), "nothing\n")
            }),
        )
        .route(
            "/text",
            get(async move || {
                let n = asked.fetch_add(1, Ordering::SeqCst) + 1;
                ([("cache-control", "s-maxage=60")], format!("text {n}\n"))
            }),
        )
}

/// What clients of these handlers see, however they are served.
async fn does_all(edge: &Edge, asked: &AtomicUsize, client: &Client) {
    let mut stream = client.get("/stream").await;
    assert!(
        stream
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("grip"))
    );
    assert_eq!(stream.until("\n").await, "hello\n");
    edge.publish(channel("news"), line("pushed"))
        .await
        .expect("accepted");
    assert_eq!(stream.until("\n").await, "pushed\n");

    let open = edge.hub().stats().subscriptions;
    let (poll, ()) = tokio::join!(client.get("/poll"), async {
        soon(async {
            while edge.hub().stats().subscriptions == open {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        let message = Message::response(PushedResponse::new("polled\n"));
        edge.publish(channel("news"), message).await.expect("accepted");
    });
    assert_eq!(poll.text().await, "polled\n");

    assert_eq!(client.get("/text").await.text().await, "text 1\n");
    assert_eq!(client.get("/text").await.text().await, "text 1\n");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// What those see who publish and purge.
async fn is_controlled(client: &Client) {
    let mut stream = client.get("/stream").await;
    assert_eq!(stream.until("\n").await, "hello\n");
    assert_eq!(
        client.send(publish("news", "by POST")).await.text().await,
        "Published\n"
    );
    assert_eq!(stream.until("\n").await, "by POST\n");
    let before = client.get("/text").await.text().await;
    assert_eq!(client.send(purge("/text")).await.status, 200);
    assert_ne!(client.get("/text").await.text().await, before);
}

#[tokio::test]
async fn layers_of_a_router_under_axum_serve() {
    let (edge, asked) = (Edge::new(), Arc::default());
    let client = axum_serve(handlers(&asked).layer(all_layers!(edge))).await;
    does_all(&edge, &asked, &client).await;
    is_controlled(&client).await;
    assert_eq!(client.get("/nothing").await.status, 404);
}

#[tokio::test]
async fn each_layer_in_a_call_of_its_own() {
    let (edge, asked) = (Edge::new(), Arc::default());
    // The last one added is the outermost.
    let router = handlers(&asked)
        .layer(edge.cache_layer())
        .layer(edge.hold_layer())
        .layer(edge.purge_layer(auth()))
        .layer(
            edge.publisher(PublishConfig::new())
                .layer(publish::Auth::token(TOKEN)),
        );
    let client = axum_serve(router).await;
    does_all(&edge, &asked, &client).await;
    is_controlled(&client).await;
}

#[tokio::test]
async fn layers_of_the_routes_only() {
    let (edge, asked) = (Edge::new(), Arc::default());
    let layers = ServiceBuilder::new().grip_hold(&edge).edge_cache(&edge);
    let client = axum_serve(handlers(&asked).route_layer(layers)).await;
    does_all(&edge, &asked, &client).await;
    assert_eq!(client.get("/nothing").await.status, 404);
}

#[tokio::test]
async fn layers_of_one_route() {
    let edge = Edge::new();
    let held = get(|| async { (stream_headers("news"), "hello\n") }).layer(edge.hold_layer());
    let bare = get(|| async { (stream_headers("news"), "hello\n") });
    let client = axum_serve(Router::new().route("/held", held).route("/bare", bare)).await;
    let mut stream = client.get("/held").await;
    stream.until("hello\n").await;
    edge.publish(channel("news"), line("pushed"))
        .await
        .expect("accepted");
    assert_eq!(stream.until("\n").await, "pushed\n");
    let bare = client.get("/bare").await;
    assert_eq!(
        (bare.field("grip-hold"), bare.field("grip-channel")),
        ("stream", "news")
    );
}

#[tokio::test]
async fn a_router_inside_a_service_builder_as_a_fallback() {
    let (edge, asked) = (Edge::new(), Arc::default());
    let stack = all_layers!(edge).service(handlers(&asked));
    let client = axum_serve(Router::new().fallback_service(stack)).await;
    does_all(&edge, &asked, &client).await;
    is_controlled(&client).await;
}

#[tokio::test]
async fn a_service_of_ours_as_a_route() {
    let edge = Edge::new();
    let app = App::default();
    let stack = ServiceBuilder::new()
        .grip_hold(&edge)
        .edge_cache(&edge)
        .service(app.service());
    let router = Router::new()
        .route_service("/stream/{channel}", stack.clone())
        .nest_service("/app", stack);
    let client = axum_serve(router).await;
    let mut one = client.get("/stream/a").await;
    let mut other = client.get("/app/stream/a").await;
    one.until("\n").await;
    other.until("\n").await;
    edge.publish(channel("a"), line("pushed"))
        .await
        .expect("accepted");
    assert_eq!(one.until("\n").await, "pushed\n");
    assert_eq!(other.until("\n").await, "pushed\n");
}

#[cfg(feature = "serve")]
#[tokio::test]
async fn a_router_with_layers_under_our_serve() {
    let (edge, asked) = (Edge::new(), Arc::default());
    let addr = our_serve(handlers(&asked).layer(all_layers!(edge))).await;
    does_all(&edge, &asked, &Client::new(addr)).await;
    is_controlled(&Client::new(addr)).await;
    is_controlled(&Client::http2(addr)).await;
}

#[cfg(feature = "serve")]
#[tokio::test]
async fn a_router_inside_a_service_builder_under_our_serve() {
    let (edge, asked) = (Edge::new(), Arc::default());
    let addr = our_serve(all_layers!(edge).service(handlers(&asked))).await;
    does_all(&edge, &asked, &Client::http2(addr)).await;
    is_controlled(&Client::new(addr)).await;
    assert_eq!(Client::new(addr).get("/nothing").await.status, 404);
}

/// A router whose answers name the router, and count.
fn part(name: &'static str, asked: &Arc<AtomicUsize>) -> Router {
    let asked = asked.clone();
    let item = async move |request: Request| {
        let n = asked.fetch_add(1, Ordering::SeqCst) + 1;
        let path = request.uri().path().to_owned();
        ([("cache-control", "s-maxage=60")], format!("{name} {path} {n}\n"))
    };
    Router::new().route("/item", any(item)).route(
        "/live",
        get(async move || (stream_headers(name), format!("{name}\n"))),
    )
}

#[tokio::test]
async fn nested_routers_with_equal_inner_paths_do_not_share_keys() {
    let edge = Edge::new();
    let (asked_a, asked_b) = (Arc::default(), Arc::default());
    // Their layers see `/item` both times: axum's `nest` has stripped the prefix.
    let layers = |prefix| {
        ServiceBuilder::new()
            .layer(edge.hold_layer())
            .layer(edge.cache_layer().namespace(prefix))
    };
    let router = Router::new()
        .nest("/a", part("A", &asked_a).layer(layers("/a")))
        .nest("/b", part("B", &asked_b).layer(layers("/b")))
        .layer(edge.purge_layer(auth()));
    let client = axum_serve(router).await;
    let text = async |path| client.get(path).await.text().await;
    let twice = async || {
        for _ in 0..2 {
            let (a, b) = (text("/a/item").await, text("/b/item").await);
            assert!(a.starts_with("A /item ") && b.starts_with("B /item "), "{a}{b}");
        }
        (asked_a.load(Ordering::SeqCst), asked_b.load(Ordering::SeqCst))
    };
    assert_eq!(twice().await, (1, 1));

    // A purge names the public URL. The inner one is nobody's.
    assert_eq!(client.send(purge("/item")).await.status, 200);
    assert_eq!(twice().await, (1, 1));
    assert_eq!(client.send(purge("/a/item")).await.status, 200);
    assert_eq!(twice().await, (2, 1));
    assert_eq!(client.send(purge("/b/item")).await.status, 200);
    assert_eq!(twice().await, (2, 2));

    // What an unsafe method changes is the public URL's as well.
    let post = compose_support::request(Method::POST, "/b/item", "");
    assert_eq!(client.send(post).await.text().await, "B /item 3\n");
    assert_eq!(twice().await, (2, 4));

    let (mut a, mut b) = (client.get("/a/live").await, client.get("/b/live").await);
    assert_eq!(
        (a.until("\n").await, b.until("\n").await),
        ("A\n".to_owned(), "B\n".to_owned())
    );
    edge.publish(channel("B"), line("to B")).await.expect("accepted");
    edge.publish(channel("A"), line("to A")).await.expect("accepted");
    assert_eq!(
        (a.until("\n").await, b.until("\n").await),
        ("to A\n".to_owned(), "to B\n".to_owned())
    );
}

/// Its layer sees `/item` as well, and purges what the client named.
#[cfg(feature = "axum")]
#[tokio::test]
async fn a_purge_inside_a_nest_names_the_public_url() {
    let edge = Edge::new();
    let asked = Arc::default();
    let inner = part("A", &asked).layer(edge.purge_layer(auth()));
    let router = Router::new()
        .nest("/outer", Router::new().nest("/a", inner))
        .layer(edge.cache_layer());
    let client = axum_serve(router).await;
    let text = async || client.get("/outer/a/item").await.text().await;
    assert_eq!(text().await, "A /item 1\n");
    assert_eq!(text().await, "A /item 1\n");
    assert_eq!(client.send(purge("/outer/a/item")).await.status, 200);
    assert_eq!(text().await, "A /item 2\n");
}

/// The same without the feature, and below whatever else strips a prefix.
#[tokio::test]
async fn a_purge_layer_with_a_namespace_names_the_public_url() {
    let edge = Edge::new();
    let asked = Arc::default();
    let inner = part("A", &asked).layer(edge.purge_layer(auth()).namespace("/a"));
    let router = Router::new().nest("/a", inner).layer(edge.cache_layer());
    let client = axum_serve(router).await;
    let text = async || client.get("/a/item").await.text().await;
    assert_eq!(text().await, "A /item 1\n");
    assert_eq!(client.send(purge("/a/item")).await.status, 200);
    assert_eq!(text().await, "A /item 2\n");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_tower_below_the_layers() {
    let edge = Edge::new();
    let late = |_: axum::BoxError| async { (StatusCode::GATEWAY_TIMEOUT, "late\n") };
    let layers = ServiceBuilder::new()
        .grip_hold(&edge)
        .edge_cache(&edge)
        .layer(HandleErrorLayer::new(late))
        .timeout(Duration::from_secs(1));
    let router = Router::new()
        .route("/never", get(std::future::pending::<()>))
        .route("/stream", get(|| async { (stream_headers("news"), "hello\n") }))
        .layer(layers);
    let ask = async |path| {
        let answer = router.clone().oneshot(compose_support::get(path)).await;
        Live::new(answer.expect("infallible"))
    };
    let answer = ask("http://example.com/never").await;
    assert_eq!((answer.status, answer.text().await.as_str()), (504, "late\n"));
    let mut stream = ask("http://example.com/stream").await;
    stream.until("hello\n").await;
    // The hold is not in its time.
    tokio::time::advance(Duration::from_secs(5)).await;
    edge.publish(channel("news"), line("pushed"))
        .await
        .expect("accepted");
    assert_eq!(stream.until("\n").await, "pushed\n");
}

#[tokio::test]
async fn requests_with_bodies_and_state_pass() {
    let edge = Edge::new();
    let router = Router::new()
        .route(
            "/shout",
            post(
                |axum::extract::State(mark): axum::extract::State<&'static str>, body: String| async move {
                    body.to_uppercase() + mark
                },
            ),
        )
        .layer(all_layers!(edge))
        .with_state("!");
    let client = axum_serve(router).await;
    let request = compose_support::request(Method::POST, "/shout", "hello");
    assert_eq!(client.send(request).await.text().await, "HELLO!");
}

#[test]
fn the_error_type_stays_infallible() {
    fn service<S: Service<Request, Response = http::Response<EdgeBody>, Error = Infallible>>(_: S) {}
    let edge = Edge::new();
    service(all_layers!(edge).service(Router::new()));
    service(
        all_layers!(edge)
            .service_fn(|_: http::Request<EdgeBody>| async { Ok::<Response, _>("hello".into_response()) }),
    );
}

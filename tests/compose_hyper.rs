//! The layers in a `ServiceBuilder`: on plain hyper without our server, alone, in every order, over other services.
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
use std::time::Duration;

use compose_support::*;
use gripstack::control::NotFound;
use gripstack::publish::{self, PublishConfig};
use gripstack::purge::{self, Auth};
use gripstack::{BoxError, Edge, EdgeBody, ServiceBuilderExt};
use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

/// Serves a Tower service with hyper and nothing of ours.
async fn serve<S>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<EdgeBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service.clone()))
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    addr
}

fn auth() -> Auth {
    Auth::token(TOKEN)
}

fn publish_auth() -> publish::Auth {
    publish::Auth::token(TOKEN)
}

/// Takes only what fails as told.
fn fails_as<E, S: Service<Request<EdgeBody>, Error = E>>(service: S) -> S {
    service
}

#[tokio::test]
async fn a_service_builder_on_plain_hyper() {
    let edge = Edge::new();
    let app = App::default();
    let stack = ServiceBuilder::new()
        .publish(&edge.publisher(PublishConfig::new()), publish_auth())
        .purge(&edge, auth())
        .grip_hold(&edge)
        .edge_cache(&edge)
        .service(app.service());
    let client = Client::new(serve(fails_as::<Infallible, _>(stack)).await);

    let mut stream = client.get("/stream/news").await;
    assert!(
        stream
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("grip"))
    );
    stream.until("/stream/news 1\n").await;
    edge.publish(channel("news"), line("from Rust"))
        .await
        .expect("accepted");
    assert_eq!(stream.until("\n").await, "from Rust\n");
    assert_eq!(
        client.send(publish("news", "by POST")).await.text().await,
        "Published\n"
    );
    assert_eq!(stream.until("\n").await, "by POST\n");

    let (poll, _) = tokio::join!(client.get("/poll/news"), async {
        until(|| edge.hub().stats().subscriptions == 2).await;
        soon(client.send(publish("news", "polled"))).await
    });
    assert_eq!(poll.text().await, "polled\n");
    assert_eq!(stream.until("\n").await, "polled\n");

    let first = client.get("/text").await;
    assert!(
        first.field("cache-status").contains("stored"),
        "{first:?}",
        first = first.headers
    );
    let first = first.text().await;
    let hit = client.get("/text").await;
    assert!(hit.field("cache-status").contains("hit"));
    assert_eq!(hit.text().await, first);
    assert_eq!(client.send(purge("/text")).await.status, 200);
    assert_ne!(client.get("/text").await.text().await, first);
}

/// Looks until it holds.
async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

#[tokio::test]
async fn the_hold_layer_alone() {
    let edge = Edge::new();
    let client = Client::new(serve(edge.hold_layer().layer(App::default().service())).await);
    let mut stream = client.get("/stream/a").await;
    stream.until("/stream/a 1\n").await;
    edge.publish(channel("a"), line("pushed"))
        .await
        .expect("accepted");
    assert_eq!(stream.until("\n").await, "pushed\n");
    assert_eq!(client.get("/text").await.text().await, "/text 2\n");
    assert_eq!(client.get("/text").await.text().await, "/text 3\n");
}

#[tokio::test]
async fn the_cache_layer_alone() {
    let app = App::default();
    let client = Client::new(serve(Edge::new().cache_layer().layer(app.service())).await);
    for _ in 0..3 {
        assert_eq!(client.get("/text").await.text().await, "/text 1\n");
    }
    assert_eq!(app.asked(), 1);
}

#[tokio::test]
async fn the_purge_layer_alone() {
    let edge = Edge::new();
    let app = App::default();
    let client = Client::new(serve(edge.purge_layer(auth()).layer(app.service())).await);
    assert_eq!(client.send(purge("/text")).await.status, 200);
    assert_eq!((edge.hub().now().get(), app.asked()), (1, 0));
    assert_eq!(client.get("/text").await.text().await, "/text 1\n");
    // Over nothing at all, as a service of its own.
    let client = Client::new(serve(edge.purge_layer(auth()).layer(NotFound)).await);
    assert_eq!(client.send(purge("/text")).await.status, 200);
    assert_eq!(client.get("/text").await.status, 404);
}

#[tokio::test]
async fn the_publish_layer_alone() {
    let edge = Edge::new();
    let publisher = edge.publisher(PublishConfig::new());
    let app = App::default();
    let control = Client::new(serve(publisher.layer(publish_auth()).layer(app.service())).await);
    let holder = Client::new(serve(edge.hold_layer().layer(app.service())).await);
    let mut stream = holder.get("/stream/a").await;
    stream.until("\n").await;
    assert_eq!(control.send(publish("a", "pushed")).await.status, 200);
    assert_eq!(stream.until("\n").await, "pushed\n");
    assert_eq!(control.get("/text").await.text().await, "/text 2\n");
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Publish,
    Purge,
    Hold,
    Cache,
}

use Which::{Cache, Hold, Publish, Purge};

/// All orders of the four, the outermost first.
fn orders() -> Vec<[Which; 4]> {
    let all = [Publish, Purge, Hold, Cache];
    let mut orders = Vec::new();
    for a in all {
        for b in all {
            for c in all {
                for d in all {
                    let order = [a, b, c, d];
                    if all.iter().all(|one| order.contains(one)) {
                        orders.push(order);
                    }
                }
            }
        }
    }
    assert_eq!(orders.len(), 24);
    orders
}

fn is_sensible(order: &[Which; 4]) -> bool {
    let place = |wanted| order.iter().position(|which| *which == wanted);
    place(Hold) < place(Cache)
}

/// Boxes after each layer: what one has in hand when the stack depends on a configuration.
fn stack(order: [Which; 4], edge: &Edge, app: &App) -> Boxed {
    let publisher = edge.publisher(PublishConfig::new());
    order
        .into_iter()
        .rev()
        .fold(app.service(), |inner, which| match which {
            Publish => Boxed::new(publisher.layer(publish_auth()).layer(inner)),
            Purge => Boxed::new(edge.purge_layer(auth()).layer(inner)),
            Hold => Boxed::new(edge.hold_layer().layer(inner)),
            Cache => Boxed::new(edge.cache_layer().layer(inner)),
        })
}

/// All that the four do, in this order.
async fn does_all(order: [Which; 4]) {
    let edge = Edge::new();
    let app = App::default();
    let stack = stack(order, &edge, &app);
    let ask = async |mut request: Request<EdgeBody>| {
        request
            .headers_mut()
            .insert("host", "example.com".parse().expect("a value"));
        Live::new(soon(stack.clone().oneshot(request)).await.expect("infallible"))
    };

    let first = ask(get("/text")).await.text().await;
    assert_eq!(ask(get("/text")).await.text().await, first, "{order:?}: cached");
    assert_eq!(ask(purge("/text")).await.status, 200, "{order:?}: purged");
    assert_ne!(ask(get("/text")).await.text().await, first, "{order:?}: purged");

    let mut stream = ask(get("/stream/a")).await;
    stream.until("\n").await;
    assert_eq!(
        ask(publish("a", "pushed")).await.text().await,
        "Published\n",
        "{order:?}"
    );
    assert_eq!(stream.until("\n").await, "pushed\n", "{order:?}");
    assert!(
        stream
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("grip")),
        "{order:?}"
    );
    assert_eq!(app.asked(), 3, "{order:?}");
}

#[tokio::test]
async fn every_sensible_order_does_all() {
    let (heard, _guard) = listen();
    for order in orders().into_iter().filter(is_sensible) {
        does_all(order).await;
    }
    assert_eq!(heard.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hold_layer_below_the_cache_works_and_is_logged_once() {
    let (heard, _guard) = listen();
    for order in orders().into_iter().filter(|order| !is_sensible(order)) {
        does_all(order).await;
    }
    let lines = heard.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("WARN gripstack::cache: the hold layer is below the cache"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_second_hold_layer_does_nothing_and_is_logged_once() {
    let (heard, _guard) = listen();
    let edge = Edge::new();
    let stack = ServiceBuilder::new()
        .grip_hold(&edge)
        .grip_hold(&edge)
        .service(App::default().service());
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = Live::new(stack.clone().oneshot(get("/stream/a")).await.expect("infallible"));
        stream.until("\n").await;
        streams.push(stream);
    }
    edge.publish(channel("a"), line("pushed"))
        .await
        .expect("accepted");
    for mut stream in streams {
        assert_eq!(stream.until("\n").await, "pushed\n");
    }
    let lines = heard.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("WARN gripstack::hold: a hold layer below another one does nothing"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_hold_without_channels_is_logged_once_with_its_path() {
    let (heard, _guard) = listen();
    let edge = Edge::new();
    let origin = tower::service_fn(|_: Request<EdgeBody>| async {
        let response = Response::builder().header("grip-hold", "stream");
        Ok::<_, Infallible>(response.body(EdgeBody::empty()).expect("a response"))
    });
    let stack = ServiceBuilder::new().grip_hold(&edge).service(origin);
    for _ in 0..3 {
        let response = stack.clone().oneshot(get("/silent?token=secret")).await;
        assert_eq!(response.expect("infallible").status(), 200);
    }
    let lines = heard.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("WARN gripstack::hold: a hold without channels")
            && lines[0].contains("path=\"/silent\""),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_layer_that_is_switched_off_passes_all() {
    let edge = Edge::new();
    let app = App::default();
    let stack = ServiceBuilder::new()
        .layer(
            edge.publisher(PublishConfig::new())
                .layer(publish_auth())
                .enabled(false),
        )
        .layer(edge.purge_layer(auth()).enabled(false))
        .layer(edge.hold_layer().enabled(false))
        .layer(edge.cache_layer().enabled(false))
        .service(app.service());
    let client = Client::new(serve(stack).await);
    assert_eq!(
        client.send(publish("a", "pushed")).await.text().await,
        "/publish 1\n"
    );
    assert_eq!(client.send(purge("/text")).await.text().await, "/text 2\n");
    assert_eq!(client.get("/text").await.text().await, "/text 3\n");
    let plain = client.get("/stream/a").await;
    assert_eq!(plain.field("grip-hold"), "stream");
    assert_eq!(plain.text().await, "/stream/a 4\n");
    assert_eq!(edge.hub().now().get(), 0);
}

/// Sends a request to another server.
fn to(origin: SocketAddr) -> impl Fn(Request<EdgeBody>) -> Request<EdgeBody> + Clone {
    move |mut request| {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let uri: Uri = format!("http://{origin}{path}").parse().expect("a URI");
        *request.uri_mut() = uri;
        request
    }
}

#[tokio::test]
async fn a_client_as_the_inner_service() {
    let app = App::default();
    let origin = serve(app.service_of()).await;
    let inner: Connects = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let edge = Edge::new();
    let stack = ServiceBuilder::new()
        .grip_hold(&edge)
        .edge_cache(&edge)
        .map_request(to(origin))
        .service(inner.clone());
    let stack = fails_as::<hyper_util::client::legacy::Error, _>(stack);
    let client = Client::new(serve(stack).await);
    let mut stream = client.get("/stream/a").await;
    stream.until("/stream/a 1\n").await;
    edge.publish(channel("a"), line("pushed"))
        .await
        .expect("accepted");
    assert_eq!(stream.until("\n").await, "pushed\n");
    assert_eq!(client.get("/text").await.text().await, "/text 2\n");
    assert_eq!(client.get("/text").await.text().await, "/text 2\n");

    // Its error is the stack's.
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let gone = nobody.local_addr().expect("bound");
    drop(nobody);
    let stack = ServiceBuilder::new()
        .publish(&edge.publisher(PublishConfig::new()), publish_auth())
        .purge(&edge, auth())
        .grip_hold(&edge)
        .edge_cache(&edge)
        .map_request(to(gone))
        .service(inner);
    let error = soon(stack.oneshot(get("http://example.com/"))).await;
    assert!(error.expect_err("nobody listens").is_connect());
}

#[tokio::test]
async fn boxes_above_below_and_between() {
    let edge = Edge::new();
    let app = App::default();
    let inner: BoxCloneSyncService<_, _, BoxError> =
        BoxCloneSyncService::new(app.service().map_err(|never| match never {}));
    let stack = ServiceBuilder::new()
        .layer(BoxCloneSyncService::layer())
        .grip_hold(&edge)
        .layer(BoxCloneSyncService::layer())
        .edge_cache(&edge)
        .service(inner);
    let stack: BoxCloneSyncService<Request<Incoming>, Response<EdgeBody>, BoxError> = stack;
    let client = Client::new(serve(stack).await);
    let mut stream = client.get("/stream/a").await;
    stream.until("\n").await;
    edge.publish(channel("a"), line("pushed"))
        .await
        .expect("accepted");
    assert_eq!(stream.until("\n").await, "pushed\n");
}

#[tokio::test]
async fn what_tower_has_above_and_below() {
    let edge = Edge::new();
    let app = App::default();
    // `rate_limit` is not `Clone`: it goes below a buffer.
    let stack = ServiceBuilder::new()
        .concurrency_limit(100)
        .load_shed()
        .grip_hold(&edge)
        .edge_cache(&edge)
        .timeout(Duration::from_secs(5))
        .buffer(16)
        .rate_limit(100, Duration::from_secs(1))
        .service(app.service());
    let client = Client::new(serve(fails_as::<BoxError, _>(stack)).await);
    let mut stream = client.get("/stream/a").await;
    stream.until("\n").await;
    edge.publish(channel("a"), line("pushed"))
        .await
        .expect("accepted");
    assert_eq!(stream.until("\n").await, "pushed\n");
    assert_eq!(
        client
            .send(request(Method::POST, "/text", "x"))
            .await
            .text()
            .await,
        "/text 2\n"
    );
}

#[tokio::test]
async fn a_handler_over_any_request_body() {
    async fn handler<B>(request: Request<B>) -> Result<Response<EdgeBody>, Infallible> {
        Ok(Response::new(EdgeBody::from(request.uri().path().to_owned())))
    }
    let edge = Edge::new();
    let stack = ServiceBuilder::new()
        .purge(&edge, purge::Auth::Open)
        .grip_hold(&edge)
        .edge_cache(&edge)
        .service_fn(handler);
    let client = Client::new(serve(stack).await);
    assert_eq!(client.get("/x").await.text().await, "/x");
}

/// As below two nested routers that strip their prefixes: each knows its own, and a purge names the public URL.
#[tokio::test]
async fn a_stack_below_a_prefix_caches_and_is_purged_by_the_public_url() {
    let edge = Edge::new();
    let stack = |prefix: &'static str| {
        let app = tower::service_fn(move |_: Request<EdgeBody>| async move {
            let mut response = Response::new(EdgeBody::from(prefix));
            let policy = http::HeaderValue::from_static("max-age=60");
            response.headers_mut().insert("cache-control", policy);
            Ok::<_, Infallible>(response)
        });
        ServiceBuilder::new().edge_cache_at(&edge, prefix).service(app)
    };
    let (a, b) = (stack("/a").boxed_clone(), stack("/b").boxed_clone());
    let ask = async |service: &tower::util::BoxCloneService<_, Response<EdgeBody>, Infallible>,
                     status: &str| {
        let request = Request::get("http://h/x").body(EdgeBody::empty()).expect("valid");
        let response = service.clone().oneshot(request).await.expect("infallible");
        let got = response.headers()["cache-status"].to_str().expect("ASCII");
        assert!(got.contains(status), "{got}");
        let body = http_body_util::BodyExt::collect(response.into_body()).await;
        body.expect("whole").to_bytes()
    };
    for status in ["fwd=uri-miss", "hit"] {
        assert_eq!(ask(&a, status).await, "/a");
        assert_eq!(ask(&b, status).await, "/b");
    }
    let url = gripstack::Target::url("h", "/a/x");
    edge.purge(url, gripstack::PurgeMode::Hard)
        .await
        .expect("accepted");
    assert_eq!(ask(&a, "fwd=uri-miss").await, "/a");
    assert_eq!(ask(&b, "hit").await, "/b");
}

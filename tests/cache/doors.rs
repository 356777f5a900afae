//! Several layers of one edge: which of them may share what they see.

use std::convert::Infallible;

use gripstack::{Edge, EdgeBody, PurgeMode};
use http::{Request, Response};
use tokio::time::Instant;
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

use crate::origin::{Origin, Reply};
use crate::world::{Got, get, settle};

type App = BoxCloneService<Request<EdgeBody>, Response<EdgeBody>, Infallible>;

/// Answers its name, for a minute.
fn app(name: &'static str) -> App {
    service_fn(move |_: Request<EdgeBody>| async move {
        let mut response = Response::new(EdgeBody::from(name));
        let policy = http::HeaderValue::from_static("max-age=60");
        response.headers_mut().insert("cache-control", policy);
        Ok(response)
    })
    .boxed_clone()
}

async fn ask<S>(service: &S, path: &str) -> Got
where
    S: tower::Service<Request<EdgeBody>, Response = Response<EdgeBody>, Error = Infallible> + Clone,
{
    let response = service.clone().oneshot(get(path).into_request()).await;
    let got = Got::of(response.expect("infallible")).await;
    settle().await;
    got
}

/// As two routers that are nested under two prefixes, and know nothing of those.
#[tokio::test(start_paused = true)]
async fn two_layers_that_see_one_path_share_nothing() {
    let edge = Edge::new();
    let a = edge.cache_layer().layer(app("a"));
    let b = edge.cache_layer().layer(app("b"));
    ask(&a, "/x").await.expect_short("a", "fwd=uri-miss; stored");
    for _ in 0..2 {
        let got = ask(&b, "/x").await;
        assert_eq!(
            (&*got.body, got.cache_status()),
            ("b", "gripstack; fwd=bypass; detail=other-layer")
        );
    }
    ask(&a.clone(), "/x").await.expect_short("a", "hit");
    // What the other one has not asked for is as good as its own.
    ask(&b, "/y").await.expect_short("b", "fwd=uri-miss; stored");
    ask(&b, "/y").await.expect_short("b", "hit");
    // So do the services that one layer makes: a router makes one for each of its own.
    let layer = edge.cache_layer();
    let (c, d) = (layer.layer(app("c")), layer.layer(app("d")));
    ask(&c, "/z").await.expect_short("c", "fwd=uri-miss; stored");
    assert_eq!(ask(&d, "/z").await.body, "d");
}

#[tokio::test(start_paused = true)]
async fn layers_with_a_namespace_share_what_has_one_public_url() {
    let edge = Edge::new();
    let at = |prefix: &str, name| edge.cache_layer().namespace(prefix).layer(app(name));
    ask(&at("/a", "a"), "/x")
        .await
        .expect_short("a", "fwd=uri-miss; stored");
    ask(&at("/b", "b"), "/x")
        .await
        .expect_short("b", "fwd=uri-miss; stored");
    ask(&at("/a", "again"), "/x").await.expect_short("a", "hit");
}

/// A router's layer above a nested one, or a stacked pair: the inner one would wait for the flight of the outer one.
#[tokio::test(start_paused = true)]
async fn a_layer_below_another_one_of_its_edge_passes() {
    let edge = Edge::new();
    let inner = edge.cache_layer().layer(app("a"));
    let outer = edge.cache_layer().layer(inner);
    let before = Instant::now();
    let got = ask(&outer, "/x").await;
    assert_eq!(got.body, "a");
    assert_eq!(Instant::now(), before, "it waited");
    assert_eq!(ask(&outer, "/x").await.body, "a");
    let status = ask(&outer, "/x").await;
    let lines: Vec<_> = status.headers.get_all("cache-status").iter().collect();
    assert_eq!(lines[0], "gripstack; fwd=uri-miss; stored=?0; detail=nested");
    assert_eq!(lines[1], "gripstack; hit; ttl=60");
}

/// Another edge is another cache.
#[tokio::test(start_paused = true)]
async fn a_layer_below_one_of_another_edge_caches() {
    let (edge, below) = (Edge::new(), Edge::new());
    let inner = below.cache_layer().layer(app("a"));
    let outer = edge.cache_layer().layer(inner);
    assert_eq!(ask(&outer, "/x").await.body, "a");
    assert_eq!(
        (edge.cache().stats().entries, below.cache().stats().entries),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn layers_above_each_other_lose_no_key_and_no_channel() {
    for by_key in [true, false] {
        let origin: Origin = Origin::new(|call| {
            Reply::ok(call.n.to_string())
                .cc("max-age=600")
                .header("surrogate-key", "k")
                .header("grip-channel", "c")
        });
        let edge = gripstack::Edge::new();
        let outer = edge.cache_layer().layer(edge.cache_layer().layer(origin.clone()));
        let ask = async || {
            let response = outer.clone().oneshot(get("/a").into_request()).await;
            Got::of(response.expect("answered")).await
        };
        for _ in 0..2 {
            let got = ask().await;
            assert_eq!(got.body, "1");
            let is_ours =
                |name: &http::HeaderName| name.as_str().starts_with("grip-") || name == "surrogate-key";
            assert!(!got.headers.keys().any(is_ours), "{got:?}");
            settle().await;
        }
        match by_key {
            true => edge.purge(gripstack::Target::key("k"), PurgeMode::Hard).await,
            false => edge.publish("c", gripstack::Message::bytes("x")).await,
        }
        .expect("accepted");
        assert_eq!(ask().await.body, "2", "{by_key}");
    }
}

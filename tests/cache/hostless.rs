//! Requests without `Host`: what a test of a library user sends, and HTTP/1.0. Theirs is the empty host.

use gripstack::{EdgeBody, PurgeMode, Target, Url};
use http::{Method, Request};
use tower::ServiceExt;

use crate::origin::Reply;
use crate::world::{Got, World, get, settle};

async fn ask(world: &World, method: Method, target: &str) -> Got {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .body(EdgeBody::empty())
        .expect("valid");
    let got = Got::of(world.service.clone().oneshot(request).await.expect("answered")).await;
    settle().await;
    got
}

fn counted() -> World {
    World::new(|call| match call.method {
        Method::POST => Reply::ok("done"),
        _ => Reply::ok(call.n.to_string()).cc("max-age=60"),
    })
}

#[tokio::test(start_paused = true)]
async fn they_are_cached_under_the_empty_host() {
    let world = counted();
    ask(&world, Method::GET, "/x")
        .await
        .expect_short("1", "fwd=uri-miss; stored");
    ask(&world, Method::GET, "/x").await.expect_short("1", "hit");
    ask(&world, Method::HEAD, "/x").await.expect_short("", "hit");
    world.get(get("/x").host("")).await.expect_short("1", "hit");
    world.get("/x").await.expect_short("2", "fwd=uri-miss; stored");
    ask(&world, Method::GET, "/x").await.expect_short("1", "hit");
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_names_them_reaches_them() {
    let world = counted();
    ask(&world, Method::GET, "/x").await;
    world.get("/x").await;
    world
        .purge(Target::Url(Url::new("", "/x")), PurgeMode::Hard)
        .await;
    ask(&world, Method::GET, "/x")
        .await
        .expect_short("3", "fwd=uri-miss; stored");
    world.get("/x").await.expect_short("2", "hit");
    ask(&world, Method::POST, "/x").await;
    ask(&world, Method::GET, "/x")
        .await
        .expect_short("5", "fwd=stale; stored");
    world.get("/x").await.expect_short("2", "hit");
}

/// An absolute target names its host itself (RFC 9112 3.2.2).
#[tokio::test(start_paused = true)]
async fn an_absolute_target_is_the_host() {
    let world = counted();
    world.get("/x").await;
    ask(&world, Method::GET, "http://example.com/x")
        .await
        .expect_short("1", "hit");
}

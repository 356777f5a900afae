//! The simplest things: a hit, a purge, a crowd, a private answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gripstack::cache::{Cache, EdgeCacheLayer};
use gripstack::{Edge, EdgeBody};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};

type Origin = tower::util::BoxCloneSyncService<Request<EdgeBody>, Response<EdgeBody>, Infallible>;

/// An origin that counts its requests and answers with these fields and the count as the body.
fn origin(fields: &'static [(&'static str, &'static str)]) -> (Origin, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let service = service_fn(move |_: Request<EdgeBody>| {
        let n = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut response = Response::builder();
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            Ok(response.body(EdgeBody::from(n.to_string())).expect("valid"))
        }
    });
    (tower::util::BoxCloneSyncService::new(service), count)
}

fn get(path: &str) -> Request<EdgeBody> {
    Request::get(path)
        .header("host", "example.com")
        .body(EdgeBody::empty())
        .expect("valid")
}

async fn text(response: Response<EdgeBody>) -> (String, String) {
    let status = response
        .headers()
        .get("cache-status")
        .map_or("", |v| v.to_str().expect("ascii"))
        .to_owned();
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    (String::from_utf8(body.to_vec()).expect("text"), status)
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_stored_and_a_hit_is_served() {
    let (origin, count) = origin(&[("cache-control", "max-age=60")]);
    let service = EdgeCacheLayer::new(Cache::default()).layer(origin);
    let (body, status) = text(service.clone().oneshot(get("/a")).await.expect("infallible")).await;
    assert_eq!(
        (body.as_str(), status.as_str()),
        ("1", "gripstack; fwd=uri-miss; ttl=60; stored")
    );
    tokio::time::advance(Duration::from_secs(5)).await;
    let (body, status) = text(service.clone().oneshot(get("/a")).await.expect("infallible")).await;
    assert_eq!((body.as_str(), status.as_str()), ("1", "gripstack; hit; ttl=55"));
    tokio::time::advance(Duration::from_secs(60)).await;
    let (body, _) = text(service.clone().oneshot(get("/a")).await.expect("infallible")).await;
    assert_eq!((body.as_str(), count.load(Ordering::SeqCst)), ("2", 2));
}

#[tokio::test(start_paused = true)]
async fn many_at_once_are_one_request() {
    let (origin, count) = origin(&[("cache-control", "max-age=60")]);
    let service = EdgeCacheLayer::new(Cache::default()).layer(origin);
    let all = (0..100).map(|_| tokio::spawn(service.clone().oneshot(get("/a"))));
    for one in all.collect::<Vec<_>>() {
        assert_eq!(
            text(one.await.expect("no panic").expect("infallible")).await.0,
            "1"
        );
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_purge_is_seen_by_the_next_request() {
    let (origin, count) = origin(&[("cache-control", "max-age=60"), ("surrogate-key", "k")]);
    let edge = Edge::new();
    let service = edge.cache_layer().layer(origin);
    for target in [
        gripstack::Target::Key("k".into()),
        gripstack::Target::Url(gripstack::Url::new("example.com", "/a")),
        gripstack::Target::Everything,
    ] {
        let before = text(service.clone().oneshot(get("/a")).await.expect("infallible"))
            .await
            .0;
        edge.purge(target, gripstack::PurgeMode::Hard)
            .await
            .expect("accepted");
        let after = text(service.clone().oneshot(get("/a")).await.expect("infallible"))
            .await
            .0;
        assert_ne!(before, after);
    }
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_shared_is_not() {
    let (origin, count) = origin(&[("cache-control", "private")]);
    let service = EdgeCacheLayer::new(Cache::default()).layer(origin);
    let all = (0..10).map(|_| tokio::spawn(service.clone().oneshot(get("/a"))));
    let mut bodies = Vec::new();
    for one in all.collect::<Vec<_>>() {
        bodies.push(text(one.await.expect("no panic").expect("infallible")).await.0);
    }
    bodies.sort();
    bodies.dedup();
    assert_eq!((bodies.len(), count.load(Ordering::SeqCst)), (10, 10));
}

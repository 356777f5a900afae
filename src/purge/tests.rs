//! What a purge request does to the marks, which only the crate can see.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::ServiceExt;
use tower_layer::Layer;

use super::*;
use crate::control::NotFound;
use crate::edge::Edge;
use crate::hub::Since;
use crate::marks::Standing;
use crate::order::{PurgeMode, Target, Url};
use crate::position::Position;

/// Sends one request; what it answers.
async fn send(layer: &PurgeLayer, line: &str, headers: &[(&str, &str)]) -> StatusCode {
    let (method, target) = line.split_once(' ').expect("a method and a target");
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::new())).expect("a good request");
    let response = layer.layer(NotFound).oneshot(request).await;
    response.expect("infallible").status()
}

/// What became of an object of this URL and this key that is older than everything.
fn standing(edge: &Edge, url: &Url, key: &str) -> Standing {
    let targets = [
        Target::Url(url.clone()),
        Target::Key(key.into()),
        Target::Host(url.host().into()),
        Target::Everything,
    ];
    let mut keys = Vec::new();
    for target in &targets {
        keys.extend(target.mark_keys().into_iter().flatten());
    }
    let since = Since::of_targets(edge.hub().stamp_at(Position::ZERO), &keys, None);
    edge.hub().judge(since).standing
}

#[tokio::test]
async fn a_purge_does_what_its_request_says() {
    use Standing::{Blocked, Dead};
    let soft = |standing| matches!(standing, Standing::Soft { since: Some(_) });
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        fn(Standing) -> bool,
    );
    let cases: [Case; 10] = [
        ("PURGE /x", &[], |s| s == Dead),
        ("PURGE /x", &[("fastly-soft-purge", "1")], soft),
        ("PURGE /x", &[("fastly-soft-purge", "")], soft),
        ("PURGE /x", &[("gripstack-purge", "soft-block")], |s| s == Blocked),
        (
            "PURGE /x",
            &[("fastly-soft-purge", "1"), ("gripstack-purge", "hard")],
            |s| s == Dead,
        ),
        ("POST /purge/h/x", &[("fastly-soft-purge", "1")], soft),
        ("POST /service/s/purge/k", &[], |s| s == Dead),
        ("POST /service/s/purge/k", &[("fastly-soft-purge", "1")], soft),
        (
            "POST /service/s/purge",
            &[("surrogate-key", "j k"), ("fastly-soft-purge", "1")],
            soft,
        ),
        // PUR-19.
        ("POST /service/s/purge_all", &[("fastly-soft-purge", "1")], |s| {
            s == Dead
        }),
    ];
    for (line, marks, expected) in cases {
        let edge = Edge::new();
        let layer = edge.purge_layer(Auth::Open).api(true);
        let headers: Vec<_> = marks.iter().copied().chain([("host", "h")]).collect();
        let url = Url::new("h", "/x");
        assert_eq!(standing(&edge, &url, "k"), Standing::Clean);
        assert_eq!(send(&layer, line, &headers).await, 200, "{line} {marks:?}");
        let standing = standing(&edge, &url, "k");
        assert!(expected(standing), "{line} {marks:?}: {standing:?}");
    }
}

#[tokio::test]
async fn an_unmarked_purge_is_as_configured_but_for_a_purge_of_everything() {
    let url = Url::new("h", "/x");
    for (line, expected) in [
        ("PURGE /x", Standing::Blocked),
        ("POST /purge/h/x", Standing::Blocked),
        ("POST /service/s/purge/k", Standing::Blocked),
        ("POST /service/s/purge_all", Standing::Dead),
    ] {
        let edge = Edge::new();
        let layer = edge.purge_layer(Auth::Open).api(true).mode(PurgeMode::SoftBlock);
        assert_eq!(send(&layer, line, &[("host", "h")]).await, 200, "{line}");
        assert_eq!(standing(&edge, &url, "k"), expected, "{line}");
    }
    let edge = Edge::new();
    let layer = edge.purge_layer(Auth::Open).api(true);
    let soft = [("gripstack-purge", "soft")];
    assert_eq!(send(&layer, "POST /service/s/purge_all", &soft).await, 400);
    assert_eq!(edge.hub().now(), Position::ZERO, "nobody asked for a hard one");
}

#[tokio::test]
async fn pur_09_a_purge_of_a_path_is_not_one_of_its_neighbours() {
    let edge = Edge::new();
    let layer = edge.purge_layer(Auth::Open);
    assert_eq!(send(&layer, "PURGE /a", &[("host", "h")]).await, 200);
    assert_eq!(standing(&edge, &Url::new("h", "/a"), "k"), Standing::Dead);
    for (host, other) in [("h", "/a/"), ("h", "/a?x"), ("h", "/ab"), ("h", "/"), ("i", "/a")] {
        let standing = standing(&edge, &Url::new(host, other), "k");
        assert_eq!(standing, Standing::Clean, "{host}{other}");
    }
}

#[tokio::test]
async fn pur_10_an_api_purge_with_a_rebuilt_query_finds_the_object() {
    let stored = Url::new("h", "/x?b=1&a=2");
    for purged in ["/x?a=2&b=1", "/x?b=1&a=2"] {
        let edge = Edge::new();
        let layer = edge.purge_layer(Auth::Open).api(true);
        let line = format!("POST /purge/h{purged}");
        assert_eq!(send(&layer, &line, &[]).await, 200);
        assert_eq!(standing(&edge, &stored, "k"), Standing::Dead, "{purged}");
    }
}

#[tokio::test]
async fn pur_14_a_key_with_a_slash_is_one_key() {
    for key in ["a/b", "a%2Fb"] {
        let edge = Edge::new();
        let layer = edge.purge_layer(Auth::Open).api(true);
        let line = format!("POST /service/s/purge/{key}");
        assert_eq!(send(&layer, &line, &[]).await, 200);
        let url = Url::new("h", "/");
        assert_eq!(standing(&edge, &url, "a/b"), Standing::Dead, "{key}");
        for other in ["a", "b", "a%2Fb"] {
            assert_eq!(standing(&edge, &url, other), Standing::Clean, "{key}: {other}");
        }
    }
}

//! Properties of whatever purges come in.

use std::sync::Arc;

use http::Request;
use http::request::Parts;
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::auth::Auth;
use super::layer::Settings;
use super::limit::Limits;
use super::wire::{self, Failure, Ids, Route};
use crate::fuzz::{cut, fields_and_rest};
use crate::order::{PurgeMode, Target, Url};
use crate::position::Position;

/// A request: `METHOD TARGET`, fields, an empty line, the body.
pub fn request(bytes: &[u8]) {
    let (line, rest) = cut(bytes, b'\n');
    let (method, target) = cut(line, b' ');
    let (fields, body) = fields_and_rest(rest);
    let Ok(request) = Request::builder().method(method).uri(target).body(()) else {
        return;
    };
    let mut parts = request.into_parts().0;
    parts.headers = fields;
    for prefix in ["", "/control"] {
        let settings = settings(prefix);
        if let Some(route) = Route::of(&parts, &settings) {
            check(route, &parts);
        }
    }
    for name in ["surrogate-key", "xkey"] {
        if let Some(keys) = wire::keys_of_headers(&parts.headers, name) {
            let _ = check_keys(keys);
        }
    }
    if let Ok(keys) = check_keys(wire::keys_of_body(body)) {
        let again = json!({ "surrogate_keys": keys.iter().map(|key| &**key).collect::<Vec<_>>() });
        assert_eq!(wire::keys_of_body(again.to_string().as_bytes()), Ok(keys));
    }
    let own = parts.headers.contains_key("gripstack-purge");
    let mode = wire::mode(&parts.headers, PurgeMode::SoftBlock);
    assert!(own || mode.is_ok());
    assert!(!wire::mode_of_all(&parts.headers).is_ok_and(|mode| mode != PurgeMode::Hard));
}

fn settings(prefix: &str) -> Settings {
    Settings {
        auth: Auth::Open,
        enabled: true,
        api: true,
        prefix: prefix.to_owned(),
        namespace: String::new(),
        service: None,
        mode: PurgeMode::Hard,
        key_headers: true,
        challenge: false,
        ids: ids(),
        limits: Limits::default(),
    }
}

fn ids() -> Ids {
    Ids { node: 1, started: 2 }
}

fn check(route: Route<'_>, parts: &Parts) {
    match route {
        Route::Method => {
            if let Some(url) = url(wire::url_of_request(parts, ""), route) {
                // The API takes the same URL in its path, whatever the scheme.
                for scheme in ["http://", "HTTPS://"] {
                    let target = wire::url_of_api(&format!("{scheme}{}", url.as_str()));
                    assert_eq!(target, Ok(Target::Url(url.clone())), "{scheme}");
                }
            }
        }
        Route::Url(rest) => {
            if let Some(url) = url(wire::url_of_api(rest), route) {
                // The method takes the same URL.
                let uri = format!("http://{}", url.as_str());
                let mut parts = parts.clone();
                parts.uri = uri.parse().expect("what is purged can be asked for");
                assert_eq!(wire::url_of_request(&parts, ""), Ok(Target::Url(url)), "{rest}");
            }
        }
        Route::Key { service, key } => {
            assert!(!service.is_empty());
            match wire::key_of_path(key) {
                Ok(key) => {
                    let encoded = utf8_percent_encode(&key, NON_ALPHANUMERIC).to_string();
                    assert_eq!(wire::key_of_path(&encoded), Ok(key));
                }
                Err(failure) => check_failure(failure, route),
            }
        }
        Route::Batch { service } | Route::All { service } => assert!(!service.is_empty()),
    }
}

/// A URL to purge is in its normal form.
fn url(target: Result<Target, Failure>, route: Route<'_>) -> Option<Url> {
    match target {
        Ok(Target::Url(url)) => {
            let (host, path) = url.as_str().split_at(url.host().len());
            assert_eq!(Url::new(host, path), url);
            Some(url)
        }
        Ok(other) => panic!("{other:?}"),
        Err(failure) => {
            check_failure(failure, route);
            None
        }
    }
}

fn check_keys(keys: Result<Vec<Arc<str>>, Failure>) -> Result<Vec<Arc<str>>, Failure> {
    if let Ok(keys) = &keys {
        assert!((1..=256).contains(&keys.len()));
        assert!(keys.iter().all(|key| (1..=1024).contains(&key.len())));
        let Value::Object(answer) = body_of(ids().each(keys, Position::new(7))) else {
            panic!("the answer to a batch is an object");
        };
        assert!(keys.iter().all(|key| answer.contains_key(&**key)));
    }
    keys
}

fn check_failure(failure: Failure, route: Route<'_>) {
    let body = body_of(failure.into_response(route == Route::Method));
    assert!(body["msg"].is_string() && body["detail"].is_string());
}

fn body_of(response: http::Response<crate::EdgeBody>) -> Value {
    use std::task::{Context, Poll, Waker};
    let mut collect = std::pin::pin!(response.into_body().collect());
    let Poll::Ready(Ok(body)) = collect.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("an answer is there at once");
    };
    serde_json::from_slice(&body.to_bytes()).expect("an answer is JSON")
}

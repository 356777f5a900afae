//! The wire forms: which requests ask for what, and what they are answered.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::auth::Scope;
use super::layer::Settings;
use super::limit::{Allowance, Exceeded};
use crate::body::EdgeBody;
use crate::control::{Denied, authority, respond, seconds_to_wait, under, url};
use crate::order::{PurgeMode, Target};
use crate::position::Position;
use crate::public_path::public_path;
use crate::time::whole_seconds;

/// Keys of one request. Fastly's limit.
const MAX_KEYS: usize = 256;
/// Bytes of a key. Fastly's limit.
const MAX_KEY_BYTES: usize = 1024;

/// What a request is, by its method and path alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `PURGE <url>`.
    Method,
    /// `POST /purge/<this>`.
    Url(&'a str),
    /// `POST /service/<service>/purge/<key>`.
    Key { service: &'a str, key: &'a str },
    /// `POST /service/<service>/purge`.
    Batch { service: &'a str },
    /// `POST /service/<service>/purge_all`.
    All { service: &'a str },
}

/// Why a request is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Denied(Denied),
    Bad(String),
    UnknownService,
    TooLarge,
    Limited(Exceeded),
    Unavailable,
}

// === impl Route ===

impl<'a> Route<'a> {
    /// `None`: not ours.
    pub(super) fn of(parts: &'a Parts, settings: &Settings) -> Option<Self> {
        match &parts.method {
            method if method.as_str() == "PURGE" => Some(Self::Method),
            &Method::POST if settings.api => {
                let target = parts.uri.path_and_query()?.as_str();
                let target = under(&settings.prefix, target)?;
                let path = under(&settings.prefix, parts.uri.path())?;
                if let Some(url) = target.strip_prefix("/purge/") {
                    return Some(Self::Url(url));
                }
                let (service, action) = path.strip_prefix("/service/")?.split_once('/')?;
                match action {
                    _ if service.is_empty() => None,
                    "purge" => Some(Self::Batch { service }),
                    "purge_all" => Some(Self::All { service }),
                    _ => {
                        let key = action.strip_prefix("purge/")?;
                        Some(Self::Key { service, key })
                    }
                }
            }
            _ => None,
        }
    }

    /// What a token must be good for.
    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::All { .. } => Scope::All,
            _ => Scope::Select,
        }
    }

    /// The service that it names.
    pub(super) fn service(&self) -> Option<&'a str> {
        match self {
            Self::Method | Self::Url(_) => None,
            Self::Key { service, .. } | Self::Batch { service } | Self::All { service } => Some(service),
        }
    }
}

// === targets ===

/// The URL of a `PURGE`: the public one, also below a router that strips a prefix.
pub(super) fn url_of_request(parts: &Parts, namespace: &str) -> Result<Target, Failure> {
    let authority = authority(parts).ok_or_else(|| Failure::bad("the request names no host"))?;
    let path_and_query = public_path(&parts.uri, &parts.extensions, namespace);
    let url = url(authority, &path_and_query);
    url.map(Target::Url)
        .ok_or_else(|| Failure::bad("the request names no URL"))
}

/// The URL in the path of an API call: with or without a scheme, which means nothing here.
pub(super) fn url_of_api(rest: &str) -> Result<Target, Failure> {
    let without_scheme = ["http:", "https:"].iter().find_map(|scheme| {
        let (given, rest) = rest.split_at_checked(scheme.len())?;
        given.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let rest = match without_scheme {
        // Proxies and clients merge slashes.
        Some(rest) if rest.starts_with('/') => rest.trim_start_matches('/'),
        // A host that is named like a scheme, and its port.
        _ => rest,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at(end);
    let url = url(authority, path_and_query);
    url.map(Target::Url)
        .ok_or_else(|| Failure::bad("the path names no URL"))
}

/// A key that stands in a path: all of it, decoded once.
pub(super) fn key_of_path(raw: &str) -> Result<Arc<str>, Failure> {
    let key = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| Failure::bad("the key is not UTF-8"))?;
    checked_key(&key)
}

/// The keys of a batch that stand in a header. `None` without the header.
pub(super) fn keys_of_headers(headers: &HeaderMap, name: &str) -> Option<Result<Vec<Arc<str>>, Failure>> {
    headers.contains_key(name).then(|| {
        let mut keys = Vec::new();
        for value in headers.get_all(name) {
            let value = value
                .to_str()
                .map_err(|_| Failure::bad(format!("{name} has other than visible characters")))?;
            for key in value.split_ascii_whitespace().take(MAX_KEYS + 1) {
                keys.push(checked_key(key)?);
            }
        }
        checked_keys(keys)
    })
}

/// The keys of a batch that stand in the body.
pub(super) fn keys_of_body(body: &[u8]) -> Result<Vec<Arc<str>>, Failure> {
    let wrong =
        || Failure::bad("neither a Surrogate-Key header nor a JSON array of strings 'surrogate_keys'");
    let body: Value = serde_json::from_slice(body).map_err(|_| wrong())?;
    let keys = body
        .get("surrogate_keys")
        .and_then(Value::as_array)
        .ok_or_else(wrong)?;
    if keys.len() > MAX_KEYS {
        return Err(too_many());
    }
    let keys = keys
        .iter()
        .map(|key| checked_key(key.as_str().ok_or_else(wrong)?));
    checked_keys(keys.collect::<Result<_, _>>()?)
}

fn checked_key(key: &str) -> Result<Arc<str>, Failure> {
    match key.len() {
        0 => Err(Failure::bad("a key is empty")),
        1..=MAX_KEY_BYTES => Ok(key.into()),
        _ => Err(Failure::bad(format!("a key has more than {MAX_KEY_BYTES} bytes"))),
    }
}

fn checked_keys(keys: Vec<Arc<str>>) -> Result<Vec<Arc<str>>, Failure> {
    match keys.len() {
        0 => Err(Failure::bad("no keys")),
        1..=MAX_KEYS => Ok(keys),
        _ => Err(too_many()),
    }
}

fn too_many() -> Failure {
    Failure::bad(format!("more than {MAX_KEYS} keys"))
}

// === mode ===

/// What becomes of the objects: the own header says it, else Fastly's, else it is `unmarked`.
pub(super) fn mode(headers: &HeaderMap, unmarked: PurgeMode) -> Result<PurgeMode, Failure> {
    match headers.get("gripstack-purge").map(HeaderValue::as_bytes) {
        Some(b"hard") => Ok(PurgeMode::Hard),
        Some(b"soft") => Ok(PurgeMode::Soft),
        Some(b"soft-block") => Ok(PurgeMode::SoftBlock),
        Some(_) => Err(Failure::bad(
            "gripstack-purge is neither hard nor soft nor soft-block",
        )),
        None if headers.contains_key("fastly-soft-purge") => Ok(PurgeMode::Soft),
        None => Ok(unmarked),
    }
}

/// Of a purge of everything: hard. Fastly's header is passed over; one of ours that says otherwise is refused,
/// for whoever sent it does not want what would happen.
pub(super) fn mode_of_all(headers: &HeaderMap) -> Result<PurgeMode, Failure> {
    match headers.get("gripstack-purge").map(HeaderValue::as_bytes) {
        None | Some(b"hard") => Ok(PurgeMode::Hard),
        Some(_) => Err(Failure::bad("purge_all is always hard")),
    }
}

// === answers ===

/// Makes ids: `<node>-<start of the node>-<position>`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    pub(super) node: u32,
    pub(super) started: u64,
}

impl Ids {
    fn of(self, at: Position) -> String {
        format!("{}-{}-{}", self.node, self.started, at.get())
    }

    /// Of a purge of one target. Clients insist on strings.
    pub(super) fn one(self, at: Position) -> Response<EdgeBody> {
        json(
            StatusCode::OK,
            format!(r#"{{"status":"ok","id":"{}"}}"#, self.of(at)),
        )
    }

    /// Of a batch.
    pub(super) fn each(self, keys: &[Arc<str>], at: Position) -> Response<EdgeBody> {
        let ids = keys
            .iter()
            .zip(1..)
            .map(|(key, n)| (key.to_string(), Value::from(format!("{}-{n}", self.of(at)))));
        json(
            StatusCode::OK,
            Value::Object(ids.collect::<Map<_, _>>()).to_string(),
        )
    }
}

/// Of a purge of everything: the only one that Fastly counts.
pub(super) fn all(left: Allowance) -> Response<EdgeBody> {
    let mut response = json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned());
    tell(&mut response, left);
    response
}

/// Fastly's headers: how many more, and when there will be as many as ever, in seconds since 1970. Its clients read
/// whole numbers, one of them or panic.
fn tell(response: &mut Response<EdgeBody>, left: Allowance) {
    let since = left.reset.duration_since(UNIX_EPOCH).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert("fastly-ratelimit-remaining", left.remaining.into());
    headers.insert("fastly-ratelimit-reset", whole_seconds(since).into());
}

fn json(status: StatusCode, body: String) -> Response<EdgeBody> {
    respond(status, "application/json", body)
}

// === impl Failure ===

impl Failure {
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::Bad(detail.into())
    }

    /// The answer. `hidden`: who has no credentials learns nothing, the method might not exist.
    pub(super) fn into_response(self, hidden: bool) -> Response<EdgeBody> {
        let limited = match &self {
            Self::Limited(exceeded) => Some(*exceeded),
            _ => None,
        };
        let (status, msg, detail) = match self {
            Self::Denied(Denied::Missing(_)) if hidden => {
                let mut response = respond(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "text/plain",
                    "Method Not Allowed\n",
                );
                let allowed = HeaderValue::from_static("GET, HEAD");
                response.headers_mut().insert(ALLOW, allowed);
                return response;
            }
            Self::Denied(Denied::Missing(reason) | Denied::Invalid(reason)) => (
                StatusCode::UNAUTHORIZED,
                "Provided credentials are missing or invalid",
                reason.into_owned(),
            ),
            Self::Denied(Denied::Forbidden(reason)) => (
                StatusCode::FORBIDDEN,
                "You are not authorized to perform this action",
                reason.into_owned(),
            ),
            Self::Bad(detail) => (StatusCode::BAD_REQUEST, "Bad request", detail),
            Self::UnknownService => (
                StatusCode::NOT_FOUND,
                "Record not found",
                "Cannot load service".to_owned(),
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request entity too large",
                "the body of a batch has at most 2 MiB".to_owned(),
            ),
            Self::Limited(exceeded) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
                format!(
                    "the limit is {}; try again in {} s",
                    exceeded.rate,
                    seconds_to_wait(exceeded.retry_after),
                ),
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Service unavailable",
                "the purge has not been accepted".to_owned(),
            ),
        };
        let (msg, detail) = (Value::from(msg), Value::from(detail));
        let mut response = json(status, format!(r#"{{"msg":{msg},"detail":{detail}}}"#));
        if let Some(exceeded) = limited {
            let after = seconds_to_wait(exceeded.retry_after).into();
            response.headers_mut().insert(RETRY_AFTER, after);
            tell(&mut response, exceeded.left);
        }
        match status {
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                let soon = HeaderValue::from_static("1");
                response.headers_mut().insert(RETRY_AFTER, soon);
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(rest: &str) -> Result<String, Failure> {
        url_of_api(rest).map(|target| match target {
            Target::Url(url) => url.as_str().to_owned(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn an_api_url_may_have_a_scheme_and_a_real_query() {
        for (rest, expected) in [
            (
                "www.example.com/path/x?y=1&z=a%20b",
                "www.example.com/path/x?y=1&z=a%20b",
            ),
            ("http://www.example.com/x", "www.example.com/x"),
            ("HTTPS://www.example.com/x", "www.example.com/x"),
            ("http:/www.example.com/x", "www.example.com/x"),
            ("http:8080/x", "http:8080/x"),
            ("http/x", "http/x"),
            ("example.com", "example.com/"),
            ("example.com?a=1", "example.com/?a=1"),
            ("example.com:8080/a", "example.com:8080/a"),
            ("Example.com:443//a", "example.com//a"),
        ] {
            assert_eq!(url_of(rest).as_deref(), Ok(expected), "{rest}");
        }
        for rest in [
            "",
            "/x",
            "?x",
            "http://",
            "http:///",
            "a b/x",
            "<x>/y",
            "$http:QQQQQ",
            "u@h/x",
        ] {
            assert!(url_of(rest).is_err(), "{rest}");
        }
    }

    #[test]
    fn pur_14_a_key_is_the_whole_rest_decoded_once() {
        for (raw, key) in [
            ("a/b", "a/b"),
            ("a%2Fb", "a/b"),
            ("a%252Fb", "a%2Fb"),
            ("caf%C3%A9%20au%20lait", "café au lait"),
            ("a+b", "a+b"),
            ("100%", "100%"),
        ] {
            assert_eq!(key_of_path(raw).as_deref(), Ok(key), "{raw}");
        }
        assert!(key_of_path("").is_err());
        assert!(key_of_path("%FF").is_err());
        assert!(key_of_path(&"k".repeat(1025)).is_err());
        assert!(key_of_path(&"k".repeat(1024)).is_ok());
    }

    #[test]
    fn an_unknown_mode_is_refused_not_guessed() {
        let marked = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )])
        };
        let unmarked = PurgeMode::SoftBlock;
        assert_eq!(mode(&HeaderMap::new(), unmarked), Ok(PurgeMode::SoftBlock));
        for any in ["1", "0", ""] {
            assert_eq!(
                mode(&marked("fastly-soft-purge", any), unmarked),
                Ok(PurgeMode::Soft)
            );
        }
        let own = |value| mode(&marked("gripstack-purge", value), unmarked);
        assert_eq!(own("hard"), Ok(PurgeMode::Hard));
        assert_eq!(own("soft"), Ok(PurgeMode::Soft));
        assert_eq!(own("soft-block"), Ok(PurgeMode::SoftBlock));
        assert!(own("Hard").is_err());
        assert_eq!(
            mode_of_all(&marked("fastly-soft-purge", "1")),
            Ok(PurgeMode::Hard)
        );
        assert!(mode_of_all(&marked("gripstack-purge", "soft")).is_err());
    }
}

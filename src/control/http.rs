//! The little HTTP that control requests need.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::authority::is_host;
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::order::Url;
use crate::time;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    TooLarge,
    Broken,
}

/// Reads a whole body of at most `limit` bytes. One that says it is longer is not read at all.
pub(crate) async fn read<B>(body: B, limit: usize) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(ReadError::TooLarge);
    }
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLarge),
        Err(_) => Err(ReadError::Broken),
    }
}

/// What a request says its public authority is: its target, else its `Host` (RFC 9112 3.2.2).
pub(crate) fn authority(parts: &Parts) -> Option<&str> {
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let host = || parts.headers.get(HOST)?.to_str().ok();
    authority.or_else(host)
}

/// The URL of this authority and this path with its query, both as somebody wrote them who wants it purged. `None`
/// where no request can be for it, whatever way it was named: its host is none, or it has something else for a path.
pub(crate) fn url(authority: &str, path_and_query: &str) -> Option<Url> {
    let is_path = matches!(path_and_query.as_bytes(), [] | [b'/' | b'?', ..]);
    (is_path && is_host(authority.as_bytes())).then(|| Url::new(authority, path_and_query))
}

/// What follows a prefix of whole path segments.
#[cfg(feature = "purge")]
pub(crate) fn under<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'))
}

/// A response that no cache keeps.
pub(crate) fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<EdgeBody> {
    let mut response = Response::new(EdgeBody::from(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A line of text.
#[cfg(feature = "publish")]
pub(crate) fn text(status: StatusCode, line: impl std::fmt::Display) -> Response<EdgeBody> {
    respond(status, "text/plain", format!("{line}\n"))
}

/// How long to wait, in whole seconds: at least one.
pub(crate) fn seconds_to_wait(duration: Duration) -> u64 {
    time::whole_seconds(duration).max(1)
}

/// A configured prefix: empty, or with a leading and without a trailing slash.
pub(crate) fn normal_prefix(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        inner => format!("/{inner}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_be_written_with_slashes_or_without() {
        for prefix in ["/control", "control", "/control/", "control/"] {
            assert_eq!(normal_prefix(prefix), "/control");
        }
        assert_eq!(normal_prefix("/"), "");
    }

    #[test]
    fn seconds_to_wait_are_whole_and_at_least_one() {
        for (ms, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (1999, 2)] {
            assert_eq!(seconds_to_wait(Duration::from_millis(ms)), seconds);
        }
    }

    #[cfg(feature = "purge")]
    #[test]
    fn what_is_under_a_prefix_is_under_all_of_its_segments() {
        assert_eq!(under("/control", "/control/publish"), Some("/publish"));
        assert_eq!(under("/control", "/controls/publish"), None);
        assert_eq!(under("/control", "/control"), None);
        assert_eq!(under("", "/publish"), Some("/publish"));
    }

    #[test]
    fn the_target_names_the_authority_before_the_host() {
        let parts = |target: &str, host: Option<&str>| {
            let mut builder = http::Request::builder().uri(target);
            if let Some(host) = host {
                builder = builder.header(HOST, host);
            }
            builder.body(()).expect("the test made it well").into_parts().0
        };
        assert_eq!(authority(&parts("http://a/x", Some("b"))), Some("a"));
        assert_eq!(authority(&parts("/x", Some("b:1"))), Some("b:1"));
        assert_eq!(authority(&parts("/x", None)), None);
    }

    #[test]
    fn a_url_is_one_that_a_request_can_be_for() {
        let named = |authority, path| url(authority, path).map(|url| url.as_str().to_owned());
        assert_eq!(named("A.:80", "/x?y").as_deref(), Some("a/x?y"));
        assert_eq!(named("a:81", "").as_deref(), Some("a:81/"));
        assert_eq!(named("[::1]", "?y").as_deref(), Some("[::1]/?y"));
        for authority in [
            "",
            ":80",
            "u@b",
            "b/y",
            "b?y",
            "b,c",
            "$http:QQQQQ",
            "b:65536",
            "%61",
        ] {
            assert_eq!(named(authority, "/x"), None, "{authority}");
        }
        assert_eq!(named("a", "*"), None);
    }
}

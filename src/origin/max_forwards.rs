//! How far OPTIONS and TRACE may go (RFC 9110 7.6.2).

use std::fmt::Write;

use http::header::{
    self, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, MAX_FORWARDS,
};
use http::{HeaderName, HeaderValue, Method, Request, Response};

use crate::body::EdgeBody;

/// What is answered here, for the request may go no further; otherwise it may go one step less. What is no number counts
/// as if it were not there.
pub(super) fn spend(request: &mut Request<EdgeBody>) -> Option<Response<EdgeBody>> {
    if !matches!(*request.method(), Method::OPTIONS | Method::TRACE) {
        return None;
    }
    let left = request.headers().get(MAX_FORWARDS)?.to_str().ok()?;
    if left.is_empty() || !left.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match left.parse::<u64>() {
        Ok(0) if request.method() == Method::TRACE => Some(trace(request)),
        Ok(0) => Some(options()),
        left => {
            // More than can be counted is more than there are steps.
            let left = left.unwrap_or(u64::MAX) - 1;
            request.headers_mut().insert(MAX_FORWARDS, left.into());
            None
        }
    }
}

/// What can be said without knowing the resource.
fn options() -> Response<EdgeBody> {
    let mut response = Response::new(EdgeBody::empty());
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS, TRACE"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The request as it came here, without what is secret (RFC 9110 9.3.8).
fn trace(request: &Request<EdgeBody>) -> Response<EdgeBody> {
    let mut text = format!("TRACE {} {:?}\r\n", request.uri(), request.version());
    for (name, value) in request.headers() {
        if !is_secret(name) {
            let _ = write!(text, "{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()));
        }
    }
    text.push_str("\r\n");
    let mut response = Response::new(EdgeBody::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
    headers.insert(CONTENT_LENGTH, text.len().into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = text.into();
    response
}

/// What says who asks, to whom the application trusts, or is ours.
fn is_secret(name: &HeaderName) -> bool {
    let known = [AUTHORIZATION, COOKIE, header::PROXY_AUTHORIZATION].contains(name);
    known || name.as_str().starts_with("x-") || name.as_str().starts_with("grip-")
}

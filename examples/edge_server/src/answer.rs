//! Small answers.

use std::hash::{BuildHasher, RandomState};

use gripstack::EdgeBody;
use http::{HeaderValue, Response, StatusCode, header};

/// An answer that nobody stores.
pub fn of(status: StatusCode, kind: &'static str, body: impl Into<bytes::Bytes>) -> Response<EdgeBody> {
    let mut response = Response::new(EdgeBody::from(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A text that nobody stores.
pub fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<EdgeBody> {
    of(status, "text/plain; charset=utf-8", body)
}

/// Longest time after which somebody who met a drain is asked to come back, in seconds.
const LONGEST_RETRY: u64 = 10;

/// Somebody else, or this one after its restart, will answer. When to come back is random, or all would at once.
pub fn draining() -> Response<EdgeBody> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    // Its keys differ from those of the one before.
    let seconds = 1 + RandomState::new().hash_one(0u8) % LONGEST_RETRY;
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

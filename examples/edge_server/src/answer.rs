//! Small answers.

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

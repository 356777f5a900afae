//! Cookies in one line.

use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Joins the lines that HTTP/2 may split `Cookie` into (RFC 9113 8.2.3).
pub(crate) fn join(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if lines.len() < 2 {
        return;
    }
    if let Ok(cookie) = HeaderValue::from_maybe_shared(Bytes::from(lines.join(&b"; "[..]))) {
        headers.insert(COOKIE, cookie);
    }
}

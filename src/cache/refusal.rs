//! Answers that the cache makes itself, and those that are for one request alone.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::flight::Failure;
use super::serve::CACHE_STATUS;
use super::tags;
use crate::body::EdgeBody;
use crate::error::ERROR_HEADER;
use crate::grip;

/// Who reads an answer: clients see nothing of what is meant for us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Client,
    /// A hold layer heeds instructions.
    Hold,
    /// A cache layer above reads keys, too.
    Cache,
}

/// An answer for one request alone, with this `Cache-Status`.
pub(super) fn private(
    mut response: Response<EdgeBody>,
    reader: Reader,
    status: HeaderValue,
) -> Response<EdgeBody> {
    if reader == Reader::Client {
        if grip::is_instruct_type(response.headers()) {
            return refused(StatusCode::NOT_IMPLEMENTED, "grip-instruct-without-hold");
        }
        grip::strip(response.headers_mut());
    }
    if reader != Reader::Cache {
        tags::strip(response.headers_mut());
    }
    response.headers_mut().append(CACHE_STATUS, status);
    response
}

pub(super) fn failed(failure: Failure) -> Response<EdgeBody> {
    let status = match failure {
        Failure::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => failure.status().unwrap_or(StatusCode::BAD_GATEWAY),
    };
    refused(status, failure.as_str())
}

/// An answer of ours, that says why.
pub(super) fn refused(status: StatusCode, why: &'static str) -> Response<EdgeBody> {
    let mut response = Response::new(EdgeBody::from(format!("{why}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ERROR_HEADER, HeaderValue::from_static(why));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

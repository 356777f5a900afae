//! From an error to the response that stands for it.

use std::error::Error;
use std::io;

use http::{HeaderValue, Response, header};

use crate::body::EdgeBody;
use crate::error::{ERROR_HEADER, OriginError, OriginFailure};

/// What kind of failure an error of the client is. The error itself and its sources are searched, outermost
/// first, for something that decides.
pub(super) fn classify(error: &(dyn Error + 'static)) -> OriginError {
    let mut detail = String::new();
    let mut kind = None;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ours) = ours(error) {
            return ours.clone();
        }
        if !detail.is_empty() {
            detail.push_str(": ");
        }
        detail.push_str(&error.to_string());
        kind = kind.or_else(|| kind_of(error));
        next = error.source();
    }
    OriginError::new(kind.unwrap_or(OriginFailure::Reset), detail)
}

/// One of ours; also as what a connection failed with, which is no source of its error.
fn ours<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a OriginError> {
    let within = || error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref();
    error.downcast_ref().or_else(within)
}

fn kind_of(error: &(dyn Error + 'static)) -> Option<OriginFailure> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_parse_too_large() {
        Some(OriginFailure::HeadTooLarge)
    } else if error.is_parse() {
        // Hyper says only in words that it is about the length.
        let text = error.to_string();
        match text.contains("content-length") || text.contains("transfer-encoding") {
            true => Some(OriginFailure::AmbiguousFraming),
            false => Some(OriginFailure::Malformed),
        }
    } else {
        None
    }
}

/// What kind of failure an error of connecting is.
pub(super) fn classify_connect(error: &(dyn Error + 'static)) -> OriginError {
    let mut next = Some(error);
    let mut detail = String::new();
    let mut kind = OriginFailure::ConnectFailed;
    while let Some(error) = next {
        if let Some(ours) = ours(error) {
            return ours.clone();
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            kind = match error.kind() {
                io::ErrorKind::ConnectionRefused => OriginFailure::ConnectRefused,
                io::ErrorKind::TimedOut => OriginFailure::ConnectTimeout,
                _ => OriginFailure::ConnectFailed,
            };
        }
        if !detail.is_empty() {
            detail.push_str(": ");
        }
        detail.push_str(&error.to_string());
        next = error.source();
    }
    OriginError::new(kind, detail)
}

/// The response in place of an answer. Its body is one line of text; it is not to be stored.
pub(super) fn response(error: OriginError) -> Response<EdgeBody> {
    let failure = error.failure;
    let text = match failure {
        OriginFailure::RouteNotFound => String::from("Route not found\n"),
        _ => format!("Error while proxying to origin: {failure}\n"),
    };
    let mut response = Response::new(EdgeBody::empty());
    *response.status_mut() = failure.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CONTENT_LENGTH, text.len().into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ERROR_HEADER, HeaderValue::from_static(failure.as_str()));
    *response.body_mut() = text.into();
    response.extensions_mut().insert(error);
    response
}

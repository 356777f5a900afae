//! The layer's own failures. They are responses.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::original::header_text;
use crate::body::EdgeBody;
use crate::error::ERROR_HEADER;
use crate::grip::InstructError;

/// In the extensions of a response that the hold layer made because it could not hold: why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// The origin's instructions are malformed. 502.
    #[error("Failed to parse accept instructions: {0}")]
    Instruct(#[from] InstructError),
    /// The origin's response is too long for what it asks. 502.
    #[error("GRIP instruct response too large")]
    TooLarge,
    /// The origin's response broke off. 502.
    #[error("the body of the GRIP instruct response broke off: {0}")]
    Broken(Box<str>),
    /// The origin's response did not arrive in time. 502.
    #[error("the body of the GRIP instruct response did not arrive in time")]
    Late,
    /// The origin's response names more channels to hold than are [allowed](super::GripHoldLayer::max_channels). 502.
    #[error("a hold of {named} channels, at most {allowed} are allowed")]
    TooManyChannels {
        /// How many it names.
        named: usize,
        /// How many are allowed.
        allowed: usize,
    },
    /// What is pushed would follow a compressed body. 502.
    #[error("a stream hold cannot follow a body with Content-Encoding: {0}")]
    Coded(Box<str>),
    /// The request's body is too long to be held. 400.
    #[error("Request too large to accept GRIP instruct.")]
    RequestTooLarge,
    /// The request's body did not arrive in time. 400.
    #[error("Request body too slow to accept GRIP instruct.")]
    RequestLate,
    /// The request's body broke off: its client is gone. 400.
    #[error("Request body broke off before GRIP instruct was accepted.")]
    RequestBroken,
}

// === impl HoldError ===

impl HoldError {
    /// What it says, but no name nor value of the origin's: they are in the log.
    fn unquoted(&self) -> Cow<'static, str> {
        match self {
            Self::Instruct(error) => {
                format!("Failed to parse accept instructions: {}", error.unquoted()).into()
            }
            Self::Broken(_) => "the body of the GRIP instruct response broke off".into(),
            Self::Coded(_) => "a stream hold cannot follow a body with Content-Encoding".into(),
            Self::TooLarge
            | Self::Late
            | Self::TooManyChannels { .. }
            | Self::RequestTooLarge
            | Self::RequestLate
            | Self::RequestBroken => self.to_string().into(),
        }
    }

    /// The client's answer. Its body says all of why only if `debug`, or if it is the client's fault.
    pub(super) fn into_response(self, debug: bool) -> Response<EdgeBody> {
        let (status, kind) = match self {
            Self::RequestTooLarge | Self::RequestLate | Self::RequestBroken => {
                (StatusCode::BAD_REQUEST, "grip-request")
            }
            _ => (StatusCode::BAD_GATEWAY, "grip-instruct"),
        };
        let body = if debug || status == StatusCode::BAD_REQUEST {
            Bytes::from(format!("{self}\n"))
        } else {
            Bytes::from_static(b"Error while proxying to origin.\n")
        };
        let mut response = Response::new(EdgeBody::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(CONTENT_LENGTH, body.len().into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR_HEADER, header_text(&format!("{kind}; {}", self.unquoted())));
        response.extensions_mut().insert(self);
        *response.body_mut() = body.into();
        response
    }
}

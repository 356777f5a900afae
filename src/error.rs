//! Errors that more than one room shares.
#![cfg_attr(feature = "full", doc = "", doc = include_str!("../docs/errors.md"))]

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

/// An error of a body, or of a service below an edge, whatever its type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The field of a response that says why an origin's answer is missing. Its value is
/// [`OriginFailure::as_str`].
pub const ERROR_HEADER: &str = "gripstack-error";

/// Why there is no answer of an origin, or no whole one.
///
/// A response that stands for a missing answer carries the [`OriginError`] in its extensions; a body that broke
/// off yields one as its error. So a cache can tell "the origin is down" from an answer of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OriginFailure {
    /// No route leads from this host and path to an origin. 502.
    RouteNotFound,
    /// The request cannot be forwarded: two `Host` fields, none that is valid. 400.
    BadRequest,
    /// The method cannot be forwarded: `CONNECT`. 501.
    MethodUnsupported,
    /// The client's body broke off while it was forwarded. 400; not the origin's fault.
    RequestBody,
    /// The origin's name did not resolve. 502.
    Dns,
    /// The origin refused the connection. 502.
    ConnectRefused,
    /// The connection could not be made for another reason: no route, reset. 502.
    ConnectFailed,
    /// The connection was not made in time. 504.
    ConnectTimeout,
    /// The TLS handshake failed. 502.
    Tls,
    /// The connection ended before the whole head of an answer had come. 502.
    Reset,
    /// The whole head of an answer did not come in time. 504.
    FirstByteTimeout,
    /// The answer was not HTTP/1.x. 502.
    Malformed,
    /// The answer's head was larger than the limit. 502.
    HeadTooLarge,
    /// The answer's length was ambiguous: two lengths, a length beside a transfer coding, or one beside
    /// `chunked` (RFC 9112 6.3). 502.
    AmbiguousFraming,
    /// 304 to a request without conditions. 502.
    UnaskedNotModified,
    /// 101 to a request that did not ask for it. 502.
    UnaskedUpgrade,
    /// The body ended before its end. Only as the error of a body, after the head.
    BodyIncomplete,
    /// The body paused for too long. Only as the error of a body, after the head.
    BetweenBytesTimeout,
}

/// An [`OriginFailure`] and what is known about it. The detail is for operators: it may name addresses.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{failure}: {detail}")]
pub struct OriginError {
    /// What failed.
    pub failure: OriginFailure,
    /// Free text.
    pub detail: Arc<str>,
}

/// In the extensions of a response: its body ends where the origin's connection ended, so one that was cut off
/// looks like a whole one (RFC 9112 8).
#[derive(Clone, Copy, Debug)]
pub struct CloseDelimited;

// === impl OriginFailure ===

impl OriginFailure {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 18] = [
        Self::RouteNotFound,
        Self::BadRequest,
        Self::MethodUnsupported,
        Self::RequestBody,
        Self::Dns,
        Self::ConnectRefused,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::Tls,
        Self::Reset,
        Self::FirstByteTimeout,
        Self::Malformed,
        Self::HeadTooLarge,
        Self::AmbiguousFraming,
        Self::UnaskedNotModified,
        Self::UnaskedUpgrade,
        Self::BodyIncomplete,
        Self::BetweenBytesTimeout,
    ];

    /// A stable name for headers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RouteNotFound => "route-not-found",
            Self::BadRequest => "bad-request",
            Self::MethodUnsupported => "method-unsupported",
            Self::RequestBody => "request-body-broken",
            Self::Dns => "origin-dns",
            Self::ConnectRefused => "origin-connect-refused",
            Self::ConnectFailed => "origin-connect-failed",
            Self::ConnectTimeout => "origin-connect-timeout",
            Self::Tls => "origin-tls",
            Self::Reset => "origin-reset",
            Self::FirstByteTimeout => "origin-first-byte-timeout",
            Self::Malformed => "origin-malformed",
            Self::HeadTooLarge => "origin-head-too-large",
            Self::AmbiguousFraming => "origin-ambiguous-framing",
            Self::UnaskedNotModified => "origin-unasked-304",
            Self::UnaskedUpgrade => "origin-unasked-101",
            Self::BodyIncomplete => "origin-body-incomplete",
            Self::BetweenBytesTimeout => "origin-between-bytes-timeout",
        }
    }

    /// The status that stands for it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::RequestBody => StatusCode::BAD_REQUEST,
            Self::MethodUnsupported => StatusCode::NOT_IMPLEMENTED,
            Self::ConnectTimeout | Self::FirstByteTimeout | Self::BetweenBytesTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the origin is at fault: what is stored may be served in its place (RFC 5861 4). Not so for what
    /// is wrong with the request or with our routes.
    pub const fn is_outage(self) -> bool {
        !matches!(
            self,
            Self::RouteNotFound | Self::BadRequest | Self::MethodUnsupported | Self::RequestBody
        )
    }
}

impl fmt::Display for OriginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl OriginError ===

impl OriginError {
    /// A failure and free text about it.
    pub fn new(failure: OriginFailure, detail: impl Into<Arc<str>>) -> Self {
        Self {
            failure,
            detail: detail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_each_kind_once_at_its_number() {
        for (number, failure) in OriginFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, number);
        }
    }

    #[test]
    fn only_faults_of_the_origin_are_outages() {
        for failure in OriginFailure::ALL {
            let gateway = matches!(failure.status().as_u16(), 502 | 504);
            let outage = gateway && failure != OriginFailure::RouteNotFound;
            assert_eq!(failure.is_outage(), outage, "{failure}");
        }
    }
}

//! Errors that more than one room shares.
#![cfg_attr(feature = "full", doc = "", doc = include_str!("../docs/errors.md"))]

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, StatusCode};

use crate::reasons::reasons;

/// An error of a body, or of a service below an edge, whatever its type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The field of a response of our own that says why there is no other. Its value is [`OriginFailure::as_str`] where an
/// origin's answer is missing.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("gripstack-error");

reasons! {
    /// Why there is no answer of an origin, or no whole one.
    ///
    /// A response that stands for a missing answer carries the [`OriginError`] in its extensions; a body that broke
    /// off yields one as its error. So a cache can tell "the origin is down" from an answer of the origin.
    pub enum OriginFailure {
        /// No route leads from this host and path to an origin. 502.
        RouteNotFound = "route-not-found",
        /// The request cannot be forwarded: two `Host` fields, none that is valid. 400.
        BadRequest = "bad-request",
        /// The path leads out of the prefix of its route, or of the path of the origin's URL, in some spelling. 400.
        PathClimbs = "path-climbs",
        /// The method cannot be forwarded: `CONNECT`. 501.
        MethodUnsupported = "method-unsupported",
        /// The request was here before: an origin leads back to this server (RFC 8586). 508.
        Loop = "loop",
        /// The client's body broke off while it was forwarded. 400; not the origin's fault.
        RequestBody = "request-body-broken",
        /// The origin's name did not resolve. 502.
        Dns = "origin-dns",
        /// The origin refused the connection. 502.
        ConnectRefused = "origin-connect-refused",
        /// The connection could not be made for another reason: no route, reset. 502.
        ConnectFailed = "origin-connect-failed",
        /// The connection was not made in time. 504.
        ConnectTimeout = "origin-connect-timeout",
        /// The TLS handshake failed. 502.
        Tls = "origin-tls",
        /// The connection ended before the whole head of an answer had come. 502.
        Reset = "origin-reset",
        /// The whole head of an answer did not come in time. 504.
        FirstByteTimeout = "origin-first-byte-timeout",
        /// The answer was not HTTP/1.x. 502.
        Malformed = "origin-malformed",
        /// The answer's head was larger than the limit, or the interim ones (1xx) before it were, it had more fields than may
        /// be, or said a length that no body has (2^64 - 2, 2^64 - 1). 502.
        HeadTooLarge = "origin-head-too-large",
        /// The answer's length was ambiguous: two lengths, none that is a number, a length beside a transfer coding, or
        /// another coding than one `chunked` in HTTP/1.1, which nobody asked for (RFC 9112 6.1, 6.3, 7.4). 502.
        AmbiguousFraming = "origin-ambiguous-framing",
        /// 304 to a request without conditions. 502.
        UnaskedNotModified = "origin-unasked-304",
        /// 101 to a request that did not ask for it. 502.
        UnaskedUpgrade = "origin-unasked-101",
        /// The body ended before its end. Only as the error of a body, after the head.
        BodyIncomplete = "origin-body-incomplete",
        /// The body paused for too long. Only as the error of a body, after the head.
        BetweenBytesTimeout = "origin-between-bytes-timeout",
    }
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

/// In the extensions of a response: it may have come through a cache that is not ours, although it has no `Age` (RFC 9111
/// 5.1). What it is stamped with is so much earlier as if it had `Age: 0`.
#[derive(Clone, Copy, Debug)]
pub struct BehindCache;

// === impl OriginFailure ===

impl OriginFailure {
    /// The status that stands for it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::PathClimbs | Self::RequestBody => StatusCode::BAD_REQUEST,
            Self::MethodUnsupported => StatusCode::NOT_IMPLEMENTED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::ConnectTimeout | Self::FirstByteTimeout | Self::BetweenBytesTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the origin may have got the request, and acted on it.
    #[cfg(any(feature = "cache", feature = "websocket"))]
    pub(crate) const fn is_after_asking(self) -> bool {
        matches!(
            self,
            Self::RequestBody
                | Self::Reset
                | Self::FirstByteTimeout
                | Self::Malformed
                | Self::HeadTooLarge
                | Self::AmbiguousFraming
                | Self::UnaskedNotModified
                | Self::UnaskedUpgrade
        )
    }

    /// Whether the origin is at fault: what is stored may be served in its place (RFC 5861 4). Not so for what
    /// is wrong with the request or with our routes.
    pub const fn is_outage(self) -> bool {
        !matches!(
            self,
            Self::RouteNotFound
                | Self::BadRequest
                | Self::PathClimbs
                | Self::MethodUnsupported
                | Self::Loop
                | Self::RequestBody
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

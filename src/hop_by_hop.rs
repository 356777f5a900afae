//! Fields of one connection: they are not forwarded, not stored, and nobody's message sets them.

use http::HeaderName;
use http::header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE};
#[cfg(any(feature = "hold", feature = "cache", feature = "publish"))]
use http::header::{CONTENT_LENGTH, TRAILER};
#[cfg(any(feature = "cache", feature = "origin"))]
use http::header::{PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};

/// What belongs to a connection whatever it says (RFC 9110 7.6.1), beside what its `Connection` lists.
static OF_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What a client and its next proxy tell each other (RFC 9110 11.7, RFC 9111 3.1).
#[cfg(any(feature = "cache", feature = "origin"))]
static OF_PROXY: [HeaderName; 3] = [
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
];

/// All fields that no proxy forwards.
#[cfg(feature = "origin")]
pub(crate) fn fields() -> impl Iterator<Item = &'static HeaderName> {
    OF_CONNECTION.iter().chain(&OF_PROXY)
}

/// Whether no proxy forwards this field.
#[cfg(feature = "cache")]
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    OF_CONNECTION.contains(name) || OF_PROXY.contains(name)
}

/// Whether a field belongs to one connection or one framing of a message, so that a response made of a message does
/// not set it.
#[cfg(any(feature = "hold", feature = "cache", feature = "publish"))]
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRAILER || OF_CONNECTION.contains(name)
}

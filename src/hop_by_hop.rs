//! Fields of one connection: they are not forwarded, not stored, and nobody's message sets them.

use http::HeaderName;
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
use http::header::{self, HOST};
use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
use http::header::{PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
use http::{HeaderMap, HeaderValue};

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
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
static OF_PROXY: [HeaderName; 3] = [
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
];

/// Who has forwarded a request (RFC 8586): not a thing of one connection, whatever a client says.
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// Whether no proxy forwards this field.
#[cfg(any(feature = "cache", feature = "origin", feature = "serve"))]
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    OF_CONNECTION.contains(name) || OF_PROXY.contains(name)
}

/// Whether a field belongs to one connection or one framing of a message, so that a response made of a message does
/// not set it.
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRAILER || OF_CONNECTION.contains(name)
}

/// Removes all fields that no proxy forwards, and those that `Connection` lists and may list.
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
pub(crate) fn remove(headers: &mut HeaderMap) {
    let mut listed: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for token in members(value) {
            if let Ok(name) = HeaderName::from_bytes(token)
                && !is_end_to_end(&name)
            {
                listed.push(name);
            }
        }
    }
    for name in listed.iter().chain(&OF_CONNECTION).chain(&OF_PROXY) {
        headers.remove(name);
    }
}

/// Names that `Connection` cannot make hop-by-hop (RFC 9110 7.6.1: what all recipients are meant to see). A client could
/// otherwise take away what layers above added for the application, or checked: who asks (`Authorization`, `Cookie`),
/// for what (`Host`), from where (`X-Forwarded-*`), how far (`Via`, `Max-Forwards`, `CDN-Loop`), and what may be kept of it.
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
fn is_end_to_end(name: &HeaderName) -> bool {
    static END_TO_END: [HeaderName; 10] = [
        HOST,
        CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CACHE_CONTROL,
        header::AUTHORIZATION,
        header::COOKIE,
        header::VIA,
        header::MAX_FORWARDS,
        CDN_LOOP,
        HeaderName::from_static("x-real-ip"),
    ];
    END_TO_END.contains(name)
        || name.as_str().starts_with("grip-")
        || name.as_str().starts_with("x-forwarded-")
}

/// Whether a comma-separated field lists a token, in any case.
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut all = headers.get_all(name).iter().flat_map(members);
    all.any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
}

/// Of a comma-separated field.
#[cfg(any(feature = "hold", feature = "cache", feature = "origin", feature = "serve"))]
fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
}

//! Requests for another protocol (RFC 9110 7.8).

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Version};

use crate::hop_by_hop::has_token;

/// The protocols that a request asks for, as sent, if it can be passed on. Another HTTP or TLS is between a client and the
/// server that it is connected to; behind us it would let the client speak past everything that stands in front of an
/// application (`h2c`).
pub(crate) fn wanted(version: Version, headers: &HeaderMap) -> Option<&HeaderValue> {
    if version != Version::HTTP_11 || !has_token(headers, &CONNECTION, "upgrade") {
        return None;
    }
    let mut fields = headers.get_all(UPGRADE).iter();
    let (Some(protocols), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let mut offers = protocols.as_bytes().split(|byte| *byte == b',');
    let passes = offers.all(|offer| {
        let name = offer.split(|byte| *byte == b'/').next().unwrap_or_default();
        // A list may have empty places (RFC 9110 5.6.1), but what names no protocol asks for none.
        let of_connection = [&b""[..], b"h2c", b"h2", b"http", b"tls"];
        !of_connection
            .iter()
            .any(|other| name.trim_ascii().eq_ignore_ascii_case(other))
    });
    passes.then_some(protocols)
}

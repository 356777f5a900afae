//! Names of request fields that count although no `Vary` names them: who sends one could poison what others get.
//!
//! A gateway to CGI, WSGI or PHP writes `-` and `_` alike as `_` (RFC 3875 4.1.18), some of them any other character too: so
//! a name with an odd character is the name with a dash in its place, to whom it may reach.

use http::header::{self, FORWARDED};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::authority::has_default_port;

/// They say how the edge was reached, as `X-Forwarded-*` do, of which there is no list.
static REACHED: [HeaderName; 8] = [
    HeaderName::from_static("x-forwarded"),
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-http-host-override"),
    HeaderName::from_static("x-url-scheme"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("front-end-https"),
    HeaderName::from_static("x-wap-profile"),
];

/// They turn a request into another one; the last two set CGI's `HTTP_PROXY`, and belong to an upgrade that is refused.
static REMOVED: [HeaderName; 8] = [
    FORWARDED,
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("proxy"),
    HeaderName::from_static("http2-settings"),
];

/// Names with a dash that mean something to a layer of ours, to a connection or to the framing of a message, beside
/// those above, `X-Forwarded-*` and `Grip-*`: nobody sends them otherwise by mistake.
static MEANINGFUL: [&str; 24] = [
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-event-id",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "sec-websocket-accept",
    "sec-websocket-key",
    "surrogate-capability",
    "surrogate-control",
    "transfer-encoding",
    "user-agent",
];

/// What a client says of what it has had already (rule D7): what others share is not made for it.
#[cfg(feature = "cache")]
pub(crate) static RESUMING: [HeaderName; 2] = [
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("grip-last"),
];

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whether this field turns a request into another one.
pub(super) fn is_removed(name: &HeaderName) -> bool {
    REMOVED.contains(name)
}

/// Whether this field says how the edge was reached, or by whom.
pub(super) fn is_forwarded(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || REACHED.contains(name)
}

/// Whether this field, which is none of `Host`, is part of the key without being named by `Vary`. `X-Forwarded-For` and
/// its like are not, for every client has another one.
pub(crate) fn is_keyed(name: &HeaderName) -> bool {
    match name.as_str().as_bytes()[0] {
        b'x' | b'f' if is_forwarded(name) => name != FORWARDED_FOR && name != "x-real-ip",
        _ => is_odd(name.as_str()),
    }
}

/// The fields of a request that are part of the key without being named by `Vary`: rarely any. `Host` is one if it names
/// another scheme's default port, for a [`Url`](crate::Url) names none.
#[cfg(feature = "cache")]
pub(crate) fn keyed_in(request: &HeaderMap) -> impl Iterator<Item = &HeaderName> {
    let is_odd_host =
        |value: Option<&HeaderValue>| value.is_some_and(|host| has_default_port(host.as_bytes()));
    request.keys().filter(move |name| match **name {
        header::HOST => is_odd_host(request.get(header::HOST)),
        ref name => is_keyed(name),
    })
}

/// Whether it has a character that is neither a letter, a digit nor a dash.
#[inline]
pub(super) fn is_odd(name: &str) -> bool {
    let name = name.as_bytes();
    let Some(last) = name.last_chunk::<8>() else {
        return match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            // Some of them twice.
            (Some(first), Some(last)) => {
                let [a, b] = [first, last].map(|four| u64::from(u32::from_le_bytes(*four)));
                usual(a | b << 32) != HIGH
            }
            _ => !name
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'),
        };
    };
    let (chunks, _) = name.as_chunks::<8>();
    let usual = |eight: &[u8; 8]| usual(u64::from_le_bytes(*eight));
    usual(last) != HIGH || chunks.iter().any(|eight| usual(eight) != HIGH)
}

/// The highest bit of each of eight bytes.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Of eight characters of a name, which are ASCII in lower case: those that are letters, digits or dashes.
#[inline]
fn usual(eight: u64) -> u64 {
    let each = |byte: u8| u64::from_ne_bytes([byte; 8]);
    // No sum goes beyond its byte: a character is below 128.
    let at_least = |byte: u8| eight + each(128 - byte);
    let letter = at_least(b'a') & !at_least(b'z' + 1);
    let digit = at_least(b'0') & !at_least(b'9' + 1);
    let dash = at_least(b'-') & !at_least(b'-' + 1);
    (letter | digit | dash) & HIGH
}

/// Whether an odd name is one that we remove, key, set or read, to whom each odd character is a dash.
pub(super) fn is_disguised(name: &HeaderName) -> bool {
    let dashed: String = name
        .as_str()
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() { char } else { '-' })
        .collect();
    dashed.starts_with("grip-")
        || MEANINGFUL.contains(&&*dashed)
        || HeaderName::from_bytes(dashed.as_bytes())
            .is_ok_and(|name| is_removed(&name) || is_forwarded(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_odd_by_any_character_of_it() {
        let odd = b"!#$%&'*+.^_`|~";
        for len in 1..40 {
            let usual: String = "abcxyz-0189".chars().cycle().take(len).collect();
            assert!(!is_odd(&usual), "{usual}");
            for at in 0..len {
                for &char in odd {
                    let mut name = usual.clone().into_bytes();
                    name[at] = char;
                    assert!(is_odd(std::str::from_utf8(&name).expect("ASCII")), "{name:?}");
                }
            }
        }
    }

    #[test]
    fn what_odd_names_stand_for() {
        let is_disguised = |name| is_disguised(&HeaderName::from_static(name));
        for name in [
            "x_forwarded_host",
            "x-forwarded_proto",
            "x.original.url",
            "x_http_method_override",
            "content_length",
            "grip_hold",
            "accept_language",
        ] {
            assert!(is_disguised(name), "{name}");
        }
        for name in ["user_id", "x_request_id", "api.key"] {
            assert!(!is_disguised(name), "{name}");
            assert!(is_keyed(&HeaderName::from_static(name)), "{name}");
        }
    }
}

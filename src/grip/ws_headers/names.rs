//! Names of the protocol's fields, and whose they are.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, SEC_WEBSOCKET_EXTENSIONS};

use crate::grip::feature::is_grip;
use crate::grip::ws_events::EVENTS_TYPE;

pub(super) const CONNECTION_ID: HeaderName = HeaderName::from_static("connection-id");
pub(super) const CONTENT_BYTES_ACCEPTED: HeaderName = HeaderName::from_static("content-bytes-accepted");
pub(super) const CONTENT_BYTES_REPLAYED: HeaderName = HeaderName::from_static("content-bytes-replayed");
pub(super) const KEEP_ALIVE_INTERVAL: HeaderName = HeaderName::from_static("keep-alive-interval");

/// What the edge remembers comes as `Set-Meta-User` and goes as `Meta-User`.
pub(super) const META: &str = "meta-";
pub(super) const SET_META: &str = "set-meta-";

/// Whether the body of an answer is events: the type exactly, without parameters, as origins write it for the
/// reference proxy. Anything else is an answer for the client.
pub fn is_events_type(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes() == EVENTS_TYPE.as_bytes())
}

/// Whether somebody may take the body of a request for events, whatever the case and parameters of its type. A client
/// must not send such a request: it could say anything in the name of the edge.
pub fn reads_as_events_type(headers: &HeaderMap) -> bool {
    let mut listed = headers
        .get_all(CONTENT_TYPE)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|&byte| matches!(byte, b';' | b',')));
    listed.any(|part| part.trim_ascii().eq_ignore_ascii_case(EVENTS_TYPE.as_bytes()))
}

/// Removes from an answer what it says to the edge: `Grip-*`, the extension, the interval, what is to be remembered,
/// and what is accepted. Of an answer that refuses a client the rest is the client's.
pub fn strip_for_edge(headers: &mut HeaderMap) {
    remove_where(headers, |name| {
        *name == SEC_WEBSOCKET_EXTENSIONS
            || *name == KEEP_ALIVE_INTERVAL
            || *name == CONTENT_BYTES_ACCEPTED
            || *name == CONTENT_BYTES_REPLAYED
            || name.as_str().starts_with(SET_META)
            || is_grip(name)
    });
}

/// Whether a name is this one, to whom every odd character of it may be a dash (RFC 3875 4.1.18): so `Connection_Id` is
/// `Connection-Id` for a gateway to CGI, WSGI or PHP.
pub(super) fn reads_as(name: &HeaderName, other: &str) -> bool {
    name.as_str().len() == other.len() && begins_as(name, other)
}

/// The same of the beginning of a name.
pub(super) fn begins_as(name: &HeaderName, beginning: &str) -> bool {
    let name = name.as_str().as_bytes();
    let same =
        |(&byte, &other): (&u8, &u8)| byte == other || (other == b'-' && !byte.is_ascii_alphanumeric());
    name.len() >= beginning.len() && name.iter().zip(beginning.as_bytes()).all(same)
}

/// Removes all fields with such names.
pub(super) fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let gone: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in &gone {
        headers.remove(name);
    }
}

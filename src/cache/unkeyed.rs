//! What becomes of [request fields that applications trust](crate::request) although no `Vary` names them.
//!
//! Those that say how the edge was reached become part of the key: behind a proxy of one's own all requests have the
//! same, and anybody else's stay with whoever sends them. Those that turn a request into another one are removed.
//! `X-Forwarded-For` is neither, for every client has another one.

use http::header::HOST;
use http::{HeaderName, HeaderValue, Request};

use super::fields::Fields;
use crate::request::REMOVED;
pub(super) use crate::request::{is_keyed, keyed_in};

/// Whether this field turns a request into another one.
pub(super) fn is_removed(name: &HeaderName) -> bool {
    REMOVED.contains(name)
}

/// Removes what would make the request another one than its key says; where the target names the host, that counts,
/// and the field follows it (RFC 9112 3.2.2).
pub(super) fn straighten<B>(request: &mut Request<B>, fields: Fields) {
    if fields.has(Fields::REMOVED) {
        for name in &REMOVED {
            request.headers_mut().remove(name);
        }
    }
    let Some(authority) = request.uri().authority() else {
        return;
    };
    let authority = authority.as_str();
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, authority)| authority);
    let mut hosts = request.headers().get_all(HOST).iter();
    let agrees = hosts
        .next()
        .is_none_or(|host| host.as_bytes() == authority.as_bytes())
        && hosts.next().is_none();
    if !agrees && let Ok(host) = HeaderValue::from_str(authority) {
        request.headers_mut().insert(HOST, host);
    }
}

//! The request that is judged is the request that is sent.
//!
//! What a client sent is made here into the one form that layers look at and that is sent on: what is removed, joined or
//! rewritten on the way to an application is so before a key, a variant or a condition is looked at. Each layer that
//! judges or sends does it, and twice is once.
//!
//! * one host, in normal form, in the target and in `Host`; where the target names one, that counts;
//! * the scheme is the connection's, as the server says in the extensions (an [`http::uri::Scheme`]), never the target's;
//! * no field of the connection, nor one that `Connection` lists; an upgrade stays if it can be passed on;
//! * no field that turns the request into another one, in no spelling;
//! * of the fields that say how the edge was reached, those that [somebody vouches for](ClientInfo);
//! * `Cookie` in one line.

mod client;
mod cookies;
mod fields;
mod host;
mod names;
#[cfg(test)]
mod tests;
mod upgrade;

#[cfg(feature = "hold")]
use http::Extensions;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};

pub use client::{ClientInfo, KeepUnderscores};
pub(crate) use cookies::join as join_cookies;
pub(crate) use fields::Fields;
pub(crate) use host::{is_https, settle as settle_host};
#[cfg(feature = "cache")]
pub(crate) use names::{RESUMING, is_keyed, keyed_in};
pub(crate) use upgrade::wanted as wanted_upgrade;

use crate::hop_by_hop;

/// Brings a request into the form in which it is judged and sent. Costs one look through its fields, if it is in that form.
pub(crate) fn settle<B>(request: &mut Request<B>) -> Fields {
    let (fields, _) = Fields::of(request);
    if fields.is_unsettled() {
        settle_closely(request, fields)
    } else {
        fields
    }
}

/// The same after that look: for who needs what it found beside the kinds, and can look again.
#[cold]
pub(crate) fn settle_closely<B>(request: &mut Request<B>, fields: Fields) -> Fields {
    if let Some(fields) = fields.but_for_connection() {
        request.headers_mut().remove(CONNECTION);
        return fields;
    }
    let client = request.extensions().get::<ClientInfo>().copied();
    let keep_odd = request.extensions().get::<KeepUnderscores>().is_some();
    let scheme = host::scheme(request.extensions()).clone();
    let version = request.version();
    let mut uri = std::mem::take(request.uri_mut());
    let headers = request.headers_mut();
    if fields.has_unwanted() {
        leave_connection(headers, version);
        remove_where(headers, |name| {
            names::is_removed(name)
                || (!keep_odd && names::is_odd(name.as_str()) && names::is_disguised(name))
        });
    }
    if fields.has(Fields::FORWARDED) {
        match client {
            Some(ClientInfo { proxy: None, .. }) => remove_forwarded(headers),
            _ => host::settle_field(headers, &X_FORWARDED_HOST, scheme == Scheme::HTTPS),
        }
    }
    cookies::join(headers);
    host::settle(&mut uri, headers, &scheme);
    *request.uri_mut() = uri;
    Fields::of(request).0
}

/// What of a request's extensions says who asks, and how: all that another request in its place needs of them.
#[cfg(feature = "hold")]
pub(crate) fn who_asks(extensions: &Extensions) -> Extensions {
    let mut who = Extensions::new();
    extensions
        .get::<Scheme>()
        .map(|scheme| who.insert(scheme.clone()));
    extensions.get::<ClientInfo>().map(|client| who.insert(*client));
    extensions.get::<KeepUnderscores>().map(|keep| who.insert(*keep));
    who
}

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Removes the fields of the connection. What of them concerns the next one too is written anew: an upgrade that can be
/// passed on, and that gRPC takes trailers.
fn leave_connection(headers: &mut HeaderMap, version: Version) {
    let upgrade = upgrade::wanted(version, headers).cloned();
    let takes_trailers = hop_by_hop::has_token(headers, &TE, "trailers")
        && headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if headers.contains_key(TRANSFER_ENCODING) {
        // Which overrides it (RFC 9112 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    hop_by_hop::remove(headers);
    if let Some(protocols) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocols);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Whether this field turns a request into another one, or says how the edge was reached, in any spelling.
#[cfg(any(feature = "cache", feature = "origin", feature = "serve"))]
pub(crate) fn is_misleading(name: &HeaderName) -> bool {
    names::is_removed(name)
        || names::is_forwarded(name)
        || (names::is_odd(name.as_str()) && names::is_disguised(name))
}

/// Removes what says how the edge was reached.
pub(crate) fn remove_forwarded(headers: &mut HeaderMap) {
    remove_where(headers, names::is_forwarded);
}

fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let gone: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in &gone {
        headers.remove(name);
    }
}

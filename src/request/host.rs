//! One host and one scheme, whatever a client wrote.

use std::borrow::Cow;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Extensions, HeaderMap, HeaderValue, Uri};

use crate::authority::{has_default_port, is_host, is_normal_host, normal_over};

static HTTP: Scheme = Scheme::HTTP;

/// How a request came: what its server said in its extensions. A client can write any scheme into its target, so nobody's
/// word means plain HTTP.
pub(crate) fn scheme(extensions: &Extensions) -> &Scheme {
    extensions.get().unwrap_or(&HTTP)
}

/// Whether a request came by TLS.
pub(crate) fn is_https(extensions: &Extensions) -> bool {
    *scheme(extensions) == Scheme::HTTPS
}

/// Whether a target with an authority is as [`settle`] leaves it.
pub(super) fn is_settled<'a>(
    of_target: Option<&Scheme>,
    authority: &Authority,
    host: Option<&HeaderValue>,
    of_connection: impl FnOnce() -> &'a Scheme,
) -> bool {
    let authority = authority.as_str().as_bytes();
    is_normal_host(authority)
        && host.is_none_or(|host| host.as_bytes() == authority)
        // CONNECT names none.
        && of_target.is_none_or(|scheme| scheme == of_connection())
}

/// Makes the host normal in the target and in `Host`. Where the target names one, that counts (RFC 9112 3.2.2). What is
/// no host stays as it is, and nothing can be filed under it.
pub(crate) fn settle(uri: &mut Uri, headers: &mut HeaderMap, scheme: &Scheme) {
    let is_https = *scheme == Scheme::HTTPS;
    let Some(of_target) = uri.scheme() else {
        // Of the other forms only CONNECT names an authority, and with its port.
        if uri.authority().is_none() {
            settle_field(headers, &HOST, is_https);
        }
        return;
    };
    let Some(authority) = uri.authority() else {
        return;
    };
    let host = without_user(authority.as_str());
    if !is_host(host.as_bytes()) {
        return;
    }
    let host = normal_over(host, is_https).into_owned();
    let (Ok(value), Ok(normal)) = (HeaderValue::from_str(&host), Authority::try_from(host.as_str())) else {
        return;
    };
    if authority.as_str() != host || of_target != scheme {
        let mut parts = std::mem::take(uri).into_parts();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(normal);
        *uri = Uri::from_parts(parts).expect("it was one with another scheme and authority");
    }
    let mut hosts = headers.get_all(HOST).iter();
    let is_same = |host: &HeaderValue| host.as_bytes() == value.as_bytes();
    let agrees = match hosts.next() {
        // What is keyed by it is looked for there.
        None => !has_default_port(value.as_bytes()),
        Some(host) => is_same(host) && hosts.next().is_none(),
    };
    if !agrees {
        headers.insert(HOST, value);
    }
}

/// Makes a field normal that names a host.
pub(super) fn settle_field(headers: &mut HeaderMap, name: &http::HeaderName, is_https: bool) {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return;
    };
    if is_normal_host(value.as_bytes()) || !is_host(value.as_bytes()) {
        return;
    }
    let text = value.to_str().unwrap_or_default();
    if let Cow::Owned(host) = normal_over(text, is_https)
        && host != text
        && let Ok(host) = HeaderValue::try_from(host)
    {
        headers.insert(name.clone(), host);
    }
}

fn without_user(authority: &str) -> &str {
    authority.rsplit('@').next().unwrap_or_default()
}

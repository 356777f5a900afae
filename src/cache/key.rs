//! What a request asks for.

use std::borrow::Cow;

use http::{Extensions, HeaderValue, Method, Uri};

use crate::authority::{is_host, is_normal_host};
use crate::order::{Target, TargetKey, Url};
use crate::public_path::public_path;
use crate::request::Fields;

/// Names a variant of a URL: scheme, who asks, and the values of the fields that `Vary` names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct VariantKey(pub(super) u128);

/// The public URL of a request, written down only where that is needed.
pub(super) enum RequestUrl<'a> {
    /// In normal form as it came.
    Plain {
        host: &'a [u8],
        path: &'a str,
    },
    Url(Url),
}

/// What a [settled](crate::request) request with this `Host` names. Where the layer sits below a router that strips a
/// prefix, the [public path](public_path) counts. Without a host it is that of nobody. `None` with more than one, or with a `Host`
/// that is none.
pub(super) fn url_of<'a>(
    uri: &'a Uri,
    extensions: &'a Extensions,
    (fields, host): (Fields, Option<&'a HeaderValue>),
    namespace: &str,
) -> Option<RequestUrl<'a>> {
    let path = public_path(uri, extensions, namespace);
    let (host, is_normal) = match uri.authority() {
        Some(authority) => {
            let host = authority.as_str().as_bytes();
            (host, is_normal_host(host))
        }
        None if fields.has(Fields::HOSTS) => return None,
        None => match host {
            Some(host) => (host.as_bytes(), !fields.has(Fields::ODD_HOST) || host.is_empty()),
            None => (&b""[..], true),
        },
    };
    match path {
        Cow::Borrowed(path) if is_normal && path.starts_with('/') => Some(RequestUrl::Plain { host, path }),
        // Not every server looks at `Host`. With a path or a user in it this would become the key of another URL.
        path if is_normal || is_host(host) => {
            let host = std::str::from_utf8(host).expect("a host is ASCII");
            Some(RequestUrl::Url(Url::new(host, &path)))
        }
        _ => None,
    }
}

// === impl RequestUrl ===

impl RequestUrl<'_> {
    pub(super) fn key(&self) -> TargetKey {
        match self {
            Self::Plain { host, path } => TargetKey::of_url(host, path),
            Self::Url(url) => TargetKey::of(&Target::Url(url.clone())),
        }
    }

    /// Whether it is this one.
    pub(super) fn is(&self, url: &Url) -> bool {
        match self {
            Self::Plain { host, path } => {
                let url = url.as_str().as_bytes();
                url.len() == host.len() + path.len()
                    && url.starts_with(host)
                    && url.ends_with(path.as_bytes())
            }
            Self::Url(own) => own == url,
        }
    }

    pub(super) fn into_url(self) -> Url {
        match self {
            Self::Plain { host, path } => {
                let host = std::str::from_utf8(host).expect("a normal host is ASCII");
                Url::new(host, path)
            }
            Self::Url(url) => url,
        }
    }
}

/// GET and HEAD; nothing else is looked up.
pub(super) fn is_cacheable_method(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Methods defined as safe (RFC 9110 9.2.1, RFC 10008): all others, unknown ones too, may have changed something.
pub(super) fn is_safe_method(method: &Method) -> bool {
    is_cacheable_method(method)
        || method == Method::OPTIONS
        || method == Method::TRACE
        || method.as_str() == "QUERY"
        || method.as_str() == "PROPFIND"
        || method.as_str() == "REPORT"
        || method.as_str() == "SEARCH"
}

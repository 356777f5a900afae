//! What a request asks for.

use http::uri::Scheme;
use http::{Extensions, HeaderValue, Method, Uri};

use super::fields::Fields;
use crate::authority::{is_host, is_normal_host, normal};
use crate::order::{Target, TargetKey, Url};

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

/// What a request with this `Host` names: where the layer sits below a router that strips a prefix, that prefix is its
/// namespace. `None` without a host, with more than one, or with a `Host` that is none.
pub(super) fn named_by<'a>(
    uri: &'a Uri,
    (fields, host): (Fields, Option<&'a HeaderValue>),
    namespace: &str,
) -> Option<RequestUrl<'a>> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority();
    let host = match authority {
        Some(authority) => authority.as_str().as_bytes(),
        None if fields.has(Fields::HOSTS) => return None,
        None => host?.as_bytes(),
    };
    if namespace.is_empty() && is_normal_host(host) && path.starts_with('/') {
        return Some(RequestUrl::Plain { host, path });
    }
    if !is_host(host) {
        // Not every server looks at `Host`. With a path or a user in it this would become the key of another URL.
        return None;
    }
    let host = std::str::from_utf8(host).expect("a host is ASCII");
    Some(RequestUrl::Url(if namespace.is_empty() {
        Url::new(host, path)
    } else {
        Url::new(host, &format!("{namespace}{path}"))
    }))
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

/// Whether it came by TLS: by its target, or by what its server says of it.
pub(super) fn is_https(uri: &Uri, extensions: &Extensions) -> bool {
    let scheme = uri.scheme().or_else(|| extensions.get());
    scheme.is_some_and(|scheme| *scheme == Scheme::HTTPS)
}

/// Whether a location header names this origin's own URL: then which.
pub(super) fn same_origin_url(location: &str, base: &Url) -> Option<Url> {
    let host = base.host();
    if let Some(path) = location.strip_prefix('/').filter(|rest| !rest.starts_with('/')) {
        return Some(Url::new(host, &format!("/{path}")));
    }
    let rest = location
        .strip_prefix("https://")
        .or_else(|| location.strip_prefix("http://"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    (normal(authority) == host).then(|| Url::new(host, path.split('#').next().unwrap_or(path)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pur_25_only_locations_of_the_same_origin_are_followed() {
        let base = Url::new("example.com", "/a/b");
        let url = |location| same_origin_url(location, &base).map(|url| url.as_str().to_owned());
        assert_eq!(url("/x?y").as_deref(), Some("example.com/x?y"));
        assert_eq!(
            url("https://EXAMPLE.com:443/x#f").as_deref(),
            Some("example.com/x")
        );
        assert_eq!(url("https://other/x"), None);
        assert_eq!(url("//other/x"), None);
        assert_eq!(url("http://example.com:8080/x"), None);
        assert_eq!(url("http://example.com").as_deref(), Some("example.com/"));
    }
}

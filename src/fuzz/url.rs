//! Which URL a request names: all rooms must say the same.

use http::request::Parts;
use http::{Request, Uri, Version, header};

use super::fields_and_rest;
use crate::authority::{is_host, is_normal_host, normal};
use crate::control::{self, authority};
use crate::order::{Target, TargetKey, Url};
use crate::{cache, origin, serve};

/// Fields with `Host`, an empty line, a request target, a newline, a location: a request that the server lets through
/// has one URL, in whatever way that is written, for the cache, for purges and for the origin.
pub fn url(bytes: &[u8]) {
    let (fields, rest) = fields_and_rest(bytes);
    let (target, location) = super::cut(rest, b'\n');
    let Ok(uri) = Uri::try_from(target) else {
        return;
    };
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        *request.version_mut() = version;
        *request.headers_mut() = fields.clone();
        let parts = request.into_parts().0;
        if let Some((_, url)) = cache::fuzz::named(&parts) {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            let named = &url.as_str()[url.host().len()..];
            assert_eq!(
                named.trim_start_matches('/'),
                path.trim_start_matches('/'),
                "no host brings a path"
            );
        }
        // The reader of HTTP/1 has seen to one valid Host.
        let is_named = parts.headers.contains_key(header::HOST) || uri.authority().is_some();
        if is_named && serve::fuzz::names_one_host(&parts) {
            check(&parts, &String::from_utf8_lossy(location));
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let once = normal(text).into_owned();
        assert_eq!(normal(&once), once, "twice is once: {text:?}");
        assert!(!is_normal_host(text.as_bytes()) || (once == text && is_host(text.as_bytes())));
    }
}

fn check(parts: &Parts, location: &str) {
    let (key, url) = cache::fuzz::named(parts).expect("the server saw one valid host");
    assert_eq!(TargetKey::of(&Target::Url(url.clone())), key, "{url:?}");

    let host = authority(parts).expect("there is one");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if path.starts_with('/') {
        let purged = control::url(host, path);
        assert_eq!(purged.as_ref(), Some(&url), "what a purge of it names");
    }
    let asked = origin::fuzz::authority(&parts.uri, &parts.headers);
    let asked = asked.expect("valid").expect("there is one");
    assert_eq!(normal(asked.as_str()), url.host(), "where it is sent");

    assert_eq!(url.host(), plain(host), "{host}");
    for same in [host.to_ascii_uppercase(), host.to_ascii_lowercase()] {
        assert_eq!(Url::new(&same, path), url);
    }
    if !url.host().ends_with([']', '.']) && !url.host().contains(':') {
        for suffix in [".", ":80", ":443", ":", ".:80", ":0080"] {
            let same = format!("{}{suffix}", url.host());
            assert_eq!(Url::new(&same, path), url, "{same}");
        }
    }
    let (host, rest) = url.as_str().split_at(url.host().len());
    assert_eq!(Url::new(host, rest), url, "twice is once");
    if let Some(canonical) = url.canonical() {
        assert_eq!(canonical.canonical(), None);
        assert_eq!(canonical.host(), url.host());
    }
    if let Some(named) = cache::fuzz::same_origin_url(location, &url) {
        assert_eq!(named.host(), url.host());
        let (host, rest) = named.as_str().split_at(named.host().len());
        assert_eq!(Url::new(host, rest), named, "twice is once");
    }
}

/// The normal form, from the parts: name in lower case without the root's dot, port as a number unless default.
fn plain(authority: &str) -> String {
    let end = match authority.rfind(']') {
        Some(end) => end + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (name, port) = authority.split_at(end);
    let mut name = name.to_ascii_lowercase();
    if name.len() > 1 && name.ends_with('.') && !name.ends_with("..") {
        name.pop();
    }
    match port.strip_prefix(':').unwrap_or_default().trim_start_matches('0') {
        "" if !port.contains('0') => name,
        "80" | "443" => name,
        number => format!("{name}:{}", if number.is_empty() { "0" } else { number }),
    }
}

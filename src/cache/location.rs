//! What `Location` and `Content-Location` name (RFC 9110 10.2.2, RFC 3986 5.2).

use crate::authority::normal;
use crate::order::Url;

/// The URL that such a field names, if that is one of the origin of `base`, the URL that was asked for: any scheme, for a
/// URL here has none.
pub(super) fn same_origin_url(location: &str, base: &Url) -> Option<Url> {
    let location = location.trim_ascii();
    let location = location.split('#').next().unwrap_or(location);
    let host = base.host();
    let of_path = |path: &str| Some(Url::new(host, &without_dots(path)));
    if let Some(rest) = after_scheme(location)? {
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        return (normal(authority) == host).then(|| of_path(path)).flatten();
    }
    let own = &base.as_str()[host.len()..];
    let own_path = own.split('?').next().unwrap_or(own);
    match location.as_bytes() {
        [] => Some(base.clone()),
        [b'/', ..] => of_path(location),
        [b'?', ..] => of_path(&format!("{own_path}{location}")),
        _ => {
            let folder = own_path.rfind('/').map_or("/", |slash| &own_path[..=slash]);
            of_path(&format!("{folder}{location}"))
        }
    }
}

/// What follows `http://`, `https://` or `//`: an authority and a path; inside, `None` for a path alone. `None` for a URL of
/// another scheme.
fn after_scheme(location: &str) -> Option<Option<&str>> {
    if let Some(rest) = location.strip_prefix("//") {
        return Some(Some(rest));
    }
    let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match location.split_once(':') {
        Some((scheme, rest)) if !scheme.is_empty() && scheme.chars().all(is_of_scheme) => {
            let is_http = ["http", "https"]
                .iter()
                .any(|http| scheme.eq_ignore_ascii_case(http));
            let rest = rest.strip_prefix("//").filter(|_| is_http)?;
            Some(Some(rest))
        }
        _ => Some(None),
    }
}

/// A path, with its query, without segments that mean another one (RFC 3986 5.2.4).
fn without_dots(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pur_25_only_locations_of_the_same_origin_are_followed() {
        let base = Url::new("example.com", "/a/b?c");
        let url = |location| same_origin_url(location, &base).map(|url| url.as_str().to_owned());
        for (location, named) in [
            ("/x?y", "example.com/x?y"),
            ("x", "example.com/a/x"),
            ("x#f", "example.com/a/x"),
            ("./x/.", "example.com/a/x/"),
            ("../x?y=../z", "example.com/x?y=../z"),
            ("../../../x", "example.com/x"),
            ("/a/../x", "example.com/x"),
            ("/a/..", "example.com/"),
            ("?y", "example.com/a/b?y"),
            ("", "example.com/a/b?c"),
            ("#f", "example.com/a/b?c"),
            ("https://EXAMPLE.com:443/x#f", "example.com/x"),
            ("HTTP://example.com", "example.com/"),
            ("http://example.com?y", "example.com/?y"),
            ("//example.com/x", "example.com/x"),
            ("//EXAMPLE.COM./x", "example.com/x"),
            ("x/a:b", "example.com/a/x/a:b"),
            ("./a:b", "example.com/a/a:b"),
        ] {
            assert_eq!(url(location).as_deref(), Some(named), "{location}");
        }
        for location in [
            "https://other/x",
            "//other/x",
            "http://example.com:8080/x",
            "ftp://example.com/x",
            "mailto:x",
            "http:x",
        ] {
            assert_eq!(url(location), None, "{location}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_says_it_names_a_path_of_that_host(location in "[a./?#:]{0,12}") {
            let base = Url::new("h", "/a/b/c");
            if let Some(url) = same_origin_url(&location, &base) {
                prop_assert_eq!(url.host(), "h");
                let path = url.as_str().split('?').next().unwrap_or_default();
                prop_assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{}", path);
            }
        }
    }
}

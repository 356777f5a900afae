//! What belongs to GRIP among headers, and what this edge says it can do.

use http::{HeaderMap, HeaderName};

#[cfg(feature = "hold")]
use super::json::is_instruct;

/// The value of `Grip-Feature` that the edge sends to origins: what it acts on. Links and filters are read, but
/// not acted on, so they are not named.
pub const FEATURES: &str = "status";

/// Whether the map has a header whose name starts with `Grip-`. Allocates nothing.
pub fn has_grip(headers: &HeaderMap) -> bool {
    headers.keys().any(is_grip)
}

/// Whether there is anything of GRIP in a response with these headers, be it in them or in its body.
#[cfg(feature = "hold")]
pub(crate) fn speaks(headers: &HeaderMap) -> bool {
    headers.iter().any(|(name, value)| {
        if *name == http::header::CONTENT_TYPE {
            is_instruct(value)
        } else {
            is_grip(name)
        }
    })
}

/// Removes every header whose name starts with `Grip-`. Allocates nothing where there is none.
pub fn strip(headers: &mut HeaderMap) {
    if !has_grip(headers) {
        return;
    }
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_grip(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether a name starts with `Grip-`. Names are in lower case.
pub(crate) fn is_grip(name: &HeaderName) -> bool {
    name.as_str().starts_with("grip-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn i15_unknown_grip_headers_are_stripped_and_nothing_else() {
        let mut headers = HeaderMap::new();
        for name in [
            "Grip-Foo",
            "GRIP-HOLD",
            "grip-channel",
            "x-grip-foo",
            "gripe",
            "etag",
        ] {
            let name: HeaderName = name.parse().unwrap();
            headers.append(&name, HeaderValue::from_static("1"));
            headers.append(&name, HeaderValue::from_static("2"));
        }
        assert!(has_grip(&headers));
        strip(&mut headers);
        assert!(!has_grip(&headers));
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["etag", "gripe", "x-grip-foo"]);
        assert_eq!(headers.len(), 6);
    }
}

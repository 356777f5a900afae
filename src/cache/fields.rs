//! Which fields a request has that a cache minds: found in one look through them, for most have none.

use http::{HeaderMap, HeaderValue};

use super::unkeyed::{is_keyed, is_removed};
use crate::grip;

/// Kinds of fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fields(u8);

// === impl Fields ===

impl Fields {
    pub(super) const NONE: Self = Self(0);
    /// Another protocol is asked for.
    pub(super) const UPGRADE: Self = Self(1);
    /// `If-None-Match` or `If-Modified-Since`.
    pub(super) const CONDITION: Self = Self(2);
    /// `Cache-Control` or `Authorization`.
    pub(super) const LIMIT: Self = Self(4);
    /// Part of the key without being named by `Vary`.
    pub(super) const KEYED: Self = Self(8);
    /// Removed before a request goes forward.
    pub(super) const REMOVED: Self = Self(16);
    /// Named `Grip-*`.
    pub(super) const GRIP: Self = Self(32);
    /// More than one `Host`.
    pub(super) const HOSTS: Self = Self(64);
    /// `Range`.
    pub(super) const RANGE: Self = Self(128);

    /// The kinds of fields that a request has, and its (first) `Host`.
    pub(super) fn of(request: &HeaderMap) -> (Self, Option<&HeaderValue>) {
        let mut host = None;
        let mut all = 0;
        for (name, value) in request {
            let text = name.as_str();
            // No name is empty.
            let kind = match text.as_bytes()[0] {
                b'h' if text == "host" => match host.replace(value) {
                    Some(first) => {
                        host = Some(first);
                        Self::HOSTS
                    }
                    None => Self::NONE,
                },
                b'u' if text == "upgrade" => Self::UPGRADE,
                b'i' if text == "if-none-match" || text == "if-modified-since" => Self::CONDITION,
                b'r' if text == "range" => Self::RANGE,
                b'c' if text == "cache-control" => Self::LIMIT,
                b'a' if text == "authorization" => Self::LIMIT,
                b'x' | b'f' if is_keyed(name) => Self::KEYED,
                b'x' | b'f' if is_removed(name) => Self::REMOVED,
                b'g' if grip::is_grip(name) => Self::GRIP,
                _ => Self::NONE,
            };
            all |= kind.0;
        }
        (Self(all), host)
    }

    pub(super) fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    #[test]
    fn each_kind_is_found_among_others() {
        let fields = |names: &[&'static str]| {
            let field =
                |name: &&'static str| (http::HeaderName::from_static(name), "1".parse().expect("valid"));
            Fields::of(&names.iter().map(field).collect()).0
        };
        for (name, kind) in [
            ("upgrade", Fields::UPGRADE),
            ("if-none-match", Fields::CONDITION),
            ("if-modified-since", Fields::CONDITION),
            ("range", Fields::RANGE),
            ("cache-control", Fields::LIMIT),
            ("authorization", Fields::LIMIT),
            ("x-forwarded-host", Fields::KEYED),
            ("front-end-https", Fields::KEYED),
            ("forwarded", Fields::REMOVED),
            ("x-original-url", Fields::REMOVED),
            ("grip-hold", Fields::GRIP),
        ] {
            assert_eq!(fields(&["host", name, "accept"]), kind, "{name}");
        }
        let none = fields(&[
            "host",
            "accept",
            "from",
            "x-forwarded-for",
            "if-match",
            "x-custom",
            "gripe",
        ]);
        assert_eq!(none, Fields::NONE);
    }

    #[test]
    fn a_second_host_is_noticed() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, "a".parse().expect("valid"));
        let first = |headers: &HeaderMap| Fields::of(headers).1.cloned();
        assert_eq!(first(&headers).expect("there is one"), "a");
        assert!(!Fields::of(&headers).0.has(Fields::HOSTS));
        headers.append(HOST, "b".parse().expect("valid"));
        assert_eq!(first(&headers).expect("there is one"), "a");
        assert!(Fields::of(&headers).0.has(Fields::HOSTS));
    }
}

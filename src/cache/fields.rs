//! Which fields a request has that a cache minds: found in one look through their names, for most have none.

use http::HeaderMap;

use super::unkeyed::{is_keyed, is_removed};

/// Kinds of fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fields(u8);

// === impl Fields ===

impl Fields {
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

    pub(super) fn of(request: &HeaderMap) -> Self {
        let kind = |name: &http::HeaderName| match name.as_str().as_bytes() {
            b"upgrade" => Self::UPGRADE,
            b"if-none-match" | b"if-modified-since" => Self::CONDITION,
            b"cache-control" | b"authorization" => Self::LIMIT,
            [b'x' | b'f', ..] if is_keyed(name) => Self::KEYED,
            [b'x' | b'f', ..] if is_removed(name) => Self::REMOVED,
            _ => Self(0),
        };
        request
            .keys()
            .map(kind)
            .fold(Self(0), |all, kind| Self(all.0 | kind.0))
    }

    pub(super) fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_among_others() {
        let fields = |names: &[&'static str]| {
            let field =
                |name: &&'static str| (http::HeaderName::from_static(name), "1".parse().expect("valid"));
            Fields::of(&names.iter().map(field).collect())
        };
        for (name, kind) in [
            ("upgrade", Fields::UPGRADE),
            ("if-none-match", Fields::CONDITION),
            ("if-modified-since", Fields::CONDITION),
            ("cache-control", Fields::LIMIT),
            ("authorization", Fields::LIMIT),
            ("x-forwarded-host", Fields::KEYED),
            ("front-end-https", Fields::KEYED),
            ("forwarded", Fields::REMOVED),
            ("x-original-url", Fields::REMOVED),
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
        ]);
        assert_eq!(none, Fields(0));
    }
}

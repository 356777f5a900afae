//! Validators and conditions (RFC 9110 8.8, 13; RFC 9111 4.3).

use std::time::SystemTime;

use http::header::{
    CONTENT_LOCATION, DATE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::date::parse_http_date;
use super::list::trim;
use super::vary::VarySpec;

/// Fields with which a client makes its request conditional, or asks for a part.
const CONDITIONALS: [HeaderName; 6] = [
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_MATCH,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
    RANGE,
];

/// What identifies a representation: at least one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    /// `ETag` with its exact bytes, well-formed or not.
    pub(crate) etag: Option<HeaderValue>,
    /// `Last-Modified` with its exact bytes.
    pub(crate) last_modified: Option<HeaderValue>,
}

/// An entity tag (RFC 9110 8.8.3).
#[derive(Clone, Copy, PartialEq, Eq)]
struct EntityTag<'a> {
    weak: bool,
    /// With its quotes.
    opaque: &'a [u8],
}

// === impl Validators ===

impl Validators {
    /// Of a response; `None` if it has none.
    pub(crate) fn of(response: &HeaderMap) -> Option<Self> {
        let validators = Self {
            etag: response.get(ETAG).cloned(),
            last_modified: response.get(LAST_MODIFIED).cloned(),
        };
        let any = validators.etag.is_some() || validators.last_modified.is_some();
        any.then_some(validators)
    }

    /// Whether equal means equal byte by byte (RFC 9110 8.8.1). Only a well-formed entity tag without `W/` is taken for
    /// strong; a `Last-Modified` never is, for two changes fit into one second.
    pub(crate) fn is_strong(&self) -> bool {
        self.etag
            .as_ref()
            .and_then(EntityTag::of)
            .is_some_and(|tag| !tag.weak)
    }

    /// Makes a request validate this: `If-None-Match` with the entity tag, or, only if there is none,
    /// `If-Modified-Since`. Replaces what the request had of the two.
    pub(crate) fn conditional_headers(&self, request: &mut HeaderMap) {
        request.remove(IF_NONE_MATCH);
        request.remove(IF_MODIFIED_SINCE);
        if let Some(etag) = &self.etag {
            request.insert(IF_NONE_MATCH, etag.clone());
        } else if let Some(last_modified) = &self.last_modified {
            request.insert(IF_MODIFIED_SINCE, last_modified.clone());
        }
    }

    /// Whether a 304 that answers [`conditional_headers`](Self::conditional_headers) is about this response (RFC 9111
    /// 4.3.4). If not, nothing may be updated, and the way on is an unconditional request.
    ///
    /// A strong tag must be this strong one; a weak one must match weakly; without a tag, `Last-Modified` must be the
    /// same. A 304 without any validator is taken for what it answers: we asked about one response only. (RFC 9111
    /// demands that the stored one lacks validators as well; servers that leave them out of a 304 are common,
    /// and each revalidation would cost two requests.)
    pub(crate) fn selects(&self, from_304: &HeaderMap) -> bool {
        if let Some(etag) = from_304.get(ETAG) {
            let Some(stored) = &self.etag else {
                return false;
            };
            return match (EntityTag::of(stored), EntityTag::of(etag)) {
                (Some(stored), Some(new)) if new.weak => stored.opaque == new.opaque,
                (Some(stored), Some(new)) => stored == new,
                // Malformed, but the same bytes that we sent.
                _ => stored == etag,
            };
        }
        match (from_304.get(LAST_MODIFIED), &self.last_modified) {
            (Some(new), Some(stored)) => new == stored,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }
}

/// Whether a client has what is stored, so that 304 answers it. To be asked only for GET and HEAD, and where 200 would
/// be the answer otherwise (RFC 9110 13.2.1).
///
/// `If-None-Match` compares weakly and makes `If-Modified-Since` void. That compares with `Last-Modified`, else with
/// `Date`, else with the time of receipt; several of it, or one that is no date, count as none. `If-Match` and
/// `If-Unmodified-Since` are not for caches.
pub(crate) fn is_not_modified(request: &HeaderMap, stored: &HeaderMap, received: SystemTime) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let stored = stored.get(ETAG).and_then(EntityTag::of);
        return request.get_all(IF_NONE_MATCH).iter().any(|line| {
            trim(line.as_bytes()) == b"*"
                || stored.is_some_and(|stored| {
                    EntityTags::of(line.as_bytes()).any(|tag| tag.opaque == stored.opaque)
                })
        });
    }
    let date = |value: &HeaderValue| parse_http_date(value.as_bytes(), received);
    let mut lines = request.get_all(IF_MODIFIED_SINCE).iter();
    let (Some(since), None) = (lines.next().and_then(date), lines.next()) else {
        return false;
    };
    let modified = [LAST_MODIFIED, DATE]
        .iter()
        .find_map(|name| stored.get(name).and_then(date))
        .unwrap_or(received);
    modified <= since
}

/// The stored fields that go into a 304 made from them (RFC 9110 15.4.5): all but those about the content.
/// `Content-Location` stays, and `Last-Modified` if there is no `ETag`.
pub(crate) fn not_modified_headers(stored: &HeaderMap) -> HeaderMap {
    let has_etag = stored.contains_key(ETAG);
    let mut headers = HeaderMap::with_capacity(stored.keys_len());
    for (name, value) in stored {
        let about_content = name.as_str().starts_with("content-") && *name != CONTENT_LOCATION;
        if about_content || (*name == LAST_MODIFIED && has_etag) {
            continue;
        }
        headers.append(name.clone(), value.clone());
    }
    headers
}

/// Takes the client's conditions and `Range` out of a request that is to fill the cache, except those that are part of
/// the key because `keyed`, the `Vary` known for it, names them.
pub(crate) fn strip_client_conditionals(request: &mut HeaderMap, keyed: &VarySpec) {
    for name in CONDITIONALS.iter().filter(|name| !keyed.contains(name)) {
        request.remove(name);
    }
}

// === impl EntityTag ===

impl<'a> EntityTag<'a> {
    /// A value that is one well-formed tag.
    fn of(value: &'a HeaderValue) -> Option<Self> {
        match Self::split(trim(value.as_bytes()))? {
            (tag, []) => Some(tag),
            _ => None,
        }
    }

    /// The tag at the start of these bytes, and the rest. Tags know no escapes.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match bytes.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, bytes),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let length = inner
            .iter()
            .position(|byte| !matches!(byte, 0x21 | 0x23..=0x7e | 0x80..))?;
        (inner[length] == b'"').then(|| {
            let (opaque, rest) = quoted.split_at(length + 2);
            (Self { weak, opaque }, rest)
        })
    }
}

/// The well-formed tags of a list. What is malformed ends at the next comma.
struct EntityTags<'a>(&'a [u8]);

// === impl EntityTags ===

impl<'a> EntityTags<'a> {
    fn of(line: &'a [u8]) -> Self {
        Self(line)
    }
}

impl<'a> Iterator for EntityTags<'a> {
    type Item = EntityTag<'a>;

    fn next(&mut self) -> Option<EntityTag<'a>> {
        loop {
            while let [b' ' | b'\t' | b',', rest @ ..] = self.0 {
                self.0 = rest;
            }
            if self.0.is_empty() {
                return None;
            }
            let tag = EntityTag::split(self.0);
            let after = tag.map_or(self.0, |(_, rest)| rest);
            let comma = after.iter().position(|&byte| byte == b',').unwrap_or(after.len());
            self.0 = &after[comma..];
            if let Some((tag, _)) = tag
                && trim(&after[..comma]).is_empty()
            {
                return Some(tag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn received() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_794_700_800)
    }

    fn not_modified(request: &[(&'static str, &str)], stored: &[(&'static str, &str)]) -> bool {
        is_not_modified(&headers(request), &headers(stored), received())
    }

    fn validators(lines: &[(&'static str, &str)]) -> Validators {
        Validators::of(&headers(lines)).unwrap()
    }

    #[test]
    fn strong_validators() {
        assert!(validators(&[("etag", "\"a\"")]).is_strong());
        assert!(validators(&[("etag", "\"\"")]).is_strong());
        for weak in ["W/\"a\"", "a", "w/\"a\"", "\"a", "\"a\" b", "\"a b\"", ""] {
            assert!(!validators(&[("etag", weak)]).is_strong(), "{weak}");
        }
        assert!(
            !validators(&[("last-modified", OLD), ("date", "Mon, 07 Nov 1994 08:49:37 GMT")]).is_strong()
        );
        assert_eq!(Validators::of(&HeaderMap::new()), None);
    }

    #[test]
    fn u02_the_exact_entity_tag_else_last_modified() {
        for etag in ["\"a\"", "W/\"a\"", "unquoted", "\"\u{fc}\""] {
            let mut request = headers(&[("if-none-match", "\"client\""), ("if-modified-since", NEW)]);
            validators(&[("etag", etag), ("last-modified", OLD)]).conditional_headers(&mut request);
            assert_eq!(request, headers(&[("if-none-match", etag)]));
        }
        let mut request = HeaderMap::new();
        validators(&[("last-modified", "whatever it says")]).conditional_headers(&mut request);
        assert_eq!(request, headers(&[("if-modified-since", "whatever it says")]));
    }

    #[test]
    fn org_08_u03_a_304_must_be_about_what_is_stored() {
        let strong = validators(&[("etag", "\"a\""), ("last-modified", OLD)]);
        let weak = validators(&[("etag", "W/\"a\"")]);
        let dated = validators(&[("last-modified", OLD)]);
        let odd = validators(&[("etag", "a")]);
        let selects =
            |validators: &Validators, lines: &[(&'static str, &str)]| validators.selects(&headers(lines));
        assert!(selects(&strong, &[("etag", "\"a\"")]));
        assert!(selects(&strong, &[("etag", "\"a\""), ("last-modified", NEW)]));
        assert!(selects(&strong, &[("etag", "W/\"a\"")]));
        assert!(selects(&strong, &[("last-modified", OLD)]));
        assert!(selects(&strong, &[]));
        assert!(!selects(&strong, &[("etag", "\"b\"")]));
        assert!(!selects(&strong, &[("etag", "W/\"b\"")]));
        assert!(!selects(&strong, &[("last-modified", NEW)]));
        assert!(!selects(&strong, &[("etag", "a")]));
        assert!(selects(&weak, &[("etag", "W/\"a\"")]));
        assert!(!selects(&weak, &[("etag", "\"a\"")]));
        assert!(!selects(&weak, &[("last-modified", OLD)]));
        assert!(selects(&dated, &[("last-modified", OLD)]));
        assert!(selects(&dated, &[]));
        assert!(!selects(&dated, &[("last-modified", NEW)]));
        assert!(!selects(&dated, &[("etag", "\"a\"")]));
        assert!(selects(&odd, &[("etag", "a")]));
        assert!(!selects(&odd, &[("etag", "b")]));
    }

    #[test]
    fn r03_if_none_match_compares_weakly() {
        let stored = |etag| [("etag", etag)];
        assert!(not_modified(
            &[("if-none-match", "\"abcdef\"")],
            &stored("\"abcdef\"")
        ));
        assert!(not_modified(
            &[("if-none-match", "W/\"abcdef\"")],
            &stored("\"abcdef\"")
        ));
        assert!(not_modified(
            &[("if-none-match", "\"abcdef\"")],
            &stored("W/\"abcdef\"")
        ));
        assert!(not_modified(
            &[("if-none-match", "\"abc\u{fc}\"")],
            &stored("\"abc\u{fc}\"")
        ));
        assert!(!not_modified(
            &[("if-none-match", "\"abcdeg\"")],
            &stored("\"abcdef\"")
        ));
        assert!(!not_modified(
            &[("if-none-match", "\"abcdef\"")],
            &[("last-modified", OLD)]
        ));
    }

    #[test]
    fn r03_if_none_match_is_a_list_over_lines() {
        let stored = [("etag", "\"abcdef\"")];
        for list in [
            "\"abcdef\", \"1234\", \"5678\"",
            "\"1234\",\"abcdef\",\"5678\"",
            "\"1234\", \"5678\", \"abcdef\"",
            ", ,\"abcdef\",",
            "junk, \"abcdef\"",
            "\"abcdef\", \"unclosed",
            "\"1234\" junk, \"abcdef\"",
        ] {
            assert!(not_modified(&[("if-none-match", list)], &stored), "{list}");
        }
        let lines = [("if-none-match", "\"1234\""), ("if-none-match", "\"abcdef\"")];
        assert!(not_modified(&lines, &stored));
        assert!(not_modified(
            &[("if-none-match", "\"a,b\"")],
            &[("etag", "\"a,b\"")]
        ));
        assert!(not_modified(
            &[("if-none-match", "\"a\\\", \"b\"")],
            &[("etag", "\"b\"")]
        ));
        assert!(!not_modified(&[("if-none-match", "\"x, abcdef\"")], &stored));
    }

    #[test]
    fn r03_star_matches_all_and_malformed_tags_match_nothing() {
        assert!(not_modified(&[("if-none-match", " * ")], &[]));
        assert!(!not_modified(
            &[("if-none-match", "abcdef")],
            &[("etag", "\"abcdef\"")]
        ));
        assert!(!not_modified(
            &[("if-none-match", "\"abcdef\"")],
            &[("etag", "abcdef")]
        ));
        for odd in ["abcdef", "w/\"a\"", "W\\\"a\"", "W\"a\"", "\"a"] {
            assert!(
                !not_modified(&[("if-none-match", odd)], &[("etag", odd)]),
                "{odd}"
            );
        }
    }

    #[test]
    fn r04_if_none_match_takes_precedence() {
        let stored = [("etag", "\"a\""), ("last-modified", OLD)];
        assert!(!not_modified(
            &[("if-none-match", "\"b\""), ("if-modified-since", NEW)],
            &stored
        ));
        let newer = [("etag", "\"a\""), ("last-modified", NEW)];
        assert!(not_modified(
            &[("if-none-match", "\"a\""), ("if-modified-since", OLD)],
            &newer
        ));
    }

    #[test]
    fn r04_if_modified_since() {
        assert!(not_modified(
            &[("if-modified-since", OLD)],
            &[("last-modified", OLD)]
        ));
        assert!(not_modified(
            &[("if-modified-since", NEW)],
            &[("last-modified", OLD)]
        ));
        assert!(!not_modified(
            &[("if-modified-since", OLD)],
            &[("last-modified", NEW)]
        ));
        // Without Last-Modified, or with a bad one: Date, then the time of receipt.
        assert!(not_modified(&[("if-modified-since", NEW)], &[("date", OLD)]));
        assert!(!not_modified(&[("if-modified-since", OLD)], &[("date", NEW)]));
        assert!(!not_modified(
            &[("if-modified-since", OLD)],
            &[("last-modified", "0"), ("date", NEW)]
        ));
        assert!(!not_modified(&[("if-modified-since", NEW)], &[]));
        assert!(not_modified(
            &[("if-modified-since", "Thu, 18 Aug 2050 02:01:18 GMT")],
            &[]
        ));
        for ignored in [
            &[("if-modified-since", "yesterday")][..],
            &[("if-modified-since", NEW); 2],
            &[],
        ] {
            assert!(!not_modified(ignored, &[("last-modified", OLD)]), "{ignored:?}");
        }
    }

    #[test]
    fn if_match_is_not_for_caches() {
        assert!(!not_modified(
            &[("if-match", "\"a\""), ("if-unmodified-since", OLD)],
            &[("etag", "\"a\"")]
        ));
    }

    #[test]
    fn r05_fields_of_a_304() {
        let stored = headers(&[
            ("cache-control", "max-age=60"),
            ("content-type", "text/html"),
            ("content-length", "7"),
            ("content-encoding", "br"),
            ("content-language", "en"),
            ("content-location", "/x"),
            ("date", OLD),
            ("etag", "\"a\""),
            ("last-modified", OLD),
            ("expires", NEW),
            ("vary", "a"),
            ("vary", "b"),
            ("access-control-allow-origin", "*"),
        ]);
        let made = not_modified_headers(&stored);
        let names: Vec<&str> = made.keys().map(HeaderName::as_str).collect();
        let expected = [
            "cache-control",
            "content-location",
            "date",
            "etag",
            "expires",
            "vary",
            "access-control-allow-origin",
        ];
        assert_eq!(names, expected);
        assert_eq!(made.get_all("vary").iter().count(), 2);
        assert!(not_modified_headers(&headers(&[("last-modified", OLD)])).contains_key(LAST_MODIFIED));
    }

    #[test]
    fn r06_conditions_are_taken_out_of_a_fill() {
        let lines = [
            ("if-none-match", "\"a\""),
            ("if-modified-since", OLD),
            ("if-match", "\"a\""),
            ("if-unmodified-since", OLD),
            ("if-range", "\"a\""),
            ("range", "bytes=0-1"),
            ("accept", "*/*"),
        ];
        let mut request = headers(&lines);
        strip_client_conditionals(&mut request, &VarySpec::default());
        assert_eq!(request, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn v05_what_vary_names_is_forwarded() {
        let mut request = headers(&[
            ("if-none-match", "\"a\""),
            ("if-modified-since", OLD),
            ("range", "bytes=0-1"),
        ]);
        let vary = VarySpec::of(&headers(&[("vary", "If-None-Match")]));
        strip_client_conditionals(&mut request, &vary);
        assert_eq!(request, headers(&[("if-none-match", "\"a\"")]));
    }

    proptest! {
        #[test]
        fn any_condition_is_read_without_panic(
            condition in proptest::collection::vec(any::<u8>(), 0..60),
            etag in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut request = HeaderMap::new();
            let mut stored = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&condition) {
                request.insert(IF_NONE_MATCH, value);
            }
            if let Ok(value) = HeaderValue::from_bytes(&etag) {
                stored.insert(ETAG, value.clone());
                stored.insert(LAST_MODIFIED, value);
            }
            is_not_modified(&request, &stored, received());
            if let Some(validators) = Validators::of(&stored) {
                prop_assert!(validators.selects(&stored), "a 304 with the same fields");
                validators.conditional_headers(&mut request);
                // What we send matches what we have, if it is well-formed.
                if validators.is_strong() {
                    prop_assert!(is_not_modified(&request, &stored, received()));
                }
            }
        }

        #[test]
        fn tags_are_found_in_any_list(
            list in "([Ww]?/?\"[!#-~]{0,5}\"?|[a-z*]{0,3}|[, ]{1,3}){0,8}",
        ) {
            let request = headers(&[("if-none-match", &format!("{list},, \"needle\""))]);
            is_not_modified(&request, &headers(&[("etag", "\"needle\"")]), received());
        }
    }
}

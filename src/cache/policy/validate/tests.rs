//! Conditions of clients, and of our own requests.

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
    Validators::of(&headers(lines), received()).unwrap()
}

#[test]
fn strong_validators() {
    assert!(validators(&[("etag", "\"a\"")]).is_strong());
    assert!(validators(&[("etag", "\"\"")]).is_strong());
    for weak in ["W/\"a\"", "a", "w/\"a\"", "\"a", "\"a\" b", "\"a b\"", ""] {
        assert!(!validators(&[("etag", weak)]).is_strong(), "{weak}");
    }
    assert!(!validators(&[("last-modified", OLD), ("date", "Mon, 07 Nov 1994 08:49:37 GMT")]).is_strong());
    assert_eq!(Validators::of(&HeaderMap::new(), received()), None);
}

#[test]
fn rule_u2_the_exact_entity_tag_else_last_modified() {
    for etag in ["\"a\"", "W/\"a\"", "unquoted", "\"\u{fc}\""] {
        let mut request = headers(&[("if-none-match", "\"client\""), ("if-modified-since", NEW)]);
        validators(&[("etag", etag), ("last-modified", OLD)]).conditional_headers(&mut request);
        assert_eq!(request, headers(&[("if-none-match", etag)]));
    }
    // As it is written, if it is a date.
    let obsolete = "Sunday, 06-Nov-94 08:49:37 GMT";
    let mut request = HeaderMap::new();
    validators(&[("last-modified", obsolete)]).conditional_headers(&mut request);
    assert_eq!(request, headers(&[("if-modified-since", obsolete)]));
    let none = |lines: &[(&'static str, &str)]| Validators::of(&headers(lines), received()).is_none();
    assert!(none(&[("last-modified", "whatever it says")]));
}

/// Rule C3: two values of one second have one date.
#[test]
fn rule_u2_a_date_that_does_not_tell_it_from_others_validates_nothing() {
    let of = |lines: &[(&'static str, &str)]| Validators::of(&headers(lines), received());
    assert!(of(&[("last-modified", OLD), ("date", OLD)]).is_none());
    assert!(of(&[("last-modified", OLD), ("date", NEW)]).is_some());
    let tagged = of(&[("last-modified", OLD), ("date", OLD), ("etag", "\"a\"")]);
    assert_eq!(tagged.expect("it has a tag").last_modified, None);
}

#[test]
fn org_08_u3_a_304_must_be_about_what_is_stored() {
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
    assert!(
        selects(&weak, &[("last-modified", OLD)]),
        "that of its own second is not kept"
    );
    assert!(selects(&dated, &[("last-modified", OLD)]));
    assert!(selects(&dated, &[]));
    assert!(!selects(&dated, &[("last-modified", NEW)]));
    assert!(!selects(&dated, &[("etag", "\"a\"")]));
    assert!(selects(&odd, &[("etag", "a")]));
    assert!(!selects(&odd, &[("etag", "b")]));
}

#[test]
fn rule_r3_if_none_match_compares_weakly() {
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
fn rule_r3_if_none_match_is_a_list_over_lines() {
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
fn rule_r3_star_matches_all_and_malformed_tags_match_nothing() {
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
fn rule_r4_if_none_match_takes_precedence() {
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
fn rule_r4_if_modified_since() {
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
fn rule_r5_fields_of_a_304() {
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
fn rule_r6_conditions_are_taken_out_of_a_fill() {
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
fn rule_v5_what_vary_names_is_forwarded() {
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
        if let Some(validators) = Validators::of(&stored, received()) {
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

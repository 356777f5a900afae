//! Which variant a request gets.

use proptest::prelude::*;

use super::*;

fn spec(lines: &[&str]) -> VarySpec {
    VarySpec::of(&headers(
        &lines.iter().map(|line| ("vary", *line)).collect::<Vec<_>>(),
    ))
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

/// Whether two requests want the same variant of a response that varies by this field.
fn same(name: &'static str, a: &[&str], b: &[&str]) -> bool {
    let hasher = VariantHasher::default();
    let key = |values: &[&str]| {
        let lines: Vec<_> = values.iter().map(|value| (name, *value)).collect();
        spec(&[name]).variant_key(&headers(&lines), &hasher).unwrap()
    };
    key(a) == key(b)
}

#[test]
fn rule_v1_names_are_lower_case_and_once() {
    let spec = spec(&["Foo, accept", "BAR,foo, ,"]);
    assert_eq!(spec.names(), ["accept", "bar", "foo"]);
    assert!(spec.contains(&ACCEPT) && !spec.contains(&ACCEPT_ENCODING));
}

#[test]
fn the_order_of_names_means_nothing() {
    assert_eq!(spec(&["a, b"]), spec(&["B", "A"]));
}

#[test]
fn a_star_anywhere_is_a_star() {
    for lines in [
        &["*"][..],
        &["*, *"],
        &[", *"],
        &["foo, *"],
        &["*, foo"],
        &["foo", "*"],
        &["", "*"],
    ] {
        let spec = spec(lines);
        assert!(spec.is_star(), "{lines:?}");
        assert_eq!(
            spec.variant_key(&HeaderMap::new(), &VariantHasher::default()),
            None
        );
    }
    assert!(!spec(&["x*"]).is_star());
}

#[test]
fn poi_11_signatures_make_no_variants() {
    let spec = spec(&["Grip-Sig, Accept, grip-feature"]);
    assert_eq!(spec.names(), ["accept"]);
    let hasher = VariantHasher::default();
    let key = |token: &str| spec.variant_key(&headers(&[("grip-sig", token)]), &hasher);
    assert_eq!(key("one"), key("two"));
}

#[test]
fn keys_differ_by_every_named_field_and_by_no_other() {
    let spec = spec(&["foo, bar"]);
    let hasher = VariantHasher::default();
    let key = |lines: &[(&'static str, &str)]| spec.variant_key(&headers(lines), &hasher);
    let base = key(&[("foo", "1"), ("bar", "2")]);
    assert_eq!(base, key(&[("bar", "2"), ("other", "3"), ("foo", "1")]));
    assert_ne!(base, key(&[("foo", "1"), ("bar", "3")]));
    assert_ne!(base, key(&[("foo", "2"), ("bar", "1")]));
    assert_ne!(base, key(&[("foo", "1")]));
    assert_eq!(key(&[("foo", "1")]), key(&[("foo", "1"), ("other", "3")]));
    // Nor do names and values run into each other.
    assert_ne!(
        super::VarySpec::of(&headers(&[("vary", "a")])).variant_key(&headers(&[("a", "b")]), &hasher),
        super::VarySpec::of(&headers(&[("vary", "ab")])).variant_key(&headers(&[("ab", "")]), &hasher),
    );
}

#[test]
fn rule_v1_absent_differs_from_empty() {
    for name in [
        "foo",
        "accept",
        "accept-language",
        "accept-encoding",
        "if-none-match",
    ] {
        assert!(!same(name, &[], &[""]), "{name}");
        assert!(same(name, &[], &[]), "{name}");
    }
}

#[test]
fn rule_v3_what_is_not_known_is_told_apart_by_each_byte() {
    assert!(same("foo", &["1, 2", "3"], &["1, 2", "3"]));
    assert!(!same("foo", &["1,2"], &["1, 2"]));
    assert!(same("foo", &["1, 2"], &["1", "2"]));
    assert!(!same("foo", &["1,2"], &["1", "2"]));
    assert!(!same("foo", &["1, 2"], &["2, 1"]));
    assert!(!same("foo", &["1,2"], &["12"]));
    assert!(!same("foo", &["a b"], &["ab"]));
    assert!(!same("foo", &["A"], &["a"]));
    assert!(!same("foo", &["\"a, b\""], &["\"a,b\""]));
}

#[test]
fn rule_v3_languages() {
    let same = |a: &str, b: &str| same("accept-language", &[a], &[b]);
    assert!(same("en, de", "EN,de"));
    assert!(!same("en, de", "de, en"), "the first of equals may count");
    assert!(same("en;q=1, de", "en, de;q=1.000"));
    assert!(same("en;q=0.5, de;q=0.50", "en;q=0.500, de;q=0.5"));
    assert!(same("en, de;q=0.5", "en , DE ; q=0.50"));
    assert!(!same("en, de;q=0.5", "de, en;q=0.5"));
    assert!(!same("en, de;q=0.5", "en, de;q=0.4"));
    assert!(!same("en;q=bad", "en"));
    assert!(!same("en;q=bad", "en;q=worse"));
    assert!(!same("en", "en-GB"));
}

#[test]
fn rule_v3_media_types() {
    let same = |a: &str, b: &str| same("accept", &[a], &[b]);
    assert!(same("text/event-stream", "Text/Event-Stream"));
    assert!(same("text/html;level=1, */*", "text/html ; level=1,*/*"));
    assert!(!same("text/html;level=1", "text/html;level=2"));
    assert!(!same("text/html", "text/event-stream"));
}

#[test]
fn rule_g12_entity_tags_are_a_set() {
    let same = |a: &str, b: &str| same("if-none-match", &[a], &[b]);
    assert!(same("\"a\", \"b\"", "\"b\",\"a\", \"b\""));
    assert!(!same("\"a\"", "W/\"a\""));
    assert!(!same("\"a,b\"", "\"a\", \"b\""));
}

fn reduced(value: &str) -> String {
    let mut request = headers(&[("accept-encoding", value)]);
    reduce_accept_encoding(&mut request);
    request[ACCEPT_ENCODING].to_str().unwrap().to_owned()
}

#[test]
fn encodings_are_reduced_to_one() {
    for (value, coding) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP;q=0.1", "gzip"),
        ("zstd, gzip", "zstd"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.000, gzip;q=0", "identity"),
        ("*", "br"),
        ("br;q=0, *", "zstd"),
        ("*;q=0", "identity"),
        ("identity", "identity"),
        ("deflate", "identity"),
        ("br;q=nonsense", "identity"),
        ("br;q=1.1", "identity"),
        ("", "identity"),
    ] {
        assert_eq!(reduced(value), coding, "{value}");
    }
}

#[test]
fn encodings_select_the_variant_they_are_reduced_to() {
    let same = |a: &str, b: &str| same("accept-encoding", &[a], &[b]);
    assert!(same("gzip, deflate, br", "br"));
    assert!(same("", "identity"));
    assert!(!same("gzip", "br"));
}

#[test]
fn no_encoding_stays_none() {
    let mut request = HeaderMap::new();
    reduce_accept_encoding(&mut request);
    assert!(request.is_empty());
}

#[test]
fn every_process_has_its_own_keys() {
    let key = |hasher: &VariantHasher| spec(&["foo"]).variant_key(&HeaderMap::new(), hasher);
    let hasher = VariantHasher::default();
    assert_eq!(key(&hasher), key(&hasher.clone()));
    assert_ne!(key(&hasher), key(&VariantHasher::default()));
}

proptest! {
    #[test]
    fn any_request_has_a_key(
        vary in proptest::collection::vec(any::<u8>(), 0..30),
        value in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut response = headers(&[("vary", "accept, accept-language, accept-encoding, if-none-match, foo")]);
        if let Ok(vary) = HeaderValue::from_bytes(&vary) {
            response.append(VARY, vary);
        }
        let spec = VarySpec::of(&response);
        let hasher = VariantHasher::default();
        let mut request = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            for name in [ACCEPT, ACCEPT_LANGUAGE, ACCEPT_ENCODING, IF_NONE_MATCH] {
                request.insert(name, value.clone());
            }
        }
        let key = spec.variant_key(&request, &hasher);
        prop_assert_eq!(key.is_none(), spec.is_star());
        // Reducing what is forwarded does not change the variant it is for.
        reduce_accept_encoding(&mut request);
        prop_assert_eq!(key, spec.variant_key(&request, &hasher));
    }
}

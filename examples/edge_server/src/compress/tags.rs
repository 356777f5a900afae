//! Validators of the two forms: that of the compressed one is weak (RFC 9110 8.8.3).

use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

/// The compressed form is another one than that which the validator was made for.
pub(super) fn weaken(headers: &mut HeaderMap) {
    let Some(etag) = headers.get(ETAG).map(HeaderValue::as_bytes) else {
        return;
    };
    if etag.starts_with(b"W/") {
        return;
    }
    if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag].concat()) {
        headers.insert(ETAG, weak);
    }
}

/// What was weakened here comes back as it was handed out. Beside it goes the validator that it was made of, by which the
/// origin knows it: for a strong comparison (`If-Match`), and for origins that compare texts. If the origin had made the weak
/// one itself, the other one matches nothing more.
pub(super) fn understand(headers: &mut HeaderMap) {
    for name in [IF_NONE_MATCH, IF_MATCH] {
        let lines: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        let all = || lines.iter().flat_map(|line| tags(line));
        let is_there = |tag: &&[u8]| all().any(|(is_weak, other)| !is_weak && other == *tag);
        let weak = all().filter_map(|(is_weak, tag)| is_weak.then_some(tag));
        let strong: Vec<&[u8]> = weak.filter(|tag| !is_there(tag)).collect();
        if strong.is_empty() {
            continue;
        }
        let both = [lines.clone(), strong].concat().join(&b", "[..]);
        if let Ok(value) = HeaderValue::from_bytes(&both) {
            headers.insert(name, value);
        }
    }
}

/// Whether a client has the weak form of this strong validator.
pub(super) fn is_known_weak(etag: Option<&HeaderValue>, has: &[HeaderValue]) -> bool {
    let Some(etag) = etag.map(HeaderValue::as_bytes) else {
        return false;
    };
    etag.starts_with(b"\"")
        && has
            .iter()
            .any(|line| tags(line.as_bytes()).contains(&(true, etag)))
}

/// Each validator in this list: whether it is weak, and without the mark of that.
fn tags(line: &[u8]) -> Vec<(bool, &[u8])> {
    let mut tags = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let (before, tag) = rest.split_at(start);
        let Some(end) = tag[1..].iter().position(|byte| *byte == b'"') else {
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        tags.push((before.ends_with(b"W/"), tag));
        rest = after;
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_out_is_understood() {
        for (asked, understood) in [
            ("W/\"a\"", "W/\"a\", \"a\""),
            (
                "\"x\", W/\"a,b\" , W/\"c\"",
                "\"x\", W/\"a,b\" , W/\"c\", \"a,b\", \"c\"",
            ),
            ("\"a\"", "\"a\""),
            ("W/\"a\", \"a\"", "W/\"a\", \"a\""),
            ("*", "*"),
            ("W/\"a", "W/\"a"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, asked.parse().expect("valid"));
            understand(&mut headers);
            assert_eq!(headers[IF_NONE_MATCH], understood, "{asked}");
        }
    }

    #[test]
    fn only_the_weak_form_of_a_strong_one_is_known() {
        let has = [HeaderValue::from_static("\"x\", W/\"a\"")];
        let is_known = |etag| is_known_weak(Some(&HeaderValue::from_static(etag)), &has);
        assert!(is_known("\"a\""));
        assert!(!is_known("\"x\"") && !is_known("W/\"a\"") && !is_known("a"));
        assert!(!is_known_weak(None, &has));
    }
}

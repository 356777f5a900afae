//! Which header fields are forwarded, stored, and updated (RFC 9110 7.6.1, RFC 9111 3.1, 3.2).

use bytes::BytesMut;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, Entry, HeaderName, TRAILER,
};
use http::{HeaderMap, HeaderValue};

use super::directives::CacheControl;
use super::list::members;
use crate::{hop_by_hop, trailers};

/// The fields of a response that are stored, in their order, each value as it came: all but hop-by-hop fields, what
/// `Connection` lists, what `private=` or `no-cache=` names, and `Age`, which is a number by then.
///
/// Whoever else gets the response while it is not stored (those who waited for it) gets these, too. [`detach`] them
/// when nothing more is taken off.
pub(crate) fn stored_headers(response: &HeaderMap, policy: &CacheControl) -> HeaderMap {
    let mut stored = HeaderMap::with_capacity(response.keys_len());
    for name in response.keys() {
        if *name == AGE || policy.drops(name) || is_hop_by_hop(response, name) {
            continue;
        }
        for value in response.get_all(name) {
            stored.append(name.clone(), value.clone());
        }
    }
    stored
}

/// The trailer fields that others may get, too.
pub(crate) fn stored_trailers(mut trailers: HeaderMap) -> HeaderMap {
    trailers::clean(&mut trailers);
    trailers
}

/// The fields that are for one request only, because `private=` or `no-cache=` names them: what
/// [`stored_headers`] leaves out, and who asked gets all the same.
pub(crate) fn own_fields(response: &HeaderMap, policy: &CacheControl) -> HeaderMap {
    let mut own = HeaderMap::new();
    if !policy.drops_any() {
        return own;
    }
    for (name, value) in response {
        let is_of_message = *name == AGE || hop_by_hop::is_framing(name) || is_hop_by_hop(response, name);
        if policy.drops(name) && !is_of_message {
            own.append(name.clone(), value.clone());
        }
    }
    own
}

/// Moves all values into one buffer of their own, which what is taken off later stays in. As they came, each of them
/// keeps the whole buffer that its message was read into.
pub(crate) fn detach(headers: &mut HeaderMap) {
    let mut values = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    for value in headers.values() {
        values.extend_from_slice(value.as_bytes());
    }
    let mut values = values.freeze();
    for value in headers.values_mut() {
        let bytes = values.split_to(value.len());
        let mut own = HeaderValue::from_maybe_shared(bytes).expect("it was one");
        own.set_sensitive(value.is_sensitive());
        *value = own;
    }
}

/// Updates stored fields from a 304 (RFC 9111 3.2): every field of it replaces all stored values of its name. Except
/// hop-by-hop fields and `Age`, and what describes the stored body, which did not change: `Content-Length`,
/// `Content-Encoding`, `Content-Range`.
///
/// The policy of the result may name fields that must go: pass it through [`stored_headers`] once more.
pub(crate) fn merge_304(stored: &mut HeaderMap, from: &HeaderMap) {
    for name in from.keys() {
        let kept = [&AGE, &CONTENT_LENGTH, &CONTENT_ENCODING, &CONTENT_RANGE].contains(&name);
        if kept || is_hop_by_hop(from, name) {
            continue;
        }
        let mut values = from.get_all(name).iter().cloned();
        let Some(first) = values.next() else { continue };
        match stored.entry(name) {
            Entry::Occupied(mut entry) => {
                entry.insert(first);
                values.for_each(|value| entry.append(value));
            }
            Entry::Vacant(entry) => {
                let mut entry = entry.insert_entry(first);
                values.for_each(|value| entry.append(value));
            }
        }
    }
}

/// `Trailer`, too: it announces fields of the message that came, not of the one that will be served.
fn is_hop_by_hop(headers: &HeaderMap, name: &HeaderName) -> bool {
    *name == TRAILER
        || hop_by_hop::is_hop_by_hop(name)
        || members(headers.get_all(CONNECTION))
            .any(|listed| listed.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &'static [u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect()
    }

    fn stored(response: &HeaderMap) -> HeaderMap {
        stored_headers(response, &CacheControl::parse(response))
    }

    #[test]
    fn org_14_what_connection_lists_is_not_stored() {
        let response = headers(&[
            ("connection", b"close, X-Secret"),
            ("x-secret", b"1"),
            ("x-other", b"2"),
            ("connection", b"x-more"),
            ("x-more", b"3"),
        ]);
        assert_eq!(lines(&stored(&response)), [("x-other", &b"2"[..])]);
    }

    #[test]
    fn hop_by_hop_fields_and_age_are_not_stored() {
        let response = headers(&[
            ("keep-alive", b"timeout=5"),
            ("proxy-connection", b"close"),
            ("te", b"trailers"),
            ("transfer-encoding", b"chunked"),
            ("upgrade", b"h2c"),
            ("trailer", b"x"),
            ("proxy-authenticate", b"Basic"),
            ("proxy-authentication-info", b"x"),
            ("proxy-authorization", b"x"),
            ("age", b"7"),
            ("content-length", b"3"),
        ]);
        assert_eq!(lines(&stored(&response)), [("content-length", &b"3"[..])]);
    }

    #[test]
    fn order_multiplicity_and_bytes_are_kept() {
        let response = headers(&[
            ("x-b", b"1"),
            ("grip-channel", b"a; prev-id=1"),
            ("x-a", b"\xff\xfe obs-text"),
            ("grip-channel", b"b"),
            ("x-empty", b""),
            ("keep-alive", b"5"),
            ("grip-channel", b"a; prev-id=1"),
            ("x-z", b"last"),
        ]);
        let expected: [(&str, &[u8]); 7] = [
            ("x-b", b"1"),
            ("grip-channel", b"a; prev-id=1"),
            ("grip-channel", b"b"),
            ("grip-channel", b"a; prev-id=1"),
            ("x-a", b"\xff\xfe obs-text"),
            ("x-empty", b""),
            ("x-z", b"last"),
        ];
        assert_eq!(lines(&stored(&response)), expected);
    }

    #[test]
    fn qualified_fields_are_not_stored() {
        let response = headers(&[
            (
                "cache-control",
                b"max-age=60, private=\"x-user\", no-cache=\"Set-Cookie\"",
            ),
            ("x-user", b"me"),
            ("set-cookie", b"a=b"),
            ("set-cookie", b"c=d"),
            ("x-all", b"1"),
        ]);
        let stored = stored(&response);
        assert_eq!(stored.len(), 2);
        assert!(stored.contains_key("cache-control") && stored.contains_key("x-all"));
    }

    #[test]
    fn rule_u4_a_304_replaces_every_value_of_its_fields() {
        let mut stored = headers(&[
            ("x-multi", b"1"),
            ("x-multi", b"2"),
            ("x-multi", b"3"),
            ("content-type", b"text/plain"),
            ("x-old", b"kept"),
        ]);
        let from = headers(&[
            ("x-multi", b"4"),
            ("x-multi", b"5"),
            ("content-type", b"text/html"),
            ("content-foo", b"a"),
            ("x-new", b"6"),
            ("x-new", b"7"),
            ("cache-control", b"max-age=2"),
            ("set-cookie", b"a=b"),
        ]);
        merge_304(&mut stored, &from);
        let all = |name: &str| {
            stored
                .get_all(name)
                .iter()
                .map(|v| v.as_bytes())
                .collect::<Vec<_>>()
        };
        assert_eq!(all("x-multi"), [b"4", b"5"]);
        assert_eq!(all("x-new"), [b"6", b"7"]);
        assert_eq!(all("content-type"), [b"text/html"]);
        assert_eq!(all("x-old"), [b"kept"]);
        assert_eq!(all("content-foo"), [b"a"]);
        assert_eq!(all("cache-control"), [b"max-age=2"]);
        assert_eq!(stored.len(), 9);
        merge_304(&mut stored, &from);
        assert_eq!(stored.len(), 9, "twice is once");
    }

    #[test]
    fn rule_u4_a_304_does_not_touch_what_describes_the_body() {
        let mut stored = headers(&[
            ("content-length", b"36"),
            ("content-encoding", b"gzip"),
            ("content-range", b"bytes 0-1/2"),
            ("etag", b"\"1\""),
        ]);
        let before = stored.clone();
        let from = headers(&[
            ("content-length", b"10"),
            ("content-encoding", b"br"),
            ("content-range", b"bytes 1-1/2"),
            ("age", b"9"),
            ("connection", b"close, x-hop"),
            ("x-hop", b"1"),
            ("transfer-encoding", b"chunked"),
            ("etag", b"\"1\""),
        ]);
        merge_304(&mut stored, &from);
        assert_eq!(stored, before);
    }

    proptest! {
        #[test]
        fn any_connection_value_is_read_without_panic(
            value in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut response = headers(&[("x-a", b"1"), ("a", b"2")]);
                response.append(CONNECTION, value);
                let stored = stored(&response);
                prop_assert!(!stored.contains_key(CONNECTION) && stored.len() <= 2);
            }
        }
    }
}

//! Parts of a stored answer (RFC 9110 14).

use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, ETAG, EXPIRES, IF_RANGE, LAST_MODIFIED,
    RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::list::{split_once, trim};
use super::targeted::CDN_CACHE_CONTROL;
use super::validate::{Arrival, is_the_same_tag, not_modified_headers, tells_last_modified};

/// What speaks of the bytes of one message.
const OF_ALL_BYTES: [HeaderName; 2] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
];

/// What a request gets of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// From the first byte to the last one, both included.
    Bytes { first: u64, last: u64 },
    /// It asks for bytes that are not there.
    Unsatisfiable,
}

// === impl Part ===

impl Part {
    /// What a GET asks for, of a stored 200 with so many bytes. Several parts, and whatever is no range of bytes, are
    /// ignored: the whole is always right (RFC 9110 14.2).
    pub(crate) fn of(request: &HeaderMap, stored: &HeaderMap, length: u64, arrival: Arrival) -> Self {
        let mut lines = request.get_all(RANGE).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Self::Whole;
        };
        if length == 0 || !is_unchanged(request, stored, arrival) {
            return Self::Whole;
        }
        Self::of_range(line.as_bytes(), length).unwrap_or(Self::Whole)
    }

    fn of_range(line: &[u8], length: u64) -> Option<Self> {
        let (unit, set) = split_once(line, b'=');
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let mut ranges = set?
            .split(|&byte| byte == b',')
            .map(trim)
            .filter(|range| !range.is_empty());
        let (Some(range), None) = (ranges.next(), ranges.next()) else {
            return None;
        };
        let (first, last) = split_once(range, b'-');
        let last = last?;
        Some(match (first, last) {
            ([], suffix) => match position(suffix)?.min(length) {
                0 => Self::Unsatisfiable,
                suffix => Self::Bytes {
                    first: length - suffix,
                    last: length - 1,
                },
            },
            (first, last) => {
                let first = position(first)?;
                let last = match last {
                    [] => u64::MAX,
                    last => position(last)?,
                };
                match first {
                    _ if last < first => return None,
                    _ if first >= length => Self::Unsatisfiable,
                    _ => Self::Bytes {
                        first,
                        last: last.min(length - 1),
                    },
                }
            }
        })
    }
}

/// The fields of a 206: those of the whole, but for what speaks of the bytes that are sent.
pub(crate) fn part_headers(stored: &HeaderMap, first: u64, last: u64, length: u64) -> HeaderMap {
    let mut headers = stored.clone();
    for name in OF_ALL_BYTES {
        headers.remove(name);
    }
    headers.insert(CONTENT_LENGTH, (last - first + 1).into());
    headers.insert(
        CONTENT_RANGE,
        content_range(format_args!("{first}-{last}"), length),
    );
    headers
}

/// The fields of a 416: nothing about the content, and nothing that a cache might keep it for.
pub(crate) fn unsatisfiable_headers(stored: &HeaderMap, length: u64) -> HeaderMap {
    let mut headers = not_modified_headers(stored);
    for name in [ETAG, LAST_MODIFIED, EXPIRES, CONTENT_LOCATION, CDN_CACHE_CONTROL] {
        headers.remove(name);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_RANGE, content_range(format_args!("*"), length));
    headers
}

fn content_range(part: std::fmt::Arguments<'_>, length: u64) -> HeaderValue {
    let value = format!("bytes {part}/{length}");
    HeaderValue::try_from(value).expect("digits and signs")
}

/// Whether `If-Range` allows a part: it names what is stored, byte by byte (RFC 9110 13.1.5). A date is such a name only if
/// it tells the stored answer from others (8.8.2.2, rule C3).
fn is_unchanged(request: &HeaderMap, stored: &HeaderMap, arrival: Arrival) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    let Some(condition) = lines.next() else {
        return true;
    };
    if lines.next().is_some() {
        return false;
    }
    if stored
        .get(ETAG)
        .is_some_and(|etag| is_the_same_tag(condition, etag))
    {
        return true;
    }
    stored.get(LAST_MODIFIED) == Some(condition) && tells_last_modified(stored, arrival)
}

/// `1*DIGIT`. A number too large to be held is the largest.
fn position(digits: &[u8]) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    are_digits.then(|| digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Now;

    proptest! {
        #[test]
        fn a_part_lies_within_the_body(range in "(bytes=)?([0-9]{0,21}-?[0-9]{0,21},?){0,2}", length in 0..30u64) {
            let mut request = HeaderMap::new();
            request.insert(RANGE, range.parse().expect("a value"));
            if let Part::Bytes { first, last } = Part::of(&request, &HeaderMap::new(), length, Now::read().wall.into()) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}

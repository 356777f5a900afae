//! Validators and conditions (RFC 9110 8.8, 13; RFC 9111 4.3).

use std::time::{Duration, SystemTime};

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

/// When an answer came. What it says was made no later than its request left, or than its `Date` less the time that it
/// took: an application may read first, and send its head later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) received: SystemTime,
    /// How long it took, from the moment that its request left.
    pub(crate) took: Duration,
    /// A `Last-Modified` at or before this was handed out of another answer, too, as far as is known.
    pub(crate) proves_after: Option<SystemTime>,
}

/// An entity tag (RFC 9110 8.8.3).
#[derive(Clone, Copy, PartialEq, Eq)]
struct EntityTag<'a> {
    weak: bool,
    /// With its quotes.
    opaque: &'a [u8],
}

// === impl Arrival ===

impl From<SystemTime> for Arrival {
    /// It came at once.
    fn from(received: SystemTime) -> Self {
        Self {
            received,
            took: Duration::ZERO,
            proves_after: None,
        }
    }
}

// === impl Validators ===

impl Validators {
    /// Of a response that came at this moment; `None` if it has none. A `Last-Modified` that does not
    /// [tell it from others](tells_last_modified) is none: whoever asks with it would be told for ever that nothing changed.
    pub(crate) fn of(response: &HeaderMap, arrival: impl Into<Arrival>) -> Option<Self> {
        let tells = tells_last_modified(response, arrival);
        let validators = Self {
            etag: response.get(ETAG).cloned(),
            last_modified: response.get(LAST_MODIFIED).filter(|_| tells).cloned(),
        };
        let any = validators.etag.is_some() || validators.last_modified.is_some();
        any.then_some(validators)
    }

    /// The same in memory of their own: as they came they keep the buffer that their message was read into.
    pub(crate) fn detached(self) -> Self {
        let detached = |value: HeaderValue| HeaderValue::from_bytes(value.as_bytes()).expect("it was one");
        Self {
            etag: self.etag.map(detached),
            last_modified: self.last_modified.map(detached),
        }
    }

    /// Whether equal means equal byte by byte (RFC 9110 8.8.1). Only a well-formed entity tag without `W/` is taken for
    /// strong; a `Last-Modified` never is, for two changes fit into one second.
    pub(crate) fn is_strong(&self) -> bool {
        self.etag
            .as_ref()
            .and_then(EntityTag::of)
            .is_some_and(|tag| !tag.weak)
    }

    /// Whether a 304 proves that this is what the origin has now, byte by byte (rule C3): also what that carries counts.
    pub(crate) fn confirmed_strongly_by(&self, from_304: &HeaderMap) -> bool {
        let is_strong = |etag| EntityTag::of(etag).is_some_and(|tag| !tag.weak);
        self.is_strong() && from_304.get(ETAG).is_none_or(is_strong)
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
            // A date that is none of ours: it does not tell the answer from others.
            (Some(_), None) => self.etag.is_some(),
            (None, _) => true,
        }
    }
}

/// Whether a client has what is stored, so that 304 answers it. To be asked only for GET and HEAD, and where 200 would
/// be the answer otherwise (RFC 9110 13.2.1).
///
/// `If-None-Match` compares weakly and makes `If-Modified-Since` void. That compares with `Last-Modified`, if that
/// [tells one value from the next](tells_last_modified), else the whole second must have passed that the answer was modified or
/// sent in: another value of that second may be what the client has. Several of it, or one that is no date, count
/// as none. `If-Match` and `If-Unmodified-Since` are not for caches.
pub(crate) fn is_not_modified(request: &HeaderMap, stored: &HeaderMap, arrival: impl Into<Arrival>) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let stored = stored.get(ETAG).and_then(EntityTag::of);
        return request.get_all(IF_NONE_MATCH).iter().any(|line| {
            trim(line.as_bytes()) == b"*"
                || stored.is_some_and(|stored| {
                    EntityTags::of(line.as_bytes()).any(|tag| tag.opaque == stored.opaque)
                })
        });
    }
    let arrival = arrival.into();
    let date = |value: &HeaderValue| parse_http_date(value.as_bytes(), arrival.received);
    let mut lines = request.get_all(IF_MODIFIED_SINCE).iter();
    let (Some(since), None) = (lines.next().and_then(date), lines.next()) else {
        return false;
    };
    match last_modified(stored, arrival) {
        Some((modified, true)) => modified <= since,
        Some((modified, _)) => modified < since,
        None => stored.get(DATE).and_then(date).unwrap_or(arrival.received) < since,
    }
}

/// Whether a request says that its client has some value, and not which: `*`.
pub(crate) fn names_no_tag(request: &HeaderMap) -> bool {
    let mut lines = request.get_all(IF_NONE_MATCH).iter();
    lines.any(|line| trim(line.as_bytes()) == b"*")
}

/// Whether a request lists, by name, the tag of this answer: then it has the same.
pub(crate) fn names_tag_of(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(tag) = stored.get(ETAG).and_then(EntityTag::of) else {
        return false;
    };
    let mut lines = request.get_all(IF_NONE_MATCH).iter();
    lines.any(|line| EntityTags::of(line.as_bytes()).any(|named| named.opaque == tag.opaque))
}

/// Whether `Last-Modified` tells this answer from others (rule C3, RFC 9110 8.8.2.2): it was sent at least a second later.
/// Else the reader of the older of two values of one second would be told for ever that nothing changed.
pub(crate) fn tells_last_modified(response: &HeaderMap, arrival: impl Into<Arrival>) -> bool {
    last_modified(response, arrival.into()).is_some_and(|(_, tells)| tells)
}

/// When an answer was modified, if that does not [tell it from others](tells_last_modified).
pub(crate) fn ambiguous_date(response: &HeaderMap, arrival: Arrival) -> Option<SystemTime> {
    let (modified, tells) = last_modified(response, arrival)?;
    (!tells).then_some(modified)
}

/// When an answer was modified, and whether that tells it from others.
fn last_modified(response: &HeaderMap, arrival: Arrival) -> Option<(SystemTime, bool)> {
    let date = |value: &HeaderValue| parse_http_date(value.as_bytes(), arrival.received);
    let modified = response.get(LAST_MODIFIED).and_then(date)?;
    let sent = response.get(DATE).and_then(date).unwrap_or(arrival.received);
    let is_over = modified + Duration::from_secs(1) + arrival.took <= sent;
    let tells = is_over && arrival.proves_after.is_none_or(|last| modified > last);
    Some((modified, tells))
}

/// Whether both are one and the same strong entity tag (RFC 9110 8.8.3.2).
pub(super) fn is_the_same_tag(one: &HeaderValue, other: &HeaderValue) -> bool {
    EntityTag::of(one).is_some_and(|tag| !tag.weak && Some(tag) == EntityTag::of(other))
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
mod tests;

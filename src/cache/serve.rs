//! An entry as the answer to one request.

use std::sync::OnceLock;

use http::header::{AGE, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use super::dates::Dates;
use super::entry::Entry;
use super::look::Needs;
use super::policy::{
    Arrival, CacheStatus, Freshness, Part, is_not_modified, names_no_tag, not_modified_headers, part_headers,
    unsatisfiable_headers,
};
use super::resource::Resource;
use crate::body::{EdgeBody, Selected};
use crate::handoff::{ClientHasIt, Handoff, Keep};
use crate::sync::{Arc, Mutex};

/// Holds the place of our member of `Cache-Status`. No list that another cache may write looks so (RFC 9211 2).
const PLACE: &str = "-";
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The fields of a fresh hit that change only with the second: formatted once for all hits of that second.
/// Most of what is stored is never hit: then it takes no memory.
#[derive(Default)]
pub(super) struct Lines(OnceLock<Box<Mutex<Formatted>>>);

/// Which second it is, `Age` and `Cache-Status`.
type Formatted = (u64, HeaderValue, HeaderValue);

/// How an entry is given to a request.
pub(super) struct Given<'a> {
    pub(super) resource: &'a Arc<Resource>,
    pub(super) dates: &'a Dates,
    pub(super) needs: &'a Needs,
    pub(super) request: &'a HeaderMap,
    /// It has `If-None-Match` or `If-Modified-Since`.
    pub(super) asks_conditionally: bool,
    /// It has `Range`.
    pub(super) asks_for_a_part: bool,
    pub(super) now: Instant,
    /// The entry's, unless a purge has ended it.
    pub(super) freshness: &'a Freshness,
    /// `None`: a fresh hit.
    pub(super) status: Option<CacheStatus<'a>>,
    pub(super) name: &'a str,
}

impl Given<'_> {
    /// `None`, if the body can no longer be read from its beginning.
    pub(super) fn respond(self, entry: &Arc<Entry>) -> Option<Response<EdgeBody>> {
        let Self { needs, request, .. } = self;
        let head = &*entry.head;
        let has_it = self.asks_conditionally
            && head.status == StatusCode::OK
            && is_not_modified(request, &head.headers, self.arrival(entry));
        let unchanged = head.instruct_unchanged.as_ref().filter(|_| has_it);
        let instruct = unchanged.or(head.instruct.as_ref()).filter(|_| needs.by_hold);
        // A hold must have its instructions and its body: it is never told that nothing changed, nor given a part.
        let holds = instruct.is_some_and(|instruct| instruct.hold.is_some());
        let not_modified = has_it && !holds;
        let length = entry.length.get().copied();
        let mut selected = None;
        let (status, mut headers, body) = if not_modified {
            let mut headers = head.headers.clone();
            if let Some(length) = length {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            selected = Some(Selected(headers));
            (
                StatusCode::NOT_MODIFIED,
                not_modified_headers(&head.headers),
                EdgeBody::empty(),
            )
        } else if needs.is_head {
            let mut headers = head.headers.clone();
            if let Some(length) = length.filter(|_| !headers.contains_key(CONTENT_LENGTH)) {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            (head.status, headers, EdgeBody::empty())
        } else if let Some(part) = self.part(entry).filter(|_| !holds) {
            part
        } else {
            (
                head.status,
                head.headers.clone(),
                EdgeBody::from_log(&entry.body, length)?,
            )
        };
        self.write_lines(entry, &mut headers);
        let mut response = Response::new(body);
        *response.status_mut() = status;
        // What was there is empty, and to drop a map costs more than to look: it holds no memory.
        std::mem::forget(std::mem::replace(response.headers_mut(), headers));
        if let Some(selected) = selected {
            response.extensions_mut().insert(selected);
        }
        if let Some(instruct) = instruct {
            let mut handoff = Handoff::new(instruct.clone(), head.stamp);
            // While the hold lives, its URL does, and the channels that this answer names are its URL's.
            let named = head.named.clone();
            handoff.keep = Some(Keep::new(self.resource.clone(), named.map(|named| named as _)));
            response.extensions_mut().insert(handoff);
            if has_it && holds {
                let whichever = names_no_tag(request);
                response.extensions_mut().insert(ClientHasIt { whichever });
            }
        }
        Some(response)
    }

    /// When it came, and which dates prove nothing of its URL.
    fn arrival(&self, entry: &Entry) -> Arrival {
        Arrival {
            proves_after: self.dates.prove_after(self.resource),
            ..entry.head.freshness.arrival()
        }
    }

    /// What a request for a part gets, where that is not the whole. Whoever reads a body that is still arriving gets all
    /// of it.
    fn part(&self, entry: &Entry) -> Option<(StatusCode, HeaderMap, EdgeBody)> {
        if !self.asks_for_a_part || entry.head.status != StatusCode::OK {
            return None;
        }
        let chunks = entry.body.whole()?;
        let length = *entry.length.get()?;
        let head = &*entry.head;
        match Part::of(self.request, &head.headers, length, self.arrival(entry)) {
            Part::Whole => None,
            Part::Unsatisfiable => {
                let headers = unsatisfiable_headers(&head.headers, length);
                Some((StatusCode::RANGE_NOT_SATISFIABLE, headers, EdgeBody::empty()))
            }
            Part::Bytes { first, last } => {
                let headers = part_headers(&head.headers, first, last, length);
                let body = EdgeBody::part_of(chunks, first, last);
                Some((StatusCode::PARTIAL_CONTENT, headers, body))
            }
        }
    }

    /// `Age` and `Cache-Status`. Stored headers have room for both, so that this moves nothing.
    fn write_lines(&self, entry: &Entry, headers: &mut HeaderMap) {
        let age = self.freshness.age(self.now).as_secs();
        let ttl = || self.freshness.ttl(self.now);
        match &self.status {
            None => {
                let (age, status) = entry.lines.of(age, || {
                    (
                        age.into(),
                        CacheStatus::hit().name(self.name).ttl(ttl()).to_value(),
                    )
                });
                set_places(headers, age, status);
            }
            Some(status) => {
                match age {
                    0 => drop(headers.remove(AGE)),
                    _ => set_age(headers, age.into()),
                }
                set_status(headers, status.ttl(ttl()).to_value());
            }
        }
    }
}

/// Both, in one look through the fields: cheaper than two searches.
fn set_places(headers: &mut HeaderMap, age: HeaderValue, status: HeaderValue) {
    let (mut age, mut status) = (Some(age), Some(status));
    for (name, value) in headers.iter_mut() {
        if *name == AGE {
            if let Some(age) = age.take() {
                *value = age;
            }
        } else if *name == CACHE_STATUS
            && *value == PLACE
            && let Some(status) = status.take()
        {
            *value = status;
        }
    }
    if let Some(age) = age {
        headers.insert(AGE, age);
    }
    if let Some(status) = status {
        set_status(headers, status);
    }
}

/// Stored headers hold a place for it. Writing there is cheaper than an insertion, which makes room first.
fn set_age(headers: &mut HeaderMap, age: HeaderValue) {
    match headers.get_mut(AGE) {
        Some(place) => *place = age,
        None => drop(headers.insert(AGE, age)),
    }
}

/// Ours is the last member (RFC 9211 2); the stored headers hold a place for it.
fn set_status(headers: &mut HeaderMap, ours: HeaderValue) {
    match headers.get_mut(CACHE_STATUS) {
        Some(place) if *place == PLACE => *place = ours,
        _ => {
            if let http::header::Entry::Occupied(mut places) = headers.entry(CACHE_STATUS)
                && let Some(last) = places.iter_mut().last()
            {
                *last = ours;
            } else {
                headers.append(CACHE_STATUS, ours);
            }
        }
    }
}

/// Makes room for what each answer adds, and for no more: a map that grew has space to spare, its copy has none.
pub(super) fn with_places(mut headers: HeaderMap) -> HeaderMap {
    headers.insert(AGE, HeaderValue::from_static("0"));
    headers.append(CACHE_STATUS, HeaderValue::from_static(PLACE));
    headers.clone()
}

/// Takes those rooms away again.
pub(super) fn without_places(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(AGE);
    let lines: Vec<HeaderValue> = headers.get_all(CACHE_STATUS).iter().cloned().collect();
    headers.remove(CACHE_STATUS);
    for line in lines.iter().take(lines.len().saturating_sub(1)) {
        headers.append(CACHE_STATUS, line.clone());
    }
    headers
}

// === impl Lines ===

impl Lines {
    fn of(
        &self,
        second: u64,
        format: impl FnOnce() -> (HeaderValue, HeaderValue),
    ) -> (HeaderValue, HeaderValue) {
        let Some(lines) = self.0.get() else {
            let (age, status) = format();
            let lines = (second, age.clone(), status.clone());
            // Another one may have been as quick.
            let _ = self.0.set(Box::new(Mutex::new(lines)));
            return (age, status);
        };
        let mut lines = lines.lock();
        if lines.0 != second {
            let (age, status) = format();
            *lines = (second, age, status);
        }
        (lines.1.clone(), lines.2.clone())
    }
}

//! What is remembered of a URL whose answers are not kept.

use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use quick_cache::Weighter;
use tokio::time::Instant;

use super::channels::Named;
use super::key::RequestUrl;
use super::policy::{CDN_CACHE_CONTROL, CacheStatus, Fwd, is_error_status};
use super::resource::Resource;
use super::tags::is_for_surrogates;
use crate::error::BehindCache;
use crate::grip;
use crate::hub::{Hub, Since};
use crate::marks::Seen;
use crate::order::{TargetKey, Url};
use crate::position::Stamp;
use crate::sync::Arc;

/// Bytes of such a URL, and of what forbids to keep it, that count as one more.
pub(super) const MEMO_BYTES: usize = 256;

/// About what a URL that lives takes. Measured.
const RESOURCE_BYTES: usize = 512;

/// A URL whose answers are not kept: for a while its requests are not collapsed.
pub(super) struct Memo {
    url: Url,
    until: Instant,
    stamp: Stamp,
    why: &'static str,
    about: About,
    /// The URL's, by which it is purged.
    keys: Box<[TargetKey]>,
    seen: Seen,
    forbids: Option<Forbids>,
    /// The channels that the last answer named are its URL's as long as that is remembered.
    named: Option<(Arc<Named>, Arc<Resource>)>,
    /// `Cache-Status` of those that pass.
    status: HeaderValue,
}

/// Which requests it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum About {
    /// All: what comes is for one of them only.
    All,
    /// Those that want less than the whole: it can be shared by all who wait for it, but not be kept.
    Parts,
}

/// What forbids to keep or share an answer, whatever else it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Forbids {
    /// This line of `Cache-Control`, the only one.
    Line(HeaderValue),
    /// That nothing in it speaks of its reuse: silence is no permission.
    Silence,
}

/// Clients choose how long URLs are.
#[derive(Clone)]
pub(super) struct ByLength;

// === impl Memo ===

impl Memo {
    /// Of a URL whose answer, which this clock has stamped now, is not kept, until that moment.
    pub(super) fn new(
        hub: &Hub,
        name: &str,
        resource: &Arc<Resource>,
        named: Option<&Arc<Named>>,
        (why, about): (&'static str, About),
        forbids: Option<Forbids>,
        until: Instant,
    ) -> Self {
        let status = CacheStatus::forwarded(Fwd::UriMiss)
            .name(name)
            .stored(false)
            .detail(why);
        Self {
            url: resource.url.clone(),
            until,
            stamp: hub.stamp_at(hub.now()),
            why,
            about,
            keys: resource.keys.clone(),
            seen: Seen::default(),
            forbids: forbids.filter(|_| about == About::All),
            named: named.map(|named| (named.clone(), resource.clone())),
            status: status.to_value(),
        }
    }

    /// Whether it says this of this URL.
    pub(super) fn says(
        &self,
        resource: &Resource,
        named: Option<&Arc<Named>>,
        why: (&'static str, About),
        forbids: Option<&Forbids>,
    ) -> bool {
        let known = self.named.as_ref().map(|(named, _)| Arc::as_ptr(named));
        self.url == resource.url
            && (self.why, self.about) == why
            && self.forbids.as_ref() == forbids.filter(|_| why.1 == About::All)
            && known == named.map(Arc::as_ptr)
    }

    pub(super) fn why(&self) -> &'static str {
        self.why
    }

    /// Whether it is about a request; `wants_less`: one that is conditional, or asks for a part or the head alone.
    pub(super) fn is_about(&self, wants_less: bool) -> bool {
        self.about == About::All || wants_less
    }

    pub(super) fn status(&self) -> &HeaderValue {
        &self.status
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// What it takes that others determine.
    pub(super) fn bytes(&self) -> usize {
        let line = match &self.forbids {
            Some(Forbids::Line(line)) => line.len(),
            Some(Forbids::Silence) | None => 0,
        };
        let named = self
            .named
            .as_ref()
            .map_or(0, |(named, _)| RESOURCE_BYTES + named.weight());
        self.url.as_str().len() + line + named
    }

    #[cfg(test)]
    pub(super) fn shares(&self, value: &HeaderValue) -> bool {
        let is_its = |own: &HeaderValue| own.as_bytes().as_ptr() == value.as_bytes().as_ptr();
        matches!(&self.forbids, Some(Forbids::Line(own)) if is_its(own))
    }

    /// Whether it is of this URL, and says what forbids: so that a request can pass.
    pub(super) fn lets_pass(&self, named: &RequestUrl<'_>) -> bool {
        self.forbids.is_some() && named.is(&self.url)
    }

    /// Whether its time is not over, and the URL was not purged since.
    pub(super) fn is_valid(&self, hub: &Hub, now: Instant) -> bool {
        let since = Since::of_targets(self.stamp, &self.keys, Some(&self.seen));
        now < self.until && hub.judge(since).last_mark <= self.stamp.at
    }

    /// Whether the very same forbids to keep or share a response, and nothing in it is for us.
    pub(super) fn fits<B>(&self, response: &Response<B>) -> bool {
        let status = response.status();
        if response.extensions().get::<BehindCache>().is_some() {
            return false;
        }
        if status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT || is_error_status(status) {
            return false;
        }
        let Some(forbids) = &self.forbids else {
            return false;
        };
        let mut lines = 0;
        for (name, value) in response.headers() {
            match (concern(name), forbids) {
                (Concern::Us, _) => return false,
                (Concern::Type, _) if grip::is_instruct(value) => return false,
                (Concern::CacheControl, Forbids::Line(line)) if value == line => lines += 1,
                (Concern::CacheControl, _) | (Concern::Reuse, Forbids::Silence) => return false,
                (Concern::Type | Concern::Reuse | Concern::Nothing, _) => {}
            }
        }
        match forbids {
            Forbids::Silence => true,
            Forbids::Line(_) => lines == 1,
        }
    }
}

/// What a field of a response is about, as far as that decides whether the response may be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// It is for a cache or a push edge like ours, says that a foreign cache answered (rule X1), or is a date to be looked
    /// at (rule C3).
    Us,
    CacheControl,
    /// It may let a cache reuse the response: by its lifetime, or after a validation.
    Reuse,
    Type,
    Nothing,
}

fn concern(name: &HeaderName) -> Concern {
    match name.as_str().as_bytes()[0] {
        b'a' if *name == AGE => Concern::Us,
        b'c' if *name == CACHE_CONTROL => Concern::CacheControl,
        b'c' if *name == CONTENT_TYPE => Concern::Type,
        b'c' if *name == CDN_CACHE_CONTROL => Concern::Us,
        b'e' if *name == EXPIRES || *name == ETAG => Concern::Reuse,
        b'g' if grip::is_grip(name) => Concern::Us,
        b'l' if *name == LAST_MODIFIED => Concern::Us,
        b's' if is_for_surrogates(name) => Concern::Us,
        _ => Concern::Nothing,
    }
}

/// Whether this field of a response is for us, or tells when that was made.
pub(super) fn is_for_us(name: &HeaderName) -> bool {
    concern(name) == Concern::Us
}

/// Whether this field of a response may let a cache reuse it.
pub(super) fn speaks_of_reuse(name: &HeaderName) -> bool {
    matches!(concern(name), Concern::CacheControl | Concern::Reuse)
}

// === impl ByLength ===

impl Weighter<TargetKey, Arc<Memo>> for ByLength {
    fn weight(&self, _: &TargetKey, memo: &Arc<Memo>) -> u64 {
        (1 + memo.bytes() / MEMO_BYTES) as u64
    }
}

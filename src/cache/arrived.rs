//! A response of the service below, looked at: who may have it, and what it names.

use std::sync::OnceLock;
use std::time::Duration;

use http::header::{CACHE_CONTROL, DATE, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, response};
use http_body::Body;
use http_body_util::{BodyExt, Limited};

use super::entry::{Entry, channel_weight};
use super::flight::{Failure, Landed};
use super::handle::Cache;
use super::policy::{
    CDN_CACHE_CONTROL, CacheControl, Freshness, RequestFacts, ResponseFacts, Validators, VarySpec, Verdict,
    detach, format_http_date, judge, own_fields, stored_headers,
};
use super::resource::Resource;
use super::serve::{CACHE_STATUS, Lines, with_places};
use super::tags::{SURROGATE_KEY, Tags};
use crate::body::{EdgeBody, Held};
use crate::error::{CloseDelimited, OriginError};
use crate::grip::{self, Instruct, JsonResponse, MAX_INSTRUCT_BYTES};
use crate::hub::Quiet;
use crate::log::Log;
use crate::message::Channel;
use crate::position::Position;
use crate::sync::Arc;
use crate::time::Now;

/// Longest wait for the body of `application/grip-instruct`.
const INSTRUCT_TIMEOUT: Duration = Duration::from_secs(15);

/// A response that has been looked at.
pub(super) struct Arrived {
    parts: response::Parts,
    body: EdgeBody,
    /// The response that instructions in JSON describe.
    json: Option<JsonResponse>,
    instruct: Option<Instruct>,
    policy: CacheControl,
    freshness: Freshness,
    pub(super) verdict: Verdict,
    /// Why nobody else may have it, beyond the verdict.
    pub(super) unusable: Option<&'static str>,
    /// Why it is not kept, beyond the verdict.
    incomplete: Option<&'static str>,
}

/// Looks at the head of a response to a request with these fields; instructions in JSON are read first, for they name
/// the channels.
pub(super) async fn look_at(
    cache: &Cache,
    sent: &HeaderMap,
    response: Response<EdgeBody>,
    asked: Now,
) -> Result<Arrived, Failure> {
    let answered = Now::read();
    let (parts, mut body) = response.into_parts();
    let asks_conditionally = sent.contains_key(IF_NONE_MATCH) || sent.contains_key(IF_MODIFIED_SINCE);
    if parts.status == StatusCode::NOT_MODIFIED && !asks_conditionally {
        return Err(Failure::Unasked304);
    }
    let mut unusable = None;
    if parts.extensions.get::<Held>().is_some() {
        held_below();
        unusable = Some("held");
    }
    let mut incomplete = None;
    let (mut instruct, mut json) = (None, None);
    if grip::is_instruct_type(&parts.headers) {
        let whole = tokio::time::timeout(INSTRUCT_TIMEOUT, Limited::new(body, MAX_INSTRUCT_BYTES).collect());
        let bytes = whole
            .await
            .map_err(|_| Failure::Timeout)?
            .map_err(|_| Failure::BrokenInstruct)?
            .to_bytes();
        match Instruct::from_json(parts.status, &parts.headers, &bytes) {
            Ok((parsed, described)) => (instruct, json) = (Some(parsed), Some(described)),
            Err(_) => unusable = Some("grip-malformed"),
        }
        body = EdgeBody::from(bytes);
    } else {
        match Instruct::from_headers(&parts.headers) {
            Ok(parsed) => instruct = parsed,
            Err(_) => unusable = Some("grip-malformed"),
        }
    }
    let policy = CacheControl::of(&parts.headers);
    let freshness = Freshness::of(asked, answered, &parts.headers, &policy).of_status(parts.status);
    let facts = ResponseFacts {
        status: parts.status,
        headers: &parts.headers,
        policy: &policy,
        freshness: &freshness,
        has_instructions: instruct.is_some(),
    };
    let verdict = judge(&RequestFacts::of(&Method::GET, sent), &facts, &cache.limits());
    if json.is_none() && parts.extensions.get::<CloseDelimited>().is_some() {
        // Whether all of it came cannot be known.
        incomplete = Some("close-delimited");
    }
    Ok(Arrived {
        parts,
        body,
        json,
        instruct,
        policy,
        freshness,
        verdict,
        unusable,
        incomplete,
    })
}

// === impl Arrived ===

impl Arrived {
    /// Why it is for one request only.
    pub(super) fn why_private(&self) -> Option<&'static str> {
        self.unusable
            .or(self.verdict.shareable.err().map(|why| why.as_str()))
    }

    /// The fields that only the request which was answered may have. Of those that a description in JSON is wrapped in,
    /// none are.
    pub(super) fn own_fields(&self) -> HeaderMap {
        match self.json {
            Some(_) => HeaderMap::new(),
            None => own_fields_of(&self.parts.headers, &self.policy),
        }
    }

    /// Whether it is kept, although it is for one request only: the next one may have it as soon as the origin says so.
    pub(super) fn is_kept_for_validation(&self) -> bool {
        self.unusable.or(self.incomplete).is_none()
            && self.error().is_none()
            && self.verdict.is_kept_for_validation()
    }

    /// The one line of `Cache-Control` that forbids to keep or share this, whatever else it says. A copy: as it came it
    /// would keep the buffer of the whole head.
    pub(super) fn forbidden_by(&self) -> Option<HeaderValue> {
        if self.parts.headers.contains_key(CDN_CACHE_CONTROL) {
            return None;
        }
        let mut lines = self.parts.headers.get_all(CACHE_CONTROL).iter();
        let line = lines.next().filter(|_| lines.next().is_none())?;
        let forbids = (self.policy.no_store || self.policy.is_private()) && !self.policy.must_understand;
        let copy = || HeaderValue::from_bytes(line.as_bytes()).expect("it was one");
        forbids.then(copy)
    }

    /// What failed, if it was not the origin that answered: the same for all who wait.
    pub(super) fn failure(&self) -> Option<Failure> {
        let failure = self.parts.extensions.get::<OriginError>()?.failure;
        failure
            .is_outage()
            .then(|| Failure::Origin(failure.as_str(), self.parts.status))
    }

    /// Its status, if that is an error after which an old answer may be better.
    pub(super) fn error(&self) -> Option<StatusCode> {
        Some(self.parts.status).filter(|status| is_error_status(*status))
    }

    /// Whether it puts an end to what was stored before, although it is not stored itself: not if it is only about
    /// the one who asked, or says no to that one.
    pub(super) fn supersedes(&self) -> bool {
        let status = self.parts.status;
        let is_last_word = status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        let refused = self.verdict.storable.or(self.verdict.shareable).err();
        is_last_word && self.unusable.is_none() && refused.is_some_and(|why| !why.is_of_its_request())
    }

    /// As it came, for the one request that may have it.
    pub(super) fn into_private(self) -> Response<EdgeBody> {
        let mut response = Response::from_parts(self.parts, self.body);
        response.headers_mut().remove(SURROGATE_KEY);
        response
    }

    /// An answer that can be given to several, and its body that is still to come. It is filed under what was asked
    /// for, which may be less than what a client sent.
    pub(super) fn into_landed(
        self,
        cache: &Cache,
        resource: &Arc<Resource>,
        sent: &HeaderMap,
        is_https: bool,
        by_hold: bool,
        stamp: Position,
    ) -> (Landed, EdgeBody) {
        let Arrived {
            parts,
            body,
            json,
            instruct,
            policy,
            freshness,
            verdict,
            incomplete,
            ..
        } = self;
        let tags = Tags::of(&parts.headers);
        let is_error = is_error_status(parts.status);
        let vary = resource.rule(VarySpec::of(&parts.headers), is_error);
        let (status, source, body) = match json {
            Some(json) => (json.status, json.headers, EdgeBody::from(json.body)),
            None => (parts.status, parts.headers, body),
        };
        let mut headers = stored_headers(&source, &policy);
        grip::strip(&mut headers);
        headers.remove(SURROGATE_KEY);
        // A recipient with a clock records when it came (RFC 9110 6.6.1).
        headers
            .entry(DATE)
            .or_insert_with(|| format_http_date(freshness.received().wall));
        detach(&mut headers);
        let channel_weight = channel_weight(&tags.channels);
        let mut channels: Vec<Channel> = tags.channels;
        // Those that are named without a hold are the URL's, too.
        let named = instruct.as_ref().map_or(&[][..], Instruct::channels);
        channels.extend(named.iter().map(|channel| channel.name.clone()));
        // Before anybody is given the answer: the URL's channels are tested for all its variants.
        resource.learn(&channels);
        let length = OnceLock::new();
        if let Some(known) = body.size_hint().exact() {
            let _ = length.set(known);
        }
        let entry = Arc::new(Entry {
            resource: resource.clone(),
            variant: cache.variant(Some(&vary), sent, is_https, by_hold),
            vary,
            stamp,
            status,
            validators: Validators::of(&headers),
            headers: with_places(headers),
            instruct: instruct.map(std::sync::Arc::new),
            freshness,
            keys: tags.keys.into(),
            channel_weight,
            quiet: Quiet::default(),
            body: Arc::new(Log::new()),
            length,
            lines: Lines::default(),
            head: OnceLock::new(),
        });
        let why = incomplete.or(verdict.storable.err().map(|why| why.as_str()));
        (
            Landed {
                entry,
                storable: why.is_none(),
                fwd_status: None,
                is_error,
                why,
            },
            body,
        )
    }
}

/// What of a response only its own request may have, and no field of ours.
pub(super) fn own_fields_of(response: &HeaderMap, policy: &CacheControl) -> HeaderMap {
    let mut own = own_fields(response, policy);
    grip::strip(&mut own);
    own.remove(SURROGATE_KEY);
    own.remove(CACHE_STATUS);
    own
}

/// Statuses after which an old answer may be better (RFC 5861 4).
pub(super) fn is_error_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// A hold layer sits below the cache: then instructions are never cached. Said once.
fn held_below() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        tracing::warn!(target: "gripstack::cache", "the hold layer is below the cache: put it above, so that instructions are cached");
    });
}

//! A response of the service below, looked at: who may have it, and what it names.

use std::time::Duration;

use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, DATE, ETAG, EXPIRES, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, response};
use http_body::Body;
use http_body_util::{BodyExt, Limited};

use super::channels::Named;
use super::entry::{Entry, Head};
use super::flight::{Failure, Landed};
use super::handle::Cache;
use super::key::VariantKey;
use super::look::Needs;
use super::memo::{Forbids, is_for_us, speaks_of_reuse};
use super::policy::{
    Arrival, CDN_CACHE_CONTROL, CacheControl, Freshness, NoStore, RequestFacts, ResponseFacts, Validators,
    VarySpec, Verdict, decide, detach, format_http_date, is_error_status, own_fields, prohibition,
    stored_headers,
};
use super::resource::Resource;
use super::serve::{CACHE_STATUS, with_places};
use super::tags::{self, Tags};
use crate::body::{EdgeBody, Held};
use crate::error::{CloseDelimited, OriginError};
use crate::grip::{self, Instruct, JsonResponse, MAX_INSTRUCT_BYTES};
use crate::handoff::{Keep, KeepAlong, stamp_of};
use crate::hub::Hub;
use crate::log::Log;
use crate::mutants::mutant;
use crate::position::Stamp;
use crate::sync::Arc;
use crate::time::Now;

/// Longest wait for the body of `application/grip-instruct`.
const INSTRUCT_TIMEOUT: Duration = Duration::from_secs(15);

/// What says how a message may be kept.
static WRAPPER: [HeaderName; 6] = [AGE, CACHE_CONTROL, CDN_CACHE_CONTROL, DATE, EXPIRES, VARY];

/// A request that was sent, as it was sent, and when.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) is_https: bool,
    pub(super) by_hold: bool,
    /// Of its fetch, as if no foreign cache stood between.
    pub(super) stamp: Stamp,
    pub(super) at: Now,
}

/// A response that has been looked at.
pub(super) struct Arrived {
    parts: response::Parts,
    body: EdgeBody,
    /// The response that instructions in JSON describe.
    json: Option<JsonResponse>,
    instruct: Option<Instruct>,
    policy: CacheControl,
    freshness: Freshness,
    stamp: Stamp,
    /// See [`Landed::behind`].
    behind: Option<Stamp>,
    verdict: Verdict,
    /// Why nobody else may have it, beyond the verdict.
    unusable: Option<&'static str>,
    /// Why it is not kept, beyond the verdict.
    incomplete: Option<&'static str>,
    tags: Tags,
    /// The channels that it names.
    named: Option<Arc<Named>>,
    is_head: bool,
}

/// What becomes of an answer, for whomever it came: the one decision.
#[derive(Clone, Copy, Debug)]
pub(super) enum Disposition {
    /// It was not an origin that answered: nobody who waits gets more.
    Failed(Failure),
    /// It is for the request that it answers. Says why.
    Private(&'static str),
    /// So it is, but it is kept, and the origin asked for each later request whether it is still right. Says why.
    Kept(&'static str),
    /// It is for all who wait, and kept; or why it is not.
    Shared(Result<(), &'static str>),
}

/// Looks at the head of the response to a request; instructions in JSON are read first, for they name the channels. Those
/// become the URL's, whoever may have the answer.
pub(super) async fn look_at(
    cache: &Cache,
    resource: &Arc<Resource>,
    sent: Sent<'_>,
    response: Response<EdgeBody>,
) -> Result<Arrived, Failure> {
    let answered = Now::read();
    let (mut parts, mut body) = response.into_parts();
    let asks_conditionally =
        sent.headers.contains_key(IF_NONE_MATCH) || sent.headers.contains_key(IF_MODIFIED_SINCE);
    if parts.status == StatusCode::NOT_MODIFIED && !asks_conditionally {
        return Err(Failure::Unasked304);
    }
    if parts.status == StatusCode::NO_CONTENT {
        // It has none (RFC 9110 8.6).
        parts.headers.remove(CONTENT_LENGTH);
    }
    let is_head = *sent.method == Method::HEAD;
    let mut unusable = None;
    if parts.extensions.get::<Held>().is_some() {
        held_below();
        unusable = Some("held");
    }
    let mut incomplete = None;
    let (mut instruct, mut json) = (None, None);
    if grip::is_instruct_type(&parts.headers) {
        if is_head {
            // What it names stands in a body that it does not have.
            unusable = Some("grip-instruct");
        } else {
            let whole =
                tokio::time::timeout(INSTRUCT_TIMEOUT, Limited::new(body, MAX_INSTRUCT_BYTES).collect());
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
        }
    } else {
        match Instruct::from_headers(&parts.headers) {
            Ok(parsed) => instruct = parsed,
            Err(_) => unusable = Some("grip-malformed"),
        }
    }
    if instruct.is_some() && !sent.by_hold {
        say_once!(
            "the application asks to hold clients, and no hold layer stands above the cache: they get its answer, and no messages"
        );
    }
    let policy = CacheControl::of(&parts.headers);
    let status = json.as_ref().map_or(parts.status, |json| json.status);
    let freshness = Freshness::of(sent.at, answered, &parts.headers, &policy).of_status(status);
    let judged = json
        .as_ref()
        .map(|json| with_validators(&parts.headers, &json.headers));
    let facts = ResponseFacts {
        status,
        headers: judged.as_ref().unwrap_or(&parts.headers),
        policy: &policy,
        freshness: &freshness,
        has_instructions: instruct.is_some(),
    };
    let asked = RequestFacts::of(sent.method, sent.headers);
    let mut verdict = decide(&asked, &facts, &cache.limits());
    if let Some(json) = &json {
        // How long it may be kept stands beside the instructions; what forbids it, in the response that clients see, too.
        verdict = verdict.unless(described_forbids(&asked, &facts, (json.status, &json.headers)));
    }
    if json.is_none() && parts.extensions.get::<CloseDelimited>().is_some() {
        // Whether all of it came cannot be known.
        incomplete = Some("close-delimited");
    }
    let mut tags = Tags::of(&parts.headers);
    let mut channels = std::mem::take(&mut tags.channels);
    // Those that are named without a hold are the URL's, too.
    let named = instruct.as_ref().map_or(&[][..], Instruct::channels);
    channels.extend(named.iter().map(|channel| channel.name.clone()));
    if mutant!("private-teaches-nothing") && policy.no_store {
        channels.clear();
    }
    // Before anybody is given the answer: the URL's channels are tested for all its variants.
    let named = resource.learn(cache.hub(), channels, tags.more_channels);
    cache.is_ambiguous(resource, &parts.headers, freshness.arrival());
    let fetched = (sent.stamp, sent.at.mono);
    let stamp = stamp_of(cache.hub(), fetched, &parts.headers, &parts.extensions);
    Ok(Arrived {
        parts,
        body,
        json,
        instruct,
        policy,
        freshness,
        stamp,
        behind: (stamp != sent.stamp).then_some(sent.stamp),
        verdict,
        unusable,
        incomplete,
        tags,
        named,
        is_head,
    })
}

/// What of a response that was described in JSON forbids to share it, as in any other.
pub(super) fn described_forbids(
    asked: &RequestFacts<'_>,
    wrapped_in: &ResponseFacts<'_>,
    (status, headers): (StatusCode, &HeaderMap),
) -> Option<NoStore> {
    let policy = CacheControl::of(headers);
    if policy.drops_any() {
        // It would have to be told apart for each who gets it.
        return Some(NoStore::Private);
    }
    let described = ResponseFacts {
        status,
        headers,
        policy: &policy,
        ..*wrapped_in
    };
    prohibition(asked, &described)
}

/// A message around a description in JSON as it is judged: what it describes is what a validation is about.
pub(super) fn with_validators(wrapper: &HeaderMap, described: &HeaderMap) -> HeaderMap {
    let mut judged = wrapper.clone();
    for name in [ETAG, LAST_MODIFIED] {
        judged.remove(&name);
        if let Some(value) = described.get(&name) {
            judged.insert(name, value.clone());
        }
    }
    judged
}

/// What the message around a description in JSON says of keeping it. A copy, in memory of its own.
pub(super) fn wrapper_of(headers: &HeaderMap) -> HeaderMap {
    let mut wrapper = HeaderMap::new();
    for name in &WRAPPER {
        for value in headers.get_all(name) {
            wrapper.append(name, value.clone());
        }
    }
    detach(&mut wrapper);
    wrapper
}

/// The rest.
pub(super) fn without_wrapper(headers: &HeaderMap) -> HeaderMap {
    let mut rest = headers.clone();
    for name in WRAPPER.iter().filter(|name| **name != DATE) {
        rest.remove(name);
    }
    rest
}

// === impl Disposition ===

impl Disposition {
    /// What a verdict makes of an answer that is there, and whole.
    pub(super) fn of(verdict: &Verdict) -> Self {
        match (verdict.shareable, verdict.storable) {
            (Err(why), _) if verdict.is_kept_for_validation() => Self::Kept(why.as_str()),
            (Err(why), _) => Self::Private(why.as_str()),
            (Ok(()), storable) => Self::Shared(storable.map_err(NoStore::as_str)),
        }
    }

    /// Whether it is kept, or why not.
    pub(super) fn kept(self) -> Result<(), &'static str> {
        match self {
            Self::Kept(_) => Ok(()),
            Self::Shared(storable) => storable,
            Self::Private(why) => Err(why),
            Self::Failed(failure) => Err(failure.as_str()),
        }
    }
}

// === impl Arrived ===

impl Arrived {
    /// The one decision on what becomes of it (RFC 9111 3).
    pub(super) fn disposition(&self) -> Disposition {
        if let Some(failure) = self.failure() {
            return Disposition::Failed(failure);
        }
        if let Some(why) = self.unusable {
            return Disposition::Private(why);
        }
        match (Disposition::of(&self.verdict), self.incomplete) {
            (Disposition::Kept(why), incomplete) if incomplete.is_some() || self.error().is_some() => {
                Disposition::Private(why)
            }
            (Disposition::Shared(_), Some(why)) => Disposition::Shared(Err(why)),
            (disposition, _) => disposition,
        }
    }

    /// The fields that only the request which was answered may have. Of those that a description in JSON is wrapped in,
    /// none are.
    pub(super) fn own_fields(&self) -> HeaderMap {
        match self.json {
            Some(_) => HeaderMap::new(),
            None => own_fields_of(&self.parts.headers, &self.policy),
        }
    }

    /// What of it forbids to keep or share an answer, whatever else that says: one line of `Cache-Control`, or that there is
    /// no word on it. A copy: as it came it would keep the buffer of the whole head.
    pub(super) fn forbidden_by(&self) -> Option<Forbids> {
        let headers = &self.parts.headers;
        if headers.keys().any(is_for_us) {
            return None;
        }
        if !headers.keys().any(speaks_of_reuse) {
            return Some(Forbids::Silence);
        }
        let mut lines = headers.get_all(CACHE_CONTROL).iter();
        let line = lines.next().filter(|_| lines.next().is_none())?;
        let forbids = (self.policy.no_store || self.policy.is_private()) && !self.policy.must_understand;
        let copy = || HeaderValue::from_bytes(line.as_bytes()).expect("it was one");
        forbids.then(|| Forbids::Line(copy()))
    }

    /// What failed, if it was not the origin that answered: the same for all who wait.
    fn failure(&self) -> Option<Failure> {
        let failure = self.parts.extensions.get::<OriginError>()?.failure;
        failure
            .is_outage()
            .then(|| Failure::Origin(failure.as_str(), self.parts.status))
    }

    /// Its status, if that is an error after which an old answer may be better.
    pub(super) fn error(&self) -> Option<StatusCode> {
        Some(self.seen().0).filter(|status| is_error_status(*status))
    }

    /// Whether it puts an end to what was stored before, although it is not stored itself: not if it is only about
    /// the one who asked or what that one wanted, or says no to that one.
    pub(super) fn supersedes(&self) -> bool {
        let (status, _) = self.seen();
        let is_last_word = match status {
            StatusCode::NOT_MODIFIED => false,
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => true,
            status => status.is_success() || status.is_redirection(),
        };
        let refused = self.verdict.storable.or(self.verdict.shareable).err();
        let is_of_all = |why: NoStore| !why.is_of_its_request() && !why.is_of_a_condition();
        is_last_word && self.unusable.is_none() && refused.is_some_and(is_of_all)
    }

    /// Whether what becomes of it tells what becomes of the next answer of its URL.
    pub(super) fn tells_of_its_url(&self) -> bool {
        let is_of_its_request =
            |why: NoStore| why.is_of_its_request() && why != NoStore::SetCookie || why.is_of_a_condition();
        let refused = self.verdict.shareable.err();
        !self.is_head && self.error().is_none() && !refused.is_some_and(is_of_its_request)
    }

    /// Whether it would do for this request by its fetch, but not by its stamp: a foreign cache between answered that (rule
    /// X1).
    pub(super) fn is_too_old(&self, hub: &Hub, resource: &Resource, needs: &Needs) -> bool {
        if self.behind.is_none() {
            return false;
        }
        if self.seen().0 == StatusCode::NOT_MODIFIED && self.stamp.at < needs.arrival.at {
            // What it stands for is its client's: nobody here knows of its tags that none was purged.
            return true;
        }
        let channels = resource.channels(hub);
        let judged = hub.judge(channels.since(self.stamp, [&resource.keys, &self.tags.keys], None));
        let names = (self.instruct.as_ref(), self.named.as_deref());
        !needs.is_served(hub, self.stamp, names, &judged)
    }

    /// What a client sees of it: its status and fields.
    pub(super) fn seen(&self) -> (StatusCode, &HeaderMap) {
        match &self.json {
            Some(json) => (json.status, &json.headers),
            None => (self.parts.status, &self.parts.headers),
        }
    }

    /// Whether it is coded: for those who can read that.
    pub(super) fn is_coded(&self) -> bool {
        self.seen().1.contains_key(CONTENT_ENCODING)
    }

    /// When it came.
    pub(super) fn arrival(&self) -> Arrival {
        self.freshness.arrival()
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The channels that it names.
    pub(super) fn named(&self) -> Option<&Arc<Named>> {
        self.named.as_ref()
    }

    /// As it came, for the one request that may have it.
    pub(super) fn into_private(self, resource: &Arc<Resource>) -> Response<EdgeBody> {
        let mut response = Response::from_parts(self.parts, self.body);
        if let Some(named) = self.named {
            let keep = Keep::new(resource.clone(), Some(named));
            response.extensions_mut().insert(KeepAlong(keep));
        }
        response
    }

    /// An answer that can be given to several, and its body that is still to come. It is filed under what was asked
    /// for, which may be less than what a client sent. `storable`: or why it is not kept.
    pub(super) fn into_landed(
        self,
        cache: &Cache,
        resource: &Resource,
        sent: Sent<'_>,
        storable: Result<(), &'static str>,
    ) -> (Landed, EdgeBody) {
        let is_error = self.error().is_some();
        let mut vary = VarySpec::of(&self.parts.headers);
        if let Some(json) = &self.json {
            vary = vary.with(VarySpec::of(&json.headers).names().iter().cloned());
        }
        let (vary, is_looked_for) = match is_error {
            true => resource.rule_of_error(cache.hub(), vary, |variant, channels| {
                let stored = cache.store().peek(resource.key(), variant);
                stored.is_some_and(|stored| cache.is_good_page(resource, &stored, channels))
            }),
            false => (resource.rule(vary), true),
        };
        let wrapper = self
            .json
            .as_ref()
            .map(|_| Box::new(wrapper_of(&self.parts.headers)));
        let (status, source, body) = match self.json {
            Some(json) => (json.status, json.headers, EdgeBody::from(json.body)),
            None => (self.parts.status, self.parts.headers, self.body),
        };
        let mut headers = stored_headers(&source, &self.policy);
        grip::strip(&mut headers);
        tags::strip(&mut headers);
        // A recipient with a clock records when it came (RFC 9110 6.6.1).
        headers
            .entry(DATE)
            .or_insert_with(|| format_http_date(self.freshness.received().wall));
        let arrival = self.freshness.arrival();
        let validators = Validators::of(&headers, arrival);
        let hides_last_modified = cache.hides_date(resource, &headers, arrival, self.named.as_ref());
        if hides_last_modified {
            headers.remove(LAST_MODIFIED);
        }
        detach(&mut headers);
        let head = Head {
            variant: cache.variant(Some(&vary), &sent),
            vary,
            stamp: self.stamp,
            status,
            validators: validators.map(Validators::detached),
            headers: with_places(headers),
            wrapper,
            hides_last_modified,
            instruct: self.instruct.map(std::sync::Arc::new),
            instruct_unchanged: None,
            freshness: self.freshness,
            tags: self.tags.text.into(),
            keys: self.tags.keys.into(),
            named: self.named,
        };
        let landed = Landed {
            entry: Arc::new(Entry::new(
                Arc::new(head),
                Arc::new(Log::new()),
                body.size_hint().exact(),
            )),
            behind: self.behind,
            storable: storable.is_ok() && is_looked_for,
            fwd_status: None,
            is_error,
            why: storable.err(),
        };
        (landed, body)
    }
}

// === impl Cache ===

impl Cache {
    /// The variant that a request is filed under.
    pub(super) fn variant(&self, vary: Option<&VarySpec>, sent: &Sent<'_>) -> VariantKey {
        self.variant_of(vary, sent.headers, sent.is_https, sent.by_hold)
    }
}

/// What of a response only its own request may have, and no field of ours.
pub(super) fn own_fields_of(response: &HeaderMap, policy: &CacheControl) -> HeaderMap {
    let mut own = own_fields(response, policy);
    grip::strip(&mut own);
    tags::strip(&mut own);
    own.remove(CACHE_STATUS);
    own
}

/// A hold layer sits below the cache: then instructions are never cached. Said once.
fn held_below() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        tracing::warn!(target: "gripstack::cache", "the hold layer is below the cache: put it above, so that instructions are cached");
    });
}

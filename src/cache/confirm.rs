//! A stored answer that a 304 has confirmed (RFC 9111 4.3.4, 3.2; rule C3).

use std::collections::HashSet;

use http::header::{AGE, DATE, LAST_MODIFIED};
use http::{HeaderMap, Method, Response};

use super::arrived::{Sent, described_forbids, own_fields_of, with_validators, without_wrapper, wrapper_of};
use super::entry::{Entry, Head};
use super::handle::Cache;
use super::policy::{
    CacheControl, Freshness, RequestFacts, ResponseFacts, Validators, VarySpec, Verdict, decide, detach,
    format_http_date, merge_304, stored_headers,
};
use super::resource::Resource;
use super::serve::{with_places, without_places};
use super::tags::{self, SURROGATE_KEY, Tags};
use crate::body::EdgeBody;
use crate::grip::{self, Instruct};
use crate::handoff::stamp_of;
use crate::marks::Seen;
use crate::mutants::mutant;
use crate::order::TargetKey;
use crate::position::Stamp;
use crate::sync::Arc;
use crate::time::Now;

/// A 304, and what it answers.
pub(super) struct Confirmation<'a> {
    pub(super) old: &'a Entry,
    pub(super) response: &'a Response<EdgeBody>,
    pub(super) sent: Sent<'a>,
    /// What was sent and what came back prove that the old answer is the present one, byte by byte: what was accepted
    /// before the request left is in it.
    pub(super) is_strong: bool,
}

/// What a 304 makes of an answer. Its body is the same, not a copy.
pub(super) struct Confirmed {
    pub(super) entry: Arc<Entry>,
    /// See [`Landed::behind`](super::flight::Landed::behind).
    pub(super) behind: Option<Stamp>,
    pub(super) verdict: Verdict,
    /// What of the 304 is only for the request that it answers.
    pub(super) own: HeaderMap,
}

impl Confirmation<'_> {
    /// The old answer with its head brought up to date.
    pub(super) fn apply(self, cache: &Cache, resource: &Resource) -> Confirmed {
        let Self { sent, .. } = self;
        let old = &*self.old.head;
        let from = self.response.headers();
        let moves = self.is_strong || mutant!("weak-304");
        let answered = Now::read();
        let mut headers = without_places(old.headers.clone());
        let mut wrapper = old.wrapper.clone();
        match &mut wrapper {
            None => bring_up_to_date(&mut headers, from, answered),
            Some(wrapper) => {
                // What it says of keeping it is said of the message around it, as before.
                bring_up_to_date(wrapper, &wrapper_of(from), answered);
                bring_up_to_date(&mut headers, &without_wrapper(from), answered);
            }
        }
        let governs = wrapper.as_deref().unwrap_or(&headers);
        let policy = CacheControl::of(governs);
        let freshness = Freshness::of(sent.at, answered, governs, &policy).of_status(old.status);
        let brought = Instruct::from_headers(from).ok().flatten();
        let asked = RequestFacts::of(&Method::GET, sent.headers);
        let judged = wrapper.as_ref().map(|wrapper| with_validators(wrapper, &headers));
        let facts = ResponseFacts {
            status: old.status,
            headers: judged.as_ref().unwrap_or(&headers),
            policy: &policy,
            freshness: &freshness,
            has_instructions: brought.is_some() || old.instruct.is_some(),
        };
        let mut verdict = decide(&asked, &facts, &cache.limits());
        if wrapper.is_some() {
            verdict = verdict.unless(described_forbids(&asked, &facts, (old.status, &headers)));
        }
        let (tags, keys, tag_channels, more) = match from.contains_key(SURROGATE_KEY) {
            true => {
                // If the stamp stays the body may be that of the tags that were stored: a purge by either is one of it.
                let tags = match moves {
                    true => Tags::of(from),
                    false => Tags::of(from).and(&old.tags),
                };
                (
                    tags.text.into(),
                    tags.keys.into(),
                    tags.channels,
                    tags.more_channels,
                )
            }
            false => {
                let named = old.named.as_ref();
                let channels = named.map_or(&[][..], |named| named.channels());
                (
                    old.tags.clone(),
                    old.keys.clone(),
                    channels.to_vec(),
                    named.is_some_and(|named| named.has_more()),
                )
            }
        };
        // A hold that the answer itself did not have is for those who have that already: whoever asks without a condition
        // would be answered at once.
        let was_held = old.instruct.as_ref().is_some_and(|old| old.hold.is_some());
        let instruct_unchanged = brought
            .clone()
            .filter(|brought| brought.hold.is_some() && !was_held);
        let instruct_unchanged = instruct_unchanged.map(std::sync::Arc::new);
        let instruct = updated(old.instruct.as_ref(), brought.as_ref(), moves);
        // Whatever it names is the URL's, with a hold or without.
        let mut channels = tag_channels;
        for instruct in brought.iter().chain(instruct.as_deref()) {
            channels.extend(instruct.channels().iter().map(|channel| channel.name.clone()));
        }
        let named = match mutant!("304-teaches-nothing") {
            true => old.named.clone(),
            false => resource.learn(cache.hub(), channels, more),
        };
        let vary = VarySpec::of(governs).with(VarySpec::of(&headers).names().iter().cloned());
        let vary = resource.rule(vary);
        let hides_last_modified = old.hides_last_modified
            || cache.hides_date(resource, &headers, freshness.arrival(), named.as_ref());
        if hides_last_modified {
            // The answer that brought the body told nobody.
            headers.remove(LAST_MODIFIED);
        }
        let validators = Validators::of(&headers, freshness.arrival());
        let mut headers = stored_headers(&headers, &policy);
        grip::strip(&mut headers);
        tags::strip(&mut headers);
        detach(&mut headers);
        let fetched = (sent.stamp, sent.at.mono);
        let stamp = stamp_of(cache.hub(), fetched, from, self.response.extensions());
        // What the old answer did not name may have been purged before it was looked at last.
        let seen = match moves {
            true => Seen::default(),
            false => {
                let known: HashSet<TargetKey> = old.keys.iter().copied().collect();
                let new = keys.iter().copied().filter(|key| !known.contains(key));
                let new: Vec<TargetKey> = new.collect();
                cache.hub().inherit(&self.old.seen, old.stamp, &new)
            }
        };
        let is_wrapped = wrapper.is_some();
        let head = Head {
            variant: cache.variant(Some(&vary), &sent),
            vary,
            stamp: if moves {
                stamp.or_later(old.stamp)
            } else {
                old.stamp
            },
            status: old.status,
            validators: validators.map(Validators::detached),
            headers: with_places(headers),
            wrapper,
            hides_last_modified,
            instruct,
            instruct_unchanged,
            freshness,
            tags,
            keys,
            named,
        };
        let length = self.old.length.get().copied();
        let entry = Entry::new(Arc::new(head), self.old.body.clone(), length).having_seen(seen);
        Confirmed {
            entry: Arc::new(entry),
            behind: (moves && stamp != sent.stamp).then_some(sent.stamp),
            verdict,
            own: match is_wrapped {
                true => HeaderMap::new(),
                false => own_fields_of(from, &policy),
            },
        }
    }
}

/// Age and lifetime count from this answer, which may leave out what the first one said.
fn bring_up_to_date(stored: &mut HeaderMap, from: &HeaderMap, answered: Now) {
    merge_304(stored, from);
    if !from.contains_key(DATE) {
        stored.insert(DATE, format_http_date(answered.wall));
    }
    match from.get(AGE) {
        Some(age) => drop(stored.insert(AGE, age.clone())),
        None => drop(stored.remove(AGE)),
    }
}

/// The instructions that a 304 leaves (rule C3): where there was a hold and is one they are its own; without one the stored
/// mode and channels stay. Ids name what the body contains. If the stamp moves that may be more by now, so those that the
/// 304 names are taken over and the others cleared; if not, the stored ones stay, or a hold would take a message for one
/// that it has.
fn updated(
    old: Option<&std::sync::Arc<Instruct>>,
    brought: Option<&Instruct>,
    moves: bool,
) -> Option<std::sync::Arc<Instruct>> {
    let is_held = old.is_some_and(|old| old.hold.is_some());
    let begins = brought.filter(|brought| match brought.hold {
        Some(_) => is_held,
        None => old.is_none(),
    });
    if begins.is_none() && !moves {
        return old.cloned();
    }
    // Which ids count: those of the 304, or those that were stored.
    let of = match moves {
        true => brought,
        false => old.map(|old| &**old),
    };
    let mut instruct = begins.cloned().or_else(|| old.map(|old| Instruct::clone(old)))?;
    for channel in instruct.hold.iter_mut().flat_map(|hold| &mut hold.channels) {
        let named = of.into_iter().flat_map(Instruct::channels);
        channel.prev_id = { named }
            .find(|named| named.name == channel.name)
            .and_then(|named| named.prev_id.clone());
    }
    Some(std::sync::Arc::new(instruct))
}

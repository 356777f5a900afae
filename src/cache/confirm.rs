//! A stored answer that a 304 has confirmed (RFC 9111 4.3.4, 3.2).

use std::sync::OnceLock;

use http::header::{AGE, DATE};
use http::{HeaderMap, Method};

use super::arrived::own_fields_of;
use super::entry::{Entry, channel_weight};
use super::handle::Cache;
use super::policy::{
    CacheControl, Freshness, RequestFacts, ResponseFacts, Validators, VarySpec, Verdict, detach,
    format_http_date, judge, merge_304, stored_headers,
};
use super::serve::{Lines, with_places, without_places};
use super::tags::{SURROGATE_KEY, Tags};
use crate::grip::{self, Instruct};
use crate::hub::Quiet;
use crate::message::Channel;
use crate::mutants::mutant;
use crate::position::Position;
use crate::time::Now;

/// A 304, and what it answers.
pub(super) struct Confirmation<'a> {
    pub(super) old: &'a Entry,
    /// Its fields.
    pub(super) from: &'a HeaderMap,
    /// The fields that were sent.
    pub(super) sent: &'a HeaderMap,
    /// The validator that was sent is a strong one: what was accepted before the request left is in the old answer.
    pub(super) is_strong: bool,
    pub(super) stamp: Position,
    pub(super) asked: Now,
    pub(super) is_https: bool,
    pub(super) by_hold: bool,
}

impl Confirmation<'_> {
    /// The old answer with its head brought up to date, and what of the 304 is only for the request that it answers. Its
    /// body is the same, not a copy.
    pub(super) fn apply(self, cache: &Cache) -> (Entry, Verdict, HeaderMap) {
        let Self { old, from, sent, .. } = self;
        let moves = self.is_strong || mutant!("weak-304");
        let answered = Now::read();
        let mut headers = without_places(old.headers.clone());
        merge_304(&mut headers, from);
        // Age and lifetime count from this answer, which may leave out what the first one said.
        if !from.contains_key(DATE) {
            headers.insert(DATE, format_http_date(answered.wall));
        }
        if let Some(age) = from.get(AGE) {
            headers.insert(AGE, age.clone());
        }
        let policy = CacheControl::of(&headers);
        let freshness = Freshness::of(self.asked, answered, &headers, &policy).of_status(old.status);
        let brought = Instruct::from_headers(from).ok().flatten();
        let verdict = judge(
            &RequestFacts::of(&Method::GET, sent),
            &ResponseFacts {
                status: old.status,
                headers: &headers,
                policy: &policy,
                freshness: &freshness,
                has_instructions: brought.is_some() || old.instruct.is_some(),
            },
            &cache.limits(),
        );
        let tags = from.contains_key(SURROGATE_KEY).then(|| Tags::of(from));
        let mut channels: Vec<Channel> = Vec::new();
        if let Some(hold) = brought.as_ref().and_then(|instruct| instruct.hold.as_ref()) {
            channels.extend(hold.channels.iter().map(|channel| channel.name.clone()));
        }
        let (keys, channel_weight) = match tags {
            Some(tags) => {
                let weight = channel_weight(&tags.channels);
                channels.extend(tags.channels);
                (tags.keys.into(), weight)
            }
            None => (old.keys.clone(), old.channel_weight),
        };
        old.resource.learn(&channels);
        let instruct = match brought {
            Some(instruct) => Some(std::sync::Arc::new(instruct)),
            // The ids name what the body contains, and that may be more by now.
            None if moves => old.instruct.as_ref().map(|instruct| without_ids(instruct)),
            None => old.instruct.clone(),
        };
        let vary = old.resource.rule(VarySpec::of(&headers), false);
        let mut headers = stored_headers(&headers, &policy);
        grip::strip(&mut headers);
        headers.remove(SURROGATE_KEY);
        detach(&mut headers);
        let length = OnceLock::new();
        if let Some(known) = old.length.get() {
            let _ = length.set(*known);
        }
        let entry = Entry {
            resource: old.resource.clone(),
            variant: cache.variant(Some(&vary), sent, self.is_https, self.by_hold),
            vary,
            stamp: if moves { self.stamp } else { old.stamp },
            status: old.status,
            validators: Validators::of(&headers),
            headers: with_places(headers),
            instruct,
            freshness,
            keys,
            channel_weight,
            quiet: Quiet::default(),
            body: old.body.clone(),
            length,
            lines: Lines::default(),
            head: OnceLock::new(),
        };
        (entry, verdict, own_fields_of(from, &policy))
    }
}

fn without_ids(instruct: &Instruct) -> std::sync::Arc<Instruct> {
    let mut instruct = instruct.clone();
    for channel in instruct.hold.iter_mut().flat_map(|hold| &mut hold.channels) {
        channel.prev_id = None;
    }
    std::sync::Arc::new(instruct)
}

//! An answer: stored, or still arriving. It knows no URL: what is stored is [shelved](super::store::Shelved) under one.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, StatusCode};

use super::account::Charge;
use super::channels::{Channels, Named};
use super::key::VariantKey;
use super::policy::{Freshness, Validators, VarySpec};
use super::serve::Lines;
use crate::body::Chunk;
use crate::grip::Instruct;
use crate::hub::Since;
use crate::log::Log;
use crate::marks::Seen;
use crate::order::TargetKey;
use crate::position::Stamp;
use crate::sync::Arc;

/// What an entry takes beside what its origin determines: itself, its log, its URL's resource, its places in the store
/// and in the index. Measured.
const FIXED_WEIGHT: usize = 1_400;
/// What a field takes beside its name and value: a bucket of the map, and its share of the indices.
const FIELD_WEIGHT: usize = 112;

/// An answer that can be given to many: its head, and the log of its body. While the body arrives it is the
/// answer of a flight; when that is complete it goes into the store as it is.
pub(crate) struct Entry {
    pub(super) head: Arc<Head>,
    pub(super) body: Arc<Log<Chunk>>,
    /// Bytes of the body, as soon as they are known.
    pub(super) length: OnceLock<u64>,
    /// What it has seen of the marks of its targets: its URL's, and its surrogate keys.
    pub(super) seen: Seen,
    /// Fields of a hit that only change with the second.
    pub(super) lines: Lines,
    /// Counts what it takes beside its body, once it is stored.
    pub(super) charge: OnceLock<Charge>,
}

/// All of an answer but its body.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) variant: VariantKey,
    pub(super) vary: Arc<VarySpec>,
    /// Rule C3: what was accepted at or before it is in this answer.
    pub(super) stamp: Stamp,
    pub(super) status: StatusCode,
    /// Without hop-by-hop fields, `Age`, `Grip-*` and surrogate keys.
    pub(super) headers: HeaderMap,
    /// It came described in JSON, in a message whose fields say how it may be kept: those.
    pub(super) wrapper: Option<Box<HeaderMap>>,
    /// It was modified in the second that it was sent in, or later: nobody is told when.
    pub(super) hides_last_modified: bool,
    pub(super) instruct: Option<std::sync::Arc<Instruct>>,
    /// Those for a client that has this answer already: a 304 brought them.
    pub(super) instruct_unchanged: Option<std::sync::Arc<Instruct>>,
    pub(super) freshness: Freshness,
    pub(super) validators: Option<Validators>,
    /// Its surrogate keys, as far as they are read, separated by spaces.
    pub(super) tags: Box<str>,
    /// Their hashes. Those of its channels are the URL's.
    pub(super) keys: Box<[TargetKey]>,
    /// The channels that it names.
    pub(super) named: Option<Arc<Named>>,
}

// === impl Entry ===

impl Entry {
    /// An answer whose body is in this log, or will be.
    pub(super) fn new(head: Arc<Head>, body: Arc<Log<Chunk>>, length: Option<u64>) -> Self {
        Self {
            head,
            body,
            length: length.map_or_else(OnceLock::new, OnceLock::from),
            seen: Seen::default(),
            lines: Lines::default(),
            charge: OnceLock::new(),
        }
    }

    /// The same answer with the same body in another log.
    pub(super) fn with_body(&self, body: Arc<Log<Chunk>>) -> Self {
        Self::new(self.head.clone(), body, self.length.get().copied()).having_seen(self.seen.clone())
    }

    /// The same, of which this is known. With the stamp goes what happened since (rule C4).
    pub(super) fn having_seen(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn weight(&self) -> u64 {
        self.length.get().copied().unwrap_or_default() + self.head_weight()
    }

    /// The same without its body.
    pub(super) fn head_weight(&self) -> u64 {
        (self.head.weight() + self.trailer_weight()) as u64
    }

    fn trailer_weight(&self) -> usize {
        let Some([.., Chunk::Trailers(trailers)]) = self.body.whole() else {
            return 0;
        };
        let text = trailers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len());
        // The map has room for more.
        text.sum::<usize>() + trailers.capacity() * FIELD_WEIGHT
    }

    /// What happened to it since its stamp: to be judged with the targets and channels of its URL.
    pub(super) fn since<'a>(&'a self, url: &'a [TargetKey], channels: &'a Channels) -> Since<'a> {
        channels.since(self.head.stamp, [url, &self.head.keys], Some(&self.seen))
    }
}

// === impl Head ===

impl Head {
    fn weight(&self) -> usize {
        let fields: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + FIELD_WEIGHT)
            .sum();
        let instructs = [&self.instruct, &self.instruct_unchanged].into_iter().flatten();
        let instruct: usize = instructs.map(|instruct| instruct.bytes()).sum();
        let vary = self.vary.names().iter();
        let vary: usize = vary
            .map(|name| size_of::<HeaderName>() + 8 + name.as_str().len())
            .sum();
        let keys = self.keys.len() * size_of::<TargetKey>() + self.tags.len();
        let named = self.named.as_ref().map_or(0, |named| named.weight());
        fields + instruct + vary + keys + named + FIXED_WEIGHT
    }

    pub(super) fn instruct(&self) -> Option<&Instruct> {
        self.instruct.as_deref()
    }

    /// Its instructions, and the channels that it names.
    pub(super) fn names(&self) -> (Option<&Instruct>, Option<&Named>) {
        (self.instruct(), self.named.as_deref())
    }

    /// Whether it asks for a hold.
    pub(super) fn is_hold(&self) -> bool {
        self.instruct().is_some_and(|instruct| instruct.hold.is_some())
    }
}

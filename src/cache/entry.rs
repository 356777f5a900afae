//! An answer: stored, or still arriving.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, StatusCode};

use super::memory::Charge;
use super::policy::{Freshness, Validators, VarySpec};
use super::resource::{Channels, Resource};
use crate::body::Chunk;
use crate::grip::Instruct;
use crate::hub::{Quiet, Since};
use crate::log::Log;
use crate::message::Channel;
use crate::order::TargetKey;
use crate::position::Position;
use crate::sync::Arc;

/// Names a variant of a URL: scheme, who asks, and the values of the fields that `Vary` names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct VariantKey(pub(super) u128);

/// What an entry takes beside what its origin determines: itself, its log, its URL's resource, its places in the store
/// and in the index. Measured.
const FIXED_WEIGHT: usize = 1_536;
/// What a field takes beside its name and value: a bucket of the map, and its share of the indices.
const FIELD_WEIGHT: usize = 112;
/// What a channel takes beside its name, in its URL's resource. Measured.
const CHANNEL_WEIGHT: usize = 64;

/// An answer that can be given to many: its head, and the log of its body. While the body arrives it is the
/// answer of a flight; when that is complete it goes into the store as it is.
pub(crate) struct Entry {
    pub(super) resource: Arc<Resource>,
    pub(super) variant: VariantKey,
    pub(super) vary: Arc<VarySpec>,
    /// Everything accepted at or before it is in this answer.
    pub(super) stamp: Position,
    pub(super) status: StatusCode,
    /// Without hop-by-hop fields, `Age`, `Grip-*` and surrogate keys.
    pub(super) headers: HeaderMap,
    pub(super) instruct: Option<std::sync::Arc<Instruct>>,
    pub(super) freshness: Freshness,
    pub(super) validators: Option<Validators>,
    /// Its surrogate keys; those of its channels are the resource's.
    pub(super) keys: Box<[TargetKey]>,
    /// What the channels among them weigh.
    pub(super) channel_weight: usize,
    /// What was found of its own targets: the resource's and its surrogate keys.
    pub(super) quiet: Quiet,
    pub(super) body: Arc<Log<Chunk>>,
    /// Bytes of the body, as soon as they are known.
    pub(super) length: OnceLock<u64>,
    /// Fields of a hit that only change with the second.
    pub(super) lines: super::serve::Lines,
    /// Counts what it takes beside its body, once it is stored.
    pub(super) head: OnceLock<Charge>,
}

/// What channels weigh that surrogate keys name: those of instructions weigh with them.
pub(super) fn channel_weight(channels: &[Channel]) -> usize {
    let weights = channels
        .iter()
        .map(|channel| channel.as_str().len() + CHANNEL_WEIGHT);
    weights.sum()
}

// === impl Entry ===

impl Entry {
    /// Bytes of memory that it takes, about.
    pub(super) fn weight(&self) -> u64 {
        self.length.get().copied().unwrap_or_default() + self.head_weight()
    }

    /// The same without its body.
    pub(super) fn head_weight(&self) -> u64 {
        let fields: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + FIELD_WEIGHT)
            .sum();
        let instruct = self.instruct.as_ref().map_or(0, |instruct| instruct.bytes());
        let vary = self.vary.names().iter();
        let vary: usize = vary
            .map(|name| size_of::<HeaderName>() + 8 + name.as_str().len())
            .sum();
        let keys = self.keys.len() * size_of::<TargetKey>() + self.channel_weight;
        let fixed = FIXED_WEIGHT + self.resource.url.as_str().len();
        let head = fields + instruct + vary + keys + fixed;
        (head + self.trailer_weight()) as u64
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

    /// The same answer with the same body in another log.
    pub(super) fn with_body(&self, body: Arc<Log<Chunk>>) -> Self {
        let length = OnceLock::new();
        if let Some(known) = self.length.get() {
            let _ = length.set(*known);
        }
        Self {
            resource: self.resource.clone(),
            variant: self.variant,
            vary: self.vary.clone(),
            stamp: self.stamp,
            status: self.status,
            headers: self.headers.clone(),
            instruct: self.instruct.clone(),
            freshness: self.freshness,
            validators: self.validators.clone(),
            keys: self.keys.clone(),
            channel_weight: self.channel_weight,
            quiet: Quiet::default(),
            body,
            length,
            lines: super::serve::Lines::default(),
            head: OnceLock::new(),
        }
    }

    /// What happened to it since its stamp: to be judged with the channels of its URL.
    pub(super) fn since<'a>(&'a self, channels: &'a Channels) -> Since<'a> {
        Since {
            stamp: self.stamp,
            keys: [&self.resource.keys, &self.keys],
            quiet: Some(&self.quiet),
            channel_keys: &channels.keys,
            channels: &channels.names,
        }
    }

    /// Whether a hold that replays what came after the stamp starts from it.
    pub(super) fn is_stream(&self) -> bool {
        use crate::grip::HoldMode;
        self.instruct
            .as_ref()
            .and_then(|i| i.hold.as_ref())
            .is_some_and(|hold| hold.mode == HoldMode::Stream)
    }

    /// Whether it asks for a hold.
    pub(super) fn is_hold(&self) -> bool {
        self.instruct
            .as_ref()
            .is_some_and(|instruct| instruct.hold.is_some())
    }
}

//! Dates that tell one value of a URL from the next, and those that do not (rule C3).
//!
//! An answer that is sent in the second that it was modified in may be followed by another one with the same
//! `Last-Modified`. Where a URL has channels nobody is told such a date; elsewhere it is handed out, for a cache forwards
//! what it gets (RFC 9111 3.1), and what is remembered here is that it proves nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;

use super::channels::Named;
use super::handle::Cache;
use super::policy::{Arrival, ambiguous_date};
use super::resource::Resource;
use crate::order::TargetKey;
use crate::sync::Arc;

/// Slots that URLs share; 256 KiB, once there is such a date. Where two share one, a condition by a date that would have
/// done gets the whole answer.
const SLOTS: usize = 1 << 16;

/// The last second, of each slot's URLs, whose date told nothing.
#[derive(Default)]
pub(super) struct Dates(OnceLock<Box<[AtomicU32]>>);

// === impl Dates ===

impl Dates {
    /// An answer of this URL was modified in a second that was not over.
    fn tells_nothing(&self, resource: &Resource, modified: SystemTime) {
        let slots = self
            .0
            .get_or_init(|| (0..SLOTS).map(|_| AtomicU32::new(0)).collect());
        let second = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let second = u32::try_from(second).unwrap_or(u32::MAX);
        slots[slot_of(resource)].fetch_max(second, Ordering::Relaxed);
    }

    /// The last second of which a date proves nothing for this URL, if there is one.
    pub(super) fn prove_after(&self, resource: &Resource) -> Option<SystemTime> {
        let second = self.0.get()?[slot_of(resource)].load(Ordering::Relaxed);
        (second > 0).then(|| UNIX_EPOCH + Duration::from_secs(second.into()))
    }
}

/// Queries are made by whoever likes: those of one path share a slot.
fn slot_of(resource: &Resource) -> usize {
    let url = resource.url.as_str();
    let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    let path = path.split('?').next().unwrap_or_default();
    TargetKey::of_url(host.as_bytes(), path).slot(SLOTS)
}

impl Cache {
    /// Whether the date of an answer does not tell it from others; then that is remembered of its URL.
    pub(super) fn is_ambiguous(&self, resource: &Resource, headers: &HeaderMap, arrival: Arrival) -> bool {
        let modified = ambiguous_date(headers, arrival);
        // One that is still to come is ambiguous in whatever answer it stands.
        if let Some(modified) = modified.filter(|modified| *modified <= arrival.received) {
            self.dates().tells_nothing(resource, modified);
        }
        modified.is_some()
    }

    /// Whether nobody is told when such an answer was modified: only where its URL has channels.
    pub(super) fn hides_date(
        &self,
        resource: &Resource,
        headers: &HeaderMap,
        arrival: Arrival,
        named: Option<&Arc<Named>>,
    ) -> bool {
        self.is_ambiguous(resource, headers, arrival)
            && (named.is_some() || !resource.channels(self.hub()).is_empty())
    }
}

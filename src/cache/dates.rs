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
    pub(super) fn tells_nothing(&self, url: TargetKey, modified: SystemTime) {
        let slots = self
            .0
            .get_or_init(|| (0..SLOTS).map(|_| AtomicU32::new(0)).collect());
        let second = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let second = u32::try_from(second).unwrap_or(u32::MAX);
        slots[url.slot(SLOTS)].fetch_max(second, Ordering::Relaxed);
    }

    /// The last second of which a date proves nothing for this URL, if there is one.
    pub(super) fn proves_after(&self, url: TargetKey) -> Option<SystemTime> {
        let second = self
            .0
            .get()
            .map(|slots| slots[url.slot(SLOTS)].load(Ordering::Relaxed));
        let second = second.filter(|second| *second > 0)?;
        Some(UNIX_EPOCH + Duration::from_secs(second.into()))
    }
}

impl Cache {
    /// Whether the date of an answer does not tell it from others; then that is remembered of its URL.
    pub(super) fn is_ambiguous(&self, resource: &Resource, headers: &HeaderMap, arrival: Arrival) -> bool {
        let modified = ambiguous_date(headers, arrival);
        if let Some(modified) = modified {
            self.dates().tells_nothing(resource.key(), modified);
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

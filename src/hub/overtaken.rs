//! States that came before what they say they follow. That comes too late: it must not take their place (rule D2a).
//!
//! The pacer sees to it as long as a channel is paced. Here is what it has let go, or never saw: the call of another process
//! that took longer than an interval.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Gaps of one channel that are remembered: the last of them.
const MOST: usize = 8;
/// States that came too late, of one gap: likewise.
const MOST_FILLED: usize = 32;
/// How long: what comes later under such an id is another state.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// What one channel's states lacked.
#[derive(Default)]
pub(super) struct Overtaken(VecDeque<Gap>);

/// What lies between a state and the last one before it.
struct Gap {
    /// What the state says it follows.
    awaited: Arc<str>,
    /// The last message before it, or what follows that and came too late.
    after: Option<Arc<str>>,
    /// What came too late.
    filled: VecDeque<Arc<str>>,
    /// The state's number.
    by: u64,
    since: Instant,
}

// === impl Overtaken ===

impl Overtaken {
    /// The state with this number follows what is not there.
    pub(super) fn note(&mut self, awaited: Arc<str>, after: Option<Arc<str>>, by: u64, now: Instant) {
        self.forget_old(now);
        // Another form of it is none of its own.
        if self.0.iter().any(|gap| gap.awaited == awaited) {
            return;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Gap {
            awaited,
            after,
            filled: VecDeque::new(),
            by,
            since: now,
        });
    }

    /// The number of the state that this one leads up to.
    pub(super) fn by(&self, id: &Arc<str>, prev_id: Option<&Arc<str>>, now: Instant) -> Option<u64> {
        let mut gaps = self.0.iter().rev().filter(|gap| !gap.is_old(now));
        gaps.find(|gap| gap.has(id, prev_id)).map(|gap| gap.by)
    }

    /// It came too late. What it follows may, too, unless that is `known`.
    pub(super) fn fill(&mut self, id: &Arc<str>, prev_id: Option<&Arc<str>>, known: bool, now: Instant) {
        let Some(gap) = self.0.iter_mut().rev().find(|gap| gap.has(id, prev_id)) else {
            return;
        };
        if !gap.filled.contains(id) {
            if gap.filled.len() == MOST_FILLED {
                gap.filled.pop_front();
            }
            gap.filled.push_back(id.clone());
        }
        if gap.after.is_some() && gap.after.as_ref() == prev_id {
            gap.after = Some(id.clone());
        } else if let Some(prev_id) = prev_id.filter(|_| !known && gap.awaited == *id) {
            let (after, by) = (gap.after.clone(), gap.by);
            self.note(prev_id.clone(), after, by, now);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn forget_old(&mut self, now: Instant) {
        self.0.retain(|gap| !gap.is_old(now));
    }

    /// Bytes of memory that it takes beside this.
    pub(super) fn weight(&self) -> usize {
        let filled = self.0.iter().map(|gap| gap.filled.capacity());
        self.0.capacity() * size_of::<Gap>() + filled.sum::<usize>() * size_of::<Arc<str>>()
    }
}

// === impl Gap ===

impl Gap {
    fn has(&self, id: &Arc<str>, prev_id: Option<&Arc<str>>) -> bool {
        let follows = self.after.is_some() && self.after.as_ref() == prev_id;
        self.awaited == *id || follows || self.filled.contains(id)
    }

    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > REMEMBERED_FOR
    }
}

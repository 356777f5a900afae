//! Where a channel's messages lead, as their ids say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::position::Position;

/// Gaps of one channel that are remembered: the last of them.
const MOST: usize = 32;
/// How long: what comes later under such an id is another message.
const AWAITED_FOR: Duration = Duration::from_secs(10);

/// The end of one channel's log.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// Of the last message.
    pub(super) last_id: Option<Arc<str>>,
    /// What messages that are here say they follow, and was not here when they came.
    awaited: Vec<Awaited>,
}

/// What is missing.
#[derive(Clone, Debug)]
struct Awaited {
    id: Arc<str>,
    /// Where the first is that it leads up to.
    by: Position,
    since: Instant,
}

// === impl Tail ===

impl Tail {
    /// A message comes, and the one that it says it follows, which may be one that the channel `has`. It is the last one,
    /// unless it leads up to those that are here. Where the first of those is, if so.
    pub(super) fn move_on<'a>(
        &mut self,
        (at, now): (Position, Instant),
        id: Option<&Arc<str>>,
        prev_id: Option<&'a Arc<str>>,
        has: impl FnOnce(&'a Arc<str>) -> bool,
    ) -> Option<Position> {
        self.forget_old(now);
        let follows = prev_id.is_some() && prev_id == self.last_id.as_ref();
        let place = id.and_then(|id| self.awaited.iter().position(|awaited| awaited.id == *id));
        let by = place.map(|place| self.awaited.remove(place).by);
        if let Some(prev_id) = prev_id
            && !follows
            && !self.awaits(prev_id)
            && !has(prev_id)
        {
            if self.awaited.len() == MOST {
                self.awaited.remove(0);
            }
            self.awaited.push(Awaited {
                id: prev_id.clone(),
                by: by.unwrap_or(at),
                since: now,
            });
        }
        if follows || by.is_none() {
            self.last_id = id.cloned();
        }
        by
    }

    /// Nobody waits for ever for what is missing.
    pub(super) fn forget_old(&mut self, now: Instant) {
        self.awaited
            .retain(|awaited| now.saturating_duration_since(awaited.since) <= AWAITED_FOR);
    }

    /// Whether a message that is here follows it, and it is not known to be here.
    pub(super) fn awaits(&self, id: &Arc<str>) -> bool {
        self.awaited.iter().any(|awaited| awaited.id == *id)
    }

    /// All of these, the oldest gap first.
    pub(super) fn awaited(&self) -> impl Iterator<Item = &Arc<str>> {
        self.awaited.iter().map(|awaited| &awaited.id)
    }

    /// Bytes that the names of what is missing take, beside `each` of them.
    pub(super) fn weight(&self, each: usize) -> usize {
        self.awaited
            .iter()
            .map(|awaited| each + size_of::<Position>() + awaited.id.len())
            .sum()
    }
}

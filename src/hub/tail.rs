//! Where a channel's messages lead, as their ids say.

use std::sync::Arc;

/// Gaps of one channel that are remembered: the last of them.
const MOST: usize = 32;

/// The end of one channel's log.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// Of the last message.
    pub(super) last_id: Option<Arc<str>>,
    /// What messages that are here say they follow, and was not here when they came.
    awaited: Vec<Arc<str>>,
}

// === impl Tail ===

impl Tail {
    /// A message comes, and the one that it says it follows, which may be one that the channel `has`. It is the last one,
    /// unless it leads up to those that are here.
    pub(super) fn move_on<'a>(
        &mut self,
        id: Option<&Arc<str>>,
        prev_id: Option<&'a Arc<str>>,
        has: impl FnOnce(&'a Arc<str>) -> bool,
    ) {
        let follows = prev_id.is_some() && prev_id == self.last_id.as_ref();
        let place = id.and_then(|id| self.awaited.iter().position(|awaited| awaited == id));
        if let Some(place) = place {
            self.awaited.remove(place);
        }
        if let Some(prev_id) = prev_id
            && !follows
            && !self.awaits(prev_id)
            && !has(prev_id)
        {
            if self.awaited.len() == MOST {
                self.awaited.remove(0);
            }
            self.awaited.push(prev_id.clone());
        }
        if follows || place.is_none() {
            self.last_id = id.cloned();
        }
    }

    /// Whether a message that is here follows it, and it is not known to be here.
    pub(super) fn awaits(&self, id: &Arc<str>) -> bool {
        self.awaited.contains(id)
    }

    /// All of these, the oldest gap first.
    pub(super) fn awaited(&self) -> &[Arc<str>] {
        &self.awaited
    }

    /// Bytes that the names of what is missing take, beside `each` of them.
    pub(super) fn weight(&self, each: usize) -> usize {
        self.awaited.iter().map(|id| each + id.len()).sum()
    }
}

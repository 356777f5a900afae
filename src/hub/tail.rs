//! Where a channel's messages lead, as their ids say.

use std::sync::Arc;

/// The end of one channel's log.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// Of the last message.
    pub(super) last_id: Option<Arc<str>>,
    /// What comes before the first of those that lead up to that, each to the next one, and is not known to be here.
    pub(super) awaited: Option<Arc<str>>,
}

// === impl Tail ===

impl Tail {
    /// A message comes, and the one that it says it follows. It is the last one, unless it leads up to those that are here.
    pub(super) fn move_on(&mut self, id: Option<&Arc<str>>, prev_id: Option<&Arc<str>>) {
        let follows = prev_id.is_some() && prev_id == self.last_id.as_ref();
        if !follows {
            let leads_up = id.is_some() && id == self.awaited.as_ref();
            self.awaited = prev_id.cloned();
            if leads_up {
                return;
            }
        }
        self.last_id = id.cloned();
    }
}

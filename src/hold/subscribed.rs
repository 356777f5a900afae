//! A subscription, and what is known of what it lacks.

use super::ids::Ids;
use crate::hub::{SubscribeError, Subscription};
use crate::position::Position;

/// A subscription from which a hold starts, and what is known of what it lacks.
pub(super) struct Subscribed {
    pub(super) subscription: Subscription,
    /// A `close` or `hint` at or before this is not obeyed: the hold is made of an older answer, for there is no
    /// younger one.
    pub(super) deaf_to: Position,
    /// Messages may be missing.
    pub(super) marked: bool,
}

// === impl Subscribed ===

impl Subscribed {
    /// It lacks nothing.
    pub(super) fn complete(subscription: Subscription) -> Self {
        Self {
            subscription,
            deaf_to: Position::ZERO,
            marked: false,
        }
    }

    /// To what there is.
    pub(super) fn marked(error: SubscribeError) -> Self {
        Self {
            deaf_to: error.superseded_by().unwrap_or_default(),
            subscription: error.anyway(),
            marked: true,
        }
    }

    /// Its subscription, for a hold with these ids: where they say what follows what, a message has come whatever form it
    /// has. What their bodies name may have come already.
    pub(super) fn following(self, ids: &mut Ids) -> Subscription {
        ids.note_past(|channel, id| self.subscription.is_last_below(channel, id));
        match ids.are_there() {
            true => self.subscription.with_all_ids(),
            false => self.subscription,
        }
    }
}

//! A reader of one channel. It reads up to the clock, never further: of an order that is being applied it sees nothing.

use std::task::Waker;

use super::known::Mark;
use super::topic::{Item, There, Topic};
use crate::log::readers::Seat;
use crate::position::Position;
use crate::sync::Arc;

/// A reader of a [`Topic`].
pub(super) struct Cursor {
    topic: Arc<Topic>,
    next: u64,
    seat: Seat,
    /// With this change of the channel it found nothing, and it waits.
    quiet: Option<u32>,
}

/// What a cursor finds.
pub(super) enum Found {
    /// The next message, and what is told of it.
    Item(Item, Option<Mark>),
    /// The next message is no longer there.
    Lagged,
    /// Nothing: it waits.
    Nothing,
    /// The next message is there, but the clock has not come to it: it waits. Where the clock has moved since it was read
    /// for this look, nobody else may tell, so it has to look again.
    Ahead,
}

// === impl Cursor ===

impl Cursor {
    pub(super) fn new(topic: Arc<Topic>, next: u64, seat: Seat) -> Self {
        Self {
            topic,
            next,
            seat,
            quiet: None,
        }
    }

    pub(super) fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// The next message at or below `upto`, which the clock has come to, without moving past it.
    pub(super) fn peek(&mut self, upto: Position, waker: &Waker) -> Found {
        // It has been woken, most likely.
        let mut anew = self.quiet.is_none();
        loop {
            // After the clock, whose orders are all there.
            let changes = self.topic.changes();
            let mut is_ahead = false;
            if self.quiet != Some(changes) {
                self.quiet = None;
                match self.topic.look(self.next, upto) {
                    There::Item(number, item, mark) => {
                        self.next = number;
                        return Found::Item(item, mark);
                    }
                    There::Lagged => return Found::Lagged,
                    There::Ahead => is_ahead = true,
                    There::Nothing => {}
                }
            }
            // Who must not read yet what it has seen is woken as one that has not seen it.
            let seen = changes.wrapping_sub(u32::from(is_ahead));
            self.seat.wait(seen, waker, anew);
            anew = false;
            if self.topic.changes() == changes {
                self.quiet = (!is_ahead).then_some(changes);
                return if is_ahead { Found::Ahead } else { Found::Nothing };
            }
        }
    }

    /// Moves past one message.
    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    /// Goes on at the oldest message that is still here.
    pub(super) fn skip_to_tail(&mut self) {
        self.next = self.next.max(self.topic.first());
    }
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor")
            .field("channel", &self.topic.name)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.topic.leave(&self.seat);
    }
}

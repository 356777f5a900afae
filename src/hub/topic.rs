//! One channel: its log, and what is known of what the log no longer holds.

use std::collections::HashMap;

use tokio::time::Instant;

use super::subscription::Wants;
use crate::log::Log;
use crate::message::{Channel, Message, ResponseForm, StreamForm};
use crate::order::Publication;
use crate::position::Position;
use crate::sync::Arc;

/// What a message takes beside itself: its places in the log and in the order of all. Measured.
const ENTRY_WEIGHT: usize = 112;
/// What an id takes beside itself. Measured.
const ID_WEIGHT: usize = 64;
/// What a channel takes beside its name and its messages. Measured.
const CHANNEL_WEIGHT: usize = 512;

/// A message at its place.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) at: Position,
    pub(crate) born: Instant,
    pub(crate) message: std::sync::Arc<Message>,
}

pub(crate) struct Topic {
    pub(crate) log: Arc<Log<Item>>,
    /// What was accepted at or before it may be gone.
    pub(crate) floor: Position,
    /// The last message; of what is gone, no less than that.
    pub(crate) last: Position,
    pub(crate) last_id: Option<std::sync::Arc<str>>,
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    /// Index in the log of its first entry.
    pub(crate) first: u64,
    ids: HashMap<std::sync::Arc<str>, u32>,
    last_stream_act: Position,
    last_response_act: Position,
}

// === impl Topic ===

impl Topic {
    pub(super) fn new(floor: Position) -> Self {
        Self {
            log: Arc::new(Log::new()),
            floor,
            last: floor,
            last_id: None,
            entries: 0,
            bytes: 0,
            first: 0,
            ids: HashMap::new(),
            last_stream_act: Position::ZERO,
            last_response_act: Position::ZERO,
        }
    }

    /// Bytes of memory that it takes under this name, about. Without messages it is only there for its readers, who
    /// are not counted.
    pub(super) fn weight(&self, name: &Channel) -> usize {
        match self.entries {
            0 => 0,
            entries => {
                let fixed = CHANNEL_WEIGHT + name.as_str().len();
                fixed + self.bytes + entries * ENTRY_WEIGHT + self.ids.len() * ID_WEIGHT
            }
        }
    }

    /// Appends. Returns false for a message that is already here.
    pub(super) fn append(&mut self, publication: Publication, at: Position, now: Instant) -> bool {
        let mut message = publication.message;
        if publication.latest && message.prev_id.is_some() {
            // It follows whatever a hold has: there is no gap between states.
            std::sync::Arc::make_mut(&mut message).prev_id = None;
        }
        if message.id.as_ref().is_some_and(|id| self.ids.contains_key(id)) {
            return false;
        }
        if publication.latest {
            self.log.set_skips();
            while self.oldest_is_covered_by(&message) && self.pop().is_some() {}
        }
        if let Some(id) = &message.id {
            *self.ids.entry(id.clone()).or_default() += 1;
        }
        self.last = at;
        self.last_id = message.id.clone();
        if matches!(message.stream, Some(StreamForm::Close | StreamForm::Hint)) {
            self.last_stream_act = at;
        }
        if matches!(message.response, Some(ResponseForm::Hint)) {
            self.last_response_act = at;
        }
        self.bytes += message.weight();
        self.entries += 1;
        self.log.append(Item {
            at,
            born: now,
            message,
        });
        true
    }

    /// Whether a message with this id is here.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains_key(id)
    }

    /// Forgets the oldest message, if there is one: for whoever may need it, [`Topic::floor`] has risen.
    pub(super) fn evict(&mut self) -> bool {
        let Some(at) = self.pop() else { return false };
        self.floor = self.floor.max(at);
        true
    }

    /// Whether whoever takes the oldest message also takes this one: only then is it enough.
    fn oldest_is_covered_by(&self, message: &Message) -> bool {
        self.log.with_entries(|entries| {
            entries.next().is_some_and(|Item { message: old, .. }| {
                (old.stream.is_none() || message.stream.is_some())
                    && (old.response.is_none() || message.response.is_some())
                    && (old.socket.is_none() || message.socket.is_some())
            })
        })
    }

    fn pop(&mut self) -> Option<Position> {
        let item = self.log.pop_front()?;
        self.first += 1;
        self.entries -= 1;
        self.bytes -= item.message.weight();
        if let Some(id) = &item.message.id
            && let Some(count) = self.ids.get_mut(id)
        {
            *count -= 1;
            if *count == 0 {
                self.ids.remove(id);
            }
        }
        Some(item.at)
    }

    /// When the oldest message that is still here came, and where.
    pub(super) fn oldest(&self) -> Option<(Position, Instant)> {
        self.log
            .with_entries(|entries| entries.next().map(|item| (item.at, item.born)))
    }

    /// The last message that cannot be replayed to such a hold, but asks for a fetch.
    pub(super) fn last_unreplayable(&self, wants: Wants) -> Position {
        match wants {
            Wants::Stream => self.last_stream_act,
            Wants::Response => self.last_response_act,
            Wants::Socket => Position::ZERO,
        }
    }
}

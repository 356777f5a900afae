//! One channel: its log, and what is known of what the log no longer holds.

use std::collections::HashMap;

use tokio::time::Instant;

use super::subscription::Wants;
use crate::log::Log;
use crate::message::{Message, ResponseForm, StreamForm};
use crate::order::Publication;
use crate::position::Position;
use crate::sync::Arc;

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

    /// Appends. Returns the bytes that this takes and frees, or `None` for a message that is already here.
    pub(super) fn append(&mut self, publication: Publication, at: Position, now: Instant) -> Option<isize> {
        let mut message = publication.message;
        if publication.latest && message.prev_id.is_some() {
            // It follows whatever a hold has: there is no gap between states.
            std::sync::Arc::make_mut(&mut message).prev_id = None;
        }
        if message.id.as_ref().is_some_and(|id| self.ids.contains_key(id)) {
            return None;
        }
        let mut freed = 0;
        if publication.latest {
            self.log.set_skips();
            while self.oldest_is_covered_by(&message)
                && let Some((_, bytes)) = self.pop()
            {
                freed += bytes;
            }
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
        let weight = message.weight();
        self.bytes += weight;
        self.entries += 1;
        self.log.append(Item {
            at,
            born: now,
            message,
        });
        Some(weight as isize - freed as isize)
    }

    /// Whether a message with this id is here.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains_key(id)
    }

    /// Forgets the oldest message: for whoever may need it, [`Topic::floor`] has risen. Returns its bytes.
    pub(super) fn evict(&mut self) -> Option<usize> {
        let (at, bytes) = self.pop()?;
        self.floor = self.floor.max(at);
        Some(bytes)
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

    fn pop(&mut self) -> Option<(Position, usize)> {
        let item = self.log.pop_front()?;
        let weight = item.message.weight();
        self.first += 1;
        self.entries -= 1;
        self.bytes -= weight;
        if let Some(id) = &item.message.id
            && let Some(count) = self.ids.get_mut(id)
        {
            *count -= 1;
            if *count == 0 {
                self.ids.remove(id);
            }
        }
        Some((item.at, weight))
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

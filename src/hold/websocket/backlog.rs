//! What a client said and its origin has not accepted yet.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::grip::ws_events::{AcceptError, Event, content_bytes, drop_accepted, encode};

/// So much waits for an origin, places of events included; then its client is read no longer. No message may be longer.
/// As the reference proxy has it. Less than twice as much is ever there, for the last message may be that long.
pub(crate) const MAX_BACKLOG_BYTES: usize = 200_000;

/// What a client said and its origin has not accepted yet, in order.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: VecDeque<Event>,
    /// What they take: contents and places.
    bytes: u32,
    /// So many of the first ones were offered before.
    offered: u32,
    /// Bytes of content of those.
    replayed: u32,
}

/// The events of one request: the first ones.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) body: Bytes,
    pub(super) events: usize,
    pub(super) content_bytes: usize,
    pub(super) replayed: usize,
    /// There are no others.
    pub(super) is_all: bool,
}

// === impl Backlog ===

impl Backlog {
    pub(super) fn push(&mut self, event: Event) {
        self.bytes += place_bytes(1) + event.content_bytes() as u32;
        self.events.push_back(event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes as usize >= MAX_BACKLOG_BYTES
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is something that was never offered.
    pub(super) fn has_news(&self) -> bool {
        self.events.len() > self.offered as usize
    }

    /// What a request has: events as long as their contents are below the limit, or one.
    pub(super) fn offer(&self, one_event: bool) -> Offer {
        let mut begins_at = 0;
        let fits = |event: &&Event| {
            let fits = begins_at < MAX_BACKLOG_BYTES;
            begins_at += event.content_bytes();
            fits
        };
        let most = if one_event { 1 } else { usize::MAX };
        let events = self.events.iter().take(most).take_while(fits).count();
        let content_bytes = content_bytes(self.events.range(..events));
        Offer {
            body: encode(self.events.range(..events)),
            events,
            content_bytes,
            replayed: self.replayed as usize,
            is_all: events == self.events.len(),
        }
    }

    /// Drops what the origin accepted of the first so many events. Whether that is anything.
    pub(super) fn accept(&mut self, offered: usize, accepted: Option<u64>) -> Result<bool, AcceptError> {
        let accepted = drop_accepted(&mut self.events, offered, accepted)?;
        self.bytes -= place_bytes(accepted.events) + accepted.bytes as u32;
        self.offered = (offered - accepted.events) as u32;
        self.replayed = accepted.replayed as u32;
        if self.events.is_empty() {
            // Most sockets are silent mostly.
            *self = Self::default();
        }
        Ok(accepted.events > 0 || accepted.bytes > 0)
    }

    /// Drops all but the last event.
    pub(super) fn keep_last(&mut self) {
        let last = self.events.pop_back();
        *self = Self::default();
        last.into_iter().for_each(|event| self.push(event));
    }
}

fn place_bytes(events: usize) -> u32 {
    (events * size_of::<Event>()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: usize) -> Event {
        Event::Text(vec![b'x'; len].into())
    }

    #[test]
    fn empty_messages_fill_it_as_well() {
        let mut backlog = Backlog::default();
        while !backlog.is_full() {
            backlog.push(text(0));
        }
        assert!(backlog.len() <= MAX_BACKLOG_BYTES / 32, "{}", backlog.len());
    }

    #[test]
    fn what_it_has_is_counted_until_nothing_is_left() {
        let mut backlog = Backlog::default();
        for len in [3, 0, 5] {
            backlog.push(text(len));
        }
        assert_eq!(backlog.bytes, 8 + place_bytes(3));
        assert_eq!(backlog.accept(3, Some(4)), Ok(true));
        assert_eq!((backlog.bytes, backlog.replayed), (4 + place_bytes(1), 4));
        assert!(!backlog.has_news());
        backlog.push(text(2));
        assert!(backlog.has_news());
        let offer = backlog.offer(false);
        assert_eq!((offer.events, offer.content_bytes, offer.replayed), (2, 6, 4));
        assert_eq!(backlog.accept(2, Some(0)), Ok(false));
        assert_eq!(backlog.accept(2, None), Ok(true));
        assert_eq!((backlog.bytes, backlog.events.capacity()), (0, 0));
    }

    #[test]
    fn a_request_begins_no_event_beyond_the_limit() {
        let mut backlog = Backlog::default();
        for len in [MAX_BACKLOG_BYTES - 1, 10, 10] {
            backlog.push(text(len));
        }
        let offer = backlog.offer(false);
        assert_eq!((offer.events, offer.is_all), (2, false));
        let offer = backlog.offer(true);
        assert_eq!((offer.events, offer.is_all), (1, false));
        backlog.keep_last();
        let offer = backlog.offer(true);
        assert_eq!((offer.events, offer.content_bytes, offer.is_all), (1, 10, true));
    }
}

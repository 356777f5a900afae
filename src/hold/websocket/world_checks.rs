//! What must hold in that world, whatever happens.

use super::world::{World, bytes_of, ends_with_close};
use super::*;
use crate::grip::ws_events::{Event, Limits, content_bytes, decode};
use crate::message::SocketKind;

// === impl World ===

impl World {
    /// What the origin takes of events: as many bytes, and what has none in between.
    pub(super) fn hear(&mut self, events: &[Event], accepts: Option<usize>) {
        let mut left = accepts.unwrap_or(usize::MAX);
        for event in events {
            let Some((kind, content)) = event.as_message() else {
                continue;
            };
            let taken = content.len().min(left);
            if !content.is_empty() && taken == 0 {
                break;
            }
            self.heard.extend(bytes_of(kind, &content[..taken]));
            self.accepted_bytes += taken;
            left -= taken;
            if taken < content.len() {
                break;
            }
        }
        assert!(
            self.said.starts_with(&self.heard),
            "{:?} {:?}",
            self.said,
            self.heard
        );
    }

    pub(super) fn drive(&mut self) {
        for count in 0.. {
            assert!(count < 200, "it does not end");
            let Some(output) = self.session.next_output() else {
                break;
            };
            self.does(output);
        }
        assert!(self.session.next_output().is_none());
        if self.is_cut || !self.is_accepted {
            assert!(!self.session.wants_more());
        }
    }

    pub(super) fn does(&mut self, output: Output) {
        match output {
            Output::Ask(ask) => self.is_asked(ask),
            Output::Accept(_) => {
                assert!(!self.is_accepted && !self.is_cut);
                self.is_accepted = true;
            }
            Output::Refuse(_) => {
                assert!(!self.is_accepted && !self.is_cut);
                self.is_cut = true;
            }
            Output::Send(SocketKind::Text, content) => {
                assert!(self.is_open());
                self.got.push(String::from_utf8(content.to_vec()).unwrap());
            }
            // The ping of a client that is detached.
            Output::Send(kind, _) => assert!(kind == SocketKind::Pong && self.is_open()),
            Output::Close(_) => {
                assert!(self.is_open());
                self.is_closed = true;
            }
            Output::Cut(end) => {
                assert!(self.is_accepted && !self.is_cut);
                self.is_cut = true;
                self.counts = false;
                use SocketEnd::{Client, ClientFault, ClientSilent, Closed, Drain};
                self.is_broken |= !matches!(end, Client | ClientFault | ClientSilent | Closed | Drain);
            }
            Output::Join { .. } | Output::Leave(_) => panic!("nobody asked for it"),
        }
    }

    pub(super) fn is_asked(&mut self, ask: Ask) {
        assert!(self.running.is_none(), "two requests");
        assert!(!self.is_told, "something after the last");
        let events = decode(&ask.body, Limits::default()).expect("events");
        assert_eq!(
            (events.len(), ask.content_bytes),
            (ask.events, content_bytes(&events))
        );
        // One of the two, and it is the last.
        let is_end = |event: &Event| matches!(event, Event::Close(_) | Event::Disconnect);
        assert!(!events.iter().rev().skip(1).any(is_end), "{events:?}");
        assert!(
            !(self.has_close && events.contains(&Event::Disconnect)),
            "{events:?}"
        );
        self.has_close |= ends_with_close(&events);
        assert_eq!(events.first() == Some(&Event::Open), ask.kind == AskKind::Open);
        assert!(ask.replayed <= ask.content_bytes);
        if ask.kind != AskKind::Open {
            let replayed = self.offered_bytes - self.accepted_bytes;
            let messages = events.iter().filter_map(Event::as_message);
            let messages: usize = messages.map(|(_, content)| content.len()).sum();
            assert_eq!(ask.replayed, replayed.min(messages), "replayed");
        }
        self.running = Some(ask);
    }

    pub(super) fn check(&self) {
        assert_eq!(self.got, self.sent, "what the client gets");
    }
}

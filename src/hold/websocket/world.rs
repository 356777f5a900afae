//! A world around a session, for properties: a client, an origin and publishers, and the naive truth of what they saw.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::script::{answer, response};
use super::*;
use crate::grip::CloseFrame;
use crate::grip::ws_events::{Event, Limits, decode};
use crate::message::{SocketForm, SocketKind};

/// What happens. Some of it only if it can.
#[derive(Clone, Debug)]
pub(super) enum Happens {
    Says(SocketKind, usize),
    Closes(bool),
    Lost,
    Fault,
    Publish,
    PublishClose,
    Refresh,
    Drain,
    /// Seconds.
    Passes(u64),
    Answer(Answers),
    Fails(NoAnswer),
}

/// How an origin answers.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    /// How many 255ths of what it is offered it accepts; all.
    pub(super) accepts: Option<u8>,
    /// How many messages it has.
    pub(super) says: usize,
    pub(super) then: Then,
    pub(super) interval: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Then {
    Nothing,
    Close,
    Disconnect,
    Detach,
    /// It is no answer of events.
    Status,
}

/// The world around a session, and what it has seen. The naive truth.
pub(super) struct World {
    pub(super) session: Session,
    pub(super) now: Instant,
    pub(super) running: Option<Ask>,
    pub(super) is_accepted: bool,
    pub(super) is_closed: bool,
    pub(super) is_cut: bool,
    /// What the client says counts.
    pub(super) counts: bool,
    /// The connection did not live on as it should: what was said may be lost.
    pub(super) is_broken: bool,
    /// Each byte of the client with the kind of its message; for a message without any, what is no byte.
    pub(super) said: Vec<(SocketKind, u16)>,
    pub(super) heard: Vec<(SocketKind, u16)>,
    /// Bytes that the origin accepted, and up to where it was offered some in a request that it answered.
    pub(super) accepted_bytes: usize,
    pub(super) offered_bytes: usize,
    pub(super) sent: Vec<String>,
    pub(super) got: Vec<String>,
    pub(super) names: usize,
    /// It was asked with a `CLOSE`, and so often it answered one.
    pub(super) has_close: bool,
    pub(super) closes: u8,
    /// The origin did not accept what it was offered for the last time.
    pub(super) is_left: bool,
    pub(super) one_event: bool,
    /// The last event was told, and answered.
    pub(super) is_told: bool,
}

// === impl World ===

impl World {
    pub(super) fn new(one_event: bool) -> Self {
        let config = SessionConfig {
            one_event,
            ..SessionConfig::default()
        };
        let mut world = Self {
            session: Session::new(Arc::new(config)),
            now: Instant::now(),
            running: None,
            is_accepted: false,
            is_closed: false,
            is_cut: false,
            counts: true,
            is_broken: false,
            said: Vec::new(),
            heard: Vec::new(),
            accepted_bytes: 0,
            offered_bytes: 0,
            sent: Vec::new(),
            got: Vec::new(),
            names: 0,
            has_close: false,
            closes: 0,
            is_left: false,
            one_event,
            is_told: false,
        };
        world.drive();
        world
    }

    /// Whether the client gets messages.
    pub(super) fn is_open(&self) -> bool {
        self.is_accepted && !self.is_closed && !self.is_cut
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    pub(super) fn happens(&mut self, what: Happens) {
        match what {
            Happens::Says(kind, len) => {
                if self.session.wants_more() {
                    // Text, also where it is cut; and hardly the same twice.
                    let from = self.said.len();
                    let content: Vec<u8> = (from..from + len).map(|n| b' ' + (n % 94) as u8).collect();
                    if self.counts {
                        self.said.extend(bytes_of(kind, &content));
                    }
                    self.session.client_message(kind, content.into(), self.now);
                }
            }
            Happens::Closes(has_code) => {
                if self.is_accepted {
                    let frame = has_code.then(|| CloseFrame::new(4000, "why").unwrap());
                    self.session.client_close(frame);
                    self.counts = false;
                }
            }
            Happens::Lost => {
                self.session.client_lost();
                self.counts = false;
            }
            Happens::Fault if self.is_accepted => {
                self.session.client_fault(ClientFault::Protocol);
                self.counts = false;
            }
            Happens::Publish => {
                let name = self.name();
                if self.is_open() {
                    self.sent.push(name.clone());
                }
                self.session
                    .published(&SocketForm::Send(SocketKind::Text, name.into()), self.now);
            }
            Happens::PublishClose => {
                let close = SocketForm::Close {
                    code: None,
                    reason: "".into(),
                };
                self.session.published(&close, self.now);
                self.counts &= !self.is_open();
            }
            Happens::Refresh => self.session.refresh(),
            Happens::Drain => {
                self.session.drain(self.now);
                // One that is closing does so as before.
                self.counts &= self.is_accepted && !self.is_open();
            }
            Happens::Passes(seconds) => {
                let end = self.now + Duration::from_secs(seconds);
                let mut ticks = 0;
                while let Some(due) = self.session.deadline().filter(|due| *due <= end) {
                    assert!(due >= self.now || ticks == 0, "a time that is over");
                    ticks += 1;
                    assert!(ticks < 50, "it does not end");
                    self.now = self.now.max(due);
                    self.session.tick(self.now);
                    self.drive();
                }
                self.now = end;
            }
            Happens::Answer(answers) => self.answers(&answers),
            Happens::Fails(why) if self.running.is_some() => {
                let ask = self.running.take().unwrap();
                self.session.unanswered(why, self.now);
                // Nobody knows how much of it was heard.
                self.is_broken |= why == NoAnswer::SentWhole || ask.kind == AskKind::Open;
            }
            Happens::Fault | Happens::Fails(_) => {}
        }
        self.drive();
    }

    /// The origin answers what it was asked.
    fn answers(&mut self, how: &Answers) {
        let Some(ask) = self.running.take() else { return };
        let events = decode(&ask.body, Limits::default());
        let Ok(events) = events else {
            panic!("{:?}", ask.body)
        };
        let interval = how.interval.map(|interval| interval.to_string());
        let mut fields: Vec<(&str, &str)> = Vec::new();
        if let Some(interval) = &interval {
            fields.push(("keep-alive-interval", interval));
        }
        if how.then == Then::Status {
            self.is_broken = true;
            self.counts = false;
            self.session.answered(response(500, &[], ""), self.now);
            return self.drive();
        }
        if ask.kind == AskKind::Open && how.says == 0 && interval.is_some() {
            // It does not decide.
            self.session.answered(answer(&fields, &[]), self.now);
            return self.drive();
        }
        let messages = events.iter().filter_map(Event::as_message);
        let content_bytes: usize = messages.map(|(_, content)| content.len()).sum();
        let accepts = how.accepts.map(|part| content_bytes * usize::from(part) / 255);
        // All but a close is no part.
        let accepts = accepts.filter(|bytes| *bytes < content_bytes || ask.content_bytes == content_bytes);
        let accepted = accepts.map(|bytes| bytes.to_string());
        if let Some(accepted) = &accepted {
            fields.push(("content-bytes-accepted", accepted));
        }
        self.offered_bytes = self.offered_bytes.max(self.accepted_bytes + content_bytes);
        self.hear(&events, accepts);
        let is_final = ask.kind == AskKind::Last || ends_with_close(&events);
        let may_be_final = is_final || (self.one_event && (!self.counts || self.is_closed));
        self.is_left |= may_be_final && accepts.is_some_and(|bytes| bytes < content_bytes);
        let mut answers = Vec::new();
        if ask.kind == AskKind::Open {
            fields.push(super::script::GRIP);
            answers.push("OPEN".to_owned());
        }
        let was_open = self.is_open();
        let names: Vec<_> = (0..how.says).map(|_| self.name()).collect();
        answers.extend(names.iter().map(|name| format!("TEXT m:{name}")));
        answers.extend(match how.then {
            Then::Nothing | Then::Status => None,
            Then::Close => Some("CLOSE".to_owned()),
            Then::Disconnect => Some("DISCONNECT".to_owned()),
            Then::Detach => Some(r#"TEXT c:{"type":"detach"}"#.to_owned()),
        });
        self.counts &= match how.then {
            Then::Disconnect => false,
            // One that closes is not detached.
            Then::Detach => !was_open && ask.kind != AskKind::Open,
            Then::Nothing | Then::Close | Then::Status => true,
        };
        self.is_broken |= how.then == Then::Disconnect;
        let is_whole = accepts.is_none_or(|bytes| bytes == content_bytes);
        self.closes += u8::from(ends_with_close(&events) && is_whole);
        // At first, and five times more.
        assert!(self.closes <= 6);
        self.is_told = matches!(events.last(), Some(Event::Disconnect)) || self.is_told;
        let answers: Vec<_> = answers.iter().map(String::as_str).collect();
        self.session.answered(answer(&fields, &answers), self.now);
        let got = self.got.len();
        self.drive_expecting(was_open || ask.kind == AskKind::Open, names, got);
    }

    fn drive_expecting(&mut self, was_open: bool, names: Vec<String>, got: usize) {
        let is_broken = std::mem::replace(&mut self.is_broken, false);
        let is_accepted = self.is_accepted;
        let sent = self.sent.len();
        self.drive();
        // It said more than it may, or its client left before it opened.
        let said = was_open && !self.is_broken_now(got, names.len()) && (is_accepted || self.is_accepted);
        if said {
            self.sent.splice(sent..sent, names);
        }
        self.is_broken |= is_broken;
        self.check();
    }

    /// Whether the last answer was refused whole.
    fn is_broken_now(&self, got: usize, names: usize) -> bool {
        self.is_broken && self.got.len() < got + names
    }

    /// The client leaves, the origin takes all.
    pub(super) fn ends(&mut self) {
        self.happens(Happens::Lost);
        for _ in 0..200 {
            if self.session.is_over() && self.running.is_none() {
                break;
            }
            let answers = Answers {
                accepts: None,
                says: 1,
                then: Then::Nothing,
                interval: None,
            };
            self.happens(Happens::Answer(answers));
            self.happens(Happens::Passes(20));
        }
        assert!(
            self.session.is_over() && self.running.is_none(),
            "{:?}",
            self.session
        );
        assert_eq!(
            (self.session.deadline(), self.session.next_output().is_none()),
            (None, true)
        );
        self.check();
        if !self.is_broken && !self.is_left {
            assert_eq!(self.heard, self.said, "what the origin hears");
        }
    }
}

pub(super) fn ends_with_close(events: &[Event]) -> bool {
    matches!(events.last(), Some(Event::Close(_)))
}

pub(super) fn bytes_of(kind: SocketKind, content: &[u8]) -> Vec<(SocketKind, u16)> {
    match content {
        [] => vec![(kind, u16::MAX)],
        _ => content.iter().map(|&byte| (kind, u16::from(byte))).collect(),
    }
}

//! A driver for tests: it plays the origin and the client by turns, and writes down what the session wants.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::*;
use crate::grip::CloseFrame;
use crate::grip::ws_events::{EVENTS_TYPE, Event, Limits, decode, encode};
use crate::message::{SocketForm, SocketKind};

/// What is told to a session. Events are written as [`event`] reads them.
#[derive(Clone, Debug)]
pub(super) enum In {
    /// Nothing: what it wants by itself.
    Begins,
    /// An answer of events.
    Answer(&'static [&'static str]),
    /// The same, with fields.
    With(&'static [(&'static str, &'static str)], &'static [&'static str]),
    /// Any answer: its status, fields, body.
    Other(u16, &'static [(&'static str, &'static str)], &'static str),
    No(NoAnswer),
    /// A message of the client.
    Says(SocketKind, &'static str),
    /// The client's close frame, as an event.
    Closes(&'static str),
    Lost,
    Fault(ClientFault),
    Published(SocketForm),
    Refresh,
    Drain,
    /// So many milliseconds pass, with a tick at each deadline.
    Wait(u64),
}

/// One case: what is told, and all that the session wants then.
pub(super) type Case<'a> = (&'a str, &'a [(In, &'a [&'a str])]);

/// Grip, and nothing else.
pub(super) const GRIP: (&str, &str) = ("sec-websocket-extensions", "grip");

/// A session and its clock.
pub(super) struct Script {
    pub(super) session: Session,
    pub(super) now: Instant,
}

// === impl Script ===

impl Script {
    pub(super) fn new(config: SessionConfig) -> Self {
        Self {
            session: Session::new(Arc::new(config)),
            now: Instant::now(),
        }
    }

    /// One that is open, with GRIP.
    pub(super) fn opened(config: SessionConfig) -> Self {
        Self::opened_with(config, &[GRIP])
    }

    /// One that is open, by an answer with these fields.
    pub(super) fn opened_with(
        config: SessionConfig,
        fields: &'static [(&'static str, &'static str)],
    ) -> Self {
        let mut script = Self::new(config);
        script.tell(In::Begins);
        let wants = script.tell(In::With(fields, &["OPEN"]));
        assert!(wants[0].starts_with("accept"), "{wants:?}");
        script
    }

    /// What it wants when this happens.
    pub(super) fn tell(&mut self, what: In) -> Vec<String> {
        let (session, now) = (&mut self.session, self.now);
        match what {
            In::Begins => {}
            In::Answer(events) => session.answered(answer(&[], events), now),
            In::With(fields, events) => session.answered(answer(fields, events), now),
            In::Other(status, fields, body) => session.answered(response(status, fields, body), now),
            In::No(why) => session.unanswered(why, now),
            In::Says(kind, content) => session.client_message(kind, content.into(), now),
            In::Closes(frame) => match event(frame) {
                Event::Close(frame) => session.client_close(frame),
                other => panic!("{other:?}"),
            },
            In::Lost => session.client_lost(),
            In::Fault(fault) => session.client_fault(fault),
            In::Published(form) => session.published(&form, now),
            In::Refresh => session.refresh(),
            In::Drain => session.drain(now),
            In::Wait(ms) => return self.wait(Duration::from_millis(ms)),
        }
        self.wants()
    }

    /// All it wants now. That ends.
    pub(super) fn wants(&mut self) -> Vec<String> {
        let mut wants = Vec::new();
        while let Some(output) = self.session.next_output() {
            wants.push(shown(&output));
            assert!(wants.len() < 100, "it does not end: {wants:?}");
        }
        wants
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut wants = Vec::new();
        while let Some(due) = self.session.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.session.tick(self.now);
            wants.extend(self.wants());
            assert!(wants.len() < 100, "it does not end: {wants:?}");
        }
        self.now = end;
        // A tick that nothing asked for is no harm.
        self.session.tick(end);
        wants.extend(self.wants());
        wants
    }
}

/// Runs cases from the handshake on.
pub(super) fn run(config: &SessionConfig, cases: &[Case<'_>]) {
    check(cases, || Script::new(config.clone()));
}

/// Runs cases of connections that are open, with GRIP.
pub(super) fn run_opened(config: &SessionConfig, cases: &[Case<'_>]) {
    check(cases, || Script::opened(config.clone()));
}

fn check(cases: &[Case<'_>], script: impl Fn() -> Script) {
    for (case, steps) in cases {
        println!("{case}");
        let mut script = script();
        for (step, (what, wanted)) in steps.iter().enumerate() {
            let wants = script.tell(what.clone());
            assert_eq!(wants, *wanted, "{case}, step {step}: {what:?}");
        }
    }
}

/// An event: its type, and after a space its content, or a code and a reason.
pub(super) fn event(text: &str) -> Event {
    let (kind, content) = text.split_once(' ').unwrap_or((text, ""));
    let bytes = Bytes::copy_from_slice(content.as_bytes());
    match kind {
        "OPEN" => Event::Open,
        "TEXT" => Event::Text(bytes),
        "BINARY" => Event::Binary(bytes),
        "PING" => Event::Ping(bytes),
        "PONG" => Event::Pong(bytes),
        "DISCONNECT" => Event::Disconnect,
        "CLOSE" if content.is_empty() => Event::Close(None),
        "CLOSE" => {
            let (code, reason) = content.split_once(' ').unwrap_or((content, ""));
            Event::Close(Some(CloseFrame::new(code.parse().unwrap(), reason).unwrap()))
        }
        _ => panic!("{text}"),
    }
}

/// An answer of events.
pub(super) fn answer(fields: &[(&str, &str)], events: &[&str]) -> Response<Bytes> {
    let events: Vec<_> = events.iter().map(|text| event(text)).collect();
    let mut answer = response(200, fields, encode(&events));
    let events = HeaderValue::from_static(EVENTS_TYPE);
    answer.headers_mut().entry("content-type").or_insert(events);
    answer
}

pub(super) fn response(status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

fn shown_event(event: &Event) -> String {
    let name = event.type_name();
    match event {
        Event::Close(Some(frame)) => format!("{name} {}", shown_frame(frame)),
        _ => match event.as_message() {
            Some((_, content)) if !content.is_empty() => format!("{name} {}", content.escape_ascii()),
            _ => name.into(),
        },
    }
}

fn shown_frame(frame: &CloseFrame) -> String {
    format!("{} {}", frame.code(), frame.reason()).trim_end().into()
}

fn shown(output: &Output) -> String {
    match output {
        Output::Ask(ask) => {
            let events = decode(&ask.body, Limits::default()).expect("events");
            assert_eq!(events.len(), ask.events);
            let shown: Vec<_> = events.iter().map(shown_event).collect();
            let replayed = match ask.replayed {
                0 => String::new(),
                bytes => format!(" replayed {bytes}"),
            };
            format!("{:?} [{}]{replayed}", ask.kind, shown.join(", "))
        }
        Output::Accept(headers) => {
            let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            format!("accept {}", names.join(" ")).trim_end().into()
        }
        Output::Refuse(refusal) => match &**refusal {
            Refusal::Failed(end) => format!("refuse {}", end.as_str()),
            Refusal::Answer(response) => {
                let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
                let body = response.body().escape_ascii();
                format!(
                    "refuse {} [{}] {body}",
                    response.status().as_u16(),
                    names.join(" ")
                )
            }
        },
        Output::Send(kind, content) => format!("{kind:?} {}", content.escape_ascii()),
        Output::Close(frame) => format!("close {}", shown_frame(frame)),
        Output::Cut(end) => format!("cut {}", end.as_str()),
        Output::Join { channel, filters } if filters.is_empty() => format!("join {channel}"),
        Output::Join { channel, filters } => format!("join {channel} {}", filters.join(" ")),
        Output::Leave(channel) => format!("leave {channel}"),
    }
}

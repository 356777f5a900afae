//! The session: what it knows, what it is told, and what it wants.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use tokio::time::Instant;

use super::backlog::{Backlog, MAX_BACKLOG_BYTES};
use super::channels::Channels;
use super::config::SessionConfig;
use super::end::SocketEnd;
use super::filter_meta::FilterMeta;
use super::input::{ClientFault, NoAnswer};
use super::output::{Ask, AskKind, Output};
use super::quiet::Quiet;
use super::request::{MAX_RETRIES, Request, retry_at};
use crate::grip::ws_control::MessagePrefix;
use crate::grip::ws_events::{Event, encode};
use crate::grip::ws_headers::{Meta, RequestFields};
use crate::grip::{CloseFrame, MAX_CONTROL_BYTES};
use crate::message::{SocketForm, SocketKind};

/// One WebSocket whose origin speaks HTTP. See [the module](super).
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) config: Arc<SessionConfig>,
    pub(super) client: Client,
    pub(super) origin: Origin,
    /// What is to be done before the origin is asked the next time.
    pub(super) outputs: VecDeque<Output>,
    pub(super) backlog: Backlog,
    pub(super) request: Request,
    /// The origin is to be asked, also if there is nothing new to tell.
    pub(super) wanted: Option<AskKind>,
    /// How often the request was made again.
    pub(super) retries: u8,
    /// After so long a silence the origin wants to be asked.
    pub(super) interval: Option<Duration>,
    /// When that is.
    pub(super) due: Option<Instant>,
    /// The origin speaks GRIP inside the connection.
    pub(super) prefix: Option<MessagePrefix>,
    pub(super) meta: Meta,
    pub(super) channels: Channels,
    pub(super) quiet: Option<Box<Quiet>>,
    pub(super) filter_meta: Option<Box<FilterMeta>>,
}

/// The client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// It waits for its handshake.
    Pending,
    /// It gets and sends messages, or its close frame has come and it waits for ours.
    Open,
    /// It was sent a close frame and answers it until then, or is cut.
    Closing { until: Instant, end: SocketEnd },
    /// It is gone, and gets nothing any more.
    Gone,
}

/// The origin's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It has not decided whether the connection is opened.
    Opening,
    /// It is told what its client does. It may have closed; then the client is closing.
    Open,
    /// It is told of its client's close frame. The client waits for its answer.
    Awaited {
        frame: Option<CloseFrame>,
        /// How often it was told again.
        repeats: u8,
    },
    /// The last event that it is told is the last one of the backlog. A client that is still open is detached.
    Last,
    /// It is told nothing any more.
    Done,
}

// === impl Session ===

impl Session {
    /// A client whose handshake has come: the origin is to be asked.
    pub(crate) fn new(config: Arc<SessionConfig>) -> Self {
        Self {
            config,
            client: Client::Pending,
            origin: Origin::Opening,
            outputs: VecDeque::new(),
            backlog: Backlog::default(),
            request: Request::Idle,
            wanted: Some(AskKind::Open),
            retries: 0,
            interval: None,
            due: None,
            prefix: None,
            meta: Meta::default(),
            channels: Channels::default(),
            quiet: None,
            filter_meta: None,
        }
    }

    /// What is to be done next, until there is nothing.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        // Most sockets are silent mostly.
        self.outputs = VecDeque::new();
        self.next_ask().map(Output::Ask)
    }

    /// When it has to be ticked.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let closing = match self.client {
            Client::Closing { until, .. } => Some(until),
            _ => None,
        };
        let quiet = self.quiet.as_ref().and_then(|quiet| quiet.due());
        let times = [self.request.due(), self.due, closing, quiet];
        times.into_iter().flatten().min()
    }

    /// Whether the client is to be read. If not, it is to be asked again after each answer.
    pub(crate) fn wants_more(&self) -> bool {
        match self.client {
            Client::Pending | Client::Gone => false,
            Client::Open | Client::Closing { .. } => self.origin != Origin::Open || !self.backlog.is_full(),
        }
    }

    /// Whether nothing will come any more: the client is gone, and the origin knows.
    pub(crate) fn is_over(&self) -> bool {
        self.client == Client::Gone && self.origin == Origin::Done && self.outputs.is_empty()
    }

    /// The fields of a request, beside those that the client's handshake has.
    pub(crate) fn request_fields<'a>(
        &'a self,
        ask: &Ask,
        connection_id: &'a HeaderValue,
    ) -> RequestFields<'a> {
        RequestFields {
            connection_id,
            meta: &self.meta,
            body_bytes: ask.body.len(),
            replayed: ask.replayed,
        }
    }

    /// What filters know of the connection by this name.
    #[cfg_attr(not(test), expect(dead_code, reason = "filters are not known yet"))]
    pub(crate) fn filter_meta(&self, name: &str) -> Option<&str> {
        self.filter_meta.as_ref()?.get(name)
    }

    /// The request that was asked for has no whole answer.
    pub(crate) fn unanswered(&mut self, why: NoAnswer, now: Instant) {
        let Request::Running { kind, .. } = self.request else {
            return;
        };
        self.request = Request::Idle;
        // What a driver may try elsewhere was tried, and to tell an origin twice that a client connects makes two of it.
        let may_repeat = self.origin != Origin::Opening && why.is_harmless();
        if may_repeat && self.retries < MAX_RETRIES {
            let at = retry_at(now, self.retries);
            self.retries += 1;
            self.request = Request::Waiting { at, kind };
            return;
        }
        self.fail(match why {
            NoAnswer::NotReached => SocketEnd::Unreachable,
            NoAnswer::SentInPart | NoAnswer::SentWhole => SocketEnd::NoAnswer,
        });
    }

    /// The client sent a whole message. Only while it [is to be read](Self::wants_more).
    pub(crate) fn client_message(&mut self, kind: SocketKind, content: Bytes, now: Instant) {
        match (self.client, &self.origin) {
            (Client::Open | Client::Closing { .. }, Origin::Open) => {
                if content.len() > MAX_BACKLOG_BYTES || self.backlog.is_full() {
                    return self.client_fault(ClientFault::TooLarge);
                }
                self.backlog.push(Event::message(kind, content));
            }
            // Nobody else answers it, and a client may take the connection for dead.
            (Client::Open, Origin::Last | Origin::Done) if kind == SocketKind::Ping => {
                self.say(SocketKind::Pong, content, now);
            }
            _ => {}
        }
    }

    /// The client sent a close frame.
    pub(crate) fn client_close(&mut self, frame: Option<CloseFrame>) {
        match (self.client, &self.origin) {
            (Client::Open, Origin::Open) => {
                self.backlog.push(Event::Close(frame.clone()));
                self.origin = Origin::Awaited { frame, repeats: 0 };
            }
            (Client::Open, Origin::Last | Origin::Done) => self.echo(frame, SocketEnd::Closed),
            (Client::Closing { end, .. }, _) => {
                self.cut(end);
                if self.origin == Origin::Open {
                    self.tell_last(Event::Close(frame));
                }
            }
            (Client::Open, Origin::Opening | Origin::Awaited { .. })
            | (Client::Pending | Client::Gone, _) => {}
        }
    }

    /// The client went away without a close frame, at whatever time.
    pub(crate) fn client_lost(&mut self) {
        self.lost(SocketEnd::Client);
    }

    /// The client did what no client may do, as the driver saw. It is sent a close frame and cut.
    pub(crate) fn client_fault(&mut self, fault: ClientFault) {
        if self.client == Client::Open {
            self.outputs.push_back(Output::Close(fault.frame()));
        }
        self.lost(SocketEnd::ClientFault);
    }

    /// Something was published on a channel that the client reads.
    pub(crate) fn published(&mut self, form: &SocketForm, now: Instant) {
        match form {
            // Such a frame would cost the client its connection.
            SocketForm::Send(SocketKind::Ping | SocketKind::Pong, content)
                if content.len() > MAX_CONTROL_BYTES => {}
            SocketForm::Send(kind, content) => self.say(*kind, content.clone(), now),
            SocketForm::Close { code, reason } => {
                let frame = code.and_then(|code| CloseFrame::new(code, reason).ok());
                self.close(frame.unwrap_or_else(|| normal(reason)), SocketEnd::Closed, now);
            }
            SocketForm::Refresh => self.refresh(),
        }
    }

    /// The application wants to be asked.
    pub(crate) fn refresh(&mut self) {
        if self.client == Client::Open && self.origin == Origin::Open {
            self.want(AskKind::Refresh);
        }
    }

    /// The server goes away.
    pub(crate) fn drain(&mut self, now: Instant) {
        match self.client {
            Client::Pending => {
                self.refuse(SocketEnd::Drain);
                self.leave_opening();
            }
            Client::Open => {
                let frame = CloseFrame::new(1001, "").expect("a code of RFC 6455");
                self.close(frame, SocketEnd::Drain, now);
            }
            Client::Closing { .. } | Client::Gone => {}
        }
    }

    /// It is time. Too early is no harm.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let Request::Waiting { at, kind } = self.request
            && at <= now
        {
            self.request = Request::Idle;
            self.want(kind);
        }
        if self.due.take_if(|due| *due <= now).is_some() {
            self.silence_is_over();
        }
        if let Client::Closing { until, .. } = self.client
            && until <= now
        {
            self.lost(SocketEnd::ClientSilent);
        }
        while let Some((kind, content)) = self.quiet.as_mut().and_then(|quiet| quiet.take(now)) {
            self.say(kind, content, now);
        }
        self.forget_quiet();
    }

    /// Has the origin asked, as soon as no request is under way.
    pub(super) fn want(&mut self, kind: AskKind) {
        self.wanted = Some(kind);
    }

    /// Sends the client a message, if it can get one.
    pub(super) fn say(&mut self, kind: SocketKind, content: Bytes, now: Instant) {
        if self.client == Client::Open {
            self.outputs.push_back(Output::Send(kind, content));
            if let Some(quiet) = &mut self.quiet {
                quiet.sent(now);
            }
        }
    }

    /// The next request, if there may be one and there is something to ask.
    fn next_ask(&mut self) -> Option<Ask> {
        let has_reason = match self.origin {
            Origin::Done => false,
            Origin::Opening => self.wanted.is_some(),
            Origin::Open | Origin::Awaited { .. } | Origin::Last => {
                self.wanted.is_some() || self.backlog.has_news()
            }
        };
        if !has_reason || !self.request.is_idle() {
            return None;
        }
        let wanted = self.wanted.take();
        self.due = None;
        let mut offer = self.backlog.offer(self.config.one_event);
        let kind = match self.origin {
            Origin::Opening => AskKind::Open,
            Origin::Last if offer.is_all => AskKind::Last,
            _ if offer.events > 0 => AskKind::Events,
            _ => wanted.unwrap_or(AskKind::Events),
        };
        self.request = Request::Running {
            offered: offer.events as u32,
            is_all: offer.is_all,
            kind,
        };
        if kind == AskKind::Open {
            offer.body = encode([&Event::Open]);
            offer.events = 1;
        }
        Some(Ask {
            kind,
            body: offer.body,
            events: offer.events,
            content_bytes: offer.content_bytes,
            replayed: offer.replayed,
        })
    }
}

/// A close frame without a reason to be worried.
pub(super) fn normal(reason: &str) -> CloseFrame {
    CloseFrame::new(1000, reason).expect("a code of RFC 6455")
}

//! How the two sides end, and what each is told of the other's end.

use std::time::Duration;

use tokio::time::Instant;

use super::channels::Channels;
use super::end::SocketEnd;
use super::output::{AskKind, Output, Refusal};
use super::session::{Client, Origin, Session, normal};
use crate::grip::CloseFrame;
use crate::grip::ws_events::Event;
use crate::time::after;

/// So long a client may take to answer a close frame. Whoever is there answers at once.
const CLOSING: Duration = Duration::from_secs(10);

/// So often a client's `CLOSE` is told again that the origin does not answer: once each interval that it asked for.
/// (The reference proxy does so for ever.)
const MAX_REPEATS: u8 = 5;

// === impl Session ===

impl Session {
    /// The edge closes the connection: the client is told why, the origin that.
    pub(super) fn close(&mut self, frame: CloseFrame, end: SocketEnd, now: Instant) {
        if self.client != Client::Open {
            return;
        }
        self.outputs.push_back(Output::Close(frame));
        match self.origin {
            Origin::Awaited { .. } => {
                self.cut(end);
                self.await_no_longer();
            }
            Origin::Open => {
                self.tell_last(Event::Close(None));
                self.closing(end, now);
            }
            Origin::Opening | Origin::Last | Origin::Done => self.closing(end, now),
        }
    }

    /// The origin said `CLOSE`.
    pub(super) fn origin_closes(&mut self, frame: Option<CloseFrame>, now: Instant) {
        match self.origin {
            Origin::Awaited { .. } => {
                self.echo(frame, SocketEnd::Closed);
                // It may have said so before it heard all of its client.
                self.await_no_longer();
            }
            Origin::Open if self.client == Client::Open => {
                let frame = frame.unwrap_or_else(|| normal(""));
                self.outputs.push_back(Output::Close(frame));
                self.closing(SocketEnd::Closed, now);
            }
            // It answers what it was told, or says so again.
            Origin::Opening | Origin::Open | Origin::Last | Origin::Done => {}
        }
    }

    /// The origin said `DISCONNECT`: it needs to be told nothing any more.
    pub(super) fn origin_disconnects(&mut self) {
        if self.origin != Origin::Last {
            self.cut(SocketEnd::Disconnected);
        }
        self.done();
    }

    /// The origin does not make sense, or is not there.
    pub(super) fn fail(&mut self, end: SocketEnd) {
        let origin = std::mem::replace(&mut self.origin, Origin::Done);
        self.done();
        match (self.client, origin) {
            (Client::Pending, _) => self.refuse(end),
            (Client::Open, Origin::Awaited { frame, .. }) => self.echo(frame, end),
            // It is detached.
            (Client::Open, Origin::Last | Origin::Done) => {}
            (Client::Open, Origin::Opening | Origin::Open) => self.cut(end),
            // It will answer its close frame, or not.
            (Client::Closing { .. }, _) | (Client::Gone, _) => {}
        }
    }

    /// The client went away, or is made to.
    pub(super) fn lost(&mut self, end: SocketEnd) {
        match self.client {
            Client::Gone => {}
            Client::Pending => {
                self.client = Client::Gone;
                self.leave_opening();
            }
            Client::Open | Client::Closing { .. } => {
                self.cut(end);
                match self.origin {
                    Origin::Open => self.tell_last(Event::Disconnect),
                    Origin::Awaited { .. } => self.await_no_longer(),
                    Origin::Opening | Origin::Last | Origin::Done => {}
                }
            }
        }
    }

    /// Nobody waits for the handshake any more. An origin that knows of the connection is told.
    pub(super) fn leave_opening(&mut self) {
        if self.request.is_running() {
            // What it answers tells.
        } else if self.interval.is_some() {
            self.tell_last(Event::Disconnect);
        } else {
            self.done();
        }
    }

    /// What the client hears instead of a handshake.
    pub(super) fn refuse(&mut self, end: SocketEnd) {
        let refusal = Box::new(Refusal::Failed(end));
        self.outputs.push_back(Output::Refuse(refusal));
        self.client = Client::Gone;
    }

    /// Answers the client's close frame, as its origin or else as it did itself.
    pub(super) fn echo(&mut self, frame: Option<CloseFrame>, end: SocketEnd) {
        if self.client == Client::Open {
            let frame = frame.unwrap_or_else(|| normal(""));
            self.outputs.push_back(Output::Close(frame));
        }
        self.cut(end);
    }

    /// Ends the client's connection.
    pub(super) fn cut(&mut self, end: SocketEnd) {
        if matches!(self.client, Client::Open | Client::Closing { .. }) {
            self.outputs.push_back(Output::Cut(end));
            self.client = Client::Gone;
            self.quiet = None;
            self.filter_meta = None;
            self.channels = Channels::default();
        }
    }

    /// The last thing that the origin is told, after all that waits.
    pub(super) fn tell_last(&mut self, event: Event) {
        self.backlog.push(event);
        self.origin = Origin::Last;
    }

    /// The origin is told nothing any more.
    pub(super) fn done(&mut self) {
        self.origin = Origin::Done;
        self.backlog = super::backlog::Backlog::default();
        self.wanted = None;
        self.due = None;
    }

    /// So long nothing happened that the origin is to be asked.
    pub(super) fn silence_is_over(&mut self) {
        match &mut self.origin {
            Origin::Opening => self.want(AskKind::Open),
            Origin::Open => self.want(AskKind::KeepAlive),
            Origin::Awaited { frame, repeats } => {
                *repeats += 1;
                if self.backlog.is_empty() {
                    self.backlog.push(Event::Close(frame.clone()));
                } else {
                    self.want(AskKind::Events);
                }
            }
            Origin::Last | Origin::Done => {}
        }
    }

    /// The origin was told of its client's close, and did not answer it: it is told again, or the edge answers.
    pub(super) fn is_unanswered(&mut self, now: Instant) {
        let Origin::Awaited { frame, repeats } = &self.origin else {
            return;
        };
        match self.interval {
            Some(interval) if *repeats < MAX_REPEATS => self.due = Some(after(now, interval)),
            _ => {
                let frame = frame.clone();
                self.echo(frame, SocketEnd::Closed);
                self.done();
            }
        }
    }

    /// Nobody waits for what the origin says to its client's close.
    fn await_no_longer(&mut self) {
        if self.backlog.is_empty() {
            return self.done();
        }
        self.origin = Origin::Last;
        self.due = None;
        if self.request.is_idle() {
            self.want(AskKind::Last);
        }
    }

    fn closing(&mut self, end: SocketEnd, now: Instant) {
        let until = after(now, CLOSING);
        self.client = Client::Closing { until, end };
        self.quiet = None;
    }
}

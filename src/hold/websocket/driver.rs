//! Drives a session: carries what it wants to its client, its origin and the hub, and tells it what comes of that.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use tokio::time::Instant;

use super::client::{Client, Event};
use super::end::SocketEnd;
use super::frames::{self, Heard};
use super::handshake;
use super::input::NoAnswer;
use super::origin::{self, Origin};
use super::output::Output;
use super::session::Session;
use crate::below::Below;
use crate::body::EdgeBody;
use crate::hold::drained::Drained;
use crate::hold::guard::{EndReason, HoldGuard};
use crate::hold::layer::Shared;
use crate::hub::{Delivery, Subscription, Wants};
use crate::position::Stamp;
use crate::sync::Arc;
use crate::time::after;

/// How often it is looked whether a client that is behind has lost messages.
const LOOKS: Duration = Duration::from_secs(1);

type Asking = Pin<Box<dyn Future<Output = Result<Response<Bytes>, NoAnswer>> + Send>>;

/// One connection.
pub(super) struct Driver<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) below: S,
    pub(super) session: Session,
    pub(super) client: Client,
    pub(super) origin: Origin,
    /// What the client's key is answered with.
    pub(super) key: HeaderValue,
    pub(super) drained: Drained,
    /// When it ends because the server goes away.
    drains: Option<Instant>,
    pub(super) path: Box<str>,
    /// Of before the last request left: whatever its origin has read since is above it (rule C6).
    stamp: Stamp,
    asking: Option<Asking>,
    reads: Option<Subscription>,
    guard: Option<HoldGuard>,
}

/// What is waited for.
enum Next {
    Answered(Result<Response<Bytes>, NoAnswer>),
    Client(Event),
    Published(Delivery),
    Drain,
    Time,
}

// === impl Driver ===

impl<S: Below> Driver<S> {
    #[expect(clippy::too_many_arguments, reason = "each is one thing, once")]
    pub(super) fn new(
        shared: Arc<Shared>,
        below: S,
        session: Session,
        client: Client,
        origin: Origin,
        key: HeaderValue,
        drained: Drained,
        path: Box<str>,
    ) -> Self {
        let stamp = shared.options.hub.stamp_at(shared.options.hub.now());
        Self {
            shared,
            below,
            session,
            client,
            origin,
            key,
            drained,
            drains: None,
            path,
            stamp,
            asking: None,
            reads: None,
            guard: None,
        }
    }

    /// Until both sides have ended.
    pub(super) async fn run(mut self) {
        loop {
            self.hear();
            while let Some(output) = self.session.next_output() {
                self.carry(output);
            }
            if self.session.is_over() && self.client.is_gone() {
                return;
            }
            match self.next().await {
                Next::Answered(answer) => {
                    self.asking = None;
                    match answer {
                        Ok(response) => self.session.answered(response, Instant::now()),
                        Err(why) => self.session.unanswered(why, Instant::now()),
                    }
                }
                Next::Client(Event::Gone) => self.session.client_lost(),
                Next::Client(Event::Read | Event::Wrote | Event::Connected) => {}
                Next::Published(delivery) => self.published(delivery),
                Next::Drain => self.drains = Some(after(Instant::now(), self.shared.drain_delay())),
                Next::Time => {
                    let now = Instant::now();
                    self.session.tick(now);
                    if self.drains.take_if(|at| *at <= now).is_some() {
                        self.session.drain(now);
                    }
                }
            }
        }
    }

    fn published(&mut self, delivery: Delivery) {
        let Delivery::Message { message, .. } = delivery else {
            // It reads too slowly; it comes back.
            self.end(EndReason::Lagged);
            return self.session.client_lost();
        };
        if let Some(form) = &message.socket {
            self.guard.iter().for_each(HoldGuard::delivered);
            self.session.published(form, Instant::now());
        }
    }

    async fn next(&mut self) -> Next {
        let Self {
            session,
            client,
            asking,
            reads,
            drained,
            drains,
            ..
        } = self;
        // What comes of a request, or is published, waits for a client that is behind.
        let is_behind = client.is_behind();
        let is_heard = session.wants_more();
        let answer = async {
            match asking.as_mut().filter(|_| !is_behind) {
                Some(asking) => asking.await,
                None => std::future::pending().await,
            }
        };
        let message = async {
            match reads {
                Some(reads) if is_behind => lagged(reads).await,
                Some(reads) => reads.next().await,
                None => std::future::pending().await,
            }
        };
        let time = async {
            match session.deadline().into_iter().chain(*drains).min() {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        // In no order: one that is always ready keeps no other waiting.
        tokio::select! {
            event = client.next(is_heard) => Next::Client(event),
            answer = answer => Next::Answered(answer),
            message = message => Next::Published(message),
            () = drained.begun() => Next::Drain,
            () = time => Next::Time,
        }
    }

    /// What the client has said.
    fn hear(&mut self) {
        while self.session.wants_more()
            && let Some(heard) = self.client.reader.next()
        {
            match heard {
                Heard::Message(kind, content) => self.session.client_message(kind, content, Instant::now()),
                Heard::Close(frame) => self.session.client_close(frame),
                Heard::Fault(fault) => self.session.client_fault(fault),
            }
        }
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Ask(ask) => {
                let options = &self.shared.options;
                let request = self.origin.request(&self.session, &ask, options);
                self.stamp = options.hub.stamp_at(options.hub.now());
                self.asking = Some(Box::pin(origin::ask(self.below.clone(), request)));
            }
            Output::Accept(headers) => {
                self.client.accept(handshake::accept(self.key.clone(), *headers));
                if self.client.is_gone() {
                    return self.session.client_lost();
                }
                self.guard = Some(HoldGuard::new(&self.shared.counters));
                tracing::debug!(target: "gripstack::hold", path = &*self.path, kind = "websocket", "hold");
            }
            Output::Refuse(refusal) => {
                let response = refusal.into_response();
                tracing::debug!(
                    target: "gripstack::hold", path = &*self.path, status = response.status().as_u16(),
                    "a websocket is refused",
                );
                self.client.refuse(response.map(EdgeBody::from));
            }
            Output::Send(kind, content) => frames::write(kind, &content, &mut self.client.out),
            Output::Close(frame) => frames::write_close(&frame, &mut self.client.out),
            Output::Cut(end) => {
                tracing::debug!(
                    target: "gripstack::hold", path = &*self.path, reason = end.as_str(), "a websocket ends",
                );
                self.end(reason(end));
                self.reads = None;
                self.guard = None;
                self.client.end();
            }
            Output::Join { channel, filters } => {
                if !filters.is_empty() {
                    // Without them the client could get what it is not meant to.
                    tracing::warn!(
                        target: "gripstack::hold", path = &*self.path, %channel, ?filters,
                        "filters of websockets are not known yet",
                    );
                    return self.session.client_lost();
                }
                let hub = &self.shared.options.hub;
                let reads = self.reads.get_or_insert_with(|| {
                    let none = hub.subscribe(&[], self.stamp, Wants::Socket);
                    none.unwrap_or_else(|error| error.anyway())
                });
                if !reads.join(&channel, self.stamp).is_complete {
                    // The origin tells what was missed.
                    self.session.refresh();
                }
            }
            Output::Leave(channel) => {
                if let Some(reads) = &mut self.reads {
                    reads.leave(&channel);
                }
            }
        }
    }

    fn end(&self, reason: EndReason) {
        self.guard.iter().for_each(|guard| guard.end(reason));
    }
}

/// Comes back once messages are gone.
async fn lagged(reads: &mut Subscription) -> Delivery {
    loop {
        tokio::time::sleep(LOOKS).await;
        if let Some(channel) = reads.has_lagged() {
            return Delivery::Lagged { channel };
        }
    }
}

/// Why a hold ended whose connection ended so.
fn reason(end: SocketEnd) -> EndReason {
    match end {
        SocketEnd::Closed => EndReason::Close,
        SocketEnd::Drain => EndReason::Drain,
        SocketEnd::Client | SocketEnd::ClientFault | SocketEnd::ClientSilent => EndReason::Client,
        _ => EndReason::OriginBroke,
    }
}

//! The body of a held stream: first what the origin answered, then what is published, then keep-alives.
//!
//! It needs no task. It has one timer, made when it first has to wait and set again in place, for whatever comes
//! first: its end, a keep-alive, a message that was withheld for long enough. A delivery sets no timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::drained::Drained;
use super::guard::{EndReason, HoldGuard};
use super::ids::{Ids, Placed};
use super::keep_alive::KeepAliveClock;
use super::layer::Shared;
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::handoff::Keep;
use crate::hub::Subscription;
use crate::message::StreamForm;
use crate::position::Position;
use crate::sync::Arc;
use crate::time::after;

/// After so many messages in a row it is looked whether the hold ends.
const BURST: u8 = 64;

/// The client read too slowly: messages were gone before it had them.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("read too slowly: messages were gone before they were read")]
pub struct Lagged;

/// A held stream.
pub(super) struct HoldBody {
    /// Messages wait in their logs until it is over.
    initial: Option<Box<Initial>>,
    /// `None` once it has ended.
    live: Option<Box<Live>>,
}

/// What comes before the messages. It is gone while a hold waits for them, which is nearly always.
struct Initial {
    /// What this client alone gets before the origin's answer.
    first: Option<Bytes>,
    /// The origin's answer.
    body: EdgeBody,
}

/// What a held stream is made of.
pub(super) struct Live {
    pub(super) subscription: Subscription,
    pub(super) ids: Ids,
    /// What it sends in silence.
    pub(super) clock: Option<KeepAliveClock>,
    /// A `close` at or before this is older than the hold.
    pub(super) deaf_to: Position,
    /// When it ends, and why.
    pub(super) end: (Instant, EndReason),
    pub(super) drained: Drained,
    pub(super) shared: Arc<Shared>,
    pub(super) guard: HoldGuard,
    /// What the cache below wants kept.
    pub(super) _keep: Option<Keep>,
    pub(super) wait: Wait,
}

/// The part of a stream that no caller sets.
#[derive(Default)]
pub(super) struct Wait {
    timer: Option<Pin<Box<Sleep>>>,
    burst: u8,
    /// It is in the replay: who fell behind while it read the initial body goes on at the oldest message.
    is_live: bool,
}

/// What a stream does next.
enum Step {
    Send(Bytes),
    End(EndReason),
    Abort,
}

// === impl HoldBody ===

impl HoldBody {
    /// Begins with this, if anything, and the origin's answer.
    pub(super) fn new(first: Option<Bytes>, body: EdgeBody, live: Live) -> Self {
        Self {
            initial: Some(Box::new(Initial { first, body })),
            live: Some(Box::new(live)),
        }
    }

    /// Ends, and lets go of everything.
    fn end(&mut self, reason: EndReason) {
        self.initial = None;
        if let Some(live) = self.live.take() {
            live.guard.end(reason);
        }
    }
}

impl Body for HoldBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(live) = &mut this.live else {
            return Poll::Ready(None);
        };
        while let Some(initial) = &mut this.initial {
            if let Some(first) = initial.first.take() {
                return Poll::Ready(Some(Ok(Frame::data(first))));
            }
            match Pin::new(&mut initial.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    // What follows is no longer what the trailers speak of.
                    Err(_trailers) => {}
                },
                Poll::Ready(Some(Err(error))) => {
                    this.end(EndReason::OriginBroke);
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    this.initial = None;
                    if let Some(clock) = &mut live.clock {
                        clock.start(Instant::now());
                    }
                }
                Poll::Pending => {
                    let reason = std::task::ready!(live.poll_end(cx));
                    this.end(reason);
                    return Poll::Ready(None);
                }
            }
        }
        let begins = !std::mem::replace(&mut live.wait.is_live, true);
        match std::task::ready!(live.poll_step(begins, cx)) {
            Step::Send(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Step::End(reason) => {
                this.end(reason);
                Poll::Ready(None)
            }
            Step::Abort => {
                this.end(EndReason::Lagged);
                Poll::Ready(Some(Err(Lagged.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.live.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.live.is_none() {
            SizeHint::with_exact(0)
        } else {
            SizeHint::default()
        }
    }
}

// === impl Live ===

impl Live {
    /// What comes next. `begins`: messages that are gone already are forgiven, until the first that is there.
    fn poll_step(&mut self, mut begins: bool, cx: &mut Context<'_>) -> Poll<Step> {
        if self.wait.burst >= BURST {
            self.wait.burst = 0;
            if let Some(reason) = self.is_over(cx) {
                return Poll::Ready(Step::End(reason));
            }
        }
        loop {
            while let Some(placed) = self.ids.ready() {
                if let Some(step) = self.act(placed) {
                    return Poll::Ready(step);
                }
            }
            match self.subscription.poll_next(cx).map(Placed::of) {
                Poll::Ready(Ok((channel, placed))) => {
                    begins = false;
                    if let Some(placed) = self.ids.offer(channel, placed, Instant::now)
                        && let Some(step) = self.act(placed)
                    {
                        return Poll::Ready(step);
                    }
                }
                Poll::Ready(Err(_)) if begins => self.mark(),
                Poll::Ready(Err(_)) => return Poll::Ready(Step::Abort),
                Poll::Pending => {
                    begins = false;
                    if let Some(step) = std::task::ready!(self.poll_wait(cx)) {
                        return Poll::Ready(step);
                    }
                }
            }
        }
    }

    /// What a message does to the stream, if anything.
    fn act(&mut self, placed: Placed) -> Option<Step> {
        match &placed.message.stream {
            Some(StreamForm::Send(bytes)) if !bytes.is_empty() => {
                self.guard.delivered();
                if let Some(clock) = &mut self.clock {
                    clock.sent(Instant::now);
                }
                self.wait.burst += 1;
                Some(Step::Send(bytes.clone()))
            }
            Some(StreamForm::Close) if placed.at > self.deaf_to => Some(Step::End(EndReason::Close)),
            // There is no link to fetch anew from.
            Some(StreamForm::Hint | StreamForm::Send(_) | StreamForm::Close) | None => None,
        }
    }

    /// Messages were gone before the initial body was read: the client is made to come back.
    fn mark(&mut self) {
        self.guard.marked();
        self.end_by((after(Instant::now(), self.shared.marked_age()), EndReason::Gap));
        tracing::info!(target: "gripstack::hold", "a client read its initial body too slowly: messages are missing");
    }

    fn end_by(&mut self, end: (Instant, EndReason)) {
        self.end = self.end.min(end);
    }

    /// Waits for what time brings; `None`: something became ready.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Step>> {
        loop {
            if let Some(reason) = self.is_over(cx) {
                return Poll::Ready(Some(Step::End(reason)));
            }
            let now = Instant::now();
            if self.ids.deadline().is_some_and(|deadline| deadline <= now) {
                self.ids.release_overdue(now);
                return Poll::Ready(None);
            }
            if let Some(bytes) = self.clock.as_mut().and_then(|clock| clock.take(now)) {
                return Poll::Ready(Some(Step::Send(bytes)));
            }
            let keep_alive = self.clock.as_ref().map(KeepAliveClock::due);
            let times = [Some(self.end.0), self.ids.deadline(), keep_alive];
            let next = times.into_iter().flatten().min().unwrap_or(self.end.0);
            std::task::ready!(self.poll_until(next, cx));
        }
    }

    /// Waits for the end alone.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        loop {
            if let Some(reason) = self.is_over(cx) {
                return Poll::Ready(reason);
            }
            std::task::ready!(self.poll_until(self.end.0, cx));
        }
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> Option<EndReason> {
        if self.drained.poll(cx).is_ready() {
            let delay = self.shared.drain_delay();
            self.end_by((after(Instant::now(), delay), EndReason::Drain));
        }
        let (at, reason) = self.end;
        (Instant::now() >= at).then_some(reason)
    }

    /// Ready at this time, or earlier. A timer that is set for earlier is left alone: a delivery that moves a
    /// keep-alive costs nothing.
    fn poll_until(&mut self, time: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = (self.wait.timer).get_or_insert_with(|| Box::pin(tokio::time::sleep_until(time)));
        if timer.is_elapsed() || timer.deadline() > time {
            timer.as_mut().reset(time);
        }
        timer.as_mut().poll(cx)
    }
}

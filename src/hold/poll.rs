//! A long poll that waits: what it hears, and what it answers with.

use std::task::Poll::{Pending, Ready};
use std::task::{Context, Waker};

use bytes::Bytes;
use http::{HeaderValue, Response, response::Parts};
use tokio::time::Instant;

use super::answer::{self, Answer};
use super::client_request::Turn;
use super::drained::Drained;
use super::guard::{EndReason, HoldGuard};
use super::ids::{Ids, Placed, RESPONSE_PATIENCE};
use super::layer::Shared;
use super::original::grip_last;
use crate::body::EdgeBody;
use crate::grip::{HoldChannel, Instruct};
use crate::handoff::Keep;
use crate::hub::Subscription;
use crate::message::{Message, PushedResponse, ResponseForm};
use crate::position::Position;
use crate::sync::Arc;
use crate::time::after;

/// A long poll that waits.
pub(super) struct Poll {
    pub(super) subscription: Subscription,
    pub(super) ids: Ids,
    /// A hint at or before this is older than the hold.
    pub(super) deaf_to: Position,
    /// When it ends, and why.
    pub(super) end: (Instant, EndReason),
    pub(super) drained: Drained,
    pub(super) instruct: std::sync::Arc<Instruct>,
    /// Messages may be missing.
    pub(super) marked: bool,
    pub(super) shared: Arc<Shared>,
    pub(super) guard: HoldGuard,
    /// What the service below answered.
    pub(super) answer: Whole,
    /// What the cache below wants kept.
    pub(super) _keep: Option<Keep>,
}

/// An answer whose body is all there.
pub(super) struct Whole {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
    /// Its client has it already, by the condition of its request.
    pub(super) client_has_it: bool,
}

/// What a long poll waited for.
pub(super) enum Event {
    /// A message answers it.
    Message(Placed),
    /// A message asks to ask anew.
    Hint(Position),
    /// Messages are missing up to this position: one came whose predecessor did not, or some were gone before they were
    /// read.
    Gap(Position),
    /// Its time is up.
    Over(EndReason),
}

// === impl Poll ===

impl Poll {
    /// Waits for what comes next.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            while let Some(placed) = self.ids.ready() {
                if let Some(event) = self.event(placed) {
                    return event;
                }
            }
            let patience = self.ids.deadline();
            let (end, reason) = self.end;
            let until = patience.map_or(end, |time| time.min(end));
            let delivery = tokio::select! {
                biased;
                delivery = self.subscription.next() => delivery,
                () = self.drained.begun() => {
                    let delay = self.shared.drain_delay();
                    self.end = self.end.min((after(Instant::now(), delay), EndReason::Drain));
                    continue;
                }
                () = tokio::time::sleep_until(until) => {
                    if until == end {
                        return Event::Over(reason);
                    }
                    self.ids.forget_overdue(until);
                    let is_overdue = self.ids.deadline().is_some_and(|deadline| deadline <= until);
                    match self.ids.last_withheld().filter(|_| is_overdue) {
                        Some(last) => return Event::Gap(last),
                        None => continue,
                    }
                }
            };
            match Placed::of(delivery) {
                Ok((channel, placed)) => {
                    let is_heard = self.is_hint(&placed) && self.ids.last_withheld().is_some();
                    if is_heard {
                        // It waits for nothing: the origin has what is withheld, too.
                        return Event::Hint(placed.at);
                    }
                    let placed = self.ids.offer(channel, placed, Instant::now);
                    if self.ids.has_skipped() && !std::mem::replace(&mut self.marked, true) {
                        self.guard.marked();
                    }
                    if let Some(event) = placed.and_then(|placed| self.event(placed)) {
                        return event;
                    }
                }
                // What is gone may be what answers.
                Err(channel) => return Event::Gap(self.subscription.last_message(channel)),
            }
        }
    }

    fn event(&self, placed: Placed) -> Option<Event> {
        match &placed.message.response {
            Some(ResponseForm::Send(_)) => Some(Event::Message(placed)),
            Some(ResponseForm::Hint) => self.is_hint(&placed).then_some(Event::Hint(placed.at)),
            None => None,
        }
    }

    fn is_hint(&self, placed: &Placed) -> bool {
        matches!(placed.message.response, Some(ResponseForm::Hint)) && placed.at > self.deaf_to
    }

    /// Gives up waiting for predecessors. The first message that answers, of those that waited for one.
    pub(super) fn give_up_waiting(&mut self) -> Option<Placed> {
        self.ids.release_overdue(after(Instant::now(), RESPONSE_PATIENCE));
        std::iter::from_fn(|| self.ids.ready()).find(answers)
    }

    /// The first message that answers, of those that have come; and whether none are missing before it. For a poll that
    /// does not go on: hints are not heard, and what waits for a predecessor does so no longer, if it is one of those up to
    /// this position. Later ones are read once more.
    pub(super) fn come(&mut self, upto: Position) -> (Option<Placed>, bool) {
        let mut complete = true;
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Some(placed) = std::iter::from_fn(|| self.ids.ready()).find(answers) {
                return (Some(placed), complete);
            }
            match self.subscription.poll_next(&mut cx).map(Placed::of) {
                Ready(Ok((channel, placed))) => {
                    let placed = self.ids.offer(channel, placed, Instant::now);
                    if let Some(placed) = placed.filter(answers) {
                        return (Some(placed), complete);
                    }
                }
                Ready(Err(_)) => complete = false,
                Pending if self.ids.first_withheld().is_some_and(|first| first <= upto) => {
                    let placed = self.give_up_waiting();
                    return (placed, false);
                }
                Pending => return (None, complete),
            }
        }
    }

    /// `Grip-Last` of the channels whose ids are known.
    pub(super) fn last(&self) -> Vec<HeaderValue> {
        let channels: &[HoldChannel] = self.instruct.hold.as_ref().map_or(&[], |hold| &hold.channels);
        let value = |(index, id): (usize, &std::sync::Arc<str>)| {
            let channel = channels.get(index)?;
            grip_last(channel.name.as_str(), id)
        };
        self.ids.known().filter_map(value).collect()
    }

    /// Answers with a message; not, if that has no response.
    #[expect(clippy::result_large_err, reason = "it is moved once, at the end of a poll")]
    pub(super) fn answered(self, placed: &Placed) -> Result<Turn, Self> {
        let Some(ResponseForm::Send(pushed)) = &placed.message.response else {
            return Err(self);
        };
        self.guard.delivered();
        self.guard.end(EndReason::Answered);
        Ok(Turn::Done(self.answer.pushed(pushed, self.marked)))
    }

    /// Ends without a message.
    pub(super) fn ended(self, reason: EndReason) -> Turn {
        self.guard.end(reason);
        Turn::Done(self.answer.timed_out(self.marked))
    }
}

// === impl Whole ===

impl Whole {
    /// The answer when the time is up.
    pub(super) fn timed_out(self, marked: bool) -> Response<EdgeBody> {
        noting(
            Answer::timed_out(self.parts, self.body, self.client_has_it),
            marked,
        )
    }

    fn pushed(self, pushed: &PushedResponse, marked: bool) -> Response<EdgeBody> {
        noting(Answer::pushed(self.parts, pushed), marked)
    }
}

/// Whether a long poll is answered with it.
pub(super) fn is_an_answer(message: &Message) -> bool {
    matches!(message.response, Some(ResponseForm::Send(_)))
}

fn answers(placed: &Placed) -> bool {
    is_an_answer(&placed.message)
}

fn noting(mut response: Response<EdgeBody>, marked: bool) -> Response<EdgeBody> {
    if marked {
        answer::mark(response.headers_mut());
    }
    response
}

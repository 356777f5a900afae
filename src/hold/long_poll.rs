//! Response holds (long polls): the next message is the answer.
//!
//! One lives in the response's future, for until something is published neither status nor headers are known.
//! Its cursor starts where its request arrived, not at the answer's stamp: the client is not sent the answer's
//! body, and what was published before it asked would answer it again and again.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, response::Parts};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::answer::{self, Answer, collect};
use super::drained::Drained;
use super::exchange::{AskError, Exchange, MOST_ASKS, Turn};
use super::guard::{EndReason, HoldGuard};
use super::ids::{Ids, Placed, RESPONSE_PATIENCE};
use super::original::{Again, grip_last};
use super::stream::Start;
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::grip::{HoldChannel, HoldMode};
use crate::hub::{Delivery, Fetch, SubscribeError, Subscription, Wants};
use crate::message::{Message, PushedResponse, ResponseForm};
use crate::mutants::mutant;
use crate::position::Position;
use crate::time::after;

/// A long poll that waits.
struct Poll {
    subscription: Subscription,
    ids: Ids,
    deaf_to: Position,
    deadline: Instant,
    drained: Option<Drained>,
}

/// What a long poll waited for.
enum Event {
    /// A message answers it.
    Message(std::sync::Arc<Message>),
    /// A message asks to ask anew.
    Hint(Position),
    /// A message came whose predecessor did not.
    Gap,
    /// Its time is up.
    Over(EndReason),
}

impl<S, B> Exchange<S>
where
    S: Service<Request<EdgeBody>, Response = Response<B>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Holds a long poll whose cursor starts at `from`.
    pub(super) async fn long_poll(
        &mut self,
        answer: Answer,
        fetch: Fetch,
        from: Position,
    ) -> Result<Turn, S::Error> {
        let mut begun = match self.begin(answer, fetch, from).await {
            Ok(begun) => begun,
            Err(turn) => return Ok(turn),
        };
        let guard = self.guard(HoldMode::Response);
        if begun.start.marked {
            self.note_mark(&guard);
        }
        let Answer {
            mut parts,
            body,
            instruct,
            keep: _keep,
            ..
        } = begun.answer;
        // Until here the pin keeps what the subscription needs.
        drop(begun.fetch.take());
        let body = match collect(body).await {
            Ok(body) => body,
            Err(error) => {
                guard.end(EndReason::OriginBroke);
                return Ok(Turn::Done(self.refuse(error)));
            }
        };
        parts.extensions.insert(guard.handle());
        let hold = instruct.hold.as_ref();
        let channels = hold.map_or(&[][..], |hold| &hold.channels);
        let timeout = hold.map_or(Duration::ZERO, |hold| hold.timeout);
        let mut poll = Poll {
            subscription: begun.start.subscription,
            ids: Ids::new(channels, RESPONSE_PATIENCE),
            deaf_to: begun.start.deaf_to,
            deadline: after(Instant::now(), timeout.min(self.shared.max_age())),
            drained: self.drained(),
        };
        let marked = begun.start.marked;
        loop {
            let event = poll.next().await;
            match event {
                Event::Message(message) => {
                    if let Some(ResponseForm::Send(pushed)) = &message.response {
                        return Ok(Turn::Done(answered(parts, pushed, &guard, marked)));
                    }
                }
                Event::Over(reason) => {
                    guard.end(reason);
                    return Ok(Turn::Done(timed_out(parts, body, marked)));
                }
                // Not copied: its client asks again.
                Event::Hint(_) if self.original.is_safe() && !self.original.is_repeatable() => {
                    guard.end(EndReason::Hint);
                    return Ok(Turn::Done(timed_out(parts, body, true)));
                }
                // A request that must not be made twice does not hear hints.
                Event::Hint(_) if !self.may_ask() => {}
                Event::Hint(at) => {
                    let again = Again {
                        at_least: at,
                        no_cache: true,
                        ..Again::default()
                    };
                    let asked = self.ask(again).await;
                    guard.end(EndReason::Hint);
                    return match asked {
                        Ok((answer, fetch)) => Ok(Turn::Fresh {
                            answer,
                            fetch,
                            from: Some(at),
                        }),
                        Err(AskError::Service(error)) => Err(error),
                        Err(AskError::Unreadable(error)) => Ok(Turn::Done(self.refuse(error))),
                        Err(AskError::Never | AskError::Late) => Ok(Turn::Done(timed_out(parts, body, true))),
                    };
                }
                Event::Gap => {
                    if !self.original.is_repeatable() {
                        guard.end(EndReason::Gap);
                        return Ok(Turn::Done(timed_out(parts, body, true)));
                    }
                    let last = poll.last(channels);
                    let at_least = poll.ids.last_withheld().unwrap_or_default();
                    if let Some((answer, fetch)) = self.fresher(at_least, last).await {
                        guard.end(EndReason::Hint);
                        return Ok(Turn::Fresh {
                            answer,
                            fetch,
                            from: None,
                        });
                    }
                    // Late is better than never.
                    self.note_mark(&guard);
                    poll.ids.release_overdue(Instant::now());
                    while let Some(placed) = poll.ids.ready() {
                        if let Some(ResponseForm::Send(pushed)) = &placed.message.response {
                            return Ok(Turn::Done(answered(parts, pushed, &guard, true)));
                        }
                    }
                }
            }
        }
    }

    /// Subscribes, after asking for a younger answer if this one is too old.
    async fn begin(&mut self, mut answer: Answer, mut fetch: Fetch, from: Position) -> Result<Begun, Turn> {
        let hub = self.shared.options.hub.clone();
        let mut from = from;
        let mut marked = false;
        let (at_least, last) = self.too_old(&answer, from);
        if at_least > Position::ZERO && self.original.is_repeatable() {
            match self.fresher(at_least, last).await {
                Some((fresh, its_fetch)) => {
                    if fresh.mode() != Some(HoldMode::Response) {
                        return Err(Turn::Fresh {
                            answer: fresh,
                            fetch: its_fetch,
                            from: Some(from),
                        });
                    }
                    (answer, fetch) = (fresh, its_fetch);
                    marked = answer.stamp.clock != fetch.stamp().clock || answer.stamp.replay < at_least;
                }
                None => marked = true,
            }
        }
        let subscribe =
            |answer: &Answer, from| hub.subscribe(&answer.names(), hub.stamp_at(from), Wants::Response);
        let error = match subscribe(&answer, from) {
            Ok(subscription) => return Ok(Begun::new(answer, fetch, Start::complete(subscription), marked)),
            Err(error) => error,
        };
        let at_least = error.at_least().unwrap_or_else(|| hub.now());
        if !self.original.is_repeatable() {
            return match error {
                // It does not hear hints.
                SubscribeError::Superseded { by, anyway } => {
                    let start = Start {
                        subscription: anyway,
                        deaf_to: by,
                        marked: false,
                    };
                    Ok(Begun::new(answer, fetch, start, marked))
                }
                SubscribeError::Gap { .. } | SubscribeError::ForeignClock(_) => {
                    Err(Turn::Done(self.at_once(answer).await))
                }
            };
        }
        let Some((fresh, its_fetch)) = self.fresher(at_least, Vec::new()).await else {
            return Ok(Begun::new(answer, fetch, Start::marked(error), marked));
        };
        if let SubscribeError::Superseded { by, .. } = &error {
            from = *by;
        }
        if fresh.mode() != Some(HoldMode::Response) {
            return Err(Turn::Fresh {
                answer: fresh,
                fetch: its_fetch,
                from: Some(from),
            });
        }
        let start = match subscribe(&fresh, from) {
            Ok(subscription) => Start::complete(subscription),
            Err(error) => Start::marked(error),
        };
        Ok(Begun::new(fresh, its_fetch, start, marked))
    }

    /// What a younger answer has to reach, and the ids to ask it with; zero if this one will do. It is too old if
    /// one of its channels had a message after its stamp and before the request came, or knows another last id
    /// than the answer does.
    fn too_old(&self, answer: &Answer, from: Position) -> (Position, Vec<HeaderValue>) {
        let hub = &self.shared.options.hub;
        let stamp = answer.stamp;
        let ours = stamp.clock == hub.stamp_at(from).clock;
        let mut at_least = Position::ZERO;
        for channel in answer.channels() {
            let newest = hub.last_message(&channel.name);
            if newest > from || newest == Position::ZERO {
                continue;
            }
            let aged = (!ours || newest > stamp.replay) && !mutant!("poll-old");
            let other_id = match (&channel.prev_id, hub.last_id(&channel.name)) {
                (Some(named), Some(last)) => *named != last,
                _ => false,
            };
            if other_id && self.asked == 0 {
                at_least = at_least.max(hub.now());
            } else if aged {
                at_least = at_least.max(newest);
            }
        }
        let named = |channel: &HoldChannel| grip_last(channel.name.as_str(), channel.prev_id.as_deref()?);
        (at_least, answer.channels().iter().filter_map(named).collect())
    }

    /// The timeout's answer, without waiting.
    async fn at_once(&mut self, answer: Answer) -> Response<EdgeBody> {
        let guard = self.guard(HoldMode::Response);
        self.note_mark(&guard);
        guard.end(EndReason::Gap);
        match collect(answer.body).await {
            Ok(body) => timed_out(answer.parts, body, true),
            Err(error) => self.refuse(error),
        }
    }

    fn may_ask(&self) -> bool {
        self.original.is_repeatable() && self.asked < MOST_ASKS
    }
}

/// A long poll about to wait.
struct Begun {
    answer: Answer,
    fetch: Option<Fetch>,
    start: Start,
}

// === impl Begun ===

impl Begun {
    fn new(answer: Answer, fetch: Fetch, mut start: Start, marked: bool) -> Self {
        start.marked |= marked;
        Self {
            answer,
            fetch: Some(fetch),
            start,
        }
    }
}

// === impl Poll ===

impl Poll {
    async fn next(&mut self) -> Event {
        loop {
            while let Some(placed) = self.ids.ready() {
                if let Some(event) = self.event(placed) {
                    return event;
                }
            }
            let patience = self.ids.deadline();
            let until = patience.map_or(self.deadline, |time| time.min(self.deadline));
            let drained = async {
                match &mut self.drained {
                    Some(drained) => drained.await,
                    None => std::future::pending().await,
                }
            };
            let delivery = tokio::select! {
                biased;
                delivery = self.subscription.next() => delivery,
                () = drained => {
                    self.drained = None;
                    return Event::Over(EndReason::Drain);
                }
                () = tokio::time::sleep_until(until) => {
                    return if until == self.deadline { Event::Over(EndReason::Timeout) } else { Event::Gap };
                }
            };
            // What is gone would have answered; what is left answers.
            let Delivery::Message { channel, at, message } = delivery else {
                continue;
            };
            let placed = Placed { at, message };
            if let Some(placed) = self.ids.offer(channel, placed, Instant::now)
                && let Some(event) = self.event(placed)
            {
                return event;
            }
        }
    }

    fn event(&self, placed: Placed) -> Option<Event> {
        match &placed.message.response {
            Some(ResponseForm::Send(_)) => Some(Event::Message(placed.message)),
            Some(ResponseForm::Hint) if placed.at > self.deaf_to => Some(Event::Hint(placed.at)),
            Some(ResponseForm::Hint) | None => None,
        }
    }

    /// `Grip-Last` of the channels whose ids are known.
    fn last(&self, channels: &[HoldChannel]) -> Vec<HeaderValue> {
        let known = self.ids.known();
        let value =
            |(index, id): (usize, &std::sync::Arc<str>)| grip_last(channels.get(index)?.name.as_str(), id);
        known.filter_map(value).collect()
    }
}

fn answered(parts: Parts, pushed: &PushedResponse, guard: &HoldGuard, marked: bool) -> Response<EdgeBody> {
    guard.delivered();
    guard.end(EndReason::Answered);
    let mut response = Answer::pushed(parts, pushed);
    if marked {
        answer::mark(response.headers_mut());
    }
    response
}

fn timed_out(parts: Parts, body: Bytes, marked: bool) -> Response<EdgeBody> {
    let mut response = Answer::timed_out(parts, body);
    if marked {
        answer::mark(response.headers_mut());
    }
    response
}

//! Response holds (long polls): the next message is the answer.
//!
//! One lives in the response's future, for until something is published neither status nor headers are known.
//! Its cursor starts where its request arrived, not at the answer's stamp: the client is not sent the answer's
//! body, and what was published before it asked would answer it again and again (rule M2).

use std::task::{self, Context, Waker};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use super::answer::{Answer, collect};
use super::client_request::{AskError, ClientRequest, MOST_ASKS, Turn};
use super::guard::EndReason;
use super::holdable::Holdable;
use super::ids::{Ids, Placed};
use super::original::{Again, grip_last};
use super::poll::{Event, Poll, Whole, is_an_answer};
use super::subscribed::Subscribed;
use crate::below::Below;
use crate::grip::{HoldChannel, HoldMode};
use crate::hub::{Fetch, SubscribeError, Wants};
use crate::mutants::mutant;
use crate::position::Position;
use crate::time::after;

/// A long poll about to wait.
struct Begun {
    answer: Holdable,
    fetch: Fetch,
    subscribed: Subscribed,
}

impl<S: Below> ClientRequest<S> {
    /// Holds a long poll whose cursor starts at `from`.
    pub(super) async fn long_poll(
        &mut self,
        answer: Holdable,
        fetch: Fetch,
        from: Position,
    ) -> Result<Turn, S::Error> {
        let begun = match self.begin(answer, fetch, from).await {
            Ok(begun) => begun,
            Err(turn) => return Ok(turn),
        };
        let mut poll = match self.wait_with(begun).await {
            Ok(poll) => poll,
            Err(turn) => return Ok(turn),
        };
        loop {
            let heard = match poll.next().await {
                Event::Message(placed) => poll.answered(&placed),
                Event::Over(reason) => Ok(self.over(poll, reason)),
                // What waits for its predecessor came before the hint.
                Event::Hint(at) if poll.ids.last_withheld().is_some() => self.gap(poll, at).await,
                Event::Hint(at) => self.hinted(poll, at).await?,
                Event::Gap(upto) => self.gap(poll, upto).await,
            };
            match heard {
                Ok(turn) => return Ok(turn),
                Err(still) => poll = still,
            }
        }
    }

    /// Makes of a beginning a poll that waits, once all of its timeout answer is there.
    async fn wait_with(&mut self, begun: Begun) -> Result<Poll, Turn> {
        let Begun {
            answer,
            fetch,
            subscribed,
        } = begun;
        // Until here the pin keeps what the subscription needs.
        drop(fetch);
        let guard = self.guard(HoldMode::Response);
        self.original.say_waiting();
        if subscribed.marked {
            self.note_mark(&guard);
        }
        let answer = answer.into_answer();
        let mut ids = self.ids_of(&answer);
        let body = match collect(answer.body).await {
            Ok(body) => body,
            Err(error) => {
                guard.end(EndReason::OriginBroke);
                return Err(Turn::Done(self.refuse(error)));
            }
        };
        let mut parts = answer.parts;
        parts.extensions.insert(guard.handle());
        let hold = answer.instruct.hold.as_ref();
        let timeout = hold.map_or(Duration::ZERO, |hold| hold.timeout);
        let (deaf_to, marked) = (subscribed.deaf_to, subscribed.marked);
        Ok(Poll {
            subscription: subscribed.following(&mut ids),
            ids,
            deaf_to,
            end: (
                after(Instant::now(), timeout.min(self.shared.max_age())),
                EndReason::Timeout,
            ),
            drained: self.drained(),
            instruct: answer.instruct.clone(),
            marked,
            shared: self.shared.clone(),
            guard,
            answer: Whole {
                parts,
                body,
                client_has_it: answer.client_has_it,
            },
            _keep: answer.keep,
        })
    }

    /// A message asks to ask anew. If that is not heard, the poll goes on.
    async fn hinted(&mut self, mut poll: Poll, at: Position) -> Result<Result<Turn, Poll>, S::Error> {
        if self.original.is_safe() && !self.original.is_repeatable() {
            // Not copied: its client asks again.
            return Ok(Ok(self.missed(poll, EndReason::Hint)));
        }
        if !self.original.is_repeatable() || self.asked >= MOST_ASKS {
            // It must not be made again, or not so often, and so hears no hints: what it waits with is older than they are.
            self.mark(&mut poll);
            return Ok(Err(poll));
        }
        let again = Again {
            at_least: at,
            no_cache: true,
            ..Again::default()
        };
        let turn = match self.ask(again).await {
            Ok((answer, fetch)) => {
                let judged = self.judge(answer);
                // A hold made of it starts behind the hint's order, of which the rest may be there.
                if judged.leaves_waiting()
                    && let Some(placed) = self.come(&mut poll, at)
                {
                    return Ok(poll.answered(&placed));
                }
                self.anew(judged, fetch, Some(at))
            }
            Err(AskError::Service(error)) => {
                poll.guard.end(EndReason::Hint);
                return Err(error);
            }
            Err(AskError::Unreadable(error)) => Turn::Done(self.refuse(error)),
            Err(AskError::Never | AskError::Late) => {
                return Ok(Ok(self.missed(poll, EndReason::Hint)));
            }
        };
        poll.guard.end(EndReason::Hint);
        Ok(Ok(turn))
    }

    /// Messages are missing up to this position: the origin has them. If it cannot be asked, or holds once more (a cache
    /// between tells it no ids), what is there answers: late is better than never.
    async fn gap(&mut self, mut poll: Poll, upto: Position) -> Result<Turn, Poll> {
        if !self.original.is_repeatable() {
            return Ok(self.missed(poll, EndReason::Gap));
        }
        let fresh = self.fresher(upto, poll.last()).await;
        // What it waits for may have come meanwhile.
        let still_waits = fresh.as_ref().is_none_or(|(judged, _)| judged.leaves_waiting());
        if still_waits
            && poll.ids.last_withheld().is_some()
            && let Some(placed) = self.come(&mut poll, self.now())
        {
            return poll.answered(&placed);
        }
        let Some((judged, fetch)) = fresh else {
            self.mark(&mut poll);
            return Err(poll);
        };
        let (answer, fetch) = match self.still(HoldMode::Response, judged, fetch, None) {
            Ok(fresh) => fresh,
            Err(turn) => {
                poll.guard.end(EndReason::Hint);
                return Ok(turn);
            }
        };
        if !poll.subscription.channels().eq(&answer.names()) {
            if let Some(placed) = self.come(&mut poll, self.now()) {
                self.mark(&mut poll);
                return poll.answered(&placed);
            }
            poll.guard.end(EndReason::Hint);
            return Ok(Turn::Hold {
                answer,
                fetch,
                from: None,
            });
        }
        poll.guard.end(EndReason::Hint);
        let subscribed = Subscribed {
            subscription: poll.subscription,
            deaf_to: fetch.stamp().at,
            marked: true,
        };
        match self.wait_with(Begun::new(answer, fetch, subscribed, true)).await {
            Ok(poll) => Err(poll),
            Err(turn) => Ok(turn),
        }
    }

    /// Its time is up. What still waits for its predecessor answers it.
    fn over(&self, mut poll: Poll, reason: EndReason) -> Turn {
        let Some(placed) = poll.give_up_waiting() else {
            return poll.ended(reason);
        };
        self.mark(&mut poll);
        poll.answered(&placed).unwrap_or_else(|poll| poll.ended(reason))
    }

    /// Ends because it cannot ask for what it may have missed. What has come answers it.
    fn missed(&self, mut poll: Poll, reason: EndReason) -> Turn {
        self.mark(&mut poll);
        let placed = poll.give_up_waiting();
        let placed = placed.or_else(|| self.come(&mut poll, self.now()));
        match placed {
            Some(placed) => poll.answered(&placed).unwrap_or_else(|poll| poll.ended(reason)),
            None => poll.ended(reason),
        }
    }

    /// The first message that answers, of those that have come; up to this position although it waits for its predecessor.
    fn come(&self, poll: &mut Poll, upto: Position) -> Option<Placed> {
        let (placed, complete) = poll.come(upto);
        if !complete {
            self.mark(poll);
        }
        placed
    }

    /// Messages may be missing.
    fn mark(&self, poll: &mut Poll) {
        if !std::mem::replace(&mut poll.marked, true) {
            self.note_mark(&poll.guard);
        }
    }

    /// Subscribes, after asking for a younger answer if this one is too old.
    async fn begin(&mut self, answer: Holdable, fetch: Fetch, from: Position) -> Result<Begun, Turn> {
        let (answer, fetch, marked) = self.made_young(answer, fetch, from).await?;
        let error = match self.subscribe(&answer, from) {
            Ok(subscribed) => return Ok(Begun::new(answer, fetch, subscribed, marked)),
            // In its place: what came before the hint answers (rule M2).
            Err(SubscribeError::Superseded { anyway, .. }) => {
                return Ok(Begun::new(answer, fetch, Subscribed::complete(anyway), marked));
            }
            Err(error) => error,
        };
        if !self.original.is_repeatable() {
            if self.has_an_answer(&answer, Subscribed::complete(error.anyway()), &[]) {
                let subscribed = self.subscribe(&answer, from);
                let subscribed = subscribed.unwrap_or_else(Subscribed::marked);
                return Ok(Begun::new(answer, fetch, subscribed, true));
            }
            return Err(Turn::Done(self.at_once(answer).await));
        }
        let at_least = error.at_least().unwrap_or_else(|| self.shared.options.hub.now());
        let Some((fresh, its_fetch)) = self.fresher(at_least, Vec::new()).await else {
            return Ok(Begun::new(answer, fetch, Subscribed::marked(error), marked));
        };
        // What is left from before the hint answers (rule M2); without such the poll begins behind it.
        let from = match error.superseded_by() {
            Some(by) if !self.has_an_answer(&answer, Subscribed::complete(error.anyway()), &[]) => by,
            _ => from,
        };
        let (fresh, its_fetch) = self.still(HoldMode::Response, fresh, its_fetch, Some(from))?;
        let marked = marked || is_older(&fresh, &its_fetch, at_least);
        // A hint that came after it was asked for is heard.
        let deaf_to = its_fetch.stamp().at;
        let marked_from = |error| Subscribed {
            deaf_to,
            ..Subscribed::marked(error)
        };
        let subscribed = self.subscribe(&fresh, from).unwrap_or_else(marked_from);
        Ok(Begun::new(fresh, its_fetch, subscribed, marked))
    }

    fn subscribe(&self, answer: &Answer, from: Position) -> Result<Subscribed, SubscribeError> {
        let hub = &self.shared.options.hub;
        let subscription = hub.subscribe(&answer.names(), hub.stamp_at(from), Wants::Response)?;
        Ok(Subscribed::complete(subscription))
    }

    /// The answer, or a younger one if this is too old; and whether it is so although there is none.
    async fn made_young(
        &mut self,
        answer: Holdable,
        fetch: Fetch,
        from: Position,
    ) -> Result<(Holdable, Fetch, bool), Turn> {
        let (at_least, last) = self.too_old(&answer, from);
        if at_least == Position::ZERO || !self.original.is_repeatable() {
            return Ok((answer, fetch, false));
        }
        let Some((fresh, its_fetch)) = self.fresher(at_least, last).await else {
            return Ok((answer, fetch, true));
        };
        let (fresh, its_fetch) = self.still(HoldMode::Response, fresh, its_fetch, Some(from))?;
        let marked = is_older(&fresh, &its_fetch, at_least);
        Ok((fresh, its_fetch, marked))
    }

    /// What a younger answer has to reach, and the ids to ask it with; zero if this one will do. It is too old if
    /// one of its channels had a message after its stamp and before the request came, or knows another last id
    /// than the answer does; not, if what came since answers, and says that it follows what the answer names. Never more than
    /// the channel's own last message asks for: then one younger answer is enough for all who poll (rule M4).
    fn too_old(&self, answer: &Answer, from: Position) -> (Position, Vec<HeaderValue>) {
        let hub = &self.shared.options.hub;
        let stamp = answer.stamp;
        let ours = stamp.clock == hub.stamp_at(from).clock;
        let mut at_least = Position::ZERO;
        let mut lacking = Vec::new();
        for (index, channel) in answer.channels().iter().enumerate() {
            let newest = hub.last_message_up_to(&channel.name, from);
            if newest == Position::ZERO {
                continue;
            }
            let aged = (!ours || newest > stamp.replay) && !mutant!("poll-old");
            let is_last = hub.last_message(&channel.name) <= from;
            let other_id = match (&channel.prev_id, hub.last_id(&channel.name)) {
                (Some(named), Some(last)) => is_last && *named != last,
                _ => false,
            };
            if aged || (other_id && self.asked == 0) {
                at_least = at_least.max(newest);
                lacking.push(index);
            }
        }
        if at_least != Position::ZERO && self.is_answered(answer, from, &lacking) {
            at_least = Position::ZERO;
        }
        let named = |channel: &HoldChannel| grip_last(channel.name.as_str(), channel.prev_id.as_deref()?);
        (at_least, answer.channels().iter().filter_map(named).collect())
    }

    /// Whether something has come since the request arrived that answers it. Its client may lack messages of some channels.
    fn is_answered(&self, answer: &Answer, from: Position, lacking: &[usize]) -> bool {
        let hub = &self.shared.options.hub;
        let has_come = |channel: &HoldChannel| hub.last_message(&channel.name) > from;
        answer.channels().iter().any(has_come)
            && self
                .subscribe(answer, from)
                .is_ok_and(|subscribed| self.has_an_answer(answer, subscribed, lacking))
    }

    /// Whether any of the messages that have come answers: not what the client has already, nor what waits. Nor, of a channel
    /// that may lack what came before, what only its place in the log puts after what the client has; nor what comes after that.
    fn has_an_answer(&self, answer: &Answer, subscribed: Subscribed, lacking: &[usize]) -> bool {
        let is_named = |index: &usize| answer.channels()[*index].prev_id.is_some();
        let lacking: Vec<usize> = lacking.iter().copied().filter(is_named).collect();
        let mut unsure = Vec::new();
        let mut ids = self.ids_of(answer);
        let mut subscription = subscribed.following(&mut ids);
        let mut cx = Context::from_waker(Waker::noop());
        while let task::Poll::Ready(delivery) = subscription.poll_next(&mut cx) {
            let Ok((channel, placed)) = Placed::of(delivery) else {
                continue;
            };
            // A message may have been said before, in the form that answers; another one does not tell that its client has that.
            let is_of_before = placed.form.is_some_and(|first| !first.is_brought);
            let is_unsure = is_of_before || placed.message.predecessor().is_none();
            if lacking.contains(&channel) && is_unsure {
                unsure.push(channel);
            }
            if unsure.contains(&channel) {
                if is_an_answer(&placed.message) {
                    // It may go out first.
                    return false;
                }
                continue;
            }
            let first = ids.offer(channel, placed, Instant::now);
            let out = first.into_iter().chain(std::iter::from_fn(|| ids.ready()));
            if { out }.any(|placed| is_an_answer(&placed.message)) {
                return true;
            }
        }
        false
    }

    /// Of a poll that waits with this answer.
    fn ids_of(&self, answer: &Answer) -> Ids {
        let channels = answer.channels();
        Ids::new(channels, HoldMode::Response).bodiless(|index| self.has(&channels[index].name))
    }

    fn now(&self) -> Position {
        self.shared.options.hub.now()
    }

    /// The timeout's answer, without waiting.
    async fn at_once(&mut self, answer: Holdable) -> http::Response<crate::body::EdgeBody> {
        let guard = self.guard(HoldMode::Response);
        self.note_mark(&guard);
        guard.end(EndReason::Gap);
        let answer = answer.into_answer();
        match collect(answer.body).await {
            Ok(body) => Whole {
                parts: answer.parts,
                body,
                client_has_it: answer.client_has_it,
            }
            .timed_out(true),
            Err(error) => self.refuse(error),
        }
    }
}

/// Whether a younger answer, to this fetch, is older than what it was asked for.
fn is_older(fresh: &Answer, fetch: &Fetch, at_least: Position) -> bool {
    fresh.stamp.clock != fetch.stamp().clock || fresh.stamp.replay < at_least
}

// === impl Begun ===

impl Begun {
    fn new(answer: Holdable, fetch: Fetch, mut subscribed: Subscribed, marked: bool) -> Self {
        subscribed.marked |= marked;
        Self {
            answer,
            fetch,
            subscribed,
        }
    }
}

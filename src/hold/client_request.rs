//! One client request whose answer has instructions: what becomes of it.

use std::future::poll_fn;
use std::time::Duration;

use http::{HeaderValue, Response};

use super::answer::Answer;
use super::drained::Drained;
use super::failure::HoldError;
use super::guard::HoldGuard;
use super::holdable::{Holdable, Judged};
use super::layer::Shared;
use super::original::{Again, Original};
use super::request_body::BodyWatch;
use crate::below::Below;
use crate::body::EdgeBody;
use crate::grip::{HoldChannel, HoldMode};
use crate::hub::Fetch;
use crate::message::Channel;
use crate::position::Position;
use crate::sync::Arc;
use crate::time::Now;

/// How often the service below is asked again for one request, whatever the reasons.
pub(super) const MOST_ASKS: u8 = 10;

/// How long an answer to asking again may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long the rest of a request's body may take.
const REQUEST_BODY: Duration = Duration::from_secs(15);

/// One client request, as long as it may have to be made again.
pub(super) struct ClientRequest<S> {
    pub(super) shared: Arc<Shared>,
    /// Of one that can be made again.
    pub(super) inner: Option<S>,
    pub(super) original: Original,
    pub(super) watch: Option<BodyWatch>,
    pub(super) asked: u8,
    /// The last message that its client has, as far as that is known.
    pub(super) has: Option<Box<[Named]>>,
}

/// A channel and the id of one of its messages.
type Named = (Channel, std::sync::Arc<str>);

/// What a hold comes to before it answers.
pub(super) enum Turn {
    /// It answers.
    Done(Response<EdgeBody>),
    /// A hold is made of this. A long poll starts at `from`; at its fetch's stamp, if that is not given.
    Hold {
        answer: Holdable,
        fetch: Fetch,
        from: Option<Position>,
    },
}

/// Why asking again brought nothing.
pub(super) enum AskError<E> {
    /// It must not be asked again, or has been too often.
    Never,
    /// No answer in time.
    Late,
    /// The answer cannot be read.
    Unreadable(HoldError),
    /// The service failed.
    Service(E),
}

// === impl ClientRequest ===

impl<S: Below> ClientRequest<S> {
    /// Turns what the service below answered into what the client gets.
    pub(super) async fn settle(
        mut self,
        response: Response<EdgeBody>,
        fetch: Fetch,
    ) -> Result<Response<EdgeBody>, S::Error> {
        let arrival = fetch.stamp().at;
        let hub = &self.shared.options.hub;
        let answer = Answer::read(response, &fetch, hub, self.original.is_head()).await;
        let mut turn = match answer {
            Ok(answer) => self.first(answer, fetch, arrival).await,
            Err(error) => Turn::Done(self.refuse(error)),
        };
        loop {
            turn = match turn {
                Turn::Done(response) => return Ok(response),
                Turn::Hold { answer, fetch, from } => {
                    let from = from.unwrap_or(fetch.stamp().at);
                    self.hold(answer, fetch, from).await?
                }
            }
        }
    }

    /// Holds an answer.
    async fn hold(&mut self, answer: Holdable, fetch: Fetch, from: Position) -> Result<Turn, S::Error> {
        if let Some(watch) = self.watch.take() {
            let read = tokio::time::timeout(REQUEST_BODY, watch.finish()).await;
            match read {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Ok(Turn::Done(self.refuse(error))),
                Err(_elapsed) => return Ok(Turn::Done(self.refuse(HoldError::RequestLate))),
            }
        }
        match answer.mode() {
            HoldMode::Stream => Ok(self.stream(answer, fetch).await),
            HoldMode::Response => self.long_poll(answer, fetch, from).await,
        }
    }

    /// Asks the service below once more.
    pub(super) async fn ask(&mut self, again: Again) -> Result<(Answer, Fetch), AskError<S::Error>> {
        let now = Now::read();
        let options = &self.shared.options;
        let request = self
            .original
            .again(again, options, now)
            .filter(|_| self.asked < MOST_ASKS);
        let (Some(request), Some(inner)) = (request, &mut self.inner) else {
            return Err(AskError::Never);
        };
        self.asked += 1;
        let hub = &options.hub;
        let answer = async {
            poll_fn(|cx| inner.poll_ready(cx))
                .await
                .map_err(AskError::Service)?;
            let fetch = hub.begin_fetch(tokio::time::Instant::now());
            let response = inner.call(request).await.map_err(AskError::Service)?;
            let answer = Answer::read(response.map(EdgeBody::new), &fetch, hub, false).await;
            Ok((answer.map_err(AskError::Unreadable)?, fetch))
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(AskError::Late),
        }
    }

    /// Asks for a younger answer because none can be held from this one. `None`: there is none to be had.
    pub(super) async fn fresher(
        &mut self,
        at_least: Position,
        last: Vec<HeaderValue>,
    ) -> Option<(Judged, Fetch)> {
        let again = Again {
            at_least,
            no_cache: true,
            last,
        };
        let why = match self.ask(again).await {
            Ok((answer, fetch)) if !answer.is_failure() => return Some((self.judge(answer), fetch)),
            Ok((answer, _)) => format!("the answer is a {}", answer.parts.status),
            Err(AskError::Never) => "the request cannot be made again".into(),
            Err(AskError::Late) => "no answer in time".into(),
            Err(AskError::Unreadable(error)) => error.to_string(),
            Err(AskError::Service(_)) => "the service failed".into(),
        };
        let (method, path) = self.original.describe();
        tracing::info!(target: "gripstack::hold", method, path, why, "no younger answer for a hold");
        None
    }

    /// This answers the client's own request: if it was asked for in its name, the client has what it names.
    pub(super) fn note_what_it_has(&mut self, answer: &Answer) {
        let named = |channel: &HoldChannel| Some((channel.name.clone(), channel.prev_id.clone()?));
        let is_its_own = !answer.may_be_news();
        self.has = is_its_own.then(|| answer.channels().iter().filter_map(named).collect());
    }

    /// The last message of a channel that the client has, as far as that is known.
    pub(super) fn has(&self, channel: &Channel) -> Option<std::sync::Arc<str>> {
        let mut has = self.has.iter().flatten();
        has.find_map(|(name, id)| (name == channel).then(|| id.clone()))
    }

    /// The client's answer where nothing can be held.
    pub(super) fn refuse(&self, error: HoldError) -> Response<EdgeBody> {
        let (method, path) = self.original.describe();
        tracing::warn!(target: "gripstack::hold", method, path, %error, "cannot hold");
        error.into_response(self.shared.options.debug)
    }

    /// A hold begins.
    pub(super) fn guard(&self, kind: HoldMode) -> HoldGuard {
        let (method, path) = self.original.describe();
        tracing::debug!(target: "gripstack::hold", method, path, kind = kind.as_str(), "hold");
        HoldGuard::new(&self.shared.counters)
    }

    /// The end of the server, or of the edge.
    pub(super) fn drained(&self) -> Drained {
        Drained::new([self.original.drain.as_ref(), self.shared.options.drain.as_ref()])
    }

    /// Counts and logs a hold that starts although messages may be missing.
    pub(super) fn note_mark(&self, guard: &HoldGuard) {
        guard.marked();
        let (method, path) = self.original.describe();
        tracing::info!(target: "gripstack::hold", method, path, "messages may be missing");
    }
}

//! Stream holds: the answer goes out at once, and its body goes on.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::answer::{self, Answer};
use super::body::{HoldBody, Live, Wait};
use super::exchange::{Exchange, Turn};
use super::guard::EndReason;
use super::ids::{Ids, STREAM_PATIENCE};
use crate::body::{EdgeBody, Held};
use crate::error::BoxError;
use crate::grip::HoldMode;
use crate::hub::{Fetch, SubscribeError, Subscription, Wants};
use crate::position::Position;
use crate::time::after;

/// A subscription, and what is known of what it lacks.
pub(super) struct Start {
    pub(super) subscription: Subscription,
    /// A `close` or `hint` at or before this is not obeyed: the hold is made of an older answer, for there is no
    /// younger one.
    pub(super) deaf_to: Position,
    /// Messages may be missing.
    pub(super) marked: bool,
}

impl<S, B> Exchange<S>
where
    S: Service<Request<EdgeBody>, Response = Response<B>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Holds a stream. If the answer is too old to hold from, a younger one is asked for, once; if there is none,
    /// the hold starts from what there is, and says so.
    pub(super) async fn stream(&mut self, answer: Answer, fetch: Fetch) -> Result<Turn, S::Error> {
        let hub = self.shared.options.hub.clone();
        let subscribe = |answer: &Answer| hub.subscribe(&answer.names(), answer.stamp, Wants::Stream);
        let error = match subscribe(&answer) {
            Ok(subscription) => {
                drop(fetch);
                return Ok(Turn::Done(self.held(answer, Start::complete(subscription))));
            }
            Err(error) => error,
        };
        let at_least = error.at_least().unwrap_or_else(|| hub.now());
        let Some((fresh, fetch)) = self.fresher(at_least, Vec::new()).await else {
            return Ok(Turn::Done(self.held(answer, Start::marked(error))));
        };
        if fresh.mode() != Some(HoldMode::Stream) || !fresh.has_body() || fresh.coding().is_some() {
            return Ok(Turn::Fresh {
                answer: fresh,
                fetch,
                from: None,
            });
        }
        let start = match subscribe(&fresh) {
            Ok(subscription) => Start::complete(subscription),
            Err(error) => Start::marked(error),
        };
        Ok(Turn::Done(self.held(fresh, start)))
    }

    fn held(&self, mut answer: Answer, start: Start) -> Response<EdgeBody> {
        let guard = self.guard(HoldMode::Stream);
        let now = Instant::now();
        let mut end = (after(now, self.shared.max_age()), EndReason::Expired);
        if start.marked {
            self.note_mark(&guard);
            let marked = after(now, self.shared.marked_age());
            if marked < end.0 {
                end = (marked, EndReason::Gap);
            }
        }
        Answer::stream_head(&mut answer.parts);
        if start.marked {
            answer::mark(&mut answer.parts.headers);
        }
        answer.parts.extensions.insert(Held);
        answer.parts.extensions.insert(guard.handle());
        let hold = answer.instruct.hold.as_ref();
        let live = Live {
            subscription: start.subscription,
            ids: Ids::new(answer.channels(), STREAM_PATIENCE),
            keep_alive: hold.and_then(|hold| hold.keep_alive.clone()),
            deaf_to: start.deaf_to,
            end,
            marked_age: self.shared.marked_age(),
            drained: self.drained(),
            guard,
            _keep: answer.keep,
            wait: Wait::default(),
        };
        let retry = self.shared.retry(&answer.parts.headers);
        let body = HoldBody::new(retry, answer.body, live);
        Response::from_parts(answer.parts, EdgeBody::new(body))
    }
}

// === impl Start ===

impl Start {
    pub(super) fn complete(subscription: Subscription) -> Self {
        Self {
            subscription,
            deaf_to: Position::ZERO,
            marked: false,
        }
    }

    /// From what there is.
    pub(super) fn marked(error: SubscribeError) -> Self {
        let deaf_to = match &error {
            SubscribeError::Superseded { by, .. } => *by,
            SubscribeError::Gap { .. } | SubscribeError::ForeignClock(_) => Position::ZERO,
        };
        Self {
            subscription: error.anyway(),
            deaf_to,
            marked: true,
        }
    }
}

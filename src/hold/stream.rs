//! Stream holds: the answer goes out at once, and its body goes on.

use http::Response;
use tokio::time::Instant;

use super::answer::{self, Answer};
use super::body::{HoldBody, Live, Wait};
use super::client_request::{ClientRequest, Turn};
use super::guard::EndReason;
use super::holdable::Holdable;
use super::ids::Ids;
use super::keep_alive::KeepAliveClock;
use super::subscribed::Subscribed;
use crate::below::Below;
use crate::body::{EdgeBody, Held};
use crate::grip::HoldMode;
use crate::hub::{Fetch, Wants};
use crate::time::after;

impl<S: Below> ClientRequest<S> {
    /// Holds a stream. If the answer is too old to hold from, a younger one is asked for, once; if there is none,
    /// the hold starts from what there is, and says so.
    pub(super) async fn stream(&mut self, answer: Holdable, fetch: Fetch) -> Turn {
        let hub = self.shared.options.hub.clone();
        let subscribe = |answer: &Answer| hub.subscribe(&answer.names(), answer.stamp, Wants::Stream);
        let error = match subscribe(&answer) {
            Ok(subscription) => {
                drop(fetch);
                return Turn::Done(self.held(answer, Subscribed::complete(subscription)));
            }
            Err(error) => error,
        };
        let at_least = error.at_least().unwrap_or_else(|| hub.now());
        let Some((fresh, fetch)) = self.fresher(at_least, Vec::new()).await else {
            return Turn::Done(self.held(answer, Subscribed::marked(error)));
        };
        let (fresh, _fetch) = match self.still(HoldMode::Stream, fresh, fetch, None) {
            Ok(fresh) => fresh,
            Err(turn) => return turn,
        };
        let subscribed = match subscribe(&fresh) {
            Ok(subscription) => Subscribed::complete(subscription),
            Err(error) => Subscribed::marked(error),
        };
        Turn::Done(self.held(fresh, subscribed))
    }

    fn held(&self, answer: Holdable, subscribed: Subscribed) -> Response<EdgeBody> {
        let mut answer = answer.into_answer();
        let guard = self.guard(HoldMode::Stream);
        let now = Instant::now();
        let mut end = (after(now, self.shared.max_age()), EndReason::Expired);
        if subscribed.marked {
            self.note_mark(&guard);
            let marked = after(now, self.shared.marked_age());
            if marked < end.0 {
                end = (marked, EndReason::Gap);
            }
        }
        Answer::stream_head(&mut answer.parts);
        if subscribed.marked {
            answer::mark(&mut answer.parts.headers);
        }
        answer.parts.extensions.insert(Held);
        answer.parts.extensions.insert(guard.handle());
        let mut ids = Ids::new(answer.channels(), HoldMode::Stream);
        let deaf_to = subscribed.deaf_to;
        let live = Live {
            subscription: subscribed.following(&mut ids),
            ids,
            clock: KeepAliveClock::new(&answer.instruct, now),
            deaf_to,
            end,
            drained: self.drained(),
            shared: self.shared.clone(),
            guard,
            _keep: answer.keep,
            wait: Wait::default(),
        };
        let retry = self.shared.retry(&answer.parts.headers);
        let body = HoldBody::new(retry, answer.body, live);
        Response::from_parts(answer.parts, EdgeBody::new(body))
    }
}

//! Order within a channel, decided before the append.
//!
//! An item waits only if the channel's log knows a last id and the item names another one as its predecessor.
//! It waits until its predecessor was appended, or five seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Hub;
use crate::message::Channel;
use crate::order::{Publication, Purge};
use crate::position::Position;
use crate::sync::Mutex;
use crate::time::after;

/// How long an item waits for its predecessor.
const LONGEST: Duration = Duration::from_secs(5);
/// Items of one channel that wait.
const PER_CHANNEL: usize = 100;
/// Items that wait in all.
const IN_ALL: usize = 10_000;

#[derive(Default)]
pub(crate) struct Sequencer(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    channels: HashMap<Channel, Vec<Waiter>>,
    count: usize,
    /// Somebody looks after the deadlines.
    watched: bool,
}

struct Waiter {
    released: Released,
    deadline: Instant,
}

/// An item that waited, and the purges that go out once more with it.
#[derive(Debug)]
pub(crate) struct Released {
    pub(crate) publication: Publication,
    pub(crate) purges: Vec<Purge>,
    pub(crate) done: oneshot::Sender<Position>,
}

#[derive(Debug)]
pub(crate) enum Admission {
    /// It goes out now.
    Go(Publication),
    /// It waits; its position comes here. `watch` asks the caller to look after the deadlines.
    Wait {
        position: oneshot::Receiver<Position>,
        watch: bool,
    },
    /// Another item with the same predecessor waits already.
    Twin,
}

// === impl Sequencer ===

impl Sequencer {
    /// Admits an item. `ahead` is the id before it within its own order, if any.
    pub(crate) fn admit(
        &self,
        hub: &Hub,
        publication: Publication,
        purges: &[Purge],
        ahead: Option<&Arc<str>>,
        now: Instant,
    ) -> Admission {
        let message = &publication.message;
        let Some(prev_id) = message
            .prev_id
            .as_ref()
            .filter(|_| !message.no_seq && !publication.latest)
        else {
            return Admission::Go(publication);
        };
        if message
            .id
            .as_ref()
            .is_some_and(|id| hub.has(&publication.channel, id))
        {
            // It comes a second time; that is seen when it is applied.
            return Admission::Go(publication);
        }
        // The log is asked under this lock: an append that comes after the answer finds the item waiting.
        let mut waiting = self.0.lock();
        let last_id = ahead.cloned().or_else(|| hub.last_id(&publication.channel));
        if last_id.is_none_or(|last_id| last_id == *prev_id) || waiting.count >= IN_ALL {
            return Admission::Go(publication);
        }
        let waiters = waiting.channels.entry(publication.channel.clone()).or_default();
        if waiters
            .iter()
            .any(|other| other.released.publication.message.prev_id.as_ref() == Some(prev_id))
        {
            return Admission::Twin;
        }
        if waiters.len() >= PER_CHANNEL {
            return Admission::Go(publication);
        }
        let (done, position) = oneshot::channel();
        let released = Released {
            publication,
            purges: purges.to_vec(),
            done,
        };
        waiters.push(Waiter {
            released,
            deadline: after(now, LONGEST),
        });
        waiting.count += 1;
        let watch = !std::mem::replace(&mut waiting.watched, true);
        Admission::Wait { position, watch }
    }

    /// The item that waited for this one.
    pub(crate) fn successor(&self, channel: &Channel, id: &Arc<str>) -> Option<Released> {
        self.0.lock().take(channel, |waiter| {
            waiter.released.publication.message.prev_id.as_ref() == Some(id)
        })
    }

    /// The oldest item that has waited long enough; else when to look again; `None` if nothing waits.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Result<Released, Instant>> {
        let mut waiting = self.0.lock();
        let oldest = waiting
            .channels
            .iter()
            .flat_map(|(channel, waiters)| waiters.iter().map(move |waiter| (waiter.deadline, channel)));
        let Some((deadline, channel)) = oldest.min_by_key(|(deadline, _)| *deadline) else {
            waiting.watched = false;
            return None;
        };
        if deadline > now {
            return Some(Err(deadline));
        }
        let channel = channel.clone();
        waiting
            .take(&channel, |waiter| waiter.deadline == deadline)
            .map(Ok)
    }
}

impl Waiting {
    fn take(&mut self, channel: &Channel, wanted: impl Fn(&Waiter) -> bool) -> Option<Released> {
        let waiters = self.channels.get_mut(channel)?;
        let index = waiters.iter().position(wanted)?;
        let waiter = waiters.remove(index);
        if waiters.is_empty() {
            self.channels.remove(channel);
        }
        self.count -= 1;
        Some(waiter.released)
    }
}

//! Ids: each message once, in the order that ids say.
//!
//! Per channel a hold keeps one value, `at`: first the id that the initial body names, then that of the message
//! delivered last.
//!
//! - A message *fits* if it has no `prev-id` (or is `no-seq`), or if its `prev-id` is `at`, or was shortly before: two
//!   publishers may follow the same one at the same moment. It is delivered, and its id becomes `at`.
//! - The message whose id is `at` is skipped. So is the one that the body names, and what leads up to that by `prev-id`:
//!   that is how a replay that begins below what the body contains stays silent. Not so where the client was sent what is, or
//!   may be, older: it would stay on that. What was sent before the body is come to says what follows what as well, the last of it.
//! - Any other is *withheld*. When its predecessor is delivered, it follows.
//! - A message with the id of an earlier one, of a counter that began again or a state that came back, begins anew: what is withheld
//!   goes out before it, and ids are of what comes from there on.
//! - What comes late, for the log has what follows it below the hold's stamp, is in the body.
//! - What the log has before what the body names is *old*, for the body contains it, unless it turns out to follow what
//!   is news. Old messages wait like the others, and are then forgotten. Of one that names no predecessor nobody can tell:
//!   it goes out.
//! - While one is withheld, its channel stops (rule D3): a message that names no predecessor has its place in the
//!   log, so it comes after what the log has before it, unless it is what that waits for. Else a client would stay
//!   on an older one, and a `close` would take from it what is withheld. Only `no-seq` overtakes.
//! - What is withheld for longer than a patience is a gap. Streams then deliver it, in order: that of the ids, where
//!   these tell one, else that of the log.
//!
//! A long poll is not sent the body. Only of one that was asked for in its client's name is known that the client has what it
//! names. Of any other, what the body names is not skipped: it goes out, and with it all that is withheld on any channel, for
//! the log has that before it.
//!
//! A channel whose id the body does not name has no `at`: its messages go out as they come.

mod chain;
mod decided;
mod track;
mod withheld;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::track::Track;
use self::withheld::Place;
use crate::grip::{HoldChannel, HoldMode};
use crate::hub::{Delivery, FirstForm};
use crate::message::Message;
use crate::position::Position;

/// How long a stream waits for a predecessor.
pub(super) const STREAM_PATIENCE: Duration = Duration::from_secs(5);

/// How long a long poll waits for a predecessor before the origin is asked: messages of one burst may come in any
/// order.
pub(super) const RESPONSE_PATIENCE: Duration = Duration::from_millis(200);

/// Messages of one channel that are withheld: as many as its log remembers, for a replay may begin far below what the body
/// contains (rule X1). When one more comes, the first of them goes out.
const MOST: usize = 1_000;

/// Bytes of one channel's messages that are withheld; likewise.
const MOST_BYTES: usize = 1 << 20;

/// A message at its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) at: Position,
    /// The log has what follows it, below what was asked of it.
    pub(super) late: bool,
    /// Its id was that of another one.
    pub(super) anew: bool,
    /// Its place among the items of its order.
    pub(super) nth: u32,
    /// It is another form of one that came before.
    pub(super) form: Option<FirstForm>,
    pub(super) message: Arc<Message>,
}

/// The ids of one hold's channels.
#[derive(Debug)]
pub(super) struct Ids {
    /// Empty if the body names no id.
    channels: Box<[Track]>,
    /// Of what was offered last.
    last: Place,
}

// === impl Placed ===

impl Placed {
    /// Where the log came to the message first.
    fn first(&self) -> (Position, u32) {
        self.form
            .map_or((self.at, self.nth), |first| (first.at, first.nth))
    }

    /// What a subscription brings, and of which channel; `Err`: messages of this channel are gone.
    pub(super) fn of(delivery: Delivery) -> Result<(usize, Self), usize> {
        match delivery {
            Delivery::Message {
                channel,
                at,
                late,
                anew,
                nth,
                form,
                message,
            } => {
                let placed = Self {
                    at,
                    late,
                    anew,
                    nth,
                    form,
                    message,
                };
                Ok((channel, placed))
            }
            Delivery::Lagged { channel } => Err(channel),
        }
    }
}

// === impl Ids ===

impl Ids {
    /// Of a hold's channels, in the order of subscribing.
    pub(super) fn new(channels: &[HoldChannel], mode: HoldMode) -> Self {
        let tracked = channels.iter().any(|channel| channel.prev_id.is_some());
        let track = |channel| Track::new(channel, mode);
        Self {
            channels: if tracked {
                channels.iter().map(track).collect()
            } else {
                Box::default()
            },
            last: Place::default(),
        }
    }

    /// Of a hold whose client is not sent the body: what it has of each channel, by index, as far as that is known.
    pub(super) fn bodiless(mut self, has: impl Fn(usize) -> Option<Arc<str>>) -> Self {
        for (index, track) in self.channels.iter_mut().enumerate() {
            track.take_body(has(index));
        }
        self
    }

    /// Of a hold that reads the log from above what these bodies name, by index.
    pub(super) fn note_past(&mut self, is_below: impl Fn(usize, &str) -> bool) {
        let sent = self.channels.iter_mut().enumerate();
        for (index, track) in sent.filter(|(_, track)| !track.is_bodiless) {
            if track.at.as_ref().is_some_and(|at| is_below(index, at)) {
                track.is_past_body();
            }
        }
    }

    /// Takes the next message of a channel; gives it back if it goes out now. More may be [`ready`](Self::ready)
    /// after it. `now` is asked only where time matters.
    pub(super) fn offer(
        &mut self,
        channel: usize,
        placed: Placed,
        now: impl Fn() -> Instant,
    ) -> Option<Placed> {
        let Some(track) = self.channels.get(channel).filter(|track| track.is_tracked) else {
            return Some(placed);
        };
        if track.is_bodiless && track.is_come_to(&placed.message) {
            // On the other channels, too, the log has what is withheld before it.
            let others = self
                .channels
                .iter_mut()
                .enumerate()
                .filter(|(index, _)| *index != channel);
            others.for_each(|(_, track)| track.release_early());
        }
        self.last = self.last.next();
        let track = &mut self.channels[channel];
        let goes = track.offer(self.last, placed, now);
        goes.or_else(|| self.ready())
    }

    /// What goes out after what was delivered last. Of several channels, what came first.
    pub(super) fn ready(&mut self) -> Option<Placed> {
        let place = |track: &&mut Track| track.ready.front().map(|(place, _)| *place);
        let ready = self.channels.iter_mut().filter(|track| !track.ready.is_empty());
        ready.min_by_key(place)?.next_ready()
    }

    /// When something will have been withheld for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.channels.iter().filter_map(Track::deadline).min()
    }

    /// Gives up waiting: makes ready what was withheld for long enough, and what follows that.
    pub(super) fn release_overdue(&mut self, now: Instant) {
        for track in &mut self.channels {
            if track.deadline().is_some_and(|deadline| deadline <= now) {
                track.release_overdue(now);
            }
        }
    }

    /// Whether something went out although what leads up to it may be missing, before its time was up, since this was asked last.
    pub(super) fn has_skipped(&mut self) -> bool {
        let tracks = self.channels.iter_mut();
        tracks.fold(false, |any, track| any | std::mem::take(&mut track.has_skipped))
    }

    /// Forgets what the body contains that was withheld for long enough.
    pub(super) fn forget_overdue(&mut self, now: Instant) {
        for track in &mut self.channels {
            track.forget_overdue(now);
        }
    }

    /// The last position among what is withheld.
    pub(super) fn last_withheld(&self) -> Option<Position> {
        self.withheld().max()
    }

    /// The first of them.
    pub(super) fn first_withheld(&self) -> Option<Position> {
        self.withheld().min()
    }

    fn withheld(&self) -> impl Iterator<Item = Position> {
        let withheld = self.channels.iter().flat_map(Track::news);
        withheld.map(|placed| placed.at)
    }

    /// Whether any channel is tracked.
    pub(super) fn are_there(&self) -> bool {
        !self.channels.is_empty()
    }

    /// The channels that are tracked, by index, and how far they are.
    pub(super) fn known(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        let channels = self.channels.iter().enumerate();
        channels.filter_map(|(index, track)| Some((index, track.at.as_ref()?)))
    }
}

#[cfg(test)]
mod tests;

//! What a hold reads: its channels, each from a stamp, replay and live as one.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Hub;
use super::cursor::{Cursor, Found};
use super::known::Mark;
use super::topic::Item;
use crate::message::{Channel, Message};
use crate::position::{Position, Stamp};

/// The channels of one hold, each read from a stamp on: first what was published since, then what is published.
/// Each message at most once, in the order of each channel.
///
/// A hold's channels may change while it lives: see [`join`](Self::join) and [`leave`](Self::leave).
///
/// ```
/// use gripstack::hub::{Delivery, Wants};
/// use gripstack::{Channel, Edge, Message};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
/// let edge = Edge::new();
/// let hub = edge.hub();
/// // Of before somebody read what the client gets.
/// let stamp = hub.stamp_at(hub.now());
/// let mut subscription = hub.subscribe(&[Channel::new("news")?], stamp, Wants::Stream)?;
/// edge.publish("sports", Message::line("1:0")).await?;
///
/// let sports = subscription.join(&Channel::new("sports")?, stamp);
/// assert!(sports.is_complete);
/// let Delivery::Message { channel, .. } = subscription.next().await else { panic!() };
/// assert_eq!(channel, sports.channel);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    /// By their places. That of one that has left is empty until another one takes it.
    channels: Vec<Option<Reading>>,
    wants: Wants,
    /// Messages with an id come in whatever form.
    all_ids: bool,
}

/// One channel that is read.
#[derive(Debug)]
struct Reading {
    cursor: Cursor,
    /// What is above this is brought.
    above: Position,
}

/// A channel that a hold has joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Joined {
    /// Its place, which deliveries name.
    pub channel: usize,
    /// It brings all that is above the stamp. Otherwise the log no longer reaches back to that, or it is of another clock.
    pub is_complete: bool,
    /// Above the stamp is a `close` or `hint`, which asks for a younger answer. A WebSocket is told of none.
    pub superseded_by: Option<Position>,
}

/// The kind of a hold: which form of a message it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wants {
    /// A stream hold.
    Stream,
    /// A response hold (long poll).
    Response,
    /// A WebSocket.
    Socket,
}

/// What a subscription brings.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A message.
    Message {
        /// The place of its channel: those subscribed to at first have theirs in that order.
        channel: usize,
        /// Its position.
        at: Position,
        /// It came late: a message that follows it, as their ids say, was there before the subscription begins.
        late: bool,
        /// Its id was that of another message: what ids say of order begins anew with it.
        anew: bool,
        /// Its place among the items of its order.
        nth: u32,
        /// It is another form of a message that came before.
        form: Option<FirstForm>,
        /// The message. It has the form that the hold takes.
        message: Arc<Message>,
    },
    /// Messages of this channel are gone before they were read. The next poll goes on at the oldest that is
    /// still there.
    Lagged {
        /// The place of the channel.
        channel: usize,
    },
}

/// Where a message came in another form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FirstForm {
    /// Its position.
    pub at: Position,
    /// Its place among the items of its order.
    pub nth: u32,
    /// The subscription brought that, too, or would have, had it the form that is wanted.
    pub is_brought: bool,
}

/// Why an answer cannot be held from. Each carries what could be held from regardless: for the case that there
/// is no better answer to be had.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The log of a channel no longer reaches back to the stamp.
    #[error("the log no longer reaches back to the answer's stamp")]
    Gap {
        /// What was accepted up to here may be gone.
        floor: Position,
        /// Above the stamp is a `close` or `hint` as well.
        superseded_by: Option<Position>,
        /// What could be held from regardless.
        anyway: Subscription,
    },
    /// The stamp is of another clock.
    #[error("the answer was stamped by another clock")]
    ForeignClock(Subscription),
    /// Above the stamp is a `close` or `hint`: it asks for a younger answer.
    #[error("a close or hint at {by} is above the answer's stamp")]
    Superseded {
        /// Its position.
        by: Position,
        /// What could be held from regardless.
        anyway: Subscription,
    },
}

/// What a look at several channels finds: the index of one, and what is there.
enum Look {
    Item(usize, Item, Option<Mark>),
    Lagged(usize),
}

// === impl Subscription ===

impl Subscription {
    /// For so many channels.
    pub(super) fn new(hub: Hub, channels: usize, wants: Wants) -> Self {
        Self {
            hub,
            channels: Vec::with_capacity(channels),
            wants,
            all_ids: false,
        }
    }

    /// Reads one more channel from a position on. Returns its place, up to where something may be gone, and the last message
    /// that cannot be replayed, but asks for a fetch.
    pub(super) fn read(&mut self, channel: &Channel, above: Position) -> (usize, Position, Position) {
        let joined = self.hub.0.registry.join(channel, above, self.wants);
        let reading = Some(Reading {
            cursor: joined.cursor,
            above,
        });
        let place = match self.channels.iter().position(Option::is_none) {
            Some(empty) => {
                self.channels[empty] = reading;
                empty
            }
            None => {
                self.channels.push(reading);
                self.channels.len() - 1
            }
        };
        (place, joined.floor, joined.unreplayable)
    }

    /// Reads one more channel: every message above the stamp, then what is published, as [`Hub::subscribe`] does (rule C6).
    /// The stamp is that of the answer that asks for it, taken before its request left. One that is read already goes on as it
    /// is, from where it began; one that has left begins anew, and brings again what it has brought above the stamp.
    pub fn join(&mut self, channel: &Channel, stamp: Stamp) -> Joined {
        let from = self.hub.replay_from(stamp);
        if let Some(place) = self.place(channel) {
            let reading = self.channels[place].as_ref();
            let lacks_nothing = |reading: &Reading, from| {
                from >= reading.above || reading.cursor.topic().last_up_to(reading.above) <= from
            };
            return Joined {
                channel: place,
                is_complete: reading
                    .zip(from)
                    .is_some_and(|(reading, from)| lacks_nothing(reading, from)),
                superseded_by: None,
            };
        }
        let above = from.unwrap_or_else(|| self.hub.now());
        let (channel, floor, by) = self.read(channel, above);
        self.hub.settle(floor.max(by));
        Joined {
            channel,
            is_complete: from.is_some() && floor <= above,
            superseded_by: Some(by).filter(|by| *by > above),
        }
    }

    /// Reads this channel no longer. Returns the place that it had, which the next one that joins may get.
    pub fn leave(&mut self, channel: &Channel) -> Option<usize> {
        let place = self.place(channel)?;
        let left = self.channels[place].take()?;
        self.let_go(left);
        Some(place)
    }

    fn place(&self, channel: &Channel) -> Option<usize> {
        let is_it = |reading: &Reading| reading.cursor.topic().name == *channel;
        self.channels
            .iter()
            .position(|reading| reading.as_ref().is_some_and(is_it))
    }

    fn let_go(&self, Reading { cursor, .. }: Reading) {
        let topic = cursor.topic().clone();
        drop(cursor);
        self.hub.0.registry.has_left(&topic);
    }

    /// The same one, that also brings what has an id but not the form that the hold takes.
    #[cfg(feature = "hold")]
    pub(crate) fn with_all_ids(mut self) -> Self {
        self.all_ids = true;
        self
    }

    /// The channels, by their places.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels
            .iter()
            .flatten()
            .map(|reading| &reading.cursor.topic().name)
    }

    /// Whether this is the id of the last message of one of the channels below where this begins.
    #[cfg(feature = "hold")]
    pub(crate) fn is_last_below(&self, channel: usize, id: &str) -> bool {
        let reading = self.channels[channel].as_ref();
        reading.is_some_and(|reading| reading.cursor.topic().is_last_below(id, reading.above))
    }

    /// The position of the last message of one of the channels.
    #[cfg(feature = "hold")]
    pub(crate) fn last_message(&self, channel: usize) -> Position {
        let reading = self.channels[channel].as_ref();
        let last = reading.map_or(Position::ZERO, |reading| reading.cursor.topic().last());
        self.hub.settle(last);
        last
    }

    /// The next message. With several channels, that of the lowest position; of one position, that which its publisher
    /// wrote first.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        let look = ready!(self.poll_first(cx));
        let (Look::Item(channel, ..) | Look::Lagged(channel)) = look;
        let reading = self.channels[channel]
            .as_mut()
            .expect("something was found there");
        Poll::Ready(match look {
            Look::Item(channel, item, mark) => {
                reading.cursor.advance();
                Delivery::Message {
                    channel,
                    at: item.at,
                    late: matches!(mark, Some(Mark::Late(by) | Mark::Form { late: Some(by), .. }) if by <= reading.above),
                    nth: item.nth,
                    form: match mark {
                        Some(Mark::Form { first: (at, nth), .. }) => Some(FirstForm {
                            at,
                            nth,
                            is_brought: at > reading.above,
                        }),
                        _ => None,
                    },
                    anew: matches!(mark, Some(Mark::Anew)),
                    message: item.message,
                }
            }
            Look::Lagged(channel) => {
                reading.cursor.skip_to_tail();
                Delivery::Lagged { channel }
            }
        })
    }

    /// A channel of which messages are gone before they were read, as the next poll will say.
    #[cfg(feature = "websocket")]
    pub(crate) fn has_lagged(&mut self) -> Option<usize> {
        match self.poll_first(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Look::Lagged(channel)) => Some(channel),
            _ => None,
        }
    }

    /// The first message of all channels, without moving past it; or one of them that has lagged.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Look> {
        loop {
            // The same for all channels: what is at or below it is there, on each.
            let upto = self.hub.now();
            let mut first: Option<(usize, Item, Option<Mark>)> = None;
            let mut is_ahead = false;
            for (index, reading) in self.channels.iter_mut().enumerate() {
                let Some(Reading { cursor, .. }) = reading else {
                    continue;
                };
                loop {
                    match cursor.peek(upto, cx.waker()) {
                        Found::Item(item, _) if !is_wanted(&item.message, self.wants, self.all_ids) => {
                            cursor.advance();
                            continue;
                        }
                        Found::Item(item, mark) => {
                            if first.as_ref().is_none_or(|(_, other, _)| item.is_before(other)) {
                                first = Some((index, item, mark));
                            }
                        }
                        Found::Lagged => return Poll::Ready(Look::Lagged(index)),
                        Found::Ahead => is_ahead = true,
                        Found::Nothing => {}
                    }
                    break;
                }
            }
            return match first {
                Some((channel, item, mark)) => Poll::Ready(Look::Item(channel, item, mark)),
                // Who moved the clock meanwhile may have woken everybody before this one waited.
                None if is_ahead && self.hub.now() > upto => continue,
                None => Poll::Pending,
            };
        }
    }

    /// The next message.
    pub async fn next(&mut self) -> Delivery {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}

fn is_wanted(message: &Message, wants: Wants, all_ids: bool) -> bool {
    let has_form = match wants {
        Wants::Stream => message.stream.is_some(),
        Wants::Response => message.response.is_some(),
        Wants::Socket => message.socket.is_some(),
    };
    has_form || (all_ids && message.id.is_some())
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for reading in std::mem::take(&mut self.channels).into_iter().flatten() {
            self.let_go(reading);
        }
    }
}

// === impl SubscribeError ===

impl SubscribeError {
    /// From this stamp on, an answer can be held from. `None`: from one of this clock.
    pub fn at_least(&self) -> Option<Position> {
        match self {
            Self::Gap { floor, .. } => self.superseded_by().max(Some(*floor)),
            Self::Superseded { .. } | Self::ForeignClock(_) => self.superseded_by(),
        }
    }

    /// The last `close` or `hint` above the stamp. Who holds regardless must not obey it, for it would end each hold that
    /// is made so.
    pub fn superseded_by(&self) -> Option<Position> {
        match self {
            Self::Gap { superseded_by, .. } => *superseded_by,
            Self::Superseded { by, .. } => Some(*by),
            Self::ForeignClock(_) => None,
        }
    }

    /// Holds from what there is.
    pub fn anyway(self) -> Subscription {
        match self {
            Self::Gap { anyway, .. } | Self::ForeignClock(anyway) | Self::Superseded { anyway, .. } => anyway,
        }
    }
}

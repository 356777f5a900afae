//! What a hold reads: several channels from one stamp, replay and live as one.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Hub;
use super::cursor::{Cursor, Found};
use super::known::Mark;
use super::topic::Item;
use crate::message::{Channel, Message};
use crate::position::Position;

/// The channels of one hold, read from its stamp on: first what was published since, then what is published.
/// Each message at most once, in the order of each channel.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    channels: Box<[Cursor]>,
    wants: Wants,
    /// It brings what is above this.
    above: Position,
    /// Messages with an id come in whatever form.
    all_ids: bool,
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
        /// Which of the channels, in the order of subscribing.
        channel: usize,
        /// Its position.
        at: Position,
        /// It came late: a message that follows it, as their ids say, was there before the subscription begins.
        late: bool,
        /// Its id was that of another message: what ids say of order begins anew with it.
        anew: bool,
        /// The message. It has the form that the hold takes.
        message: Arc<Message>,
    },
    /// Messages of this channel are gone before they were read. The next poll goes on at the oldest that is
    /// still there.
    Lagged {
        /// Which of the channels.
        channel: usize,
    },
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
    pub(super) fn new(hub: Hub, channels: Vec<Cursor>, wants: Wants, above: Position) -> Self {
        Self {
            hub,
            channels: channels.into(),
            wants,
            above,
            all_ids: false,
        }
    }

    /// The same one, that also brings what has an id but not the form that the hold takes.
    #[cfg(feature = "hold")]
    pub(crate) fn with_all_ids(mut self) -> Self {
        self.all_ids = true;
        self
    }

    /// The channels, in the order of subscribing.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().map(|cursor| &cursor.topic().name)
    }

    /// Whether this is the id of the last message of one of the channels below where this begins.
    #[cfg(feature = "hold")]
    pub(crate) fn is_last_below(&self, channel: usize, id: &str) -> bool {
        self.channels[channel].topic().is_last_below(id, self.above)
    }

    /// The position of the last message of one of the channels.
    #[cfg(feature = "hold")]
    pub(crate) fn last_message(&self, channel: usize) -> Position {
        let last = self.channels[channel].topic().last();
        self.hub.settle(last);
        last
    }

    /// The next message. With several channels, that of the lowest position; of one position, that which its publisher
    /// wrote first.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        Poll::Ready(match ready!(self.poll_first(cx)) {
            Look::Item(channel, item, mark) => {
                self.channels[channel].advance();
                Delivery::Message {
                    channel,
                    at: item.at,
                    late: matches!(mark, Some(Mark::Late(by)) if by <= self.above),
                    anew: matches!(mark, Some(Mark::Anew)),
                    message: item.message,
                }
            }
            Look::Lagged(channel) => {
                self.channels[channel].skip_to_tail();
                Delivery::Lagged { channel }
            }
        })
    }

    /// The first message of all channels, without moving past it; or one of them that has lagged.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Look> {
        loop {
            // The same for all channels: what is at or below it is there, on each.
            let upto = self.hub.now();
            let mut first: Option<(usize, Item, Option<Mark>)> = None;
            let mut is_ahead = false;
            for (index, cursor) in self.channels.iter_mut().enumerate() {
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
        for cursor in std::mem::take(&mut self.channels) {
            let topic = cursor.topic().clone();
            drop(cursor);
            self.hub.0.registry.has_left(&topic);
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

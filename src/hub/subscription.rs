//! What a hold reads: several channels from one stamp, replay and live as one.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Hub;
use super::topic::Item;
use crate::log::{Cursor, Next};
use crate::message::{Channel, Message};
use crate::position::Position;

/// The channels of one hold, read from its stamp on: first what was published since, then what is published.
/// Each message at most once, in the order of each channel.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    channels: Vec<(Channel, Cursor<Item>)>,
    wants: Wants,
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
    Item(usize, Item),
    Lagged(usize),
}

// === impl Subscription ===

impl Subscription {
    pub(super) fn new(hub: Hub, channels: Vec<(Channel, Cursor<Item>)>, wants: Wants) -> Self {
        Self { hub, channels, wants }
    }

    /// The channels, in the order of subscribing.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().map(|(channel, _)| channel)
    }

    /// The position of the last message of one of the channels.
    #[cfg(feature = "hold")]
    pub(crate) fn last_message(&self, channel: usize) -> Position {
        self.hub.last_message(&self.channels[channel].0)
    }

    /// The next message. With several channels, that of the lowest position; of one position, that which its publisher
    /// wrote first.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        let first = match ready!(self.poll_first(self.channels.len(), cx)) {
            // Channels that were looked at before it was there may have an earlier one by now. What came before it is
            // there, for it is.
            Look::Item(channel, item) if channel > 0 => match self.poll_first(channel, cx) {
                Poll::Ready(Look::Item(other, earlier)) if earlier.is_before(&item) => {
                    Look::Item(other, earlier)
                }
                Poll::Ready(Look::Lagged(other)) => Look::Lagged(other),
                Poll::Ready(Look::Item(..)) | Poll::Pending => Look::Item(channel, item),
            },
            first => first,
        };
        Poll::Ready(match first {
            Look::Item(channel, item) => {
                self.channels[channel].1.advance();
                Delivery::Message {
                    channel,
                    at: item.at,
                    message: item.message,
                }
            }
            Look::Lagged(channel) => {
                self.channels[channel].1.skip_to_tail();
                Delivery::Lagged { channel }
            }
        })
    }

    /// The first message of the first so many channels, without moving past it; or one of them that has lagged.
    fn poll_first(&mut self, channels: usize, cx: &mut Context<'_>) -> Poll<Look> {
        let mut first: Option<(usize, Item)> = None;
        for (index, (_, cursor)) in self.channels[..channels].iter_mut().enumerate() {
            loop {
                match cursor.poll_peek(cx) {
                    Poll::Ready(Next::Entry(item)) if !wanted(&item.message, self.wants) => {
                        cursor.advance();
                        continue;
                    }
                    Poll::Ready(Next::Entry(item)) => {
                        if first.as_ref().is_none_or(|(_, other)| item.is_before(other)) {
                            first = Some((index, item));
                        }
                    }
                    Poll::Ready(Next::Lagged) => return Poll::Ready(Look::Lagged(index)),
                    Poll::Ready(Next::End(_)) | Poll::Pending => {}
                }
                break;
            }
        }
        match first {
            Some((channel, item)) => Poll::Ready(Look::Item(channel, item)),
            None => Poll::Pending,
        }
    }

    /// The next message.
    pub async fn next(&mut self) -> Delivery {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}

fn wanted(message: &Message, wants: Wants) -> bool {
    match wants {
        Wants::Stream => message.stream.is_some(),
        Wants::Response => message.response.is_some(),
        Wants::Socket => message.socket.is_some(),
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let names: Vec<Channel> = self.channels.drain(..).map(|(channel, _)| channel).collect();
        self.hub.release(&names);
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

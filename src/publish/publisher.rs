//! [`Publisher`]: the way in for messages, paced where the channel says so.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config::{Policy, PublishConfig};
use super::driver::Driver;
use super::pacer::{Full, Update, Verdict};
use crate::edge::{Accepted, Edge, SubmitError};
use crate::hub::{Conflict, OrderTooLarge};
use crate::message::{Channel, ChannelError, Message};
use crate::order::{Order, Publication, Purge};
use crate::position::Position;

/// Publishes to one edge as its configuration says. A handle: clones share the pacing of channels, two publishers
/// do not. Needs a Tokio runtime around its calls.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
/// use gripstack::publish::{PublishConfig, Publisher, Rule};
/// use gripstack::{Edge, Message};
///
/// let edge = Edge::new();
/// // `counter-..` carry states: the first goes out at once, then the last one, a second later.
/// let publisher = Publisher::new(edge, PublishConfig::new().channels("counter-", Rule::latest()));
/// let first = publisher.publish("counter-a", Message::sse(None, "1")).await?;
/// let second = publisher.publish("counter-a", Message::sse(None, "2")).await?;
/// assert!(first.position.is_some());
/// assert_eq!((second.position, second.queued), (None, 1));
/// // Any other channel has every message, at once.
/// let news = publisher.publish("news", Message::sse(None, "hello")).await?;
/// assert!(news.position > first.position);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Publisher {
    driver: Driver,
    config: Arc<PublishConfig>,
}

/// One message to publish.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where it goes.
    pub channel: Channel,
    /// What goes there.
    pub message: Message,
    /// How.
    pub options: PublishOptions,
}

/// How a message is published.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// Whether its channel is paced. Default: as configured for the channel.
    pub policy: Option<Policy>,
    /// What to purge in the same order. Default: nothing; the message ages what its channel concerns.
    pub purges: Vec<Purge>,
    /// Orders the updates of a paced channel, where several publishers may overtake each other: an update whose
    /// version is not above all that came before it is superseded. Remembered while the channel is paced, which
    /// is for an interval after each message. Default: each update is newer than those before it, unless it has the id of one
    /// of those, or one that they name as their predecessor, and neither closes nor hints: that is remembered as long, of the
    /// last 256. Where several calls overtake each other, their ids tell which is the newest as soon as all have come: those
    /// that others named may come up to a minute after the channel has rested.
    pub version: Option<u64>,
}

/// What became of messages that were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The last position, of those that have one.
    pub position: Option<Position>,
    /// Messages that wait for their turn: each will be sent, unless a newer one replaces it.
    pub queued: usize,
    /// Messages that will not be sent, for a newer one came before them or in the same call. What they purge goes out in
    /// their channel's next turn, within an interval.
    pub superseded: usize,
    /// Messages that wait for the one that they name as their predecessor: each will be sent, in 5 s at the latest.
    pub waiting: usize,
}

/// Why messages were not accepted. Nothing of the call is published, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// No channel may have this name.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// They do not fit a channel's log.
    #[error(transparent)]
    TooLarge(#[from] OrderTooLarge),
    /// Too many channels are paced, or too much waits.
    #[error("too many updates wait; try again in {retry_after:?}")]
    Full {
        /// When something will have been sent.
        retry_after: Duration,
    },
    /// Another message waits for the predecessor that one of these names. If that came at the same moment, those that are paced
    /// may have been taken.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The edge did not take the order of those that are not paced. Those that are may have been taken.
    #[error(transparent)]
    Submit(SubmitError),
}

/// What one call is made of.
struct Parts {
    /// What goes out at once.
    order: Order,
    /// Of its messages.
    versions: Vec<Option<u64>>,
    /// What is paced.
    updates: Vec<Update>,
}

// === impl Publisher ===

impl Publisher {
    /// Publishes to this edge.
    pub fn new(edge: Edge, config: PublishConfig) -> Self {
        Self {
            driver: Driver::new(edge, config.max_channels, config.max_pending_bytes),
            config: Arc::new(config),
        }
    }

    /// Where it publishes to.
    pub fn edge(&self) -> &Edge {
        self.driver.edge()
    }

    pub(super) fn config(&self) -> &PublishConfig {
        &self.config
    }

    /// Publishes one message as its channel is configured. Resolves when it has a position, or waits for its turn.
    ///
    /// Cancel safe for a paced channel: once polled, it is published although the future was dropped. For others
    /// as [`Edge::publish`], once what was paced before it has gone out.
    ///
    /// # Errors
    ///
    /// [`PublishError::Channel`] if no channel may have this name, and those of [`publish_all`](Self::publish_all).
    pub async fn publish<C>(&self, channel: C, message: Message) -> Result<Receipt, PublishError>
    where
        C: TryInto<Channel, Error: Into<ChannelError>>,
    {
        self.publish_with(channel, message, PublishOptions::default())
            .await
    }

    /// The same with options.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// ```
    /// # use gripstack::publish::{Policy, PublishConfig, PublishOptions};
    /// # use gripstack::{Edge, Message};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
    /// let publisher = Edge::new().publisher(PublishConfig::new());
    /// let options = PublishOptions { policy: Some(Policy::Latest), version: Some(7), ..Default::default() };
    /// publisher.publish_with("counter", Message::sse(None, "7"), options.clone()).await?;
    /// // Another process was slower.
    /// let receipt = publisher.publish_with("counter", Message::sse(None, "7"), options).await?;
    /// assert_eq!(receipt.superseded, 1);
    /// # Ok(()) }
    /// ```
    pub async fn publish_with<C>(
        &self,
        channel: C,
        message: Message,
        options: PublishOptions,
    ) -> Result<Receipt, PublishError>
    where
        C: TryInto<Channel, Error: Into<ChannelError>>,
    {
        let channel = channel.try_into().map_err(Into::into)?;
        let item = Item {
            channel,
            message,
            options,
        };
        self.publish_all(vec![item]).await
    }

    /// Publishes several, all or nothing. Those that are not paced, and their purges, go out as one order at one
    /// position; each update of a paced channel is an order of its own. If a channel has items of both kinds here,
    /// none of them waits: their order would be lost.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooLarge`] if one does not fit its channel's log, [`PublishError::Full`] if too much waits
    /// already, [`PublishError::Submit`] if the edge did not take what is not paced.
    ///
    /// A message that names another one as its predecessor than the last that its channel had waits for that, for 5 s
    /// at most, and so does this call.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish_all(&self, items: Vec<Item>) -> Result<Receipt, PublishError> {
        let (mut receipt, accepted) = self.accept(items).await?;
        if let Some(accepted) = accepted {
            receipt.position = receipt.position.max(Some(accepted.all().await?));
            receipt.waiting = 0;
        }
        Ok(receipt)
    }

    /// As [`publish_all`](Self::publish_all), but does not wait for messages that wait for their predecessors: the
    /// receipt says how many do.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn accept_all(&self, items: Vec<Item>) -> Result<Receipt, PublishError> {
        let (receipt, _) = self.accept(items).await?;
        Ok(receipt)
    }

    async fn accept(&self, items: Vec<Item>) -> Result<(Receipt, Option<Accepted>), PublishError> {
        let Parts {
            order,
            versions,
            updates,
        } = self.split(items);
        let hub = self.edge().hub();
        self.edge().check(&order)?;
        for update in &updates {
            let alone = Order {
                publications: vec![update.publication.clone()],
                ..Order::default()
            };
            hub.check(&alone)?;
        }
        // What waits for a channel goes out before what does not wait.
        if self.driver.paces_any() {
            let channels: HashSet<&Channel> = order.publications.iter().map(|p| &p.channel).collect();
            for channel in channels {
                self.driver.hurry(channel).await;
            }
            // With that there the answer may be another one.
            self.edge().check(&order)?;
        }
        let mut receipt = Receipt::default();
        let mut sending = Vec::new();
        let mut waiting = HashSet::new();
        let channels: Vec<Channel> = updates.iter().map(|u| u.publication.channel.clone()).collect();
        let sequencer = hub.sequencer();
        let is_awaited = |Publication { channel, message, .. }: &Publication| {
            message
                .id
                .as_ref()
                .is_some_and(|id| sequencer.awaits(channel, id))
        };
        let awaited = updates
            .iter()
            .map(|update| &update.publication)
            .filter(|item| is_awaited(item));
        let awaited: HashSet<Channel> = awaited.map(|item| item.channel.clone()).collect();
        let verdicts = self.driver.submit(updates, Instant::now())?;
        self.driver.pass(order.publications.iter().zip(versions));
        for (channel, verdict) in channels.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Start(start) => sending.push(self.driver.start(start)),
                Verdict::Superseded => receipt.superseded += 1,
                Verdict::Waits { replaced } => match waiting.insert(channel) || !replaced {
                    true => receipt.queued += 1,
                    // In the place of another one of this call.
                    false => receipt.superseded += 1,
                },
            }
        }
        // What waits for one of these waits for no longer than that takes, or goes out before it.
        for channel in awaited {
            self.driver.hurry(&channel).await;
        }
        let mut accepted = None;
        if !order.publications.is_empty() || !order.purges.is_empty() {
            let order = self.edge().accept(order).await?;
            receipt.position = order.out();
            receipt.waiting = order.waiting();
            accepted = Some(order);
        }
        for sending in sending {
            match sending.position().await {
                Some(at) => receipt.position = receipt.position.max(Some(at)),
                // It failed and will be tried again.
                None => receipt.queued += 1,
            }
        }
        Ok((receipt, accepted))
    }

    /// Sends at once all that waits for its turn now. For a drain, before its holds end: `edge.drain()` by itself
    /// also sends what waits, but does not wait for it. Updates that come later are paced as before.
    pub async fn flush(&self) {
        for channel in self.driver.unsent() {
            self.driver.hurry(&channel).await;
        }
    }

    #[cfg(test)]
    pub(super) fn paces_any(&self) -> bool {
        self.driver.paces_any()
    }

    fn split(&self, items: Vec<Item>) -> Parts {
        let policy_of = |item: &Item| {
            let rule = self.config.rule_for(&item.channel);
            item.options.policy.unwrap_or(rule.policy)
        };
        let lossless: HashSet<Channel> = items
            .iter()
            .filter(|item| policy_of(item) == Policy::All)
            .map(|item| item.channel.clone())
            .collect();
        let mut order = Order::default();
        let mut purges = HashSet::new();
        let (mut versions, mut updates) = (Vec::new(), Vec::new());
        for item in items {
            let rule = self.config.rule_for(&item.channel);
            let mode = self.config.purge_mode;
            let own = rule.purges.iter().map(|target| Purge {
                target: target.clone(),
                mode,
            });
            let mut all: Vec<Purge> = item.options.purges;
            all.extend(own);
            let every = lossless.contains(&item.channel);
            let publication = Publication {
                channel: item.channel,
                message: Arc::new(item.message),
                latest: !every,
                comes_back: false,
            };
            if every {
                order.publications.push(publication);
                versions.push(item.options.version);
                purges.extend(all);
            } else {
                updates.push(Update {
                    publication,
                    purges: all,
                    interval: rule.interval,
                    version: item.options.version,
                });
            }
        }
        order.purges = purges.into_iter().collect();
        Parts {
            order,
            versions,
            updates,
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

// === impl Edge ===

impl Edge {
    /// A [`Publisher`] to this edge, with a pacing of its own.
    pub fn publisher(&self, config: PublishConfig) -> Publisher {
        Publisher::new(self.clone(), config)
    }
}

// === impl PublishError ===

impl From<SubmitError> for PublishError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::TooLarge(error) => Self::TooLarge(error),
            SubmitError::Conflict(error) => Self::Conflict(error),
            SubmitError::Channel(error) => Self::Channel(error),
            error @ SubmitError::Bus(_) => Self::Submit(error),
        }
    }
}

impl From<Full> for PublishError {
    fn from(full: Full) -> Self {
        Self::Full {
            retry_after: full.retry_after,
        }
    }
}

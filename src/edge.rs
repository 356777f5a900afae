//! [`Edge`]: the handle that ties the rooms together.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cluster::{Bus, BusError, Local};
use crate::drain::{Drain, DrainSignal};
use crate::hub::{
    Admitted, Conflict, Hub, LogLimits, OrderTooLarge, Outcome, Released, Sequencer, Watcher, Way,
};
use crate::message::{Channel, ChannelError, Message};
use crate::order::{Order, PurgeMode, Target};
use crate::position::Position;
use crate::telemetry::{Counter, names};

/// One edge: a clock, its marks and channels, and the way in for orders. A handle: clones share everything; all
/// state of the layers lives here, so that a router may make a layer as often as it likes.
///
/// Two that are made apart know nothing of each other: what is published at one reaches no hold of the other, and purges
/// nothing there. Make one for a process, and clone it.
///
/// ```
/// # #[cfg(feature = "full")] {
/// use gripstack::cache::CacheConfig;
/// use gripstack::publish::{self, PublishConfig};
/// use gripstack::{Edge, purge};
/// use tower::ServiceBuilder;
///
/// let config = CacheConfig::new().capacity_bytes(64 << 20);
/// let edge = Edge::builder().cache(config).build();
/// // Outside in. Any of them may be missing.
/// let stack = ServiceBuilder::new()
///     .layer(edge.publisher(PublishConfig::new()).layer(publish::Auth::token("secret")))
///     .layer(edge.purge_layer(purge::Auth::token("secret")))
///     .layer(edge.hold_layer())
///     .layer(edge.cache_layer())
///     .service(gripstack::control::NotFound);
/// # let _ = stack;
/// # }
/// ```
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    hub: Hub,
    bus: Arc<dyn Bus>,
    #[cfg(feature = "cache")]
    cache: crate::cache::Cache,
    drain: DrainSignal,
    published: Counter,
    purged: Counter,
}

/// Makes an [`Edge`].
#[derive(Clone, Debug, Default)]
pub struct EdgeBuilder {
    log_limits: LogLimits,
    #[cfg(feature = "cache")]
    cache: crate::cache::CacheConfig,
}

/// Why an order was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// No channel may have this name.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// It does not fit a channel's log. Nothing of it was applied.
    #[error(transparent)]
    TooLarge(#[from] OrderTooLarge),
    /// Another item waits for the predecessor that one of its items names. Nothing of it was applied.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The bus did not take it.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// An order that was accepted: see [`Edge::accept`].
#[derive(Debug)]
#[must_use = "its items may still wait for their predecessors"]
pub struct Accepted {
    /// Of what went out at once, if something did.
    out: Option<Position>,
    /// That, or of the moment.
    position: Position,
    wait: Vec<Outcome>,
}

// === impl Edge ===

impl Default for Edge {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Edge {
    /// An edge of its own, in this process.
    pub fn new() -> Self {
        Self::default()
    }

    /// An edge with other limits.
    pub fn builder() -> EdgeBuilder {
        EdgeBuilder::default()
    }

    /// The clock, the marks and the channels.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// Its cache.
    #[cfg(feature = "cache")]
    pub fn cache(&self) -> &crate::cache::Cache {
        &self.0.cache
    }

    /// A layer that answers from the edge's cache, and fills it.
    #[cfg(feature = "cache")]
    pub fn cache_layer(&self) -> crate::cache::EdgeCacheLayer {
        crate::cache::EdgeCacheLayer::new(self.0.cache.clone())
    }

    /// Ends every hold of this edge in an orderly way: for servers that put no [`Drain`] into requests. Call it
    /// before the server's own graceful shutdown, which waits for them.
    pub fn drain(&self) {
        self.0.drain.start();
    }

    /// Watches [`Edge::drain`].
    pub fn watch_drain(&self) -> Drain {
        self.0.drain.watch()
    }

    /// Publishes one message, at once and in order. Resolves when it has a position.
    ///
    /// Cancel safe: a message that waits for its predecessor goes out although the future was dropped.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Channel`] if no channel may have this name, and those of [`submit`](Self::submit).
    ///
    /// ```
    /// # use gripstack::{Edge, Message};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
    /// let edge = Edge::new();
    /// let first = edge.publish("news", Message::sse(None, "hello")).await?;
    /// let second = edge.publish("news", Message::sse(None, "world")).await?;
    /// assert!(first < second);
    /// # Ok(()) }
    /// ```
    pub async fn publish<C>(&self, channel: C, message: Message) -> Result<Position, SubmitError>
    where
        C: TryInto<Channel, Error: Into<ChannelError>>,
    {
        let channel = channel.try_into().map_err(Into::into)?;
        self.submit(Order::publish(channel, message)).await
    }

    /// Purges one target. Resolves when no request that comes later gets what it named. What is not cached is no error.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit).
    ///
    /// ```
    /// # use gripstack::{Edge, PurgeMode, Target};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
    /// let edge = Edge::new();
    /// edge.purge(Target::url("example.com", "/news?page=2"), PurgeMode::Hard).await?;
    /// edge.purge(Target::key("article-7"), PurgeMode::SoftBlock).await?;
    /// # Ok(()) }
    /// ```
    pub async fn purge(&self, target: Target, mode: PurgeMode) -> Result<Position, SubmitError> {
        self.submit(Order::purge(target, mode)).await
    }

    /// Applies an order: its purges and publications in one step. Items whose predecessor is missing wait for it,
    /// up to 5 s; the purges are applied at once, and once more with each of them. Resolves with the last position
    /// when every item has one.
    ///
    /// # Errors
    /// If nothing of it was applied: it does not fit a channel's log, or another item waits for the same predecessor as
    /// one of its own. If the bus did not take it, or an item that waited.
    pub async fn submit(&self, order: Order) -> Result<Position, SubmitError> {
        self.accept(order).await?.all().await
    }

    /// As [`submit`](Self::submit), but resolves as soon as all has gone out that need not wait.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), but for items that wait.
    pub async fn accept(&self, order: Order) -> Result<Accepted, SubmitError> {
        let hub = &self.0.hub;
        hub.check(&order)?;
        let Order {
            purges,
            publications,
            id,
        } = order;
        if publications.iter().any(|item| item.message.prev_id.is_some())
            && let Some(position) = hub.applied_at(id)
        {
            let wait = hub.sequencer().outcomes(&publications);
            let out = Some(position);
            return Ok(Accepted { out, position, wait });
        }
        let count = publications.len();
        let Admitted {
            go,
            first,
            wait,
            mut way,
        } = hub
            .sequencer()
            .admit(hub, publications, &purges, Instant::now())?;
        self.0.purged.add(purges.len() as u64);
        self.0.published.add(count as u64);
        if let Some((watcher, runtime)) = Sequencer::watch(hub) {
            runtime.spawn(self.clone().release_overdue(watcher));
        }
        for released in first {
            self.send_released(released).await?;
        }
        let mut out = None;
        if !purges.is_empty() || !go.is_empty() {
            let order = Order {
                purges,
                publications: go,
                id,
            };
            out = Some(self.send_alone(order, &mut way).await?);
        }
        way.end();
        self.send_ready().await?;
        while let Some(released) = way.next_out() {
            self.send_released(released).await?;
        }
        let position = out.unwrap_or_else(|| hub.now());
        Ok(Accepted { out, position, wait })
    }

    /// Whether an order would be accepted now: nothing of it is done.
    #[cfg(feature = "publish")]
    pub(crate) fn check(&self, order: &Order) -> Result<(), SubmitError> {
        let hub = &self.0.hub;
        hub.check(order)?;
        Ok(hub.sequencer().check(hub, &order.publications)?)
    }

    async fn send_alone(&self, order: Order, way: &mut Way) -> Result<Position, SubmitError> {
        let hub = &self.0.hub;
        let ids = ids_of(&order);
        let at = self.0.bus.submit(order).await?;
        way.end();
        for (channel, id) in ids {
            hub.sequencer().let_go(hub, &channel, &id);
        }
        Ok(at)
    }

    /// Sends all that need not wait any more, whoever let it go: in the order in which it came.
    async fn send_ready(&self) -> Result<(), SubmitError> {
        let hub = &self.0.hub;
        while let Some(released) = hub.sequencer().next_ready(hub, Instant::now()) {
            self.send_released_alone(released).await?;
        }
        Ok(())
    }

    /// The same of what waited, and what need not wait any more for that.
    async fn send_released(&self, released: Released) -> Result<(), SubmitError> {
        self.send_released_alone(released).await?;
        self.send_ready().await
    }

    async fn send_released_alone(&self, released: Released) -> Result<(), SubmitError> {
        let (order, done, mut way) = released.into_order();
        let at = self.send_alone(order, &mut way).await?;
        for done in done {
            done.send_replace(Some(at));
        }
        Ok(())
    }

    /// Runs while items wait for their predecessors.
    async fn release_overdue(self, mut watcher: Watcher) {
        while let Some(next) = watcher.overdue(Instant::now()) {
            match next {
                Err(later) => tokio::time::sleep_until(later).await,
                Ok(released) => {
                    if let Err(error) = self.send_released(released).await {
                        tracing::warn!(target: "gripstack::publish", %error, "items that waited were lost");
                    }
                }
            }
        }
    }
}

/// The ids of its items.
fn ids_of(order: &Order) -> Vec<(Channel, Arc<str>)> {
    let id_of = |publication: &crate::order::Publication| {
        Some((publication.channel.clone(), publication.message.id.clone()?))
    };
    order.publications.iter().filter_map(id_of).collect()
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("hub", &self.0.hub)
            .finish_non_exhaustive()
    }
}

// === impl Accepted ===

impl Accepted {
    /// The position of what went out at once; without such, that of the moment.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The position of what went out at once, if something did.
    #[cfg(feature = "publish")]
    pub(crate) fn out(&self) -> Option<Position> {
        self.out
    }

    /// Items that wait for their predecessors now. They go out, in 5 s at the latest, whether or not this is kept.
    pub fn waiting(&self) -> usize {
        self.wait
            .iter()
            .filter(|outcome| outcome.borrow().is_none())
            .count()
    }

    /// Resolves with the last position when every item has one.
    ///
    /// # Errors
    /// If the bus did not take an item that waited.
    pub async fn all(self) -> Result<Position, SubmitError> {
        let mut position = self.position;
        for mut outcome in self.wait {
            // Its sender goes away only where the bus refused the item.
            let found = outcome.wait_for(Option::is_some).await;
            let at = found.ok().and_then(|at| *at);
            position = position.max(at.ok_or_else(|| BusError("a waiting item was refused".into()))?);
        }
        Ok(position)
    }
}

// === impl Released ===

impl Released {
    fn into_order(self) -> (Order, Vec<tokio::sync::watch::Sender<Option<Position>>>, Way) {
        let mut order = Order::default();
        if let Some(first) = self.items.first() {
            order.purges = first.purges.to_vec();
        }
        let mut done = Vec::with_capacity(self.items.len());
        for item in self.items {
            order.publications.push(item.publication);
            done.push(item.done);
        }
        (order, done, self.way)
    }
}

// === impl EdgeBuilder ===

impl EdgeBuilder {
    /// How much the channels remember.
    #[must_use]
    pub fn log_limits(mut self, limits: LogLimits) -> Self {
        self.log_limits = limits;
        self
    }

    /// Limits and times of its cache.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cache(mut self, config: crate::cache::CacheConfig) -> Self {
        self.cache = config;
        self
    }

    /// Makes the edge.
    pub fn build(self) -> Edge {
        self.build_on(|hub| Arc::new(Local::new(hub)))
    }

    /// Makes the edge on another bus, which applies orders to this hub.
    pub(crate) fn build_on(self, bus: impl FnOnce(Hub) -> Arc<dyn Bus>) -> Edge {
        let hub = Hub::new(self.log_limits);
        let bus = bus(hub.clone());
        Edge(Arc::new(Inner {
            #[cfg(feature = "cache")]
            cache: crate::cache::Cache::of(self.cache, hub.clone(), bus.clone()),
            bus,
            hub,
            drain: DrainSignal::new().0,
            published: Counter::new(names::PUBLISHED),
            purged: Counter::new(names::PURGES),
        }))
    }
}

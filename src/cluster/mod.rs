//! Where orders get their position: a log, behind one trait.
//!
//! In process that log is the clock itself ([`Local`]). Across nodes it is an engine whose sequence number is the
//! position, read by every node in the same order.

mod local;

use std::future::Future;
use std::pin::Pin;

use crate::order::Order;
use crate::position::Position;

pub use self::local::Local;

/// A boxed future, as object-safe traits need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes orders, and gives each its position.
pub trait Bus: Send + Sync + 'static {
    /// Resolves when the order has a position *and* has been applied at this node.
    fn submit(&self, order: Order) -> BoxFuture<'_, Result<Position, BusError>>;
}

/// The order has no position: it is not known whether it will get one.
#[derive(Debug, thiserror::Error)]
#[error("the bus did not take the order: {0}")]
pub struct BusError(pub String);

//! One process: the order lock of the hub is the log.

use tokio::time::Instant;

use super::{BoxFuture, Bus, BusError};
use crate::hub::Hub;
use crate::order::Order;
use crate::position::Position;

/// The bus of a single process.
#[derive(Clone, Debug)]
pub struct Local(Hub);

impl Local {
    /// Applies orders to this hub.
    pub fn new(hub: Hub) -> Self {
        Self(hub)
    }
}

impl Bus for Local {
    fn submit(&self, order: Order) -> BoxFuture<'_, Result<Position, BusError>> {
        // Applied before the future is first polled: a caller that goes away cannot lose it.
        let at = self.0.apply(order, Instant::now());
        Box::pin(std::future::ready(Ok(at)))
    }
}

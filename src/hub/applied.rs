//! The orders that were applied last: whoever heard no answer sends one again.

use std::collections::{HashMap, VecDeque};

use crate::order::{OrderId, TargetKeyHashing};
use crate::position::Position;

/// Orders that are remembered.
const REMEMBERED: usize = 1_024;

/// The positions of the last orders, by their ids, which are as good as random.
#[derive(Default)]
pub(super) struct Applied {
    positions: HashMap<OrderId, Position, TargetKeyHashing>,
    /// Oldest first.
    order: VecDeque<OrderId>,
}

// === impl Applied ===

impl Applied {
    pub(super) fn position(&self, id: OrderId) -> Option<Position> {
        self.positions.get(&id).copied()
    }

    pub(super) fn remember(&mut self, id: OrderId, at: Position) {
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.positions.remove(&oldest);
        }
        self.order.push_back(id);
        self.positions.insert(id, at);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use crate::hub::Hub;
    use crate::message::{Channel, Message};
    use crate::order::{Order, Publication, PurgeMode, Target};
    use crate::position::Position;

    #[test]
    fn c1_an_order_is_applied_once() {
        let (hub, now) = (Hub::default(), Instant::now());
        let channel = Channel::new("t").expect("valid");
        let order =
            Order::publish(channel.clone(), Message::bytes("1")).and_purge(Target::key("k"), PurgeMode::Hard);
        let at = hub.apply(order.clone(), now);
        let other = hub.apply(Order::publish(channel.clone(), Message::bytes("1")), now);
        assert_eq!(other, at.next(), "the same message, but another order");
        assert_eq!(hub.apply(order, now), at);
        assert_eq!((hub.now(), hub.last_message(&channel)), (other, other));
        assert_eq!(hub.last_purge(&Target::key("k")), at);
    }

    /// As a program does that purges the same with each message.
    #[test]
    fn c1_what_is_made_of_copies_of_an_order_is_applied_each() {
        let (hub, now) = (Hub::default(), Instant::now());
        let channel = Channel::new("t").expect("valid");
        let purges = Order::purge(Target::key("k"), PurgeMode::Hard);
        for n in 1..4 {
            let publication = Publication::new(channel.clone(), Message::bytes("1"));
            let at = hub.apply(purges.clone().and(publication), now);
            assert_eq!((at, hub.last_message(&channel)), (Position::new(n), at));
        }
        let purge = purges.clone().and_purge(Target::key("l"), PurgeMode::Hard);
        assert_eq!(hub.apply(purge, now), hub.last_purge(&Target::key("l")));
    }

    #[test]
    fn the_last_orders_are_remembered_and_no_others() {
        let (hub, now) = (Hub::default(), Instant::now());
        let orders: Vec<_> = std::iter::repeat_with(Order::default)
            .take(super::REMEMBERED + 1)
            .collect();
        for order in &orders {
            hub.apply(order.clone(), now);
        }
        let applied = || {
            let applied = &hub.0.orders.lock().applied;
            (applied.order.len(), applied.positions.len())
        };
        assert_eq!(applied(), (super::REMEMBERED, super::REMEMBERED));
        assert_eq!(hub.apply(orders[1].clone(), now), Position::new(2));
        let last = hub.now();
        assert_eq!(hub.apply(orders[0].clone(), now), last.next(), "forgotten");
        assert_eq!(applied(), (super::REMEMBERED, super::REMEMBERED));
    }
}

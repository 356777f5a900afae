//! In which order a long poll that is not sent the body gets what that contains.
#![cfg(all(feature = "hold", feature = "testing"))]

mod hold_support;

use gripstack::{Edge, Message, Order, Publication};

use hold_support::*;

fn item(name: &str, text: &str, id: &str, prev_id: &str) -> Publication {
    let message: Message = identified(answer(200, &[], text), id, prev_id);
    Publication::new(channel(name), message)
}

/// A poll whose answer, one for all, is made after these were accepted, which was after it came.
async fn polled(channels: &'static str, orders: Vec<Order>) -> (String, bool) {
    let edge = Edge::new();
    let orders = std::sync::Arc::new(parking_lot::Mutex::new(orders));
    let origin = Origin::of(&edge, move |edge, _| {
        let orders = std::mem::take(&mut *orders.lock());
        async move {
            for order in orders {
                edge.submit(order).await.expect("accepted");
            }
            let held = [("grip-hold", "response"), ("grip-channel", channels)];
            Ok(cached(
                reply(200, &held, "old\n"),
                edge.hub().stamp_at(edge.hub().now()),
            ))
        }
    });
    let response = origin.start(&edge).done().await;
    let is_marked = is_marked(&response);
    (text(response).await, is_marked)
}

/// Three messages, of which the second is a state.
fn orders() -> Vec<Order> {
    let items = [
        item("t", "1", "1", "0"),
        item("t", "2", "2", "1").latest(),
        item("t", "3", "3", "2"),
    ];
    items.map(|item| [item].into_iter().collect()).into()
}

/// D2, D2a: a state is no reason to pass over what was accepted before it.
#[tokio::test(start_paused = true)]
async fn d2_what_waits_before_a_state_that_the_body_names_goes_out_before_its_successor() {
    assert_eq!(polled("t; prev-id=2", orders()).await, ("1".into(), false));
}

/// Nor is one that leads up to what the body names, though it is a state itself.
#[tokio::test(start_paused = true)]
async fn d2_what_waits_before_a_chain_that_a_state_begins_goes_out_before_that() {
    assert_eq!(polled("t; prev-id=3", orders()).await, ("1".into(), false));
}

//! What clients see of orders whose items have no room to wait.
use gripstack::hub::LogLimits;
use gripstack::{Channel, Edge, Order, Publication};

use crate::hold_support::*;

/// Follows the one before it, and takes so many bytes.
fn publication(n: usize, bytes: usize) -> Publication {
    let text = format!("{n}{}", " ".repeat(bytes));
    let message = with_ids(&text, &n.to_string(), &(n - 1).to_string());
    Publication::new(Channel::new("t").expect("valid"), message)
}

/// The body names no id, so messages come as they are accepted: in order, for none is missing.
#[tokio::test(start_paused = true)]
async fn d1_a_stream_without_ids_gets_all_in_order_although_there_is_no_room_to_wait() {
    let limits = LogLimits::new().waiting_bytes(10_000);
    let edge = Edge::builder().log_limits(limits).build();
    let held = [("grip-hold", "stream"), ("grip-channel", "t")];
    let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "0")) });
    let mut response = origin.get(&edge).await;
    let mut got = ready(response.body_mut());
    for items in [vec![(1, 0)], vec![(3, 8_000)], vec![(2, 0), (4, 8_000)]] {
        let order: Order = items
            .into_iter()
            .map(|(n, bytes)| publication(n, bytes))
            .collect();
        let _ = edge.accept(order).await.expect("accepted");
        got.extend(ready(response.body_mut()));
    }
    let got: Vec<_> = got.iter().map(|text| text.trim()).collect();
    assert_eq!(got, ["0", "1", "2", "3", "4"]);
}

/// What has no room is for long polls only: a stream's last message is the last one all the same.
#[tokio::test(start_paused = true)]
async fn d1_no_stream_stays_on_what_was_overtaken_for_want_of_room() {
    let held = [("grip-hold", "stream"), ("grip-channel", "t")];
    let for_polls = |n: u32, bytes: usize| {
        let message = answer(200, &[], &" ".repeat(bytes));
        let message = identified(message, &n.to_string(), &(n - 1).to_string());
        Publication::new(Channel::new("t").expect("valid"), message)
    };
    let cases = [
        // 3 waits; then comes 2, with what follows 3.
        (
            vec![
                vec![publication(3, 8_000)],
                vec![publication(2, 0), for_polls(4, 8_000)],
            ],
            "3",
        ),
        // One order, the wrong way round.
        (
            vec![vec![publication(4, 0), publication(3, 0), for_polls(5, 20_000)]],
            "4",
        ),
    ];
    for (orders, last) in cases {
        let limits = LogLimits::new().waiting_bytes(10_000);
        let edge = Edge::builder().log_limits(limits).build();
        let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "0")) });
        let mut response = origin.get(&edge).await;
        edge.submit(Order::from_iter([publication(1, 0)]))
            .await
            .expect("accepted");
        for order in orders {
            let order = order.into_iter().collect();
            let _ = edge.accept(order).await.expect("accepted");
        }
        assert_eq!(edge.hub().stats().waiting, 0);
        let got = ready(response.body_mut());
        let got: Vec<_> = got.iter().map(|text| text.trim()).collect();
        assert_eq!(got.last(), Some(&last), "{got:?}");
    }
}

//! Several threads publish one chain: its log is in order, however they meet.

use std::time::Duration;

use gripstack::hub::{Delivery, Wants};
use gripstack::{Channel, Edge, Message, Order, Position, Publication};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d1_the_log_of_a_chain_is_in_order_whoever_publishes() {
    const LAST: u64 = 60;
    for round in 0..400u64 {
        let edge = Edge::new();
        let channel = Channel::new("t").expect("valid");
        let publication = |n: u64| {
            let message = Message::bytes("x").with_id(n.to_string());
            Publication::new(channel.clone(), message.with_prev_id((n - 1).to_string()))
        };
        edge.submit(Order::from_iter([publication(1)]))
            .await
            .expect("accepted");
        let tasks: Vec<_> = (0..4u64)
            .map(|task| {
                let edge = edge.clone();
                let mut mine: Vec<_> = (2..=LAST).filter(|n| n % 4 == task).collect();
                if (round + task) % 3 == 0 {
                    mine.reverse();
                }
                let mine: Vec<_> = mine.into_iter().map(publication).collect();
                tokio::spawn(async move {
                    let mut all = Vec::new();
                    for publication in mine {
                        all.push(
                            edge.accept(Order::from_iter([publication]))
                                .await
                                .expect("accepted"),
                        );
                    }
                    for accepted in all {
                        accepted.all().await.expect("sent");
                    }
                })
            })
            .collect();
        for task in tasks {
            tokio::time::timeout(Duration::from_secs(4), task)
                .await
                .expect("nothing is missing")
                .expect("no panic");
        }
        let stamp = edge.hub().stamp_at(Position::ZERO);
        let mut subscription = edge
            .hub()
            .subscribe(&[channel], stamp, Wants::Stream)
            .expect("no gap");
        for n in 1..=LAST {
            let Delivery::Message { message, .. } = subscription.next().await else {
                panic!("lagged");
            };
            assert_eq!(message.id.as_deref(), Some(&*n.to_string()), "round {round}");
        }
    }
}

//! Orders whose items have no room to wait: nothing overtakes what leads up to it, wherever that is.

use std::time::Duration;

use gripstack::hub::{Delivery, LogLimits, Subscription, Wants};
use gripstack::message::StreamForm;
use gripstack::{Channel, Edge, Message, Position, Publication};
use tokio::time::Instant;

fn channel() -> Channel {
    Channel::new("t").expect("valid")
}

/// Follows the one before it, and takes so many bytes.
fn publication(n: usize, bytes: usize) -> Publication {
    let mut text = format!("{n} ");
    text.extend(std::iter::repeat_n('-', bytes));
    let message = Message::bytes(text).with_id(n.to_string());
    Publication::new(channel(), message.with_prev_id((n - 1).to_string()))
}

fn subscribe(edge: &Edge) -> Subscription {
    edge.hub()
        .subscribe(&[channel()], edge.hub().stamp_at(Position::ZERO), Wants::Stream)
        .expect("no gap")
}

async fn all(subscription: &mut Subscription) -> Vec<usize> {
    let mut got = Vec::new();
    while let Ok(next) = tokio::time::timeout(Duration::from_millis(1), subscription.next()).await {
        let Delivery::Message { message, .. } = next else {
            panic!("{next:?}");
        };
        let Some(StreamForm::Send(bytes)) = &message.stream else {
            panic!("{message:?}");
        };
        let text = String::from_utf8_lossy(bytes);
        let n = text.split(' ').next().expect("a number");
        got.push(n.parse().expect("a number"));
    }
    got
}

async fn accept(edge: &Edge, publications: impl IntoIterator<Item = Publication>) {
    let order = publications.into_iter().collect();
    let _ = edge.accept(order).await.expect("accepted");
}

/// 100 items wait for one. The order that brings it brings also one more that follows them: nothing is missing.
#[tokio::test(start_paused = true)]
async fn d1_what_waits_goes_out_after_what_the_same_order_brings() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    accept(&edge, [publication(1, 0)]).await;
    accept(&edge, (3..=102).map(|n| publication(n, 0))).await;
    assert_eq!(edge.hub().stats().waiting, 100);
    let start = Instant::now();
    accept(&edge, [publication(2, 0), publication(103, 0)]).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscription).await, (1..=103).collect::<Vec<_>>());
}

/// The same with two items, where what waits takes all the bytes that there are for it.
#[tokio::test(start_paused = true)]
async fn d1_what_waits_goes_out_after_what_the_same_order_brings_whatever_room_is_lacking() {
    let edge = Edge::builder()
        .log_limits(LogLimits::new().waiting_bytes(10_000))
        .build();
    let mut subscription = subscribe(&edge);
    accept(&edge, [publication(1, 0)]).await;
    accept(&edge, [publication(3, 8_000)]).await;
    assert_eq!(edge.hub().stats().waiting, 1);
    accept(&edge, [publication(2, 0), publication(4, 8_000)]).await;
    assert_eq!(all(&mut subscription).await, [1, 2, 3, 4]);
}

/// An order may be written the wrong way round: what has no room goes out after those of its order that lead up to it, and
/// these in their order.
#[tokio::test(start_paused = true)]
async fn d1_what_leads_up_to_what_has_no_room_goes_out_in_its_order() {
    let edge = Edge::builder()
        .log_limits(LogLimits::new().waiting_bytes(10_000))
        .build();
    let mut subscription = subscribe(&edge);
    accept(&edge, [publication(1, 0)]).await;
    accept(
        &edge,
        [publication(4, 0), publication(3, 0), publication(5, 20_000)],
    )
    .await;
    assert_eq!(edge.hub().stats().waiting, 0);
    assert_eq!(all(&mut subscription).await, [1, 3, 4, 5]);
}

/// What leads up to it waits in part, and comes in part with its own order.
#[tokio::test(start_paused = true)]
async fn d1_what_leads_up_to_what_has_no_room_may_be_of_several_orders() {
    let edge = Edge::builder()
        .log_limits(LogLimits::new().waiting_bytes(10_000))
        .build();
    let mut subscription = subscribe(&edge);
    accept(&edge, [publication(1, 0)]).await;
    accept(&edge, [publication(3, 0), publication(5, 0)]).await;
    accept(&edge, [publication(4, 0), publication(6, 20_000)]).await;
    assert_eq!(edge.hub().stats().waiting, 0);
    assert_eq!(all(&mut subscription).await, [1, 3, 4, 5, 6]);
}

/// As many as an order may bring, written backwards, and nobody brings what they follow.
#[tokio::test(start_paused = true)]
async fn d1_a_long_order_for_which_there_is_no_room_goes_out_in_its_order() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    accept(&edge, [publication(1, 0)]).await;
    let start = Instant::now();
    accept(&edge, (3..=402).rev().map(|n| publication(n, 0))).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    let all = all(&mut subscription).await;
    assert_eq!(all, std::iter::once(1).chain(3..=402).collect::<Vec<_>>());
}

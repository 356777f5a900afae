//! Orders: what gets which position, and in what order it is seen.

use std::time::Duration;

use gripstack::hub::{Delivery, Subscription, Wants};
use gripstack::message::StreamForm;
use gripstack::{Channel, Edge, Message, Order, Position, Publication};
use tokio::time::Instant;

fn channel() -> Channel {
    Channel::new("t").expect("valid")
}

fn item(id: &str, prev_id: &str) -> Message {
    Message::bytes(id.to_owned()).with_id(id).with_prev_id(prev_id)
}

fn subscribe(edge: &Edge) -> Subscription {
    edge.hub()
        .subscribe(&[channel()], edge.hub().stamp_at(Position::ZERO), Wants::Stream)
        .expect("no gap")
}

async fn next(subscription: &mut Subscription) -> String {
    match subscription.next().await {
        Delivery::Message { message, .. } => match &message.stream {
            Some(StreamForm::Send(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?}"),
        },
        lagged => panic!("{lagged:?}"),
    }
}

async fn all(subscription: &mut Subscription) -> String {
    let mut got = String::new();
    while let Ok(one) = tokio::time::timeout(Duration::from_millis(1), next(subscription)).await {
        got.push_str(&one);
    }
    got
}

/// Publishes in the background; the future is dropped when the test ends.
fn publish(edge: &Edge, message: Message) -> tokio::task::JoinHandle<Position> {
    let edge = edge.clone();
    tokio::spawn(async move { edge.publish(channel(), message).await.expect("accepted") })
}

#[tokio::test(start_paused = true)]
async fn q01_the_same_id_again_is_dropped_at_once() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    let start = Instant::now();
    for (id, prev_id) in [("1", "0"), ("2", "1"), ("1", "0"), ("2", "1"), ("3", "2")] {
        edge.publish(channel(), item(id, prev_id))
            .await
            .expect("accepted");
    }
    assert_eq!(all(&mut subscription).await, "123");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "a repeated item waits for nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn q02_items_are_put_in_order() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    let (one, three) = (
        publish(&edge, item("1", "0")).await.expect("no panic"),
        publish(&edge, item("3", "2")),
    );
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!three.is_finished(), "it is answered when it has a position");
    let two = publish(&edge, item("2", "1")).await.expect("no panic");
    let three = three.await.expect("no panic");
    assert!(one < two && two <= three, "{one} {two} {three}");
    assert_eq!(all(&mut subscription).await, "123");
}

#[tokio::test(start_paused = true)]
async fn q03_an_item_waits_five_seconds_for_its_predecessor() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let start = Instant::now();
    edge.publish(channel(), item("9", "8")).await.expect("accepted");
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(all(&mut subscription).await, "19");
}

#[tokio::test(start_paused = true)]
async fn q03_an_item_goes_out_although_its_publisher_went_away() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let gone = publish(&edge, item("9", "8"));
    tokio::time::sleep(Duration::from_millis(10)).await;
    gone.abort();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(all(&mut subscription).await, "19");
}

#[tokio::test(start_paused = true)]
async fn q03_the_first_item_of_a_fresh_channel_waits_for_nothing() {
    let edge = Edge::new();
    let start = Instant::now();
    edge.publish(channel(), item("9", "8")).await.expect("accepted");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn q04_without_sequence_it_goes_out_at_once() {
    let edge = Edge::new();
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let start = Instant::now();
    edge.publish(
        channel(),
        Message {
            no_seq: true,
            ..item("9", "8")
        },
    )
    .await
    .expect("accepted");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn q05_of_two_that_wait_for_the_same_one_goes_out() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let (a, b) = (publish(&edge, item("3a", "2")), publish(&edge, item("3b", "2")));
    tokio::time::sleep(Duration::from_millis(10)).await;
    edge.publish(channel(), item("2", "1")).await.expect("accepted");
    a.await.expect("no panic");
    b.await.expect("no panic");
    assert_eq!(all(&mut subscription).await, "123a");
}

/// Items without a subscriber are remembered: a later hold replays them.
#[tokio::test(start_paused = true)]
async fn q06_items_without_subscribers_are_remembered() {
    let edge = Edge::new();
    edge.publish(channel(), Message::bytes("1"))
        .await
        .expect("accepted");
    assert_eq!(all(&mut subscribe(&edge)).await, "1");
}

#[tokio::test(start_paused = true)]
async fn an_orders_own_items_follow_each_other_in_one_position() {
    let edge = Edge::new();
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let publication = |id, prev_id| Publication {
        channel: channel(),
        message: item(id, prev_id).into(),
        latest: false,
    };
    let order = Order {
        publications: vec![publication("2", "1"), publication("3", "2")],
        ..Order::default()
    };
    let start = Instant::now();
    assert_eq!(edge.submit(order).await.expect("accepted"), Position::new(2));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscribe(&edge)).await, "123");
}

/// A channel that carries a state replays its last message, and knows no gaps.
#[tokio::test(start_paused = true)]
async fn a_latest_message_replaces_those_before_it_and_waits_for_nothing() {
    let edge = Edge::new();
    let publication = |id, prev_id| Publication {
        channel: channel(),
        message: item(id, prev_id).into(),
        latest: true,
    };
    let start = Instant::now();
    for (id, prev_id) in [("1", "0"), ("5", "4"), ("9", "8")] {
        let order = Order {
            publications: vec![publication(id, prev_id)],
            ..Order::default()
        };
        edge.submit(order).await.expect("accepted");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscribe(&edge)).await, "9");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_does_not_fit_the_log_is_refused_whole() {
    let edge = Edge::new();
    let publication = || Publication {
        channel: channel(),
        message: Message::bytes("x").into(),
        latest: false,
    };
    let order = Order {
        publications: (0..501).map(|_| publication()).collect(),
        ..Order::default()
    };
    let error = edge.submit(order).await.expect_err("too large");
    assert!(
        error.to_string().contains("501 messages for channel t"),
        "{error}"
    );
    assert_eq!(edge.hub().now(), Position::ZERO);
}

/// Of two channels one has lost what the answer lacks: that is said, with how young an answer has to be; whoever goes
/// on regardless gets all of the other one, and what is left of this one.
#[tokio::test(start_paused = true)]
async fn d5_of_two_channels_one_log_no_longer_reaches_back() {
    let limits = gripstack::hub::LogLimits {
        entries: 2,
        ..Default::default()
    };
    let edge = Edge::builder().log_limits(limits).build();
    let other = Channel::new("u").expect("valid");
    edge.publish(other.clone(), Message::bytes("a"))
        .await
        .expect("accepted");
    for value in ["1", "2", "3"] {
        edge.publish(channel(), Message::bytes(value))
            .await
            .expect("accepted");
    }
    edge.publish(other.clone(), Message::bytes("b"))
        .await
        .expect("accepted");
    let stamp = edge.hub().stamp_at(Position::ZERO);
    let error = edge
        .hub()
        .subscribe(&[channel(), other], stamp, Wants::Stream)
        .expect_err("a gap");
    assert_eq!(error.at_least(), Some(Position::new(2)), "where 1 was");
    assert_eq!(all(&mut error.anyway()).await, "a23b");
}

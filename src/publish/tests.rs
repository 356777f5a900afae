//! The publisher and its task on the paused clock.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::edge::Edge;
use crate::hub::{Delivery, LogLimits, Subscription, Wants};
use crate::message::{Channel, Message, ResponseForm, StreamForm};
use crate::order::{Order, Purge, PurgeMode, Target};
use crate::position::Position;

pub(super) const T: Duration = Duration::from_secs(1);

pub(super) fn channel(name: &str) -> Channel {
    Channel::new(name).expect("a good name")
}

fn latest() -> Publisher {
    Publisher::new(Edge::new(), PublishConfig::new().rule(Rule::latest()))
}

pub(super) fn subscribe(edge: &Edge, name: &str) -> Subscription {
    let stamp = edge.hub().stamp_at(edge.hub().now());
    let subscription = edge.hub().subscribe(&[channel(name)], stamp, Wants::Stream);
    subscription.expect("a stamp of now")
}

fn text(message: &Message) -> String {
    match &message.stream {
        Some(StreamForm::Send(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

async fn next(subscription: &mut Subscription) -> (Position, Arc<Message>) {
    match subscription.next().await {
        Delivery::Message { at, message, .. } => (at, message),
        Delivery::Lagged { .. } => panic!("lagged"),
    }
}

/// Notes what arrives, with the milliseconds since now, until the task is dropped.
pub(super) fn record(mut subscription: Subscription) -> Arc<parking_lot::Mutex<Vec<(u64, String)>>> {
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (notes, start) = (seen.clone(), Instant::now());
    tokio::spawn(async move {
        loop {
            let (_, message) = next(&mut subscription).await;
            notes
                .lock()
                .push((start.elapsed().as_millis() as u64, text(&message)));
        }
    });
    seen
}

pub(super) fn seen(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected
        .iter()
        .map(|(at, text)| (*at, (*text).to_owned()))
        .collect()
}

pub(super) async fn publish(publisher: &Publisher, name: &str, text: &str) -> Receipt {
    let message = Message::bytes(text.to_owned());
    publisher.publish(channel(name), message).await.expect("accepted")
}

fn purge(key: &str) -> Purge {
    Purge {
        target: Target::Key(key.into()),
        mode: PurgeMode::SoftBlock,
    }
}

pub(super) async fn publish_purging(publisher: &Publisher, name: &str, text: &str, key: &str) -> Receipt {
    let options = PublishOptions {
        purges: vec![purge(key)],
        ..PublishOptions::default()
    };
    let message = Message::bytes(text.to_owned());
    let published = publisher.publish_with(channel(name), message, options);
    published.await.expect("accepted")
}

#[tokio::test(start_paused = true)]
async fn rlp_01_02_the_first_at_once_and_the_last_of_many_after_the_interval() {
    let publisher = latest();
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    for n in 1..=10 {
        let receipt = publish(&publisher, "c", &n.to_string()).await;
        assert_eq!(receipt.position.is_some(), n == 1);
        assert_eq!(receipt.queued, usize::from(n > 1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(5 * T).await;
    assert_eq!(*seen_by_holds.lock(), seen(&[(0, "1"), (1000, "10")]));
}

#[tokio::test(start_paused = true)]
async fn rlp_03_a_thousand_a_second_for_ten_seconds_are_eleven() {
    let publisher = latest();
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    for n in 0..10_000 {
        publish(&publisher, "c", &n.to_string()).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(5 * T).await;
    let seen_by_holds = seen_by_holds.lock();
    assert_eq!(seen_by_holds.len(), 11, "{seen_by_holds:?}");
    assert_eq!(seen_by_holds.last().map(|(_, text)| text.as_str()), Some("9999"));
}

#[tokio::test(start_paused = true)]
async fn rlp_04_just_before_the_interval_ends_the_second_waits_for_its_end() {
    let publisher = latest();
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    publish(&publisher, "c", "1").await;
    tokio::time::sleep(Duration::from_millis(999)).await;
    publish(&publisher, "c", "2").await;
    tokio::time::sleep(Duration::from_millis(1001)).await;
    publish(&publisher, "c", "3").await;
    tokio::time::sleep(5 * T).await;
    assert_eq!(*seen_by_holds.lock(), seen(&[(0, "1"), (1000, "2"), (2000, "3")]));
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_every_message_goes_out_at_once_and_in_order() {
    let publisher = Publisher::new(Edge::new(), PublishConfig::new());
    let mut subscription = subscribe(publisher.edge(), "c");
    for n in 1..=300 {
        assert!(publish(&publisher, "c", &n.to_string()).await.position.is_some());
    }
    for n in 1..=300 {
        assert_eq!(text(&next(&mut subscription).await.1), n.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_is_one_order_but_for_what_is_paced() {
    let config = PublishConfig::new().channels("paced-", Rule::latest());
    let publisher = Publisher::new(Edge::new(), config);
    let edge = publisher.edge().clone();
    let names = ["a", "paced-x", "b", "paced-x", "paced-y", "paced-x"];
    let items = names.iter().enumerate().map(|(n, name)| Item {
        channel: channel(name),
        message: Message::bytes(n.to_string()),
        options: PublishOptions {
            purges: vec![purge(&n.to_string())],
            ..PublishOptions::default()
        },
    });
    let receipt = publisher.publish_all(items.collect()).await.expect("accepted");
    assert_eq!((receipt.queued, receipt.superseded), (1, 1));
    let hub = edge.hub();
    let a = hub.last_message(&channel("a"));
    assert_eq!(hub.last_message(&channel("b")), a, "one position for both");
    assert_eq!(hub.last_purge(&Target::Key("0".into())), a);
    assert_eq!(hub.last_purge(&Target::Key("2".into())), a);
    let x = hub.last_message(&channel("paced-x"));
    assert_eq!(hub.last_purge(&Target::Key("1".into())), x);
    for waits in ["3", "5"] {
        assert_eq!(
            hub.last_purge(&Target::Key(waits.into())),
            Position::ZERO,
            "{waits}"
        );
    }
    tokio::time::sleep(T + Duration::from_millis(1)).await;
    let later = hub.last_message(&channel("paced-x"));
    assert!(later > x);
    for merged in ["3", "5"] {
        assert_eq!(hub.last_purge(&Target::Key(merged.into())), later, "{merged}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_wait_goes_out_after_what_waits() {
    let publisher = latest();
    let mut subscription = subscribe(publisher.edge(), "c");
    publish(&publisher, "c", "1").await;
    assert_eq!(text(&next(&mut subscription).await.1), "1");
    publish(&publisher, "c", "2").await;
    publish(&publisher, "c", "3").await;
    let all = PublishOptions {
        policy: Some(Policy::All),
        ..PublishOptions::default()
    };
    let bye = publisher.publish_with(channel("c"), Message::bytes("bye"), all);
    assert!(bye.await.expect("accepted").position.is_some());
    for expected in ["3", "bye"] {
        assert_eq!(text(&next(&mut subscription).await.1), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn items_of_both_kinds_for_one_channel_keep_their_order() {
    let publisher = latest();
    let mut subscription = subscribe(publisher.edge(), "c");
    let items = [(Policy::Latest, "1"), (Policy::All, "2"), (Policy::Latest, "3")];
    let items = items.map(|(policy, text)| Item {
        channel: channel("c"),
        message: Message::bytes(text),
        options: PublishOptions {
            policy: Some(policy),
            ..PublishOptions::default()
        },
    });
    let receipt = publisher.publish_all(items.to_vec()).await.expect("accepted");
    assert_eq!((receipt.queued, receipt.superseded), (0, 0));
    assert_eq!(publisher.edge().hub().now(), receipt.position.expect("sent"));
    for expected in ["1", "2", "3"] {
        assert_eq!(text(&next(&mut subscription).await.1), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_says_latest_where_the_channel_does_not() {
    let publisher = Publisher::new(Edge::new(), PublishConfig::new());
    let item = PublishOptions {
        policy: Some(Policy::Latest),
        ..PublishOptions::default()
    };
    let mut receipts = Vec::new();
    for n in ["1", "2"] {
        let published = publisher.publish_with(channel("c"), Message::bytes(n), item.clone());
        receipts.push(published.await.expect("accepted").queued);
    }
    assert_eq!(receipts, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_conflated_message_follows_whatever_was_sent_last() {
    let publisher = latest();
    let mut subscription = subscribe(publisher.edge(), "c");
    let numbered = |n: u32| {
        let message = Message::bytes(n.to_string()).with_id(n.to_string());
        publisher.publish(channel("c"), message.with_prev_id((n - 1).to_string()))
    };
    numbered(1).await.expect("accepted");
    let (_, first) = next(&mut subscription).await;
    for n in 2..=5 {
        numbered(n).await.expect("accepted");
    }
    assert_eq!((first.id.as_deref(), first.prev_id.as_deref()), (Some("1"), None));
    let before = Instant::now();
    let (_, last) = next(&mut subscription).await;
    assert_eq!((last.id.as_deref(), last.prev_id.as_deref()), (Some("5"), None));
    assert_eq!(before.elapsed(), T, "it did not wait for 4");

    // Something that was not paced came in between: what is sent next waits for nothing either.
    let other = Message::bytes("x").with_id("x").with_prev_id("5");
    publisher
        .edge()
        .publish(channel("c"), other)
        .await
        .expect("accepted");
    next(&mut subscription).await;
    tokio::time::sleep(2 * T).await;
    numbered(6).await.expect("accepted");
    let (_, last) = next(&mut subscription).await;
    assert_eq!((last.id.as_deref(), last.prev_id.as_deref()), (Some("6"), None));
}

#[tokio::test(start_paused = true)]
async fn rlp_09_whoever_sees_a_message_finds_its_purge_done() {
    let publisher = Publisher::new(
        Edge::new(),
        PublishConfig::new().rule(Rule::latest().interval(Duration::from_millis(1))),
    );
    let mut subscription = subscribe(publisher.edge(), "c");
    let target = Target::Key("k".into());
    let writer = tokio::spawn({
        let publisher = publisher.clone();
        async move {
            for n in 1..=10_000 {
                publish_purging(&publisher, "c", &n.to_string(), "k").await;
                tokio::time::sleep(Duration::from_micros(1000)).await;
            }
        }
    });
    let hub = publisher.edge().hub().clone();
    loop {
        let (at, message) = next(&mut subscription).await;
        // A refetch now is stamped so, and an object from before is dead to it.
        assert!(hub.now() >= at);
        assert!(hub.last_purge(&target) >= at, "the purge of {at} is missing");
        if text(&message) == "10000" {
            break;
        }
    }
    writer.await.expect("it published");
}

#[tokio::test(start_paused = true)]
async fn rlp_11_a_flush_sends_what_waits() {
    let publisher = latest();
    for name in ["a", "b"] {
        publish(&publisher, name, "1").await;
        publish_purging(&publisher, name, "2", name).await;
    }
    let (mut a, start) = (subscribe(publisher.edge(), "a"), Instant::now());
    publisher.flush().await;
    assert_eq!(text(&next(&mut a).await.1), "2");
    assert!(publisher.edge().hub().last_purge(&Target::Key("b".into())) > Position::ZERO);
    assert_eq!(start.elapsed(), Duration::ZERO);
    // It is paced on.
    assert_eq!(publish(&publisher, "a", "3").await.queued, 1);
}

#[tokio::test(start_paused = true)]
async fn rlp_11_a_drain_sends_what_waits() {
    let publisher = latest();
    publish(&publisher, "a", "1").await;
    publish(&publisher, "a", "2").await;
    let (mut a, start) = (subscribe(publisher.edge(), "a"), Instant::now());
    tokio::task::yield_now().await;
    publisher.edge().drain();
    assert_eq!(text(&next(&mut a).await.1), "2");
    publish(&publisher, "a", "3").await;
    assert_eq!(text(&next(&mut a).await.1), "3");
    assert_eq!(start.elapsed(), Duration::ZERO, "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn rlp_12_the_task_ends_with_the_last_channel_and_starts_anew() {
    let publisher = latest();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for round in 0..3 {
        assert_eq!(tasks(), 0, "round {round}");
        for n in 0..1_000 {
            publish(&publisher, &n.to_string(), "1").await;
        }
        assert_eq!(tasks(), 1, "one for all");
        publish(&publisher, "7", "2").await;
        tokio::time::sleep(T * 2 + Duration::from_millis(2)).await;
        assert!(!publisher.paces_any());
    }
}

#[tokio::test(start_paused = true)]
async fn rlp_13_a_hot_channel_delays_no_other() {
    let publisher = latest();
    let hot = publisher.clone();
    tokio::spawn(async move {
        loop {
            publish(&hot, "hot", "x").await;
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    });
    let mut readers = Vec::new();
    for n in 0..1_000 {
        let cold = format!("cold-{n}");
        assert!(publish(&publisher, &cold, "1").await.position.is_some());
        publish(&publisher, &cold, "2").await;
        let (mut subscription, start) = (subscribe(publisher.edge(), &cold), Instant::now());
        readers.push(tokio::spawn(async move {
            assert_eq!(text(&next(&mut subscription).await.1), "2");
            start.elapsed()
        }));
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for reader in readers {
        assert_eq!(reader.await.expect("it read"), T);
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_deadline_wakes_the_task() {
    let ms = Duration::from_millis;
    let config = PublishConfig::new()
        .rule(Rule::latest().interval(60 * T))
        .channels("fast", Rule::latest().interval(ms(10)));
    let publisher = Publisher::new(Edge::new(), config);
    publish(&publisher, "slow", "1").await;
    tokio::time::sleep(T).await;
    let seen_by_holds = record(subscribe(publisher.edge(), "fast"));
    publish(&publisher, "fast", "1").await;
    publish(&publisher, "fast", "2").await;
    tokio::time::sleep(T).await;
    assert_eq!(*seen_by_holds.lock(), seen(&[(0, "1"), (10, "2")]));
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_dropped_is_published_all_the_same() {
    // Its predecessor is missing, so that it is on its way for five seconds.
    let publisher = latest();
    let edge = publisher.edge().clone();
    let first = Message::bytes("1").with_id("1");
    edge.publish(channel("c"), first).await.expect("accepted");
    let waits = Message::bytes("3").with_id("3").with_prev_id("2");
    let order = Order::publish(channel("c"), waits);
    let mut dropped = Box::pin(edge.submit(order));
    assert!(
        dropped
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(dropped);
    let mut subscription = subscribe(&edge, "c");
    assert_eq!(text(&next(&mut subscription).await.1), "3");

    // And so is one that waits in the pacer.
    publish(&publisher, "d", "1").await;
    let mut subscription = subscribe(&edge, "d");
    let mut dropped = Box::pin(publisher.publish(channel("d"), Message::bytes("2")));
    assert!(
        dropped
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
    drop(dropped);
    assert_eq!(text(&next(&mut subscription).await.1), "2");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let config = PublishConfig::new()
        .channels("paced", Rule::latest())
        .max_channels(1);
    let publisher = Publisher::new(Edge::new(), config);
    let item = |name: &str, bytes: usize| Item {
        channel: channel(name),
        message: Message::bytes("x".repeat(bytes)),
        options: PublishOptions::default(),
    };
    for big in ["paced", "other"] {
        let refused = publisher
            .publish_all(vec![item("a", 1), item(big, 600_000)])
            .await;
        assert!(matches!(refused, Err(PublishError::TooLarge(_))), "{refused:?}");
    }
    let refused = publisher
        .publish_all(vec![item("a", 1), item("paced-1", 1), item("paced-2", 1)])
        .await;
    assert!(matches!(refused, Err(PublishError::Full { .. })), "{refused:?}");
    assert_eq!(publisher.edge().hub().now(), Position::ZERO, "nothing happened");
    assert!(!publisher.paces_any());
}

#[tokio::test(start_paused = true)]
async fn a_rule_purges_with_every_message() {
    let target = Target::Key("list".into());
    let rule = Rule::latest().purge(target.clone());
    let publisher = Publisher::new(Edge::new(), PublishConfig::new().rule(rule));
    publish(&publisher, "c", "1").await;
    let hub = publisher.edge().hub().clone();
    assert_eq!(hub.last_purge(&target), hub.last_message(&channel("c")));
    publish(&publisher, "c", "2").await;
    tokio::time::sleep(T).await;
    assert_eq!(hub.last_purge(&target), hub.now());
}

#[test]
fn a_publisher_survives_its_runtime() {
    let publisher = latest();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    runtime().block_on(async {
        publish(&publisher, "c", "1").await;
        publish(&publisher, "c", "2").await;
        tokio::task::yield_now().await;
    });
    // The task died with its runtime; another is started here.
    runtime().block_on(async {
        publish(&publisher, "d", "1").await;
        tokio::time::sleep(5 * T).await;
        assert!(!publisher.paces_any());
    });
}

/// The timer's task may never have run where its runtime ended: another runtime's has to.
#[test]
fn rlp_01_the_last_one_is_sent_whichever_runtime_has_ended() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    let publisher = latest();
    runtime().block_on(async {
        assert!(publish(&publisher, "c", "0").await.position.is_some());
    });
    runtime().block_on(async {
        let seen = record(subscribe(publisher.edge(), "c"));
        assert_eq!(publish(&publisher, "c", "1").await.queued, 1);
        tokio::time::sleep(3 * T).await;
        let texts: Vec<String> = seen.lock().iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts, ["1"]);
        assert!(!publisher.paces_any());
    });
    // Nor where it waited.
    runtime().block_on(async {
        publish(&publisher, "c", "2").await;
        assert_eq!(publish(&publisher, "c", "3").await.queued, 1);
        tokio::task::yield_now().await;
    });
    runtime().block_on(async {
        let seen = record(subscribe(publisher.edge(), "c"));
        assert_eq!(publish(&publisher, "c", "4").await.queued, 1);
        tokio::time::sleep(2 * T).await;
        let texts: Vec<String> = seen.lock().iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts, ["4"]);
    });
}

/// The runtime of whoever published first stands still: it is there, and nobody drives it.
#[test]
fn rlp_01_the_last_one_is_sent_although_a_runtime_stands_still() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    let publisher = latest();
    let (never_looked, sleeps) = (runtime(), runtime());
    never_looked.block_on(async {
        assert!(publish(&publisher, "c", "0").await.position.is_some());
    });
    sleeps.block_on(async {
        assert_eq!(publish(&publisher, "c", "1").await.queued, 1);
        tokio::task::yield_now().await;
    });
    runtime().block_on(async {
        let seen = record(subscribe(publisher.edge(), "c"));
        assert_eq!(publish(&publisher, "c", "2").await.queued, 1);
        tokio::time::sleep(3 * T).await;
        let texts: Vec<String> = seen.lock().iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts, ["2"]);
        assert!(!publisher.paces_any());
    });
}

/// What waits for one channel is no more than all logs take, however little that is.
#[tokio::test(start_paused = true)]
async fn d2a_what_waits_fits_all_logs() {
    let limits = LogLimits::new().total_bytes(100_000);
    let edge = Edge::builder().log_limits(limits).build();
    let publisher = Publisher::new(edge, PublishConfig::new().rule(Rule::latest()));
    let seen = record(subscribe(publisher.edge(), "c"));
    publish(&publisher, "c", "0").await;
    for n in 1..=4 {
        let mut message = Message::bytes(vec![b'x'; 20_000]);
        message.response = Some(ResponseForm::Hint);
        let options = PublishOptions {
            purges: vec![purge(&n.to_string())],
            ..PublishOptions::default()
        };
        let receipt = publisher.publish_with("c", message, options).await;
        assert_eq!(receipt.expect("accepted").queued, 1);
        publish(&publisher, "c", "-").await;
    }
    tokio::time::sleep(10 * T).await;
    assert!(!publisher.paces_any());
    for n in 1..=4 {
        let target = Target::Key(n.to_string().as_str().into());
        assert!(publisher.edge().hub().last_purge(&target) > Position::ZERO);
    }
    let lengths: Vec<usize> = seen.lock().iter().map(|(_, text)| text.len()).collect();
    assert_eq!(lengths, [1, 20_000, 20_000, 20_000, 20_000, 1]);
}

/// Its publisher heard no answer, and says it once more: that takes no newer one's place.
#[tokio::test(start_paused = true)]
async fn d2a_what_is_said_again_takes_no_newer_ones_place() {
    for (ids, sent) in [
        // It was sent.
        (&["a", "b", "a"][..], &["a", "b"][..]),
        // It was replaced.
        (&["a", "b", "c", "b"], &["a", "c"]),
        (&["a", "b", "b"], &["a", "b"]),
    ] {
        let publisher = latest();
        let seen = record(subscribe(publisher.edge(), "c"));
        let mut receipt = Receipt::default();
        for id in ids {
            let message = Message::bytes((*id).to_owned()).with_id(*id);
            receipt = publisher.publish("c", message).await.expect("accepted");
        }
        tokio::time::sleep(3 * T).await;
        let texts: Vec<String> = seen.lock().iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts, sent, "{ids:?}");
        let is_newest = ids.last() == sent.last();
        assert_eq!(receipt.superseded, usize::from(!is_newest), "{ids:?}");
    }
}

//! Orders: what gets which position, and in what order it is seen.

use std::time::Duration;

use gripstack::hub::{Delivery, Subscription, Wants};
use gripstack::message::StreamForm;
use gripstack::{Channel, Edge, Message, Order, Position, Publication, PurgeMode, SubmitError, Target};
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

/// Lets what runs in the background go as far as it can without time.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
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
    edge.publish(channel(), item("9", "8").with_no_seq())
        .await
        .expect("accepted");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// The first of a chain never comes: the rest goes out in its order, when the one that came first has waited long enough.
#[tokio::test(start_paused = true)]
async fn d1_q03_what_is_given_up_on_goes_out_after_what_leads_up_to_it() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let start = Instant::now();
    let mut late = Vec::new();
    for (id, prev_id) in [("9", "8"), ("8", "7"), ("7", "6")] {
        late.push(publish(&edge, item(id, prev_id)));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for late in late {
        late.await.expect("no panic");
    }
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(all(&mut subscription).await, "1789");
    // Names that lead in a circle.
    let circle = [publish(&edge, item("a", "b")), publish(&edge, item("b", "a"))];
    for late in circle {
        late.await.expect("no panic");
    }
    assert_eq!(all(&mut subscription).await.len(), 2);
}

/// What is there already says what it follows: that comes late, and need not wait for what comes before it. What follows
/// the last of them has not missed anything.
#[tokio::test(start_paused = true)]
async fn d1_what_leads_up_to_what_is_there_waits_for_nothing() {
    for (order, log) in [
        (&[3, 2, 1][..], "321"),
        (&[4, 2, 1, 3], "4321"),
        (&[4, 1, 2, 3], "4321"),
        (&[3, 1, 2], "321"),
    ] {
        let edge = Edge::new();
        let mut subscription = subscribe(&edge);
        let start = Instant::now();
        let mut late = Vec::new();
        for n in order {
            late.push(publish(&edge, item(&n.to_string(), &(n - 1).to_string())));
            settle().await;
        }
        for late in late {
            late.await.expect("no panic");
        }
        let last = order[0];
        edge.publish(channel(), item(&(last + 1).to_string(), &last.to_string()))
            .await
            .expect("accepted");
        assert_eq!(start.elapsed(), Duration::ZERO, "{order:?}");
        assert_eq!(all(&mut subscription).await, format!("{log}{}", last + 1));
        assert_eq!(edge.hub().stats().waiting, 0);
    }
}

/// Each of two gaps is known.
#[tokio::test(start_paused = true)]
async fn d1_what_leads_up_to_any_that_is_there_waits_for_nothing() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    let start = Instant::now();
    edge.publish(channel(), item("4", "3")).await.expect("accepted");
    edge.publish(channel(), Message::bytes("-"))
        .await
        .expect("accepted");
    for (id, prev_id) in [("9", "8"), ("3", "2"), ("5", "4"), ("8", "7"), ("2", "1")] {
        edge.publish(channel(), item(id, prev_id))
            .await
            .expect("accepted");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscription).await, "4-93582");
}

/// One order may have them the wrong way round, where the channel is new.
#[tokio::test(start_paused = true)]
async fn d1_one_order_of_a_new_channel_waits_for_nothing_that_it_brings() {
    for (ids, log) in [(&[2, 1][..], "21"), (&[3, 2, 1], "321"), (&[4, 2, 1, 3], "4321")] {
        let edge = Edge::new();
        let mut subscription = subscribe(&edge);
        let start = Instant::now();
        let item = |n: &i32| Publication::new(channel(), item(&n.to_string(), &(n - 1).to_string()));
        edge.submit(ids.iter().map(item).collect())
            .await
            .expect("accepted");
        let last = ids[0];
        edge.submit([item(&(last + 1))].into_iter().collect())
            .await
            .expect("accepted");
        assert_eq!(start.elapsed(), Duration::ZERO, "{ids:?}");
        assert_eq!(all(&mut subscription).await, format!("{log}{}", last + 1));
        assert_eq!(edge.hub().stats().waiting, 0);
    }
}

/// A message without an id leaves the channel without a last one: what waits keeps its place all the same.
#[tokio::test(start_paused = true)]
async fn d1_nothing_overtakes_its_predecessor_that_waits() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let three = publish(&edge, item("3", "2"));
    settle().await;
    edge.publish(channel(), Message::bytes("-"))
        .await
        .expect("accepted");
    let four = publish(&edge, item("4", "3"));
    settle().await;
    let start = Instant::now();
    edge.publish(channel(), item("2", "1")).await.expect("accepted");
    for late in [three, four] {
        late.await.expect("no panic");
    }
    edge.publish(channel(), item("5", "4")).await.expect("accepted");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscription).await, "1-2345");
}

/// What is late sets the last id not back, whether or not it names a predecessor itself.
#[tokio::test(start_paused = true)]
async fn d1_what_follows_the_last_message_waits_for_nothing_that_is_late_in_its_order() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    edge.publish(channel(), item("4", "3")).await.expect("accepted");
    let start = Instant::now();
    let late = Message::bytes("3").with_id("3");
    let order = Order::publish(channel(), late).and(Publication::new(channel(), item("5", "4")));
    edge.submit(order).await.expect("accepted");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscription).await, "435");
}

/// Only one can follow; of the order of the second nothing is applied.
#[tokio::test(start_paused = true)]
async fn d1_q05_of_two_that_wait_for_the_same_one_the_second_is_refused() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let first = publish(&edge, item("3a", "2"));
    settle().await;
    let (before, stats) = (edge.hub().now(), edge.hub().stats());
    let publication = |id, prev_id| Publication::new(channel(), item(id, prev_id));
    let target = Target::Key("k".into());
    let order = Order::purge(target.clone(), PurgeMode::Hard)
        .and(publication("9", "8"))
        .and(publication("3b", "2"))
        .and(publication("2", "1"));
    let error = edge.submit(order).await.expect_err("refused");
    assert!(matches!(error, SubmitError::Conflict(_)), "{error}");
    assert_eq!((edge.hub().now(), edge.hub().stats()), (before, stats));
    assert_eq!(edge.hub().last_purge(&target), Position::ZERO);
    edge.publish(channel(), item("2", "1")).await.expect("accepted");
    assert_eq!(first.await.expect("no panic"), Position::new(3));
    assert_eq!(all(&mut subscription).await, "123a");
}

/// Its publisher lost the connection, and asks once more.
#[tokio::test(start_paused = true)]
async fn d1_a_retry_of_an_item_that_waits_gets_its_position() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let say = || {
        let edge = edge.clone();
        tokio::spawn(async move { edge.publish(channel(), item("3", "2")).await.expect("accepted") })
    };
    let tries = [say(), say(), say()];
    settle().await;
    assert!(tries.iter().all(|attempt| !attempt.is_finished()));
    assert_eq!(edge.hub().stats().waiting, 1);
    edge.publish(channel(), item("2", "1")).await.expect("accepted");
    for attempt in tries {
        assert_eq!(attempt.await.expect("no panic"), Position::new(3));
    }
    assert_eq!(all(&mut subscription).await, "123");
}

/// What is in the log already says nothing of what follows it there.
#[tokio::test(start_paused = true)]
async fn d1_a_duplicate_in_an_order_sets_nothing_back() {
    let edge = Edge::new();
    for (id, prev_id) in [("1", "0"), ("2", "1")] {
        edge.publish(channel(), item(id, prev_id))
            .await
            .expect("accepted");
    }
    let publication = |id, prev_id| Publication::new(channel(), item(id, prev_id));
    let order = Order::default()
        .and(publication("1", "0"))
        .and(publication("3", "2"))
        .and(publication("3", "2"));
    let start = Instant::now();
    edge.submit(order).await.expect("accepted");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscribe(&edge)).await, "123");
}

/// Whoever publishes may go on at once, and hears how many wait.
#[tokio::test(start_paused = true)]
async fn d1_an_order_is_accepted_while_its_items_wait() {
    let edge = Edge::new();
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let start = Instant::now();
    let accepted = edge
        .accept(Order::publish(channel(), item("3", "2")))
        .await
        .expect("accepted");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((accepted.position(), accepted.waiting()), (Position::new(1), 1));
    assert_eq!(accepted.all().await.expect("taken"), Position::new(2));
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

/// Its order brought what it waits for.
#[tokio::test(start_paused = true)]
async fn d1_what_has_gone_out_is_not_said_to_wait() {
    let edge = Edge::new();
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let publication = |id, prev_id| Publication::new(channel(), item(id, prev_id));
    let order = Order::from_iter([
        publication("3", "2"),
        publication("2", "1"),
        publication("9", "8"),
    ]);
    let accepted = edge.accept(order).await.expect("accepted");
    assert_eq!(accepted.waiting(), 1);
    assert_eq!(all(&mut subscribe(&edge)).await, "123");
}

/// What waits is bounded, and shown.
#[tokio::test(start_paused = true)]
async fn d1_what_waits_is_bounded_by_its_bytes() {
    let limits = gripstack::hub::LogLimits::new().waiting_bytes(100_000);
    let edge = Edge::builder().log_limits(limits).build();
    let mut waiting = Vec::new();
    for n in 0..20 {
        let name = Channel::new(&format!("c{n}")).expect("valid");
        edge.publish(name.clone(), item("1", "0"))
            .await
            .expect("accepted");
        let late = Message::bytes(vec![0; 20_000]).with_id("3").with_prev_id("2");
        let order = Order::publish(name, late);
        waiting.push(edge.accept(order).await.expect("accepted").waiting());
    }
    assert_eq!(waiting, [vec![1; 4], vec![0; 16]].concat());
    let stats = edge.hub().stats();
    assert_eq!(stats.waiting, 4);
    assert!((80_000..=100_000).contains(&stats.waiting_bytes), "{stats:?}");
    tokio::time::advance(Duration::from_secs(5)).await;
    settle().await;
    assert_eq!(
        (edge.hub().stats().waiting, edge.hub().stats().waiting_bytes),
        (0, 0)
    );
}

/// The runtime of whoever published first is gone, or stands still: neither strands what others publish.
#[test]
fn d1_a_runtime_that_ends_strands_nothing() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    let edge = Edge::new();
    let late = |name: &'static str| {
        let edge = edge.clone();
        async move {
            let name = Channel::new(name).expect("valid");
            edge.publish(name.clone(), item("1", "0"))
                .await
                .expect("accepted");
            edge.accept(Order::publish(name, item("3", "2")))
                .await
                .expect("accepted")
        }
    };
    let gone = runtime();
    let first = gone.block_on(late("a"));
    drop(gone);
    let stands_still = runtime();
    let second = stands_still.block_on(late("b"));
    runtime().block_on(async {
        let third = late("c").await;
        for accepted in [third, second, first] {
            let all = tokio::time::timeout(Duration::from_secs(60), accepted.all());
            assert!(all.await.expect("not stranded").is_ok());
        }
    });
    assert_eq!(edge.hub().stats().waiting, 0);
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
    let publication = |id, prev_id| Publication::new(channel(), item(id, prev_id));
    let order = Order::default()
        .and(publication("2", "1"))
        .and(publication("3", "2"));
    let start = Instant::now();
    assert_eq!(edge.submit(order).await.expect("accepted"), Position::new(2));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscribe(&edge)).await, "123");
}

/// A channel that carries a state replays its last message, and knows no gaps.
#[tokio::test(start_paused = true)]
async fn a_latest_message_replaces_those_before_it_and_waits_for_nothing() {
    let edge = Edge::new();
    let publication = |id, prev_id| Publication::new(channel(), item(id, prev_id)).latest();
    let start = Instant::now();
    for (id, prev_id) in [("1", "0"), ("5", "4"), ("9", "8")] {
        let order = Order::default().and(publication(id, prev_id));
        edge.submit(order).await.expect("accepted");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscribe(&edge)).await, "9");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_does_not_fit_the_log_is_refused_whole() {
    let edge = Edge::new();
    let publication = || Publication::new(channel(), Message::bytes("x"));
    let order: Order = (0..501).map(|_| publication()).collect();
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
    let limits = gripstack::hub::LogLimits::new().entries(2);
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

/// Whoever heard no answer sends it again.
#[tokio::test(start_paused = true)]
async fn c1_the_same_order_again_has_its_position() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    let order = Order::publish(channel(), Message::bytes("1")).and_purge(Target::key("k"), PurgeMode::Hard);
    let at = edge.submit(order.clone()).await.expect("accepted");
    let other = edge.publish(channel(), Message::bytes("2")).await;
    assert_eq!(other.expect("accepted"), at.next());
    assert_eq!(edge.submit(order).await.expect("accepted"), at);
    assert_eq!(all(&mut subscription).await, "12");
    assert_eq!(edge.hub().last_purge(&Target::key("k")), at);
}

/// The smallest logs: each remembers the last message, and its readers get it.
#[tokio::test(start_paused = true)]
async fn a_log_of_one_message_takes_it() {
    for entries in [0, 1] {
        let limits = gripstack::hub::LogLimits::new().entries(entries);
        let edge = Edge::builder().log_limits(limits).build();
        let mut subscription = subscribe(&edge);
        for text in ["1", "2"] {
            let published = edge.publish(channel(), Message::bytes(text)).await;
            published.expect("it fits");
            assert_eq!(next(&mut subscription).await, text);
        }
        let two = Order::publish(channel(), Message::bytes("3"))
            .and(Publication::new(channel(), Message::bytes("4")));
        let error = edge.submit(two).await.expect_err("too large");
        assert!(error.to_string().contains("2 messages for channel t"), "{error}");
    }
}

/// An order that would push itself out of the bound of all is refused, for nobody would get it.
#[tokio::test(start_paused = true)]
async fn an_order_that_does_not_fit_all_logs_is_refused_whole() {
    for total_bytes in [0, 1, 10_000] {
        let limits = gripstack::hub::LogLimits::new().total_bytes(total_bytes);
        let edge = Edge::builder().log_limits(limits).build();
        let order = (0..20).map(|n| {
            let channel = Channel::new(&format!("c{n}")).expect("valid");
            Publication::new(channel, Message::bytes("x"))
        });
        let error = edge.submit(order.collect()).await.expect_err("too large");
        assert!(
            error.to_string().contains("all logs together remember"),
            "{error}"
        );
        assert_eq!(edge.hub().now(), Position::ZERO);
    }
    let limits = gripstack::hub::LogLimits::new().total_bytes(10_000);
    let edge = Edge::builder().log_limits(limits).build();
    let mut subscription = subscribe(&edge);
    let order = Order::publish(channel(), Message::bytes("x".repeat(4_000)));
    edge.submit(order).await.expect("it fits");
    assert_eq!(next(&mut subscription).await.len(), 4_000);
}

/// One is lost of a busy channel: when there is no room for more to wait, what waited goes out before what follows it.
#[tokio::test(start_paused = true)]
async fn d1_what_there_is_no_room_for_goes_out_after_what_leads_up_to_it() {
    const LAST: i32 = 110;
    let expected: String = (1..=LAST).filter(|n| *n != 2).map(|n| n.to_string()).collect();
    let publication = |n: &i32| Publication::new(channel(), item(&n.to_string(), &(n - 1).to_string()));
    for size in [1, 7, LAST as usize] {
        let edge = Edge::new();
        let mut subscription = subscribe(&edge);
        edge.submit(Order::from_iter([publication(&1)]))
            .await
            .expect("accepted");
        let start = Instant::now();
        let mut accepted = Vec::new();
        for ns in (3..=LAST).collect::<Vec<_>>().chunks(size) {
            let order: Order = ns.iter().map(publication).collect();
            accepted.push(edge.accept(order).await.expect("accepted"));
        }
        assert_eq!(edge.hub().stats().waiting, 0);
        for accepted in accepted {
            accepted.all().await.expect("sent");
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(all(&mut subscription).await, expected, "orders of {size}");
    }
}

/// A whole order again with one more for which there is no room: all of it goes out, and nothing waits for what has.
#[tokio::test(start_paused = true)]
async fn d1_what_is_said_again_does_not_wait_once_it_has_gone_out() {
    const LAST: i32 = 103;
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    let publication = |n: i32| Publication::new(channel(), item(&n.to_string(), &(n - 1).to_string()));
    edge.submit(Order::from_iter([publication(1)]))
        .await
        .expect("accepted");
    let start = Instant::now();
    let first = edge
        .accept((3..LAST).map(publication).collect())
        .await
        .expect("accepted");
    assert_eq!(first.waiting(), 100);
    let again = edge
        .accept((3..=LAST).map(publication).collect())
        .await
        .expect("accepted");
    assert_eq!((first.waiting(), again.waiting()), (0, 0));
    assert_eq!(edge.hub().stats().waiting, 0);
    again.all().await.expect("sent");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let expected: String = (1..=LAST).filter(|n| *n != 2).map(|n| n.to_string()).collect();
    assert_eq!(all(&mut subscription).await, expected);
}

/// Nor does it go out twice, though the log has forgotten it by then.
#[tokio::test(start_paused = true)]
async fn d1_d2_what_is_said_again_as_it_goes_out_does_so_once() {
    const LAST: i32 = 103;
    let limits = gripstack::hub::LogLimits::new().entries(60);
    let edge = Edge::builder().log_limits(limits).build();
    let publication = |n: i32| Publication::new(channel(), item(&n.to_string(), &(n - 1).to_string()));
    edge.submit(Order::from_iter([publication(1)]))
        .await
        .expect("accepted");
    for ns in [3..30, 30..60, 60..90, 90..LAST] {
        let order = ns.map(publication).collect();
        let _ = edge.accept(order).await.expect("accepted");
    }
    let again = Order::from_iter([publication(3), publication(LAST)]);
    let again = edge.accept(again).await.expect("accepted");
    let mut subscription = edge
        .hub()
        .subscribe(&[channel()], edge.hub().stamp_at(edge.hub().now()), Wants::Stream)
        .expect("no gap");
    again.all().await.expect("sent");
    assert_eq!(all(&mut subscription).await, "");
}

/// What waits has gone out once somebody says it without its predecessor.
#[tokio::test(start_paused = true)]
async fn d1_what_waits_and_is_said_without_sequence_has_gone_out() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    edge.publish(channel(), item("1", "0")).await.expect("accepted");
    let start = Instant::now();
    let waits = publish(&edge, item("3", "2"));
    settle().await;
    let mut free = item("3", "2");
    free.no_seq = true;
    edge.publish(channel(), free).await.expect("accepted");
    waits.await.expect("sent");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(all(&mut subscription).await, "13");
}

/// What is said again has its room already.
#[tokio::test(start_paused = true)]
async fn d1_what_is_said_again_takes_no_room() {
    const LAST: i32 = 63;
    let edge = Edge::new();
    let mut subscription = subscribe(&edge);
    let publication = |n: i32| Publication::new(channel(), item(&n.to_string(), &(n - 1).to_string()));
    edge.submit(Order::from_iter([publication(1)]))
        .await
        .expect("accepted");
    let accept = async |ns: std::ops::RangeInclusive<i32>| {
        let order = ns.map(publication).collect();
        edge.accept(order).await.expect("accepted")
    };
    let first = accept(3..=LAST - 1).await;
    let again = accept(3..=LAST).await;
    assert_eq!((first.waiting(), again.waiting()), (60, 61));
    assert_eq!(edge.hub().stats().waiting, 61);
    let _ = accept(2..=2).await;
    again.all().await.expect("sent");
    let expected: String = (1..=LAST).map(|n| n.to_string()).collect();
    assert_eq!(all(&mut subscription).await, expected);
}

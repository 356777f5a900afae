//! What comes between an order's admission and its way out: whoever publishes meanwhile sets nothing on its head.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use gripstack::hub::{Delivery, LogLimits, Subscription, Wants};
use gripstack::{Channel, Edge, Message, Order, Position, Publication, PurgeMode, Target};

use crate::hold_support::{Origin, ready, reply, with_ids};

fn channel(name: &str) -> Channel {
    Channel::new(name).expect("valid")
}

/// Follows the one before it, and takes so many bytes.
fn follower(name: &str, n: usize, bytes: usize) -> Publication {
    let text = format!("{n}{}", " ".repeat(bytes));
    let message = with_ids(&text, &n.to_string(), &(n - 1).to_string());
    Publication::new(channel(name), message)
}

fn subscribe(edge: &Edge, name: &str) -> Subscription {
    let stamp = edge.hub().stamp_at(Position::ZERO);
    edge.hub()
        .subscribe(&[channel(name)], stamp, Wants::Stream)
        .expect("no gap")
}

/// The ids that are there, `-` for none.
fn ids(subscription: &mut Subscription) -> Vec<String> {
    let mut got = Vec::new();
    while let Poll::Ready(Delivery::Message { message, .. }) = once(subscription.next()) {
        got.push(message.id.as_deref().unwrap_or("-").to_owned());
    }
    got
}

fn once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn with_purges(order: Order) -> Order {
    (0..20_000).fold(order, |order, n| {
        let path = format!("/{n}?a=1&b=2&c=3&d=4");
        order.and_purge(Target::url("example.com", &path), PurgeMode::Soft)
    })
}

/// In one process nothing waits for anything.
fn accept_now(edge: &Edge, order: Order) {
    let Poll::Ready(accepted) = once(edge.accept(order)) else {
        panic!("it waits");
    };
    let _ = accepted.expect("accepted");
}

/// A body whose end is heard: where a message is said again, that is before the rest of its order goes out.
struct Heard<F: FnMut()>(F);

impl<F: FnMut()> AsRef<[u8]> for Heard<F> {
    fn as_ref(&self) -> &[u8] {
        b"again"
    }
}

impl<F: FnMut()> Drop for Heard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The item once more, with something that happens when it is known to be there.
fn again(name: &str, n: usize, then: impl FnMut() + Send + 'static) -> Publication {
    let message = Message::bytes(Bytes::from_owner(Heard(then))).with_id(n.to_string());
    Publication::new(channel(name), message.with_prev_id((n - 1).to_string()))
}

/// 3 to 102 wait for 2. An order brings 2 and 103; another one, 104, for which there is no room, before 2 has gone out. It
/// must not push 3 out before 2, which was accepted first.
#[tokio::test(start_paused = true)]
async fn d1_what_has_no_room_overtakes_nothing_of_an_order_that_is_on_its_way() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge, "t");
    accept_now(&edge, Order::from_iter([follower("t", 1, 0)]));
    accept_now(&edge, (3..=102).map(|n| follower("t", n, 0)).collect());
    let other = edge.clone();
    let meanwhile = move || accept_now(&other, Order::from_iter([follower("t", 104, 0)]));
    let order = [
        follower("t", 2, 0),
        follower("t", 103, 0),
        again("t", 102, meanwhile),
    ];
    accept_now(&edge, Order::from_iter(order));
    let expected: Vec<_> = (1..=104).map(|n| n.to_string()).collect();
    assert_eq!(ids(&mut subscription), expected);
}

/// The same as two threads do it.
#[tokio::test]
async fn d1_what_has_no_room_overtakes_nothing_of_an_order_of_another_thread() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge, "t");
    accept_now(&edge, Order::from_iter([follower("t", 1, 0)]));
    accept_now(&edge, (3..=102).map(|n| follower("t", n, 0)).collect());
    let other = edge.clone();
    let thread = std::thread::spawn(move || {
        // Until 103 waits as well: then 2 has been accepted.
        while other.hub().stats().waiting < 101 {
            std::thread::yield_now();
        }
        accept_now(&other, Order::from_iter([follower("t", 104, 0)]));
    });
    // Its purges take a while.
    let order = Order::from_iter([follower("t", 2, 0), follower("t", 103, 0)]);
    accept_now(&edge, with_purges(order));
    thread.join().expect("no panic");
    let expected: Vec<_> = (1..=104).map(|n| n.to_string()).collect();
    assert_eq!(ids(&mut subscription), expected);
}

/// What a client sees of it whose body names no id: the last one that it gets is the last one.
#[tokio::test(start_paused = true)]
async fn d1_no_stream_stays_on_what_an_order_brought_that_was_on_its_way() {
    let edge = Edge::new();
    accept_now(&edge, Order::from_iter([follower("t", 1, 0)]));
    let held = [("grip-hold", "stream"), ("grip-channel", "t")];
    let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "1")) });
    let mut response = origin.get(&edge).await;
    let mut got = ready(response.body_mut());
    accept_now(&edge, (3..=102).map(|n| follower("t", n, 0)).collect());
    let other = edge.clone();
    let meanwhile = move || accept_now(&other, Order::from_iter([follower("t", 104, 0)]));
    let order = [
        follower("t", 2, 0),
        follower("t", 103, 0),
        again("t", 102, meanwhile),
    ];
    accept_now(&edge, Order::from_iter(order));
    got.extend(ready(response.body_mut()));
    tokio::time::sleep(Duration::from_secs(6)).await;
    got.extend(ready(response.body_mut()));
    assert_eq!(edge.hub().stats().waiting, 0);
    let got: Vec<_> = got.iter().flat_map(|text| text.split_whitespace()).collect();
    assert_eq!(got.last(), Some(&"104"), "{got:?}");
}

/// An order says x, then 3, which waits for 2. 2 comes before x has gone out: x, which was written before 3, comes before
/// it.
#[tokio::test(start_paused = true)]
async fn d2b_what_waits_goes_out_after_what_its_order_says_before_it() {
    let edge = Edge::new();
    let mut subscription = subscribe(&edge, "t");
    accept_now(
        &edge,
        Order::from_iter([follower("t", 1, 0), follower("u", 1, 0)]),
    );
    accept_now(&edge, Order::from_iter([follower("u", 3, 0)]));
    let other = edge.clone();
    let meanwhile = move || accept_now(&other, Order::from_iter([follower("t", 2, 0)]));
    let x = Publication::new(channel("t"), Message::bytes("x").with_id("x"));
    let order = [x, follower("t", 3, 0), again("u", 3, meanwhile)];
    accept_now(&edge, Order::from_iter(order));
    let got = ids(&mut subscription);
    let place = |id: &str| got.iter().position(|other| other == id).expect("there");
    assert!(place("x") < place("3") && place("2") < place("3"), "{got:?}");
}

/// 3 has waited for long enough, and is on its way out, after one without an id. 4, which follows it, comes after it.
#[test]
fn d1_nothing_overtakes_what_is_on_its_way_out() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let edge = Edge::new();
    let mut subscription = subscribe(&edge, "t");
    let other = edge.clone();
    let waits = std::sync::Arc::new(AtomicBool::new(false));
    let is_waiting = waits.clone();
    let thread = std::thread::spawn(move || {
        while !is_waiting.load(Ordering::SeqCst) || other.hub().stats().waiting > 0 {
            std::thread::yield_now();
        }
        accept_now(&other, Order::from_iter([follower("t", 4, 0)]));
    });
    runtime.block_on(async {
        accept_now(&edge, Order::from_iter([follower("t", 1, 0)]));
        // Its purges take a while.
        accept_now(&edge, with_purges(Order::from_iter([follower("t", 3, 0)])));
        accept_now(&edge, Order::publish(channel("t"), Message::bytes("no id")));
        assert_eq!(edge.hub().stats().waiting, 1);
        waits.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(6)).await;
    });
    thread.join().expect("no panic");
    assert_eq!(ids(&mut subscription), ["1", "-", "3", "4"]);
}

/// Of what waits, no position is told.
#[tokio::test(start_paused = true)]
async fn a_receipt_tells_no_position_where_nothing_has_one() {
    use gripstack::publish::{Item, PublishConfig};

    let edge = Edge::new();
    accept_now(&edge, Order::from_iter([follower("t", 1, 0)]));
    let publication = follower("t", 3, 0);
    let item = Item {
        channel: publication.channel,
        message: (*publication.message).clone(),
        options: Default::default(),
    };
    let publisher = edge.publisher(PublishConfig::new());
    let receipt = publisher.accept_all(vec![item]).await.expect("accepted");
    assert_eq!((receipt.waiting, receipt.position), (1, None));
}

/// Threads that publish anything where there is little room: each item with an id once, and nothing is left waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d1_whoever_publishes_at_the_bounds_each_goes_out_once() {
    for round in 0..60usize {
        let limits = LogLimits::new().waiting_bytes(if round % 2 == 0 { 3_000 } else { 64 << 20 });
        let edge = Edge::builder()
            .log_limits(limits.entries(10_000).bytes(8 << 20))
            .build();
        let names = ["a", "b"];
        for name in names {
            accept_now(&edge, Order::from_iter([follower(name, 1, 0)]));
        }
        let last = 240usize;
        let tasks: Vec<_> = (0..4usize)
            .map(|task| {
                let edge = edge.clone();
                tokio::spawn(async move {
                    let mut all = Vec::new();
                    let mut mine: Vec<usize> =
                        (2..=last).filter(|n| n % 4 == task || n % 7 == task).collect();
                    let salt = (round * 7 + task * 13) % 31 + 1;
                    mine.sort_by_key(|n| (n * salt) % 101);
                    for chunk in mine.chunks(1 + (round + task) % 9) {
                        let items = chunk
                            .iter()
                            .flat_map(|n| [follower("a", *n, n % 50), follower("b", *n, 0)]);
                        let order: Order = items.collect();
                        all.push(edge.accept(order).await.expect("accepted"));
                        tokio::task::yield_now().await;
                    }
                    for accepted in all {
                        accepted.all().await.expect("sent");
                    }
                })
            })
            .collect();
        for task in tasks {
            tokio::time::timeout(Duration::from_secs(20), task)
                .await
                .expect("no lost wake-up")
                .expect("no panic");
        }
        let stats = edge.hub().stats();
        assert_eq!((stats.waiting, stats.waiting_bytes), (0, 0));
        for name in names {
            let mut got: Vec<usize> = ids(&mut subscribe(&edge, name))
                .iter()
                .map(|id| id.parse().expect("a number"))
                .collect();
            got.sort_unstable();
            assert_eq!(got, (1..=last).collect::<Vec<_>>(), "round {round}");
        }
    }
}

//! The hub at scale: what is woken by whom, what is locked, what is forgotten when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::runtime;
use tokio::time::Instant;

use super::*;
use crate::message::Message;
use crate::order::Publication;

/// More than are woken at once, in several batches.
const CROWD: usize = 3_000;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Looks again, with patience.
    fn reaches(&self, count: usize) {
        let patience = Instant::now();
        while self.count() < count {
            assert!(
                patience.elapsed() < Duration::from_secs(30),
                "{} of {count}",
                self.count()
            );
            std::thread::yield_now();
        }
        assert_eq!(self.count(), count);
    }
}

fn channel(name: &str) -> Channel {
    Channel::new(name).expect("valid")
}

fn order(name: &str) -> Order {
    Order::publish(channel(name), Message::bytes("m"))
}

fn publish(hub: &Hub, name: &str) -> Position {
    hub.apply(order(name), Instant::now())
}

fn subscribe(hub: &Hub, name: &str) -> Subscription {
    hub.subscribe(&[channel(name)], hub.stamp_at(hub.now()), Wants::Stream)
        .expect("no gap")
}

/// A crowd that waits, and how many of it were woken.
fn crowd(hub: &Hub, size: usize) -> (Vec<Subscription>, Arc<Woken>) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut crowd: Vec<_> = std::iter::repeat_with(|| subscribe(hub, "t"))
        .take(size)
        .collect();
    for subscription in &mut crowd {
        assert!(subscription.poll_next(&mut cx).is_pending());
    }
    (crowd, woken)
}

fn runtime_with_one_worker() -> runtime::Runtime {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(1).build().expect("a runtime")
}

#[test]
fn a_publisher_goes_on_before_a_crowd_is_woken() {
    let hub = Hub::default();
    let (_crowd, woken) = crowd(&hub, CROWD);
    let runtime = runtime_with_one_worker();
    let publisher = {
        let (hub, woken) = (hub.clone(), woken.clone());
        // The worker can run nothing else meanwhile.
        runtime.spawn(async move {
            publish(&hub, "t");
            woken.count()
        })
    };
    assert_eq!(runtime.block_on(publisher).expect("no panic"), 0);
    woken.reaches(CROWD);
}

#[test]
fn whoever_shares_the_publishers_thread_has_turns_while_a_crowd_is_woken() {
    let hub = Hub::default();
    let (_crowd, woken) = crowd(&hub, CROWD);
    let runtime = runtime_with_one_worker();
    let turns = {
        let (hub, woken) = (hub.clone(), woken.clone());
        runtime.spawn(async move {
            publish(&hub, "t");
            let mut turns = 0;
            while woken.count() < CROWD {
                tokio::task::yield_now().await;
                turns += 1;
            }
            turns
        })
    };
    let turns = runtime.block_on(turns).expect("no panic");
    assert!(turns > 3, "{turns} turns");
}

#[test]
fn a_crowd_is_woken_although_the_runtime_that_published_ends() {
    let hub = Hub::default();
    let (_crowd, woken) = crowd(&hub, CROWD);
    let runtime = runtime_with_one_worker();
    let publisher = {
        let hub = hub.clone();
        runtime.spawn(async move { publish(&hub, "t") })
    };
    runtime.block_on(publisher).expect("no panic");
    drop(runtime);
    woken.reaches(CROWD);
    // Nobody is counted as one who still wakes.
    publish(&hub, "t");
    assert_eq!(woken.count(), CROWD, "nobody waited");
}

#[test]
fn a_crowd_is_woken_although_nobody_drives_the_runtime_that_published() {
    let hub = Hub::default();
    let (_crowd, woken) = crowd(&hub, CROWD);
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { publish(&hub, "t") });
    woken.reaches(CROWD);
}

#[test]
fn without_a_runtime_the_publisher_wakes() {
    let hub = Hub::default();
    let (_crowd, woken) = crowd(&hub, CROWD);
    publish(&hub, "t");
    assert_eq!(woken.count(), CROWD);
}

/// Does something when it is woken first.
struct Once(parking_lot::Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Once {
    fn wake(self: Arc<Self>) {
        let first = self.0.lock().take();
        if let Some(first) = first {
            first();
        }
    }
}

/// However long it takes, for it is not counted on by others.
#[test]
fn a_publisher_without_a_runtime_wakes_only_its_own_readers() {
    let hub = Hub::default();
    let (_crowd, woken) = crowd(&hub, CROWD);
    let runtime = runtime_with_one_worker();
    let other = {
        let (hub, woken, runtime) = (hub.clone(), woken.clone(), runtime.handle().clone());
        move || {
            runtime.spawn(async move { publish(&hub, "t") });
            woken.reaches(CROWD);
        }
    };
    let waker = Waker::from(Arc::new(Once(parking_lot::Mutex::new(Some(Box::new(other))))));
    let mut own: Vec<_> = std::iter::repeat_with(|| subscribe(&hub, "u"))
        .take(CROWD)
        .collect();
    for subscription in &mut own {
        assert!(
            subscription
                .poll_next(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    publish(&hub, "u");
    woken.reaches(CROWD);
}

#[test]
fn an_order_of_many_items_on_one_channel_wakes_it_once() {
    let hub = Hub::default();
    let (mut readers, woken) = crowd(&hub, 2);
    let item = |n: usize| Publication::new(channel("t"), Message::bytes(n.to_string()));
    hub.apply((0..400).map(item).collect(), Instant::now());
    assert_eq!(woken.count(), 2);
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..400 {
        let Poll::Ready(Delivery::Message { message, .. }) = readers[0].poll_next(&mut cx) else {
            panic!("{n} is missing");
        };
        assert_eq!(*message, Message::bytes(n.to_string()));
    }
}

/// All that everybody shares is locked by somebody else: a hold begins, gets a message and ends all the same.
#[test]
fn a_delivery_and_the_begin_and_the_end_of_a_hold_take_no_lock_of_the_hub() {
    let hub = Hub::default();
    let mut early = subscribe(&hub, "t");
    publish(&hub, "t");
    let locked = (
        hub.0.orders.lock(),
        hub.0.marking.write(),
        hub.0.moments.write(),
        hub.0.waking.lock(),
        hub.0.sequencer.lock(),
    );
    let (done, told) = std::sync::mpsc::channel();
    {
        let hub = hub.clone();
        std::thread::spawn(move || {
            let mut cx = Context::from_waker(Waker::noop());
            let fetch = hub.begin_fetch(Instant::now());
            let stamp = hub.stamp_at(Position::ZERO);
            let channels = [channel("t"), channel("of nobody")];
            let late = hub.subscribe(&channels, stamp, Wants::Stream);
            let late = late.expect("no gap");
            for mut subscription in [early, late] {
                assert!(subscription.poll_next(&mut cx).is_ready());
                assert!(subscription.poll_next(&mut cx).is_pending());
            }
            early = subscribe(&hub, "of nobody");
            drop((early, fetch));
            done.send(hub.last_message(&channel("t")))
                .expect("somebody waits");
        });
    }
    let last = told.recv_timeout(Duration::from_secs(30));
    assert_eq!(last, Ok(Position::new(1)));
    drop(locked);
}

#[test]
fn what_is_too_old_is_forgotten_in_steps() {
    let hub = Hub::default();
    let start = Instant::now();
    for n in 0..1_000 {
        hub.apply(order(&format!("old-{n}")), start);
    }
    let later = start + LogLimits::default().age * 2;
    hub.apply(order("new"), later);
    let left = hub.stats().channels;
    assert!((900..1_001).contains(&left), "{left} channels are left");
    for _ in 0..100 {
        hub.apply(order("new"), later);
    }
    assert_eq!(hub.stats().channels, 1);
}

#[test]
fn what_is_too_much_is_forgotten_at_once_whatever_it_takes() {
    let hub = Hub::new(LogLimits::new().total_bytes(1 << 20));
    for n in 0..10_000 {
        publish(&hub, &format!("small-{n}"));
        assert!(hub.stats().bytes <= 1 << 20);
    }
    let large = Message::bytes("m".repeat(500_000));
    hub.apply(Order::publish(channel("large"), large), Instant::now());
    assert!(hub.stats().bytes <= 1 << 20);
}

/// The oldest goes first, also where newer messages have taken the place of some.
#[test]
fn the_oldest_message_of_all_is_forgotten_first() {
    let hub = Hub::new(LogLimits::new().entries(2).total_bytes(1 << 20));
    let publish = |name: &str| {
        let message = Message::bytes("m".repeat(100_000));
        hub.apply(Order::publish(channel(name), message), Instant::now())
    };
    let first = publish("a");
    for name in ["b", "a", "a", "c"] {
        publish(name);
    }
    // Of "a" the last two are left, so "b" has the oldest.
    for n in 0..7 {
        publish(&format!("more-{n}"));
    }
    let gap = |name: &str, from: u64| {
        let stamp = hub.stamp_at(Position::new(from));
        hub.subscribe(&[channel(name)], stamp, Wants::Stream).is_err()
    };
    assert!(gap("b", 1) && gap("a", first.get() - 1));
    assert!(!gap("c", 4) && !gap("a", 3));
}

#[test]
fn figures_count_what_is_there() {
    let hub = Hub::default();
    let holds: Vec<_> = (0..10).map(|n| subscribe(&hub, &format!("c{n}"))).collect();
    publish(&hub, "c0");
    publish(&hub, "other");
    let stats = hub.stats();
    assert_eq!((stats.channels, stats.subscriptions), (11, 10));
    assert!(stats.bytes > 0);
    drop(holds);
    let stats = hub.stats();
    assert_eq!((stats.channels, stats.subscriptions), (2, 0));
}

/// Of channels that were never used few speak for those that are forgotten, and none for fewer of them than it did.
#[test]
fn a_channel_that_was_never_used_seldom_has_the_floor_of_others() {
    let hub = Hub::new(LogLimits::new().total_bytes(64 << 20));
    for n in 0..5_000 {
        drop(subscribe(&hub, &format!("never-published-{n}")));
    }
    let start = Instant::now();
    for n in 0..5_000 {
        hub.apply(order(&format!("old-{n}")), start);
    }
    for _ in 0..300 {
        hub.apply(order("new"), start + LogLimits::default().age * 2);
    }
    assert_eq!(hub.stats().channels, 1);
    for n in 0..5_000 {
        let last = hub.last_message(&channel(&format!("old-{n}")));
        assert!(last >= Position::new(n + 1), "{n}: {last}");
    }
    let aged = |n: &usize| hub.last_message(&channel(&format!("never-{n}"))) > Position::ZERO;
    let aged = (0..1_000).filter(aged).count();
    assert!(aged <= 50, "{aged} of 1,000");
}

/// Two publishers begin a channel at the same moment, so nothing waits, and there are two gaps. What leads up to either of
/// them, or follows it, waits for nothing.
#[test]
fn d1_what_closes_one_of_two_gaps_waits_for_nothing() {
    let (hub, now) = (Hub::default(), Instant::now());
    let admit = |id: &str, prev_id: &str| {
        let message = Message::bytes("x").with_id(id).with_prev_id(prev_id);
        let publications = vec![Publication::new(channel("t"), message)];
        let admitted = hub.sequencer().admit(&hub, publications, &[], now);
        let admitted = admitted.expect("no conflict");
        assert_eq!((admitted.go.len(), admitted.wait.len()), (1, 0), "{id}");
        admitted.go
    };
    let apply = |publications| {
        let order = Order {
            publications,
            ..Order::default()
        };
        hub.apply(order, now);
    };
    for admitted in [admit("4", "3"), admit("9", "8")] {
        apply(admitted);
    }
    for (id, prev_id) in [
        ("3", "2"),
        ("8", "7"),
        ("5", "4"),
        ("2", "1"),
        ("10", "9"),
        ("7", "6"),
        ("6", "5"),
    ] {
        apply(admit(id, prev_id));
    }
}

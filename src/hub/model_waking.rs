//! Interleavings of waking, which is done in batches by several who may be dropped at any time, and of orders that are
//! being applied while somebody looks.

use std::sync::Arc as StdArc;
use std::task::Waker;

use shuttle::future::block_on;
use shuttle::thread;
use tokio::time::Instant;

use super::judge::Since;
use super::model::{channel, check, read};
use super::*;
use crate::log::readers::ROW;
use crate::marks::Standing;
use crate::message::{Message, StreamForm};
use crate::order::{Publication, PurgeMode};

fn publish(hub: &Hub, text: &'static str) {
    hub.apply(Order::publish(channel("t"), Message::bytes(text)), Instant::now());
}

fn subscribe(hub: &Hub, name: &str) -> Subscription {
    hub.subscribe(&[channel(name)], hub.stamp_at(Position::ZERO), Wants::Stream)
        .expect("no gap")
}

/// Each reader of several rows is woken by each message, whoever wakes, also if that one is dropped.
#[test]
fn model_a_crowd_is_woken_in_batches() {
    check(|| {
        let hub = Hub::default();
        let readers: Vec<_> = (0..ROW + 1)
            .map(|_| subscribe(&hub, "t"))
            .map(|mut subscription| thread::spawn(move || block_on(read(&mut subscription, 2))))
            .collect();
        publish(&hub, "1");
        publish(&hub, "2");
        for reader in readers {
            assert_eq!(reader.join().expect("no panic"), ["1", "2"]);
        }
    });
}

/// A reader that comes while others are woken waits for the next message, and gets it.
#[test]
fn model_a_reader_that_comes_while_others_are_woken() {
    check(|| {
        let hub = Hub::default();
        let mut cx = std::task::Context::from_waker(Waker::noop());
        let mut crowd: Vec<_> = (0..ROW + 1).map(|_| subscribe(&hub, "t")).collect();
        for subscription in &mut crowd {
            assert!(subscription.poll_next(&mut cx).is_pending());
        }
        let comes = {
            let hub = hub.clone();
            thread::spawn(move || block_on(read(&mut subscribe(&hub, "t"), 2)))
        };
        publish(&hub, "1");
        publish(&hub, "2");
        assert_eq!(comes.join().expect("no panic"), ["1", "2"]);
    });
}

/// A row of readers that goes while rows are woken takes no other's wake along.
#[test]
fn model_a_row_that_goes_while_others_are_woken() {
    check(|| {
        let hub = Hub::default();
        let mut cx = std::task::Context::from_waker(Waker::noop());
        let mut goes: Vec<_> = (0..ROW).map(|_| subscribe(&hub, "t")).collect();
        for subscription in &mut goes {
            assert!(subscription.poll_next(&mut cx).is_pending());
        }
        let stay: Vec<_> = (0..ROW)
            .map(|_| subscribe(&hub, "t"))
            .map(|mut subscription| thread::spawn(move || block_on(read(&mut subscription, 1))))
            .collect();
        let dropper = thread::spawn(move || drop(goes));
        publish(&hub, "1");
        for reader in stay {
            assert_eq!(reader.join().expect("no panic"), ["1"]);
        }
        dropper.join().expect("no panic");
        assert_eq!(hub.stats().subscriptions, 0);
    });
}

fn order() -> Order {
    let item = |name: &str, message: Message| Publication {
        channel: channel(name),
        message: StdArc::new(message),
        latest: false,
        comes_back: false,
    };
    let mut close = Message::bytes("2");
    close.stream = Some(StreamForm::Close);
    let publications = vec![item("a", Message::bytes("1")), item("b", close)];
    Order {
        publications,
        ..Order::default()
    }
    .and_purge(Target::key("k"), PurgeMode::Hard)
}

/// Whoever sees the message of one channel finds that of another, and the purge.
#[test]
fn model_half_an_order_is_seen_by_no_reader() {
    check(|| {
        let hub = Hub::default();
        let (mut a, mut b) = (subscribe(&hub, "a"), subscribe(&hub, "b"));
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || hub.apply(order(), Instant::now()))
        };
        let mut cx = std::task::Context::from_waker(Waker::noop());
        let seen = (b.poll_next(&mut cx).is_ready(), hub.now());
        let then = (a.poll_next(&mut cx).is_ready(), hub.now());
        let marked = hub.last_purge(&Target::key("k"));
        if seen.0 {
            assert_eq!((seen.1, marked), (Position::new(1), Position::new(1)));
            assert!(then.0);
        }
        assert!(!then.0 || then.1 == Position::new(1));
        publisher.join().expect("no panic");
    });
}

/// Nor by whoever asks what happened, or for a hold.
#[test]
fn model_half_an_order_is_judged_by_nobody() {
    check(|| {
        let hub = Hub::default();
        // The clock stands above the stamp: there is something to look up.
        publish(&hub, "0");
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || hub.apply(order(), Instant::now()))
        };
        let holder = {
            let hub = hub.clone();
            thread::spawn(move || {
                let stamp = hub.stamp_at(Position::new(1));
                match hub.subscribe(&[channel("b")], stamp, Wants::Stream) {
                    Ok(_) => {}
                    Err(SubscribeError::Superseded { by, .. }) => assert!(hub.now() >= by),
                    Err(other) => panic!("{other}"),
                }
            })
        };
        for _ in 0..2 {
            let judged = hub.judge(Since {
                channels: &[channel("a"), channel("b")],
                ..Since::of_targets(
                    hub.stamp_at(Position::ZERO),
                    &[TargetKey::of(&Target::key("k"))],
                    None,
                )
            });
            let found = (judged.standing, judged.last_mark, judged.last_message);
            let none = (Standing::Clean, Position::ZERO, Position::ZERO);
            let all = (Standing::Dead, Position::new(2), Position::new(2));
            assert!(
                found == none || (found == all && hub.now() == Position::new(2)),
                "{found:?}"
            );
        }
        publisher.join().expect("no panic");
        holder.join().expect("no panic");
    });
}

/// A channel that is dropped when its last reader goes, while somebody comes or publishes, loses nothing.
#[test]
fn model_a_channel_whose_last_reader_goes_while_it_is_used() {
    check(|| {
        let hub = Hub::default();
        let last = subscribe(&hub, "t");
        let goes = thread::spawn(move || drop(last));
        let comes = {
            let hub = hub.clone();
            thread::spawn(move || block_on(read(&mut subscribe(&hub, "t"), 1)))
        };
        publish(&hub, "1");
        assert_eq!(comes.join().expect("no panic"), ["1"]);
        goes.join().expect("no panic");
        assert_eq!(hub.last_message(&channel("t")), Position::new(1));
        let stats = hub.stats();
        assert_eq!((stats.channels, stats.subscriptions), (1, 0));
    });
}

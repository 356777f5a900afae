//! Interleavings of the hub, explored by a model checker:
//! `RUSTFLAGS="--cfg gripstack_shuttle" cargo test --lib --no-default-features model`.

use std::task::Poll;

use shuttle::future::block_on;
use shuttle::thread;
use tokio::time::Instant;

use super::judge::Since;
use super::*;
use crate::log::{End, Log, Next};
use crate::marks::{Seen, Standing};
use crate::message::{Message, StreamForm};
use crate::order::PurgeMode;

const SCHEDULES: usize = 2_000;

pub(crate) fn check(model: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("GRIPSTACK_SCHEDULES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(SCHEDULES);
    let model = std::sync::Arc::new(model);
    let same = model.clone();
    // By chance alone nobody stands still for long while another one goes on.
    shuttle::check_random(move || model(), schedules.div_ceil(2));
    shuttle::check_pct(move || same(), schedules.div_ceil(2), 3);
}

pub(super) fn channel(name: &str) -> Channel {
    Channel::new(name).expect("a valid name")
}

pub(super) fn publish(hub: &Hub, name: &str, text: &'static str) -> Position {
    hub.apply(
        Order::publish(channel(name), Message::bytes(text)),
        Instant::now(),
    )
}

fn text(message: &Message) -> String {
    match &message.stream {
        Some(StreamForm::Send(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("not a text: {other:?}"),
    }
}

pub(super) async fn read(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut got = Vec::new();
    while got.len() < count {
        match subscription.next().await {
            Delivery::Message { message, .. } => got.push(text(&message)),
            Delivery::Lagged { .. } => got.push("lagged".into()),
        }
    }
    got
}

/// A reader that went to sleep just before an append is woken by it.
#[test]
fn model_no_wake_up_is_lost() {
    check(|| {
        let hub = Hub::default();
        let mut subscription = hub
            .subscribe(&[channel("t")], hub.stamp_at(Position::ZERO), Wants::Stream)
            .expect("no gap");
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || ["1", "2", "3"].map(|value| publish(&hub, "t", value)))
        };
        assert_eq!(block_on(read(&mut subscription, 3)), ["1", "2", "3"]);
        publisher.join().expect("no panic");
    });
}

/// A fetch that begins at any moment, and holds from its stamp, misses nothing that its body does not contain.
#[test]
fn model_no_message_falls_between_a_fetch_and_its_hold() {
    check(|| {
        let hub = Hub::default();
        let stored = Arc::new(AtomicU64::new(0));
        let publisher = {
            let (hub, stored) = (hub.clone(), stored.clone());
            thread::spawn(move || {
                for (number, value) in [(1, "1"), (2, "2"), (3, "3")] {
                    stored.store(number, Ordering::SeqCst);
                    publish(&hub, "t", value);
                }
            })
        };
        let fetch = hub.begin_fetch(Instant::now());
        let body = stored.load(Ordering::SeqCst);
        let mut subscription = hub
            .subscribe(&[channel("t")], fetch.stamp(), Wants::Stream)
            .expect("the fetch pins the log");
        drop(fetch);
        publisher.join().expect("no panic");
        let rest: Vec<String> = (body + 1..=3).map(|n| n.to_string()).collect();
        // A message that the body contains already may come, too: replay is at least once without ids.
        let mut got = Vec::new();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Delivery::Message { message, .. }) = subscription.poll_next(&mut cx) {
            got.push(text(&message));
        }
        assert!(got.ends_with(&rest), "body {body}, then {got:?}");
    });
}

/// Whoever sees a message of an order, and asks again, finds its purge applied and arrives after it.
#[test]
fn model_nobody_sees_half_of_an_order() {
    check(|| {
        let hub = Hub::default();
        let target = Target::Key("k".into());
        let mut subscription = hub
            .subscribe(&[channel("t")], hub.stamp_at(Position::ZERO), Wants::Stream)
            .expect("no gap");
        let publisher = {
            let (hub, target) = (hub.clone(), target.clone());
            thread::spawn(move || {
                let mut order = Order::publish(channel("t"), Message::bytes("1"));
                order.purges.push(crate::order::Purge {
                    target,
                    mode: crate::order::PurgeMode::Hard,
                });
                hub.apply(order, Instant::now())
            })
        };
        block_on(read(&mut subscription, 1));
        let arrival = hub.now();
        let judged = hub.judge(Since {
            channels: &[channel("t")],
            ..Since::of_targets(hub.stamp_at(Position::ZERO), &[TargetKey::of(&target)], None)
        });
        assert_eq!(judged.standing, Standing::Dead);
        assert_eq!(
            (arrival, judged.last_mark, judged.last_message),
            (Position::new(1), arrival, arrival)
        );
        publisher.join().expect("no panic");
    });
}

/// A purge is seen by whoever asks after it, also where somebody else looks up the same object meanwhile and finds it
/// unmarked.
#[test]
fn model_what_was_found_unmarked_is_looked_up_again_after_a_purge() {
    check(|| {
        let hub = Hub::new(LogLimits::default());
        // The clock stands above the stamp: there is something to look up.
        publish(&hub, "t", "0");
        let target = crate::order::Target::Key("k".into());
        let key = [TargetKey::of(&target)];
        let seen = std::sync::Arc::new(Seen::default());
        let standing = move |hub: &Hub, seen: &Seen| {
            let since = Since::of_targets(hub.stamp_at(Position::ZERO), &key, Some(seen));
            hub.judge(since).standing
        };
        let other = {
            let (hub, seen) = (hub.clone(), seen.clone());
            thread::spawn(move || {
                for _ in 0..3 {
                    standing(&hub, &seen);
                }
            })
        };
        hub.apply(
            Order::purge(target, crate::order::PurgeMode::Hard),
            Instant::now(),
        );
        assert_eq!(standing(&hub, &seen), Standing::Dead);
        other.join().expect("no panic");
        publish(&hub, "t", "1");
        assert_eq!(standing(&hub, &seen), Standing::Dead);
    });
}

/// Purges, fills, validations and sweeps at the same time: whatever is stored afterwards knows exactly of every purge that
/// came after its fetch began, although all marks that could be were forgotten.
#[test]
fn model_a_sweep_forgets_nothing_that_something_stored_has_not_seen() {
    fn look(hub: &Hub, stamp: Stamp, seen: &Seen) -> Standing {
        let key = [TargetKey::of(&Target::Key("k".into()))];
        hub.judge(Since::of_targets(stamp, &key, Some(seen))).standing
    }
    check(|| {
        let hub = Hub::default();
        let store = Arc::new(Mutex::new(vec![(hub.stamp_at(Position::ZERO), Seen::default())]));
        let purger = {
            let hub = hub.clone();
            thread::spawn(move || {
                let purge = |key: &str| {
                    let order = Order::purge(Target::Key(key.into()), PurgeMode::Hard);
                    hub.apply(order, Instant::now())
                };
                purge("other");
                let at = purge("k");
                purge("other");
                at
            })
        };
        let filler = {
            let (hub, store) = (hub.clone(), store.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let fetch = hub.begin_fetch(Instant::now());
                    store.lock().push((fetch.stamp(), Seen::default()));
                }
            })
        };
        // A 304 that does not move the stamp.
        let validator = {
            let (hub, store) = (hub.clone(), store.clone());
            thread::spawn(move || {
                let (stamp, seen, _pin) = {
                    let store = store.lock();
                    let (stamp, seen) = &store[0];
                    let pin = hub.begin_fetch(Instant::now());
                    look(&hub, *stamp, seen);
                    (*stamp, seen.clone(), pin)
                };
                store.lock().push((stamp, seen));
            })
        };
        for _ in 0..2 {
            let upto = hub.begin_pass(usize::MAX);
            for n in 0.. {
                let store = store.lock();
                let Some((stamp, seen)) = store.get(n) else {
                    break;
                };
                look(&hub, *stamp, seen);
            }
            while hub.forget(upto, 1) {}
        }
        let purged = purger.join().expect("no panic");
        filler.join().expect("no panic");
        validator.join().expect("no panic");
        for (stamp, seen) in &*store.lock() {
            let due = match purged > stamp.at {
                true => Standing::Dead,
                false => Standing::Clean,
            };
            assert_eq!(
                look(&hub, *stamp, seen),
                due,
                "stamped {}, purged {purged}",
                stamp.at
            );
        }
    });
}

/// A channel that is dropped and made again does not claim that nothing was missed.
#[test]
fn model_an_idle_channel_is_dropped_and_made_again() {
    check(|| {
        let hub = Hub::new(LogLimits {
            entries: 1,
            ..LogLimits::default()
        });
        let limits_passed = Instant::now() + LogLimits::default().age * 2;
        publish(&hub, "t", "1");
        let forgetter = {
            let hub = hub.clone();
            // Everything is old by then: the channel loses its messages, and is dropped.
            thread::spawn(move || hub.apply(Order::publish(channel("u"), Message::bytes("x")), limits_passed))
        };
        let other = {
            let hub = hub.clone();
            thread::spawn(move || {
                drop(hub.subscribe(&[channel("t")], hub.stamp_at(Position::new(1)), Wants::Stream))
            })
        };
        match hub.subscribe(&[channel("t")], hub.stamp_at(Position::ZERO), Wants::Stream) {
            Ok(mut subscription) => assert_eq!(block_on(read(&mut subscription, 1)).len(), 1),
            Err(SubscribeError::Gap { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        forgetter.join().expect("no panic");
        other.join().expect("no panic");
        assert!(hub.last_message(&channel("t")) >= Position::new(1));
        assert!(matches!(
            hub.subscribe(&[channel("t")], hub.stamp_at(Position::ZERO), Wants::Stream),
            Err(SubscribeError::Gap { .. })
        ));
    });
}

/// A slow reader either gets everything or is told.
#[test]
fn model_a_cursor_that_falls_off_is_told() {
    check(|| {
        let hub = Hub::new(LogLimits {
            entries: 2,
            ..LogLimits::default()
        });
        let mut subscription = hub
            .subscribe(&[channel("t")], hub.stamp_at(Position::ZERO), Wants::Stream)
            .expect("no gap");
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || ["1", "2", "3", "4"].map(|value| publish(&hub, "t", value)))
        };
        let mut got: Vec<String> = Vec::new();
        while got.last().is_none_or(|last| last != "4") {
            got.extend(block_on(read(&mut subscription, 1)));
        }
        let (mut expected, mut excused) = (1, false);
        for item in got {
            match item.parse::<u32>() {
                Ok(n) => {
                    assert!(
                        n == expected || (excused && n > expected),
                        "{n} instead of {expected}"
                    );
                    (expected, excused) = (n + 1, false);
                }
                Err(_) => excused = true,
            }
        }
        publisher.join().expect("no panic");
    });
}

/// A subscription that goes away while others are woken harms nobody.
#[test]
fn model_dropped_while_waking() {
    check(|| {
        let hub = Hub::default();
        let subscribe = || {
            hub.subscribe(&[channel("t")], hub.stamp_at(Position::ZERO), Wants::Stream)
                .expect("no gap")
        };
        let (mut stays, mut goes) = (subscribe(), subscribe());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(goes.poll_next(&mut cx).is_pending());
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || publish(&hub, "t", "1"))
        };
        let dropper = thread::spawn(move || drop(goes));
        assert_eq!(block_on(read(&mut stays, 1)), ["1"]);
        publisher.join().expect("no panic");
        dropper.join().expect("no panic");
        assert_eq!(hub.stats().subscriptions, 1);
    });
}

/// A body that ends while it is read: every reader gets all of it, then its end.
#[test]
fn model_end_against_append() {
    for end in [End::Complete, End::Failed("broken".into())] {
        check(move || {
            let log = Arc::new(Log::new());
            let writer = {
                let (log, end) = (log.clone(), end.clone());
                thread::spawn(move || {
                    for n in 1..=2 {
                        log.append(n);
                        log.wake();
                    }
                    log.end(end);
                })
            };
            let mut cursor = log.read().expect("nothing is gone");
            let mut got = Vec::new();
            let last = loop {
                match block_on(std::future::poll_fn(|cx| cursor.poll_next(cx))) {
                    Next::Entry(n) => got.push(n),
                    Next::End(end) => break end,
                    Next::Lagged => panic!("nothing is forgotten"),
                }
            };
            assert_eq!((got, last), (vec![1, 2], end.clone()));
            writer.join().expect("no panic");
        });
    }
}

/// A window forgets what everybody has had, and never what somebody has not.
#[test]
fn model_a_window_follows_its_slowest_reader() {
    check(|| {
        let log = Arc::new(Log::new());
        let cursors = [log.read().expect("new"), log.read().expect("new")];
        assert!(log.set_window());
        let writer = {
            let log = log.clone();
            thread::spawn(move || {
                for n in 1..=4 {
                    block_on(std::future::poll_fn(|cx| log.poll_room(1, cx)));
                    log.append(n);
                    log.wake();
                }
                log.end(End::Complete);
            })
        };
        let readers: Vec<_> = cursors
            .into_iter()
            .map(|mut cursor| {
                thread::spawn(move || {
                    let mut got = Vec::new();
                    while let Next::Entry(n) = block_on(std::future::poll_fn(|cx| cursor.poll_next(cx))) {
                        got.push(n);
                    }
                    got
                })
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.join().expect("no panic"), [1, 2, 3, 4]);
        }
        writer.join().expect("no panic");
    });
}

/// Who waits until nobody reads is woken, whichever reader is the last to go.
#[test]
fn model_the_last_reader_wakes_who_waits_for_it() {
    check(|| {
        let log = Arc::new(Log::<u8>::new());
        let readers: Vec<_> = (0..2)
            .map(|_| log.read().expect("new"))
            .map(|cursor| thread::spawn(move || drop(cursor)))
            .collect();
        block_on(std::future::poll_fn(|cx| log.poll_deserted(cx)));
        assert!(!log.is_read());
        for reader in readers {
            reader.join().expect("no panic");
        }
    });
}

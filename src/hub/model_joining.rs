//! Interleavings of holds whose channels change while they live.

use shuttle::future::block_on;
use shuttle::thread;
use tokio::time::Instant;

use super::model::{channel, check, publish, read};
use super::*;

/// A hold that joins a channel at any moment, with the stamp of a fetch, misses nothing on it that the fetch's answer does not
/// contain; nor does it miss, or get twice, what comes on the channel that it had.
#[test]
fn model_c6_no_message_falls_between_a_fetch_and_a_join() {
    check(|| {
        let hub = Hub::default();
        let stored = Arc::new(AtomicU64::new(0));
        let publisher = {
            let (hub, stored) = (hub.clone(), stored.clone());
            thread::spawn(move || {
                for (number, old, new) in [(1, "a1", "b1"), (2, "a2", "b2")] {
                    publish(&hub, "a", old);
                    stored.store(number, Ordering::SeqCst);
                    publish(&hub, "b", new);
                }
            })
        };
        let mut subscription = hub
            .subscribe(&[channel("a")], hub.stamp_at(Position::ZERO), Wants::Stream)
            .expect("no gap");
        let fetch = hub.begin_fetch(Instant::now());
        let body = stored.load(Ordering::SeqCst);
        let joined = subscription.join(&channel("b"), fetch.stamp());
        assert!(joined.is_complete, "the fetch pins the log");
        drop(fetch);
        let news = 2 - body as usize;
        let mut got = Vec::new();
        // What the answer contains may come, too.
        let is_all =
            |got: &[String]| got.iter().any(|text| text == "a2") && got.iter().any(|text| text == "b2");
        if news > 0 {
            while !is_all(&got) {
                got.extend(block_on(read(&mut subscription, 1)));
            }
        } else {
            while !got.iter().any(|text: &String| text == "a2") {
                got.extend(block_on(read(&mut subscription, 1)));
            }
        }
        publisher.join().expect("no panic");
        let of = |name: &str| {
            got.iter()
                .filter(|text| text.starts_with(name))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(of("a"), ["a1", "a2"], "{got:?}");
        let rest = ["b1", "b2"].map(String::from);
        assert!(of("b").ends_with(&rest[body as usize..]), "{body}, then {got:?}");
    });
}

/// Channels come and go while they are published to: each hold's other ones go on, and nothing is left of any.
#[test]
fn model_a_hold_leaves_while_others_are_woken() {
    check(|| {
        let hub = Hub::default();
        let subscribe = || {
            hub.subscribe(
                &[channel("a"), channel("b")],
                hub.stamp_at(Position::ZERO),
                Wants::Stream,
            )
            .expect("no gap")
        };
        let leaver = {
            let mut subscription = subscribe();
            thread::spawn(move || {
                assert_eq!(subscription.leave(&channel("b")), Some(1));
                let got = block_on(read(&mut subscription, 1));
                assert_eq!(got, ["1"]);
            })
        };
        let stayer = {
            let mut subscription = subscribe();
            thread::spawn(move || assert_eq!(block_on(read(&mut subscription, 2)), ["0", "1"]))
        };
        publish(&hub, "b", "0");
        publish(&hub, "a", "1");
        leaver.join().expect("no panic");
        stayer.join().expect("no panic");
        assert_eq!(hub.stats().subscriptions, 0);
    });
}

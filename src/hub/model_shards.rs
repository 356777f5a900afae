//! Interleavings of what is in shards: pins, channels and their rows of readers, with several at each.

use std::sync::Arc as StdArc;

use shuttle::future::block_on;
use shuttle::thread;
use tokio::time::Instant;

use super::model::{channel, check, read};
use super::*;
use crate::message::Message;
use crate::order::Publication;

fn submit(hub: &Hub, items: &[(&str, &str)]) -> Position {
    let item = |(name, text): &(&str, &str)| Publication {
        channel: channel(name),
        message: StdArc::new(Message::bytes(text.to_string())),
        latest: false,
        comes_back: false,
    };
    hub.apply(items.iter().map(item).collect(), Instant::now())
}

/// A pin keeps the log, whichever shard it is in, while a channel remembers one message only.
#[test]
fn model_a_pin_of_any_shard_keeps_the_log() {
    check(|| {
        let hub = Hub::new(LogLimits {
            entries: 1,
            ..LogLimits::default()
        });
        let fetches: Vec<_> = (0..3)
            .map(|_| {
                let hub = hub.clone();
                thread::spawn(move || {
                    let fetch = hub.begin_fetch(Instant::now());
                    let from = fetch.stamp().at.get();
                    let held = hub.subscribe(&[channel("t")], fetch.stamp(), Wants::Stream);
                    let mut held = held.unwrap_or_else(|error| panic!("from {from}: {error}"));
                    let rest = block_on(read(&mut held, (4 - from) as usize));
                    drop(fetch);
                    let due: Vec<_> = (from + 1..=4).map(|n| n.to_string()).collect();
                    assert!(rest == due, "from {from}: {rest:?}");
                })
            })
            .collect();
        for text in ["1", "2", "3", "4"] {
            submit(&hub, &[("t", text)]);
        }
        for fetch in fetches {
            fetch.join().expect("no panic");
        }
    });
}

/// Several publishers, on channels that all readers have: everybody gets each order whole, once, in the same order.
#[test]
fn model_readers_of_two_channels_get_orders_of_several_publishers_in_one_order() {
    check(|| {
        let hub = Hub::default();
        let subscribe = || {
            let channels = [channel("a"), channel("b")];
            let stamp = hub.stamp_at(Position::ZERO);
            hub.subscribe(&channels, stamp, Wants::Stream).expect("no gap")
        };
        let mut goes = subscribe();
        let readers: Vec<_> = (0..2)
            .map(|_| subscribe())
            .map(|mut held| thread::spawn(move || block_on(read(&mut held, 9))))
            .collect();
        let leaves = thread::spawn(move || {
            block_on(read(&mut goes, 1));
        });
        let other = {
            let hub = hub.clone();
            thread::spawn(move || {
                submit(&hub, &[("b", "x1"), ("a", "x2"), ("b", "x3")]);
            })
        };
        submit(&hub, &[("a", "y1"), ("b", "y2"), ("a", "y3")]);
        submit(&hub, &[("a", "z1"), ("a", "z2"), ("b", "z3")]);
        other.join().expect("no panic");
        leaves.join().expect("no panic");
        let got: Vec<_> = readers
            .into_iter()
            .map(|reader| reader.join().expect("no panic"))
            .collect();
        assert_eq!(got[0], got[1]);
        for order in got[0].chunks(3) {
            let of = &order[0][..1];
            let due: Vec<_> = (1..4).map(|n| format!("{of}{n}")).collect();
            assert_eq!(order, due, "{got:?}");
        }
        assert_eq!(hub.stats().subscriptions, 0);
    });
}

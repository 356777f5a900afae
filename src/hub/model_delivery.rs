//! Interleavings of delivery: states that replace each other while they are read, and orders on several channels.

use std::sync::Arc as StdArc;

use shuttle::future::block_on;
use shuttle::thread;
use tokio::time::Instant;

use super::model::{channel, check, read};
use super::*;
use crate::message::Message;
use crate::order::Publication;

fn publication(name: &str, text: &'static str, latest: bool) -> Publication {
    Publication {
        channel: channel(name),
        message: StdArc::new(Message::bytes(text)),
        latest,
        comes_back: false,
    }
}

fn submit(hub: &Hub, publications: Vec<Publication>) {
    let order = Order {
        publications,
        ..Order::default()
    };
    hub.apply(order, Instant::now());
}

/// A reader of states sees some of them, in order, and always the last one; what stands between them it sees, too.
#[test]
fn model_the_last_state_is_read_by_everybody() {
    check(|| {
        let hub = Hub::default();
        let subscribe = || {
            hub.subscribe(&[channel("t")], hub.stamp_at(Position::ZERO), Wants::Stream)
                .expect("no gap")
        };
        let readers = [subscribe(), subscribe()].map(|mut subscription| {
            thread::spawn(move || {
                let mut got = Vec::new();
                while got.last().is_none_or(|last| last != "4") {
                    got.extend(block_on(read(&mut subscription, 1)));
                }
                got
            })
        });
        for (text, latest) in [("1", true), ("2", true), ("a", false), ("3", true), ("4", true)] {
            submit(&hub, vec![publication("t", text, latest)]);
        }
        for reader in readers {
            let got = reader.join().expect("no panic");
            let all = ["1", "2", "a", "3", "4"];
            assert!(got.is_sorted_by_key(|text| all.iter().position(|other| other == text)));
            assert!(
                got.windows(2).any(|pair| pair == ["2", "a"]) && got.last().is_some_and(|last| last == "4"),
                "{got:?}"
            );
        }
    });
}

/// A hold of two channels reads what one order writes on them in the order of writing, whenever it looks.
#[test]
fn model_items_of_one_order_come_as_they_were_written() {
    check(|| {
        let hub = Hub::default();
        let mut subscription = hub
            .subscribe(
                &[channel("a"), channel("b")],
                hub.stamp_at(Position::ZERO),
                Wants::Stream,
            )
            .expect("no gap");
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || {
                for texts in [["1", "2", "3"], ["4", "5", "6"]] {
                    let names = ["a", "b", "a"].into_iter();
                    let items = names
                        .zip(texts)
                        .map(|(name, text)| publication(name, text, false));
                    submit(&hub, items.collect());
                }
            })
        };
        assert_eq!(
            block_on(read(&mut subscription, 6)),
            ["1", "2", "3", "4", "5", "6"]
        );
        publisher.join().expect("no panic");
    });
}

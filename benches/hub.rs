//! What a publish takes, in process and without sockets, against subscribers, channels and what has become too old:
//! `cargo bench --bench hub`.
//!
//! `returns` is the time until the publisher goes on, as a task of a runtime that the subscribers' tasks share; `last` until
//! the last of them has the message. Of several publishes the median and the longest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gripstack::hub::{LogLimits, Wants};
use gripstack::{Channel, Edge, Message};
use tokio::runtime::Runtime;
use tokio::time::Instant;

const TIMES: usize = 21;

fn channel(name: &str) -> Channel {
    Channel::new(name).expect("valid")
}

async fn publish(edge: &Edge, name: &str) -> Duration {
    let (channel, message) = (channel(name), Message::bytes(vec![b'x'; 200]));
    let start = Instant::now();
    edge.publish(channel, message).await.expect("accepted");
    start.elapsed()
}

fn say(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!(
        "{what:<44} median {:>11.1?} longest {:>11.1?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

/// Subscribers of one channel, and who have not had the last message.
fn gather(edge: &Edge, size: usize) -> (Arc<AtomicUsize>, Vec<tokio::task::JoinHandle<()>>) {
    let left = Arc::new(AtomicUsize::new(0));
    let reader = |_| {
        let hub = edge.hub();
        let stamp = hub.stamp_at(hub.now());
        let subscribed = hub.subscribe(&[channel("crowd")], stamp, Wants::Stream);
        let mut subscription = subscribed.expect("nothing is forgotten");
        let left = left.clone();
        tokio::spawn(async move {
            loop {
                subscription.next().await;
                left.fetch_sub(1, Ordering::AcqRel);
            }
        })
    };
    let readers = (0..size).map(reader).collect();
    (left, readers)
}

async fn crowd(size: usize) {
    let edge = Edge::new();
    let (left, readers) = gather(&edge, size);
    let (mut returns, mut last, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        left.store(size, Ordering::Release);
        let start = Instant::now();
        returns.push(publish(&edge, "crowd").await);
        while left.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
            elsewhere.push(publish(&edge, "elsewhere").await);
        }
        last.push(start.elapsed());
    }
    say(&format!("{size} subscribers: returns"), returns);
    say(&format!("{size} subscribers: last"), last);
    say(&format!("{size} subscribers: elsewhere, meanwhile"), elsewhere);
    for reader in &readers[1..] {
        reader.abort();
    }
    while edge.hub().stats().subscriptions > 1 {
        tokio::task::yield_now().await;
    }
    let mut after = Vec::new();
    for _ in 0..TIMES {
        after.push(publish(&edge, "crowd").await);
        tokio::task::yield_now().await;
    }
    say(&format!("1 subscriber after {size}: returns"), after);
}

async fn channels(count: usize) {
    let edge = Edge::builder()
        .log_limits(LogLimits::new().age(Duration::from_secs(2)).total_bytes(1 << 30))
        .build();
    let mut times = Vec::new();
    for n in 0..count {
        times.push(publish(&edge, &format!("channel-{n}")).await);
    }
    say(&format!("{count} channels: each"), times);
    let start = Instant::now();
    edge.hub().stats();
    say(&format!("{count} channels: figures"), vec![start.elapsed()]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        times.push(publish(&edge, "channel").await);
    }
    say(&format!("{count} channels: too old"), times);
}

fn main() {
    let runtime = Runtime::new().expect("nothing is in its way");
    let run = |scene| runtime.block_on(scene);
    for size in [1, 10_000, 100_000, 500_000] {
        // A task, as a handler of a server is.
        run(runtime.spawn(crowd(size))).expect("no panic");
    }
    for count in [300_000, 1_000_000] {
        run(runtime.spawn(channels(count))).expect("no panic");
    }
}

//! The promise, from outside: clients that connect at random moments while a value changes, over real sockets.
//!
//! Nobody misses the final value, nobody misses a value after its first, nothing stale stays behind. 2,000
//! connects, and 1,000 to each of three more worlds: variants of one URL, a Varnish below, a channel where only the
//! last message matters. With `GRIPSTACK_FULL=1` 20,000 to each. `GRIPSTACK_SEED` repeats a run's random choices.
#![cfg(all(
    feature = "serve",
    feature = "origin",
    feature = "hold",
    feature = "cache",
    feature = "publish",
    feature = "purge"
))]

mod client;
mod varnish;
mod world;

use std::time::Duration;

use client::{Read, Seen, plain, stream};
use world::{Announce, LANGUAGES, Random, Setup, Shape, World};

/// Values that change while clients of one round connect.
const CHANGES: u64 = 8;
const CLIENTS: usize = 125;
/// Rounds of one edge: what is published in them stays in the log.
const ROUNDS: usize = 20;

/// What clients of a run saw.
#[derive(Debug, Default)]
struct Counts {
    streams: usize,
    values: usize,
    plain: usize,
    marked: usize,
}

enum Client {
    Stream(Seen),
    Plain(Read),
}

async fn run(setup: Setup) {
    if setup.shape == Shape::Varnish && !varnish::is_there().await {
        return;
    }
    let full = std::env::var("GRIPSTACK_FULL").is_ok_and(|full| full == "1");
    let rounds = match setup.shape {
        _ if !full => 2,
        Shape::Plain => ROUNDS,
        _ => 2 * ROUNDS,
    };
    let seed = Random::seed();
    println!("{setup:?}: {} connects, GRIPSTACK_SEED={seed}", rounds * CLIENTS);
    let mut random = Random(seed);
    let mut counts = Counts::default();
    let mut left = rounds;
    while left > 0 {
        let now = left.min(ROUNDS);
        let world = World::start(setup, random.next()).await;
        for _ in 0..now {
            round(&world, setup, &mut random, &mut counts).await;
        }
        world.stop().await;
        left -= now;
    }
    println!("{setup:?}: {counts:?}, none missed, none stale unmarked");
    assert_eq!(counts.streams + counts.plain, rounds * CLIENTS);
    let may_mark = setup.shape == Shape::Varnish;
    assert!(may_mark || counts.marked == 0, "{setup:?}: {counts:?}");
}

async fn round(world: &World, setup: Setup, random: &mut Random, counts: &mut Counts) {
    let topics = setup.shape.topics();
    let before: Vec<_> = (0..topics).map(|topic| world.value(topic)).collect();
    let last = |topic: usize| before[topic] + CHANGES / topics as u64;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let wait = Duration::from_millis(random.below(320));
            let topic = n % topics;
            let (edge, acked, plainly) = (world.edge, world.acked(topic), random.below(4) == 0);
            let plainly = plainly && setup.binds_plain_readers();
            let (language, last) = (LANGUAGES[topic], last(topic));
            let client = tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                if plainly {
                    plain(edge, language, &acked).await.map(Client::Plain)
                } else {
                    stream(edge, language, last, &acked).await.map(Client::Stream)
                }
            });
            (topic, client)
        })
        .collect();
    for n in 0..CHANGES as usize {
        tokio::time::sleep(Duration::from_millis(20 + random.below(20))).await;
        world.change(n % topics).await;
    }
    world.settled();
    for (topic, client) in clients {
        let client = client
            .await
            .expect("no panic")
            .unwrap_or_else(|wrong| panic!("{setup:?}: {wrong}"));
        match client {
            Client::Stream(seen) => {
                check(&seen, last(topic), setup);
                counts.streams += 1;
                counts.values += seen.values.len();
            }
            Client::Plain(read) => {
                counts.plain += 1;
                counts.marked += usize::from(read.is_marked);
            }
        }
    }
    for topic in (0..topics).filter(|_| setup.binds_plain_readers()) {
        let read = plain(world.edge, LANGUAGES[topic], &world.acked(topic))
            .await
            .expect("nothing stale stays");
        assert!(
            read.value == last(topic) || read.is_marked,
            "{setup:?}: the stored answer is stale: {}, {} is the last",
            read.value,
            last(topic)
        );
    }
}

/// All values from the first to the last, or of those that replace one another the last; with ids each once and in
/// order.
fn check(seen: &Seen, last: u64, setup: Setup) {
    let first = seen.values[0];
    if setup.shape == Shape::Latest {
        let pushed = &seen.values[1..];
        assert!(pushed.is_sorted(), "{setup:?}: not in order: {seen:?}");
        assert_eq!(seen.values.last(), Some(&last), "{setup:?}");
        return;
    }
    for value in first..=last {
        assert!(
            seen.values.contains(&value),
            "{setup:?}: {value} of {first}..={last} is missing in {seen:?}"
        );
    }
    if setup.ids {
        let once: Vec<u64> = (first..=last).collect();
        assert_eq!(seen.values, once, "{setup:?}: with ids each value comes once");
    }
}

macro_rules! runs {
    ($($name:ident: $cache:literal, $ids:literal, $announce:ident, $shape:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let announce = Announce::$announce;
            run(Setup { cache: $cache, ids: $ids, announce, shape: Shape::$shape }).await;
        }
    )*};
}

runs! {
    cached_one_order: true, false, Order, Plain;
    cached_one_order_with_ids: true, true, Order, Plain;
    cached_purge_then_publish: true, false, PurgeThenPublish, Plain;
    cached_purge_then_publish_with_ids: true, true, PurgeThenPublish, Plain;
    cached_publish_alone: true, false, Publish, Plain;
    cached_publish_alone_with_ids: true, true, Publish, Plain;
    uncached_publish_alone: false, false, Publish, Plain;
    uncached_publish_alone_with_ids: false, true, Publish, Plain;

    variants_one_order: true, false, Order, Variants;
    variants_publish_alone: true, false, Publish, Variants;
    variants_publish_alone_with_ids: true, true, Publish, Variants;
    variants_with_private_streams: true, false, Publish, PrivateStreams;

    varnish_one_order: true, false, Order, Varnish;
    varnish_purge_then_publish_with_ids: true, true, PurgeThenPublish, Varnish;
    varnish_publish_alone: true, false, Publish, Varnish;
    varnish_uncached_one_order: false, false, Order, Varnish;

    latest_one_order: true, false, Order, Latest;
    latest_purge_then_publish: true, false, PurgeThenPublish, Latest;
    latest_publish_alone: true, false, Publish, Latest;
    latest_publish_alone_with_ids: true, true, Publish, Latest;
}

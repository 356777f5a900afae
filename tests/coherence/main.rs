//! The promise, from outside: clients that connect at random moments while a value changes, over real sockets.
//!
//! Nobody misses the final value, nobody misses a value after its first, nothing stale stays behind. 2,000
//! connects; with `GRIPSTACK_FULL=1`, 20,000. `GRIPSTACK_SEED` repeats a run's random choices.
#![cfg(all(
    feature = "serve",
    feature = "origin",
    feature = "hold",
    feature = "cache",
    feature = "publish",
    feature = "purge"
))]

mod client;
mod world;

use std::time::Duration;

use client::{Seen, plain, stream};
use world::{Announce, Random, Setup, World};

/// Values that change while clients of one round connect.
const CHANGES: u64 = 8;
const CLIENTS: usize = 125;

async fn run(setup: Setup) {
    let full = std::env::var("GRIPSTACK_FULL").is_ok_and(|full| full == "1");
    let rounds = if full { 20 } else { 2 };
    let seed = Random::seed();
    println!("{setup:?}: {} connects, GRIPSTACK_SEED={seed}", rounds * CLIENTS);
    let mut random = Random(seed);
    let world = World::start(setup, random.next()).await;
    for round in 0..rounds {
        let last = world.value() + CHANGES;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let wait = Duration::from_millis(random.below(320));
                let (edge, acked, plainly) = (world.edge, world.acked(), random.below(4) == 0);
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    if plainly {
                        plain(edge, &acked).await.map(|_| None)
                    } else {
                        stream(edge, last, &acked).await.map(Some)
                    }
                })
            })
            .collect();
        for _ in 0..CHANGES {
            tokio::time::sleep(Duration::from_millis(20 + random.below(20))).await;
            world.change().await;
        }
        world.settled();
        for client in clients {
            let seen = client
                .await
                .expect("no panic")
                .unwrap_or_else(|wrong| panic!("{setup:?}, round {round}: {wrong}"));
            if let Some(seen) = seen {
                check(&seen, last, setup);
            }
        }
        let value = plain(world.edge, &world.acked())
            .await
            .expect("nothing stale stays");
        assert_eq!(
            value, last,
            "{setup:?}, round {round}: the stored answer is stale"
        );
    }
    world.stop().await;
}

/// All values from the first to the last; with ids each once and in order.
fn check(seen: &Seen, last: u64, setup: Setup) {
    let first = seen.values[0];
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
    ($($name:ident: $cache:literal, $ids:literal, $announce:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            run(Setup { cache: $cache, ids: $ids, announce: Announce::$announce }).await;
        }
    )*};
}

runs! {
    cached_one_order: true, false, Order;
    cached_one_order_with_ids: true, true, Order;
    cached_purge_then_publish: true, false, PurgeThenPublish;
    cached_purge_then_publish_with_ids: true, true, PurgeThenPublish;
    cached_publish_alone: true, false, Publish;
    cached_publish_alone_with_ids: true, true, Publish;
    uncached_publish_alone: false, false, Publish;
    uncached_publish_alone_with_ids: false, true, Publish;
}

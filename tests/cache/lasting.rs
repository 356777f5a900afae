//! Times as long as they can be, and times that end.

use std::time::Duration;

use gripstack::cache::{CacheConfig, PacedReads};
use tokio::time::Instant;

use crate::origin::{Refused, Reply, Step};
use crate::world::{World, done, get, head, ms, pass, post, secs, settle};

#[tokio::test(start_paused = true)]
async fn durations_may_be_as_long_as_they_can_be() {
    const MAX: Duration = Duration::MAX;
    type Set = fn(&mut CacheConfig);
    let sets: [(&str, Set); 6] = [
        ("interval", |config| config.interval = MAX),
        ("wait_timeout", |config| config.wait_timeout = MAX),
        ("flight_timeout", |config| config.flight_timeout = MAX),
        ("uncacheable_ttl", |config| config.uncacheable_ttl = MAX),
        ("outage", |config| config.outage = Some(MAX)),
        ("all", |config| {
            config.interval = MAX;
            config.wait_timeout = MAX;
            config.flight_timeout = MAX;
            config.uncacheable_ttl = MAX;
            config.outage = Some(MAX);
        }),
    ];
    for (name, set) in sets {
        for paced_reads in [PacedReads::Wait, PacedReads::Stale] {
            let mut config = CacheConfig::new().paced_reads(paced_reads);
            set(&mut config);
            let world = World::config(config, |call| {
                let reply = Reply::ok(call.n.to_string()).after(ms(5));
                match call.uri.path() {
                    "/held" => reply
                        .cc("max-age=60, stale-if-error=60, stale-while-revalidate=60")
                        .header("grip-hold", "response")
                        .header("grip-channel", "c"),
                    "/kept" => reply.cc("no-cache").header("etag", "\"1\""),
                    "/none" => reply.cc("no-store"),
                    "/down" if call.n > 1 && call.at.elapsed() < MAX => match call.is_conditional() {
                        true => Reply::fail(Refused("down")),
                        false => reply.cc("max-age=60").header("etag", "\"1\""),
                    },
                    _ => {
                        reply.cc("max-age=18446744073709551615, stale-while-revalidate=18446744073709551615")
                    }
                }
            });
            for path in ["/held", "/kept", "/none", "/down", "/else"] {
                for _ in 0..2 {
                    let mut clients = vec![
                        world.start(path).await,
                        world.start(path).await,
                        world.start(head(path)).await,
                        world.start(get(path).by_hold()).await,
                    ];
                    pass(secs(1)).await;
                    // A message, and its revalidation that may be held back for ever.
                    world.publish("c").await;
                    clients.push(world.start(path).await);
                    clients.push(world.start(get(path).by_hold()).await);
                    pass(secs(61)).await;
                    for client in clients {
                        client.abort();
                        match client.await {
                            Ok(got) => assert_eq!(got.status, 200, "{name} {path}"),
                            Err(error) => assert!(error.is_cancelled(), "{name} {path}: {error}"),
                        }
                    }
                    world.get(post(path)).await;
                }
            }
        }
    }
}

/// The origin hangs; what there is may be given for that.
#[tokio::test(start_paused = true)]
async fn the_first_who_waited_out_the_time_limit_frees_all() {
    for policy in ["max-age=60, stale-if-error=600", "max-age=60"] {
        for paced in [0, 3, 7, 12] {
            let world = World::new(move |call| match call.n {
                1 => Reply::ok("1").cc(policy),
                _ => Reply::hang(),
            });
            world.get("/a").await;
            pass(secs(61)).await;
            let start = Instant::now();
            let mut clients = Vec::new();
            for _ in 0..10 {
                clients.push(world.start("/a").await);
            }
            if paced > 0 {
                pass(secs(paced)).await;
            }
            for _ in 0..10 {
                clients.push(world.start("/a").await);
            }
            let late = world.start(head("/a")).await;
            clients.push(late);
            for client in clients {
                let got = done(client).await;
                assert_eq!(got.status, 200, "{policy} {paced}");
                assert!(got.cache_status().contains("detail="), "{}", got.cache_status());
                assert!(
                    start.elapsed() <= ms(15_010),
                    "{policy} {paced}: {:?}",
                    start.elapsed()
                );
            }
            // And later ones for a while.
            let at = Instant::now();
            assert_eq!(world.get("/a").await.body, "1");
            assert!(at.elapsed() <= ms(10), "{policy} {paced}: {:?}", at.elapsed());
            assert!(
                world.origin.count() <= 5,
                "{policy}: {} requests",
                world.origin.count()
            );
            pass(secs(30)).await;
            world.is_idle();
        }
    }
}

/// It has no body, whatever it says of one (RFC 9110 8.6, 15.3.5).
#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_has_no_length_of_one() {
    for (policy, kept) in [("max-age=60", true), ("no-store", false)] {
        for by_hold in [false, true] {
            let world = World::new(move |_| {
                Reply::stream([] as [Step; 0])
                    .code(204)
                    .cc(policy)
                    .header("content-length", "5")
            });
            for n in 1..4 {
                let ask = if by_hold { get("/a").by_hold() } else { get("/a") };
                let got = world.get(ask).await;
                assert_eq!(
                    (got.status.as_u16(), got.body.as_str(), got.broken),
                    (204, "", false)
                );
                assert_eq!(got.field("content-length"), "", "{policy} {n}");
                let status = got.cache_status();
                assert_eq!(
                    status.contains("; stored") && !status.contains("stored=?0"),
                    kept && n == 1,
                    "{status}"
                );
                settle().await;
                assert_eq!(world.origin.count(), if kept { 1 } else { n });
            }
            world.is_idle();
        }
    }
}

//! Clients of one application, against a naive model of what each must see: streams and long polls, with and without
//! ids, on several channels, over a cache or a foreign one, with logs that overflow, messages that are lost or come out of
//! order, and an origin that is down at times.
//!
//! The application stores a change before it publishes it, and its bodies say what it has stored. 200 worlds; with
//! `GRIPSTACK_FULL=1` 10,000. `GRIPSTACK_SEED` tells the story of one of them.
#![cfg(all(feature = "hold", feature = "cache", feature = "testing"))]

mod app;
mod clients;
#[path = "../hold_support/mod.rs"]
mod hold_support;
mod world;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gripstack::hub::LogLimits;
use gripstack::message::PushedResponse;
use gripstack::testing::Call;
use gripstack::{Edge, Message, Order, Publication};
use http::Method;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use hold_support::*;

use clients::*;
use hold_support::seeds::*;
use world::*;

fn run(seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let world = Arc::new(World::new(seed));
        let origin = Origin::new({
            let world = world.clone();
            move |_, call| world.clone().answer(call)
        });
        let service = match world.kind.below {
            Below::Cache => origin.cached(&world.edge),
            _ => origin.held(world.edge.hold_layer()),
        };
        let has: Vec<_> = (0..2).map(|_| Arc::new(Mutex::new([0, 0]))).collect();
        let mut clients = tokio::task::JoinSet::new();
        clients.spawn(watch(world.clone()));
        for (n, has) in has.iter().enumerate() {
            clients.spawn(streamer(world.clone(), service.clone(), format!("stream{n}")));
            if world.kind.ids {
                let name = format!("ids{n}");
                clients.spawn(poll_by_ids(world.clone(), service.clone(), name, has.clone()));
            }
        }
        clients.spawn(poll_alone(
            world.clone(),
            service.clone(),
            "get".into(),
            Method::GET,
        ));
        clients.spawn(poll_alone(
            world.clone(),
            service.clone(),
            "post".into(),
            Method::POST,
        ));
        let comers = {
            let (world, service) = (world.clone(), service.clone());
            async move {
                for n in 0..6 {
                    sleep(Duration::from_millis(world.roll(4_000))).await;
                    tokio::spawn(streamer(world.clone(), service.clone(), format!("later{n}")));
                }
            }
        };
        clients.spawn(comers);
        let app = tokio::spawn(world.clone().app());
        app.await.expect("no panic");
        sleep(Duration::from_secs(300)).await;
        let all = world.stored(Instant::now());
        for (n, has) in has.iter().enumerate() {
            let is_lost = |c: usize, n: usize| world.change(c, n).lost;
            let lacks = |c: usize| (has.lock()[c] + 1..=all[c]).any(|n| !is_lost(c, n));
            if world.kind.ids && (lacks(0) || lacks(1)) {
                world.wrong(format!("ids{n} has {:?} of {all:?}", *has.lock()));
            }
        }
        let story = world.story.lock();
        let clients = [
            "stream0", "stream1", "later0", "later1", "later2", "later3", "later4", "later5",
        ];
        for client in clients {
            let mut has = [0, 0];
            for line in story.iter() {
                let Some(got) = line.split(&format!("] {client} ")).nth(1) else {
                    continue;
                };
                let got = got.trim_end_matches(" marked");
                match item(got) {
                    Some((c, n)) => has[c] = n,
                    None => has = numbers(got),
                }
            }
            for c in [0, 1] {
                let lasts = world.changes[c].lock();
                let last = lasts
                    .iter()
                    .rposition(|change| !change.lost && change.stream)
                    .map_or(0, |n| n + 1);
                if has[c] < last {
                    world
                        .wrong
                        .lock()
                        .push(format!("{client} stays on {has:?}, of {}{last}", CHANNELS[c]));
                }
            }
        }
        let wrong = world.wrong.lock();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "seed {seed} {:?}\n{}\n{}",
                world.kind,
                story.join("\n"),
                wrong.join("\n")
            )),
        }
    })
}

#[test]
fn d2_m2_each_client_sees_what_it_must() {
    worlds(200, 10_000, run);
}

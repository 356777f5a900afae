//! Clients of one application that does whatever it may, in random order: values change and are published, or purged, or
//! posted; the origin is slow, fails, hangs, breaks off, confirms strongly or weakly; streams, long polls with and without
//! conditions, and plain readers of the same URL are checked against what was announced before they asked.
//!
//! 30 worlds; with `GRIPSTACK_FULL=1` 1,000. `GRIPSTACK_SEED` tells the story of one of them.
#![cfg(all(feature = "hold", feature = "cache", feature = "testing"))]

mod app;
mod clients;
#[path = "../hold_support/mod.rs"]
mod hold_support;
mod world;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gripstack::cache::{CacheConfig, PacedReads};
use gripstack::error::BoxError;
use gripstack::hub::LogLimits;
use gripstack::message::{PushedResponse, StreamForm};
use gripstack::testing::Call;
use gripstack::{Edge, EdgeBody, Message, Order, Publication, PurgeMode, Target};
use http::{Method, Request, Response};
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
        let service = origin.cached(&world.edge);
        let mut clients = tokio::task::JoinSet::new();
        for n in 0..3 {
            let (name, conditional) = (format!("poll{n}"), n > 0);
            clients.spawn(poller(world.clone(), service.clone(), name, conditional));
            clients.spawn(reader(world.clone(), service.clone(), format!("read{n}")));
            clients.spawn(streamer(world.clone(), service.clone(), format!("stream{n}")));
        }
        let app = tokio::spawn(world.clone().app(service.clone()));
        app.await.map_err(|error| format!("seed {seed}: {error}"))?;
        clients.abort_all();
        while let Some(done) = clients.join_next().await {
            if let Err(error) = done
                && error.is_panic()
            {
                world.wrong(format!("panic {error}"));
            }
        }
        let state = world.state.lock();
        match state.wrong.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "seed {seed} {:?}\n{}\nseed {seed} {}",
                world.kind,
                state.story.join("\n"),
                state.wrong.join("\n")
            )),
        }
    })
}

#[test]
fn c5_m1_m3_whoever_asks_gets_what_was_announced() {
    worlds(30, 1_000, run);
}

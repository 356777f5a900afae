//! Stored objects: what a hit costs by size, what it costs to store one and to have it, and a cold one that many ask
//! for at once.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Figures, Scene, micros, settle};
use crate::Fallible;
use crate::child::Helper;
use crate::client::Client;
use crate::figures::{
    COLD_ASKED, COLD_WAIT, FILL, FILL_CPU, Figure, HIT_1M, HIT_1M_CPU, HIT_10K, HIT_10K_CPU, HIT_100,
    HIT_100_CPU, OBJECT_MEMORY, ZIPF, ZIPF_CPU,
};
use crate::peers::Kind;
use crate::usage::{self, Cpu};

/// Connections that ask at one time.
const CONNECTIONS: usize = 32;
const CROWD: usize = 1000;

/// Sizes of objects, and the figures of each.
const SIZES: [(u64, &Figure, &Figure); 3] = [
    (100, &HIT_100, &HIT_100_CPU),
    (10_000, &HIT_10K, &HIT_10K_CPU),
    (1_000_000, &HIT_1M, &HIT_1M_CPU),
];

pub fn run(scene: &Scene<'_>) -> Fallible<Figures> {
    let mut figures = Figures::new();
    for (size, rate, cpu) in SIZES {
        let path = format!("/object/{size}/0");
        // The first ones bring up what there is once, and store the object.
        let load = Load::new(scene, CONNECTIONS, format!("same:{path}"));
        load.bytes(size).seconds(0.3).run()?;
        let done = load.bytes(size).run()?;
        expect(scene, done.asked, 0, "stored objects")?;
        figures.push((rate, done.rate()));
        figures.push((cpu, done.cpu()));
    }
    if !scene.peer.is_cache {
        return Ok(figures);
    }
    many(scene, &mut figures)?;
    cold(scene, &mut figures)?;
    Ok(figures)
}

/// Many objects: stored, and hit.
fn many(scene: &Scene<'_>, figures: &mut Figures) -> Fallible<()> {
    let objects = scene.sizes.objects;
    let pids = scene.peer.server.pids()?;
    settle();
    let memory = usage::memory(&pids)?;
    let done = Load::new(scene, CONNECTIONS, format!("each:{objects}:/object/1000/{{}}"))
        .bytes(1000)
        .run()?;
    expect(scene, done.asked, objects, "objects that were new")?;
    settle();
    let grown = usage::memory(&pids)? as f64 - memory as f64;
    figures.push((&FILL, done.rate()));
    figures.push((&FILL_CPU, done.cpu()));
    if scene.kind != Kind::Nginx {
        figures.push((&OBJECT_MEMORY, grown / objects as f64));
    }

    let done = Load::new(scene, CONNECTIONS, format!("zipf:{objects}:/object/1000/{{}}"))
        .bytes(1000)
        .run()?;
    expect(scene, done.asked, 0, "objects that were all stored")?;
    figures.push((&ZIPF, done.rate()));
    figures.push((&ZIPF_CPU, done.cpu()));
    Ok(())
}

/// Many ask at once for what nobody asked for before.
fn cold(scene: &Scene<'_>, figures: &mut Figures) -> Fallible<()> {
    let done = Load::new(scene, CROWD, "once:/slow/500/0".to_owned()).run()?;
    if done.requests != CROWD as u64 {
        return Err(format!("{} of {CROWD} were answered", done.requests).into());
    }
    figures.push((&COLD_WAIT, done.worst as f64 / 1e3));
    figures.push((&COLD_ASKED, done.asked as f64));
    Ok(())
}

/// How often the origin has to have been asked.
fn expect(scene: &Scene<'_>, asked: u64, expected: u64, what: &str) -> Fallible<()> {
    if scene.peer.is_cache && asked != expected {
        return Err(format!("the origin was asked {asked} times for {what}, not {expected} times").into());
    }
    Ok(())
}

/// A load of requests on the server.
#[derive(Clone)]
struct Load<'a> {
    scene: &'a Scene<'a>,
    connections: usize,
    plan: String,
    bytes: Option<u64>,
    seconds: f64,
}

struct Done {
    requests: u64,
    nanos: u64,
    /// The longest wait, in microseconds.
    worst: u64,
    used: Duration,
    /// Requests that came to the origin.
    asked: u64,
}

// === impl Load ===

impl<'a> Load<'a> {
    fn new(scene: &'a Scene<'a>, connections: usize, plan: String) -> Self {
        Self {
            scene,
            connections,
            plan,
            bytes: None,
            seconds: scene.sizes.flat_seconds,
        }
    }

    /// The length that each answer must have.
    fn bytes(&self, bytes: u64) -> Self {
        Self {
            bytes: Some(bytes),
            ..self.clone()
        }
    }

    fn seconds(&self, seconds: f64) -> Self {
        Self {
            seconds,
            ..self.clone()
        }
    }

    fn run(&self) -> Fallible<Done> {
        let mut args = vec![
            format!("--connect={}", self.scene.peer.addr),
            format!("--connections={}", self.connections),
            format!("--plan={}", self.plan),
            format!("--seconds={}", self.seconds),
        ];
        args.extend(self.bytes.map(|bytes| format!("--bytes={bytes}")));
        let mut load = Helper::start("request", args)?;
        load.wait("ready", Duration::from_secs(20))?;
        let pids = self.scene.peer.server.pids()?;
        let (asked, cpu) = (count(self.scene.origin)?, Cpu::of(&pids)?);
        load.tell("go")?;
        let numbers = load.wait("done", Duration::from_secs_f64(self.seconds + 60.0))?;
        let used = Cpu::of(&pids)?.since(&cpu);
        let [requests, nanos, _, _, worst] = numbers[..] else {
            return Err("`done` without its numbers".into());
        };
        Ok(Done {
            requests,
            nanos,
            worst,
            used,
            asked: count(self.scene.origin)? - asked,
        })
    }
}

fn count(origin: SocketAddr) -> Fallible<u64> {
    Ok(Client::connect(origin)?.get("/count")?.parse()?)
}

// === impl Done ===

impl Done {
    /// Requests in a second.
    fn rate(&self) -> f64 {
        self.requests as f64 / (self.nanos as f64 / 1e9)
    }

    /// Microseconds of the server's for each.
    fn cpu(&self) -> f64 {
        micros(self.used) / self.requests as f64
    }
}

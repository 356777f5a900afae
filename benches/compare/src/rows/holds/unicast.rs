//! Messages to many channels, each of which has one subscriber.

use std::time::Duration;

use super::crowd::Crowd;
use super::{Figures, Scene, micros, settle};
use crate::Fallible;
use crate::child::Helper;
use crate::figures::{UNICAST, UNICAST_CPU};
use crate::load::now;
use crate::usage::Cpu;

/// Connections that publish at one time.
const PUBLISHERS: usize = 16;

/// How many messages arrived.
pub fn run(scene: &Scene<'_>, figures: &mut Figures) -> Fallible<u64> {
    let (addr, form) = scene.peer.publish.ok_or("this peer cannot publish")?;
    let mut crowd = Crowd::gather(scene, "/hold/u{}", scene.sizes.channels)?;
    settle();
    let plan = format!("publish:{}:{}", form.word(), scene.sizes.channels);
    let args = [
        ("--connect", addr.to_string()),
        ("--connections", PUBLISHERS.to_string()),
        ("--plan", plan),
        ("--seconds", scene.sizes.flat_seconds.to_string()),
    ];
    let mut load = Helper::start(
        "request",
        args.into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value]),
    )?;
    load.wait("ready", Duration::from_secs(10))?;

    let pids = scene.peer.server.pids()?;
    let cpu = Cpu::of(&pids)?;
    let begun = now();
    load.tell("go")?;
    let done = load.wait("done", Duration::from_secs_f64(scene.sizes.flat_seconds + 20.0))?;
    let count = done.first().copied().ok_or("`done` without its numbers")?;
    let ended = crowd.total(count)?;
    let used = Cpu::of(&pids)?.since(&cpu);
    figures.push((&UNICAST, count as f64 / ((ended - begun) as f64 / 1e9)));
    figures.push((&UNICAST_CPU, micros(used) / count as f64));
    crowd.end()?;
    Ok(count)
}

//! Held connections: what one costs to have and to make, what a message to all of them costs, and one to each.

mod broadcast;
mod crowd;
mod unicast;

use super::{Figures, Scene, micros, settle};
use crate::Fallible;
use crate::client::Client;
use crate::figures::{CONNECT_CPU, HOLD_MEMORY, REPEATED};
use crate::usage::{self, Cpu};

pub use self::crowd::Crowd;

pub fn run(scene: &Scene<'_>) -> Fallible<Figures> {
    let mut figures = Figures::new();
    let peer = scene.peer;
    let holds = scene.holds;
    // The first ones bring up what there is once: threads, pages, the cached answer.
    drop(Crowd::gather(scene, "/hold/all", 50)?);
    settle();

    let pids = peer.server.pids()?;
    let mut origin = Client::connect(scene.origin)?;
    let asked = origin.get("/count")?;
    let (cpu, memory) = (Cpu::of(&pids)?, usage::memory(&pids)?);
    let mut crowd = Crowd::gather(scene, "/hold/all", holds)?;
    let connects = Cpu::of(&pids)?.since(&cpu);
    settle();
    let grown = usage::memory(&pids)? as f64 - memory as f64;
    if peer.is_cache && origin.get("/count")? != asked {
        return Err("the origin was asked for holds that were to be cached".into());
    }
    figures.push((&HOLD_MEMORY, grown / holds as f64));
    figures.push((&CONNECT_CPU, micros(connects) / holds as f64));

    figures.push((&REPEATED, crowd.repeated() as f64));

    let mut delivered = broadcast::run(scene, &mut crowd, &mut figures)?;
    crowd.end()?;
    if scene.wire.certificate.is_none() {
        settle();
        delivered += unicast::run(scene, &mut figures)?;
    }
    agree(scene, delivered)?;
    Ok(figures)
}

/// What subscribers counted has to be what the server says, where it says it.
fn agree(scene: &Scene<'_>, delivered: u64) -> Fallible<()> {
    let Some(metrics) = scene.peer.metrics else {
        return Ok(());
    };
    let text = Client::connect(metrics)?.get("/metrics")?;
    let said = text.lines().find_map(|line| {
        line.strip_prefix("gripstack_deliveries_total ")?
            .parse::<u64>()
            .ok()
    });
    if said != Some(delivered) {
        return Err(format!("{delivered} messages arrived, and the server counts {said:?}").into());
    }
    Ok(())
}

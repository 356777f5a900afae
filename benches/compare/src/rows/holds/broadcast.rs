//! Messages to all: first at a pace, then as fast as they arrive.

use std::thread;
use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::{Figures, Scene, micros};
use crate::Fallible;
use crate::client::Client;
use crate::figures::{DELIVERY_CPU, FLAT_OUT, LAST_P50, LAST_P99};
use crate::load::now;
use crate::publish::Form;
use crate::stats::percentile;
use crate::usage::Cpu;

const PACE: Duration = Duration::from_millis(100);
/// Messages that may be under way before the last subscriber has the first of them.
const WINDOW: u32 = 256;

/// How many messages arrived.
pub fn run(scene: &Scene<'_>, crowd: &mut Crowd, figures: &mut Figures) -> Fallible<u64> {
    let (addr, form) = scene.peer.publish.ok_or("this peer cannot publish")?;
    let mut publisher = Publisher {
        client: Client::connect(addr)?,
        form,
        number: 0,
    };
    paced(scene, crowd, &mut publisher, figures)?;
    flat_out(scene, crowd, &mut publisher, figures)?;
    Ok(u64::from(publisher.number) * crowd.count() as u64)
}

struct Publisher {
    client: Client,
    form: Form,
    /// Of the last message.
    number: u32,
}

fn paced(
    scene: &Scene<'_>,
    crowd: &mut Crowd,
    publisher: &mut Publisher,
    figures: &mut Figures,
) -> Fallible<()> {
    let pids = scene.peer.server.pids()?;
    let cpu = Cpu::of(&pids)?;
    let begun = Instant::now();
    let mut published = Vec::new();
    for turn in 0..scene.sizes.paced_seconds * 10 {
        thread::sleep((begun + PACE * turn).saturating_duration_since(Instant::now()));
        published.push(now());
        publisher.publish()?;
    }
    let mut times = Vec::new();
    for (at, number) in published.iter().zip(1..) {
        times.push(crowd.all_have(number)?.saturating_sub(*at));
    }
    let used = Cpu::of(&pids)?.since(&cpu);
    times.sort_unstable();
    let millis = |part| percentile(&times, part).map_or(0.0, |nanos| nanos as f64 / 1e6);
    if millis(0.5) > PACE.as_secs_f64() * 1e3 {
        eprintln!("  the machine does not keep the pace: messages overlap, and CPU per delivery says little");
    }
    figures.push((&DELIVERY_CPU, micros(used) / (times.len() * crowd.count()) as f64));
    figures.push((&LAST_P50, millis(0.5)));
    figures.push((&LAST_P99, millis(0.99)));
    Ok(())
}

fn flat_out(
    scene: &Scene<'_>,
    crowd: &mut Crowd,
    publisher: &mut Publisher,
    figures: &mut Figures,
) -> Fallible<()> {
    let before = publisher.number;
    let begun = now();
    let until = Instant::now() + Duration::from_secs_f64(scene.sizes.flat_seconds);
    while Instant::now() < until {
        publisher.publish()?;
        crowd.all_have(publisher.number.saturating_sub(WINDOW))?;
    }
    let ended = crowd.all_have(publisher.number)?;
    let deliveries = u64::from(publisher.number - before) * crowd.count() as u64;
    figures.push((&FLAT_OUT, deliveries as f64 / ((ended - begun) as f64 / 1e9)));
    Ok(())
}

// === impl Publisher ===

impl Publisher {
    fn publish(&mut self) -> Fallible<()> {
        self.number += 1;
        self.client.ask(&self.form.request("all", self.number))?;
        Ok(())
    }
}

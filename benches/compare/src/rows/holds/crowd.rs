//! Subscribers in processes of their own, as many as their open files ask for.

use std::time::Duration;

use super::Scene;
use crate::Fallible;
use crate::child::Helper;

/// Subscribers of one process. It has 20,000 open files at most.
const OF_ONE: usize = 15_000;
/// How long anything may take that a load waits for.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Crowd {
    loads: Vec<Load>,
    count: usize,
    repeated: u64,
}

struct Load {
    helper: Helper,
    /// The last message that all of it have.
    all: u32,
    /// When they had it.
    at: u64,
}

impl Crowd {
    /// Comes back when all are held.
    pub fn gather(scene: &Scene<'_>, path: &str, count: usize) -> Fallible<Self> {
        let rate = scene.sizes.rate.min(scene.peer.most_connects);
        let mut loads = Vec::new();
        let (mut left, mut repeated) = (count, 0);
        while left > 0 {
            let part = left.min(OF_ONE);
            left -= part;
            let mut args = vec![
                format!("--connect={}", scene.peer.addr),
                format!("--path={path}"),
                format!("--count={part}"),
                format!("--rate={rate}"),
                format!("--streams={}", scene.wire.streams),
            ];
            args.extend(
                scene
                    .wire
                    .certificate
                    .map(|tls| format!("--certificate={}", tls.chain.display())),
            );
            let helper = Helper::start("subscribe", args)?;
            let opening = Duration::from_secs_f64(part as f64 / rate);
            let open = helper.wait("open", PATIENCE + 4 * opening)?;
            repeated += open.last().copied().unwrap_or(0);
            loads.push(Load {
                helper,
                all: 0,
                at: 0,
            });
        }
        Ok(Self {
            loads,
            count,
            repeated,
        })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Connects that failed, and were made again.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Ends it, and looks whether anything went wrong that nobody waited for.
    pub fn end(self) -> Fallible<()> {
        self.loads.iter().try_for_each(|load| load.helper.blameless())
    }

    /// Waits until all have this message; the time when the last of them had it.
    pub fn all_have(&mut self, number: u32) -> Fallible<u64> {
        let mut last = 0;
        for load in &mut self.loads {
            while load.all < number {
                let [all, at] = load.helper.wait("all", PATIENCE)?[..] else {
                    return Err("`all` without its numbers".into());
                };
                load.all = all as u32;
                load.at = at;
            }
            last = last.max(load.at);
        }
        Ok(last)
    }

    /// Waits until so many messages have arrived in all, of a crowd in one process; the time of that.
    pub fn total(&mut self, count: u64) -> Fallible<u64> {
        let [load] = &mut self.loads[..] else {
            return Err("a total is counted in one process only".into());
        };
        load.helper.tell(&format!("await {count}"))?;
        let reached = load.helper.wait("reached", PATIENCE)?;
        reached
            .last()
            .copied()
            .ok_or_else(|| "`reached` without a time".into())
    }
}

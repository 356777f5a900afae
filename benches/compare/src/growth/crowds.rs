//! Subscribers on sockets: the server as it is released, its clients in processes of their own.

use std::path::Path;

use super::{Curve, measure, sizes};
use crate::Fallible;
use crate::client::Client;
use crate::rows::{Crowd, Scene, Sizes, Wire, micros, with_peer};
use crate::usage::Cpu;

/// Deliveries that a figure is of, at least, and messages.
const DELIVERIES: usize = 50_000;
const MESSAGES: usize = 20;
/// One subscriber would take all day.
const MOST_MESSAGES: usize = 2_000;

pub fn curves(most: usize, rounds: usize, out: &Path) -> Fallible<Vec<Curve>> {
    let publish = measure("a publish, until all have it", &sizes(most), rounds, |size| {
        publish_to(size, out)
    })?;
    let each = Curve {
        name: "of that, for each subscriber",
        points: publish
            .points
            .iter()
            .map(|&(size, cost)| (size, cost / size as f64))
            .collect(),
    };
    Ok(vec![publish, each])
}

/// CPU of the server for a publish, one after the other.
fn publish_to(subscribers: usize, out: &Path) -> Fallible<f64> {
    let sizes = Sizes::full();
    with_peer(crate::peers::Kind::Edge, None, out, |peer, origin| {
        let scene = Scene {
            kind: crate::peers::Kind::Edge,
            peer,
            origin,
            sizes: &sizes,
            holds: subscribers,
            wire: Wire {
                certificate: None,
                streams: 0,
            },
        };
        let mut crowd = Crowd::gather(&scene, "/hold/all", subscribers)?;
        let (addr, form) = peer.publish.ok_or("the edge can be published to")?;
        let mut client = Client::connect(addr)?;
        let messages = (DELIVERIES / subscribers).clamp(MESSAGES, MOST_MESSAGES);
        let mut number = 0;
        let mut publish = |messages: usize| -> Fallible<()> {
            for _ in 0..messages {
                number += 1;
                client.ask(&form.request("all", number))?;
                crowd.all_have(number)?;
            }
            Ok(())
        };
        publish(MESSAGES)?;
        let pids = peer.server.pids()?;
        let cpu = Cpu::of(&pids)?;
        publish(messages)?;
        let used = Cpu::of(&pids)?.since(&cpu);
        crowd.end()?;
        Ok(micros(used) / messages as f64)
    })
}

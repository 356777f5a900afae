//! Random publishers whose calls arrive in the order in which they were made, some of them twice, and whose ids come back: a counter that begins
//! again at 1, values with ids of their own. Each log has each once, in that order (D1).

use std::collections::HashMap;
use std::time::Duration;

use gripstack::hub::{Delivery, LogLimits, Wants};
use gripstack::{Edge, Order, Position, Publication};

use crate::alone::channel;
use crate::hold_support::seeds::{Dice, worlds};
use crate::hold_support::with_ids;

#[derive(Clone, Debug)]
struct Said {
    id: String,
    prev_id: String,
    text: String,
    at: tokio::time::Instant,
}

async fn run(seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed << 20);
    let entries = if dice.one_in(2) { 1_000 } else { 60 };
    let edge = Edge::builder()
        .log_limits(LogLimits::new().entries(entries))
        .build();
    let mut log = edge
        .hub()
        .subscribe(
            &[channel("t")],
            edge.hub().stamp_at(Position::ZERO),
            Wants::Stream,
        )
        .expect("no gap");
    let counts = dice.one_in(2);
    let linked = !dice.one_in(4);
    let retries = dice.roll(3);
    let (mut last, mut said, mut got, mut story) = (
        String::new(),
        Vec::<Said>::new(),
        Vec::<String>::new(),
        Vec::new(),
    );
    let mut waits = Vec::new();
    let mut n = 0u32;
    let mut latest_of: HashMap<String, usize> = HashMap::new();
    let mut texts = Vec::new();
    for step in 0..10 + dice.roll(40) {
        let batch = 1 + dice.roll(3) as usize;
        let mut order = Order::default();
        for _ in 0..batch {
            let id = if counts {
                if n > 0 && dice.one_in(15) {
                    n = 0;
                    last = String::new();
                    story.push("restart".to_owned());
                }
                n += 1;
                n.to_string()
            } else {
                loop {
                    let id = ["a", "b", "c", "d"][dice.roll(4) as usize].to_owned();
                    if id != last {
                        break id;
                    }
                }
            };
            let prev_id = if linked { last.clone() } else { String::new() };
            let one = Said {
                text: format!("{step}-{}-{id} ", said.len()),
                id: id.clone(),
                prev_id,
                at: tokio::time::Instant::now(),
            };
            last = id.clone();
            latest_of.insert(id, said.len());
            order.publications.push(publication(&one));
            texts.push(one.text.clone());
            said.push(one);
        }
        story.push(format!(
            "{:?}",
            &said[said.len() - batch..]
                .iter()
                .map(|s| format!("{}({})", s.id, s.prev_id))
                .collect::<Vec<_>>()
        ));
        waits.push(
            edge.accept(order)
                .await
                .map_err(|e| format!("seed {seed}: {e}; {}", story.join(", ")))?,
        );
        if retries > 0 && dice.one_in(4) {
            // One of the last few, that is the last with its id, and does not follow the last one.
            let back = dice.roll(8).min(said.len() as u64 - 1) as usize;
            let place = said.len() - 1 - back;
            let one = said[place].clone();
            let is_soon = one.at.elapsed() < Duration::from_secs(30);
            if is_soon && latest_of[&one.id] == place && one.prev_id != last {
                story.push(format!("again {}({})", one.id, one.prev_id));
                let mut order = Order::default();
                order.publications.push(publication(&one));
                waits.push(
                    edge.accept(order)
                        .await
                        .map_err(|e| format!("seed {seed}: {e}; {}", story.join(", ")))?,
                );
            }
        }
        let pause = [0, 0, 10, 1_000, 4_000, 70_000, 1_200_000][dice.roll(7) as usize];
        let pause = if retries == 2 { pause.min(4_000) } else { pause };
        story.push(format!("{pause} ms"));
        tokio::time::sleep(Duration::from_millis(pause)).await;
        while let std::task::Poll::Ready(next) = crate::alone::once(log.next()) {
            let Delivery::Message { message, .. } = next else {
                return Err("lagged".into());
            };
            let Some(gripstack::message::StreamForm::Send(bytes)) = &message.stream else {
                panic!()
            };
            got.push(String::from_utf8_lossy(bytes).into_owned());
        }
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    while let std::task::Poll::Ready(Delivery::Message { message, .. }) = crate::alone::once(log.next()) {
        let Some(gripstack::message::StreamForm::Send(bytes)) = &message.stream else {
            panic!()
        };
        got.push(String::from_utf8_lossy(bytes).into_owned());
    }
    for waits in waits {
        match crate::alone::once(waits.all()) {
            std::task::Poll::Ready(at) => drop(at.map_err(|e| e.to_string())?),
            std::task::Poll::Pending => return Err(format!("seed {seed}: not answered")),
        }
    }
    if got != texts {
        let first = got
            .iter()
            .zip(&texts)
            .position(|(got, said)| got != said)
            .unwrap_or(got.len().min(texts.len()));
        return Err(format!(
            "seed {seed} (counts {counts}, linked {linked}, entries {entries}): at {first}: got {:?}, said {:?}; {}",
            &got[first..got.len().min(first + 4)],
            &texts[first..texts.len().min(first + 4)],
            story.join(", ")
        ));
    }
    Ok(())
}

fn publication(one: &Said) -> Publication {
    Publication::new(channel("t"), with_ids(&one.text, &one.id, &one.prev_id))
}

#[test]
fn d1_what_comes_in_order_is_there_once_in_order_though_ids_come_back() {
    worlds(500, 20_000, |seed| crate::hold_support::seeds::paused(run(seed)));
}

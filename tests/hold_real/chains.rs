//! Chains `n(n-1)` of two processes with one counter: calls that overtake each other and are made again, by and by; orders of
//! several messages; closes.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use gripstack::{Order, Publication};
use http::Method;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tower::ServiceExt;

use crate::hold_support::seeds::*;
use crate::hold_support::*;
use crate::story::{Link, Story, name};

/// Of one channel: how many there are in all, and the number that the counter has.
#[derive(Clone, Copy, Default)]
struct Last {
    all: usize,
    number: usize,
}

struct World {
    story: Story,
    lasts: Mutex<Vec<Last>>,
    cached: bool,
    batches: bool,
    retries: u64,
    gaps: u64,
    delay: u64,
    closes: bool,
    both_forms: bool,
    /// Nothing is published any more.
    done: Mutex<bool>,
}

impl Deref for World {
    type Target = Story;

    fn deref(&self) -> &Story {
        &self.story
    }
}

async fn answer(world: Arc<World>) -> Reply {
    world.pause(400).await;
    let lasts = world.lasts.lock().clone();
    let each = |make: &dyn Fn((usize, &Last)) -> String, by: &str| {
        lasts.iter().enumerate().map(make).collect::<Vec<_>>().join(by)
    };
    let body = each(&|(c, last)| format!("B{c}={}", last.all), " ");
    let named = each(&|(c, last)| format!("{}; prev-id={}", name(c), last.number), ", ");
    world.tell(format!("origin {body} {named}"));
    world.pause(400).await;
    let control = if world.cached { "max-age=600" } else { "no-store" };
    Ok(reply(
        200,
        &[
            ("grip-hold", "stream"),
            ("grip-channel", &named),
            ("cache-control", control),
        ],
        format!("{body}\n"),
    ))
}

fn next(world: &World, c: usize) -> Publication {
    let last = {
        let mut lasts = world.lasts.lock();
        lasts[c].all += 1;
        lasts[c].number += 1;
        lasts[c]
    };
    let n = last.number;
    let prev_id = (n - 1).to_string();
    let mut message = with_ids(&format!("M{c}={}\n", last.all), &n.to_string(), &prev_id);
    if world.both_forms {
        message.response = answer_form(last.all);
    }
    world.tell(format!("store {c}:{} as {n}({prev_id})", last.all));
    Publication::new(channel(&name(c)), message)
}

fn answer_form(all: usize) -> Option<gripstack::message::ResponseForm> {
    crate::hold_support::answer(200, &[], &all.to_string()).response
}

async fn publisher(world: Arc<World>) {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..world.roll(10) + 2 {
        let gaps = [30, 300, 1_500, 7_000, 12_000, 70_000, 1_000_000];
        let gap = gaps[world.roll(world.gaps) as usize];
        world.pause(gap).await;
        let mut publications = Vec::new();
        let count = if world.batches { 1 + world.roll(3) } else { 1 };
        for _ in 0..count {
            let c = world.roll(world.channels() as u64) as usize;
            publications.push(next(&world, c));
        }
        if world.closes && world.roll(6) == 0 {
            let c = world.roll(world.channels() as u64) as usize;
            publications.push(Publication::new(channel(&name(c)), close()));
        }
        let call = {
            let world = world.clone();
            async move {
                world.pause(world.delay).await;
                let tries = match world.retries {
                    0 => 1,
                    _ => 1 + world.roll(3),
                };
                for t in 0..tries {
                    let ids: Vec<_> = publications
                        .iter()
                        .map(|item| (item.channel.as_str().to_owned(), item.message.id.clone()))
                        .collect();
                    world.tell(format!("publish {ids:?} try {t}"));
                    let order: Order = publications.iter().cloned().collect();
                    let submit = world.edge.submit(order);
                    let patience = if t + 1 < tries { world.roll(400) } else { 60_000 };
                    match tokio::time::timeout(Duration::from_millis(patience), submit).await {
                        Ok(done) => {
                            world.tell(format!("accepted {ids:?} {:?}", done.map(|at| at.get()).ok()));
                        }
                        Err(_) => world.tell(format!("given up {ids:?}")),
                    }
                    // What closes is said again as well.
                    if t + 1 < tries {
                        world.pause(world.retries).await;
                    }
                }
            }
        };
        calls.spawn(call);
    }
    while calls.join_next().await.is_some() {}
}

async fn client(world: Arc<World>, service: gripstack::hold::GripHold<Inner>, name: String) {
    world.pause(40_000).await;
    loop {
        let asked: std::pin::Pin<Box<dyn Future<Output = Reply> + Send>> = Box::pin(
            service
                .clone()
                .oneshot(request(Method::GET, "/", &[("host", "h")])),
        );
        let mut body = asked.await.expect("answers").into_body();
        let mut named: Vec<usize> = Vec::new();
        let mut seen: Vec<Vec<usize>> = vec![Vec::new(); world.channels()];
        let lasts = world.roll(3) != 0;
        let short = Duration::from_millis(world.roll(9_000));
        let until = async {
            tokio::time::sleep(short).await;
            while lasts && !*world.done.lock() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            if lasts {
                tokio::time::sleep(Duration::from_secs(40)).await;
            }
        };
        let read = async {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().expect("data");
                for word in std::str::from_utf8(&data).expect("text").split_whitespace() {
                    world.tell(format!("{name} {word}"));
                    let (c, n) = word[1..].split_once('=').expect("a pair");
                    let (c, n): (usize, usize) = (c.parse().expect("n"), n.parse().expect("n"));
                    if word.starts_with('B') {
                        named.push(n);
                    } else {
                        seen[c].push(n);
                    }
                }
                if world.roll(5) == 0 {
                    world.pause(2_000).await;
                }
            }
        };
        // It may be ended by an age; then it comes back.
        let whole = tokio::select! {
            () = read => false,
            () = until => lasts,
        };
        if named.is_empty() {
            continue;
        }
        let lasts = world.lasts.lock().clone();
        for c in 0..world.channels() {
            let (b, got, all) = (named[c], &seen[c], lasts[c].all);
            let told = format!("{name} on {c}: body {b} got {got:?} of {all}");
            if !got.is_sorted_by(|a, b| a < b) {
                world.wrong(format!("{told}: order, or twice"));
            }
            if got.iter().any(|n| *n <= b) {
                world.wrong(format!("{told}: what its body has"));
            }
            let want: Vec<_> = (b + 1..=all).collect();
            // Nothing in between is left out either.
            if whole && *got != want {
                world.wrong(format!("{told}: wants {want:?}"));
            } else if !want.starts_with(got) {
                world.wrong(format!("{told}: leaves out"));
            }
        }
        if whole {
            return;
        }
        world.pause(500).await;
    }
}

fn run(seed: u64) -> Result<(), String> {
    paused(async {
        let mut dice = Dice::new(seed);
        let channels = 1 + dice.roll(3) as usize;
        let fresh = dice.one_in(2);
        let retries = [0, 300, 2_000, 30_000, 100_000][dice.roll(5) as usize];
        let begun = if fresh { 0 } else { dice.roll(3) as usize };
        let world = Arc::new(World {
            lasts: Mutex::new(vec![
                Last {
                    all: begun,
                    number: begun
                };
                channels
            ]),
            cached: dice.one_in(2),
            batches: dice.one_in(3),
            retries,
            gaps: 3 + dice.roll(5),
            delay: [1, 900, 2_500][dice.roll(3) as usize],
            closes: dice.one_in(5) && retries == 0,
            both_forms: dice.one_in(4),
            done: Mutex::default(),
            story: Story::new(Link::Chain, vec![0; channels], dice),
        });
        let origin = Origin::new({
            let world = world.clone();
            move |_, _| answer(world.clone())
        });
        let layer = world.edge.hold_layer().max_age(Duration::from_secs(100_000));
        let service = match world.cached {
            true => origin.cached(&world.edge),
            false => origin.held(layer),
        };
        if !fresh {
            for c in 0..channels {
                let publication = next(&world, c);
                world
                    .edge
                    .submit([publication].into_iter().collect())
                    .await
                    .expect("accepted");
            }
        }
        let mut all = tokio::task::JoinSet::new();
        all.spawn({
            let world = world.clone();
            async move {
                let mut processes = tokio::task::JoinSet::new();
                for _ in 0..2 {
                    processes.spawn(publisher(world.clone()));
                }
                while let Some(done) = processes.join_next().await {
                    done.expect("no panic");
                }
                *world.done.lock() = true;
            }
        });
        for n in 0..6 {
            all.spawn(client(world.clone(), service.clone(), format!("client{n}")));
        }
        while let Some(done) = all.join_next().await {
            done.expect("no panic");
        }
        let World {
            cached,
            batches,
            retries,
            delay,
            closes,
            both_forms,
            gaps,
            ..
        } = &*world;
        let what = format!(
            "cached {cached} batches {batches} retries {retries} delay {delay} closes {closes} both {both_forms} gaps {gaps} fresh {fresh}"
        );
        world.end(seed, &what)
    })
}

#[test]
fn d2_chains_reach_who_is_held_each_message_once_and_in_order() {
    worlds(300, 10_000, run);
}

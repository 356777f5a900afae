//! What the clients of streams must get.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use gripstack::Publication;
use http::Method;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tower::ServiceExt;

use crate::hold_support::seeds::*;
use crate::hold_support::*;
use crate::story::{Link, Story, name, named};

struct World {
    story: Story,
    cached: bool,
    /// Messages without ids on the same channels.
    side: bool,
    /// Stored, and never published.
    loses: bool,
    retries: bool,
    latest: bool,
    /// Nothing was published before.
    fresh: bool,
    lost: Mutex<Vec<(usize, usize)>>,
}

impl Deref for World {
    type Target = Story;

    fn deref(&self) -> &Story {
        &self.story
    }
}

async fn answer(world: Arc<World>) -> Reply {
    world.pause(700).await;
    let stored = world.stored.lock().clone();
    let body: Vec<_> = stored
        .iter()
        .enumerate()
        .map(|(c, n)| format!("B{c}={n}"))
        .collect();
    world.tell(format!("origin {stored:?}"));
    world.pause(700).await;
    let control = if world.cached { "max-age=600" } else { "no-store" };
    Ok(reply(
        200,
        &[
            ("grip-hold", "stream"),
            ("grip-channel", &named(&stored, world.link)),
            ("cache-control", control),
        ],
        format!("{}\n", body.join(" ")),
    ))
}

async fn publisher(world: Arc<World>, process: usize) {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..world.roll(14) + 3 {
        let gap = [30, 300, 1_500, 7_000][world.roll(4) as usize];
        world.pause(gap).await;
        let c = world.roll(world.channels() as u64) as usize;
        if world.side && world.roll(4) == 0 {
            publish_on(&world.edge, &name(c), bytes("-\n")).await;
            continue;
        }
        let n = {
            let mut stored = world.stored.lock();
            stored[c] += 1;
            stored[c]
        };
        world.tell(format!("store {c}:{n} by {process}"));
        if world.loses && world.roll(6) == 0 {
            world.lost.lock().push((c, n));
            continue;
        }
        let text = format!("M{c}={n}\n");
        let message = match world.link {
            Link::Chain => with_ids(&text, &n.to_string(), &(n - 1).to_string()),
            Link::Ids => with_ids(&text, &n.to_string(), ""),
            Link::None => bytes(&text),
        };
        let mut publication = Publication::new(channel(&name(c)), message);
        if world.latest {
            publication = publication.latest();
        }
        let call = {
            let world = world.clone();
            async move {
                // Of two that are lost nothing says what comes between them.
                if world.link == Link::Chain && !world.loses {
                    world.pause(900).await;
                }
                let tries = if world.retries && world.link != Link::None {
                    1 + world.roll(3)
                } else {
                    1
                };
                for t in 0..tries {
                    world.tell(format!("publish {c}:{n} try {t}"));
                    let submit = world.edge.submit([publication.clone()].into_iter().collect());
                    // Its caller may not wait for it.
                    let patience = if t + 1 < tries { world.roll(400) } else { 60_000 };
                    match tokio::time::timeout(Duration::from_millis(patience), submit).await {
                        Ok(done) => {
                            world.tell(format!("accepted {c}:{n} {:?}", done.map(|at| at.get()).ok()))
                        }
                        Err(_) => world.tell(format!("given up {c}:{n}")),
                    }
                    if t + 1 < tries {
                        world.pause(2_000).await;
                    }
                }
            }
        };
        if world.link == Link::Chain {
            calls.spawn(call);
        } else {
            call.await;
        }
    }
    while calls.join_next().await.is_some() {}
}

async fn client(world: Arc<World>, service: gripstack::hold::GripHold<Inner>, name: String) {
    world.pause(20_000).await;
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
        let until = Duration::from_millis(if lasts { 10_000_000 } else { world.roll(9_000) });
        let read = async {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().expect("data");
                for word in std::str::from_utf8(&data).expect("text").split_whitespace() {
                    world.tell(format!("{name} {word}"));
                    if word == "-" {
                        continue;
                    }
                    let (c, n) = word[1..].split_once('=').expect("a pair");
                    let (c, n): (usize, usize) = (c.parse().expect("n"), n.parse().expect("n"));
                    if word.starts_with('B') {
                        named.push(n);
                    } else {
                        seen[c].push(n);
                    }
                }
                if world.roll(5) == 0 {
                    world.pause(3_000).await;
                }
            }
        };
        let whole = tokio::time::timeout(until, read).await.is_err() && lasts;
        if named.is_empty() {
            continue;
        }
        let stored = world.stored.lock().clone();
        let lost = world.lost.lock().clone();
        for c in 0..world.channels() {
            let (b, got) = (named[c], &seen[c]);
            let told = || {
                format!(
                    "{name} on {c}: body {b} got {got:?} of {}, lost {lost:?}",
                    stored[c]
                )
            };
            let news: Vec<_> = got.iter().copied().filter(|n| *n > b).collect();
            let old: Vec<_> = got.iter().copied().filter(|n| *n <= b).collect();
            if world.link != Link::None && !news.is_sorted_by(|a, b| a < b) {
                world.wrong(format!("{}: order, or twice", told()));
            }
            if world.link == Link::Chain && !world.loses && !world.latest && !old.is_empty() {
                world.wrong(format!("{}: what its body has", told()));
            }
            if !old.is_sorted_by(|a, b| a < b) || (!old.is_empty() && !got.starts_with(&old)) {
                world.wrong(format!("{}: old ones", told()));
            }
            if whole {
                let want: Vec<_> = (b + 1..=stored[c]).filter(|n| !lost.contains(&(c, *n))).collect();
                let complete = match world.latest {
                    true => news.last() == want.last(),
                    false => news == want,
                };
                if !complete {
                    world.wrong(format!("{}: wants {want:?}", told()));
                }
                // It ends on what is older only where what its body names was never sent.
                if news.is_empty()
                    && let Some(last) = old.last()
                    && *last != b
                    && !lost.contains(&(c, b))
                {
                    world.wrong(format!("{}: ends before its body", told()));
                }
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
        let link = Link::of(&mut dice);
        let channels = 1 + dice.roll(3) as usize;
        let loses = dice.one_in(4);
        let world = Arc::new(World {
            cached: dice.one_in(2),
            // What has no id makes a channel forget its last one, and what waits is overtaken.
            side: dice.one_in(3) && !(loses && link == Link::Chain),
            loses,
            retries: dice.one_in(2),
            latest: link != Link::Chain && dice.one_in(3),
            fresh: dice.one_in(3),
            lost: Mutex::default(),
            story: Story::new(link, vec![dice.roll(3) as usize; channels], dice),
        });
        let origin = Origin::new({
            let world = world.clone();
            move |_, _| answer(world.clone())
        });
        let service = match world.cached {
            true => origin.cached(&world.edge),
            false => origin.held(world.edge.hold_layer()),
        };
        if link == Link::Chain && !world.fresh {
            let stored = world.stored.lock().clone();
            for (c, n) in stored.into_iter().enumerate() {
                let message = with_ids(&format!("M{c}={n}\n"), &n.to_string(), "start");
                publish_on(&world.edge, &name(c), message).await;
            }
        }
        let mut all = tokio::task::JoinSet::new();
        for process in 0..if link == Link::Chain { 2 } else { 1 } {
            all.spawn(publisher(world.clone(), process));
        }
        for n in 0..6 {
            all.spawn(client(world.clone(), service.clone(), format!("client{n}")));
        }
        while let Some(done) = all.join_next().await {
            done.expect("no panic");
        }
        let World {
            cached,
            side,
            loses,
            retries,
            latest,
            fresh,
            ..
        } = &*world;
        let what = format!(
            "cached {cached} side {side} loses {loses} retries {retries} latest {latest} fresh {fresh}"
        );
        world.end(seed, &what)
    })
}

#[test]
fn d2_clients_of_real_publishers_get_each_message_once_and_in_order() {
    worlds(300, 20_000, run);
}

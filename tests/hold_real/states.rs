//! States whose ids are their hashes, by one process that says each until it is accepted; clients that come and go.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use gripstack::Publisher;
use gripstack::publish::{PublishConfig, Rule};
use http::Method;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::sleep;
use tower::ServiceExt;

use crate::hold_support::seeds::*;
use crate::hold_support::*;
use crate::story::{Link, Story};

struct World {
    story: Story,
    cached: bool,
    names: bool,
    paced: bool,
    chained: bool,
    retries: bool,
    publisher: Publisher,
    /// Each state that there was.
    truth: Mutex<Vec<u64>>,
}

impl Deref for World {
    type Target = Story;

    fn deref(&self) -> &Story {
        &self.story
    }
}

async fn origin(world: Arc<World>) -> Reply {
    world.pause(300).await;
    let (n, state) = {
        let truth = world.truth.lock();
        (truth.len() - 1, *truth.last().expect("one"))
    };
    world.tell(format!("origin {n}:{state}"));
    world.pause(300).await;
    let named = match world.names {
        true => format!("t; prev-id=s{state}"),
        false => "t".into(),
    };
    let control = if world.cached { "max-age=600" } else { "no-store" };
    Ok(reply(
        200,
        &[
            ("grip-hold", "stream"),
            ("grip-channel", &named),
            ("cache-control", control),
        ],
        format!("B{n}={state}\n"),
    ))
}

async fn publishes(world: Arc<World>, states: u64) {
    for _ in 0..world.roll(12) + 3 {
        let gap = [300, 1_500, 8_000, 100_000][world.roll(4) as usize];
        // What names no predecessor may be said again after a minute.
        let least = if world.chained { 50 } else { 61_000 };
        sleep(Duration::from_millis(least)).await;
        world.pause(gap).await;
        let (n, state, before) = {
            let mut truth = world.truth.lock();
            let before = *truth.last().expect("one");
            let state = (before + 1 + world.roll(states - 1)) % states;
            truth.push(state);
            (truth.len() - 1, state, before)
        };
        world.tell(format!("store {n}:{state}({before})"));
        let message = said(state, world.chained.then_some(before));
        let tries = if world.retries { 1 + world.roll(2) } else { 1 };
        for t in 0..tries {
            let patience = if t + 1 < tries { world.roll(30) } else { 60_000 };
            let publish = async {
                if world.paced {
                    let published = world.publisher.publish("t", message.clone());
                    let _ = published.await.expect("accepted");
                } else {
                    publish(&world.edge, message.clone()).await;
                }
            };
            let done = tokio::time::timeout(Duration::from_millis(patience), publish).await;
            world.tell(format!("published {n}:{state} {done:?}"));
        }
    }
}

fn said(state: u64, before: Option<u64>) -> gripstack::Message {
    let prev_id = before.map_or_else(String::new, |before| format!("s{before}"));
    with_ids(&format!("M={state}\n"), &format!("s{state}"), &prev_id)
}

async fn client(world: Arc<World>, service: gripstack::hold::GripHold<Inner>, name: String) {
    world.pause(60_000).await;
    loop {
        let asked: std::pin::Pin<Box<dyn Future<Output = Reply> + Send>> = Box::pin(
            service
                .clone()
                .oneshot(request(Method::GET, "/", &[("host", "h")])),
        );
        let mut body = asked.await.expect("answers").into_body();
        let mut begun = None;
        let mut got: Vec<u64> = Vec::new();
        let lasts = world.roll(3) != 0;
        let until = Duration::from_millis(if lasts { 10_000_000 } else { world.roll(60_000) });
        let read = async {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().expect("data");
                for word in std::str::from_utf8(&data).expect("text").split_whitespace() {
                    world.tell(format!("{name} {word}"));
                    let (head, state) = word.split_once('=').expect("a pair");
                    let state: u64 = state.parse().expect("n");
                    match head.strip_prefix('B') {
                        Some(n) => begun = Some((n.parse::<usize>().expect("n"), state)),
                        None => got.push(state),
                    }
                }
            }
        };
        let whole = tokio::time::timeout(until, read).await.is_err() && lasts;
        if whole {
            let truth = world.truth.lock().clone();
            let (n, state) = begun.expect("a body");
            let last = got.last().copied().unwrap_or(state);
            if last != *truth.last().expect("one") {
                world.wrong(format!(
                    "{name}: body {n}:{state} got {got:?} of {:?}",
                    &truth[n..]
                ));
            }
            // Each, in order.
            if !world.paced && world.chained && world.names && got != truth[n + 1..] {
                world.wrong(format!(
                    "{name}: body {n}:{state} got {got:?} not {:?}",
                    &truth[n..]
                ));
            }
            return;
        }
        world.pause(500).await;
    }
}

fn run(seed: u64) -> Result<(), String> {
    paused(async {
        let mut dice = Dice::new(seed);
        let states = 2 + dice.roll(3);
        let paced = dice.one_in(2);
        let chained = !dice.one_in(4);
        let (cached, names, fresh) = (dice.one_in(2), dice.one_in(2), dice.one_in(3));
        let retries = dice.one_in(3);
        let story = Story::new(Link::Chain, vec![0], dice);
        let world = Arc::new(World {
            cached,
            names,
            paced,
            chained,
            retries,
            publisher: story.edge.publisher(PublishConfig::new().rule(Rule::latest())),
            truth: Mutex::new(vec![0]),
            story,
        });
        let below = Origin::new({
            let world = world.clone();
            move |_, _| origin(world.clone())
        });
        let service = match cached {
            true => below.cached(&world.edge),
            false => below.held(world.edge.hold_layer()),
        };
        if !fresh {
            // The edge has what the first one follows.
            publish(&world.edge, said(0, None)).await;
            sleep(Duration::from_secs(61)).await;
        }
        let mut all = tokio::task::JoinSet::new();
        all.spawn(publishes(world.clone(), states));
        for n in 0..5 {
            all.spawn(client(world.clone(), service.clone(), format!("client{n}")));
        }
        while let Some(done) = all.join_next().await {
            done.expect("no panic");
        }
        let what = format!(
            "states {states} cached {cached} names {names} paced {paced} chained {chained} retries {retries} fresh {fresh}"
        );
        world.end(seed, &what)
    })
}

#[test]
fn d2_whoever_is_held_ends_on_the_last_state_although_its_id_was_there_before() {
    worlds(300, 5_000, run);
}

//! Long polls of real clients: each says what it has, in its URL or by `If-None-Match`, gets the next, and asks again.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gripstack::message::PushedResponse;
use gripstack::testing::Call;
use gripstack::{Order, Publication};
use http::Method;
use tokio::time::sleep;
use tower::ServiceExt;

use crate::hold_support::seeds::*;
use crate::hold_support::*;
use crate::story::{Link, Story, name, named};

/// How a client says what it has.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Says {
    /// In the URL.
    Url,
    /// By the condition of its request, and `Vary`.
    Tag,
    /// By the condition of its request alone: one stored answer for all.
    TagOfOne,
}

struct World {
    story: Story,
    says: Says,
    cached: bool,
    retries: bool,
    latest: bool,
    hints: bool,
    /// Both channels change in one order.
    both: bool,
}

impl Deref for World {
    type Target = Story;

    fn deref(&self) -> &Story {
        &self.story
    }
}

fn tag(values: &[usize]) -> String {
    let all: Vec<_> = values.iter().map(usize::to_string).collect();
    all.join("-")
}

fn values(tag: &str) -> Vec<usize> {
    tag.trim_matches('"')
        .split('-')
        .map(|n| n.parse().expect("a number"))
        .collect()
}

async fn answer(world: Arc<World>, call: Call) -> Reply {
    world.pause(500).await;
    let stored = world.stored.lock().clone();
    let said = match world.says {
        Says::Url => call.uri.path().strip_prefix("/since/").map(values),
        _ => call
            .headers
            .get("if-none-match")
            .map(|tag| values(tag.to_str().expect("text"))),
    };
    // Of one that is a moment ahead of what was read here it has no less.
    let has_it = said
        .as_ref()
        .is_some_and(|said| said.iter().zip(&stored).all(|(a, b)| a >= b));
    let etag = format!("\"{}\"", tag(&stored));
    let channels = named(&stored, world.link);
    let control = if world.cached { "max-age=600" } else { "no-store" };
    let mut headers = vec![("grip-channel", &*channels), ("cache-control", control)];
    if has_it || world.says == Says::TagOfOne {
        headers.push(("grip-hold", "response"));
        headers.push(("grip-timeout", "20"));
    }
    if world.says != Says::Url {
        headers.push(("etag", &etag));
    }
    if world.says == Says::Tag {
        headers.push(("vary", "if-none-match"));
    }
    world.tell(format!("origin {said:?} of {stored:?}"));
    world.pause(500).await;
    Ok(reply(200, &headers, tag(&stored)))
}

async fn publisher(world: Arc<World>) {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..world.roll(14) + 3 {
        let gap = [30, 300, 1_500, 25_000][world.roll(4) as usize];
        world.pause(gap).await;
        let c = world.roll(world.channels() as u64) as usize;
        let (from, to) = if world.both {
            (0, world.channels())
        } else {
            (c, c + 1)
        };
        let mut order = Vec::new();
        {
            let mut stored = world.stored.lock();
            for c in from..to {
                stored[c] += 1;
            }
            for c in from..to {
                // A state of the whole, of which this channel is one part.
                let n = stored[c];
                let all = tag(&stored);
                let mut pushed = PushedResponse::new(format!("M{c}={n}"));
                pushed
                    .headers
                    .insert("etag", format!("\"{all}\"").parse().expect("valid"));
                let message = gripstack::Message::response(pushed);
                let (id, prev_id) = (n.to_string(), (n - 1).to_string());
                let message = match world.link {
                    Link::Chain => identified(message, &id, &prev_id),
                    Link::Ids => identified(message, &id, ""),
                    Link::None => message,
                };
                let publication = Publication::new(channel(&name(c)), message);
                order.push(if world.latest {
                    publication.latest()
                } else {
                    publication
                });
            }
            world.tell(format!("store {stored:?}"));
        }
        if world.hints && world.roll(4) == 0 {
            order = (from..to)
                .map(|c| Publication::new(channel(&name(c)), hint()))
                .collect();
        }
        let call = {
            let world = world.clone();
            async move {
                if world.link == Link::Chain && !world.hints && !world.latest {
                    world.pause(900).await;
                }
                let tries = if world.retries { 1 + world.roll(2) } else { 1 };
                for _ in 0..tries {
                    let ids: Vec<_> = order
                        .iter()
                        .map(|item| (item.channel.clone(), item.message.id.clone()))
                        .collect();
                    let submit: Order = order.iter().cloned().collect();
                    world.tell(format!("publish {ids:?}"));
                    let done = world.edge.submit(submit).await;
                    world.tell(format!("accepted {ids:?} {:?}", done.map(|at| at.get()).ok()));
                    if tries > 1 {
                        world.pause(900).await;
                    }
                }
            }
        };
        if world.link == Link::Chain && !world.latest {
            calls.spawn(call);
        } else {
            call.await;
        }
    }
    while calls.join_next().await.is_some() {}
}

async fn client(world: Arc<World>, service: gripstack::hold::GripHold<Inner>, name: String) {
    world.pause(9_000).await;
    let mut has: Option<Vec<usize>> = None;
    let mut quiet = 0;
    let mut asked = 0;
    while quiet < 6 {
        asked += 1;
        let said = has.as_ref().map(|has| tag(has));
        let path = match (world.says, &said) {
            (Says::Url, Some(said)) => format!("/since/{said}"),
            _ => "/".into(),
        };
        let condition = said.as_ref().map(|said| format!("\"{said}\""));
        let mut headers = vec![("host", "h")];
        if let Some(condition) = condition.as_deref().filter(|_| world.says != Says::Url) {
            headers.push(("if-none-match", condition));
        }
        let response: Pin<Box<dyn Future<Output = Reply> + Send>> =
            Box::pin(service.clone().oneshot(request(Method::GET, &path, &headers)));
        let response = response.await.expect("answers");
        let (status, marked) = (response.status(), is_marked(&response));
        let text = text(response).await;
        world.tell(format!(
            "{name} {said:?} got {status} {text} {}",
            if marked { "marked" } else { "" }
        ));
        let before = has.clone();
        if status == 200 {
            match text.strip_prefix('M') {
                None => has = Some(values(&text)),
                Some(item) => {
                    let (c, n) = item.split_once('=').expect("a pair");
                    let (c, n): (usize, usize) = (c.parse().expect("n"), n.parse().expect("n"));
                    // Who had nothing yet has it now, of one channel: it asks for the rest.
                    if let Some(has) = &mut has {
                        if n < has[c]
                            && !world.cached
                            && world.link == Link::Chain
                            && !world.latest
                            && !marked
                        {
                            world.wrong(format!("{name} had {has:?} and got {text}"));
                        }
                        if n > has[c] + 1
                            && world.link == Link::Chain
                            && !world.latest
                            && !world.hints
                            && world.says != Says::TagOfOne
                        {
                            world.wrong(format!("{name} had {has:?} and got {text}, marked {marked}"));
                        }
                        has[c] = n;
                    } else if world.says == Says::TagOfOne {
                        let mut begun = vec![0; world.channels()];
                        begun[c] = n;
                        has = Some(begun);
                    }
                }
            }
        }
        quiet = if has == before && has.is_some() {
            quiet + 1
        } else {
            0
        };
        if asked > 400 {
            world.wrong(format!("{name} asks again and again"));
            return;
        }
        world.pause(300).await;
    }
    sleep(Duration::from_secs(1)).await;
    let stored = world.stored.lock().clone();
    if has.as_ref() != Some(&stored) {
        world.wrong(format!("{name} stays on {has:?} of {stored:?}"));
    }
}

fn run(seed: u64) -> Result<(), String> {
    paused(async {
        let mut dice = Dice::new(seed);
        let link = Link::of(&mut dice);
        let channels = 1 + dice.roll(2) as usize;
        let world = Arc::new(World {
            says: [Says::Url, Says::Tag, Says::TagOfOne][dice.roll(3) as usize],
            cached: dice.one_in(2),
            retries: dice.one_in(2) && link != Link::None,
            latest: dice.one_in(3),
            hints: dice.one_in(4),
            both: dice.one_in(3),
            story: Story::new(link, vec![1; channels], dice),
        });
        if link == Link::Chain {
            for c in 0..channels {
                let message = identified(answer_of(c, 1), "1", "0");
                publish_on(&world.edge, &name(c), message).await;
            }
        }
        let origin = Origin::new({
            let world = world.clone();
            move |_, call| answer(world.clone(), call)
        });
        let service = match world.cached {
            true => origin.cached(&world.edge),
            false => origin.held(world.edge.hold_layer()),
        };
        let publishing = tokio::spawn(publisher(world.clone()));
        let mut all = tokio::task::JoinSet::new();
        for n in 0..4 {
            all.spawn(client(world.clone(), service.clone(), format!("client{n}")));
        }
        publishing.await.expect("no panic");
        while let Some(done) = all.join_next().await {
            done.expect("no panic");
        }
        let World {
            says,
            cached,
            retries,
            latest,
            hints,
            both,
            ..
        } = &*world;
        let what = format!(
            "{says:?} cached {cached} channels {channels} retries {retries} latest {latest} hints {hints} both {both}"
        );
        world.end(seed, &what)
    })
}

fn answer_of(c: usize, n: usize) -> gripstack::Message {
    gripstack::Message::response(PushedResponse::new(format!("M{c}={n}")))
}

#[test]
fn m2_whoever_says_what_it_has_gets_the_next() {
    worlds(300, 10_000, run);
}

//! Orders that come while another one is admitted and not sent, or sent and not yet done with: as threads meet, but the same
//! each time.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gripstack::hub::{Delivery, LogLimits, Wants};
use gripstack::{Accepted, Channel, Edge, Message, Order, Position, Publication, PurgeMode, Target};
use parking_lot::Mutex;

use crate::overtaken::Counted;

const LAST: usize = 24;
const NAMES: [&str; 2] = ["a", "b"];

fn once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Numbers as good as random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

type Name = (usize, usize);

struct World {
    edge: Edge,
    counted: Counted,
    state: Mutex<State>,
}

struct State {
    numbers: Numbers,
    /// Not yet said, the next ones last.
    left: Vec<Name>,
    depth: usize,
    /// When each was admitted first: the order, and its place there.
    admitted: HashMap<Name, (usize, usize)>,
    orders: usize,
    accepted: Vec<(Vec<Name>, Accepted)>,
    is_over: bool,
    story: Vec<String>,
    most_bytes: usize,
}

/// A body whose end is heard.
struct Heard(Weak<World>, Vec<u8>);

impl AsRef<[u8]> for Heard {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if let Some(world) = self.0.upgrade() {
            world.say("end of a body");
        }
    }
}

impl World {
    fn publication(self: &Arc<Self>, (channel, n): Name, bytes: usize, is_heard: bool) -> Publication {
        let body = vec![b' '; bytes];
        let body = match is_heard {
            true => Bytes::from_owner(Heard(Arc::downgrade(self), body)),
            false => Bytes::from(body),
        };
        let message = Message::bytes(body).with_id(n.to_string());
        let message = message.with_prev_id((n - 1).to_string());
        Publication::new(Channel::new(NAMES[channel]).expect("valid"), message)
    }

    /// Another order, or none.
    fn say(self: &Arc<Self>, why: &str) {
        let (items, again, purges) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            if state.is_over || state.depth >= 5 || state.numbers.below(3) == 0 {
                return;
            }
            let mut items = Vec::new();
            for _ in 0..1 + state.numbers.below(3) {
                items.extend(state.left.pop());
            }
            let mut again = Vec::new();
            for _ in 0..state.numbers.below(3) {
                let name = (state.numbers.below(2), 2 + state.numbers.below(LAST - 1));
                // What was said, or is said here.
                if !state.left.contains(&name) {
                    again.push(name);
                }
            }
            (items, again, state.numbers.below(2) == 0)
        };
        if !items.is_empty() || !again.is_empty() {
            self.accept(why, items, again, purges);
        }
    }

    fn accept(self: &Arc<Self>, why: &str, items: Vec<Name>, again: Vec<Name>, purges: bool) {
        let all: Vec<Name> = items.iter().chain(&again).copied().collect();
        let mut publications = Vec::new();
        {
            let mut state = self.state.lock();
            for (nth, name) in all.iter().enumerate() {
                // Who says it again says the same.
                let bytes = (name.0 * 7_919 + name.1 * 104_729) % state.most_bytes;
                let is_heard = nth >= items.len() || state.numbers.below(3) == 0;
                publications.push(self.publication(*name, bytes, is_heard));
            }
            let nth = state.orders;
            state.orders += 1;
            for (place, name) in all.iter().enumerate() {
                state.admitted.entry(*name).or_insert((nth, place));
            }
            state.depth += 1;
            let depth = state.depth;
            state
                .story
                .push(format!("{:depth$}{why}: {items:?} again {again:?}", ""));
        }
        let mut order: Order = publications.into_iter().collect();
        if purges {
            order = order.and_purge(Target::key("k"), PurgeMode::Soft);
        }
        let world = self.clone();
        self.counted.then(move || world.say("admitted"));
        let Poll::Ready(accepted) = once(self.edge.accept(order)) else {
            panic!("it waits");
        };
        let mut state = self.state.lock();
        state.depth -= 1;
        let depth = state.depth;
        state.story.push(format!("{:depth$} answered: {all:?}", ""));
        let accepted = accepted.expect("accepted");
        state.accepted.push((all, accepted));
    }
}

fn log(edge: &Edge, name: &str) -> Vec<(usize, Position)> {
    let stamp = edge.hub().stamp_at(Position::ZERO);
    let channel = Channel::new(name).expect("valid");
    let mut subscription = edge
        .hub()
        .subscribe(&[channel], stamp, Wants::Stream)
        .expect("no gap");
    let mut got = Vec::new();
    while let Poll::Ready(Delivery::Message { message, at, .. }) = once(subscription.next()) {
        let id = message.id.as_deref().expect("all have one");
        got.push((id.parse().expect("a number"), at));
    }
    got
}

fn run(seed: u64, waiting_bytes: usize, is_shuffled: bool) {
    let counted = Counted::default();
    let limits = LogLimits::new().waiting_bytes(waiting_bytes);
    let edge = counted.edge_with(limits);
    let has_room = waiting_bytes > 1 << 20;
    let mut numbers = Numbers(seed);
    let mut left: Vec<Name> = (0..2).flat_map(|c| (2..=LAST).map(move |n| (c, n))).collect();
    // Near where they belong, or anywhere.
    let width = if is_shuffled { left.len() } else { 6 };
    left.sort_by_key(|(_, n)| LAST - n);
    for place in 0..left.len() {
        let other = (place + numbers.below(width)).min(left.len() - 1);
        left.swap(place, other);
    }
    let world = Arc::new(World {
        edge: edge.clone(),
        counted,
        state: Mutex::new(State {
            numbers,
            left,
            depth: 0,
            admitted: HashMap::new(),
            orders: 0,
            accepted: Vec::new(),
            is_over: false,
            story: Vec::new(),
            most_bytes: if has_room { 10 } else { 2_000 },
        }),
    });
    world.state.lock().depth = 100;
    world.accept("first", vec![(0, 1), (1, 1)], vec![], false);
    world.state.lock().depth = 0;
    while !world.state.lock().left.is_empty() {
        world.say("next");
    }
    let story = || world.state.lock().story.join("\n");
    let stats = edge.hub().stats();
    assert_eq!(
        (stats.waiting, stats.waiting_bytes),
        (0, 0),
        "seed {seed}\n{}",
        story()
    );
    let admitted = world.state.lock().admitted.clone();
    for (channel, name) in NAMES.iter().enumerate() {
        let got: Vec<usize> = log(&edge, name).iter().map(|(n, _)| *n).collect();
        let mut sorted = got.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (1..=LAST).collect::<Vec<_>>(), "seed {seed}\n{}", story());
        if has_room {
            assert_eq!(got, sorted, "seed {seed}, {name}\n{}", story());
        }
        let place = |n: usize| got.iter().position(|other| *other == n);
        for n in 2..=LAST {
            let (its, before) = (place(n), place(n - 1));
            let is_late = place(n + 1).is_some_and(|next| Some(next) < its);
            let (first, first_before) = (admitted[&(channel, n)], admitted[&(channel, n - 1)]);
            assert!(
                its > before || is_late || first_before > first,
                "seed {seed}, {name}: {n} overtook {}, {got:?}\n{}",
                n - 1,
                story()
            );
        }
    }
    let accepted = std::mem::take(&mut world.state.lock().accepted);
    for (names, accepted) in accepted {
        let Poll::Ready(at) = once(accepted.all()) else {
            panic!("seed {seed}: {names:?} has no answer\n{}", story());
        };
        let at = at.expect("sent");
        for (channel, n) in names {
            let log = log(&edge, NAMES[channel]);
            let (_, its) = log.iter().find(|(other, _)| *other == n).expect("there");
            assert!(*its <= at, "seed {seed}: {n} is at {its}, answered {at}");
        }
    }
    world.state.lock().is_over = true;
}

fn many() -> u64 {
    std::env::var("SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(300)
}

#[test]
fn d1_whoever_comes_meanwhile_logs_are_in_order() {
    for seed in 0..many() {
        run(seed, 64 << 20, seed % 2 == 0);
    }
}

#[test]
fn d1_whoever_comes_meanwhile_nothing_overtakes_what_came_before_where_there_is_little_room() {
    for seed in 0..many() {
        run(seed, [0, 2_000, 6_000][seed as usize % 3], seed % 2 == 0);
    }
}

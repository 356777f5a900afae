//! Clients of one application, against a naive model of what each must see: streams and long polls, with and without
//! ids, on several channels, over a cache or a foreign one, with logs that overflow, messages that are lost or come out of
//! order, and an origin that is down at times.
//!
//! The application stores a change before it publishes it, and its bodies say what it has stored. 200 worlds; with
//! `GRIPSTACK_FULL=1` 3,000. `GRIPSTACK_SEED` tells the story of one of them.
#![cfg(all(feature = "hold", feature = "cache", feature = "testing"))]

mod hold_support;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gripstack::hub::LogLimits;
use gripstack::message::PushedResponse;
use gripstack::testing::Call;
use gripstack::{Edge, Message, Order, Publication};
use http::Method;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use hold_support::*;

const CHANNELS: [&str; 2] = ["t", "u"];

/// Choices that a seed makes.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// How a world is made.
#[derive(Clone, Copy, Debug)]
struct Kind {
    ids: bool,
    below: Below,
    entries: usize,
    /// Some messages are never published.
    loses: bool,
    /// Some come late, after later ones.
    reorders: bool,
    /// Some are states.
    latest: bool,
    /// Some have one form only.
    forms: bool,
    /// Some hints and closes.
    acts: bool,
    /// The origin fails at times.
    fails: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Below {
    Origin,
    Cache,
    Foreign,
}

/// One change of a channel; its number, from 1, is its place there.
#[derive(Clone, Copy)]
struct Change {
    stored: Instant,
    lost: bool,
    latest: bool,
    stream: bool,
    response: bool,
    /// Where it was accepted.
    at: Option<u64>,
}

struct World {
    kind: Kind,
    edge: Edge,
    changes: [Mutex<Vec<Change>>; 2],
    dice: Mutex<Dice>,
    down: Mutex<bool>,
    wrong: Mutex<Vec<String>>,
    story: Mutex<Vec<String>>,
    begun: Instant,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let kind = Kind {
            ids: !dice.one_in(3),
            below: match dice.roll(3) {
                0 => Below::Origin,
                1 => Below::Cache,
                _ => Below::Foreign,
            },
            entries: if dice.one_in(3) { 6 } else { 1_000 },
            loses: dice.one_in(3),
            reorders: dice.one_in(2),
            latest: dice.one_in(4),
            forms: dice.one_in(3),
            acts: dice.one_in(3),
            fails: dice.one_in(4),
        };
        // What names no predecessor goes out at once, and what waits for one comes after it, by rule D1.
        let is_linked = !kind.acts && !kind.latest;
        let kind = Kind {
            reorders: kind.reorders && is_linked && kind.ids && !kind.loses,
            loses: kind.loses && (is_linked || !kind.ids),
            ..kind
        };
        let limits = LogLimits::new().entries(kind.entries);
        Self {
            kind,
            edge: Edge::builder().log_limits(limits).build(),
            changes: [Mutex::default(), Mutex::default()],
            dice: Mutex::new(dice),
            down: Mutex::new(false),
            wrong: Mutex::default(),
            story: Mutex::default(),
            begun: Instant::now(),
        }
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.lock().roll(sides)
    }

    fn one_in(&self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn tell(&self, what: String) {
        let at = self.begun.elapsed();
        self.story
            .lock()
            .push(format!("{at:?} [{}] {what}", self.edge.hub().now()));
    }

    fn wrong(&self, what: String) {
        self.tell(format!("WRONG {what}"));
        self.wrong.lock().push(what);
    }

    /// How many changes each channel had at a moment.
    fn stored(&self, at: Instant) -> [usize; 2] {
        [0, 1].map(|c| {
            self.changes[c]
                .lock()
                .iter()
                .filter(|change| change.stored <= at)
                .count()
        })
    }

    fn change(&self, c: usize, n: usize) -> Change {
        self.changes[c].lock()[n - 1]
    }

    /// A hold's head and body: what was stored at a moment.
    fn hold(&self, mode: &str, stored: [usize; 2]) -> http::Response<gripstack::EdgeBody> {
        let name = |c: usize| match self.kind.ids {
            true => format!("{}; prev-id={}", CHANNELS[c], stored[c]),
            false => CHANNELS[c].into(),
        };
        let channels = format!("{}, {}", name(0), name(1));
        let mut held = vec![
            ("grip-hold", mode),
            ("grip-channel", &*channels),
            ("grip-timeout", "20"),
            ("cache-control", "max-age=600"),
        ];
        if self.kind.below == Below::Origin {
            held[3].1 = "no-store";
        }
        reply(200, &held, format!("[{},{}]\n", stored[0], stored[1]))
    }

    /// The origin; and where that is meant the foreign cache before it, which keeps answers for some seconds.
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let before = self.roll(3) * self.roll(800);
        sleep(Duration::from_millis(before)).await;
        if *self.down.lock() {
            return Err("down".into());
        }
        let revalidates = call
            .headers
            .get("cache-control")
            .is_some_and(|value| value == "no-cache");
        let age = match self.kind.below == Below::Foreign && !revalidates {
            true => self.roll(4),
            false => 0,
        };
        let now = Instant::now();
        let made = now
            .checked_sub(Duration::from_millis(age * 1_000))
            .map_or(self.begun, |made| made.max(self.begun));
        let stored = self.stored(made);
        let path = call.uri.path().to_owned();
        let mut response = if let Some(since) = path.strip_prefix("/ids/") {
            let since = numbers(since);
            // Whoever asks with what it has is asking the origin, or a copy made for who has the same.
            if stored[0] > since[0] || stored[1] > since[1] {
                reply(
                    200,
                    &[("cache-control", "no-store")],
                    format!("[{},{}]\n", stored[0], stored[1]),
                )
            } else {
                self.hold("response", [since[0].max(stored[0]), since[1].max(stored[1])])
            }
        } else {
            self.hold(if path == "/stream" { "stream" } else { "response" }, stored)
        };
        if self.kind.below == Below::Foreign {
            response.headers_mut().insert("age", age.into());
        }
        let after = self.roll(3) * self.roll(800);
        self.tell(format!("origin {path} {stored:?} age {age} in {after} ms"));
        sleep(Duration::from_millis(after)).await;
        Ok(response)
    }

    /// Stores changes, and publishes them.
    async fn app(self: Arc<Self>) {
        // So that each channel knows a last id.
        for c in [0, 1] {
            let (now, both) = (Instant::now(), true);
            let first = Change {
                stored: now,
                lost: false,
                latest: false,
                stream: both,
                response: both,
                at: None,
            };
            self.changes[c].lock().push(first);
            let text = format!("{}1\n", CHANNELS[c]);
            let mut message = bytes(&text).with_response(PushedResponse::new(text).into());
            if self.kind.ids {
                message = identified(message, "1", "0");
            }
            publish_on(&self.edge, CHANNELS[c], message).await;
        }
        for _ in 0..self.roll(25) + 5 {
            let pause = match self.roll(6) {
                0 => 0,
                1 => 6_000 + self.roll(9_000),
                _ => self.roll(900),
            };
            sleep(Duration::from_millis(pause)).await;
            if self.kind.fails && self.one_in(6) {
                let down = !*self.down.lock();
                *self.down.lock() = down;
                self.tell(format!("down {down}"));
            }
            let mut order = Vec::new();
            for _ in 0..[1, 1, 1, 2, 3][self.roll(5) as usize] {
                let c = self.roll(2) as usize;
                if self.kind.acts && self.one_in(6) {
                    let message = match self.roll(3) {
                        0 => Message::close(),
                        1 => Message::hint(),
                        _ => bytes("\n"),
                    };
                    self.tell(format!("act {} {:?}", CHANNELS[c], message.stream));
                    order.push(Publication::new(channel(CHANNELS[c]), message));
                    continue;
                }
                let form = if self.kind.forms { self.roll(4) } else { 3 };
                let change = Change {
                    stored: Instant::now(),
                    lost: self.kind.loses && self.one_in(5),
                    latest: self.kind.latest && self.one_in(2),
                    stream: form != 0,
                    response: form != 1,
                    at: None,
                };
                let n = {
                    let mut changes = self.changes[c].lock();
                    changes.push(change);
                    changes.len()
                };
                self.tell(format!(
                    "store {}{n} {}{}{}{}",
                    CHANNELS[c],
                    if change.lost { "lost " } else { "" },
                    if change.latest { "latest " } else { "" },
                    if change.stream { "" } else { "no stream " },
                    if change.response { "" } else { "no response " },
                ));
                if change.lost {
                    continue;
                }
                let text = format!("{}{n}\n", CHANNELS[c]);
                let mut message = Message::default();
                if change.stream {
                    message = message.with_stream(gripstack::message::StreamForm::Send(text.clone().into()));
                }
                if change.response {
                    message = message.with_response(PushedResponse::new(text).into());
                }
                if self.kind.ids {
                    message = message.with_id(n.to_string()).with_prev_id((n - 1).to_string());
                }
                let mut publication = Publication::new(channel(CHANNELS[c]), message);
                if change.latest {
                    publication = publication.latest();
                }
                order.push(publication);
            }
            let late = match self.kind.reorders {
                true => self.roll(3) * self.roll(1_200),
                false => 0,
            };
            let world = self.clone();
            let publish = async move {
                sleep(Duration::from_millis(late)).await;
                for publication in &order {
                    world.tell(format!(
                        "publish {} {:?}",
                        publication.channel, publication.message.id
                    ));
                }
                world
                    .edge
                    .submit(order.into_iter().collect::<Order>())
                    .await
                    .expect("accepted");
            };
            if late > 0 {
                tokio::spawn(publish);
            } else if self.kind.ids {
                // Those that wait delay no later one.
                let mut publish = Box::pin(publish);
                let done = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(std::future::Future::poll(publish.as_mut(), cx).is_ready())
                });
                if !done.await {
                    tokio::spawn(publish);
                }
            } else {
                publish.await;
            }
        }
        *self.down.lock() = false;
    }

    /// Where a change was accepted.
    fn note(&self, c: usize, n: usize, at: u64) {
        self.tell(format!("accepted {}{n} at {at}", CHANNELS[c]));
        self.changes[c].lock()[n - 1].at = Some(at);
    }
}

fn numbers(text: &str) -> [usize; 2] {
    let text = text.trim().trim_matches(['[', ']']);
    let mut parts = text.split(',').map(|part| part.parse().expect("a number"));
    [parts.next().expect("two"), parts.next().expect("two")]
}

/// A message's text: its channel and number.
fn item(text: &str) -> Option<(usize, usize)> {
    let text = text.trim();
    let c = CHANNELS.iter().position(|name| text.starts_with(name))?;
    Some((c, text[1..].parse().expect("a number")))
}

type Service = gripstack::hold::GripHold<Inner>;

fn ask(
    service: &Service,
    request: http::Request<gripstack::EdgeBody>,
) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
    Box::pin(service.clone().oneshot(request))
}

/// A stream's client: comes back when it ends.
async fn stream(world: Arc<World>, service: Service, name: String) {
    loop {
        let Ok(Ok(response)) = tokio::time::timeout(
            Duration::from_secs(60),
            ask(&service, request(Method::GET, "/stream", &[("host", "h")])),
        )
        .await
        else {
            sleep(Duration::from_millis(500)).await;
            continue;
        };
        let marked = is_gap(&response);
        if response.status() != 200 {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        let mut body = response.into_body();
        let mut at: Option<[usize; 2]> = None;
        let mut seen = [0, 0];
        loop {
            // Not while it begins: what is gone then is forgiven.
            if world.kind.entries < 10 && seen != at.unwrap_or(seen) && world.one_in(4) {
                sleep(Duration::from_millis(world.roll(3_000))).await;
            }
            let Some(Ok(frame)) = body.frame().await else {
                break;
            };
            let data = frame.into_data().expect("no trailers");
            for line in std::str::from_utf8(&data)
                .expect("text")
                .lines()
                .filter(|line| !line.is_empty())
            {
                world.tell(format!("{name} {line}{}", if marked { " marked" } else { "" }));
                if line.starts_with('[') {
                    let named = numbers(line);
                    at = Some(named);
                    seen = named;
                    continue;
                }
                let (c, n) = item(line).expect("a message");
                let named = at.expect("after the body");
                if world.kind.ids {
                    let unsure = world.kind.latest || (world.kind.loses && named[c] > 0);
                    if n <= named[c] && !unsure {
                        world.wrong(format!("{name} got {line}, which its body contains"));
                    }
                    if n <= seen[c] && !(unsure && n <= named[c]) {
                        world.wrong(format!("{name} got {line} after {seen:?}"));
                    }
                }
                // What it has not had is lost, in another form, or an older state.
                let before = seen[c].max(named[c]);
                if n > before && !marked && world.kind.ids {
                    for missing in before + 1..n {
                        let other = world.change(c, missing);
                        if !other.lost && other.stream && !other.latest {
                            world.wrong(format!("{name} got {line} without {missing}"));
                        }
                    }
                }
                seen[c] = seen[c].max(n);
            }
        }
        sleep(Duration::from_millis(world.roll(700))).await;
    }
}

fn is_gap(response: &http::Response<gripstack::EdgeBody>) -> bool {
    let mut said = response.headers().get_all("cache-status").iter();
    said.any(|said| said.as_bytes().ends_with(b"detail=gap"))
}

/// A long poll's client with ids: it says what it has.
async fn poll_by_ids(world: Arc<World>, service: Service, name: String, has: Arc<Mutex<[usize; 2]>>) {
    loop {
        let since = *has.lock();
        let path = format!("/ids/{},{}", since[0], since[1]);
        let response = ask(&service, request(Method::GET, &path, &[("host", "h")])).await;
        let Ok(response) = response else {
            sleep(Duration::from_millis(500)).await;
            continue;
        };
        if response.status() != 200 {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        let marked = is_gap(&response);
        let text = text(response).await;
        world.tell(format!(
            "{name} since {since:?} got {}{}",
            text.trim(),
            if marked { " marked" } else { "" }
        ));
        match item(&text) {
            None => {
                let named = numbers(&text);
                let mut has = has.lock();
                *has = [has[0].max(named[0]), has[1].max(named[1])];
            }
            Some((c, n)) => {
                if n <= since[c] {
                    if world.kind.below == Below::Origin && !world.kind.latest && !world.kind.loses && !marked
                    {
                        world.wrong(format!("{name} got {} although it had {since:?}", text.trim()));
                    }
                    continue;
                }
                let change = world.change(c, n);
                for missing in since[c] + 1..n {
                    let other = world.change(c, missing);
                    if !marked && !other.lost && other.response && !other.latest && !change.latest {
                        world.wrong(format!(
                            "{name} since {since:?} got {} without {missing}",
                            text.trim()
                        ));
                    }
                }
                has.lock()[c] = n;
            }
        }
        sleep(Duration::from_millis(world.roll(500))).await;
    }
}

/// A long poll's client that says nothing: whatever comes while it waits answers it.
async fn poll_alone(world: Arc<World>, service: Service, name: String, method: Method) {
    loop {
        let arrived = world.edge.hub().now().get();
        let response = ask(&service, request(method.clone(), "/alone", &[("host", "h")])).await;
        let Ok(response) = response else {
            sleep(Duration::from_millis(500)).await;
            continue;
        };
        let marked = is_gap(&response);
        if response.status() != 200 {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        let text = text(response).await;
        let now = world.edge.hub().now().get();
        world.tell(format!(
            "{name} from {arrived} got {}{}",
            text.trim(),
            if marked { " marked" } else { "" }
        ));
        let answers = |after: u64, before: u64| {
            let mut found = None;
            for c in [0, 1] {
                for (n, change) in world.changes[c].lock().iter().enumerate() {
                    let at = change.at.unwrap_or(u64::MAX);
                    if change.response && at > after && at < before && !change.latest {
                        found = Some(format!("{}{}", CHANNELS[c], n + 1));
                    }
                }
            }
            found
        };
        match item(&text) {
            Some((c, n)) => {
                let at = world.change(c, n).at.unwrap_or(u64::MAX);
                if at <= arrived {
                    world.wrong(format!(
                        "{name} from {arrived} got the old {} of {at}",
                        text.trim()
                    ));
                }
                if let Some(missed) = answers(arrived, at)
                    && !marked
                    && !world.kind.ids
                {
                    world.wrong(format!(
                        "{name} from {arrived} got {} before {missed}",
                        text.trim()
                    ));
                }
            }
            None => {
                // With ids of which an origin says that its client has them, they are no news.
                let named = numbers(&text);
                let knows = world.kind.ids && (world.kind.below == Below::Origin || method == Method::POST);
                if let Some(missed) = answers(arrived, now + 1)
                    && !marked
                    && !knows
                {
                    world.wrong(format!(
                        "{name} from {arrived} to {now} got {} instead of {missed}",
                        text.trim()
                    ));
                }
                if !marked && method == Method::GET {
                    for c in [0, 1] {
                        for n in named[c] + 1..=world.stored(Instant::now())[c] {
                            let change = world.change(c, n);
                            if change.at.is_some_and(|at| at <= arrived) {
                                world.wrong(format!(
                                    "{name} from {arrived} got {} without {}{n}",
                                    text.trim(),
                                    CHANNELS[c]
                                ));
                            }
                        }
                    }
                }
            }
        }
        sleep(Duration::from_millis(world.roll(500))).await;
    }
}

/// Notes where each change was accepted.
async fn watch(world: Arc<World>) {
    use gripstack::hub::{Delivery, Wants};
    let names = CHANNELS.map(channel);
    let open = |wants| {
        let stamp = world.edge.hub().stamp_at(gripstack::Position::ZERO);
        world
            .edge
            .hub()
            .subscribe(&names, stamp, wants)
            .expect("at the beginning")
    };
    let (mut streams, mut polls) = (open(Wants::Stream), open(Wants::Response));
    loop {
        let delivery = tokio::select! {
            biased;
            delivery = streams.next() => delivery,
            delivery = polls.next() => delivery,
        };
        if let Delivery::Message { at, message, .. } = delivery {
            let stream = match &message.stream {
                Some(gripstack::message::StreamForm::Send(bytes)) => Some(bytes.clone()),
                _ => None,
            };
            let response = match &message.response {
                Some(gripstack::message::ResponseForm::Send(pushed)) => Some(pushed.body.clone()),
                _ => None,
            };
            if let Some(bytes) = stream.or(response)
                && let Some((c, n)) = item(std::str::from_utf8(&bytes).expect("text"))
            {
                world.note(c, n, at.get());
            }
        }
    }
}

fn run(seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let world = Arc::new(World::new(seed));
        let origin = Origin::new({
            let world = world.clone();
            move |_, call| world.clone().answer(call)
        });
        let service = match world.kind.below {
            Below::Cache => origin.cached(&world.edge),
            _ => origin.held(world.edge.hold_layer()),
        };
        let has: Vec<_> = (0..2).map(|_| Arc::new(Mutex::new([0, 0]))).collect();
        let mut clients = tokio::task::JoinSet::new();
        clients.spawn(watch(world.clone()));
        for (n, has) in has.iter().enumerate() {
            clients.spawn(stream(world.clone(), service.clone(), format!("stream{n}")));
            if world.kind.ids {
                let name = format!("ids{n}");
                clients.spawn(poll_by_ids(world.clone(), service.clone(), name, has.clone()));
            }
        }
        clients.spawn(poll_alone(
            world.clone(),
            service.clone(),
            "get".into(),
            Method::GET,
        ));
        clients.spawn(poll_alone(
            world.clone(),
            service.clone(),
            "post".into(),
            Method::POST,
        ));
        let comers = {
            let (world, service) = (world.clone(), service.clone());
            async move {
                for n in 0..6 {
                    sleep(Duration::from_millis(world.roll(4_000))).await;
                    tokio::spawn(stream(world.clone(), service.clone(), format!("later{n}")));
                }
            }
        };
        clients.spawn(comers);
        let app = tokio::spawn(world.clone().app());
        app.await.expect("no panic");
        sleep(Duration::from_secs(300)).await;
        let all = world.stored(Instant::now());
        for (n, has) in has.iter().enumerate() {
            let is_lost = |c: usize, n: usize| world.change(c, n).lost;
            let lacks = |c: usize| (has.lock()[c] + 1..=all[c]).any(|n| !is_lost(c, n));
            if world.kind.ids && (lacks(0) || lacks(1)) {
                world.wrong(format!("ids{n} has {:?} of {all:?}", *has.lock()));
            }
        }
        let story = world.story.lock();
        let clients = [
            "stream0", "stream1", "later0", "later1", "later2", "later3", "later4", "later5",
        ];
        for client in clients {
            let mut has = [0, 0];
            for line in story.iter() {
                let Some(got) = line.split(&format!("] {client} ")).nth(1) else {
                    continue;
                };
                let got = got.trim_end_matches(" marked");
                match item(got) {
                    Some((c, n)) => has[c] = n,
                    None => has = numbers(got),
                }
            }
            for c in [0, 1] {
                let lasts = world.changes[c].lock();
                let last = lasts
                    .iter()
                    .rposition(|change| !change.lost && change.stream)
                    .map_or(0, |n| n + 1);
                if has[c] < last {
                    world
                        .wrong
                        .lock()
                        .push(format!("{client} stays on {has:?}, of {}{last}", CHANNELS[c]));
                }
            }
        }
        let wrong = world.wrong.lock();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "seed {seed} {:?}\n{}\n{}",
                world.kind,
                story.join("\n"),
                wrong.join("\n")
            )),
        }
    })
}

#[test]
fn d2_m2_each_client_sees_what_it_must() {
    if let Ok(seed) = std::env::var("GRIPSTACK_SEED") {
        run(seed.parse().expect("a number")).unwrap_or_else(|story| panic!("{story}"));
        return;
    }
    let full = std::env::var("GRIPSTACK_FULL").is_ok_and(|full| full == "1");
    for seed in 0..if full { 3_000 } else { 200 } {
        run(seed).unwrap_or_else(|story| panic!("{story}"));
    }
}

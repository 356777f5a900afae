//! Clients of one application that does whatever it may, in random order: values change and are published, or purged, or
//! posted; the origin is slow, fails, hangs, breaks off, confirms strongly or weakly; streams, long polls with and without
//! conditions, and plain readers of the same URL are checked against what was announced before they asked.
//!
//! 30 worlds; with `GRIPSTACK_FULL=1` 1,000. `GRIPSTACK_SEED` tells the story of one of them.
#![cfg(all(feature = "hold", feature = "cache", feature = "testing"))]

mod hold_support;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gripstack::cache::{CacheConfig, PacedReads};
use gripstack::error::BoxError;
use gripstack::hub::LogLimits;
use gripstack::message::{PushedResponse, StreamForm};
use gripstack::testing::Call;
use gripstack::{Edge, EdgeBody, Message, Order, Publication, PurgeMode, Target};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use hold_support::*;

const CHANNELS: [&str; 2] = ["t", "u"];
/// Its URLs: a stream, a long poll, a page, and one that is a stream or a page by `Accept`.
const PATHS: [&str; 4] = ["/s", "/p", "/j", "/m"];

/// Two channels' values, one that is purged, and one for each URL that is posted.
type Values = [u64; 4];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

#[derive(Clone, Debug)]
struct Kind {
    ids: bool,
    policy: &'static str,
    /// 0: none, 1: strong, 2: weak.
    tags: u64,
    /// A 304 names what a 200 does.
    talks: bool,
    varies: bool,
    entries: usize,
    latest: bool,
    acts: bool,
    fails: u64,
    slow_bodies: bool,
    interval: u64,
    paced: bool,
    forms: bool,
    by_tag: bool,
}

#[derive(Default)]
struct State {
    stored: [u64; 3],
    posted: BTreeMap<String, u64>,
    /// What was announced: nothing older is for whoever asks now.
    floor: [u64; 3],
    posted_floor: BTreeMap<String, u64>,
    /// What streams of `/m` have told: its page names no channels itself.
    told: [u64; 2],
    /// Not even marked.
    hard: u64,
    /// Positions of messages with a response form: channel, number.
    answers: Vec<(u64, usize, u64)>,
    latest: Vec<(usize, u64)>,
    no_stream: Vec<(usize, u64)>,
    down: bool,
    story: Vec<String>,
    wrong: Vec<String>,
    /// What each open, unmarked stream has.
    open: BTreeMap<String, [u64; 2]>,
}

struct World {
    kind: Kind,
    edge: Edge,
    dice: Mutex<Dice>,
    state: Mutex<State>,
    begun: Instant,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut one_in = |n| dice.roll(n) == 0;
        let ids = !one_in(2);
        let kind = Kind {
            ids,
            latest: one_in(4),
            acts: one_in(3),
            varies: one_in(3),
            slow_bodies: one_in(3),
            talks: !one_in(3),
            paced: one_in(4),
            forms: one_in(4),
            by_tag: one_in(3),
            entries: if one_in(3) { 6 } else { 1_000 },
            tags: dice.roll(3),
            policy: [
                "max-age=600",
                "max-age=600",
                "max-age=2, stale-while-revalidate=60",
                "no-cache",
                "no-store",
                "max-age=3",
            ][dice.roll(6) as usize],
            fails: [1_000, 1_000, 12, 5][dice.roll(4) as usize],
            interval: [0, 300, 1_000, 4_000][dice.roll(4) as usize],
        };
        let paced = if kind.paced {
            PacedReads::Stale
        } else {
            PacedReads::Wait
        };
        let config = CacheConfig::new()
            .interval(Duration::from_millis(kind.interval))
            .paced_reads(paced);
        let limits = LogLimits::new().entries(kind.entries);
        Self {
            edge: Edge::builder().log_limits(limits).cache(config).build(),
            kind,
            dice: Mutex::new(dice),
            state: Mutex::default(),
            begun: Instant::now(),
        }
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.lock().roll(sides)
    }

    fn one_in(&self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    async fn pause(&self, ms: u64) {
        let ms = self.roll(ms.max(1));
        sleep(Duration::from_millis(ms)).await;
    }

    fn tell(&self, what: String) {
        let line = format!("{:?} [{}] {what}", self.begun.elapsed(), self.edge.hub().now());
        self.state.lock().story.push(line);
    }

    fn wrong(&self, what: String) {
        self.tell(format!("WRONG {what}"));
        self.state.lock().wrong.push(what);
    }

    fn values(&self, path: &str) -> Values {
        let state = self.state.lock();
        let [t, u, x] = state.stored;
        [t, u, x, state.posted.get(path).copied().unwrap_or_default()]
    }

    /// The application.
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let path = call.uri.path().to_owned();
        if call.method == Method::POST {
            self.pause(300).await;
            *self.state.lock().posted.entry(path).or_default() += 1;
            self.pause(300).await;
            return Ok(reply(200, &[], "done\n"));
        }
        let slow = [0, 0, 20, 300, 2_500][self.roll(5) as usize];
        self.pause(slow).await;
        let is_down = self.state.lock().down;
        if is_down || self.one_in(self.kind.fails) {
            match self.roll(5) {
                0 => return Err("down".into()),
                1 => return Ok(reply(503, &[("cache-control", "no-store")], "error\n")),
                2 => return Ok(reply(500, &[], "error\n")),
                3 => sleep(Duration::from_secs(20)).await,
                _ => return Ok(reply(502, &[("cache-control", "max-age=1")], "error\n")),
            }
        }
        let values = self.values(&path);
        let text = format!("{values:?}\n").replace(' ', "");
        let asks_stream = call.header("accept") == Some("text/event-stream");
        let mode = match &*path {
            "/s" => Some("stream"),
            "/p" => Some("response"),
            "/m" if asks_stream => Some("stream"),
            _ => None,
        };
        let named = |c: usize| match self.kind.ids {
            true => format!("{}; prev-id={}", CHANNELS[c], values[c]),
            false => CHANNELS[c].into(),
        };
        let channels = format!("{}, {}", named(0), named(1));
        let mut fields: Vec<(&str, String)> = vec![("cache-control", self.kind.policy.into())];
        let mut vary = Vec::new();
        if self.kind.varies {
            vary.push("x-v");
        }
        if path == "/m" {
            vary.push("accept");
        }
        if !vary.is_empty() {
            fields.push(("vary", vary.join(", ")));
        }
        let tag = match self.kind.tags {
            0 => None,
            1 => Some(format!("\"{}{}\"", text.trim(), mode.unwrap_or("page"))),
            _ => Some(format!("W/\"{}{}\"", text.trim(), mode.unwrap_or("page"))),
        };
        let unchanged = tag.is_some() && call.header("if-none-match") == tag.as_deref();
        if let Some(tag) = &tag {
            fields.push(("etag", tag.clone()));
        }
        if !unchanged || self.kind.talks {
            match mode {
                Some(mode) => {
                    fields.push(("grip-hold", mode.into()));
                    fields.push(("grip-channel", channels));
                    fields.push(("grip-timeout", "10".into()));
                }
                None if path == "/m" => {}
                None if self.kind.by_tag => fields.push(("surrogate-key", "k ch:t ch:u".into())),
                None => fields.push(("grip-channel", channels)),
            }
        }
        self.tell(format!("origin {path} {:?} {} {unchanged}", mode, text.trim()));
        let late = [0, 0, 20, 300, 2_500][self.roll(5) as usize];
        self.pause(late).await;
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        if unchanged {
            return Ok(reply(304, &fields, ""));
        }
        let mut response = reply(200, &fields, "");
        *response.body_mut() = if self.kind.slow_bodies {
            let (mut sender, body) = http_body_util::channel::Channel::<Bytes, BoxError>::new(1);
            let world = self.clone();
            let breaks = self.one_in(self.kind.fails * 2);
            tokio::spawn(async move {
                let (one, two) = text.split_at(3);
                for part in [one.to_owned(), two.to_owned()] {
                    let slow = [0, 200, 3_000][world.roll(3) as usize];
                    world.pause(slow).await;
                    if breaks {
                        sender.abort("broken".into());
                        return;
                    }
                    if sender.send_data(part.into()).await.is_err() {
                        return;
                    }
                }
            });
            EdgeBody::new(body)
        } else {
            EdgeBody::from(text)
        };
        Ok(response)
    }

    /// Who changes things.
    async fn app(self: Arc<Self>, service: Service) {
        for _ in 0..self.roll(30) + 8 {
            let pause = [0, 5, 200, 1_500, 7_000][self.roll(5) as usize];
            self.pause(pause).await;
            if self.kind.fails < 100 && self.one_in(8) {
                let mut state = self.state.lock();
                state.down = !state.down;
            }
            match self.roll(10) {
                0 => self.purge().await,
                1 => {
                    let path = PATHS[self.roll(4) as usize];
                    let ask = request(Method::POST, path, &[("host", "h")]);
                    if ask_of(&service, ask)
                        .await
                        .is_ok_and(|response| response.status() == 200)
                    {
                        let mut state = self.state.lock();
                        let posted = state.posted.get(path).copied().unwrap_or_default();
                        state.posted_floor.insert(path.into(), posted);
                    }
                    self.tell(format!("posted {path}"));
                }
                2 if self.kind.acts => {
                    let c = self.roll(2) as usize;
                    let message = if self.one_in(2) {
                        Message::close()
                    } else {
                        Message::hint()
                    };
                    self.tell(format!("act {c} {:?}", message.stream));
                    publish_on(&self.edge, CHANNELS[c], message).await;
                }
                _ => self.publish().await,
            }
            if self.one_in(10) {
                self.settle().await;
            }
        }
        self.state.lock().down = false;
        self.settle().await;
    }

    async fn purge(&self) {
        let x = {
            let mut state = self.state.lock();
            state.stored[2] += 1;
            state.stored[2]
        };
        let mode = [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft][self.roll(3) as usize];
        self.pause(100).await;
        let order = Order::purge(Target::host("h"), mode);
        self.edge.submit(order).await.expect("accepted");
        self.tell(format!("purged {x} {mode:?}"));
        let mut state = self.state.lock();
        state.floor[2] = state.floor[2].max(x);
        if mode == PurgeMode::Hard {
            state.hard = state.hard.max(x);
        }
    }

    async fn publish(&self) {
        let mut items = Vec::new();
        let mut order = Order::default();
        for _ in 0..[1, 1, 1, 2, 3][self.roll(5) as usize] {
            let c = self.roll(2) as usize;
            let n = {
                let mut state = self.state.lock();
                state.stored[c] += 1;
                state.stored[c]
            };
            let (latest, form) = (
                self.kind.latest && self.one_in(2),
                if self.kind.forms { self.roll(4) } else { 3 },
            );
            let text = format!("{}{n}\n", CHANNELS[c]);
            let mut message = Message::default();
            if form != 0 {
                message = message.with_stream(StreamForm::Send(text.clone().into()));
            } else {
                self.state.lock().no_stream.push((c, n));
            }
            if form != 1 {
                message = message.with_response(PushedResponse::new(text).into());
            }
            if self.kind.ids {
                message = message.with_id(n.to_string()).with_prev_id((n - 1).to_string());
            }
            let mut publication = Publication::new(channel(CHANNELS[c]), message);
            if latest {
                self.state.lock().latest.push((c, n));
                publication = publication.latest();
            }
            order = order.and(publication);
            items.push((c, n, form != 1));
        }
        let with_purge = self.one_in(5);
        let x = with_purge.then(|| {
            let mut state = self.state.lock();
            state.stored[2] += 1;
            state.stored[2]
        });
        if with_purge {
            let mode = [PurgeMode::Hard, PurgeMode::SoftBlock][self.roll(2) as usize];
            order = order.and_purge(Target::host("h"), mode);
        }
        self.pause([0, 50, 400][self.roll(3) as usize]).await;
        let at = self.edge.submit(order).await.expect("accepted").get();
        self.tell(format!("published {items:?} at {at} {x:?}"));
        let mut state = self.state.lock();
        for (c, n, answers) in items {
            state.floor[c] = state.floor[c].max(n);
            if answers {
                state.answers.push((at, c, n));
            }
        }
        if let Some(x) = x {
            state.floor[2] = state.floor[2].max(x);
        }
    }

    /// After a while whoever is there has everything.
    async fn settle(&self) {
        let was_down = std::mem::take(&mut self.state.lock().down);
        sleep(Duration::from_secs(40)).await;
        let late = {
            let state = self.state.lock();
            let lacks =
                |c: usize, has: u64| (has + 1..=state.stored[c]).any(|n| !state.no_stream.contains(&(c, n)));
            let late: Vec<_> = (state.open.iter())
                .filter(|(_, has)| lacks(0, has[0]) || lacks(1, has[1]))
                .map(|(name, has)| format!("{name} stays on {has:?} of {:?}", state.stored))
                .collect();
            late
        };
        for late in late {
            self.wrong(late);
        }
        self.state.lock().down = was_down;
    }

    /// Checks a body that was asked for when this was announced.
    fn check(&self, name: &str, path: &str, values: Values, floor: Floor, is_marked: bool, replays: bool) {
        if values[2] < floor.hard {
            self.wrong(format!("{name} {path} got {values:?}, purged hard {floor:?}"));
        }
        if is_marked {
            return;
        }
        let old = (0..2).any(|c| values[c] < floor.values[c] && !replays)
            || values[2] < floor.values[2]
            || (values[3] < floor.posted && !replays);
        if old {
            self.wrong(format!("{name} {path} got {values:?}, not {floor:?}"));
        }
    }

    fn floor(&self, path: &str) -> Floor {
        let state = self.state.lock();
        let mut values = state.floor;
        if path == "/m" {
            values[..2].copy_from_slice(&state.told);
        }
        Floor {
            values,
            posted: state.posted_floor.get(path).copied().unwrap_or_default(),
            hard: state.hard,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Floor {
    values: [u64; 3],
    posted: u64,
    hard: u64,
}

type Service = gripstack::hold::GripHold<Inner>;

fn ask_of(service: &Service, request: Request<EdgeBody>) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
    Box::pin(service.clone().oneshot(request))
}

fn is_marked_by<B>(response: &Response<B>) -> bool {
    let marks = ["outage", "paced", "swr", "gap", "foreign-age"];
    let said = response.headers().get_all("cache-status");
    { said }.iter().any(|said| {
        let said = said.to_str().expect("text");
        marks.iter().any(|mark| said.contains(&format!("detail={mark}")))
    })
}

fn values(line: &str) -> Option<Values> {
    let inner = line.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut all = inner.split(',').map(|part| part.parse().expect("a number"));
    Some(std::array::from_fn(|_| all.next().expect("four")))
}

fn item(text: &str) -> Option<(usize, u64)> {
    let text = text.trim();
    let c = CHANNELS.iter().position(|name| text.starts_with(name))?;
    Some((c, text[1..].parse().expect("a number")))
}

async fn collected(response: Response<EdgeBody>) -> Option<String> {
    let body = response.into_body().collect().await.ok()?.to_bytes();
    Some(String::from_utf8(body.to_vec()).expect("text"))
}

async fn reader(world: Arc<World>, service: Service, name: String) {
    loop {
        world.pause([50, 800, 4_000][world.roll(3) as usize]).await;
        let path = ["/j", "/m"][world.roll(2) as usize];
        let v = ["a", "b"][world.roll(2) as usize];
        let floor = world.floor(path);
        let ask = request(
            Method::GET,
            path,
            &[("host", "h"), ("x-v", v), ("accept", "application/json")],
        );
        let Ok(response) = ask_of(&service, ask).await else {
            continue;
        };
        let is_marked = is_marked_by(&response);
        let (status, said) = (
            response.status(),
            format!("{:?}", response.headers().get_all("cache-status")),
        );
        let Some(text) = collected(response).await else {
            continue;
        };
        world.tell(format!("{name} {path} {status} {} {said}", text.trim()));
        if let Some(values) = values(&text) {
            world.check(&name, path, values, floor, is_marked, false);
        }
    }
}

async fn poller(world: Arc<World>, service: Service, name: String, conditional: bool) {
    let mut known: Option<(String, Values)> = None;
    loop {
        world.pause([5, 300, 3_000][world.roll(3) as usize]).await;
        let floor = world.floor("/p");
        let arrived = world.edge.hub().now().get();
        let mut fields = vec![("host", "h"), ("x-v", "a")];
        let sent = known.clone().filter(|_| conditional);
        if let Some((tag, _)) = &sent {
            fields.push(("if-none-match", tag));
        }
        let Ok(response) = ask_of(&service, request(Method::GET, "/p", &fields)).await else {
            continue;
        };
        let is_marked = is_marked_by(&response);
        let status = response.status().as_u16();
        let said = format!("{:?}", response.headers().get_all("cache-status"));
        let Some(text) = collected(response).await else {
            continue;
        };
        let now = world.edge.hub().now().get();
        world.tell(format!(
            "{name} from {arrived} {sent:?} {status} {} {said}",
            text.trim()
        ));
        if status >= 500 {
            continue;
        }
        // What was accepted while it waited.
        let first = |upto: u64| {
            let state = world.state.lock();
            let came = |(at, c, n): &&(u64, usize, u64)| {
                *at > arrived && *at < upto && !state.latest.contains(&(*c, *n))
            };
            state.answers.iter().find(came).copied()
        };
        // An origin that is asked in its name says what it has.
        let knows = world.kind.ids
            && (world.kind.policy == "no-store" || (world.kind.policy == "no-cache" && world.kind.tags == 0));
        let contained = sent.as_ref().map(|(_, values)| *values);
        if let Some((c, n)) = item(&text) {
            // When it is answered at once, its publisher does not know yet where it was accepted.
            tokio::task::yield_now().await;
            sleep(Duration::from_millis(1)).await;
            let at = {
                world
                    .state
                    .lock()
                    .answers
                    .iter()
                    .find(|(_, oc, on)| (*oc, *on) == (c, n))
                    .copied()
            };
            if let Some((at, ..)) = at {
                if at <= arrived {
                    world.wrong(format!("{name} from {arrived} got the old {}", text.trim()));
                }
                // With ids each channel has an order of its own.
                if let Some(missed) = first(at)
                    && !is_marked
                    && !knows
                    && (missed.1 == c || !world.kind.ids)
                    && contained.is_none_or(|values| missed.2 > values[missed.1])
                {
                    world.wrong(format!(
                        "{name} from {arrived} got {} before {missed:?}",
                        text.trim()
                    ));
                }
            }
            if contained.is_some_and(|values| n <= values[c])
                && world.kind.ids
                && !world.kind.latest
                && !is_marked
            {
                world.wrong(format!("{name} got {} which it had: {contained:?}", text.trim()));
            }
            known = None;
            continue;
        }
        let got = match status {
            304 => contained.expect("it was asked with a condition"),
            _ => values(&text).expect("a body"),
        };
        world.check(&name, "/p", got, floor, is_marked, false);
        // A 304 of the origin's without instructions is no hold.
        if let Some(missed) = first(now + 1)
            && !is_marked
            && !knows
            && (status != 304 || world.kind.talks)
            && got[missed.1] < missed.2
        {
            world.wrong(format!("{name} from {arrived} got {got:?} without {missed:?}"));
        }
        let tag = match world.kind.tags {
            0 => None,
            1 => Some("\""),
            _ => Some("W/\""),
        };
        known = tag.map(|open| {
            (
                format!("{open}{}response\"", format!("{got:?}").replace(' ', "")),
                got,
            )
        });
    }
}

async fn streamer(world: Arc<World>, service: Service, name: String) {
    loop {
        world.pause([5, 500, 3_000][world.roll(3) as usize]).await;
        let path = ["/s", "/m"][world.roll(2) as usize];
        let v = ["a", "b"][world.roll(2) as usize];
        let floor = world.floor(path);
        let ask = request(
            Method::GET,
            path,
            &[("host", "h"), ("x-v", v), ("accept", "text/event-stream")],
        );
        let Ok(response) = ask_of(&service, ask).await else {
            continue;
        };
        let is_marked = is_marked_by(&response);
        let said = format!("{:?}", response.headers().get_all("cache-status"));
        world.tell(format!("{name} {path} {} {said}", response.status()));
        if response.status() != 200 {
            continue;
        }
        let is_slow = world.one_in(4);
        let leaves = world.one_in(3).then(|| world.roll(8));
        let mut body = response.into_body();
        let (mut text, mut named, mut has) = (String::new(), None::<Values>, [0, 0]);
        let mut count = 0;
        loop {
            if is_slow {
                world.pause(4_000).await;
            }
            let Some(Ok(frame)) = body.frame().await else {
                break;
            };
            let frame = frame.into_data().expect("no trailers");
            text.push_str(std::str::from_utf8(&frame).expect("text"));
            while let Some(end) = text.find('\n') {
                let line: String = text.drain(..=end).collect();
                world.tell(format!("{name} {}", line.trim()));
                let Some(body) = named else {
                    let got = values(&line).expect("the body comes first");
                    world.check(&name, path, got, floor, is_marked, true);
                    named = Some(got);
                    has = [got[0], got[1]];
                    if !is_marked && !is_slow {
                        world.state.lock().open.insert(name.clone(), has);
                    }
                    continue;
                };
                let (c, n) = item(&line).expect("a message");
                count += 1;
                let unsure = world.kind.latest;
                if n <= body[c] && world.kind.ids && !unsure {
                    world.wrong(format!("{name} got {} which its body has: {body:?}", line.trim()));
                }
                if n <= has[c] && (world.kind.ids || has[c] > body[c]) && !(unsure && n <= body[c]) {
                    world.wrong(format!("{name} got {} after {has:?}", line.trim()));
                }
                let missing = {
                    let state = world.state.lock();
                    let is_excused =
                        |n: &u64| state.latest.contains(&(c, *n)) || state.no_stream.contains(&(c, *n));
                    (has[c] + 1..n).find(|n| !is_excused(n))
                };
                // Who reads too slowly is cut off; what is gone while the body comes is forgiven (rule D3).
                let begins = world.kind.slow_bodies && has[c] == body[c];
                if let Some(missing) = missing
                    && !is_marked
                    && !((is_slow || begins) && world.kind.entries < 10)
                {
                    world.wrong(format!("{name} got {} without {missing}", line.trim()));
                }
                has[c] = has[c].max(n);
                let mut state = world.state.lock();
                // Whoever asks now gets nothing older.
                state.floor[c] = state.floor[c].max(n);
                if path == "/m" {
                    state.told[c] = state.told[c].max(n);
                }
                if let Some(open) = state.open.get_mut(&name) {
                    *open = has;
                }
            }
            if leaves.is_some_and(|most| count > most) {
                break;
            }
        }
        world.tell(format!("{name} ended"));
        world.state.lock().open.remove(&name);
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
        let service = origin.cached(&world.edge);
        let mut clients = tokio::task::JoinSet::new();
        for n in 0..3 {
            let (name, conditional) = (format!("poll{n}"), n > 0);
            clients.spawn(poller(world.clone(), service.clone(), name, conditional));
            clients.spawn(reader(world.clone(), service.clone(), format!("read{n}")));
            clients.spawn(streamer(world.clone(), service.clone(), format!("stream{n}")));
        }
        let app = tokio::spawn(world.clone().app(service.clone()));
        app.await.map_err(|error| format!("seed {seed}: {error}"))?;
        clients.abort_all();
        while let Some(done) = clients.join_next().await {
            if let Err(error) = done
                && error.is_panic()
            {
                world.wrong(format!("panic {error}"));
            }
        }
        let state = world.state.lock();
        match state.wrong.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "seed {seed} {:?}\n{}\nseed {seed} {}",
                world.kind,
                state.story.join("\n"),
                state.wrong.join("\n")
            )),
        }
    })
}

#[test]
fn c5_m1_m3_whoever_asks_gets_what_was_announced() {
    if let Ok(seed) = std::env::var("GRIPSTACK_SEED") {
        run(seed.parse().expect("a number")).unwrap_or_else(|story| panic!("{story}"));
        return;
    }
    let full = std::env::var("GRIPSTACK_FULL").is_ok_and(|full| full == "1");
    for seed in 0..if full { 1_000 } else { 30 } {
        run(seed).unwrap_or_else(|story| panic!("{story}"));
    }
}

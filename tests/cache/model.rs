//! Whatever happens in whatever order: nobody gets a value older than one that was announced before it asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gripstack::cache::{CacheConfig, PacedReads};
use gripstack::grip::HoldMode;
use gripstack::{Message, Position, PurgeMode, Target, Url};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::origin::{Call, Origin, Refused, Reply, Step};
use crate::world::{Ask, Got, HOST, World, channel, get, ms, pass, post, secs, settle};

/// What the origin does with a request.
#[derive(Clone, Copy, Debug)]
struct Behaviour {
    head: Duration,
    body: Duration,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Answer,
    Status503,
    Private503,
    Fail,
    Break,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// A plain request, for one of two variants.
    Get(bool),
    /// One of the hold layer.
    Hold(bool),
    /// One of the hold layer, that needs what is known now.
    Fresh(bool),
    /// A client goes away.
    Leave(usize),
    /// The value changes, and nobody is told.
    Change,
    /// It changes, and a message says so.
    Publish,
    /// It changes, and a purge says so.
    Purge(PurgeMode, bool),
    /// It changes by an unsafe method.
    Post,
    Pass(Duration),
    /// Others go on for so many steps.
    Yield(usize),
}

/// How the origin describes its answers.
#[derive(Clone, Copy, Debug)]
struct Manner {
    policy: &'static str,
    tag: Tag,
    mode: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Tag {
    None,
    Strong,
    /// Two values share one.
    Weak,
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let time = prop_oneof![4 => Just(0u64), 4 => 1..40u64, 1 => Just(6_000u64), 1 => Just(20_000u64)];
    let outcome = prop_oneof![
        12 => Just(Outcome::Answer),
        1 => Just(Outcome::Status503),
        1 => Just(Outcome::Private503),
        1 => Just(Outcome::Fail),
        1 => Just(Outcome::Break),
    ];
    (time, prop_oneof![6 => Just(0u64), 1 => 1..40u64], outcome).prop_map(|(head, body, outcome)| Behaviour {
        head: ms(head),
        body: ms(body),
        outcome,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let mode = prop_oneof![
        Just(PurgeMode::Hard),
        Just(PurgeMode::SoftBlock),
        Just(PurgeMode::Soft)
    ];
    prop_oneof![
        8 => any::<bool>().prop_map(Op::Get),
        4 => any::<bool>().prop_map(Op::Hold),
        1 => any::<bool>().prop_map(Op::Fresh),
        1 => (0..100usize).prop_map(Op::Leave),
        1 => Just(Op::Change),
        4 => Just(Op::Publish),
        2 => (mode, any::<bool>()).prop_map(|(mode, by_key)| Op::Purge(mode, by_key)),
        1 => Just(Op::Post),
        5 => prop_oneof![5 => 0..50u64, 2 => 500..1_500u64, 1 => Just(5_500u64)].prop_map(|time| Op::Pass(ms(time))),
        4 => (0..12usize).prop_map(Op::Yield),
    ]
}

fn manner() -> impl Strategy<Value = Manner> {
    let policy = prop_oneof![
        Just("s-maxage=600"),
        Just("max-age=1, stale-while-revalidate=600"),
        Just("max-age=1"),
        Just("max-age=600, must-revalidate"),
        Just("max-age=0, stale-if-error=60"),
    ];
    let tag = prop_oneof![Just(Tag::None), Just(Tag::Strong), Just(Tag::Weak)];
    let mode = prop_oneof![Just("stream"), Just("response")];
    (policy, tag, mode).prop_map(|(policy, tag, mode)| Manner { policy, tag, mode })
}

fn config() -> impl Strategy<Value = CacheConfig> {
    let paced_reads = prop_oneof![3 => Just(PacedReads::Wait), 1 => Just(PacedReads::Stale)];
    let interval = prop_oneof![Just(20u64), Just(1_000)];
    let outage = prop_oneof![Just(None), Just(Some(secs(86_400)))];
    (paced_reads, interval, outage).prop_map(|(paced_reads, interval, outage)| {
        CacheConfig::new()
            .paced_reads(paced_reads)
            .interval(ms(interval))
            .outage(outage)
    })
}

/// What was announced so far: where, and which value at least.
#[derive(Default)]
struct Announced(Mutex<Vec<(Position, u64)>>);

impl Announced {
    fn add(&self, at: Position, value: u64) {
        self.0.lock().push((at, value));
    }

    fn at(&self, at: Position) -> u64 {
        let all = self.0.lock();
        let values = all
            .iter()
            .filter(|(position, _)| *position <= at)
            .map(|(_, value)| *value);
        values.max().unwrap_or_default()
    }

    fn last(&self) -> u64 {
        self.at(Position::new(u64::MAX))
    }
}

/// An origin whose value is that at the arrival of the request: as old as it may be.
fn origin(
    manner: Manner,
    behaviours: Vec<Behaviour>,
    value: Arc<AtomicU64>,
    heals: Arc<AtomicU64>,
) -> Origin {
    Origin::new(move |call: &Call| {
        let now = value.load(Ordering::SeqCst);
        if call.method == http::Method::POST {
            return Reply::ok("done");
        }
        let healthy = Behaviour {
            head: ms(0),
            body: ms(0),
            outcome: Outcome::Answer,
        };
        let behaviour = match heals.load(Ordering::SeqCst) {
            0 => behaviours[call.n % behaviours.len()],
            _ => healthy,
        };
        let tag = match manner.tag {
            Tag::None => None,
            Tag::Strong => Some(format!("\"{now}\"")),
            Tag::Weak => Some(format!("W/\"{}\"", now / 2)),
        };
        let reply = match behaviour.outcome {
            Outcome::Fail => return Reply::fail(Refused("down")).after(behaviour.head),
            Outcome::Status503 => return Reply::status(503).after(behaviour.head),
            Outcome::Private503 => return Reply::status(503).cc("no-store").after(behaviour.head),
            Outcome::Break => Reply::stream([Step::Pause(behaviour.body), Step::Break("broken")]),
            Outcome::Answer if tag.is_some() && call.header("if-none-match") == tag.as_deref() => {
                Reply::not_modified()
            }
            Outcome::Answer => Reply::stream([Step::Pause(behaviour.body), Step::data(now.to_string())]),
        };
        let reply = reply
            .cc(manner.policy)
            .header("vary", "accept")
            .after(behaviour.head);
        let reply = match &tag {
            Some(tag) => reply.header("etag", tag),
            None => reply,
        };
        match call.header("accept") {
            Some("text/event-stream") => reply
                .header("grip-hold", manner.mode)
                .header("grip-channel", "c")
                .header("surrogate-key", "k"),
            _ => reply.header("surrogate-key", "k ch:c"),
        }
    })
}

fn variant(ask: Ask, sse: bool) -> Ask {
    ask.header("accept", if sse { "text/event-stream" } else { "text/plain" })
}

/// A client, and what it may not get less than.
struct Client {
    floor: u64,
    ask: Op,
    task: JoinHandle<Result<Got, Refused>>,
}

/// `floor`: what was announced before it asked.
fn check(ask: Op, floor: u64, got: &Got, announced: &Announced) -> Result<(), TestCaseError> {
    if got.broken || got.status != 200 {
        return Ok(());
    }
    let status = got.cache_status();
    let value: u64 = got.body.parse().expect("a number");
    if let Some(handoff) = &got.handoff {
        let stamped = announced.at(handoff.stamp.at);
        prop_assert!(
            value >= stamped,
            "{:?} is stamped {} and lacks {stamped}: {value}, {status}",
            ask,
            handoff.stamp.at
        );
    }
    let marked = status.contains("outage") || status.contains("paced");
    // A stream hold replays: only its stamp counts. A long poll does not.
    let replays = got.handoff.as_ref().is_some_and(|handoff| {
        let hold = handoff.instruct.hold.as_ref();
        hold.is_some_and(|hold| hold.mode == HoldMode::Stream)
    });
    prop_assert!(
        marked || replays || value >= floor,
        "{:?} got {value}, and {} was announced before: {status}",
        ask,
        floor
    );
    Ok(())
}

async fn run(
    manner: Manner,
    behaviours: Vec<Behaviour>,
    ops: Vec<Op>,
    config: CacheConfig,
) -> Result<(), TestCaseError> {
    let (value, heals) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let origin = origin(manner, behaviours, value.clone(), heals.clone());
    let world = World::with(config, origin);
    let announced = Announced::default();
    let mut clients: Vec<Client> = Vec::new();
    let change = || value.fetch_add(1, Ordering::SeqCst) + 1;
    for op in ops {
        let mut start = |ask: Ask| {
            let service = world.service.clone();
            let task = tokio::spawn(async move {
                let response = service.oneshot(ask.into_request()).await?;
                Ok(Got::of(response).await)
            });
            clients.push(Client {
                floor: announced.last(),
                ask: op,
                task,
            });
        };
        match op {
            Op::Get(sse) => start(variant(get("/a"), sse)),
            Op::Hold(sse) => start(variant(get("/a"), sse).by_hold()),
            Op::Fresh(sse) => start(variant(get("/a"), sse).at_least(world.edge.hub().now())),
            Op::Leave(n) if !clients.is_empty() => {
                let n = n % clients.len();
                clients.swap_remove(n).task.abort();
            }
            Op::Leave(_) => {}
            Op::Change => drop(change()),
            Op::Publish => {
                let value = change();
                let message = Message::bytes(value.to_string());
                let at = world.edge.publish(channel("c"), message).await.expect("accepted");
                announced.add(at, value);
            }
            Op::Purge(mode, by_key) => {
                let value = change();
                let target = match by_key {
                    true => Target::Key("k".into()),
                    false => Target::Url(Url::new(HOST, "/a")),
                };
                announced.add(world.purge(target, mode).await, value);
            }
            Op::Post => {
                let value = change();
                world.get(post("/a")).await;
                // It has a position only if something was known of the URL.
                announced.add(world.edge.hub().now(), value);
            }
            Op::Pass(time) => tokio::time::sleep(time).await,
            Op::Yield(steps) => {
                for _ in 0..steps {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    for mut client in clients {
        let patience = tokio::time::timeout(secs(90), &mut client.task);
        if let Ok(got) = patience.await.expect("in time").expect("no panic") {
            check(client.ask, client.floor, &got, &announced)?;
        }
    }
    heals.store(1, Ordering::SeqCst);
    pass(secs(60)).await;
    world.is_idle();
    let last = change();
    let message = Message::bytes(last.to_string());
    world.edge.publish(channel("c"), message).await.expect("accepted");
    for sse in [true, false] {
        let mut got = world.get(variant(get("/a"), sse)).await;
        if got.cache_status().contains("detail=paced") {
            pass(secs(1)).await;
            got = world.get(variant(get("/a"), sse)).await;
        }
        prop_assert_eq!(&got.body, &last.to_string(), "{:?}", got);
    }
    pass(secs(60)).await;
    world.is_idle();
    let stats = world.edge.cache().stats();
    prop_assert!(stats.urls <= 1, "{:?}", stats);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_less_than_was_announced_before_it_asked(
        manner in manner(),
        behaviours in prop::collection::vec(behaviour(), 1..12),
        ops in prop::collection::vec(op(), 1..60),
        config in config(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let result = run(manner, behaviours, ops, config).await;
            settle().await;
            result
        })?;
    }
}

/// The same on threads, which no schedule orders: readers and an announcer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_gets_less_on_threads_either() {
    const VALUES: u64 = 400;
    for tag in [Tag::Strong, Tag::Weak] {
        let manner = Manner {
            policy: "max-age=600",
            tag,
            mode: "stream",
        };
        let healthy = Behaviour {
            head: ms(0),
            body: ms(0),
            outcome: Outcome::Answer,
        };
        let value = Arc::new(AtomicU64::new(1));
        let origin = origin(manner, vec![healthy], value.clone(), Arc::default());
        let config = CacheConfig::new().interval(Duration::from_micros(10));
        let world = Arc::new(World::with(config, origin));
        let announced = Arc::new(Announced::default());
        let reads = Arc::new(AtomicU64::new(0));
        let readers = (0..4u64).map(|reader| {
            let (world, announced, value) = (world.clone(), announced.clone(), value.clone());
            let reads = reads.clone();
            tokio::spawn(async move {
                let mut n = reader;
                while value.load(Ordering::SeqCst) <= VALUES {
                    n += 1;
                    let floor = announced.last();
                    let ask = variant(get("/a"), n % 2 == 0);
                    let ask = if n % 3 == 0 { ask.by_hold() } else { ask };
                    let got = world.get(ask).await;
                    reads.fetch_add(1, Ordering::SeqCst);
                    if let Err(error) = check(Op::Get(n % 2 == 0), floor, &got, &announced) {
                        panic!("{error}");
                    }
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        for n in 1..=VALUES {
            let next = value.fetch_add(1, Ordering::SeqCst) + 1;
            let at = match n % 5 {
                0 => world.purge_url("/a", PurgeMode::Hard).await,
                1 => world.purge_key("k", PurgeMode::SoftBlock).await,
                _ => world.publish("c").await,
            };
            announced.add(at, next);
            // Some of them ask between this one and the next.
            let before = reads.load(Ordering::SeqCst);
            let panicked = || readers.iter().any(JoinHandle::is_finished);
            while reads.load(Ordering::SeqCst) < before + 3 && !panicked() {
                tokio::task::yield_now().await;
            }
        }
        for reader in readers {
            crate::world::done(reader).await;
        }
    }
}

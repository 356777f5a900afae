//! Whatever happens in whatever order: nobody gets a value older than one that was announced before it asked, except
//! marked.
//!
//! What was announced, and whom it binds, is written down beside the cache by a model that knows the rules of the one
//! clock and nothing of how they are kept.

mod app;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gripstack::cache::{CacheConfig, PacedReads};
use gripstack::grip::{Hold, HoldMode, Instruct};
use gripstack::{Message, Position, PurgeMode, Target, Url};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use self::app::{
    App, Behaviour, CHANNELS, Confirms, DIGITS, Manner, Names, Outcome, Set, Tag, behaviour, is_private, key,
    manner,
};
use crate::origin::Refused;
use crate::world::{Ask, Got, HOST, World, channel, get, ms, pass, post, secs, settle};

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// A plain request, for one of two variants.
    Get(bool),
    /// One of the hold layer.
    Hold(bool),
    /// One of the hold layer, that needs what is known now.
    Fresh(bool),
    /// Somebody asks whether what he has is still right.
    Confirm(bool),
    /// Somebody asks for the last half.
    Range(bool),
    /// A client goes away.
    Leave(usize),
    /// The value changes, and nobody is told.
    Change,
    /// It changes, and a message says so, on one of the channels.
    Publish(usize),
    /// It changes, and a purge says so.
    Purge(PurgeMode, Purged),
    /// It changes by an unsafe method.
    Post,
    /// From now on answers name one more channel.
    Names,
    /// Everything under way ends.
    Settle,
    Pass(Duration),
    /// Others go on for so many steps.
    Yield(usize),
}

/// What is purged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Purged {
    Url,
    /// What all answers are tagged with.
    Key,
    /// What those of a third of the values are tagged with.
    OneKey(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let mode = prop_oneof![
        Just(PurgeMode::Hard),
        Just(PurgeMode::SoftBlock),
        Just(PurgeMode::Soft)
    ];
    let purged = prop_oneof![
        Just(Purged::Url),
        Just(Purged::Key),
        (0..3u64).prop_map(Purged::OneKey)
    ];
    prop_oneof![
        8 => any::<bool>().prop_map(Op::Get),
        4 => any::<bool>().prop_map(Op::Hold),
        1 => any::<bool>().prop_map(Op::Fresh),
        2 => any::<bool>().prop_map(Op::Confirm),
        2 => any::<bool>().prop_map(Op::Range),
        1 => (0..100usize).prop_map(Op::Leave),
        1 => Just(Op::Change),
        4 => prop_oneof![3 => Just(0), 2 => Just(1), 1 => Just(2usize)].prop_map(Op::Publish),
        2 => (mode, purged).prop_map(|(mode, purged)| Op::Purge(mode, purged)),
        1 => Just(Op::Post),
        1 => Just(Op::Names),
        2 => Just(Op::Settle),
        5 => prop_oneof![5 => 0..50u64, 2 => 500..1_500u64, 1 => Just(5_500u64)].prop_map(|time| Op::Pass(ms(time))),
        4 => (0..12usize).prop_map(Op::Yield),
    ]
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

/// What was announced so far: where, which value at least, and whom it binds.
#[derive(Default)]
struct Book(Mutex<Vec<Announced>>);

#[derive(Clone, Copy, Debug)]
struct Announced {
    at: Position,
    value: u64,
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Purge(PurgeMode, Purged),
    Post,
    /// On this channel. It binds all of the URL if that was known to have the channel.
    Message {
        channel: usize,
        known: bool,
    },
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Asks {
    #[expect(dead_code, reason = "for who reads what failed")]
    op: Op,
    /// For the event stream.
    sse: bool,
    by_hold: bool,
    /// How much had been announced before it asked.
    before: usize,
    /// The URL was known to have a channel.
    has_channels: bool,
    /// What it has had, which a 304 confirms: at most this.
    has: Option<u64>,
    /// It asks by `Last-Modified`.
    is_by_date: bool,
}

// === impl Book ===

impl Book {
    fn add(&self, at: Position, value: u64, by: By) {
        self.0.lock().push(Announced { at, value, by });
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// What is in an answer with this stamp.
    fn at(&self, at: Position) -> u64 {
        let all = self.0.lock();
        let values = all.iter().filter(|x| x.at <= at).map(|x| x.value);
        values.max().unwrap_or_default()
    }

    /// The most of what binds by one of these.
    fn floor(&self, before: usize, binds: impl Fn(By) -> bool) -> u64 {
        let all = self.0.lock();
        let values = all[..before].iter().filter(|x| binds(x.by)).map(|x| x.value);
        values.max().unwrap_or_default()
    }
}

/// A client, and what it may not get less than.
struct Client {
    asks: Asks,
    task: JoinHandle<Result<Got, Refused>>,
}

/// An answer that somebody keeps: its validator, and the value that it stands for at most.
struct Had {
    sse: bool,
    field: &'static str,
    validator: String,
    value: u64,
}

fn had(asks: Asks, manner: Manner, got: &Got) -> Option<Had> {
    let value = value_of(asks, got)?;
    let (field, validator, value) = match manner.tag {
        Tag::None => return None,
        // What passes has the application's date, of whatever second.
        Tag::Modified if passes(got.cache_status()) => return None,
        Tag::Modified => ("if-modified-since", got.field("last-modified"), value),
        Tag::Weak => ("if-none-match", got.field("etag"), value | 1),
        Tag::Strong | Tag::StrongThenWeak => ("if-none-match", got.field("etag"), value),
    };
    (!validator.is_empty()).then(|| Had {
        sse: asks.sse,
        field,
        validator: validator.to_owned(),
        value,
    })
}

/// The value that a client has by its answer; `None`: it has none.
fn value_of(asks: Asks, got: &Got) -> Option<u64> {
    match got.status.as_u16() {
        _ if got.broken => None,
        200 | 206 => Some(got.body.parse().expect("a number")),
        // The application's own word: it cannot tell two values of one second.
        304 if asks.is_by_date && passes(got.cache_status()) => None,
        304 => asks.has,
        _ => None,
    }
}

/// Whether the answer is the application's own, for this request alone.
fn passes(status: &str) -> bool {
    status.contains("stored=?0")
}

/// Whether it is said that the answer is old.
fn is_marked(status: &str) -> bool {
    let detail = status.split("detail=").nth(1);
    detail.is_some_and(|detail| ["outage", "paced", "paced-timeout", "foreign-age"].contains(&detail))
}

/// The hold that it asks for, of the hold layer: handed over, or as it came.
fn hold_of(got: &Got) -> Option<Hold> {
    let as_it_came = || Instruct::from_headers(&got.headers).expect("well-formed");
    let instruct = got.handoff.as_ref().map(|handoff| (*handoff.instruct).clone());
    instruct.or_else(as_it_came)?.hold
}

fn check(asks: Asks, got: &Got, manner: Manner, book: &Book) -> Result<(), TestCaseError> {
    let Some(value) = value_of(asks, got) else {
        return Ok(());
    };
    if got.status == 304 && manner.tag == Tag::Weak {
        // It stands for two values.
        return check_value(value - 1, asks, got, manner, book)
            .or_else(|_| check_value(value, asks, got, manner, book));
    }
    check_value(value, asks, got, manner, book)
}

fn check_value(value: u64, asks: Asks, got: &Got, manner: Manner, book: &Book) -> Result<(), TestCaseError> {
    let status = got.cache_status();
    let hold = hold_of(got);
    let streams = hold.as_ref().is_some_and(|hold| hold.mode == HoldMode::Stream);
    if let Some(handoff) = &got.handoff {
        let stamped = book.at(handoff.stamp.replay);
        prop_assert!(
            value >= stamped,
            "C3: {:?} is stamped {:?} and lacks {stamped}: {value}, {status}",
            asks,
            handoff.stamp
        );
    }
    if asks.sse && asks.by_hold && got.status == 200 {
        let Some(hold) = &hold else {
            return Err(TestCaseError::fail(format!(
                "C3: the hold is lost: {status}, {got:?}"
            )));
        };
        let channels: Vec<_> = hold.channels.iter().map(|held| held.name.as_str()).collect();
        prop_assert_eq!(&channels, &["c"], "C3: {}", status);
        let prev_id = hold.channels[0].prev_id.as_deref();
        let id = value.to_string();
        prop_assert!(
            prev_id.is_none_or(|prev_id| prev_id == id),
            "C3: the ids are of another body than {value}: {prev_id:?}, {status}"
        );
    }
    let tagged = |purged| match purged {
        Purged::Url | Purged::Key => true,
        Purged::OneKey(n) => key(value) == key(n),
    };
    // What is purged so is served for a while, where nobody is told of it.
    let may_be_old = !asks.has_channels && status.ends_with("detail=swr");
    // Rules M1 to M3, M5.
    let binds = |by| match by {
        By::Purge(PurgeMode::Soft, _) if may_be_old => false,
        By::Purge(_, purged) => tagged(purged),
        By::Post => !streams,
        By::Message { channel: 0, .. } if streams => false,
        By::Message { channel, known } if streams => known && manner.own_tag && channel == 1,
        By::Message { known, .. } => known,
    };
    let floor = book.floor(asks.before, binds);
    prop_assert!(
        value >= floor || is_marked(status),
        "C4, C5, M1 to M5: {:?} got {value}, and {floor} was announced before: {status}",
        asks
    );
    // Whatever the reason: what was purged hard is gone. What a foreign cache kept is only stale.
    let hard = book.floor(
        asks.before,
        |by| matches!(by, By::Purge(PurgeMode::Hard, purged) if tagged(purged)),
    );
    prop_assert!(
        value >= hard || manner.age.is_some(),
        "C4: {:?} got {value}, and {hard} was announced by a hard purge before: {status}",
        asks
    );
    Ok(())
}

fn variant(ask: Ask, sse: bool) -> Ask {
    ask.header("accept", if sse { "text/event-stream" } else { "text/plain" })
}

async fn run(
    manner: Manner,
    behaviours: Vec<Behaviour>,
    ops: Vec<Op>,
    config: CacheConfig,
) -> Result<(), TestCaseError> {
    let app = App::new(manner, behaviours);
    let world = World::with(config, app.origin());
    let book = Book::default();
    let mut clients: Vec<Client> = Vec::new();
    let haves: Arc<Mutex<Vec<Had>>> = Arc::default();
    // Holds whose answers nobody else may have: as long as they live their channel is the URL's.
    let private = |policy: Option<&str>| match manner.tag {
        // A date of a second that was not over confirms nothing.
        Tag::None | Tag::Modified => is_private(policy),
        // What can be confirmed is kept, if it may be.
        _ => policy == Some("no-store"),
    };
    let holds = Arc::new(AtomicU64::new(0));
    let mut known = Set::default();
    let mut was_purged = false;
    for op in ops {
        let mut start = |ask: Ask, sse: bool, by_hold: bool, has: Option<u64>| {
            let service = world.service.clone();
            let asks = Asks {
                op,
                sse,
                by_hold,
                before: book.len(),
                has_channels: known.contains(&true),
                has,
                is_by_date: manner.tag == Tag::Modified,
            };
            let (haves, holds) = (haves.clone(), holds.clone());
            let task = tokio::spawn(async move {
                let response = service.oneshot(ask.into_request()).await?;
                let got = Got::of(response).await;
                haves.lock().extend(had(asks, manner, &got));
                if hold_of(&got).is_some() && !got.broken {
                    holds.fetch_add(1, Ordering::SeqCst);
                }
                Ok(got)
            });
            clients.push(Client { asks, task });
        };
        match op {
            Op::Get(sse) => start(variant(get("/a"), sse), sse, false, None),
            Op::Hold(sse) => start(variant(get("/a"), sse).by_hold(), sse, true, None),
            Op::Fresh(sse) => start(
                variant(get("/a"), sse).at_least(world.edge.hub().now()),
                sse,
                true,
                None,
            ),
            Op::Confirm(sse) => {
                let ask = {
                    let haves = haves.lock();
                    let mine = haves.iter().rev().find(|had| had.sse == sse);
                    mine.map(|had| {
                        (
                            variant(get("/a"), sse).header(had.field, &had.validator),
                            had.value,
                        )
                    })
                };
                if let Some((ask, value)) = ask {
                    start(ask, sse, false, Some(value));
                }
            }
            Op::Range(sse) => {
                let range = format!("bytes={}-{}", DIGITS / 2, DIGITS - 1);
                start(variant(get("/a"), sse).header("range", &range), sse, false, None);
            }
            Op::Leave(n) if !clients.is_empty() => {
                let n = n % clients.len();
                let client = clients.swap_remove(n);
                if !client.task.is_finished() {
                    // What it waits for may go with it.
                    app.is_forgotten();
                }
                client.task.abort();
                if private(manner.sse_policy) {
                    holds.store(0, Ordering::SeqCst);
                    known[0] = false;
                    known[1] &= !private(manner.text_policy);
                }
            }
            Op::Leave(_) => {}
            Op::Change => drop(app.change()),
            Op::Publish(n) => {
                let value = app.change();
                let message = Message::bytes(value.to_string());
                let at = world
                    .edge
                    .publish(channel(CHANNELS[n]), message)
                    .await
                    .expect("accepted");
                book.add(
                    at,
                    value,
                    By::Message {
                        channel: n,
                        known: known[n],
                    },
                );
            }
            Op::Purge(mode, purged) => {
                let value = app.change();
                let target = match purged {
                    Purged::Url => Target::Url(Url::new(HOST, "/a")),
                    Purged::Key => Target::Key("k".into()),
                    Purged::OneKey(n) => Target::Key(key(n).into()),
                };
                let at = world.purge(target, mode).await;
                book.add(at, value, By::Purge(mode, purged));
                if mode == PurgeMode::Hard {
                    // What was stored is gone, and so is what it named.
                    app.is_forgotten();
                    known = Set::default();
                    was_purged = true;
                }
            }
            Op::Post => {
                let value = app.change();
                world.get(post("/a")).await;
                book.add(world.edge.hub().now(), value, By::Post);
            }
            Op::Names => app.names_the_third(),
            Op::Settle => {
                pass(secs(60)).await;
                world.is_idle();
                if std::mem::take(&mut was_purged) && manner.age.is_some() {
                    // What a foreign cache answered right after that may be from before.
                    app.is_forgotten();
                }
                let [text, sse] = app.named();
                let lives = [
                    !private(manner.text_policy),
                    !private(manner.sse_policy) || holds.load(Ordering::SeqCst) > 0,
                ];
                for (n, known) in known.iter_mut().enumerate() {
                    *known = lives[0] && text[n] || lives[1] && sse[n];
                }
            }
            Op::Pass(time) => tokio::time::sleep(time).await,
            Op::Yield(steps) => {
                for _ in 0..steps {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    // Holds live until the last of them has its answer.
    let mut answers = Vec::new();
    for client in clients {
        let patience = tokio::time::timeout(secs(90), client.task);
        if let Ok(got) = patience.await.expect("in time").expect("no panic") {
            check(client.asks, &got, manner, &book)?;
            answers.push(got);
        }
    }
    drop(answers);
    app.heals();
    pass(secs(60)).await;
    world.is_idle();
    for sse in [true, false] {
        world.get(variant(get("/a"), sse)).await;
    }
    let last = app.change();
    world.purge_url("/a", PurgeMode::SoftBlock).await;
    if manner.age.is_some() {
        pass(secs(60)).await;
    }
    for sse in [true, false] {
        let got = world.get(variant(get("/a"), sse)).await;
        prop_assert_eq!(got.body.parse(), Ok(last), "{:?}", got);
    }
    pass(secs(60)).await;
    world.is_idle();
    let stats = world.edge.cache().stats();
    prop_assert!(stats.urls <= 1, "{:?}", stats);
    Ok(())
}

/// 400, unless `PROPTEST_CASES` says otherwise.
fn config_of_runs() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 400;
    }
    config
}

proptest! {
    #![proptest_config(config_of_runs())]

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

/// What such runs found, at its smallest.
#[tokio::test(start_paused = true)]
async fn what_was_found() {
    let manner = Manner {
        text_policy: Some("s-maxage=600"),
        sse_policy: Some("s-maxage=600"),
        tag: Tag::None,
        mode: "stream",
        names: Names::Nothing,
        own_tag: false,
        confirms: Confirms::Bare,
        is_dated: true,
        age: None,
    };
    let private_streams = Manner {
        sse_policy: Some("no-store"),
        ..manner
    };
    let weak = Manner {
        sse_policy: Some("max-age=0, stale-if-error=60"),
        tag: Tag::Weak,
        ..manner
    };
    let (sse, text) = (true, false);
    let healthy = Behaviour {
        head: ms(0),
        body: ms(0),
        outcome: Outcome::Answer,
    };
    // Who waited for a paced one has an old answer by then, and nobody reads its body.
    let late = Behaviour {
        head: secs(6),
        body: ms(1),
        ..healthy
    };
    let well: &[Behaviour] = &[healthy; 2];
    let breaks = Behaviour {
        outcome: Outcome::Break,
        ..healthy
    };
    let kept = Manner {
        sse_policy: None,
        tag: Tag::Strong,
        ..manner
    };
    let all: [(&str, Manner, &[Behaviour], &[Op]); 8] = [
        (
            "one that breaks off beside one that is kept to be validated",
            kept,
            &[healthy, healthy, breaks, healthy],
            &[
                Op::Get(sse),
                Op::Get(sse),
                Op::Settle,
                Op::Leave(1),
                Op::Get(text),
                Op::Settle,
                Op::Publish(0),
                Op::Confirm(text),
            ],
        ),
        (
            "two values of one second",
            Manner {
                tag: Tag::Modified,
                ..manner
            },
            well,
            &[
                Op::Get(sse),
                Op::Settle,
                Op::Fresh(sse),
                Op::Change,
                Op::Pass(ms(1)),
                Op::Publish(0),
                Op::Confirm(sse),
            ],
        ),
        (
            "a lone request through a foreign cache",
            Manner {
                age: Some(0),
                ..private_streams
            },
            well,
            &[
                Op::Get(text),
                Op::Range(sse),
                Op::Purge(PurgeMode::Hard, Purged::Url),
                Op::Pass(ms(1)),
                Op::Get(text),
            ],
        ),
        (
            "a weak 304 with other ids",
            Manner {
                confirms: Confirms::Channels,
                ..weak
            },
            well,
            &[Op::Hold(sse), Op::Change, Op::Settle, Op::Change, Op::Hold(sse)],
        ),
        (
            "a weak 304 with other ids and a hold",
            Manner {
                confirms: Confirms::All,
                ..weak
            },
            well,
            &[Op::Hold(sse), Op::Change, Op::Settle, Op::Change, Op::Hold(sse)],
        ),
        (
            "a private hold whose answer could nearly be kept",
            Manner {
                text_policy: Some("max-age=1, stale-while-revalidate=600"),
                sse_policy: Some("no-cache"),
                tag: Tag::Modified,
                ..manner
            },
            well,
            &[
                Op::Hold(sse),
                Op::Get(text),
                Op::Hold(text),
                Op::Settle,
                Op::Purge(PurgeMode::Soft, Purged::Url),
                Op::Names,
                Op::Get(text),
            ],
        ),
        (
            "a private hold, and nothing else for a while",
            private_streams,
            well,
            &[
                Op::Hold(sse),
                Op::Settle,
                Op::Get(text),
                Op::Settle,
                Op::Publish(0),
                Op::Get(text),
            ],
        ),
        (
            "a channel of an answer that nobody waited for any more when its body came",
            Manner {
                names: Names::ByTag,
                ..manner
            },
            &[healthy, healthy, late],
            &[
                Op::Get(text),
                Op::Settle,
                Op::Names,
                Op::Publish(1),
                Op::Get(text),
                Op::Get(sse),
                Op::Settle,
                // Until somebody looks, it counts as there.
                Op::Get(sse),
                Op::Settle,
                Op::Publish(2),
                Op::Get(sse),
            ],
        ),
    ];
    for (what, manner, behaviours, ops) in all {
        let config = CacheConfig::new().interval(ms(20)).outage(None);
        let result = run(manner, behaviours.to_vec(), ops.to_vec(), config).await;
        assert!(result.is_ok(), "{what}: {result:?}");
    }
}

/// The same on threads, which no schedule orders: readers and an announcer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_gets_less_on_threads_either() {
    const VALUES: u64 = 400;
    for tag in [Tag::Strong, Tag::Weak] {
        let manner = Manner {
            text_policy: Some("max-age=600"),
            sse_policy: Some("max-age=600"),
            tag,
            mode: "stream",
            names: Names::ByTag,
            own_tag: true,
            confirms: Confirms::All,
            is_dated: true,
            age: None,
        };
        let healthy = Behaviour {
            head: ms(0),
            body: ms(0),
            outcome: Outcome::Answer,
        };
        let app = App::new(manner, vec![healthy]);
        let config = CacheConfig::new().interval(Duration::from_micros(10));
        let world = Arc::new(World::with(config, app.origin()));
        // Both variants, so that their channels are known.
        for sse in [true, false] {
            world.get(variant(get("/a"), sse)).await;
        }
        let book = Arc::new(Book::default());
        let reads = Arc::new(AtomicU64::new(0));
        let readers = (0..4u64).map(|reader| {
            let (world, book, app, reads) = (world.clone(), book.clone(), app.clone(), reads.clone());
            tokio::spawn(async move {
                let mut n = reader;
                while app.value() <= VALUES {
                    n += 1;
                    let (sse, by_hold) = (n % 2 == 0, n % 3 == 0);
                    let asks = Asks {
                        op: Op::Get(sse),
                        sse,
                        by_hold,
                        before: book.len(),
                        has_channels: true,
                        has: None,
                        is_by_date: false,
                    };
                    let ask = variant(get("/a"), sse);
                    let got = world.get(if by_hold { ask.by_hold() } else { ask }).await;
                    reads.fetch_add(1, Ordering::SeqCst);
                    if let Err(error) = check(asks, &got, manner, &book) {
                        panic!("{error}");
                    }
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        for n in 1..=VALUES {
            let next = app.change();
            match n % 5 {
                0 => {
                    let at = world.purge_url("/a", PurgeMode::Hard).await;
                    book.add(at, next, By::Purge(PurgeMode::Hard, Purged::Url));
                }
                1 => {
                    let at = world.purge_key("k", PurgeMode::SoftBlock).await;
                    book.add(at, next, By::Purge(PurgeMode::SoftBlock, Purged::Key));
                }
                _ => {
                    // Of what is purged hard the channels are known only when it is there again.
                    let (channel, known) = ((n % 2) as usize, n % 5 != 2);
                    let at = world.publish(CHANNELS[channel]).await;
                    book.add(at, next, By::Message { channel, known });
                }
            }
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

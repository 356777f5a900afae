//! Random orders of several channels, against what rule D1 says of each item by itself.

use std::collections::HashMap;
use std::time::Duration;

use gripstack::hub::{Delivery, LogLimits, Wants};
use gripstack::{Channel, Edge, Message, Order, Position, Publication, PurgeMode, Target};
use proptest::prelude::*;
use tokio::time::Instant;

const CHANNELS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Submit {
        items: Vec<Said>,
        purge: bool,
        leave: bool,
    },
    Advance(u64),
}

#[derive(Clone, Debug)]
struct Said {
    channel: usize,
    /// Follows the one before it; 0 has no id.
    n: u32,
    bytes: usize,
}

fn said() -> impl Strategy<Value = Said> {
    let n = prop_oneof![1 => Just(0u32), 12 => 2..9u32];
    let bytes = prop_oneof![Just(0usize), Just(4_000), Just(9_000)];
    (0..CHANNELS, n, bytes).prop_map(|(channel, n, bytes)| {
        // Who says it again says the same.
        let bytes = match n {
            0 => bytes,
            n => [0, 4_000, 9_000][(channel + n as usize) % 3],
        };
        Said { channel, n, bytes }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let items = prop::collection::vec(said(), 1..6);
    prop_oneof![
        4 => (items, any::<bool>(), any::<bool>())
            .prop_map(|(items, purge, leave)| Step::Submit { items, purge, leave }),
        1 => (1..70u64).prop_map(Step::Advance),
    ]
}

#[derive(Clone, Debug)]
struct First {
    step: usize,
    /// In its order.
    place: usize,
    when: Instant,
    key: Option<Target>,
    /// What it follows was there.
    ready: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    step: usize,
    /// In the log of its channel.
    place: usize,
    at: Position,
    when: Instant,
}

struct Limits {
    waiting_bytes: usize,
    entries: usize,
    age: Duration,
}

async fn run(steps: Vec<Step>, limits: Limits, unnamed: bool) -> Result<(), TestCaseError> {
    let is_small = limits.entries < 1_000 || limits.age < Duration::from_secs(900);
    let limits = LogLimits::new()
        .waiting_bytes(limits.waiting_bytes)
        .entries(limits.entries)
        .age(limits.age);
    let edge = Edge::builder().log_limits(limits).build();
    let channels: Vec<_> = (0..CHANNELS)
        .map(|n| Channel::new(&format!("c{n}")).expect("valid"))
        .collect();
    let publication = |said: &Said| {
        let mut message = Message::bytes(vec![0; said.bytes]);
        if said.n > 0 {
            message = message
                .with_id(said.n.to_string())
                .with_prev_id((said.n - 1).to_string());
        }
        Publication::new(channels[said.channel].clone(), message)
    };
    let mut subscription = edge
        .hub()
        .subscribe(&channels, edge.hub().stamp_at(Position::ZERO), Wants::Stream)
        .expect("no gap");
    // Each knows a last id.
    let first = (0..CHANNELS).map(|channel| {
        publication(&Said {
            channel,
            n: 1,
            bytes: 0,
        })
    });
    edge.submit(first.collect()).await.expect("accepted");

    let mut firsts: HashMap<(usize, u32), First> = HashMap::new();
    let mut seen: HashMap<(usize, u32), Seen> = HashMap::new();
    let mut logs = [0usize; CHANNELS];
    let mut said_unnamed = 0;
    let mut seen_unnamed = 0;
    let mut lagged = false;
    let mut last = Position::ZERO;
    let mut answers = Vec::new();
    // Looked at every 100 ms; nothing waits at the end.
    let steps: Vec<Step> = steps
        .into_iter()
        .chain([Step::Advance(60)])
        .flat_map(|step| match step {
            Step::Advance(tenths) => vec![Step::Advance(1); tenths as usize],
            submit @ Step::Submit { .. } => vec![submit],
        })
        .collect();
    for (nth, step) in steps.iter().enumerate() {
        match step {
            Step::Submit { items, purge, leave } => {
                let items: Vec<_> = items.iter().filter(|said| unnamed || said.n > 0).collect();
                if items.is_empty() {
                    continue;
                }
                let key = purge.then(|| Target::key(&*format!("k{nth}")));
                let mut order: Order = items.iter().map(|said| publication(said)).collect();
                if let Some(key) = &key {
                    order = order.and_purge(key.clone(), PurgeMode::Hard);
                }
                let before = edge.hub().now();
                let accepted = edge.accept(order).await;
                prop_assert!(accepted.is_ok(), "{:?}", accepted);
                let accepted = accepted.expect("just asked");
                if let Some(key) = &key {
                    prop_assert!(edge.hub().last_purge(key) > before, "purged at once");
                }
                for (place, said) in items.iter().enumerate() {
                    if said.n == 0 {
                        said_unnamed += 1;
                        continue;
                    }
                    let ready = said.n == 2 || seen.contains_key(&(said.channel, said.n - 1));
                    let new = First {
                        step: nth,
                        place,
                        when: Instant::now(),
                        key: key.clone(),
                        ready,
                    };
                    firsts.entry((said.channel, said.n)).or_insert(new);
                }
                let mine: Vec<_> = items.iter().map(|said| (said.channel, said.n)).collect();
                let answer = tokio::spawn(accepted.all());
                if *leave {
                    answer.abort();
                } else {
                    answers.push((mine, answer));
                }
            }
            Step::Advance(tenths) => {
                for _ in 0..*tenths {
                    tokio::time::advance(Duration::from_millis(100)).await;
                    for _ in 0..3 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        while let Ok(next) = tokio::time::timeout(Duration::ZERO, subscription.next()).await {
            let Delivery::Message {
                channel, at, message, ..
            } = next
            else {
                lagged = true;
                continue;
            };
            prop_assert!(at >= last, "{at} after {last}");
            last = at;
            let place = logs[channel];
            logs[channel] += 1;
            let Some(id) = &message.id else {
                seen_unnamed += 1;
                continue;
            };
            let n = id.parse().expect("a number");
            let new = Seen {
                step: nth,
                place,
                at,
                when: Instant::now(),
            };
            let old = seen.insert((channel, n), new);
            prop_assert!(is_small || old.is_none(), "{channel}/{n} twice");
        }
    }
    prop_assert_eq!(edge.hub().stats().waiting, 0);
    prop_assert_eq!(edge.hub().stats().waiting_bytes, 0);
    if lagged {
        prop_assert!(is_small);
        return Ok(());
    }
    if !is_small {
        prop_assert_eq!(said_unnamed, seen_unnamed);
    }
    for (name @ (channel, n), first) in &firsts {
        let Some(its) = seen.get(name) else {
            return Err(TestCaseError::fail(format!("{name:?} is lost")));
        };
        if is_small {
            continue;
        }
        let waited = its.when - first.when;
        prop_assert!(
            waited <= Duration::from_millis(5_200),
            "{:?} waited {:?}",
            name,
            waited
        );
        prop_assert!(
            !first.ready || its.step == first.step,
            "{:?} waited for nothing",
            name
        );
        if let Some(key) = &first.key {
            prop_assert!(
                edge.hub().last_purge(key) >= its.at,
                "{:?} without its purge",
                name
            );
        }
        let before = (*channel, n - 1);
        let (Some(other), Some(first_other)) = (seen.get(&before), firsts.get(&before)) else {
            continue;
        };
        let next = seen.get(&(*channel, n + 1));
        let is_late = next.is_some_and(|next| next.place < its.place);
        if other.place < its.place || is_late {
            continue;
        }
        let same = first.step == first_other.step;
        let was_there = first_other.step < its.step
            || (first_other.step == its.step && (!same || first_other.place < first.place || !unnamed));
        prop_assert!(
            !was_there,
            "{:?} ({:?} {:?}) overtook the one before it ({:?} {:?})",
            name,
            first,
            its,
            first_other,
            other
        );
    }
    for (mine, answer) in answers {
        let at = answer.await.expect("no panic");
        prop_assert!(at.is_ok());
        let at = at.expect("just asked");
        for name in mine.iter().filter(|(_, n)| *n > 0) {
            prop_assert!(is_small || seen[name].at <= at, "answered too early");
        }
    }
    Ok(())
}

fn check(steps: Vec<Step>, limits: Limits, unnamed: bool) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(run(steps, limits, unnamed))
}

const LONG: Duration = Duration::from_secs(900);

proptest! {
    #![proptest_config(crate::cases())]

    #[test]
    fn d1_any_orders_with_room(steps in prop::collection::vec(step(), 1..12), unnamed: bool) {
        check(steps, Limits { waiting_bytes: 64 << 20, entries: 1_000, age: LONG }, unnamed)?;
    }

    #[test]
    fn d1_any_orders_with_little_room(steps in prop::collection::vec(step(), 1..12), unnamed: bool) {
        check(steps, Limits { waiting_bytes: 12_000, entries: 1_000, age: LONG }, unnamed)?;
    }

    #[test]
    fn d1_any_orders_with_short_logs(
        steps in prop::collection::vec(step(), 1..12),
        unnamed: bool,
        entries in 12..20usize,
        age in 1..8u64,
        waiting_bytes in prop_oneof![Just(12_000usize), Just(64 << 20)],
    ) {
        check(steps, Limits { waiting_bytes, entries, age: Duration::from_secs(age) }, unnamed)?;
    }
}

//! Random orders whose ids say anything: forks, circles, states, no sequence. Nothing is lost, doubled or forgotten.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use gripstack::hub::{Delivery, LogLimits, Wants};
use gripstack::{Channel, Edge, Message, Order, Position, Publication, PurgeMode, SubmitError, Target};
use proptest::prelude::*;
use tokio::time::Instant;

const CHANNELS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Submit {
        items: Vec<Said>,
        leave: bool,
        again: bool,
    },
    Tenth(u64),
}

#[derive(Clone, Debug)]
struct Said {
    channel: usize,
    id: u8,
    prev_id: u8,
    free: bool,
    latest: bool,
    bytes: usize,
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = prop_oneof![4 => Just(0usize), 1 => Just(4_000), 1 => Just(9_000)];
    let flag = || prop::bool::weighted(0.1);
    (0..CHANNELS, 0..10u8, 0..10u8, flag(), flag(), bytes).prop_map(
        |(channel, id, prev_id, free, latest, bytes)| Said {
            channel,
            id,
            prev_id,
            free,
            latest,
            bytes,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::collection::vec(said(), 1..5), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(items, leave, again)| Step::Submit { items, leave, again }),
        1 => (1..70u64).prop_map(Step::Tenth),
    ]
}

async fn run(steps: Vec<Step>, waiting_bytes: usize, short: Option<u64>) -> Result<(), TestCaseError> {
    let mut limits = LogLimits::new().waiting_bytes(waiting_bytes);
    if let Some(age) = short {
        limits = limits.entries(8).age(Duration::from_secs(age));
    }
    let edge = Edge::builder().log_limits(limits).build();
    let channels: Vec<_> = (0..CHANNELS)
        .map(|n| Channel::new(&format!("c{n}")).expect("valid"))
        .collect();
    let mut subscription = edge
        .hub()
        .subscribe(&channels, edge.hub().stamp_at(Position::ZERO), Wants::Stream)
        .expect("no gap");
    let steps: Vec<Step> = steps
        .into_iter()
        .chain([Step::Tenth(120)])
        .flat_map(|step| match step {
            Step::Tenth(tenths) => vec![Step::Tenth(1); tenths as usize],
            submit @ Step::Submit { .. } => vec![submit],
        })
        .collect();
    let mut sayings: HashMap<(usize, u8), Said> = HashMap::new();
    let mut firsts: HashMap<(usize, u8), Instant> = HashMap::new();
    let mut states: HashSet<(usize, u8)> = HashSet::new();
    let mut seen: HashMap<(usize, u8), (Position, Instant)> = HashMap::new();
    let mut seen_last: HashMap<(usize, u8), (Position, Instant)> = HashMap::new();
    let mut unnamed = [0usize; 2];
    let mut answers = Vec::new();
    for (nth, step) in steps.iter().enumerate() {
        match step {
            Step::Submit { items, leave, again } => {
                // Who says it again says the same.
                let said = |said: &Said| match said.id {
                    0 => said.clone(),
                    id => {
                        let first = sayings.entry((said.channel, id)).or_insert(said.clone());
                        let latest = said.latest;
                        Said {
                            latest,
                            ..first.clone()
                        }
                    }
                };
                let items: &Vec<Said> = &items.iter().map(said).collect();
                let publication = |said: &Said| {
                    let mut message = Message::bytes(vec![0; said.bytes]);
                    if said.id > 0 {
                        message = message.with_id(said.id.to_string());
                    }
                    if said.prev_id > 0 {
                        message = message.with_prev_id(said.prev_id.to_string());
                    }
                    if said.free {
                        message = message.with_no_seq();
                    }
                    let publication = Publication::new(channels[said.channel].clone(), message);
                    if said.latest {
                        publication.latest()
                    } else {
                        publication
                    }
                };
                let key = Target::key(&*format!("k{nth}"));
                let order: Order = items.iter().map(publication).collect();
                let order = order.and_purge(key.clone(), PurgeMode::Hard);
                for time in 0..=usize::from(*again) {
                    let before = (edge.hub().now(), edge.hub().stats());
                    let accepted = match edge.accept(order.clone()).await {
                        Ok(accepted) => accepted,
                        Err(SubmitError::Conflict(_)) => {
                            let after = (edge.hub().now(), edge.hub().stats());
                            prop_assert_eq!(before, after, "nothing is applied");
                            continue;
                        }
                        Err(error) => return Err(TestCaseError::fail(error.to_string())),
                    };
                    prop_assert!(edge.hub().last_purge(&key) > Position::ZERO);
                    for said in items {
                        if said.id > 0 {
                            firsts.entry((said.channel, said.id)).or_insert(Instant::now());
                            if said.latest {
                                states.insert((said.channel, said.id));
                            }
                        } else if !said.latest && time == 0 {
                            unnamed[0] += 1;
                        }
                    }
                    let answer = tokio::spawn(accepted.all());
                    if *leave {
                        answer.abort();
                    } else if time == 0 {
                        answers.push((items.clone(), answer));
                    }
                }
            }
            Step::Tenth(_) => {
                tokio::time::advance(Duration::from_millis(100)).await;
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            }
        }
        while let Ok(next) = tokio::time::timeout(Duration::ZERO, subscription.next()).await {
            let Delivery::Message {
                channel, at, message, ..
            } = next
            else {
                prop_assert!(short.is_some(), "lagged");
                continue;
            };
            let Some(id) = &message.id else {
                unnamed[1] += 1;
                continue;
            };
            let id = id.parse().expect("a number");
            let now = Instant::now();
            seen.entry((channel, id)).or_insert((at, now));
            if let Some((old, when)) = seen_last.insert((channel, id), (at, now)) {
                let said = &sayings[&(channel, id)];
                let is_unlinked = said.free || said.prev_id == 0;
                // It follows what came after it; or it names nothing, and that was long ago.
                let previous = seen_last.get(&(channel, said.prev_id));
                let is_news = match is_unlinked {
                    true => now - when > Duration::from_secs(60),
                    // A state says nothing of what it follows.
                    false => {
                        states.contains(&(channel, id))
                            || previous.is_some_and(|(previous, _)| *previous >= old)
                    }
                };
                prop_assert!(is_news || short.is_some(), "{channel}/{id} twice");
            }
        }
    }
    let stats = edge.hub().stats();
    prop_assert_eq!((stats.waiting, stats.waiting_bytes), (0, 0));
    if short.is_some() {
        for (_, answer) in answers {
            prop_assert!(answer.await.expect("no panic").is_ok());
        }
        return Ok(());
    }
    prop_assert!(
        unnamed[1] >= unnamed[0],
        "{:?}: one without an id is lost",
        unnamed
    );
    for (name, first) in &firsts {
        match seen.get(name) {
            // A state may have been replaced in its own order, and come back.
            Some(_) if states.contains(name) => {}
            Some((_, when)) => {
                let waited = *when - *first;
                prop_assert!(
                    waited <= Duration::from_millis(5_200),
                    "{:?} waited {:?}",
                    name,
                    waited
                );
            }
            None => prop_assert!(states.contains(name), "{:?} is lost", name),
        }
    }
    for (items, answer) in answers {
        let at = answer.await.expect("no panic");
        prop_assert!(at.is_ok(), "{:?}", at);
        let at = at.expect("just asked");
        for said in items.iter().filter(|said| said.id > 0) {
            let its = seen.get(&(said.channel, said.id));
            prop_assert!(
                // A state may have been replaced in its own order, and come back.
                states.contains(&(said.channel, said.id)) || its.is_none_or(|(its, _)| *its <= at),
                "{:?} answered {} too early",
                said,
                at
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::cases())]

    #[test]
    fn d1_whatever_ids_say_each_goes_out_once(
        steps in prop::collection::vec(step(), 1..15),
        waiting_bytes in prop_oneof![Just(12_000usize), Just(64 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(steps, waiting_bytes, None))?;
    }

    #[test]
    fn d1_whatever_ids_say_nothing_waits_for_ever_where_logs_are_short(
        steps in prop::collection::vec(step(), 1..15),
        waiting_bytes in prop_oneof![Just(12_000usize), Just(64 << 20)],
        age in 1..8u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(steps, waiting_bytes, Some(age)))?;
    }
}

//! Random calls of publishers, paced or not, against what rules D2a and C1 say of each message by itself.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use gripstack::hub::{Delivery, LogLimits, Subscription, Wants};
use gripstack::message::{PushedResponse, ResponseForm, StreamForm};
use gripstack::publish::{Item, Policy, PublishConfig, PublishOptions, Rule};
use gripstack::{Channel, Edge, Message, Position, Publisher, Purge, PurgeMode, Target};
use proptest::prelude::*;

const CHANNELS: usize = 2;
const T: u64 = 1_000;

#[derive(Clone, Debug)]
enum Step {
    Publish { items: Vec<Said>, leave: bool },
    Advance(u64),
    Read,
    Flush,
    Drain,
}

#[derive(Clone, Debug)]
struct Said {
    channel: usize,
    paced: bool,
    /// Nothing, sends, closes or hints.
    stream: u8,
    response: u8,
    purge: bool,
    big: bool,
}

fn said() -> impl Strategy<Value = Said> {
    let form = || prop_oneof![2 => Just(0u8), 6 => Just(1u8), 1 => Just(2u8)];
    let flags = (any::<bool>(), any::<bool>());
    (0..CHANNELS, prop::bool::weighted(0.8), form(), form(), flags).prop_map(
        |(channel, paced, stream, response, (purge, big))| Said {
            channel,
            paced,
            stream: if stream + response == 0 { 1 } else { stream },
            response,
            purge,
            big,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop::collection::vec(said(), 1..4), any::<bool>())
            .prop_map(|(items, leave)| Step::Publish { items, leave }),
        4 => prop_oneof![Just(T), Just(T - 1), 1..2 * T].prop_map(Step::Advance),
        3 => Just(Step::Read),
        1 => Just(Step::Flush),
        1 => Just(Step::Drain),
    ]
}

#[derive(Clone, Debug)]
struct Accepted {
    said: Said,
    before: Position,
    key: Target,
}

/// One reader, and what it read of each channel: the numbers of messages, and their positions.
struct Reader {
    subscription: Subscription,
    wants: Wants,
    got: [Vec<(usize, Position)>; CHANNELS],
}

impl Reader {
    async fn read(&mut self) {
        while let Ok(next) = tokio::time::timeout(Duration::ZERO, self.subscription.next()).await {
            let Delivery::Message {
                channel, at, message, ..
            } = next
            else {
                panic!("lagged");
            };
            self.got[channel].push((number(&message), at));
        }
    }
}

fn number(message: &Message) -> usize {
    let id = message.id.as_deref().expect("all have ids");
    id.parse().expect("a number")
}

async fn run(steps: Vec<Step>, entries: usize) -> Result<(), TestCaseError> {
    let edge = Edge::builder()
        .log_limits(LogLimits::new().entries(entries))
        .build();
    let rule = Rule::latest().interval(Duration::from_millis(T));
    let publisher = Publisher::new(edge.clone(), PublishConfig::new().rule(rule));
    let channels: Vec<_> = (0..CHANNELS)
        .map(|n| Channel::new(&format!("c{n}")).expect("valid"))
        .collect();
    let reader = |wants| Reader {
        subscription: edge
            .hub()
            .subscribe(&channels, edge.hub().stamp_at(Position::ZERO), wants)
            .expect("no gap"),
        wants,
        got: Default::default(),
    };
    let mut eager = [reader(Wants::Stream), reader(Wants::Response)];
    let mut lazy = [reader(Wants::Stream), reader(Wants::Response)];
    let mut accepted: Vec<Accepted> = Vec::new();
    let mut steps = steps;
    steps.push(Step::Advance(250 * T));
    for step in &steps {
        match step {
            Step::Publish { items, leave } => {
                let before = edge.hub().now();
                let mut call = Vec::new();
                for said in items {
                    let n = accepted.len();
                    let bytes = if said.big { 1_000 } else { 1 };
                    let mut message = Message::default();
                    message = match said.stream {
                        0 => message,
                        1 => message.with_stream(StreamForm::Send(vec![b'x'; bytes].into())),
                        _ => message.with_stream(if n.is_multiple_of(2) {
                            StreamForm::Close
                        } else {
                            StreamForm::Hint
                        }),
                    };
                    message = match said.response {
                        0 => message,
                        1 => message.with_response(PushedResponse::new(vec![b'x'; bytes]).into()),
                        _ => message.with_response(ResponseForm::Hint),
                    };
                    message = message.with_id(n.to_string());
                    let key = Target::key(&*format!("k{n}"));
                    let purges = said.purge.then(|| Purge {
                        target: key.clone(),
                        mode: PurgeMode::Hard,
                    });
                    call.push(Item {
                        channel: channels[said.channel].clone(),
                        message,
                        options: PublishOptions {
                            policy: (!said.paced).then_some(Policy::All),
                            purges: purges.into_iter().collect(),
                            version: None,
                        },
                    });
                    accepted.push(Accepted {
                        said: said.clone(),
                        before,
                        key,
                    });
                }
                // Who says one not to be paced says it of all of its channel in the call.
                let from = accepted.len() - items.len();
                for n in from..accepted.len() {
                    let all = accepted[from..]
                        .iter()
                        .any(|other| other.said.channel == accepted[n].said.channel && !other.said.paced);
                    accepted[n].said.paced &= !all;
                }
                let mut future = pin!(publisher.publish_all(call));
                let first = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                match first {
                    std::task::Poll::Ready(receipt) => {
                        let receipt = receipt.expect("accepted");
                        prop_assert!(receipt.position.is_none_or(|at| at <= edge.hub().now()));
                    }
                    std::task::Poll::Pending if *leave => {}
                    std::task::Poll::Pending => {
                        future.await.expect("accepted");
                    }
                }
            }
            Step::Advance(ms) => {
                for _ in 0..ms.div_ceil(100) {
                    tokio::time::advance(Duration::from_millis(100.min(*ms))).await;
                    for _ in 0..3 {
                        tokio::task::yield_now().await;
                    }
                    for reader in &mut eager {
                        reader.read().await;
                    }
                }
            }
            Step::Read => {
                for reader in &mut lazy {
                    reader.read().await;
                }
            }
            Step::Flush => {
                publisher.flush().await;
            }
            Step::Drain => {
                edge.drain();
            }
        }
        for reader in &mut eager {
            reader.read().await;
        }
    }
    for reader in &mut lazy {
        reader.read().await;
    }
    let said: Vec<_> = accepted.iter().map(|accepted| accepted.said.clone()).collect();
    for reader in eager.iter().chain(&lazy) {
        for (channel, got) in reader.got.iter().enumerate() {
            for pair in got.windows(2) {
                prop_assert!(pair[0].0 < pair[1].0, "{:?} {:?}", reader.wants, got);
                prop_assert!(pair[0].1 <= pair[1].1, "{:?} {:?}", reader.wants, got);
            }
            let form = |said: &Said| match reader.wants {
                Wants::Stream => said.stream,
                _ => said.response,
            };
            let mine = accepted
                .iter()
                .enumerate()
                .filter(|(_, accepted)| accepted.said.channel == channel && form(&accepted.said) > 0);
            let last = mine.clone().next_back().map(|(n, _)| n);
            prop_assert_eq!(
                got.last().map(|(n, _)| *n),
                last,
                "the last one, {:?}",
                reader.wants
            );
            for (n, accepted) in mine {
                // The same close or hint once more is enough.
                let kind = |n: usize| match reader.wants {
                    Wants::Stream => n % 2,
                    _ => 0,
                };
                let is_again = |other: usize| {
                    other > n
                        && form(&accepted.said) == 2
                        && form(&said[other]) == 2
                        && kind(other) == kind(n)
                };
                let has = got.iter().any(|(other, _)| *other == n || is_again(*other));
                if !accepted.said.paced || form(&accepted.said) == 2 {
                    prop_assert!(has, "{} is lost to {:?}: {:?}", n, reader.wants, got);
                }
            }
            for (n, at) in got {
                let accepted = &accepted[*n];
                if accepted.said.purge {
                    prop_assert!(
                        edge.hub().last_purge(&accepted.key) >= *at,
                        "{} without its purge",
                        n
                    );
                }
            }
        }
    }
    for accepted in accepted.iter().filter(|accepted| accepted.said.purge) {
        prop_assert!(
            edge.hub().last_purge(&accepted.key) > accepted.before,
            "a purge is lost"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::cases())]

    #[test]
    fn d2a_any_calls_of_publishers(
        steps in prop::collection::vec(step(), 1..25),
        entries in prop_oneof![Just(1_000usize), Just(200)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(steps, entries))?;
    }
}

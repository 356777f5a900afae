//! The pacer against a naive model that looks at every millisecond.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::pacer::{Pacer, Start, Update, Verdict};
use crate::message::{Channel, Message};
use crate::order::{Publication, Purge, PurgeMode, Target};

const T: u64 = 20;
const CHANNELS: usize = 3;

/// At a millisecond, an update of a channel; how long its order, if it is sent, is on its way.
#[derive(Clone, Debug)]
struct Step {
    after: u64,
    channel: usize,
    takes: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let after = prop_oneof![4 => 0..4u64, 2 => 0..T, 1 => T - 2..T + 3, 1 => 0..4 * T];
    let takes = prop_oneof![5 => Just(0u64), 2 => 1..T / 2, 1 => T..3 * T];
    let step = (after, 0..CHANNELS, takes).prop_map(|(after, channel, takes)| Step {
        after,
        channel,
        takes,
    });
    prop::collection::vec(step, 1..60)
}

/// What was sent when: the number of the update.
type Sent = Vec<(u64, usize)>;

/// One channel, looked at every millisecond.
#[derive(Default)]
struct Naive {
    pending: Option<(usize, u64)>,
    busy_until: Option<u64>,
    may_start: u64,
    sent: Sent,
}

impl Naive {
    fn look(&mut self, now: u64) {
        if self.busy_until.is_some_and(|until| until <= now) {
            self.busy_until = None;
        }
        if self.busy_until.is_none()
            && now >= self.may_start
            && let Some((update, takes)) = self.pending.take()
        {
            self.sent.push((now, update));
            self.may_start = now + T;
            self.busy_until = (takes > 0).then_some(now + takes);
        }
    }
}

fn naive(steps: &[Step]) -> [Sent; CHANNELS] {
    let mut at = 0;
    let mut arrivals: BTreeMap<u64, Vec<(usize, Step)>> = BTreeMap::new();
    for (n, step) in steps.iter().enumerate() {
        at += step.after;
        arrivals.entry(at).or_default().push((n, step.clone()));
    }
    let mut channels: [Naive; CHANNELS] = Default::default();
    for now in 0..at + 10 * T {
        channels.iter_mut().for_each(|channel| channel.look(now));
        for (n, step) in arrivals.remove(&now).unwrap_or_default() {
            channels[step.channel].pending = Some((n, step.takes));
            channels[step.channel].look(now);
        }
    }
    channels.map(|channel| channel.sent)
}

/// The pacer, woken only at its deadlines.
struct World {
    pacer: Pacer,
    epoch: Instant,
    now: u64,
    steps: Vec<Step>,
    /// Orders on their way, by the time at which they finish.
    finishing: BTreeMap<(u64, usize), Start>,
    sent: [Sent; CHANNELS],
    purged: Vec<usize>,
}

impl World {
    fn at(&self, ms: u64) -> Instant {
        self.epoch + Duration::from_millis(ms)
    }

    fn start(&mut self, start: Start) {
        let publication = &start.order.publications[0];
        let text = publication.message.id.as_deref().expect("all have ids");
        let n: usize = text.parse().expect("a number");
        let step = self.steps[n].clone();
        assert!(
            !self
                .finishing
                .values()
                .any(|other| other.channel == start.channel),
            "two on their way"
        );
        self.sent[step.channel].push((self.now, n));
        for purge in &start.order.purges {
            let Target::Key(key) = &purge.target else {
                panic!("{purge:?}")
            };
            self.purged.push(key.parse().expect("a number"));
        }
        if step.takes == 0 {
            self.pacer.finish(&start.channel, None, self.at(self.now));
        } else {
            self.finishing.insert((self.now + step.takes, n), start);
        }
    }

    /// Does all that is due until `until`, each at its time.
    fn run_until(&mut self, until: u64) {
        loop {
            let finish = self.finishing.first_key_value().map(|((at, _), _)| *at);
            let deadline = self
                .pacer
                .next_deadline()
                .map(|at| ((at - self.epoch).as_millis() as u64).max(self.now));
            let Some(next) = finish.into_iter().chain(deadline).min().filter(|at| *at <= until) else {
                break;
            };
            self.now = next;
            if finish == Some(next) {
                let (_, start) = self.finishing.pop_first().expect("just seen");
                self.pacer.finish(&start.channel, None, self.at(next));
            }
            let due = self.pacer.due(self.at(next));
            due.into_iter().for_each(|start| self.start(start));
        }
        self.now = until;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rlp_01_to_06_as_the_naive_model(steps in steps()) {
        let mut world = World {
            pacer: Pacer::new(CHANNELS, 1 << 20, (500, 1 << 19)),
            epoch: Instant::now(),
            now: 0,
            steps: steps.clone(),
            finishing: BTreeMap::new(),
            sent: Default::default(),
            purged: Vec::new(),
        };
        let mut last = [None; CHANNELS];
        for (n, step) in steps.iter().enumerate() {
            world.run_until(world.now + step.after);
            last[step.channel] = Some(n);
            let update = Update {
                publication: Publication {
                    channel: Channel::new(&step.channel.to_string()).expect("a good name"),
                    message: Arc::new(Message::bytes("x").with_id(n.to_string())),
                    latest: true,
                    comes_back: false,
                },
                purges: vec![Purge {
                    target: Target::Key(n.to_string().into()),
                    mode: PurgeMode::Hard,
                }],
                interval: Duration::from_millis(T),
                version: None,
            };
            let verdicts = world.pacer.submit(vec![update], world.at(world.now));
            for verdict in verdicts.expect("there is room") {
                match verdict {
                    Verdict::Start(start) => world.start(start),
                    Verdict::Waits { .. } => {}
                    Verdict::Superseded => panic!("nothing is older here"),
                }
            }
        }
        world.run_until(world.now + 10 * T);

        for (channel, sent) in world.sent.iter().enumerate() {
            // At most one start in an interval.
            for pair in sent.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= T, "{:?}", sent);
                prop_assert!(pair[1].1 > pair[0].1, "older after newer: {:?}", sent);
            }
            // The last one is always sent.
            prop_assert_eq!(sent.last().map(|(_, n)| *n), last[channel]);
        }
        // No purge is lost, none is made twice.
        world.purged.sort_unstable();
        prop_assert_eq!(&world.purged, &(0..steps.len()).collect::<Vec<_>>());
        // Nothing is left.
        prop_assert_eq!(world.pacer.sizes(), (0, 0, 0));
        prop_assert_eq!(world.sent, naive(&steps));
    }
}

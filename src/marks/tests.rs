use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::order::Target;

fn key(n: u32) -> TargetKey {
    TargetKey::of(&Target::Key(n.to_string().into()))
}

fn host(n: u32) -> TargetKey {
    TargetKey::of(&Target::Host(n.to_string().into()))
}

fn everything() -> TargetKey {
    TargetKey::of(&Target::Everything)
}

fn at(n: u64) -> Position {
    Position::new(n)
}

impl Marks {
    /// Tables in which most targets meet others.
    fn crowded(hosts: usize) -> Self {
        Self {
            hosts: Remembered::new(hosts, 4),
            named: Remembered::new(0, 4),
            ..Self::new()
        }
    }

    fn standing(&self, keys: &[TargetKey], stamp: u64) -> Standing {
        self.since(&[keys], at(stamp)).standing()
    }
}

#[test]
fn modes_rank_and_stamps_pass() {
    let now = Instant::now();
    let mut marks = Marks::new();
    let keys = [key(0), key(1)];
    marks.set(key(1), PurgeMode::Hard, at(3), now);
    marks.set(key(1), PurgeMode::Soft, at(5), now);
    assert_eq!(marks.standing(&keys, 2), Standing::Dead);
    assert_eq!(marks.standing(&keys, 3), Standing::Soft { since: Some(now) });
    assert_eq!(marks.standing(&keys, 5), Standing::Clean);
    marks.set(key(0), PurgeMode::Invalidated, at(7), now);
    assert_eq!(marks.standing(&keys, 4), Standing::Invalidated { purged: true });
    assert_eq!(marks.standing(&keys, 5), Standing::Invalidated { purged: false });
}

#[test]
fn pur_32_the_window_runs_from_the_first_soft_purge() {
    let start = Instant::now();
    let time = |n: u64| start + Duration::from_secs(20 * n);
    let mut marks = Marks::new();
    let seen = Seen::default();
    let standing = |marks: &Marks, stamp| marks.standing(&[key(1)], stamp);
    let soft = |since| Standing::Soft { since };
    for n in 1..=4 {
        marks.set(key(1), PurgeMode::Soft, at(n), time(n));
        assert_eq!(standing(&marks, 0), soft(Some(time(1))));
        seen.move_on(&marks, at(0), &[&[key(1)], &[]], &KeySet::default(), at(n));
    }
    for n in 5..=9 {
        marks.set(key(1), PurgeMode::Soft, at(n), time(n));
    }
    assert_eq!(standing(&marks, 4), soft(None));
    assert_eq!(standing(&marks, 5), soft(Some(time(6))));
    // What has seen the first one remembers it.
    let happened = seen.move_on(&marks, at(0), &[&[key(1)], &[]], &KeySet::default(), at(9));
    assert_eq!(happened.standing(), soft(Some(time(1))));
}

#[test]
fn a_forgotten_mark_makes_stale_and_nothing_gone() {
    let now = Instant::now();
    let mut marks = Marks::new();
    marks.set(key(1), PurgeMode::Hard, at(1), now);
    assert!(
        marks.named.is_idle(),
        "an edge that forgets nothing pays for no table"
    );
    let seen = Seen::default();
    seen.move_on(&marks, at(0), &[&[key(1)], &[]], &KeySet::default(), at(1));
    while marks.forget(at(1), 1) {}
    assert_eq!(marks.forgettable(), 0);
    assert_eq!(marks.standing(&[key(1)], 0), Standing::Blocked);
    assert_eq!(marks.standing(&[key(1)], 1), Standing::Clean);
    assert!(marks.last_of(key(1)) == at(1) && marks.last_of(key(2)) == at(0));
    let happened = seen.move_on(&marks, at(0), &[&[key(1)], &[]], &KeySet::default(), at(1));
    assert_eq!(happened.standing(), Standing::Dead, "it had seen it");
}

#[test]
fn only_as_much_is_forgotten_as_was_seen() {
    let now = Instant::now();
    let mut marks = Marks::new();
    for n in 1..=10 {
        marks.set(key(n), PurgeMode::Hard, at(n.into()), now);
    }
    // One that is set again is as young as its last mark.
    marks.set(key(1), PurgeMode::Soft, at(11), now);
    assert_eq!((marks.oldest(), marks.forgettable()), (Some(at(2)), 10));
    assert_eq!(marks.all_but(2), at(9));
    assert!(!marks.forget(at(5), 100));
    assert_eq!((marks.oldest(), marks.forgettable()), (Some(at(6)), 6));
    assert_eq!(marks.standing(&[key(1)], 0), Standing::Dead);
}

#[test]
fn hosts_are_remembered_each_for_itself() {
    let now = Instant::now();
    let mut marks = Marks::crowded(3);
    for n in 1..=5 {
        marks.set(host(n), PurgeMode::Hard, at(n.into()), now);
    }
    marks.set(everything(), PurgeMode::Soft, at(6), now);
    assert_eq!(marks.forgettable(), 2);
    assert!(!marks.forget(at(6), 100));
    for n in 3..=5 {
        assert_eq!(marks.standing(&[host(n)], 0), Standing::Dead);
        assert_eq!(marks.standing(&[host(n)], 5), Standing::Clean);
    }
    for n in 1..=2 {
        assert_eq!(marks.standing(&[host(n)], 0), Standing::Blocked);
    }
    // Whatever is forgotten of URLs and keys.
    for n in 10..100 {
        marks.set(key(n), PurgeMode::Hard, at(n.into()), now);
    }
    assert!(!marks.forget(at(99), 100));
    assert_eq!(marks.standing(&[host(7), everything()], 6), Standing::Clean);
    assert_eq!(
        marks.standing(&[host(7), everything(), key(1)], 6),
        Standing::Blocked
    );
}

/// What happens in the model below.
#[derive(Clone, Debug)]
enum Step {
    Set(usize, u8),
    /// An object with these targets is made, of a fetch that began so many positions ago.
    Make {
        targets: Vec<usize>,
        ago: u64,
        stored: bool,
    },
    Look(usize),
    /// Its URL learns a channel; or one leaves.
    Learn(usize, usize),
    Leave(usize),
    /// A copy takes its place: with this target more, or as it is.
    Copy(usize, Option<usize>),
    /// It leaves the store, and somebody still has it.
    Take(usize),
    Sweep,
    Forget(usize),
}

/// Targets of all kinds.
fn target(n: usize) -> TargetKey {
    match n {
        0..6 => key(n as u32),
        6..10 => host(n as u32),
        _ => everything(),
    }
}

const TARGETS: usize = 11;

struct Object {
    stamp: Position,
    own: Vec<usize>,
    channels: Vec<usize>,
    keys: KeySet,
    /// Channels that it once had.
    left: Vec<usize>,
    seen: Seen,
    upto: Position,
    stored: bool,
    /// Something was forgotten that it had not seen.
    is_inexact: bool,
}

/// Every mark that was ever set.
#[derive(Default)]
struct Naive(Vec<(usize, PurgeMode, Position, Instant)>);

impl Naive {
    fn of(&self, targets: &[usize], stamp: Position) -> (Standing, bool) {
        let all = || {
            let marks = self.0.iter();
            marks.filter(move |(target, _, at, _)| *at > stamp && targets.contains(target))
        };
        let has = |mode| all().any(|(_, of, _, _)| *of == mode);
        let soft = || all().filter(|(_, mode, _, _)| *mode == PurgeMode::Soft);
        let standing = if has(PurgeMode::Hard) {
            Standing::Dead
        } else if has(PurgeMode::SoftBlock) {
            Standing::Blocked
        } else if has(PurgeMode::Invalidated) {
            let purged = soft().next().is_some();
            Standing::Invalidated { purged }
        } else if let Some((_, _, _, time)) = soft().next() {
            Standing::Soft { since: Some(*time) }
        } else {
            Standing::Clean
        };
        let many_soft = targets
            .iter()
            .any(|n| soft().filter(|(of, ..)| of == n).count() > SOFT_TIMES);
        (standing, many_soft)
    }
}

fn rank(standing: Standing) -> u8 {
    match standing {
        Standing::Clean => 0,
        Standing::Soft { .. } => 1,
        Standing::Invalidated { purged: false } => 2,
        Standing::Invalidated { purged: true } => 3,
        Standing::Blocked => 4,
        Standing::Dead => 5,
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 0usize..8;
    let step = prop_oneof![
        4 => (0..TARGETS, 0u8..4).prop_map(|(target, mode)| Step::Set(target, mode)),
        3 => (prop::collection::vec(0..TARGETS, 1..4), 0u64..6, any::<bool>())
            .prop_map(|(targets, ago, stored)| Step::Make { targets, ago, stored }),
        4 => n.clone().prop_map(Step::Look),
        1 => (n.clone(), 0usize..6).prop_map(|(object, target)| Step::Learn(object, target)),
        1 => n.clone().prop_map(Step::Leave),
        1 => (n.clone(), prop::option::of(0..TARGETS)).prop_map(|(object, more)| Step::Copy(object, more)),
        1 => n.prop_map(Step::Take),
        2 => Just(Step::Sweep),
        2 => (1usize..4).prop_map(Step::Forget),
    ];
    prop::collection::vec(step, 1..60)
}

impl Object {
    /// Looks at it, and compares with what would be known if nothing were ever forgotten.
    fn look(&mut self, marks: &Marks, naive: &Naive, now: Position) -> Result<(), TestCaseError> {
        self.is_inexact |= self.misses(&[&self.own[..], &self.channels].concat(), self.upto, marks);
        let happened = if self.seen.is_clean_with(&self.keys, now) {
            Happened::default()
        } else {
            let own: Vec<TargetKey> = self.own.iter().map(|n| target(*n)).collect();
            let (first, second) = own.split_at(own.len() / 2);
            self.seen
                .move_on(marks, self.stamp, &[first, second], &self.keys, now)
        };
        self.upto = now;
        let standing = happened.standing();
        let targets = [&self.own[..], &self.channels].concat();
        let (due, many_soft) = naive.of(&targets, self.stamp);
        // What was applied while a channel was one of its URL's stays.
        let (most, _) = naive.of(&[&targets[..], &self.left].concat(), self.stamp);
        prop_assert!(
            rank(standing) >= rank(due).min(rank(Standing::Blocked)),
            "fresher than it is: {standing:?}, {due:?}"
        );
        prop_assert!(
            rank(standing) <= rank(most).max(rank(Standing::Blocked)),
            "gone for nothing"
        );
        if !self.is_inexact {
            prop_assert!(rank(standing) >= rank(due) && rank(standing) <= rank(most));
            if let (Standing::Soft { since: Some(since) }, Standing::Soft { since: first }) = (standing, due)
                && self.left.is_empty()
            {
                prop_assert_eq!(Some(since), first);
            }
            let is_known = !matches!(standing, Standing::Soft { since: None });
            prop_assert!(is_known || many_soft || !self.left.is_empty());
        }
        if due != Standing::Clean && !self.is_inexact {
            let of_due = |(of, _, at, _): &&(usize, PurgeMode, Position, Instant)| {
                *at > self.stamp && targets.contains(of)
            };
            let last = naive.0.iter().rfind(of_due).map(|mark| mark.2);
            prop_assert!(Some(happened.last) >= last);
        }
        Ok(())
    }

    /// Whether something of these targets may be forgotten that was set after this position.
    fn misses(&self, targets: &[usize], from: Position, marks: &Marks) -> bool {
        targets.iter().any(|n| match target(*n).kind() {
            TargetKind::Everything => false,
            TargetKind::Host => from < marks.hosts.forgotten(),
            TargetKind::Named => from < marks.named.forgotten(),
        })
    }

    fn set_channels(&mut self, marks: &Marks, channels: Vec<usize>) {
        for new in channels.iter().filter(|n| !self.channels.contains(n)) {
            self.is_inexact |= self.misses(&[*new], self.stamp, marks);
        }
        let gone = self.channels.iter().filter(|n| !channels.contains(n));
        self.left.extend(gone);
        self.keys = channels.iter().map(|n| target(*n)).collect();
        self.channels = channels;
    }
}

proptest! {
    /// PUR-21, PUR-22: whatever is forgotten, no purge is; and what has seen what is forgotten knows it exactly.
    #[test]
    fn pur_21_nothing_is_fresher_or_more_dead_than_if_nothing_were_forgotten(
        steps in steps(),
        hosts in 0usize..3,
    ) {
        let start = Instant::now();
        let mut marks = Marks::crowded(hosts);
        let mut naive = Naive::default();
        let mut objects: Vec<Object> = Vec::new();
        let (mut now, mut swept) = (Position::ZERO, Position::ZERO);
        for step in steps {
            let count = objects.len();
            let any = |n: usize| (count > 0).then(|| n % count);
            match step {
                Step::Set(n, mode) => {
                    now = now.next();
                    let modes = [
                        PurgeMode::Hard,
                        PurgeMode::SoftBlock,
                        PurgeMode::Invalidated,
                        PurgeMode::Soft,
                    ];
                    let mode = modes[usize::from(mode)];
                    let time = start + Duration::from_secs(now.get());
                    marks.set(target(n), mode, now, time);
                    naive.0.push((n, mode, now, time));
                }
                Step::Make { targets, ago, stored } => {
                    let stamp = at(now.get().saturating_sub(ago));
                    objects.push(Object {
                        stamp,
                        own: targets,
                        channels: Vec::new(),
                        keys: KeySet::default(),
                        left: Vec::new(),
                        seen: Seen::default(),
                        upto: stamp,
                        stored,
                        is_inexact: false,
                    });
                }
                Step::Look(n) => {
                    if let Some(n) = any(n) {
                        objects[n].look(&marks, &naive, now)?;
                    }
                }
                Step::Learn(n, channel) => {
                    if let Some(n) = any(n) {
                        let mut channels = objects[n].channels.clone();
                        channels.push(channel);
                        objects[n].set_channels(&marks, channels);
                        objects[n].look(&marks, &naive, now)?;
                    }
                }
                Step::Leave(n) => {
                    if let Some(n) = any(n) {
                        let mut channels = objects[n].channels.clone();
                        channels.pop();
                        objects[n].set_channels(&marks, channels);
                    }
                }
                Step::Copy(n, more) => {
                    if let Some(n) = any(n) {
                        let object = &mut objects[n];
                        object.seen = match more {
                            None => object.seen.clone(),
                            Some(more) => {
                                object.is_inexact |= object.misses(&[more], object.stamp, &marks);
                                object.own.push(more);
                                object.seen.inherit(&marks, object.stamp, &[target(more)])
                            }
                        };
                    }
                }
                Step::Take(n) => {
                    if let Some(n) = any(n) {
                        objects[n].stored = false;
                    }
                }
                Step::Sweep => {
                    for object in objects.iter_mut().filter(|object| object.stored) {
                        object.look(&marks, &naive, now)?;
                    }
                    swept = now;
                }
                Step::Forget(n) => drop(marks.forget(swept, n)),
            }
        }
        for object in &mut objects {
            object.look(&marks, &naive, now)?;
        }
        for n in 0..TARGETS {
            let last = naive.0.iter().rfind(|(of, ..)| *of == n).map_or(Position::ZERO, |mark| mark.2);
            prop_assert!(marks.last_of(target(n)) >= last);
        }
    }
}

//! What may become of an answer for a request: the rules of the one clock, at lookup, join and head.

use tokio::time::Instant;

use super::channels::{Channels, Named};
use super::config::PacedReads;
use super::entry::Entry;
use super::flight::Landed;
use super::policy::{Freshness, Outage, StaleReason};
use super::resource::Resource;
use crate::grip::{HoldMode, Instruct};
use crate::hub::{Hub, Judgement};
use crate::marks::Standing;
use crate::mutants::mutant;
use crate::position::{Position, Stamp, serves};

/// What a request needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// The clock when it arrived.
    pub(super) arrival: Stamp,
    /// A replay from below this is of no use to it.
    pub(super) at_least: Position,
    /// The hold layer asks: it replays what a stream missed, and takes instructions.
    pub(super) by_hold: bool,
    pub(super) is_head: bool,
    /// What it gets while a revalidation is held back.
    pub(super) paced_reads: PacedReads,
}

/// What may become of a stored answer.
#[derive(Clone, Debug)]
pub(super) enum Look {
    /// It answers. `aged`: messages came since, which the hold replays.
    Fresh { aged: bool },
    /// It answers while it is revalidated.
    Stale { freshness: Box<Freshness>, why: Why },
    /// It must be fetched anew first.
    Refetch(Why),
    /// As if it were not there.
    Dead,
}

/// Why an answer must be fetched anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// Its lifetime is over.
    Expired,
    /// It was purged, softly.
    Purged,
    /// An unsafe method succeeded.
    Invalidated,
    /// A message came on one of its channels.
    Aged,
    /// The request needs a younger one.
    AtLeast,
}

// === impl Needs ===

impl Needs {
    /// Of nobody in particular.
    pub(super) fn any(hub: &Hub) -> Self {
        Self {
            arrival: hub.stamp_at(hub.now()),
            at_least: Position::ZERO,
            by_hold: false,
            is_head: false,
            paced_reads: PacedReads::default(),
        }
    }

    /// Whether a hold that replays what came since starts from an answer with these instructions.
    fn replays(&self, instruct: Option<&Instruct>) -> bool {
        self.holds_as(HoldMode::Stream, instruct)
    }

    fn holds_as(&self, mode: HoldMode, instruct: Option<&Instruct>) -> bool {
        let hold = instruct.and_then(|instruct| instruct.hold.as_ref());
        self.by_hold && !self.is_head && hold.is_some_and(|hold| hold.mode == mode)
    }

    /// The last message that makes an answer older for this request: one with this stamp, with these instructions, that names
    /// these channels. Rule M1: a hold replays what comes on the channels
    /// that it subscribes to; what else its own answer names makes it older, what other answers of the URL name does not.
    /// Rules M2, M3: for everybody else all channels of the URL count.
    #[cfg_attr(
        not(gripstack_mutants),
        expect(clippy::if_same_then_else, reason = "each is broken by itself")
    )]
    fn last_message(
        &self,
        hub: &Hub,
        stamp: Stamp,
        (instruct, named): (Option<&Instruct>, Option<&Named>),
        judged: &Judgement,
    ) -> Position {
        if judged.last_message <= stamp.replay {
            return Position::ZERO;
        }
        if self.replays(instruct) {
            return match (named, instruct) {
                _ if mutant!("no-own-tag") => Position::ZERO,
                (Some(named), _) if named.has_more() => judged.last_message,
                (Some(named), Some(instruct)) => hub.last_message_of(named.beside(instruct)),
                _ => Position::ZERO,
            };
        }
        let ages = if self.holds_as(HoldMode::Response, instruct) {
            !mutant!("poll-old")
        } else {
            !mutant!("no-aging")
        };
        if ages { judged.last_message } else { Position::ZERO }
    }

    /// What becomes of a stored answer: rules C4, C5, and M1 to M5.
    pub(super) fn look(
        &self,
        hub: &Hub,
        resource: &Resource,
        entry: &Entry,
        channels: &Channels,
        now: Instant,
    ) -> Look {
        let judged = hub.judge(entry.since(&resource.keys, channels));
        let stamp = entry.head.stamp;
        let standing = if mutant!("no-purge-check") {
            Standing::Clean
        } else {
            judged.standing
        };
        if standing == Standing::Dead {
            return Look::Dead;
        }
        if stamp.replay < self.at_least {
            return Look::Refetch(Why::AtLeast);
        }
        let has_channels = !channels.is_empty();
        let mut ended_by_a_purge = false;
        match standing {
            Standing::Blocked | Standing::Invalidated { purged: true } => return Look::Refetch(Why::Purged),
            Standing::Invalidated { purged: false }
                if !(has_channels && self.replays(entry.head.instruct())) =>
            {
                return Look::Refetch(Why::Invalidated);
            }
            // A URL with channels has a value that somebody is told of: no window serves an older one.
            Standing::Soft { .. } if has_channels => return Look::Refetch(Why::Purged),
            Standing::Soft { since: None } => return Look::Refetch(Why::Purged),
            Standing::Soft { .. } => ended_by_a_purge = true,
            Standing::Invalidated { .. } | Standing::Clean | Standing::Dead => {}
        }
        let message = self.last_message(hub, stamp, entry.head.names(), &judged);
        if !serves(stamp.replay, self.arrival.at, message) {
            return Look::Refetch(Why::Aged);
        }
        let left;
        let (freshness, why) = if ended_by_a_purge {
            left = left_by(standing, entry, now);
            (&left, Why::Purged)
        } else {
            (&entry.head.freshness, Why::Expired)
        };
        if freshness.is_fresh(now) {
            let aged = judged.last_message > stamp.replay;
            Look::Fresh { aged }
        } else if freshness.may_serve_stale(now, StaleReason::Revalidating) {
            let freshness = Box::new(*freshness);
            Look::Stale { freshness, why }
        } else {
            Look::Refetch(why)
        }
    }

    /// Whether the answer of a flight serves this request, which waited for it or wants to read along: rule C5.
    pub(super) fn is_served_by(
        &self,
        hub: &Hub,
        resource: &Resource,
        entry: &Entry,
        channels: &Channels,
    ) -> bool {
        if mutant!("join-any") {
            return true;
        }
        let judged = hub.judge(entry.since(&resource.keys, channels));
        self.is_served(hub, entry.head.stamp, entry.head.names(), &judged)
    }

    /// The same of an answer with this stamp, these instructions and channels, to which that happened since.
    pub(super) fn is_served(
        &self,
        hub: &Hub,
        stamp: Stamp,
        names: (Option<&Instruct>, Option<&Named>),
        judged: &Judgement,
    ) -> bool {
        let message = self.last_message(hub, stamp, names, judged);
        self.is_in_time(stamp, judged, message)
    }

    /// The one test (rule C5), of a stamp and the last mark and message that count.
    fn is_in_time(&self, stamp: Stamp, judged: &Judgement, message: Position) -> bool {
        stamp.replay >= self.at_least
            && serves(stamp.at, self.arrival.at, last_mark(judged))
            && serves(stamp.replay, self.arrival.at, message)
    }

    /// Whether there is no better answer than this one, which does not serve: its fetch would, but a foreign cache between
    /// answered that (rule X1). Asking again would bring the same.
    pub(super) fn has_no_better(
        &self,
        hub: &Hub,
        resource: &Resource,
        landed: &Landed,
        channels: &Channels,
    ) -> bool {
        let Some(fetched) = landed.behind else {
            return false;
        };
        let entry = &landed.entry;
        let judged = hub.judge(entry.since(&resource.keys, channels));
        let message = self.last_message(hub, entry.head.stamp, entry.head.names(), &judged);
        let last = last_mark(&judged).max(message);
        serves(fetched.at, self.arrival.at, last)
    }

    /// Whether a flight that left at this stamp, and whose answer is not known yet, can serve this request: what
    /// is known of the URL counts, the rest is tested when the head arrives.
    pub(super) fn may_be_served_from(
        &self,
        hub: &Hub,
        resource: &Resource,
        channels: &Channels,
        stamp: Stamp,
    ) -> bool {
        if mutant!("join-any") {
            return true;
        }
        let judged = hub.judge(channels.since(stamp, [&resource.keys, &[]], None));
        let message = if self.by_hold || mutant!("no-aging") {
            Position::ZERO
        } else {
            judged.last_message
        };
        self.is_in_time(stamp, &judged, message)
    }

    /// Whether the answer may be given although it should have been fetched anew, and how fresh it then is. What was
    /// purged hard may not; what was purged otherwise counts as if its lifetime had ended.
    pub(super) fn may_have_old(
        &self,
        hub: &Hub,
        resource: &Resource,
        entry: &Entry,
        channels: &Channels,
        excuse: Option<Outage>,
        now: Instant,
    ) -> Option<Freshness> {
        let judged = hub.judge(entry.since(&resource.keys, channels));
        if judged.standing == Standing::Dead {
            return None;
        }
        let freshness = left_by(judged.standing, entry, now);
        let allowed = freshness.may_serve_stale(now, StaleReason::Error)
            || excuse.is_some_and(|excuse| freshness.may_serve_stale(now, StaleReason::Outage(excuse)));
        allowed.then_some(freshness)
    }
}

fn last_mark(judged: &Judgement) -> Position {
    if mutant!("no-purge-check") {
        Position::ZERO
    } else {
        judged.last_mark
    }
}

/// The freshness that marks leave: what they ended has ended, whatever its lifetime.
fn left_by(standing: Standing, entry: &Entry, now: Instant) -> Freshness {
    let freshness = entry.head.freshness;
    match standing {
        Standing::Clean | Standing::Dead => freshness,
        Standing::Soft { since: Some(since) } => freshness.as_if_expired_at(since),
        Standing::Soft { since: None } | Standing::Invalidated { .. } | Standing::Blocked => {
            freshness.as_if_expired_at(now)
        }
    }
}

// === impl Why ===

impl Why {
    /// Whether an answer is of use only if it is stamped later than the old one.
    pub(super) fn moves_the_stamp(self) -> bool {
        self != Self::Expired
    }

    /// Whether the fetch waits for its turn. What messages caused does; so does what an unsafe method caused, where
    /// the URL has channels, because a message follows.
    pub(super) fn is_paced(self, channels: &Channels) -> bool {
        match self {
            Self::Aged => true,
            Self::Invalidated => !channels.is_empty(),
            Self::Expired | Self::Purged | Self::AtLeast => false,
        }
    }
}

//! What may become of an answer for a request: the rules of the one clock, at lookup, join and head.

use tokio::time::Instant;

use super::config::PacedReads;
use super::entry::Entry;
use super::policy::{Freshness, Outage, StaleReason};
use super::resource::Channels;
use crate::hub::{Hub, Since};
use crate::marks::Standing;
use crate::mutants::mutant;
use crate::order::TargetKey;
use crate::position::{Position, serves};

/// What a request needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ask {
    /// The clock when it arrived.
    pub(super) arrival: Position,
    /// An answer stamped below this is of no use to it.
    pub(super) at_least: Position,
    /// The hold layer asks: it replays what a stream missed, and takes instructions.
    pub(super) by_hold: bool,
    pub(super) is_head: bool,
    /// What it gets while a revalidation is held back.
    pub(super) paced_reads: PacedReads,
}

/// What may become of a stored answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    /// It answers. `aged`: messages came since, which the hold replays.
    Fresh { aged: bool },
    /// It answers while it is revalidated.
    Stale { freshness: Freshness, why: Why },
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

// === impl Ask ===

impl Ask {
    /// Whether a hold starts from this entry that replays what came since: then messages do not make it older.
    fn replays(&self, entry: &Entry) -> bool {
        self.by_hold && !self.is_head && entry.is_stream()
    }

    /// Whether messages make this entry older for this request.
    #[cfg_attr(
        not(gripstack_mutants),
        expect(clippy::if_same_then_else, reason = "each is broken by itself")
    )]
    fn ages(&self, entry: &Entry) -> bool {
        if self.replays(entry) {
            return false;
        }
        let polls = self.by_hold && !self.is_head && entry.is_hold();
        if polls {
            !mutant!("poll-old")
        } else {
            !mutant!("no-aging")
        }
    }

    /// What becomes of a stored answer.
    pub(super) fn look(&self, hub: &Hub, entry: &Entry, channels: &Channels, now: Instant) -> Look {
        let judged = hub.judge(entry.since(channels));
        let has_channels = !channels.names.is_empty();
        let standing = if mutant!("no-purge-check") {
            Standing::Clean
        } else {
            judged.standing
        };
        if standing == Standing::Dead {
            return Look::Dead;
        }
        if entry.stamp < self.at_least {
            return Look::Refetch(Why::AtLeast);
        }
        let mut ended_by_a_purge = false;
        match standing {
            Standing::Blocked | Standing::Invalidated { purged: true } => return Look::Refetch(Why::Purged),
            Standing::Invalidated { purged: false } if !(has_channels && self.replays(entry)) => {
                return Look::Refetch(Why::Invalidated);
            }
            // A URL with channels has a value that somebody is told of: no window serves an older one.
            Standing::Soft { .. } if has_channels => return Look::Refetch(Why::Purged),
            Standing::Soft { since: None } => return Look::Refetch(Why::Purged),
            Standing::Soft { .. } => ended_by_a_purge = true,
            Standing::Invalidated { .. } | Standing::Clean | Standing::Dead => {}
        }
        let last_message = if channels.overflow {
            hub.now()
        } else {
            judged.last_message
        };
        let aged = last_message > entry.stamp;
        if self.ages(entry) && !serves(entry.stamp, self.arrival, last_message) {
            return Look::Refetch(Why::Aged);
        }
        let (freshness, why) = match ended_by_a_purge {
            true => (left_by(standing, entry, now), Why::Purged),
            false => (entry.freshness, Why::Expired),
        };
        if freshness.is_fresh(now) {
            Look::Fresh { aged }
        } else if freshness.may_serve_stale(now, StaleReason::Revalidating) {
            Look::Stale { freshness, why }
        } else {
            Look::Refetch(why)
        }
    }

    /// Whether the answer of a flight serves this request, which waited for it or wants to read along.
    pub(super) fn is_served_by(&self, hub: &Hub, entry: &Entry, channels: &Channels) -> bool {
        if mutant!("join-any") {
            return true;
        }
        let judged = hub.judge(entry.since(channels));
        let mut last = if mutant!("no-purge-check") {
            Position::ZERO
        } else {
            judged.last_mark
        };
        if self.ages(entry) {
            last = last.max(if channels.overflow {
                hub.now()
            } else {
                judged.last_message
            });
        }
        entry.stamp >= self.at_least && serves(entry.stamp, self.arrival, last)
    }

    /// Whether a flight that left at this stamp, and whose answer is not known yet, can serve this request: what
    /// is known of the URL counts, the rest is tested when the head arrives.
    pub(super) fn may_be_served_from(
        &self,
        hub: &Hub,
        keys: &[TargetKey],
        channels: &Channels,
        stamp: Position,
    ) -> bool {
        if mutant!("join-any") {
            return true;
        }
        let judged = hub.judge(Since {
            stamp,
            keys: [keys, &[]],
            quiet: None,
            channel_keys: &channels.keys,
            channels: &channels.names,
        });
        let mut last = if mutant!("no-purge-check") {
            Position::ZERO
        } else {
            judged.last_mark
        };
        if !self.by_hold && !mutant!("no-aging") {
            last = last.max(if channels.overflow {
                hub.now()
            } else {
                judged.last_message
            });
        }
        stamp >= self.at_least && serves(stamp, self.arrival, last)
    }

    /// Whether the answer may be given although it should have been fetched anew, and how fresh it then is. What was
    /// purged hard may not; what was purged otherwise counts as if its lifetime had ended.
    pub(super) fn may_have_old(
        &self,
        hub: &Hub,
        entry: &Entry,
        channels: &Channels,
        excuse: Option<Outage>,
        now: Instant,
    ) -> Option<Freshness> {
        let judged = hub.judge(entry.since(channels));
        if judged.standing == Standing::Dead {
            return None;
        }
        let freshness = left_by(judged.standing, entry, now);
        let allowed = freshness.may_serve_stale(now, StaleReason::Error)
            || excuse.is_some_and(|excuse| freshness.may_serve_stale(now, StaleReason::Outage(excuse)));
        allowed.then_some(freshness)
    }
}

/// The freshness that marks leave: what they ended has ended, whatever its lifetime.
fn left_by(standing: Standing, entry: &Entry, now: Instant) -> Freshness {
    match standing {
        Standing::Clean | Standing::Dead => entry.freshness,
        Standing::Soft { since: Some(since) } => entry.freshness.as_if_expired_at(since),
        Standing::Soft { since: None } | Standing::Invalidated { .. } | Standing::Blocked => {
            entry.freshness.as_if_expired_at(now)
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
            Self::Invalidated => !channels.names.is_empty(),
            Self::Expired | Self::Purged | Self::AtLeast => false,
        }
    }
}

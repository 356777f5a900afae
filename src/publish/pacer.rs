//! When which order of a `latest` channel is sent. Pure: takes the time, does nothing itself.
//!
//! ```text
//!            submit                 submit                    submit
//! (unknown) -------> Sending ------------------> Sending + pending
//!     ^    [start]      | finish                      | finish
//!     |     due         v            submit           v
//!     +------------- Resting ------------------> Resting + pending
//!                       ^                             | due, hurry  [start]
//!                       +------- finish -- Sending <--+
//! ```
//!
//! A channel rests until an interval after the *start* of its last order. It is known only while it is sent to or
//! rests. There is one timer for all: [`Pacer::next_deadline`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::displaced::Displaced;
use super::lane::{Lane, Phase, replaced_by};
use super::newest::{Age, forms};
use super::rested::Rested;
use crate::message::{Channel, Message};
use crate::order::{Order, Publication, Purge};
use crate::time::after;

/// Targets that the order of one channel gathers while it waits.
pub(super) const MAX_TARGETS: usize = 4_096;
/// Messages of one channel that wait because the next one does not take their place. Beyond it there is no room.
pub(super) const MAX_MESSAGES: usize = 100;
/// Bytes that a paced channel takes beside what waits, and beside its ids. Measured.
pub(super) const CHANNEL_WEIGHT: usize = 640;
/// After a failure, at least this long until the next try.
const RETRY: Duration = Duration::from_secs(1);

/// All paced channels.
#[derive(Debug)]
pub(super) struct Pacer {
    channels: HashMap<Channel, Lane>,
    /// Which channel rests until when; the number keeps those of one moment apart, and in order.
    due: BTreeMap<Due, Channel>,
    rested: Rested,
    next: u64,
    pending_bytes: usize,
    max_channels: usize,
    max_pending_bytes: usize,
    /// Messages, and bytes of them, that one order may have.
    order_limits: (usize, usize),
    /// Nothing rests any more.
    stopped: bool,
    /// What is no longer needed. It is a user's: whoever holds a lock drops it after that.
    gone: Vec<Publication>,
}

/// When a channel has rested; the number keeps those of one moment apart.
pub(super) type Due = (Instant, u64);

/// An update of a paced channel.
#[derive(Clone, Debug)]
pub(super) struct Update {
    pub(super) publication: Publication,
    pub(super) purges: Vec<Purge>,
    pub(super) interval: Duration,
    /// An update whose version is not above all before it is superseded.
    pub(super) version: Option<u64>,
}

/// What became of an update.
#[derive(Debug)]
pub(super) enum Verdict {
    /// To be sent now.
    Start(Start),
    /// It waits; `replaced` the message of another that did.
    Waits { replaced: bool },
    /// A newer one came before it.
    Superseded,
}

/// To be sent now. Whoever gets one must call [`Pacer::finish`] for it.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) channel: Channel,
    pub(super) order: Order,
    /// How long its message has waited.
    pub(super) waited: Duration,
    /// More was waiting than one order may have.
    pub(super) more: bool,
}

/// What [`Pacer::hurry`] found.
#[derive(Debug)]
pub(super) enum Hurry {
    /// Nothing waits.
    Idle,
    /// An order is being sent: ask again when it has finished.
    Busy,
    /// To be sent now.
    Start(Start),
}

/// What would wait for one channel.
struct Room<'a> {
    is_new: bool,
    messages: Vec<&'a Message>,
    targets: Option<&'a HashSet<Purge>>,
    new_targets: HashSet<&'a Purge>,
    /// The next message does not wait.
    goes: bool,
}

/// There is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// When to try again.
    pub(super) retry_after: Duration,
}

// === impl Pacer ===

impl Pacer {
    /// `order_limits`: messages, and bytes of them, that one order may have.
    pub(super) fn new(max_channels: usize, max_pending_bytes: usize, order_limits: (usize, usize)) -> Self {
        Self {
            channels: HashMap::new(),
            due: BTreeMap::new(),
            rested: Rested::new(max_pending_bytes / 16),
            next: 0,
            pending_bytes: 0,
            max_channels,
            max_pending_bytes,
            order_limits,
            stopped: false,
            gone: Vec::new(),
        }
    }

    /// What is no longer needed since this was asked last. To be dropped without a lock.
    pub(super) fn take_gone(&mut self) -> Vec<Publication> {
        std::mem::take(&mut self.gone)
    }

    /// Takes all of these updates, or none of them.
    pub(super) fn submit(&mut self, updates: Vec<Update>, now: Instant) -> Result<Vec<Verdict>, Full> {
        if let Err(full) = self.check_room(&updates, now) {
            self.gone
                .extend(updates.into_iter().map(|update| update.publication));
            return Err(full);
        }
        Ok(updates
            .into_iter()
            .map(|update| self.take_in(update, now))
            .collect())
    }

    /// Sent, or to be sent again: `failed` brings the order back, which a newer one may have replaced meanwhile.
    pub(super) fn finish(&mut self, channel: &Channel, failed: Option<Order>, now: Instant) {
        let Some(lane) = self.channels.get_mut(channel) else {
            return;
        };
        let Phase::Sending { since } = lane.phase else {
            return;
        };
        let mut rest = if self.stopped {
            Duration::ZERO
        } else {
            lane.interval
        };
        if let Some(order) = failed {
            rest = rest.max(RETRY);
            let before = lane.bytes();
            let unchanged = lane.pending.is_none();
            lane.displaced.bring_back(&order.publications);
            let pending = lane.pending.get_or_insert_default();
            pending.id = unchanged.then_some(order.id);
            pending.purges.extend(order.purges);
            if unchanged {
                pending.since = Some(since);
            }
            let newer = std::mem::replace(&mut pending.publications, order.publications);
            for publication in newer {
                self.gone.extend(pending.add(publication));
            }
            pending.weigh();
            self.pending_bytes = self.pending_bytes - before + lane.bytes();
        }
        let until = after(since, rest);
        if until <= now && lane.pending.is_none() {
            self.forget(channel, now);
            return;
        }
        let until = (until, self.next);
        self.next += 1;
        lane.phase = Phase::Resting { until };
        self.due.insert(until, channel.clone());
    }

    /// A message of a channel goes out without being paced: what comes after it may be older.
    pub(super) fn pass(&mut self, channel: &Channel, message: &Message, version: Option<u64>) {
        if let Some(lane) = self.channels.get_mut(channel) {
            // What it follows may be what it waits for.
            lane.chains.of(message).note(message, version, false);
        }
    }

    /// What is to be sent by now, in the order in which it became due. Forgets channels that have rested.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Start> {
        let mut starts = Vec::new();
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            let channel = entry.remove();
            match self.start(&channel, now) {
                Some(start) => starts.push(start),
                None => self.forget(&channel, now),
            }
        }
        starts
    }

    /// When to ask [`Pacer::due`] next; `None` if nothing rests.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Sends what waits for a channel without waiting any longer.
    pub(super) fn hurry(&mut self, channel: &Channel, now: Instant) -> Hurry {
        match self.channels.get(channel) {
            None => Hurry::Idle,
            Some(lane) => match lane.phase {
                Phase::Sending { .. } => Hurry::Busy,
                Phase::Resting { .. } if lane.pending.is_none() => Hurry::Idle,
                Phase::Resting { until } => {
                    self.due.remove(&until);
                    self.start(channel, now).map_or(Hurry::Idle, Hurry::Start)
                }
            },
        }
    }

    /// Whether any channel is paced at present.
    pub(super) fn paces_any(&self) -> bool {
        !self.channels.is_empty()
    }

    /// The channels for which something waits or is being sent.
    pub(super) fn unsent(&self) -> Vec<Channel> {
        let unsent = self
            .channels
            .iter()
            .filter(|(_, lane)| lane.pending.is_some() || matches!(lane.phase, Phase::Sending { .. }));
        unsent.map(|(channel, _)| channel.clone()).collect()
    }

    /// From now on nothing waits but for what is sent before it.
    pub(super) fn stop(&mut self, now: Instant) {
        self.stopped = true;
        for (_, channel) in std::mem::take(&mut self.due) {
            let until = (now, self.next);
            self.next += 1;
            if let Some(lane) = self.channels.get_mut(&channel) {
                lane.phase = Phase::Resting { until };
            }
            self.due.insert(until, channel);
        }
    }

    fn check_room(&self, updates: &[Update], now: Instant) -> Result<(), Full> {
        let mut rooms: HashMap<&Channel, Room<'_>> = HashMap::new();
        let mut bytes = self.pending_bytes;
        for update in updates {
            let channel = &update.publication.channel;
            let room = rooms
                .entry(channel)
                .or_insert_with(|| Room::of(self.channels.get(channel)));
            bytes += room.take(update);
        }
        let new = rooms.values().filter(|room| room.is_new);
        let channels = self.channels.len() + new.count();
        let fits = channels <= self.max_channels
            && bytes + channels * CHANNEL_WEIGHT <= self.max_pending_bytes
            && rooms
                .values()
                .all(|room| room.targets() <= MAX_TARGETS && room.messages.len() <= MAX_MESSAGES);
        let first_due = self.next_deadline().unwrap_or(now);
        fits.then_some(()).ok_or(Full {
            retry_after: first_due.saturating_duration_since(now),
        })
    }

    fn take_in(&mut self, update: Update, now: Instant) -> Verdict {
        let channel = update.publication.channel.clone();
        let Some(lane) = self.channels.get_mut(&channel) else {
            return self.take_in_first(update, now);
        };
        let mut update = update;
        let before = lane.bytes();
        let (age, gone) = lane.note(&update.publication.message, update.version);
        self.gone.extend(gone);
        let superseded = age.is_superseded();
        if superseded && update.purges.is_empty() {
            self.pending_bytes = self.pending_bytes - before + lane.bytes();
            self.gone.push(update.publication);
            return Verdict::Superseded;
        }
        update.publication.comes_back |= age.is_another();
        let pending = lane.pending.get_or_insert_default();
        pending.id = None;
        pending.add_purges(update.purges);
        let mut replaced = false;
        if superseded {
            self.gone.push(update.publication);
        } else {
            lane.interval = update.interval;
            pending.since = Some(now);
            let forms = forms(&update.publication.message);
            let old = pending.add(update.publication);
            replaced = old.is_some();
            self.gone.extend(match age {
                Age::New(Some(displaced)) => lane.displace(displaced, forms, old),
                _ => Vec::from_iter(old),
            });
        }
        self.pending_bytes = self.pending_bytes - before + lane.bytes();
        if superseded {
            Verdict::Superseded
        } else if matches!(lane.phase, Phase::Resting { until: (at, _) } if at <= now) {
            // It has rested, only nobody has looked yet: this is a first update.
            match self.hurry(&channel, now) {
                Hurry::Start(start) => Verdict::Start(start),
                Hurry::Idle | Hurry::Busy => Verdict::Waits { replaced },
            }
        } else {
            Verdict::Waits { replaced }
        }
    }

    /// Takes in an update of a channel that is not paced.
    fn take_in_first(&mut self, update: Update, now: Instant) -> Verdict {
        let Update {
            mut publication,
            purges,
            interval,
            version,
        } = update;
        let channel = publication.channel.clone();
        let mut lane = Lane {
            phase: Phase::Sending { since: now },
            interval,
            pending: None,
            chains: self.rested.take(&channel, now),
            displaced: Displaced::default(),
        };
        let (age, _) = lane.note(&publication.message, version);
        publication.comes_back |= age.is_another();
        let superseded = age.is_superseded();
        if superseded && purges.is_empty() {
            self.rested.put(channel, lane.chains, now);
            self.gone.push(publication);
            return Verdict::Superseded;
        }
        self.channels.insert(channel.clone(), lane);
        let mut publications = vec![publication];
        if superseded {
            self.gone.append(&mut publications);
        }
        Verdict::Start(Start {
            channel,
            order: Order {
                purges,
                publications,
                ..Order::default()
            },
            waited: Duration::ZERO,
            more: false,
        })
    }

    /// A channel has rested.
    fn forget(&mut self, channel: &Channel, now: Instant) {
        if let Some((channel, mut lane)) = self.channels.remove_entry(channel) {
            self.pending_bytes -= lane.bytes();
            self.gone.extend(lane.displaced.forget(|_| true));
            self.rested.put(channel, lane.chains, now);
        }
    }

    /// Starts what waits for a channel that no longer rests.
    fn start(&mut self, channel: &Channel, now: Instant) -> Option<Start> {
        let lane = self.channels.get_mut(channel)?;
        let before = lane.bytes();
        let mut pending = lane.pending.take()?;
        lane.phase = Phase::Sending { since: now };
        self.gone.extend(lane.displaced.begin_turn());
        lane.pending = pending.split_off(self.order_limits).map(Box::new);
        let more = lane.pending.as_mut().map(|pending| pending.weigh()).is_some();
        self.pending_bytes = self.pending_bytes - before + lane.bytes();
        let waited = pending.since.map_or(Duration::ZERO, |since| now - since);
        Some(Start {
            channel: channel.clone(),
            order: Order {
                purges: pending.purges.into_iter().collect(),
                publications: pending.publications,
                id: pending.id.unwrap_or_default(),
            },
            waited,
            more,
        })
    }

    #[cfg(test)]
    pub(super) fn rested_sizes(&self) -> (usize, usize, usize) {
        self.rested.sizes()
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.channels.len(), self.due.len(), self.pending_bytes)
    }
}

// === impl Room ===

impl<'a> Room<'a> {
    fn of(lane: Option<&'a Lane>) -> Self {
        let pending = || lane?.pending.as_ref();
        let messages = pending().into_iter().flat_map(|pending| &pending.publications);
        Self {
            is_new: lane.is_none(),
            messages: messages.map(|waiting| &*waiting.message).collect(),
            targets: pending().map(|pending| &pending.purges),
            new_targets: HashSet::new(),
            goes: lane.is_none(),
        }
    }

    /// How many bytes more it takes, at most.
    fn take(&mut self, update: &'a Update) -> usize {
        let message = &*update.publication.message;
        let there = self.targets;
        let is_new = |purge: &&Purge| there.is_none_or(|there| !there.contains(*purge));
        let new = update.purges.iter().filter(is_new);
        let new = new.filter(|purge| self.new_targets.insert(purge));
        let purges: usize = new.map(Purge::weight).sum();
        if !std::mem::take(&mut self.goes) && self.messages.len() <= MAX_MESSAGES {
            let waiting = self.messages.iter().copied();
            if let Some(place) = replaced_by(waiting, message) {
                self.messages.remove(place);
            }
            self.messages.push(message);
        }
        message.weight() + purges
    }

    fn targets(&self) -> usize {
        self.targets.map_or(0, HashSet::len) + self.new_targets.len()
    }
}

//! Order within a channel, decided before the append.
//!
//! An item waits only if the channel's log knows a last id and has not what the item names as its predecessor, or if that
//! waits itself; not, if the log has what follows it: it comes late already, and holds put it in its place.
//! It waits until its predecessor was appended, or five seconds, or, where there is no room, until the rest of its order
//! has gone out; then it goes out after what leads up to it, as far as that waits as well. What waits is known by its id:
//! whoever says it once more waits for the same outcome. Two items cannot follow the same one.
//!
//! Whoever waits need not be there any more, nor his runtime: each runtime from which items came has a watcher of its
//! own while anything waits.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Hub;
use super::queue::{PLACE_WEIGHT, Queue, Waiter};
use super::tail::Tail;
use crate::message::Channel;
use crate::order::{Publication, Purge};
use crate::position::Position;
use crate::sync::Mutex;
use crate::time::after;

/// How long an item waits for its predecessor.
const LONGEST: Duration = Duration::from_secs(5);
/// Items of one channel that wait.
const PER_CHANNEL: usize = 100;
/// Items that wait in all.
const IN_ALL: usize = 10_000;

/// The items that wait. Their messages and outcomes are their users': nothing of them is dropped, nor is anybody told,
/// under the lock.
pub(crate) struct Sequencer {
    waiting: Mutex<Waiting>,
    max_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    channels: HashMap<Channel, Queue>,
    /// The channel of each.
    due: BTreeMap<Due, Channel>,
    next: u64,
    bytes: usize,
    /// The runtimes in which somebody looks after the deadlines.
    watchers: HashSet<runtime::Id>,
}

/// When an item has waited for long enough; the number keeps those of one moment apart, and in order.
pub(super) type Due = (Instant, u64);

/// Where an item's position comes.
pub(crate) type Outcome = watch::Receiver<Option<Position>>;

/// An item that waited, and the purges that go out once more with it.
#[derive(Debug)]
pub(crate) struct Released {
    pub(crate) publication: Publication,
    pub(crate) purges: Arc<[Purge]>,
    pub(crate) done: watch::Sender<Option<Position>>,
}

/// What becomes of an order's items.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    /// They go out now.
    pub(crate) go: Vec<Publication>,
    /// They wait.
    pub(crate) wait: Vec<Outcome>,
    /// Of these, those that there is no room for.
    pub(crate) crowd: Crowd,
}

/// Items that wait beyond the bounds, in the order in which they came: once what they came with has gone out, they wait no
/// longer.
#[derive(Debug, Default)]
pub(crate) struct Crowd(VecDeque<(Channel, Due)>);

/// Another item waits for the predecessor that this one names. Of the order nothing was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another item of channel {channel:?} waits for {prev_id:?}, and only one can follow it")]
pub struct Conflict {
    channel: Channel,
    prev_id: Arc<str>,
}

/// What becomes of one item.
#[derive(Clone, Copy)]
enum Plan {
    Go,
    Wait,
    /// It waits already.
    Again,
}

/// What one order has done so far, or will have done.
#[derive(Default)]
struct Own<'a> {
    /// The end of a channel's log, once what goes out is there.
    tails: HashMap<&'a Channel, Tail>,
    ids: HashSet<(&'a Channel, &'a Arc<str>)>,
    /// Of what waits.
    waiting_ids: HashSet<(&'a Channel, &'a Arc<str>)>,
    predecessors: HashSet<(&'a Channel, &'a Arc<str>)>,
}

/// Looks after the deadlines, in one runtime, until it is dropped.
pub(crate) struct Watcher {
    hub: Hub,
    runtime: runtime::Id,
    registered: bool,
}

// === impl Sequencer ===

impl Sequencer {
    /// Lets items of at most so many bytes wait.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            max_bytes,
        }
    }

    /// So that nobody else has it.
    #[cfg(test)]
    pub(super) fn lock(&self) -> impl Sized {
        self.waiting.lock()
    }

    /// Items that wait, and their bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.due.len(), waiting.bytes)
    }

    /// Whether the items of an order could be admitted at present.
    #[cfg(feature = "publish")]
    pub(crate) fn check(&self, hub: &Hub, publications: &[Publication]) -> Result<(), Conflict> {
        if publications.iter().any(|item| predecessor(item).is_some()) {
            plan(&self.waiting.lock(), hub, publications)?;
        }
        Ok(())
    }

    /// Admits the items of an order, all or none. The purges go out with each that waits.
    pub(crate) fn admit(
        &self,
        hub: &Hub,
        publications: Vec<Publication>,
        purges: &[Purge],
        now: Instant,
    ) -> Result<Admitted, Conflict> {
        let mut admitted = Admitted::default();
        if publications.iter().all(|item| predecessor(item).is_none()) {
            admitted.go = publications;
            return Ok(admitted);
        }
        let purges: Arc<[Purge]> = purges.into();
        // The log is asked under this lock: an append that comes after the answer finds the item waiting.
        let mut waiting = self.waiting.lock();
        let plans = match plan(&waiting, hub, &publications) {
            Ok(plans) => plans,
            Err(conflict) => {
                drop(waiting);
                return Err(conflict);
            }
        };
        let mut said_again = Vec::new();
        for (publication, plan) in publications.into_iter().zip(plans) {
            match (plan, waiting.outcome_of(&publication)) {
                (Plan::Go, _) => admitted.go.push(publication),
                (Plan::Wait | Plan::Again, Some(outcome)) => {
                    admitted.wait.push(outcome);
                    said_again.push(publication);
                }
                (Plan::Wait | Plan::Again, None) => {
                    let (done, outcome) = watch::channel(None);
                    admitted.wait.push(outcome);
                    let bytes = weight(&publication, &purges);
                    let released = Released {
                        publication,
                        purges: purges.clone(),
                        done,
                    };
                    let channel = released.publication.channel.clone();
                    let due = waiting.push(released, bytes, after(now, LONGEST));
                    if waiting.is_crowded(&channel, self.max_bytes) {
                        admitted.crowd.0.push_back((channel, due));
                    }
                }
            }
        }
        drop(waiting);
        drop(said_again);
        Ok(admitted)
    }

    /// The first of those that lead up to one that there is no room for, or that one: as when its time is up. `None`: all of
    /// them have gone out, or there is room now. To be called when what they came with has gone out.
    pub(crate) fn crowded_out(&self, crowd: &mut Crowd) -> Option<Released> {
        let mut waiting = self.waiting.lock();
        while let Some((channel, due)) = crowd.0.front() {
            if waiting.is_crowded(channel, self.max_bytes)
                && let Some(released) = waiting.take_first(channel, *due)
            {
                return Some(released);
            }
            crowd.0.pop_front();
        }
        None
    }

    /// An item that waited and need not any more, for this one has been appended: the same once more, before the log can
    /// forget it, its successor, or what comes before it and is late now.
    pub(crate) fn released_by(&self, hub: &Hub, channel: &Channel, id: &Arc<str>) -> Option<Released> {
        let mut waiting = self.waiting.lock();
        let queue = waiting.channels.get(channel)?;
        let due = queue.find(id).or_else(|| queue.find_next(id)).or_else(|| {
            let tail = hub.tail(channel);
            tail.awaited().iter().find_map(|id| queue.find(id))
        })?;
        waiting.remove(channel, due)
    }

    /// Somebody has to look after the deadlines in this runtime, for something waits and nobody does.
    pub(crate) fn watch(hub: &Hub) -> Option<(Watcher, runtime::Handle)> {
        let mut waiting = hub.sequencer().waiting.lock();
        if waiting.due.is_empty() {
            return None;
        }
        let handle = runtime::Handle::try_current().ok()?;
        let watcher = waiting.watchers.insert(handle.id()).then(|| Watcher {
            hub: hub.clone(),
            runtime: handle.id(),
            registered: true,
        });
        drop(waiting);
        Some((watcher?, handle))
    }
}

/// Decides for all items of an order, before anything of it is done.
fn plan(waiting: &Waiting, hub: &Hub, publications: &[Publication]) -> Result<Vec<Plan>, Conflict> {
    let mut own = Own::default();
    let mut plans = Vec::with_capacity(publications.len());
    for item in publications {
        let plan = plan_one(waiting, hub, &own, item)?;
        own.note(item, plan, hub);
        plans.push(plan);
    }
    Ok(plans)
}

fn plan_one(waiting: &Waiting, hub: &Hub, own: &Own<'_>, item: &Publication) -> Result<Plan, Conflict> {
    let Publication { channel, message, .. } = item;
    let Some(prev_id) = predecessor(item) else {
        return Ok(Plan::Go);
    };
    let queue = waiting.channels.get(channel);
    let waits = |id| own.waiting_ids.contains(&(channel, id)) || queue.is_some_and(|queue| queue.has(id));
    // Asked first: what was appended meanwhile is there, and what has not been will let go what waits here.
    let tail = own.tails.get(channel).cloned();
    let tail = tail.unwrap_or_else(|| hub.tail(channel));
    let is_there = |id| own.ids.contains(&(channel, id)) || hub.has(channel, id);
    if let Some(id) = &message.id {
        // It comes a second time; that is seen when it is applied.
        if is_there(id) {
            return Ok(Plan::Go);
        }
        if waits(id) {
            return Ok(Plan::Again);
        }
    }
    let follows = match &tail.last_id {
        Some(last_id) => last_id == prev_id || is_there(prev_id),
        // Nothing is known to be missing but what waits.
        None => !waits(prev_id),
    };
    let leads_up = message.id.as_ref().is_some_and(|id| tail.awaits(id));
    if follows || leads_up {
        return Ok(Plan::Go);
    }
    let is_waited_for = own.predecessors.contains(&(channel, prev_id));
    if is_waited_for || queue.is_some_and(|queue| queue.has_next(prev_id)) {
        return Err(Conflict {
            channel: channel.clone(),
            prev_id: prev_id.clone(),
        });
    }
    Ok(Plan::Wait)
}

/// The predecessor that an item must not overtake.
pub(super) fn predecessor(item: &Publication) -> Option<&Arc<str>> {
    let ordered = !item.message.no_seq && !item.latest;
    item.message.prev_id.as_ref().filter(|_| ordered)
}

/// About how many bytes of memory an item takes while it waits.
fn weight(item: &Publication, purges: &[Purge]) -> usize {
    size_of::<Waiter>()
        + PLACE_WEIGHT
        + item.message.weight()
        + purges.iter().map(Purge::weight).sum::<usize>()
}

// === impl Own ===

impl<'a> Own<'a> {
    fn note(&mut self, item: &'a Publication, plan: Plan, hub: &Hub) {
        match plan {
            Plan::Go => self.goes(item, hub),
            Plan::Again => {}
            Plan::Wait => {
                let channel = &item.channel;
                self.waiting_ids
                    .extend(item.message.id.iter().map(|id| (channel, id)));
                self.predecessors
                    .extend(predecessor(item).map(|prev_id| (channel, prev_id)));
            }
        }
    }

    fn goes(&mut self, item: &'a Publication, hub: &Hub) {
        let Publication { channel, message, .. } = item;
        let id = message.id.as_ref();
        // A message that is there already is not appended, and sets nothing back.
        if id.is_none_or(|id| !hub.has(channel, id) && self.ids.insert((channel, id))) {
            let tail = self.tails.entry(channel).or_insert_with(|| hub.tail(channel));
            let ids = &self.ids;
            let has = |id| ids.contains(&(channel, id)) || hub.has(channel, id);
            tail.move_on(id, predecessor(item), has);
        }
    }
}

// === impl Waiting ===

impl Waiting {
    fn push(&mut self, released: Released, bytes: usize, deadline: Instant) -> Due {
        let due = (deadline, self.next);
        self.next += 1;
        self.bytes += bytes;
        let channel = released.publication.channel.clone();
        self.due.insert(due, channel.clone());
        let queue = self.channels.entry(channel).or_default();
        queue.push(due, Waiter { released, bytes });
        due
    }

    /// Whether more waits than there is room for, on this channel or in all.
    fn is_crowded(&self, channel: &Channel, max_bytes: usize) -> bool {
        let on_channel = self.channels.get(channel).map_or(0, Queue::len);
        on_channel > PER_CHANNEL || self.due.len() > IN_ALL || self.bytes > max_bytes
    }

    /// This item, or the first of those that lead up to it, if it still waits.
    fn take_first(&mut self, channel: &Channel, due: Due) -> Option<Released> {
        if !self.due.contains_key(&due) {
            return None;
        }
        let first = self.channels.get(channel)?.first_of(due);
        self.remove(channel, first)
    }

    fn remove(&mut self, channel: &Channel, due: Due) -> Option<Released> {
        let queue = self.channels.get_mut(channel)?;
        let waiter = queue.take(due)?;
        if queue.is_empty() {
            self.channels.remove(channel);
        }
        self.due.remove(&due);
        self.bytes -= waiter.bytes;
        Some(waiter.released)
    }

    /// Where the outcome comes of an item with this one's id that waits.
    fn outcome_of(&self, item: &Publication) -> Option<Outcome> {
        let id = item.message.id.as_ref()?;
        self.channels.get(&item.channel)?.outcome_of(id)
    }
}

// === impl Watcher ===

impl Watcher {
    /// The oldest item that has waited long enough, or the first of those that lead up to it: what follows that comes
    /// after it by itself. Else when to look again; `None`, and nothing more to watch, if nothing waits.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<Result<Released, Instant>> {
        let mut waiting = self.hub.sequencer().waiting.lock();
        let Some((due, channel)) = waiting.due.first_key_value() else {
            waiting.watchers.remove(&self.runtime);
            self.registered = false;
            return None;
        };
        let (due, channel) = (*due, channel.clone());
        if due.0 > now {
            return Some(Err(due.0));
        }
        waiting.take_first(&channel, due).map(Ok)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.registered {
            self.hub.sequencer().waiting.lock().watchers.remove(&self.runtime);
        }
    }
}

//! Order within a channel, decided before the append.
//!
//! An item waits only if the channel's log knows a last id and has not what the item names as its predecessor, or if that
//! waits itself; not, if the log has what follows it: it comes late already, and holds put it in its place.
//! It waits until its predecessor was appended, or five seconds, or, where there is no room, until the rest of its order
//! has gone out; then it goes out after what leads up to it, as far as that waits as well. What has been let go and is not
//! yet appended is on its way: nothing that follows it overtakes it. What waits is known by its id:
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
use super::plan::{Conflict, Plan, plan, predecessor, pulled};
use super::queue::{PLACE_WEIGHT, Queue, Waiter};
use crate::message::Channel;
use crate::order::{Publication, Purge};
use crate::position::Position;
use crate::sync::Mutex;
use crate::time::after;

/// How long an item waits for its predecessor.
const LONGEST: Duration = Duration::from_secs(5);
/// When it is looked again where what lets an overdue item go is on its way.
const A_MOMENT: Duration = Duration::from_millis(10);
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
    /// What need not wait any more, in the order in which it came; what is the same as one that is there before that.
    ready: BTreeMap<(bool, u64), (Channel, Due)>,
    next: u64,
    bytes: usize,
    /// The runtimes in which somebody looks after the deadlines.
    watchers: HashSet<runtime::Id>,
}

/// When an item has waited for long enough; the number keeps those of one moment apart, and in order.
pub(super) type Due = (Instant, u64);

/// Where an item's position comes.
pub(crate) type Outcome = watch::Receiver<Option<Position>>;

/// An item that waits, and the purges that go out once more with it.
pub(crate) struct Item {
    pub(crate) publication: Publication,
    pub(crate) purges: Arc<[Purge]>,
    pub(crate) done: watch::Sender<Option<Position>>,
}

/// Items that waited, of one order: they go out together, so that its purges do so once.
pub(crate) struct Released {
    pub(crate) items: Vec<Item>,
    pub(crate) way: Way,
}

/// What becomes of an order's items.
pub(crate) struct Admitted {
    /// They go out now.
    pub(crate) go: Vec<Publication>,
    /// They go out before those: states that go follow them.
    pub(crate) first: Vec<Released>,
    /// They wait.
    pub(crate) wait: Vec<Outcome>,
    pub(crate) way: Way,
}

/// What is on its way to the log, and what waits for that to be there, or for nobody to bring it there any more, when this is
/// dropped.
pub(crate) struct Way {
    hub: Hub,
    /// Known by these.
    ids: Vec<(Channel, Arc<str>)>,
    /// Items of the same order that wait.
    rest: VecDeque<(Channel, Due)>,
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
            plan(&self.waiting.lock().channels, hub, publications)?;
        }
        Ok(())
    }

    /// Where the outcomes come of those that wait, of an order that was applied already.
    pub(crate) fn outcomes(&self, publications: &[Publication]) -> Vec<Outcome> {
        let waiting = self.waiting.lock();
        let outcomes = publications.iter().filter_map(|item| waiting.outcome_of(item));
        outcomes.collect()
    }

    /// Admits the items of an order, all or none. The purges go out with each that waits.
    pub(crate) fn admit(
        &self,
        hub: &Hub,
        publications: Vec<Publication>,
        purges: &[Purge],
        now: Instant,
    ) -> Result<Admitted, Conflict> {
        let mut admitted = Admitted {
            go: Vec::new(),
            first: Vec::new(),
            wait: Vec::new(),
            way: Way::new(hub),
        };
        let is_simple = |item: &Publication| predecessor(item).is_none() && pulled(item).is_none();
        if publications.iter().all(is_simple) {
            if publications.iter().any(|item| item.message.id.is_some()) {
                let mut waiting = self.waiting.lock();
                publications
                    .iter()
                    .for_each(|item| admitted.way.begin(&mut waiting, item));
            }
            admitted.go = publications;
            return Ok(admitted);
        }
        let mut purges_weight = purges.iter().map(Purge::weight).sum::<usize>();
        let purges: Arc<[Purge]> = purges.into();
        // The log is asked under this lock: an append that comes after the answer finds the item waiting.
        let mut waiting = self.waiting.lock();
        let plans = match plan(&waiting.channels, hub, &publications) {
            Ok(plans) => plans,
            Err(conflict) => {
                drop(waiting);
                return Err(conflict);
            }
        };
        // They share them.
        let waits = plans
            .iter()
            .filter(|plan| matches!(plan, Plan::Wait | Plan::Again));
        purges_weight = purges_weight.div_ceil(waits.count().max(1));
        let mut said_again = Vec::new();
        for (publication, plan) in publications.into_iter().zip(plans) {
            match (plan, waiting.outcome_of(&publication)) {
                (Plan::Go | Plan::Pull, _) => {
                    if matches!(plan, Plan::Pull) {
                        waiting.pull(hub, &publication, &mut admitted.first);
                    }
                    admitted.way.begin(&mut waiting, &publication);
                    admitted.go.push(publication);
                }
                (Plan::Wait | Plan::Again, Some(outcome)) => {
                    admitted.wait.push(outcome);
                    waiting.join(&publication);
                    said_again.push(publication);
                }
                (Plan::Wait | Plan::Again, None) => {
                    let (done, outcome) = watch::channel(None);
                    admitted.wait.push(outcome);
                    let bytes = weight(&publication) + purges_weight;
                    let channel = publication.channel.clone();
                    let item = Item {
                        publication,
                        purges: purges.clone(),
                        done,
                    };
                    let due = waiting.push(Waiter::held(item, bytes), after(now, LONGEST));
                    admitted.way.rest.push_back((channel, due));
                }
            }
        }
        drop(waiting);
        drop(said_again);
        Ok(admitted)
    }

    /// An item has been appended: what need not wait any more for it becomes ready. The same once more, before the log can forget
    /// it; its successor; what comes before it and is late now.
    pub(crate) fn let_go(&self, hub: &Hub, channel: &Channel, id: &Arc<str>) {
        let mut waiting = self.waiting.lock();
        let Some(queue) = waiting.channels.get_mut(channel) else {
            return;
        };
        // What was said again with its order is not there before it is appended.
        if queue.is_empty() || queue.is_on_its_way(id) && !hub.has(channel, id) {
            return;
        }
        let tail = hub.tail(channel);
        let others = tail
            .awaited()
            .map(|id| queue.find(id))
            .chain([queue.find_next(id)]);
        let found = others.map(|due| (due, true)).chain([(queue.find(id), false)]);
        let found: Vec<_> = found
            .filter_map(|(due, is_other)| Some((due?, is_other)))
            .collect();
        let ready = found.into_iter().filter(|(due, _)| queue.ready(*due));
        let ready = ready.map(|(due, is_other)| ((is_other, due.1), (channel.clone(), due)));
        let ready: Vec<_> = ready.collect();
        waiting.ready.extend(ready);
    }

    /// The first of what is ready, in the order in which it came; before that what came earlier on its channel and has waited
    /// for long enough. With it, what comes next of the same order.
    pub(crate) fn next_ready(&self, hub: &Hub, now: Instant) -> Option<Released> {
        let mut waiting = self.waiting.lock();
        let mut released = waiting.release_ready(hub, now, None)?;
        while let Some(next) = waiting.release_ready(hub, now, Some(&released)) {
            released.add(next);
        }
        Some(released)
    }

    /// Whether one waits for the item with this id.
    #[cfg(feature = "publish")]
    pub(crate) fn awaits(&self, channel: &Channel, id: &str) -> bool {
        let waiting = self.waiting.lock();
        waiting
            .channels
            .get(channel)
            .is_some_and(|queue| queue.has_next(id))
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

/// About how many bytes of memory an item takes while it waits, without purges.
fn weight(item: &Publication) -> usize {
    size_of::<Waiter>() + PLACE_WEIGHT + item.message.weight()
}

// === impl Waiting ===

impl Waiting {
    fn push(&mut self, waiter: Waiter, deadline: Instant) -> Due {
        let due = (deadline, self.next);
        self.next += 1;
        self.bytes += waiter.bytes;
        let channel = waiter.item.publication.channel.clone();
        self.due.insert(due, channel.clone());
        self.channels.entry(channel).or_default().push(due, waiter);
        due
    }

    /// Whether more waits than there is room for, on this channel or in all.
    fn is_crowded(&self, channel: &Channel, max_bytes: usize) -> bool {
        let on_channel = self.channels.get(channel).map_or(0, Queue::len);
        on_channel > PER_CHANNEL || self.due.len() > IN_ALL || self.bytes > max_bytes
    }

    /// The first of what is ready, or what has to go before that; if `with` is given, only what is of the same order.
    fn release_ready(&mut self, hub: &Hub, now: Instant, with: Option<&Released>) -> Option<Released> {
        while let Some((first, (channel, due))) = self.ready.first_key_value() {
            let (first, channel, due) = (*first, channel.clone(), *due);
            let queue = self.channels.get(&channel);
            let overdue = queue.and_then(|queue| queue.overdue_before(due, now));
            let overdue = overdue.and_then(|due| self.first_to_go(&channel, due));
            let next = overdue.unwrap_or(due);
            if !self.is_of_one(&channel, next, with) {
                return None;
            }
            if overdue.is_none() {
                self.ready.remove(&first);
            }
            // It may be out, for there was no room or its time was up.
            if let Some(released) = self.release(hub, &channel, next) {
                return Some(released);
            }
        }
        None
    }

    /// The first that has waited for long enough, or what leads up to it; if `with` is given, only what is of the same order. The
    /// error: when to look again.
    fn release_overdue(
        &mut self,
        hub: &Hub,
        now: Instant,
        with: Option<&Released>,
    ) -> Option<Result<Released, Instant>> {
        let (due, channel) = self.due.first_key_value()?;
        let (due, channel) = (*due, channel.clone());
        if due.0 > now {
            return Some(Err(due.0));
        }
        let first = self
            .first_to_go(&channel, due)
            .filter(|first| self.is_of_one(&channel, *first, with))
            .and_then(|first| self.release(hub, &channel, first));
        Some(first.ok_or_else(|| after(now, A_MOMENT)))
    }

    /// Whether this item is of the same order as what is released, if something is given.
    fn is_of_one(&self, channel: &Channel, due: Due, with: Option<&Released>) -> bool {
        let purges = || self.channels.get(channel)?.purges_of(due);
        with.is_none_or(|released| {
            let own = released.items.first().map(|item| &item.purges);
            own.zip(purges())
                .is_some_and(|(own, purges)| Arc::ptr_eq(own, purges))
        })
    }

    /// This item, or the first of those that lead up to it, if it waits and nothing on its way lets it go.
    fn first_to_go(&self, channel: &Channel, due: Due) -> Option<Due> {
        let queue = self.channels.get(channel)?;
        queue.first_of(due).filter(|first| !queue.is_held(*first))
    }

    /// That one goes.
    fn release_first(&mut self, hub: &Hub, channel: &Channel, due: Due) -> Option<Released> {
        let first = self.first_to_go(channel, due)?;
        self.release(hub, channel, first)
    }

    /// From here on it is on its way.
    fn release(&mut self, hub: &Hub, channel: &Channel, due: Due) -> Option<Released> {
        let Waiter { item, bytes, .. } = self.channels.get_mut(channel)?.take(due)?;
        self.due.remove(&due);
        self.bytes -= bytes;
        let mut way = Way::new(hub);
        way.begin(self, &item.publication);
        self.tidy(channel);
        Some(Released {
            items: vec![item],
            way,
        })
    }

    /// What waits and leads up to this item goes out.
    fn pull(&mut self, hub: &Hub, item: &Publication, out: &mut Vec<Released>) {
        let (channel, prev_id) = (&item.channel, item.message.prev_id.as_ref());
        let last = |waiting: &Self| waiting.channels.get(channel)?.find(prev_id?);
        while let Some(last) = last(self)
            && let Some(first) = self.release_first(hub, channel, last)
        {
            out.push(first);
        }
    }

    fn tidy(&mut self, channel: &Channel) {
        if self.channels.get(channel).is_some_and(Queue::is_over) {
            self.channels.remove(channel);
        }
    }

    /// Another form of an item that waits goes out with that.
    fn join(&mut self, form: &Publication) {
        let queue = self.channels.get_mut(&form.channel);
        self.bytes += queue.map_or(0, |queue| queue.join(form));
    }

    /// Where the outcome comes of an item with this one's id that waits.
    fn outcome_of(&self, item: &Publication) -> Option<Outcome> {
        let id = item.message.id.as_ref()?;
        self.channels.get(&item.channel)?.outcome_of(id)
    }
}

// === impl Released ===

impl Released {
    /// More of the same order.
    fn add(&mut self, mut more: Self) {
        self.items.append(&mut more.items);
        self.way.ids.append(&mut more.way.ids);
    }
}

// === impl Way ===

impl Way {
    fn new(hub: &Hub) -> Self {
        Self {
            hub: hub.clone(),
            ids: Vec::new(),
            rest: VecDeque::new(),
        }
    }

    fn begin(&mut self, waiting: &mut Waiting, item: &Publication) {
        let Publication { channel, message, .. } = item;
        if let Some(id) = &message.id {
            waiting.channels.entry(channel.clone()).or_default().goes(id);
            self.ids.push((channel.clone(), id.clone()));
        }
    }

    /// All of it is there. To be called before it is asked what that [lets go](Sequencer::let_go).
    pub(crate) fn end(&mut self) {
        if self.ids.is_empty() && self.rest.is_empty() {
            return;
        }
        let mut waiting = self.hub.sequencer().waiting.lock();
        for (channel, id) in self.ids.drain(..) {
            if let Some(queue) = waiting.channels.get_mut(&channel) {
                queue.went(&id);
            }
            waiting.tidy(&channel);
        }
        for (channel, due) in &self.rest {
            let queue = waiting.channels.get_mut(channel);
            if queue.is_some_and(|queue| queue.let_go(*due)) {
                waiting.ready.insert((true, due.1), (channel.clone(), *due));
            }
        }
    }

    /// What there is no room for on the channel of an item of the same order: what came first, or what leads up to that, as
    /// when its time is up. `None`: what is left waits.
    pub(crate) fn next_out(&mut self) -> Option<Released> {
        let Self { hub, rest, .. } = self;
        if rest.is_empty() {
            return None;
        }
        let sequencer = hub.sequencer();
        let mut waiting = sequencer.waiting.lock();
        while let Some((channel, due)) = rest.front() {
            if waiting.is_crowded(channel, sequencer.max_bytes) {
                // What came first goes first.
                let oldest = waiting.channels.get(channel).and_then(Queue::oldest);
                let mut next = oldest.and_then(|oldest| waiting.release_first(hub, channel, oldest));
                if next.is_none() {
                    next = waiting.release_first(hub, channel, *due);
                }
                if next.is_some() {
                    return next;
                }
            }
            rest.pop_front();
        }
        None
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.end();
    }
}

// === impl Watcher ===

impl Watcher {
    /// The oldest item that has waited long enough, or the first of those that lead up to it: what follows that comes
    /// after it by itself; and with it, what comes next of the same order. Else when to look again; `None`, and nothing more
    /// to watch, if nothing waits.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<Result<Released, Instant>> {
        let mut waiting = self.hub.sequencer().waiting.lock();
        let Some(first) = waiting.release_overdue(&self.hub, now, None) else {
            waiting.watchers.remove(&self.runtime);
            self.registered = false;
            return None;
        };
        Some(first.map(|mut released| {
            while let Some(Ok(next)) = waiting.release_overdue(&self.hub, now, Some(&released)) {
                released.add(next);
            }
            released
        }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.registered {
            self.hub.sequencer().waiting.lock().watchers.remove(&self.runtime);
        }
    }
}

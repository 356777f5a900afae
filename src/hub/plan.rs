//! What becomes of the items of an order, by what the log has, what waits and what is on its way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::Hub;
use super::queue::Queue;
use super::tail::Tail;
use crate::message::Channel;
use crate::order::Publication;

/// Another item waits for the predecessor that this one names. Of the order nothing was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another item of channel {channel:?} waits for {prev_id:?}, and only one can follow it")]
pub struct Conflict {
    channel: Channel,
    prev_id: Arc<str>,
}

/// What becomes of one item.
#[derive(Clone, Copy)]
pub(super) enum Plan {
    Go,
    /// It goes, and so does before it what waits and leads up to it.
    Pull,
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
    /// What waits, by its id.
    waiting: HashMap<(&'a Channel, &'a Arc<str>), usize>,
    predecessors: HashSet<(&'a Channel, &'a Arc<str>)>,
}

/// Decides for all items of an order, before anything of it is done.
pub(super) fn plan(
    queues: &HashMap<Channel, Queue>,
    hub: &Hub,
    publications: &[Publication],
) -> Result<Vec<Plan>, Conflict> {
    let mut own = Own::default();
    let mut plans = Vec::with_capacity(publications.len());
    for (nth, item) in publications.iter().enumerate() {
        let plan = plan_one(queues, hub, &own, item)?;
        let mut prev_id = pulled(item);
        while let Some(earlier) = prev_id.and_then(|id| own.waiting.remove(&(&item.channel, id))) {
            plans[earlier] = Plan::Pull;
            own.goes(&publications[earlier], hub);
            prev_id = predecessor(&publications[earlier]);
        }
        own.note(nth, item, plan, hub);
        plans.push(plan);
    }
    Ok(plans)
}

fn plan_one(
    queues: &HashMap<Channel, Queue>,
    hub: &Hub,
    own: &Own<'_>,
    item: &Publication,
) -> Result<Plan, Conflict> {
    let Publication { channel, message, .. } = item;
    let Some(prev_id) = predecessor(item) else {
        return Ok(if pulled(item).is_some() {
            Plan::Pull
        } else {
            Plan::Go
        });
    };
    let queue = queues.get(channel);
    let waits = |id| own.waiting.contains_key(&(channel, id)) || queue.is_some_and(|queue| queue.has(id));
    let is_on_its_way = |id: &str| queue.is_some_and(|queue| queue.is_on_its_way(id));
    // Asked first: what was appended meanwhile is there, and what has not been will let go what waits here.
    let tail = own.tails.get(channel).cloned();
    let tail = tail.unwrap_or_else(|| hub.tail(channel));
    let is_there = |id| own.ids.contains(&(channel, id)) || hub.has(channel, id);
    if let Some(id) = &message.id {
        // It comes a second time, or in another form; that is seen when it is applied.
        if own.ids.contains(&(channel, id)) || hub.repeats(item) {
            return Ok(Plan::Go);
        }
        if waits(id) {
            return Ok(Plan::Again);
        }
    }
    let follows = match &tail.last_id {
        // One that waits under its id is a later one than that which is there.
        Some(last_id) => !waits(prev_id) && (last_id == prev_id || is_there(prev_id)),
        // Nothing is known to be missing but what waits, or is on its way.
        None => !waits(prev_id) && (is_there(prev_id) || !is_on_its_way(prev_id)),
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
    item.message.predecessor().filter(|_| !item.latest)
}

/// That of a state, which waits for nothing: what it follows waits no longer.
pub(super) fn pulled(item: &Publication) -> Option<&Arc<str>> {
    item.message.predecessor().filter(|_| item.latest)
}

// === impl Own ===

impl<'a> Own<'a> {
    fn note(&mut self, nth: usize, item: &'a Publication, plan: Plan, hub: &Hub) {
        match plan {
            Plan::Go | Plan::Pull => self.goes(item, hub),
            Plan::Again => {}
            Plan::Wait => {
                let channel = &item.channel;
                self.waiting
                    .extend(item.message.id.iter().map(|id| ((channel, id), nth)));
                self.predecessors
                    .extend(predecessor(item).map(|prev_id| (channel, prev_id)));
            }
        }
    }

    fn goes(&mut self, item: &'a Publication, hub: &Hub) {
        let Publication { channel, message, .. } = item;
        let id = message.id.as_ref();
        // A message that is there already sets nothing back.
        if id.is_none_or(|id| !hub.repeats(item) && self.ids.insert((channel, id))) {
            let tail = self.tails.entry(channel).or_insert_with(|| hub.tail(channel));
            let ids = &self.ids;
            let has = |id| ids.contains(&(channel, id)) || hub.has(channel, id);
            tail.move_on((hub.now(), Instant::now()), id, predecessor(item), has);
        }
    }
}

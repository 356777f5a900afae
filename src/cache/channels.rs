//! The channels that answers name, and those of a URL: the union of what its answers named, as long as one of those lives.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Weak};

use tokio::time::Instant;

use crate::grip::Instruct;
use crate::hub::{Hub, Since};
use crate::marks::{KeySet, LeftMarks, Seen};
use crate::message::Channel;
use crate::order::{Target, TargetKey};
use crate::position::{Position, Stamp};
use crate::sync::{Arc, Mutex};

/// Channels of one URL that are remembered. With more it counts as changed by every message, and as purged by whatever
/// purges a channel.
const MAX_CHANNELS: usize = 256;
/// Living answers of one URL whose channels are told apart: with more, the same.
const MAX_ANSWERS: usize = 1_024;
/// Answers of one URL that went for want of room, while it had others, whose channels are told apart: with more, the same.
const MAX_OUTLIVED: usize = 4;
/// What a channel takes beside its name, where it is named and in its URL's union: less where that has one answer, more where
/// it has several. Measured.
const CHANNEL_WEIGHT: usize = 72;
/// What a union takes, of a URL that has one. Measured.
const UNION_WEIGHT: usize = 240;

/// The channels that one answer names, with a hold or as `ch:` keys. As long as it lives, they are its URL's.
pub(super) struct Named {
    /// Each once, in alphabetical order. At most [`MAX_CHANNELS`].
    channels: Names,
    /// It named more.
    more: bool,
    living: Arc<Living>,
}

type Names = std::sync::Arc<[Channel]>;

/// What an answer names, and whether it named more.
type Key = (Names, bool);

/// What the living answers of one URL name. Coming and going changes counts; the union is made of them where it is asked for.
#[derive(Default)]
struct Living {
    /// Somebody came or went since the union was made.
    changed: AtomicBool,
    /// Taken last, by whoever lets go of an answer: nothing else is done under it.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Where there is one answer, as mostly, nothing has to be counted.
    only: Option<(Key, Weak<Named>)>,
    answers: HashMap<Key, Weak<Named>>,
    /// How many of them name each.
    channels: BTreeMap<Channel, usize>,
    /// How many answers named more.
    more: usize,
    /// Channels that came or went since the union's were taken from them.
    changes: usize,
    /// Channels that went since the union was made. At most [`MAX_CHANNELS`].
    left: Vec<Channel>,
    /// Others went as well.
    others_left: bool,
}

/// The channels of a URL, and the keys that make them targets of purges.
#[derive(Clone, Default)]
pub(super) struct Channels {
    /// Where there are more, some that have just gone may be among them.
    pub(super) names: Names,
    pub(super) keys: KeySet,
    /// There are more than are remembered.
    pub(super) more: bool,
    /// The last message of those that left: what it made older stays so.
    pub(super) left_at: Position,
    /// The same of their purges.
    pub(super) left_marks: LeftMarks,
}

/// The channels of a URL at some moment. Of one that never had any, nothing is kept.
#[derive(Clone, Default)]
pub(super) struct Snapshot(Option<Arc<Channels>>);

/// What keeps the union of a URL.
#[derive(Default)]
pub(super) struct Union {
    living: Arc<Living>,
    /// Of answers that went for want of room: whoever makes room does not make the URL forget.
    outlived: Vec<Arc<Named>>,
    /// There were more of those.
    has_forgotten: bool,
    /// When the last of them would have ended by itself.
    outlived_until: Option<Instant>,
    all: Arc<Channels>,
    /// Channels that were looked at in making it.
    #[cfg(test)]
    looked_at: usize,
}

// === impl Named ===

impl Named {
    /// What these channels weigh, as long as they are named, and with them the union.
    pub(super) fn weight(&self) -> usize {
        let weights = self
            .channels
            .iter()
            .map(|channel| channel.as_str().len() + CHANNEL_WEIGHT);
        UNION_WEIGHT + weights.sum::<usize>()
    }

    fn key(&self) -> Key {
        (self.channels.clone(), self.more)
    }

    pub(super) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Those that a hold with these instructions does not subscribe to.
    pub(super) fn beside<'a>(&'a self, instruct: &'a Instruct) -> impl Iterator<Item = &'a Channel> {
        let held = |channel: &Channel| {
            let hold = instruct.hold.iter().flat_map(|hold| &hold.channels);
            hold.into_iter().any(|held| held.name == *channel)
        };
        self.channels.iter().filter(move |channel| !held(channel))
    }

    /// Whether it named more than are remembered.
    pub(super) fn has_more(&self) -> bool {
        self.more
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.living.counts.lock().leave(self);
        self.living.changed.store(true, Ordering::Release);
    }
}

// === impl Counts ===

impl Counts {
    /// One that names this and lives.
    fn known(&self, key: &Key) -> Option<Arc<Named>> {
        let only = self.only.as_ref().filter(|(only, _)| only == key);
        let named = only.map(|(_, named)| named).or_else(|| self.answers.get(key));
        named.and_then(Weak::upgrade)
    }

    fn come(&mut self, named: &Arc<Named>) {
        self.more += usize::from(named.more);
        let (key, named) = (named.key(), Arc::downgrade(named));
        if self.answers.is_empty() && self.only.is_none() {
            self.changes += key.0.len();
            self.only = Some((key, named));
            return;
        }
        for (key, named) in self.only.take().into_iter().chain([(key, named)]) {
            for channel in &*key.0 {
                match self.channels.get_mut(channel) {
                    Some(count) => *count += 1,
                    None => {
                        self.channels.insert(channel.clone(), 1);
                        self.changes += 1;
                    }
                }
            }
            self.answers.insert(key, named);
        }
    }

    fn leave(&mut self, named: &Named) {
        self.more -= usize::from(named.more);
        self.others_left |= named.more;
        let is_it = |other: &Weak<Named>| std::ptr::eq(other.as_ptr(), named);
        if self.only.take_if(|(_, only)| is_it(only)).is_some() {
            named.channels.iter().for_each(|channel| self.left(channel));
            return;
        }
        // Another that names the same may have come while this one went.
        let key = named.key();
        if self.answers.get(&key).is_some_and(is_it) {
            self.answers.remove(&key);
        }
        for channel in &*named.channels {
            match self.channels.get_mut(channel) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    self.channels.remove(channel);
                    self.left(channel);
                }
            }
        }
        if self.answers.is_empty() && self.channels.is_empty() {
            self.answers = HashMap::new();
            self.channels = BTreeMap::new();
        }
    }

    /// Nobody names this channel any more.
    fn left(&mut self, channel: &Channel) {
        self.changes += 1;
        match self.left.len() < MAX_CHANNELS {
            true => self.left.push(channel.clone()),
            false => self.others_left = true,
        }
    }

    /// There are more than are remembered.
    fn has_more(&self) -> bool {
        self.more > 0 || self.answers.len() > MAX_ANSWERS || self.channels.len() > MAX_CHANNELS
    }

    /// The channels, or as many as are remembered; `None`: these will do. Where there are more it matters little which, and
    /// they are taken anew after as many changes.
    fn names(&mut self, these: &Names) -> Option<Names> {
        if let Some(((names, _), _)) = &self.only {
            self.changes = 0;
            return Some(names.clone());
        }
        let suffices = these.len() == MAX_CHANNELS && self.channels.len() > MAX_CHANNELS;
        if self.changes == 0 || (suffices && self.changes < MAX_CHANNELS) {
            return None;
        }
        self.changes = 0;
        Some(self.channels.keys().take(MAX_CHANNELS).cloned().collect())
    }
}

// === impl Union ===

impl Union {
    /// An answer names these. `None`, if it names none. While what is given lives, they are the URL's.
    pub(super) fn learn(&mut self, hub: &Hub, mut channels: Vec<Channel>, more: bool) -> Option<Arc<Named>> {
        channels.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        channels.dedup();
        let more = more || channels.len() > MAX_CHANNELS;
        channels.truncate(MAX_CHANNELS);
        if channels.is_empty() && !more {
            return None;
        }
        let channels: Names = channels.into();
        // What went is settled before more can go.
        self.get(hub);
        let mut counts = self.living.counts.lock();
        let key = (channels, more);
        if let Some(named) = counts.known(&key) {
            return Some(named);
        }
        let (channels, more) = key;
        let named = Arc::new(Named {
            channels,
            more,
            living: self.living.clone(),
        });
        counts.come(&named);
        drop(counts);
        self.living.changed.store(true, Ordering::Release);
        Some(named)
    }

    /// An answer that names these goes, for the URL has too many. It would have been fresh until then.
    pub(super) fn outlive(&mut self, hub: &Hub, named: &Arc<Named>, until: Instant) {
        self.outlived_until = self.outlived_until.max(Some(until));
        if self.has_forgotten || self.outlived.iter().any(|other| Arc::ptr_eq(other, named)) {
            return;
        }
        if self.outlived.len() < MAX_OUTLIVED {
            self.outlived.push(named.clone());
        } else {
            self.has_forgotten = true;
            self.unite(hub);
        }
    }

    /// The union.
    pub(super) fn get(&mut self, hub: &Hub) -> &Arc<Channels> {
        if self.outlived_until.is_some_and(|until| Instant::now() >= until) {
            self.outlived_until = None;
            self.outlived = Vec::new();
            self.has_forgotten = false;
            self.unite(hub);
        }
        if self.living.changed.load(Ordering::Acquire) {
            self.unite(hub);
        }
        &self.all
    }

    fn unite(&mut self, hub: &Hub) {
        let mut all = Channels::clone(&self.all);
        // Before it is looked who lives: who goes after that is noticed the next time.
        self.living.changed.store(false, Ordering::Release);
        let mut counts = self.living.counts.lock();
        let left = std::mem::take(&mut counts.left);
        let names = counts.names(&all.names);
        all.more = self.has_forgotten || counts.has_more();
        // Which others there were is not known. As long as there are more, nothing depends on it.
        let others_left = !all.more && (self.all.more | std::mem::take(&mut counts.others_left));
        drop(counts);
        #[cfg(test)]
        {
            self.looked_at += left.len() + names.as_ref().map_or(0, |names| names.len());
        }
        let keys = |names: &[Channel]| -> Vec<TargetKey> {
            let key = |name| TargetKey::of(&Target::channel(name));
            names.iter().map(key).collect()
        };
        all.left_at = all.left_at.max(hub.last_message_of(left.iter()));
        hub.add_left(&mut all.left_marks, keys(&left).into_iter(), others_left);
        if others_left {
            all.left_at = hub.now();
        }
        if let Some(names) = names.filter(|names| *names != all.names) {
            all.keys = keys(&names).into_iter().collect();
            all.names = names;
        }
        self.all = Arc::new(all);
    }
}

// === impl Snapshot ===

impl From<&Arc<Channels>> for Snapshot {
    fn from(channels: &Arc<Channels>) -> Self {
        Self(Some(channels.clone()))
    }
}

impl Deref for Snapshot {
    type Target = Channels;

    fn deref(&self) -> &Channels {
        static NONE: LazyLock<Channels> = LazyLock::new(Channels::default);
        match &self.0 {
            Some(channels) => channels,
            None => &NONE,
        }
    }
}

// === impl Channels ===

impl Channels {
    /// What an answer of this URL is judged by: with its stamp, the targets of the URL and its own, and what of their marks it
    /// has seen.
    pub(super) fn since<'a>(
        &'a self,
        stamp: Stamp,
        keys: [&'a [TargetKey]; 2],
        seen: Option<&'a Seen>,
    ) -> Since<'a> {
        Since {
            stamp,
            keys,
            seen,
            channel_keys: &self.keys,
            channels: &self.names,
            more_channels: self.more,
            left_at: self.left_at,
            left_marks: self.left_marks,
        }
    }

    /// Whether nobody is told, or was, of anything that happens to its URL.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.more && self.left_at == Position::ZERO
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::message::Message;
    use crate::order::Order;

    fn channels(range: std::ops::Range<usize>) -> Vec<Channel> {
        range
            .map(|n| Channel::new(&format!("c{n:04}")).expect("valid"))
            .collect()
    }

    #[test]
    fn a_channel_leaves_with_the_last_answer_that_named_it() {
        let (mut union, hub) = (Union::default(), Hub::default());
        let one = union.learn(&hub, channels(0..2), false);
        let two = union.learn(&hub, channels(1..3), false);
        let same = union.learn(&hub, channels(1..3), false);
        assert_eq!(*union.get(&hub).names, channels(0..3));
        drop(one);
        assert_eq!(*union.get(&hub).names, channels(1..3));
        drop(two);
        assert_eq!(*union.get(&hub).names, channels(1..3));
        drop(same);
        assert!(union.get(&hub).is_empty());
        assert!(union.learn(&hub, Vec::new(), false).is_none());
    }

    #[test]
    fn what_a_channel_made_older_stays_so_after_it_left() {
        let (mut union, hub) = (Union::default(), Hub::default());
        let one = union.learn(&hub, channels(0..1), false);
        let order = Order::publish(channels(0..1).remove(0), Message::bytes("1"));
        let at = hub.apply(order, Instant::now());
        assert_eq!(union.get(&hub).left_at, Position::ZERO);
        drop(one);
        assert_eq!((union.get(&hub).left_at, union.get(&hub).names.len()), (at, 0));
    }

    #[test]
    fn rotating_names_fill_nothing() {
        let (mut union, hub) = (Union::default(), Hub::default());
        for n in 0..10 * MAX_CHANNELS {
            let named = union.learn(&hub, channels(n..n + 1), false);
            assert_eq!((union.get(&hub).names.len(), union.get(&hub).more), (1, false));
            drop(named);
        }
        let counts = union.living.counts.lock();
        assert!(counts.only.is_none() && counts.answers.is_empty() && counts.channels.is_empty());
        assert!(counts.left.len() <= 1);
    }

    #[test]
    fn more_than_are_remembered_are_counted_as_any() {
        let (mut union, hub) = (Union::default(), Hub::default());
        let many = union.learn(&hub, channels(0..MAX_CHANNELS + 1), false);
        assert!(union.get(&hub).more && union.get(&hub).names.len() == MAX_CHANNELS);
        drop(many);
        let _cut = union.learn(&hub, channels(0..1), true);
        assert!(union.get(&hub).more);
        let (_one, _two) = (
            union.learn(&hub, channels(0..200), false),
            union.learn(&hub, channels(200..400), false),
        );
        assert!(union.get(&hub).more);
    }

    /// Each client of a URL on a channel of its own: what one costs depends on no others.
    #[test]
    fn coming_and_going_looks_at_no_others() {
        for backwards in [false, true] {
            let (mut union, hub) = (Union::default(), Hub::default());
            let many = 10 * MAX_CHANNELS;
            let mut all = channels(0..many);
            if backwards {
                all.reverse();
            }
            let mut named = std::collections::VecDeque::new();
            for channel in all {
                named.push_back(union.learn(&hub, vec![channel], false));
                union.get(&hub);
            }
            // Until there are as many as are remembered, all of them are looked at.
            let few = MAX_CHANNELS * (MAX_CHANNELS + 1) / 2;
            assert!(union.looked_at <= few + 2 * many, "{}", union.looked_at);
            union.looked_at = 0;
            for _ in 0..many {
                let channel = named.pop_front().flatten().expect("many").channels[0].clone();
                union.get(&hub);
                named.push_back(union.learn(&hub, vec![channel], false));
                union.get(&hub);
            }
            assert!(union.looked_at <= 4 * many, "{}", union.looked_at);
            assert!(union.get(&hub).more);
            // Again few: exactly these.
            named.truncate(2);
            assert_eq!((union.get(&hub).names.len(), union.get(&hub).more), (2, false));
        }
    }

    /// What comes and goes while nobody looks is heeded all the same.
    #[test]
    fn what_a_channel_made_older_stays_so_although_nobody_looked() {
        for more in [false, true] {
            let (mut union, hub) = (Union::default(), Hub::default());
            let named = union.learn(&hub, channels(0..1), more);
            let channel = channels(if more { 7..8 } else { 0..1 }).remove(0);
            let at = hub.apply(Order::publish(channel, Message::bytes("1")), Instant::now());
            drop(named);
            let two = union.learn(&hub, channels(1..2), false);
            assert_eq!((union.get(&hub).left_at, union.get(&hub).more), (at, false));
            drop(two);
        }
        // More than are told apart.
        let (mut union, hub) = (Union::default(), Hub::default());
        let named: Vec<_> = channels(0..2 * MAX_CHANNELS)
            .into_iter()
            .map(|channel| union.learn(&hub, vec![channel], false))
            .collect();
        let last = channels(0..2 * MAX_CHANNELS).pop().expect("many");
        let at = hub.apply(Order::publish(last, Message::bytes("1")), Instant::now());
        drop(named);
        let all = union.get(&hub);
        assert_eq!((all.left_at, all.more, all.names.len()), (at, false, 0));
        assert!(union.living.counts.lock().left.is_empty());
    }
}

//! The channels that answers name, and those of a URL: the union of what its answers named, as long as one of those lives.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::grip::Instruct;
use crate::hub::{Hub, Since};
use crate::marks::{KeySet, LeftMarks, Seen};
use crate::message::Channel;
use crate::order::{Target, TargetKey};
use crate::position::{Position, Stamp};
use crate::sync::Arc;

/// Channels of one URL that are remembered. With more it counts as changed by every message, and as purged by whatever
/// purges a channel.
const MAX_CHANNELS: usize = 256;
/// Living answers of one URL whose channels are told apart: with more, the same.
const MAX_ANSWERS: usize = 1_024;
/// Answers of one URL that went for want of room, while it had others, whose channels are told apart: with more, the same.
const MAX_OUTLIVED: usize = 4;
/// What a channel takes beside its name, where it is named and in its URL's union. Measured.
const CHANNEL_WEIGHT: usize = 96;

/// The channels that one answer names, with a hold or as `ch:` keys. As long as it lives, they are its URL's.
pub(super) struct Named {
    /// Each once, in alphabetical order. At most [`MAX_CHANNELS`].
    channels: Box<[Channel]>,
    /// It named more.
    more: bool,
    /// Of its URL: the union is no longer right.
    left: Arc<AtomicBool>,
}

/// The channels of a URL, and the keys that make them targets of purges.
#[derive(Default)]
pub(super) struct Channels {
    pub(super) names: Vec<Channel>,
    pub(super) keys: KeySet,
    /// There are more than are remembered.
    pub(super) more: bool,
    /// The last message of those that left: what it made older stays so.
    pub(super) left_at: Position,
    /// The same of their purges.
    pub(super) left_marks: LeftMarks,
}

/// What keeps the union of a URL.
#[derive(Default)]
pub(super) struct Union {
    answers: Vec<Weak<Named>>,
    /// An answer is gone since the union was made.
    left: Arc<AtomicBool>,
    /// Of answers that went for want of room: whoever makes room does not make the URL forget.
    outlived: Vec<Arc<Named>>,
    /// There were more of those.
    has_forgotten: bool,
    all: Arc<Channels>,
}

// === impl Named ===

impl Named {
    /// What these channels weigh, as long as they are named.
    pub(super) fn weight(&self) -> usize {
        let weights = self
            .channels
            .iter()
            .map(|channel| channel.as_str().len() + CHANNEL_WEIGHT);
        weights.sum()
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
        self.left.store(true, Ordering::Release);
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
        let living = self.answers.iter().take(MAX_ANSWERS).filter_map(Weak::upgrade);
        let same = |named: &Arc<Named>| *named.channels == *channels && named.more == more;
        if let Some(named) = { living }.find(same) {
            return Some(named);
        }
        let named = Arc::new(Named {
            channels: channels.into(),
            more,
            left: self.left.clone(),
        });
        self.answers.push(Arc::downgrade(&named));
        self.unite(hub);
        Some(named)
    }

    /// An answer that names these goes, for the URL has too many.
    pub(super) fn outlive(&mut self, hub: &Hub, named: &Arc<Named>) {
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
        if self.left.load(Ordering::Acquire) {
            self.unite(hub);
        }
        &self.all
    }

    fn unite(&mut self, hub: &Hub) {
        // Before it is looked who lives: who goes after that is noticed the next time.
        self.left.store(false, Ordering::Release);
        self.answers.retain(|named| named.strong_count() > 0);
        let mut names: Vec<Channel> = Vec::new();
        let mut more = self.has_forgotten || self.answers.len() > MAX_ANSWERS;
        for named in self.answers.iter().take(MAX_ANSWERS).filter_map(Weak::upgrade) {
            more |= named.more;
            names.extend_from_slice(&named.channels);
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        more |= names.len() > MAX_CHANNELS;
        names.truncate(MAX_CHANNELS);
        let has_left = |name: &&Channel| names.binary_search_by(|a| a.as_str().cmp(name.as_str())).is_err();
        let mut left_at = self.all.left_at;
        left_at = left_at.max(hub.last_message_of(self.all.names.iter().filter(has_left)));
        let mut left_marks = self.all.left_marks;
        let gone = self.all.names.iter().zip(self.all.keys.iter());
        let gone = gone.filter(|(name, _)| has_left(name)).map(|(_, key)| *key);
        hub.add_left(&mut left_marks, gone, self.all.more && !more);
        if self.all.more && !more {
            // Which those were is not known.
            left_at = hub.now();
        }
        let keys = names.iter().map(|name| TargetKey::of(&Target::channel(name)));
        self.all = Arc::new(Channels {
            keys: keys.collect(),
            names,
            more,
            left_at,
            left_marks,
        });
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
        assert_eq!(union.get(&hub).names, channels(0..3));
        drop(one);
        assert_eq!(union.get(&hub).names, channels(1..3));
        drop(two);
        assert_eq!(union.get(&hub).names, channels(1..3));
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
        assert!(union.answers.len() <= 1);
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
}

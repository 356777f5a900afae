//! What was said: its publisher may say it once more, for it heard no answer, and that must not bring it back. But an id may
//! be that of another message: of a counter that began again at 1, of a state that came back.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Message;

/// How long the same message is no other one, where nothing else tells: as long as the reference proxy remembers ids.
const REPEATED_FOR: Duration = Duration::from_secs(60);

/// Replaced messages that are remembered, of one channel.
const MOST_REPLACED: usize = 64;

/// Ids that [`LastIds`] remembers.
#[cfg(feature = "publish")]
const MOST_IDS: usize = 1_000;

/// A message as its publisher says it.
pub(super) struct Saying {
    pub(super) id: Arc<str>,
    pub(super) prev_id: Option<Arc<str>>,
    /// Hash of all but its id.
    pub(super) what: u32,
    now: Instant,
}

/// What was said under an id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) what: u32,
    /// What it follows was missing.
    pub(super) had_gap: bool,
    pub(super) at: Instant,
}

/// The last messages that newer states replaced: hashes of their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Replaced(VecDeque<(u64, Said)>);

/// The last ids of many: their hashes.
#[cfg(feature = "publish")]
#[derive(Clone, Debug, Default)]
pub(crate) struct LastIds(VecDeque<u64>);

// === impl Saying ===

impl Saying {
    /// `None`, if it has no id.
    pub(super) fn of(message: &Message, now: Instant) -> Option<Self> {
        let id = message.id.clone()?;
        let prev_id = message.prev_id.clone().filter(|_| !message.no_seq);
        let mut hasher = seeded().build_hasher();
        message.hash_but_id(&mut hasher);
        Some(Self {
            id,
            prev_id,
            what: hasher.finish() as u32,
            now,
        })
    }

    /// Whether it is what was said before, of a channel whose log reaches back so far and whose last message has this id. What
    /// follows the last one is another one, unless that came late; so is the same without a predecessor after a minute.
    pub(super) fn repeats(&self, said: Said, last_id: Option<&Arc<str>>, age: Duration) -> bool {
        let follows_last =
            self.prev_id.is_some() && self.prev_id.as_ref() == last_id && last_id != Some(&self.id);
        let within = match self.prev_id {
            Some(_) => age,
            None => age.min(REPEATED_FOR),
        };
        let since = self.now.saturating_duration_since(said.at);
        said.what == self.what && (!follows_last || said.had_gap) && since <= within
    }
}

// === impl Replaced ===

impl Replaced {
    pub(super) fn remember(&mut self, id: &str, said: Said) {
        push(&mut self.0, (hash(id), said), MOST_REPLACED);
    }

    /// What was said last under this id.
    pub(super) fn find(&self, id: &str) -> Option<Said> {
        if self.0.is_empty() {
            return None;
        }
        let id = hash(id);
        let found = self.0.iter().rev().find(|(other, _)| *other == id);
        found.map(|(_, said)| *said)
    }

    /// Bytes of memory that they take beside this.
    pub(super) fn weight(&self) -> usize {
        self.0.capacity() * size_of::<(u64, Said)>()
    }
}

// === impl LastIds ===

#[cfg(feature = "publish")]
impl LastIds {
    pub(crate) fn remember(&mut self, id: &str) {
        push(&mut self.0, hash(id), MOST_IDS);
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&hash(id))
    }
}

fn push<T>(last: &mut VecDeque<T>, one: T, most: usize) {
    if last.len() == most {
        last.pop_front();
    }
    last.push_back(one);
}

fn hash(id: &str) -> u64 {
    seeded().hash_one(id)
}

fn seeded() -> &'static RandomState {
    static SEEDED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    &SEEDED
}

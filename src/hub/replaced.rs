//! Ids of what was replaced: its publisher may say it once more, for it heard no answer, and that must not bring it back.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Ids that are remembered, of one channel.
const MOST: usize = 64;

/// Hashes of the last of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplacedIds(VecDeque<u64>);

// === impl ReplacedIds ===

impl ReplacedIds {
    pub(crate) fn remember(&mut self, id: &str) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(hash(id));
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&hash(id))
    }

    /// Bytes of memory that they take beside this.
    pub(super) fn weight(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}

fn hash(id: &str) -> u64 {
    static SEEDED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    SEEDED.hash_one(id)
}

//! What is forgotten because it is too old, or because it is too much in all: the oldest first.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::registry::Registry;
use super::topic::{Appended, Gone, Topic, needed};
use crate::position::Position;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// Channels with messages, by the oldest message that each has, or had when it was looked at last.
#[derive(Default)]
pub(super) struct Expiry {
    topics: BTreeMap<(Position, u32), Arc<Topic>>,
    /// Of all channels.
    bytes: usize,
}

// === impl Expiry ===

impl Expiry {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Something was appended to this channel.
    pub(super) fn has_appended(&mut self, topic: &Arc<Topic>, appended: &Appended) {
        self.weigh(appended.weight);
        if !topic.expires.load(Ordering::Relaxed)
            && let Some((place, _)) = topic.oldest()
        {
            topic.expires.store(true, Ordering::Relaxed);
            self.topics.insert(place, topic.clone());
        }
    }

    /// Forgets what is too old, or too much in all, and channels that are left with nothing; in so many steps at most.
    /// Returns whether it is still too much.
    pub(super) fn forget(
        &mut self,
        registry: &Registry,
        now: Instant,
        steps: usize,
        pinned: impl Fn() -> Option<Position>,
        gone: &mut Gone,
    ) -> bool {
        let limits = registry.limits();
        for _ in 0..steps {
            let Some(first) = self.topics.first_entry() else {
                break;
            };
            match first.get().oldest() {
                Some((place, born)) if place == *first.key() => {
                    let is_old = now.saturating_duration_since(born) > limits.age;
                    if self.bytes > limits.total_bytes || (is_old && !needed(place.0, pinned())) {
                        let weight = first.get().evict(gone);
                        self.weigh(weight);
                    } else {
                        return false;
                    }
                }
                // It was forgotten already: by its channel, or just now.
                Some((place, _)) => {
                    let topic = first.remove();
                    self.topics.insert(place, topic);
                }
                None => {
                    let topic = first.remove();
                    topic.expires.store(false, Ordering::Relaxed);
                    registry.drop_idle(&topic.name);
                }
            }
        }
        self.bytes > limits.total_bytes
    }

    fn weigh(&mut self, [before, after]: [usize; 2]) {
        self.bytes = self.bytes + after - before;
    }
}

//! Who waits for a message is woken in batches, a row of readers each, by several tasks: the publisher goes on at once,
//! and whoever shares its thread has turns in between. A few readers it wakes itself.
//!
//! The tasks run where the publisher does. Where nobody may ever run them again, as in a runtime of one thread that its
//! caller drives only while it publishes, a thread of that runtime does it; where there is no runtime, the publisher: it
//! wakes its own, and nobody counts on it.
//! If a runtime ends and its tasks with it, the others go on, or else the last of them wakes who is left as it is dropped.

use std::collections::VecDeque;

use super::Hub;
use super::topic::Topic;
use crate::log::readers::{ROW, Row};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Mutex};

/// Readers that a publisher wakes itself.
const FEW: usize = if cfg!(gripstack_shuttle) { 0 } else { ROW };
/// Tasks that wake at the same time.
const TASKS: usize = 4;

/// The channels whose readers are to be woken.
#[derive(Default)]
pub(super) struct Waking(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// Each at most once.
    topics: VecDeque<Arc<Topic>>,
    tasks: usize,
}

/// One who wakes, batch by batch, until nobody is left.
struct Turns {
    hub: Hub,
    has_ended: bool,
}

// === impl Hub ===

impl Hub {
    /// Wakes all readers of these channels that have not seen the last message: the clock has come to it.
    pub(super) fn wake(&self, topics: Vec<Arc<Topic>>) {
        let readers: usize = topics.iter().map(|topic| topic.call()).sum();
        if readers <= FEW || !has_runtime() {
            for topic in topics {
                while let Some((row, _)) = topic.next_due() {
                    row.wake(topic.changes());
                }
            }
            return;
        }
        for turns in self.0.waking.begin(self, topics, readers) {
            spawn(turns);
        }
    }
}

fn has_runtime() -> bool {
    cfg!(gripstack_shuttle) || tokio::runtime::Handle::try_current().is_ok()
}

/// Runs them in the publisher's runtime.
#[cfg(not(gripstack_shuttle))]
fn spawn(mut turns: Turns) {
    use tokio::runtime::{Handle, RuntimeFlavor};

    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
            runtime.spawn(async move {
                while turns.take_one() {
                    tokio::task::yield_now().await;
                }
            });
        }
        Ok(runtime) => drop(runtime.spawn_blocking(move || turns.take_all())),
        Err(_) => turns.take_all(),
    }
}

/// Some of them are dropped before they are done.
#[cfg(gripstack_shuttle)]
fn spawn(mut turns: Turns) {
    use shuttle::rand::Rng;

    let last = shuttle::rand::thread_rng().gen_range(0..6);
    drop(shuttle::thread::spawn(move || {
        for _ in 0..last {
            if !turns.take_one() {
                return;
            }
        }
    }));
}

// === impl Waking ===

impl Waking {
    /// So that nobody else has it.
    #[cfg(test)]
    pub(super) fn lock(&self) -> impl Sized {
        self.0.lock()
    }

    /// Adds channels whose readers are due. Returns who is to wake them beside those that do already.
    fn begin(&self, hub: &Hub, topics: Vec<Arc<Topic>>, readers: usize) -> Vec<Turns> {
        let mut queue = self.0.lock();
        for topic in topics {
            if !topic.is_woken.swap(true, Ordering::Relaxed) {
                queue.topics.push_back(topic);
            }
        }
        let tasks = readers.div_ceil(ROW).min(TASKS);
        let more = tasks.saturating_sub(queue.tasks);
        queue.tasks += more;
        drop(queue);
        let turns = || Turns {
            hub: hub.clone(),
            has_ended: false,
        };
        std::iter::repeat_with(turns).take(more).collect()
    }

    /// Readers that are to be woken next, of each channel in turn. `None`, and nobody who wakes any more, if there are none.
    fn next(&self) -> Option<(Arc<Topic>, Arc<Row>)> {
        let mut queue = self.0.lock();
        while let Some(topic) = queue.topics.pop_front() {
            match topic.next_due() {
                Some((row, true)) => {
                    queue.topics.push_back(topic.clone());
                    return Some((topic, row));
                }
                Some((row, false)) => {
                    topic.is_woken.store(false, Ordering::Relaxed);
                    return Some((topic, row));
                }
                None => topic.is_woken.store(false, Ordering::Relaxed),
            }
        }
        queue.tasks -= 1;
        None
    }
}

// === impl Turns ===

impl Turns {
    /// Wakes one batch. Returns whether there may be more.
    fn take_one(&mut self) -> bool {
        if self.has_ended {
            return false;
        }
        match self.hub.0.waking.next() {
            Some((topic, row)) => row.wake(topic.changes()),
            None => self.has_ended = true,
        }
        !self.has_ended
    }

    fn take_all(&mut self) {
        while self.take_one() {}
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let mut queue = self.hub.0.waking.0.lock();
        if queue.tasks > 1 {
            queue.tasks -= 1;
            return;
        }
        drop(queue);
        self.take_all();
    }
}

//! The cache's part of forgetting marks (rule C4): a sweep visits everything stored, lets it see the marks, and removes what
//! they killed.
//!
//! A pass that no hurry drives is made by a task of its own, some time after something was marked, slowly. If marks come
//! faster than that, whoever sets one does a part of the work, so that there are never many more than the bound.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::entry::Entry;
use super::handle::{Cache, WeakCache};
use super::resource::{Place, Resource};
use crate::marks::Standing;
use crate::position::Position;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};

/// Marks are forgotten at leisure up to so many, or as many as objects are stored.
const BOUND: usize = 65_536;
/// Beyond it, each mark helps to visit so many objects: when a pass is done there are less than half as many marks more.
const HELP: usize = 4;
/// So many places are visited in one go, or four times as many marks forgotten; then others may have the thread.
const BATCH: usize = 256;
/// The shortest pause before a pass of the task, which it makes at least so many times as long as the pass before.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSES: u32 = 10;

/// Where the sweep is.
#[derive(Default)]
pub(super) struct Sweeper {
    progress: Mutex<Progress>,
    /// The task runs.
    runs: AtomicBool,
}

#[derive(Default)]
struct Progress {
    pass: Option<Pass>,
    /// Everything stored has been visited since the clock stood here.
    visited: Position,
}

/// A pass under way.
struct Pass {
    /// When it is through, marks up to here may be forgotten.
    upto: Position,
    /// The clock when it began.
    began: Position,
    /// Where it goes on; `None`: everything was visited, and it is forgetting.
    next: Option<Place>,
}

/// How far a sweep got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Swept {
    /// A pass is under way.
    Partly,
    /// What can be forgotten now is, and what is dead is gone.
    Now,
    /// And nothing more is to be forgotten.
    Clean,
}

/// The task runs as long as it lives.
struct Running(WeakCache);

// === impl Cache ===

impl Cache {
    /// So many marks were set, and so many wait to be forgotten.
    pub(super) fn marked(&self, set: usize, forgettable: usize) {
        if forgettable > BOUND && forgettable > self.marks_bound() {
            self.sweep(set.saturating_mul(HELP));
        }
        if let Ok(runtime) = Handle::try_current()
            && let Some(running) = Running::take(self)
        {
            runtime.spawn(in_background(running));
        }
    }

    fn marks_bound(&self) -> usize {
        self.store().len().max(BOUND)
    }

    /// Goes on with a pass, or begins one if that is of use, and visits so many places.
    fn sweep(&self, places: usize) -> Swept {
        // Dropped when no lock is held.
        let mut dead = Vec::new();
        let mut progress = self.sweeper().progress.lock();
        let swept = self.sweep_on(&mut progress, places, &mut dead);
        drop(progress);
        if !dead.is_empty() {
            self.counters().bytes.set(self.store().weight() as f64);
        }
        swept
    }

    fn sweep_on(&self, progress: &mut Progress, places: usize, dead: &mut Vec<Arc<Entry>>) -> Swept {
        let hub = self.hub();
        let pass = match &mut progress.pass {
            Some(pass) => pass,
            None => {
                let (oldest, last) = hub.marked_from_to();
                if oldest.is_none() && last <= progress.visited {
                    return Swept::Clean;
                }
                let upto = hub.begin_pass(self.marks_bound());
                if oldest.is_none_or(|oldest| oldest > upto) && last <= progress.visited {
                    return Swept::Now;
                }
                progress.pass.insert(Pass {
                    upto,
                    began: hub.now(),
                    next: Some(Place::default()),
                })
            }
        };
        let mut left = places;
        while left > 0
            && let Some(place) = pass.next
        {
            left -= 1;
            let Some((resource, next)) = self.index().visit(place) else {
                pass.next = None;
                progress.visited = pass.began;
                break;
            };
            if let Some(resource) = resource {
                left = left.saturating_sub(self.show_marks(&resource, dead));
            }
            pass.next = Some(next);
        }
        if pass.next.is_some() || hub.forget(pass.upto, places.saturating_mul(4)) {
            return Swept::Partly;
        }
        progress.pass = None;
        Swept::Now
    }

    /// Lets all stored variants of a URL see the marks of their targets, and removes those that are dead. Returns
    /// how many there may have been.
    fn show_marks(&self, resource: &Resource, dead: &mut Vec<Arc<Entry>>) -> usize {
        // Under the lock: whoever decides for a request takes a pin before we get here, or sees what we have removed.
        let mut state = resource.state.lock();
        let channels = state.channels(self.hub());
        for variant in state.variants() {
            if let Some(entry) = self.store().peek(resource.key(), *variant)
                && self.hub().judge(entry.since(&resource.keys, &channels)).standing == Standing::Dead
            {
                self.store().remove(resource.key(), &entry);
                dead.push(entry);
            }
        }
        state.variants().len()
    }
}

/// Makes passes until nothing is to be forgotten.
async fn in_background(mut running: Running) {
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let began = Instant::now();
        let swept = loop {
            let Some(cache) = running.0.upgrade() else { return };
            match cache.sweep(BATCH) {
                Swept::Partly => {}
                swept => break swept,
            }
            drop(cache);
            tokio::task::yield_now().await;
        };
        pause = PAUSE.max(began.elapsed().saturating_mul(PAUSES));
        if swept == Swept::Clean {
            let Some(cache) = running.0.upgrade() else { return };
            drop(running);
            // Whoever set a mark before this saw the task run.
            if cache.sweep(0) == Swept::Clean {
                return;
            }
            let Some(again) = Running::take(&cache) else {
                return;
            };
            running = again;
        }
    }
}

// === impl Running ===

impl Running {
    /// `None`: it runs already.
    fn take(cache: &Cache) -> Option<Self> {
        let runs = cache.sweeper().runs.swap(true, Ordering::SeqCst);
        (!runs).then(|| Self(cache.downgrade()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(cache) = self.0.upgrade() {
            cache.sweeper().runs.store(false, Ordering::SeqCst);
        }
    }
}

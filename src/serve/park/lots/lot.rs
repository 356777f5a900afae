//! What others see of a lot: who arrives there, and who is woken.

use std::mem;
use std::task::{Wake, Waker};

use super::Connection;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};

/// What others see of a lot.
pub(super) struct Lot {
    has_reactor: bool,
    queue: Mutex<Queue>,
}

/// What a lot has to look at.
#[derive(Default)]
struct Queue {
    arrived: Vec<Box<dyn Connection>>,
    /// By their numbers.
    woken: Vec<u32>,
    /// The task, where it sleeps.
    sleeper: Option<Waker>,
    /// Nobody arrives any more.
    is_ending: bool,
    /// Nor is anybody there.
    has_ended: bool,
}

/// The waker of a connection. It wakes the lot for it.
pub(super) struct Seat {
    lot: Arc<Lot>,
    number: u32,
    /// It is among those woken.
    is_woken: AtomicBool,
}

/// What a lot does next.
pub(super) enum Next {
    Turns,
    Sleep,
    End,
}

// === impl Lot ===

impl Lot {
    pub(super) fn new(has_reactor: bool) -> Self {
        Self {
            has_reactor,
            queue: Mutex::default(),
        }
    }

    /// Whether sockets may leave the runtime for the lot's own poll.
    pub(super) fn has_reactor(&self) -> bool {
        self.has_reactor
    }

    /// One more. Where the runtime that served it has ended it is cut.
    pub(super) fn arrive(&self, connection: Box<dyn Connection>) {
        let mut queue = self.queue.lock();
        if queue.has_ended {
            drop(queue);
            return drop(connection);
        }
        queue.arrived.push(connection);
        let sleeper = queue.sleeper.take();
        drop(queue);
        wake(sleeper);
    }

    /// It is to end once its last connection has.
    pub(super) fn end(&self) {
        let mut queue = self.queue.lock();
        queue.is_ending = true;
        let sleeper = queue.sleeper.take();
        drop(queue);
        wake(sleeper);
    }

    /// Its task is gone. Returns who had arrived and must be dropped.
    pub(super) fn ended(&self) -> Vec<Box<dyn Connection>> {
        let over = Queue {
            is_ending: true,
            has_ended: true,
            ..Queue::default()
        };
        // Its last waker may stay for long with whom it was given to: nothing but its own few bytes does.
        let queue = mem::replace(&mut *self.queue.lock(), over);
        queue.arrived
    }

    /// Moves what there is to look at to these lists, which are empty. If there is nothing the task, of which this is the
    /// waker, may sleep; and end, if it has nobody.
    pub(super) fn next(
        &self,
        arrived: &mut Vec<Box<dyn Connection>>,
        woken: &mut Vec<u32>,
        (waker, is_empty): (&Waker, bool),
    ) -> Next {
        // Wakers are their users': they are cloned and dropped without the lock.
        let mut new = None;
        loop {
            let mut queue = self.queue.lock();
            if !queue.arrived.is_empty() || !queue.woken.is_empty() {
                mem::swap(&mut queue.arrived, arrived);
                mem::swap(&mut queue.woken, woken);
                return Next::Turns;
            }
            if queue.is_ending && is_empty {
                queue.has_ended = true;
                return Next::End;
            }
            if let Some(new) = new.take() {
                let old = queue.sleeper.replace(new);
                drop(queue);
                drop(old);
                return Next::Sleep;
            }
            drop(queue);
            new = Some(waker.clone());
        }
    }
}

fn wake(sleeper: Option<Waker>) {
    if let Some(sleeper) = sleeper {
        sleeper.wake();
    }
}

// === impl Seat ===

impl Seat {
    pub(super) fn new(lot: Arc<Lot>, number: usize) -> Self {
        Self {
            lot,
            number: u32::try_from(number).expect("fewer are open than have an address"),
            is_woken: AtomicBool::new(false),
        }
    }

    /// Whether it was not yet among those woken. Now it is.
    pub(super) fn call(&self) -> bool {
        !self.is_woken.swap(true, Ordering::AcqRel)
    }

    /// Its turn begins: whoever wakes it from now on wakes it for another.
    pub(super) fn begin(&self) {
        self.is_woken.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.call() {
            return;
        }
        let mut queue = self.lot.queue.lock();
        if queue.has_ended {
            return;
        }
        queue.woken.push(self.number);
        let sleeper = queue.sleeper.take();
        drop(queue);
        wake(sleeper);
    }
}

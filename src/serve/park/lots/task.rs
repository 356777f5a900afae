//! The task of a lot.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::Connection;
use super::lot::{Lot, Next, Seat};
use super::reactor::Reactor;
use crate::bell::Listener;
use crate::sync::Arc;

/// How long a lot has turns before it lets others run, and after how many turns it looks at the time.
const SPELL: Duration = Duration::from_micros(200);
const TURNS: usize = 16;

/// The task of a lot.
struct Task {
    lot: Arc<Lot>,
    /// Rung when all are to be cut.
    cut: Listener,
    reactor: Option<Reactor>,
    places: Slab<Place>,
    /// Whose turn it is, in order.
    due: VecDeque<usize>,
    arrived: Vec<Box<dyn Connection>>,
    woken: Vec<u32>,
}

/// A connection in its place.
struct Place {
    connection: Box<dyn Connection>,
    seat: Arc<Seat>,
}

/// Begins a lot, in the runtime of the caller; where sockets may leave that, with a poll of its own.
pub(super) fn spawn(cut: Listener, may_leave: bool) -> Arc<Lot> {
    let reactor = may_leave.then(Reactor::new).and_then(|reactor| {
        let tell = |error: &_| tracing::warn!(target: "gripstack::serve", %error, "parked connections stay with the runtime");
        reactor.inspect_err(tell).ok()
    });
    let task = Task::new(reactor, cut);
    let lot = task.lot.clone();
    // What it polls shares no budget: the lot lets others run by itself.
    tokio::spawn(tokio::task::unconstrained(task.run()));
    lot
}

// === impl Task ===

impl Task {
    fn new(reactor: Option<Reactor>, cut: Listener) -> Self {
        Self {
            lot: Arc::new(Lot::new(reactor.is_some())),
            cut,
            reactor,
            places: Slab::new(),
            due: VecDeque::new(),
            arrived: Vec::new(),
            woken: Vec::new(),
        }
    }

    async fn run(mut self) {
        while poll_fn(|cx| self.poll_due(cx)).await {
            self.have_turns();
            tokio::task::yield_now().await;
        }
    }

    /// Ready when there is somebody whose turn it is; or, false, there will never be.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.cut.poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        if let Some(reactor) = &mut self.reactor {
            reactor.look(cx, |number, ready| {
                if let Some(place) = self.places.get_mut(number) {
                    place.connection.ready(ready);
                    if place.seat.call() {
                        self.due.push_back(number);
                    }
                }
            });
        }
        let me = (cx.waker(), self.places.is_empty());
        let next = self.lot.next(&mut self.arrived, &mut self.woken, me);
        self.due
            .extend(self.woken.drain(..).map(|number| number as usize));
        for connection in self.arrived.drain(..) {
            let place = self.places.vacant_entry();
            let seat = Arc::new(Seat::new(self.lot.clone(), place.key()));
            seat.call();
            self.due.push_back(place.key());
            place.insert(Place { connection, seat });
        }
        match next {
            _ if !self.due.is_empty() => Poll::Ready(true),
            Next::End => Poll::Ready(false),
            Next::Sleep | Next::Turns => Poll::Pending,
        }
    }

    /// Some of those whose turn it is have it.
    fn have_turns(&mut self) {
        let until = Instant::now() + SPELL;
        for turn in 1.. {
            let Some(number) = self.due.pop_front() else {
                return;
            };
            // Another may have its number by now: it is polled in vain.
            if let Some(place) = self.places.get_mut(number)
                && !place.have_turn(self.reactor.as_ref(), number)
            {
                discard(self.places.remove(number).connection);
                if self.places.is_empty() {
                    // What a peak took.
                    self.places = Slab::new();
                }
            }
            if turn % TURNS == 0 && Instant::now() >= until {
                return;
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // What is left is cut, and whoever arrives from now on.
        self.arrived.extend(self.lot.ended());
        let left = self.places.drain().map(|place| place.connection);
        for connection in self.arrived.drain(..).chain(left) {
            discard(connection);
        }
    }
}

/// A socket may be its user's: if it panics as it goes it does not take the others along. Bodies see to that themselves.
fn discard(connection: Box<dyn Connection>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(connection)));
}

// === impl Place ===

impl Place {
    /// Whether it goes on.
    fn have_turn(&mut self, reactor: Option<&Reactor>, number: usize) -> bool {
        self.seat.begin();
        let waker = Waker::from(self.seat.clone());
        let cx = &mut Context::from_waker(&waker);
        if self.connection.poll(cx).is_ready() {
            return false;
        }
        let Some(reactor) = reactor else {
            return true;
        };
        let settled = self.connection.settle(reactor, number);
        if let Err(error) = &settled {
            tracing::warn!(target: "gripstack::serve", %error, "cut: a parked connection cannot be watched");
        }
        settled.is_ok()
    }
}

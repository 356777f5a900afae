//! Does what the [`Pacer`] says, when it says so: one task for all channels, which runs only while one is paced. A runtime
//! may end, or nobody drive it any more: each in which something was submitted has a task of its own.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::runtime::{self, Handle};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::pacer::{Full, Hurry, Pacer, Start, Update, Verdict};
use crate::edge::{Edge, SubmitError};
use crate::message::Channel;
use crate::order::{Order, Publication};
use crate::position::Position;
use crate::sync::Mutex;
use crate::telemetry::{Counter, Histogram, names};

#[derive(Clone)]
pub(super) struct Driver(Arc<Inner>);

struct Inner {
    edge: Edge,
    state: Mutex<State>,
    /// An order has been sent.
    finished: Notify,
    /// The next deadline is earlier than a task knows.
    earlier: Notify,
    superseded: Counter,
    queue: Histogram,
}

struct State {
    pacer: Pacer,
    /// Of few runtimes.
    tasks: Vec<(runtime::Id, Task)>,
}

/// What the task of a runtime does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// It will look at the deadlines.
    Awake,
    /// It sleeps.
    Until(Instant),
}

/// An order on its way: done already, as in one process, or with a task of its own.
pub(super) enum Sending {
    Done(Option<Position>),
    Task(JoinHandle<Option<Position>>),
}

/// An order is being sent. Its drop says that this has ended, however it did.
struct InFlight {
    driver: Driver,
    channel: Channel,
    failed: Option<Order>,
}

/// The task, whether or not it has begun: if it is dropped, so that another can be started.
struct Running {
    driver: Driver,
    runtime: runtime::Id,
    ended: bool,
}

// === impl Driver ===

impl Driver {
    pub(super) fn new(edge: Edge, max_channels: usize, max_pending_bytes: usize) -> Self {
        let order_limits = edge.hub().order_limits();
        Self(Arc::new(Inner {
            edge,
            state: Mutex::new(State {
                pacer: Pacer::new(max_channels, max_pending_bytes, order_limits),
                tasks: Vec::new(),
            }),
            finished: Notify::new(),
            earlier: Notify::new(),
            superseded: Counter::new(names::SUPERSEDED),
            queue: Histogram::new(names::QUEUE_SECONDS),
        }))
    }

    pub(super) fn edge(&self) -> &Edge {
        &self.0.edge
    }

    /// Whether any channel is paced at present.
    pub(super) fn paces_any(&self) -> bool {
        self.0.state.lock().pacer.paces_any()
    }

    /// The channels for which something waits or is being sent.
    pub(super) fn unsent(&self) -> Vec<Channel> {
        self.0.state.lock().pacer.unsent()
    }

    /// Takes all of these updates, or none of them. What is to start the caller must [start](Self::start), before
    /// it waits for anything.
    pub(super) fn submit(&self, updates: Vec<Update>, now: Instant) -> Result<Vec<Verdict>, Full> {
        if updates.is_empty() {
            return Ok(Vec::new());
        }
        let verdicts = self.pace(|pacer| pacer.submit(updates, now))?;
        let superseded = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Superseded | Verdict::Waits { replaced: true }));
        self.0.superseded.add(superseded.count() as u64);
        // The runtimes that looked after what waits may have ended, or stand still.
        self.attend();
        Ok(verdicts)
    }

    /// These messages go out without being paced.
    pub(super) fn pass<'a>(&self, messages: impl IntoIterator<Item = (&'a Publication, Option<u64>)>) {
        let mut state = self.0.state.lock();
        for (publication, version) in messages {
            state
                .pacer
                .pass(&publication.channel, &publication.message, version);
        }
    }

    /// Sends an order. Never waits: what cannot be sent at once goes on in a task, whoever is dropped meanwhile.
    pub(super) fn start(&self, start: Start) -> Sending {
        let mut sending: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(self.clone().send(start));
        match sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(at) => Sending::Done(at),
            // Polled again there, with a waker.
            Poll::Pending => Sending::Task(tokio::spawn(sending)),
        }
    }

    /// Resolves when nothing that was submitted before waits for this channel or is being sent.
    pub(super) async fn hurry(&self, channel: &Channel) {
        loop {
            let mut finished = pin!(self.0.finished.notified());
            // From here on, whatever finishes is heard.
            finished.as_mut().enable();
            let found = self.pace(|pacer| pacer.hurry(channel, Instant::now()));
            match found {
                Hurry::Idle => return,
                Hurry::Busy => finished.await,
                Hurry::Start(start) => {
                    let more = start.more;
                    let sent = self.start(start).position().await;
                    if !more || sent.is_none() {
                        return;
                    }
                }
            }
        }
    }

    async fn send(self, start: Start) -> Option<Position> {
        let Start {
            channel,
            order,
            waited,
            ..
        } = start;
        let edge = self.0.edge.clone();
        self.0.queue.record(waited);
        let mut in_flight = InFlight {
            driver: self,
            channel,
            failed: Some(order.clone()),
        };
        match edge.submit(order).await {
            Ok(at) => {
                in_flight.failed = None;
                Some(at)
            }
            Err(error) => {
                tracing::warn!(target: "gripstack::publish", %error, "a paced order was not accepted");
                if matches!(error, SubmitError::TooLarge(_) | SubmitError::Conflict(_)) {
                    in_flight.failed = None;
                }
                None
            }
        }
    }

    /// Does something with the pacer. What it no longer needs, which is a user's, is dropped without the lock.
    fn pace<R>(&self, act: impl FnOnce(&mut Pacer) -> R) -> R {
        let mut state = self.0.state.lock();
        let done = act(&mut state.pacer);
        let gone = state.pacer.take_gone();
        drop(state);
        drop(gone);
        done
    }

    /// Makes sure that somebody looks after the deadlines, the next of which may be a new one.
    fn attend(&self) {
        // Outside of a runtime nothing can be sent but by those that are there.
        let here = Handle::try_current().ok();
        let mut state = self.0.state.lock();
        let Some(deadline) = state.pacer.next_deadline() else {
            return;
        };
        let mut is_earlier = false;
        for (_, task) in &mut state.tasks {
            if matches!(task, Task::Until(asleep) if *asleep > deadline) {
                *task = Task::Awake;
                is_earlier = true;
            }
        }
        let new = here.filter(|here| state.tasks.iter().all(|(runtime, _)| *runtime != here.id()));
        if let Some(here) = &new {
            state.tasks.push((here.id(), Task::Awake));
        }
        drop(state);
        if is_earlier {
            self.0.earlier.notify_waiters();
        }
        if let Some(here) = new {
            let running = Running {
                driver: self.clone(),
                runtime: here.id(),
                ended: false,
            };
            here.spawn(running.run());
        }
    }
}

// === impl Sending ===

impl Sending {
    /// `None`: it was not accepted, and will be tried again.
    pub(super) async fn position(self) -> Option<Position> {
        match self {
            Self::Done(at) => at,
            // A panic of the bus, or the end of the runtime.
            Self::Task(task) => task.await.unwrap_or(None),
        }
    }
}

// === impl InFlight ===

impl Drop for InFlight {
    fn drop(&mut self) {
        let failed = self.failed.take();
        self.driver
            .pace(|pacer| pacer.finish(&self.channel, failed, Instant::now()));
        self.driver.0.finished.notify_waiters();
        self.driver.attend();
    }
}

// === impl Running ===

impl Running {
    async fn run(mut self) {
        let driver = self.driver.clone();
        let mut drain = pin!(driver.0.edge.watch_drain().begun());
        let mut draining = false;
        loop {
            let starts = driver.pace(|pacer| pacer.due(Instant::now()));
            if !starts.is_empty() {
                for start in starts {
                    driver.start(start);
                }
                continue;
            }
            // From here on it is heard.
            let earlier = driver.0.earlier.notified();
            let deadline = {
                let mut state = driver.0.state.lock();
                let deadline = state.pacer.next_deadline();
                match deadline {
                    Some(deadline) => self.is(Task::Until(deadline), &mut state),
                    None => self.is_no_more(&mut state),
                }
                deadline
            };
            let Some(deadline) = deadline else {
                self.ended = true;
                return;
            };
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => {}
                () = earlier => {}
                () = &mut drain, if !draining => {
                    draining = true;
                    driver.pace(|pacer| pacer.stop(Instant::now()));
                }
            }
            self.is(Task::Awake, &mut driver.0.state.lock());
        }
    }

    fn is(&self, now: Task, state: &mut State) {
        let mut tasks = state.tasks.iter_mut();
        if let Some((_, task)) = tasks.find(|(runtime, _)| *runtime == self.runtime) {
            *task = now;
        }
    }

    fn is_no_more(&self, state: &mut State) {
        state.tasks.retain(|(runtime, _)| *runtime != self.runtime);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.is_no_more(&mut self.driver.0.state.lock());
        }
    }
}

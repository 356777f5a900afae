//! What the socket of an HTTP/1 connection and its service tell each other, with hyper between them.

use std::task::Waker;

use super::refusal::{Asked, Refusal};
use super::slot::Slot;
use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use crate::sync::{Arc, Mutex};
use crate::waiting::{Requests, Waiting};

/// What the socket of an HTTP/1 connection and its service tell each other. The socket gives hyper one request
/// at a time, so there is one in question at most.
pub(super) struct Link {
    busy: AtomicBool,
    upgrade: AtomicU8,
    /// More has come than is read ahead.
    crowded: AtomicBool,
    refusal: Mutex<Option<(Refusal, Asked)>>,
    reader: Mutex<Option<Waker>>,
    requests: Arc<Requests>,
    slot: Slot,
}

/// What became of a request that asks to leave HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    Unanswered,
    Refused,
    Accepted,
}

/// The answer to the request in hyper's hands is not yet written to its end. Dropping it says that it is.
pub(super) struct InFlight(Arc<Link>);

// === impl Link ===

impl Link {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            busy: AtomicBool::new(false),
            upgrade: AtomicU8::new(Upgrade::Unanswered as u8),
            crowded: AtomicBool::new(false),
            refusal: Mutex::new(None),
            reader: Mutex::new(None),
            requests: Requests::new(),
            slot: Slot::new(),
        })
    }

    /// Where the body of a hold is.
    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The socket gives hyper a head.
    pub(super) fn begin(&self) {
        self.requests.begin();
        self.upgrade.store(Upgrade::Unanswered as u8, Ordering::Relaxed);
        self.crowded.store(false, Ordering::Relaxed);
        self.busy.store(true, Ordering::Release);
    }

    /// Whether hyper has a request that is not answered to its end.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// By what the service says that the client of the request in question is kept waiting.
    pub(super) fn waiting(&self) -> Waiting {
        self.requests.current()
    }

    /// Whether it is; if not, the waker is woken when it is.
    pub(super) fn is_waiting(&self, waker: &Waker) -> bool {
        self.requests.is_waiting(waker)
    }

    /// The request in question must not reach the service, or not succeed.
    pub(super) fn refuse(&self, refusal: Refusal, asked: Asked) {
        *self.refusal.lock() = Some((refusal, asked));
    }

    pub(super) fn take_refusal(&self) -> Option<(Refusal, Asked)> {
        self.refusal.lock().take()
    }

    pub(super) fn decide_upgrade(&self, accepted: bool) {
        let upgrade = if accepted {
            Upgrade::Accepted
        } else {
            Upgrade::Refused
        };
        self.upgrade.store(upgrade as u8, Ordering::Release);
        if self.crowded.load(Ordering::Acquire) {
            self.wake();
        }
    }

    /// Whether the answer to the request in question has begun. If not, the socket is woken when it does.
    pub(super) fn is_answered(&self) -> bool {
        self.crowded.store(true, Ordering::Release);
        self.upgrade() != Upgrade::Unanswered
    }

    fn wake(&self) {
        let reader = self.reader.lock().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn upgrade(&self) -> Upgrade {
        match self.upgrade.load(Ordering::Acquire) {
            upgrade if upgrade == Upgrade::Accepted as u8 => Upgrade::Accepted,
            upgrade if upgrade == Upgrade::Refused as u8 => Upgrade::Refused,
            _ => Upgrade::Unanswered,
        }
    }

    /// The socket keeps its bytes back; wakes it when the request in question is done.
    pub(super) fn wake_when_done(&self, waker: &Waker) {
        let mut reader = self.reader.lock();
        if !reader.as_ref().is_some_and(|reader| reader.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
    }

    pub(super) fn in_flight(self: &Arc<Self>) -> InFlight {
        InFlight(self.clone())
    }
}

// === impl InFlight ===

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
        self.0.wake();
    }
}

//! What the socket of an HTTP/1 connection and its service tell each other, with hyper between them.

use std::task::{Poll, Waker};

use super::refusal::{Asked, Refusal};
use super::slot::Slot;
use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use crate::sync::{Arc, Mutex};
use crate::waiting::{Requests, Waiting};

/// What the socket of an HTTP/1 connection and its service tell each other. The socket gives hyper one request
/// at a time, so there is one in question at most.
pub(super) struct Link {
    way: AtomicU8,
    answered: AtomicU8,
    /// More has come than is read ahead.
    crowded: AtomicBool,
    refusal: Mutex<Option<(Refusal, Asked)>>,
    reader: Mutex<Option<Waker>>,
    requests: Arc<Requests>,
    slot: Slot,
}

/// How far the answer to the request in question has come on its way to the client.
///
/// That its body is over is not enough: up to a buffer of it, or a piece of any size, is still to be written then. hyper
/// flushes its socket only when it has nothing left to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Way {
    /// All of it is with the kernel; also where nothing was asked for.
    Out,
    /// The service has not given all of it.
    Coming,
    /// hyper has what is left of it.
    Given,
}

/// How the request in question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    NotYet,
    /// In HTTP, and others may follow.
    Plainly,
    /// By a hold, which is the last on its connection.
    Held,
    /// As it asked: what follows is HTTP no more.
    Upgraded,
}

/// The service has not given all of the answer to the request in hyper's hands. Dropping it says that it has.
pub(super) struct InFlight(Arc<Link>);

// === impl Link ===

impl Link {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            way: AtomicU8::new(Way::Out as u8),
            answered: AtomicU8::new(Answered::NotYet as u8),
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
        self.answered.store(Answered::NotYet as u8, Ordering::Relaxed);
        self.crowded.store(false, Ordering::Relaxed);
        self.go(Way::Coming);
    }

    /// Whether hyper has a request whose answer is not yet written to its end.
    pub(super) fn is_busy(&self) -> bool {
        self.way.load(Ordering::Acquire) != Way::Out as u8
    }

    /// Ready when it has none. Of the connection alone, which looks whenever it has written: nobody is woken.
    pub(super) fn poll_out(&self) -> Poll<()> {
        match self.is_busy() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Whether its client is, or will be, told that the answer under way is the last: where a drain begins before it, or it is
    /// held.
    pub(super) fn says_last(&self) -> bool {
        self.is_busy() && self.answered() != Answered::Plainly
    }

    /// All that hyper had to write is with the kernel.
    pub(super) fn flushed(&self) {
        self.slot.flushed();
        if self.way.load(Ordering::Acquire) == Way::Given as u8 {
            self.go(Way::Out);
            self.wake();
        }
    }

    fn go(&self, way: Way) {
        self.way.store(way as u8, Ordering::Release);
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

    /// The answer to the request in question begins.
    pub(super) fn answer(&self, answered: Answered) {
        if answered == Answered::Plainly {
            self.requests.answer();
        }
        self.answered.store(answered as u8, Ordering::Release);
        if self.crowded.load(Ordering::Acquire) {
            self.wake();
        }
    }

    /// How the request in question is answered. If it is not yet, the socket is woken when it is.
    pub(super) fn await_answer(&self) -> Answered {
        self.crowded.store(true, Ordering::Release);
        self.answered()
    }

    fn wake(&self) {
        let reader = self.reader.lock().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn answered(&self) -> Answered {
        match self.answered.load(Ordering::Acquire) {
            answered if answered == Answered::Upgraded as u8 => Answered::Upgraded,
            answered if answered == Answered::Plainly as u8 => Answered::Plainly,
            answered if answered == Answered::Held as u8 => Answered::Held,
            _ => Answered::NotYet,
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
        self.0.go(Way::Given);
    }
}

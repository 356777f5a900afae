//! Where hyper polls the body of a hold, and the server can take it out.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::park::Framing;
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, Ordering};

/// Where hyper polls the body of a hold, until the server takes it out.
///
/// hyper flushes its socket only when it has nothing left to write. So once the body was pending, and then a flush was
/// complete, all that it has given is with the kernel: it is *at rest*.
pub(super) struct Slot {
    body: Mutex<Option<(EdgeBody, Framing)>>,
    rest: AtomicU8,
}

/// How far what is in the slot has come.
#[repr(u8)]
enum Rest {
    /// There is nothing in it.
    Empty,
    /// It has given something, or is about to.
    Busy,
    /// It has nothing to give.
    Pending,
    /// And what it gave before is flushed.
    Flushed,
}

// === impl Slot ===

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            body: Mutex::new(None),
            rest: AtomicU8::new(Rest::Empty as u8),
        }
    }

    pub(super) fn fill(&self, body: EdgeBody, framing: Framing) {
        *self.body.lock() = Some((body, framing));
        self.set(Rest::Busy);
    }

    /// Polls what is in it. What was taken out is pending for ever.
    pub(super) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Out of the lock while it is polled: it is others' code. Nobody else looks, for it is polled by the task that
        // takes it out.
        let Some((mut body, framing)) = self.body.lock().take() else {
            return Poll::Pending;
        };
        let polled = match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut body).poll_frame(cx))) {
            Ok(polled) => polled,
            Err(panic) => {
                // It goes with the connection, not as this unwinds: one that panics as it goes, too, would end the process.
                *self.body.lock() = Some((body, framing));
                resume_unwind(panic)
            }
        };
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            // It is over: what it holds goes now, however slow its reader is.
            self.set(Rest::Empty);
            return polled;
        }
        *self.body.lock() = Some((body, framing));
        match polled {
            Poll::Ready(_) => self.set(Rest::Busy),
            // hyper looks once more after a flush: what was flushed stays so.
            Poll::Pending => self.step(Rest::Busy, Rest::Pending),
        }
        polled
    }

    /// The socket has been flushed, with nothing left to write.
    pub(super) fn flushed(&self) {
        self.step(Rest::Pending, Rest::Flushed);
    }

    /// Takes out what is at rest.
    pub(super) fn take(&self) -> Option<(EdgeBody, Framing)> {
        if self.rest.load(Ordering::Relaxed) != Rest::Flushed as u8 {
            return None;
        }
        self.set(Rest::Empty);
        self.body.lock().take()
    }

    /// From here to there; from elsewhere nowhere. All of it happens in one task.
    fn step(&self, from: Rest, to: Rest) {
        if self.rest.load(Ordering::Relaxed) == from as u8 {
            self.set(to);
        }
    }

    fn set(&self, rest: Rest) {
        self.rest.store(rest as u8, Ordering::Relaxed);
    }
}

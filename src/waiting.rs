//! Telling a server that a client is kept waiting on purpose.

use std::fmt;
use std::task::Waker;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};

/// In the extensions of a request on a connection of HTTP/1. A client that ends its side of the connection behind its
/// request (a half-close, as `nc -N` and publishers of the style of HTTP/1.0 do) wants its answer all the same. Only of
/// one who is kept waiting until something happens, a long poll, it means that nobody waits any more: whoever keeps it
/// waiting says so, and is dropped when the client ends its side before the answer begins. Answers that are [`Held`](crate::body::Held) need not
/// say it.
///
/// ```
/// use gripstack::{EdgeBody, Waiting};
/// use http::{Request, Response};
///
/// async fn next(request: Request<EdgeBody>) -> Result<Response<EdgeBody>, std::convert::Infallible> {
///     if let Some(waiting) = request.extensions().get::<Waiting>() {
///         waiting.begin();
///     }
///     // Wait for it.
///     Ok(Response::new(EdgeBody::from("here it is\n")))
/// }
/// # let _ = next;
/// ```
#[derive(Clone)]
pub struct Waiting {
    connection: Arc<Requests>,
    number: u64,
}

/// The requests of a connection, one at a time.
pub(crate) struct Requests {
    /// The number of the one under way.
    now: AtomicU64,
    /// The last one whose client is kept waiting.
    waiting: AtomicU64,
    reader: Mutex<Option<Waker>>,
}

// === impl Waiting ===

impl Waiting {
    /// From here on its client is kept waiting until something happens.
    pub fn begin(&self) {
        // A later one is another request's.
        self.connection.waiting.fetch_max(self.number, Ordering::AcqRel);
        let reader = self.connection.reader.lock().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

// === impl Requests ===

impl Requests {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            reader: Mutex::new(None),
        })
    }

    /// One more has come.
    pub(crate) fn begin(&self) {
        self.now.fetch_add(1, Ordering::AcqRel);
    }

    /// What the one under way waited for has come. Who keeps its client waiting in the midst of an answer says so again.
    pub(crate) fn answer(&self) {
        self.waiting.store(0, Ordering::Release);
    }

    /// A handle for the one under way.
    pub(crate) fn current(self: &Arc<Self>) -> Waiting {
        Waiting {
            connection: self.clone(),
            number: self.now.load(Ordering::Acquire),
        }
    }

    /// Whether the client of the one under way is kept waiting; if not, the waker is woken when it is.
    pub(crate) fn is_waiting(&self, waker: &Waker) -> bool {
        // First, or what comes between is lost.
        *self.reader.lock() = Some(waker.clone());
        self.waiting.load(Ordering::Acquire) == self.now.load(Ordering::Acquire)
    }
}

//! The answer that is awaited on a connection, and the interim ones before its head (RFC 9110 15.2).

use std::io;

use http::{Extensions, Request};
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};

use crate::error::{OriginError, OriginFailure};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// No interim answer has come: what is read is not counted.
const UNCOUNTED: usize = usize::MAX;

/// In what is known of a connection: whether an answer has come on it, and how much may yet come before the next one.
///
/// hyper bounds one head. It drops interim answers without counting them, within one poll for as long as there is something to
/// read. So what is read from the first of them on is counted where it is read, until a head is there that is not one.
#[derive(Clone, Debug)]
pub(super) struct Awaited(Arc<State>);

#[derive(Debug)]
struct State {
    answered: AtomicBool,
    /// Most bytes of all heads of an answer, behind its first interim one.
    most: usize,
    /// So many of them are left.
    left: AtomicUsize,
}

// === impl Awaited ===

impl Awaited {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(State {
            answered: AtomicBool::new(false),
            most: most.min(UNCOUNTED - 1),
            left: AtomicUsize::new(UNCOUNTED),
        }))
    }

    /// The connection that a request will go out on. Interim answers to it begin to count there.
    pub(super) fn watch<B>(request: &mut Request<B>) -> CaptureConnection {
        let connection = capture_connection(request);
        let its_own = connection.clone();
        hyper::ext::on_informational(request, move |_| {
            if let Some(awaited) = Self::of(&its_own) {
                awaited.begin();
            }
        });
        connection
    }

    /// Whether an answer had come on the connection before this one, or before what came instead.
    pub(super) fn has_answered(connection: &CaptureConnection) -> bool {
        Self::of(connection).is_some_and(|awaited| awaited.0.answered.load(Relaxed))
    }

    /// An answer has come: what follows is its body.
    pub(super) fn note(connection: &CaptureConnection) {
        if let Some(Self(state)) = Self::of(connection) {
            state.answered.store(true, Relaxed);
            state.left.store(UNCOUNTED, Relaxed);
        }
    }

    fn of(connection: &CaptureConnection) -> Option<Self> {
        let mut extras = Extensions::new();
        connection.connection_metadata().as_ref()?.get_extras(&mut extras);
        extras.remove()
    }

    /// An interim answer has come.
    fn begin(&self) {
        let State { most, left, .. } = &*self.0;
        // Only the first one for a request.
        let _ = left.compare_exchange(UNCOUNTED, *most, Relaxed, Relaxed);
    }

    /// Whether more may be read.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.0.left.load(Relaxed) {
            0 => Err(io::Error::other(OriginError::new(
                OriginFailure::HeadTooLarge,
                format!("interim answers, and no other after {} bytes", self.0.most),
            ))),
            _ => Ok(()),
        }
    }

    /// So many bytes were read.
    pub(super) fn count(&self, bytes: usize) {
        if self.0.left.load(Relaxed) == UNCOUNTED {
            return;
        }
        let less = |left| (left != UNCOUNTED).then(|| usize::saturating_sub(left, bytes));
        let _ = self.0.left.fetch_update(Relaxed, Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often so much is read before no more may be.
    fn reads(awaited: &Awaited, bytes: usize) -> usize {
        (0..1_000)
            .take_while(|_| {
                let may = awaited.check().is_ok();
                awaited.count(bytes);
                may
            })
            .count()
    }

    #[test]
    fn bytes_count_from_the_first_interim_answer_on() {
        let awaited = Awaited::new(100);
        assert_eq!(reads(&awaited, 30), 1_000);
        awaited.begin();
        assert_eq!(reads(&awaited, 30), 4);
        awaited.begin();
        assert_eq!(reads(&awaited, 30), 0, "another one gives nothing back");
    }

    #[test]
    fn no_limit_is_too_large() {
        let awaited = Awaited::new(usize::MAX);
        awaited.begin();
        assert_eq!(reads(&awaited, usize::MAX / 2), 2);
    }
}

//! Waiting for a drain: that of the server, that of the edge, or either.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::bell::Listener;
use crate::drain::Drain;

/// What a hold waits for beside its messages: the drain of its server, and that of its edge.
pub(super) struct Drained([Option<Listener>; 2]);

// === impl Drained ===

impl Drained {
    pub(super) fn new(drains: [Option<&Drain>; 2]) -> Self {
        Self(drains.map(|drain| drain.map(Drain::listen)))
    }

    /// Ready, once, when the first of them begins.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let begun =
            |drain: &mut Option<Listener>| drain.as_mut().is_some_and(|drain| drain.poll(cx).is_ready());
        if !self.0.iter_mut().any(begun) {
            return Poll::Pending;
        }
        self.0 = [None, None];
        Poll::Ready(())
    }

    /// The same, to be awaited.
    pub(super) async fn begun(&mut self) {
        poll_fn(|cx| self.poll(cx)).await
    }
}

//! Telling long-lived responses that the server is going away.

use crate::bell::{Bell, Listener};

/// Starts a drain. Dropping it without a call never starts one.
#[derive(Debug)]
pub struct DrainSignal(Bell);

/// Watches for a drain. A server puts one into each request's extensions; whoever answers with something
/// long-lived watches it and ends that in an orderly way.
#[derive(Clone, Debug)]
pub struct Drain(Bell);

impl DrainSignal {
    /// A signal and what watches it.
    pub fn new() -> (Self, Drain) {
        let bell = Bell::new();
        (Self(bell.clone()), Drain(bell))
    }

    /// Starts the drain. Idempotent.
    pub fn start(&self) {
        self.0.ring();
    }

    /// One more watcher.
    pub fn watch(&self) -> Drain {
        Drain(self.0.clone())
    }
}

impl Drain {
    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        self.0.has_rung()
    }

    /// Resolves when the drain begins; never, if its signal is dropped without starting it.
    pub async fn begun(self) {
        self.0.listen().heard().await;
    }

    /// The same, to be polled.
    #[cfg_attr(not(feature = "hold"), expect(dead_code, reason = "for holds"))]
    pub(crate) fn listen(&self) -> Listener {
        self.0.listen()
    }
}

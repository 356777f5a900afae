//! Telling long-lived responses that the server is going away.

use tokio::sync::watch;

/// Starts a drain. Dropping it without a call never starts one.
#[derive(Debug)]
pub struct DrainSignal(watch::Sender<bool>);

/// Watches for a drain. A server puts one into each request's extensions; whoever answers with something
/// long-lived watches it and ends that in an orderly way.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

impl DrainSignal {
    /// A signal and what watches it.
    pub fn new() -> (Self, Drain) {
        let (tx, rx) = watch::channel(false);
        (Self(tx), Drain(rx))
    }

    /// Starts the drain. Idempotent.
    pub fn start(&self) {
        self.0.send_replace(true);
    }

    /// One more watcher.
    pub fn watch(&self) -> Drain {
        Drain(self.0.subscribe())
    }
}

impl Drain {
    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when the drain begins; never, if its signal is dropped without starting it.
    pub async fn begun(mut self) {
        if self.0.wait_for(|begun| *begun).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

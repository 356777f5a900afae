//! Waiting for a drain: that of the server, that of the edge, or either.

use std::future::Future;
use std::pin::Pin;

use crate::drain::Drain;

/// Resolves when a drain begins.
pub(super) type Drained = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Resolves when the first of them begins; `None` if there is none.
pub(super) fn drained(one: Option<Drain>, other: Option<Drain>) -> Option<Drained> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Box::pin(async {
            tokio::select! {
                () = one.begun() => {}
                () = other.begun() => {}
            }
        })),
        (Some(drain), None) | (None, Some(drain)) => Some(Box::pin(drain.begun())),
        (None, None) => None,
    }
}

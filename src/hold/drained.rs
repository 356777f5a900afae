//! Waiting for a drain: that of the server, that of the edge, or either.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::drain::Drain;

/// Resolves when a hold ends for a drain.
pub(super) type Drained = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Resolves when the first of them has begun, so long ago; `None` if there is none.
pub(super) fn drained(one: Option<Drain>, other: Option<Drain>, later: Duration) -> Option<Drained> {
    let begun: Drained = match (one, other) {
        (Some(one), Some(other)) => Box::pin(async {
            tokio::select! {
                () = one.begun() => {}
                () = other.begun() => {}
            }
        }),
        (Some(drain), None) | (None, Some(drain)) => Box::pin(drain.begun()),
        (None, None) => return None,
    };
    if later.is_zero() {
        return Some(begun);
    }
    Some(Box::pin(async move {
        begun.await;
        tokio::time::sleep(later).await;
    }))
}

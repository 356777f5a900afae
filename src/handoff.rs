//! What the hold layer and the cache say to each other, through extensions.
//!
//! Neither imports the other, and each works alone. Instructions and stamp travel together or not at all.

use std::any::Any;
use std::sync::Arc;

use http::Extensions;

use crate::grip::Instruct;
use crate::position::{Position, Stamp};

/// In a request's extensions: the hold layer asks. Put there by [`say`](Self::say).
#[derive(Clone, Copy, Debug)]
pub struct AskedByHold {
    /// An answer stamped below this is of no use: refetch first.
    pub at_least: Position,
}

/// In a request's extensions: the hold layer asks. By itself it says that any answer will do, and takes no memory.
#[derive(Clone, Copy)]
struct Asked;

/// In a response's extensions: the answer carries GRIP instructions. Its headers no longer do.
#[derive(Clone)]
pub struct Handoff {
    /// The instructions.
    pub instruct: Arc<Instruct>,
    /// What everything in this answer is stamped with.
    pub stamp: Stamp,
    /// Keeps what is known of the URL (its channels) while the hold lives.
    pub(crate) keep: Option<Keep>,
}

/// Keeps something alive, whatever it is.
pub(crate) type Keep = Arc<dyn Any + Send + Sync>;

// === impl AskedByHold ===

impl AskedByHold {
    /// What the hold layer asks for in a request with these extensions; `None`: it does not ask.
    pub fn of(request: &Extensions) -> Option<Self> {
        let any = Self {
            at_least: Position::ZERO,
        };
        // Most requests have neither, which one look tells.
        request.get::<Asked>()?;
        Some(request.get::<Self>().copied().unwrap_or(any))
    }

    /// Says so. Returns whether it was said already.
    pub fn say(self, request: &mut Extensions) -> bool {
        if self.at_least != Position::ZERO {
            request.insert(self);
        }
        request.insert(Asked).is_some()
    }
}

// === impl Handoff ===

impl Handoff {
    /// Instructions that came with an answer stamped so.
    pub fn new(instruct: Arc<Instruct>, stamp: Stamp) -> Self {
        Self {
            instruct,
            stamp,
            keep: None,
        }
    }
}

impl std::fmt::Debug for Handoff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handoff")
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

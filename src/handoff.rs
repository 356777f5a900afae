//! What the hold layer and the cache say to each other, through extensions.
//!
//! Neither imports the other, and each works alone. Instructions and stamp travel together or not at all.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use http::header::AGE;
use http::{Extensions, HeaderMap};
use tokio::time::Instant;

use crate::error::BehindCache;
use crate::grip::Instruct;
use crate::hub::Hub;
use crate::mutants::mutant;
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

/// In a request's extensions: it tells an origin what the client of a WebSocket does. That changes nothing at its URL.
#[cfg(any(feature = "websocket", feature = "cache"))]
#[derive(Clone, Copy)]
pub(crate) struct SocketEvents;

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

/// In the extensions of a response that carries its instructions itself, because it is for one client only: what is to
/// be kept while its hold lives.
#[derive(Clone)]
pub(crate) struct KeepAlong(pub(crate) Keep);

/// Keeps one or two things alive, whatever they are.
#[derive(Clone)]
pub(crate) struct Keep {
    _one: Anything,
    _other: Option<Anything>,
}

type Anything = Arc<dyn Any + Send + Sync>;

/// In the extensions of a response that is to be held: its client has it already, as the condition of its request says
/// (RFC 9110 13.2.2). The answer is whole, for a hold needs all of it; where it is itself what the client gets, 304 is.
#[derive(Clone, Copy)]
pub(crate) struct ClientHasIt {
    /// Its condition says that it has some value, not which (`*`).
    pub(crate) whichever: bool,
}

/// What an answer with these fields and extensions is stamped with, of a fetch with this stamp that began then: an earlier
/// one, if a foreign cache may have kept it (rule X1).
pub(crate) fn stamp_of(
    hub: &Hub,
    (fetched, since): (Stamp, Instant),
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Stamp {
    match foreign_age(headers, extensions) {
        Some(age) => hub.backdate(fetched, since, age),
        None => fetched,
    }
}

/// Whether a foreign cache stands between, so that the answer may be one for all.
#[cfg(feature = "hold")]
pub(crate) fn is_of_foreign_cache(headers: &HeaderMap, extensions: &Extensions) -> bool {
    foreign_age(headers, extensions).is_some()
}

/// How long a foreign cache may have kept this answer. `None`: there is no such cache between. What is no number of seconds
/// may be any.
fn foreign_age(headers: &HeaderMap, extensions: &Extensions) -> Option<Duration> {
    if mutant!("age-ignored") {
        return None;
    }
    let Some(age) = headers.get(AGE) else {
        return extensions.get::<BehindCache>().map(|_| Duration::ZERO);
    };
    let first = age
        .as_bytes()
        .split(|byte| *byte == b',')
        .next()
        .unwrap_or_default();
    let digits = first.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    let seconds = if is_number {
        digits.iter().fold(0, add)
    } else {
        u64::MAX
    };
    Some(Duration::from_secs(seconds))
}

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

// === impl Keep ===

#[cfg(feature = "cache")]
impl Keep {
    pub(crate) fn new(one: Anything, other: Option<Anything>) -> Self {
        Self {
            _one: one,
            _other: other,
        }
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

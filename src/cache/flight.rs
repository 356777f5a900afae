//! A fetch that several requests wait for.

use http::StatusCode;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::entry::Entry;
use super::key::VariantKey;
use super::resource::Resource;
use crate::hub::Fetch;
use crate::position::Stamp;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// A flight: run by a task, read by requests, the one that started it too.
pub(super) struct Flight {
    /// Of the request that started it, under the `Vary` that was known then.
    variant: VariantKey,
    pub(super) phase: watch::Sender<Phase>,
    /// It is paced: not before this, unless [`Flight::hurry`] says so.
    pub(super) turn: Option<Instant>,
    hurry: Notify,
    /// It is worth ending, although nobody waits any more.
    goes_on: AtomicBool,
    /// A later answer was the last word: what it brings is not kept.
    is_superseded: AtomicBool,
}

/// How far a flight is.
#[derive(Clone)]
pub(super) enum Phase {
    /// It has not left: whoever joins now is served.
    Waiting,
    /// It has left, with this stamp, at this moment. `hangs`: one that left before it had no answer in time.
    Flying {
        stamp: Stamp,
        since: Instant,
        hangs: bool,
    },
    /// Its head is here, and the body arrives.
    Landed(Landed),
    /// It brought nothing that can be given to several.
    Gone(Gone),
}

/// What a flight brought.
#[derive(Clone)]
pub(super) struct Landed {
    pub(super) entry: Arc<Entry>,
    /// The stamp of its fetch, where a foreign cache stands between, so that the entry's is an earlier one (rule X1).
    pub(super) behind: Option<Stamp>,
    /// It is kept for later requests: who comes after the head may read along. Otherwise it is for those who
    /// waited.
    pub(super) storable: bool,
    /// The origin's status, where it is not the entry's: 304.
    pub(super) fwd_status: Option<u16>,
    /// The origin answered with an error (RFC 5861 4): an old answer may be better.
    pub(super) is_error: bool,
    /// Why it is not stored.
    pub(super) why: Option<&'static str>,
}

/// Takes a flight off its URL's list, however its task ends, and tells those who wait if there is no answer. It exists
/// from the moment that the flight stands there.
pub(super) struct Landing {
    pub(super) resource: Arc<Resource>,
    pub(super) flight: Arc<Flight>,
    /// From before it was looked what is stored (rule C4): what it brings is stamped no earlier.
    pub(super) pin: Fetch,
}

/// Why a flight has nothing for those who wait.
#[derive(Clone)]
pub(super) enum Gone {
    /// The answer is for one request only. Says why; its status, if it is an error (RFC 5861 4): an old answer
    /// may be better; and the answer, if it is kept to be validated: who names its tag already need not have it.
    NotShareable {
        why: &'static str,
        error: Option<StatusCode>,
        kept: Option<Arc<Entry>>,
    },
    /// No answer. Says why.
    Failed(Failure),
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// The service below returned an error.
    Service,
    /// The origin could not be asked, or did not answer properly: a name for it, and the status it is told with.
    Origin(&'static str, StatusCode),
    /// It did not answer in time.
    Timeout,
    /// It answered 304, and nobody had asked whether something changed.
    Unasked304,
    /// The body of its instructions broke off, or is too large.
    BrokenInstruct,
    /// The task ended without an answer.
    Died,
}

// === impl Flight ===

impl Flight {
    pub(super) fn new(variant: VariantKey, turn: Option<Instant>) -> Self {
        Self {
            variant,
            phase: watch::Sender::new(Phase::Waiting),
            turn,
            hurry: Notify::new(),
            goes_on: AtomicBool::new(false),
            is_superseded: AtomicBool::new(false),
        }
    }

    /// Its origin has said something else since, with this stamp: what it has brought by now is not kept, unless that is
    /// younger.
    pub(super) fn supersede(&self, stamp: Stamp) {
        let is_older = |entry: &Entry| entry.head.stamp.at <= stamp.at;
        let is_superseded = match &*self.phase.borrow() {
            Phase::Landed(landed) => is_older(&landed.entry),
            Phase::Gone(Gone::NotShareable { kept: Some(kept), .. }) => is_older(kept),
            Phase::Waiting | Phase::Flying { .. } | Phase::Gone(_) => false,
        };
        self.is_superseded.fetch_or(is_superseded, Ordering::Relaxed);
    }

    pub(super) fn is_superseded(&self) -> bool {
        self.is_superseded.load(Ordering::Relaxed)
    }

    /// It ends for its own sake: in the background nobody waits; and who has waited long enough will come again, and without
    /// an end would never be served.
    pub(super) fn go_on(&self) {
        self.goes_on.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on.load(Ordering::Relaxed)
    }

    /// Whether it may still bring something that is kept.
    pub(super) fn may_be_stored(&self) -> bool {
        match &*self.phase.borrow() {
            Phase::Waiting | Phase::Flying { .. } => true,
            Phase::Landed(landed) => landed.storable && !self.is_superseded(),
            Phase::Gone(_) => false,
        }
    }

    /// Whether what it brings is kept, and no error.
    pub(super) fn brings_a_page(&self) -> bool {
        let is_page =
            matches!(&*self.phase.borrow(), Phase::Landed(landed) if landed.storable && !landed.is_error);
        is_page && !self.is_superseded()
    }

    /// The variant that it is for, as far as that is known: the head may name more fields than were known.
    pub(super) fn files_under(&self) -> VariantKey {
        match &*self.phase.borrow() {
            Phase::Landed(landed) => landed.entry.head.variant,
            _ => self.variant,
        }
    }

    /// Waits for its turn.
    pub(super) async fn wait_for_turn(&self) {
        if let Some(turn) = self.turn.filter(|turn| *turn > Instant::now()) {
            tokio::select! {
                () = tokio::time::sleep_until(turn) => {}
                () = self.hurry.notified() => {}
            }
        }
    }

    /// Another one of its URL had no answer in time: who waits for this one has waited long enough, if there is an old
    /// answer to be had.
    pub(super) fn hang(&self) {
        self.phase.send_if_modified(|phase| match phase {
            Phase::Flying { hangs, .. } => !std::mem::replace(hangs, true),
            Phase::Waiting | Phase::Landed(_) | Phase::Gone(_) => false,
        });
    }

    /// Somebody waits whom the pace does not concern.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }
}

// === impl Landing ===

impl Drop for Landing {
    fn drop(&mut self) {
        // Nobody's last word is dropped under the lock, and nobody woken.
        let _flight = self.resource.state.lock().land(&self.flight);
        self.flight.phase.send_if_modified(|phase| {
            let died = matches!(phase, Phase::Waiting | Phase::Flying { .. });
            if died {
                *phase = Phase::Gone(Gone::Failed(Failure::Died));
            }
            died
        });
    }
}

// === impl Failure ===

impl Failure {
    /// The status that it was told with, if there was an answer.
    pub(super) fn status(self) -> Option<StatusCode> {
        match self {
            Self::Origin(_, status) => Some(status),
            _ => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Service => "origin-error",
            Self::Origin(name, _) => name,
            Self::Timeout => "origin-timeout",
            Self::Unasked304 => "unasked-304",
            Self::BrokenInstruct => "broken-instruct",
            Self::Died => "fetch-died",
        }
    }
}

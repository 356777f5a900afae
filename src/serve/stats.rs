//! What a server has done, in numbers.

use std::fmt;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::addresses::OfAddress;
use super::refusal::Refusal;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::sync::{Arc, Mutex};

/// What a server has done, in numbers. A cheap handle: take it with [`Serve::stats`](super::Serve::stats) before
/// serving, read it at any time.
///
/// ```
/// use gripstack::control::NotFound;
/// use gripstack::serve::{Refusal, serve};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let server = serve(listener, NotFound);
/// let stats = server.stats();
/// # drop(server);
/// for reason in Refusal::ALL {
///     println!("refused, {}: {}", reason.as_str(), stats.refused(reason));
/// }
/// assert_eq!(stats.open(), 0);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Stats(Arc<Counters>);

struct Counters {
    accepted: AtomicU64,
    open: AtomicU64,
    parked: AtomicU64,
    paused: AtomicU64,
    /// Nobody has been accepted at once since accepting paused.
    is_pausing: AtomicBool,
    accept_errors: AtomicU64,
    handshake_failures: AtomicU64,
    /// When it was last said that a proxy sends no header.
    said: EachMinute,
    over_address: AtomicU64,
    /// When it was last said that a client has too many.
    said_over_address: EachMinute,
    requests: AtomicU64,
    stalled: AtomicU64,
    flooded: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    refused: Box<[AtomicU64]>,
}

/// A connection that is open: one of `Limits::connections`. Lives as long as its socket.
pub(super) struct Open {
    stats: Stats,
    is_parked: bool,
    _slot: OwnedSemaphorePermit,
    /// In a box, for most have none.
    of_address: Option<Box<OfAddress>>,
}

/// Something that is said once a minute.
#[derive(Default)]
struct EachMinute(Mutex<Option<Instant>>);

// === impl Stats ===

impl Stats {
    pub(super) fn new() -> Self {
        Self(Arc::new(Counters {
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            paused: AtomicU64::new(0),
            is_pausing: AtomicBool::new(false),
            accept_errors: AtomicU64::new(0),
            handshake_failures: AtomicU64::new(0),
            said: EachMinute::default(),
            over_address: AtomicU64::new(0),
            said_over_address: EachMinute::default(),
            requests: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            flooded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            refused: Refusal::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }))
    }

    /// Connections accepted.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Relaxed)
    }

    /// Connections open now, upgraded ones included.
    pub fn open(&self) -> u64 {
        self.0.open.load(Relaxed)
    }

    /// Connections parked now: their held answers go on without HTTP's state machine. They are open, too.
    pub fn parked(&self) -> u64 {
        self.0.parked.load(Relaxed)
    }

    /// How often accepting paused because of `Limits::connections`. A pause goes on as long as each who comes has to wait.
    pub fn paused(&self) -> u64 {
        self.0.paused.load(Relaxed)
    }

    /// How often accepting failed, for instance for want of file descriptors.
    pub fn accept_errors(&self) -> u64 {
        self.0.accept_errors.load(Relaxed)
    }

    /// TLS handshakes, and headers of the PROXY protocol, that failed or took too long; and clients that agreed on HTTP/2 and
    /// spoke something else.
    pub fn handshake_failures(&self) -> u64 {
        self.0.handshake_failures.load(Relaxed)
    }

    /// Connections closed at once because of `Limits::connections_per_client`.
    pub fn over_client_limit(&self) -> u64 {
        self.0.over_address.load(Relaxed)
    }

    /// Requests given to the service.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Relaxed)
    }

    /// Readers cut because they made no progress for `Limits::stall`: HTTP/1 connections and HTTP/2 streams; and clients of
    /// HTTP/1 that were not to be seen for `Limits::idle`.
    pub fn stalled(&self) -> u64 {
        self.0.stalled.load(Relaxed)
    }

    /// Connections cut because of `Limits::h2_resets`.
    pub fn flooded(&self) -> u64 {
        self.0.flooded.load(Relaxed)
    }

    /// Errors of the service, answered with 502.
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Relaxed)
    }

    /// Panics of the service, answered with 500, and of bodies, which break off; also of bodies as they are dropped.
    pub fn panicked(&self) -> u64 {
        self.0.panicked.load(Relaxed)
    }

    /// Requests refused for this reason.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.0.refused[reason as usize].load(Relaxed)
    }

    pub(super) fn open_connection(&self, slot: OwnedSemaphorePermit) -> Open {
        self.0.accepted.fetch_add(1, Relaxed);
        self.0.open.fetch_add(1, Relaxed);
        Open {
            stats: self.clone(),
            is_parked: false,
            _slot: slot,
            of_address: None,
        }
    }

    /// Who comes has to wait for room. Whether a pause begins with that.
    pub(super) fn begin_pause(&self) -> bool {
        let begins = !self.0.is_pausing.swap(true, Relaxed);
        self.0.paused.fetch_add(u64::from(begins), Relaxed);
        begins
    }

    /// There is room at once.
    pub(super) fn end_pause(&self) {
        self.0.is_pausing.store(false, Relaxed);
    }

    pub(super) fn count_accept_error(&self) {
        self.0.accept_errors.fetch_add(1, Relaxed);
    }

    /// Whether it may be said again that a proxy sends no header.
    pub(super) fn may_say(&self, now: Instant) -> bool {
        self.0.said.may_say(now)
    }

    /// A client has too many connections. Whether that may be said.
    pub(super) fn count_over_address(&self, now: Instant) -> bool {
        self.0.over_address.fetch_add(1, Relaxed);
        self.0.said_over_address.may_say(now)
    }

    pub(super) fn count_handshake_failure(&self) {
        self.0.handshake_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn count_request(&self) {
        self.0.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn count_stall(&self) {
        self.0.stalled.fetch_add(1, Relaxed);
    }

    pub(super) fn count_flood(&self) {
        self.0.flooded.fetch_add(1, Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.0.failed.fetch_add(1, Relaxed);
    }

    pub(super) fn count_panic(&self) {
        self.0.panicked.fetch_add(1, Relaxed);
    }

    pub(super) fn count_refusal(&self, reason: Refusal) {
        self.0.refused[reason as usize].fetch_add(1, Relaxed);
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats")
            .field("accepted", &self.accepted())
            .field("open", &self.open())
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}

// === impl EachMinute ===

impl EachMinute {
    /// Whether a minute has gone by since it was last asked and answered yes.
    fn may_say(&self, now: Instant) -> bool {
        let mut said = self.0.lock();
        let may = said.is_none_or(|last| now.saturating_duration_since(last) >= Duration::from_secs(60));
        if may {
            *said = Some(now);
        }
        may
    }
}

// === impl Open ===

impl Open {
    /// It is one of its client's.
    pub(super) fn counts_for(&mut self, of_address: OfAddress) {
        self.of_address = Some(Box::new(of_address));
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// From now on it is parked.
    pub(super) fn park(&mut self) {
        if !std::mem::replace(&mut self.is_parked, true) {
            self.stats.0.parked.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stats.0.open.fetch_sub(1, Relaxed);
        if self.is_parked {
            self.stats.0.parked.fetch_sub(1, Relaxed);
        }
    }
}

//! The accept loop and the drain.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tower_service::Service;

use super::adapter::{Hook, RefusalHook, Shared};
use super::addresses::Addresses;
use super::connection::{Connection, Lead, Phase};
use super::limits::Limits;
use super::listener::{Listener, Peer};
use super::panics::guarded;
use super::park::{Driver, Parking};
use super::refusal::Refused;
use super::stats::{Open, Stats};
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::trusted::TrustedProxies;
use crate::body::EdgeBody;
use crate::drain::DrainSignal;
use crate::error::BoxError;
use crate::sync::Arc;
use crate::time::after;

/// First and longest pause after a failed accept.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// When the queue of the listener counts as empty: so long nobody has come out of it. The reactor has looked by then.
const QUIET: Duration = Duration::from_millis(20);

/// How long a drain accepts at most, whoever goes on coming.
const LAST_CALL: Duration = Duration::from_secs(1);

/// How long connections that are cut may take to go.
const CUT_PATIENCE: Duration = Duration::from_secs(1);

/// Begins a drain when it resolves.
type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server that starts when it is awaited. Made by [`serve`]; options first, then `.await`.
///
/// It resolves after a drain, and without [`drain`](Self::drain) never. Dropping the future cuts all connections.
///
/// ```no_run
/// use std::time::Duration;
/// use gripstack::control::NotFound;
/// use gripstack::serve::{Limits, serve};
///
/// # async fn run() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// let stop = async { tokio::signal::ctrl_c().await.ok(); };
/// let drained = serve(listener, NotFound)
///     .limits(Limits::new().connections(50_000))
///     .drain(stop, Duration::from_secs(30))
///     .await?;
/// println!("{} connections were cut", drained.cut);
/// # Ok(())
/// # }
/// ```
#[must_use = "a server does nothing until it is awaited"]
pub struct Serve<L, S> {
    listener: L,
    service: S,
    limits: Limits,
    stats: Stats,
    hook: Option<Box<Hook>>,
    refusal_hook: Option<Box<RefusalHook>>,
    trusted: TrustedProxies,
    proxy_protocol: bool,
    parking: Parking,
    drain: Option<(Signal, Duration)>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were still open at the deadline, and cut.
    pub cut: usize,
    /// Of these, upgraded ones that their owner, the service, still holds.
    pub left: usize,
}

/// Serves a Tower service on a listener: HTTP/1.x, and HTTP/2 with prior knowledge or by ALPN.
///
/// The service is cloned for each request. See the [module](super) for what it sees, [`Limits`] for what clients may
/// do.
pub fn serve<L, S, B>(listener: L, service: S) -> Serve<L, S>
where
    L: Listener,
    S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Serve {
        listener,
        service,
        limits: Limits::default(),
        stats: Stats::new(),
        hook: None,
        refusal_hook: None,
        trusted: TrustedProxies::default(),
        proxy_protocol: false,
        parking: Parking::default(),
        drain: None,
        #[cfg(feature = "tls")]
        tls: None,
    }
}

// === impl Serve ===

impl<L, S> Serve<L, S> {
    /// What clients may do. Default [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Speaks TLS, and only TLS. Default plain. Keep a clone of the handle to reload the certificate.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Whose `X-Forwarded-*` are believed: [`ClientInfo`](crate::ClientInfo) then says who the client is, and the scheme in the extensions
    /// how it came. Default none: [layers of ours](crate) remove those of anybody else.
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.trusted = proxies;
        self
    }

    /// Connections from trusted proxies begin with a header of the PROXY protocol (version 1 or 2), of which [`Peer`] then
    /// is the client's end; one without is closed. Those from elsewhere begin as usual. Off by default. Whether such
    /// a client's `X-Forwarded-*` are believed depends on its own address.
    pub fn proxy_protocol(mut self, on: bool) -> Self {
        self.proxy_protocol = on;
        self
    }

    /// Whether connections are parked under held answers (see the [module](super)), and who goes on with them. Default
    /// [`Parking::Lots`].
    pub fn parking(mut self, parking: Parking) -> Self {
        self.parking = parking;
        self
    }

    /// Called with each request before the service sees it, for instance to put the peer where a framework looks
    /// for it. Must not block.
    pub fn on_request(mut self, hook: impl Fn(&Peer, &mut Parts) + Send + Sync + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// Called with each request that is [refused](super::Refusal), for instance to log it: the service sees nothing of it, or
    /// only a part of its body. Must not block.
    pub fn on_refusal(mut self, hook: impl Fn(&Refused) + Send + Sync + 'static) -> Self {
        self.refusal_hook = Some(Box::new(hook));
        self
    }

    /// When `signal` resolves: accepts whoever has connected by then, closes the listener, tells clients (GOAWAY,
    /// `Connection: close`) and long-lived responses ([`Drain`](crate::Drain)), waits for connections to end, and cuts them
    /// `deadline` after the signal. A request that was sent whole before the signal is answered, on a new connection or a
    /// kept one, also behind an answer that is still being sent; but of several that wait behind each other on HTTP/1 only the
    /// next, whose answer says `Connection: close` (RFC 9112 9.6).
    pub fn drain<F>(mut self, signal: F, deadline: Duration) -> Self
    where
        F: Future + Send + 'static,
    {
        let signal = async move {
            signal.await;
        };
        self.drain = Some((Box::pin(signal), deadline));
        self
    }

    /// The server's counters.
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }
}

impl<L, S> std::fmt::Debug for Serve<L, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<L, S, B> IntoFuture for Serve<L, S>
where
    L: Listener,
    S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Resolves when it has drained: without [`Serve::drain`] never. There is no error today, for a connection that
    /// cannot be accepted is the client's loss; it is a `Result` as that of `axum::serve` is.
    type Output = io::Result<Drained>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<Drained>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.run().await) })
    }
}

impl<L, S> Serve<L, S> {
    async fn run<B>(mut self) -> Drained
    where
        L: Listener,
        S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let most = self
            .limits
            .connections
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let slots = Arc::new(Semaphore::new(most));
        let lead = Lead::new();
        let (drain_signal, drain) = DrainSignal::new();
        let per_client = self.limits.connections_per_client;
        let shared = Arc::new(Shared {
            addresses: (per_client > 0).then(|| Addresses::new(per_client)),
            limits: Arc::new(self.limits),
            stats: self.stats.clone(),
            drain,
            hook: self.hook,
            refusal_hook: self.refusal_hook,
            trusted: self.trusted,
            proxy_protocol: self.proxy_protocol,
            driver: Driver::new(self.parking, lead.phases()),
            phases: lead.phases(),
        });
        let (mut signal, deadline) = match self.drain {
            Some((signal, deadline)) => (signal, deadline),
            None => (Box::pin(std::future::pending()) as Signal, Duration::ZERO),
        };

        // A service need not be `Sync`: each connection is given its own.
        let begin = |service: S, (io, peer, open)| {
            let connection = Connection {
                service,
                shared: shared.clone(),
                peer,
                phases: lead.phases(),
                #[cfg(feature = "tls")]
                tls: self.tls.clone(),
            };
            let stats = shared.stats.clone();
            // In a box: a task is moved about as it begins and ends.
            let mut running = Box::pin(connection.run(io, open));
            tokio::spawn(poll_fn(move |cx| {
                guarded(|| running.as_mut().poll(cx)).unwrap_or_else(|panicked| panicked.count(&stats))
            }));
        };
        loop {
            tokio::select! {
                biased;
                () = &mut signal => break,
                accepted = accept(&mut self.listener, &slots, &self.stats) => begin(self.service.clone(), accepted),
            }
        }

        let begun = Instant::now();
        let deadline = after(begun, deadline);
        // Idle connections make room for those that wait.
        lead.begin(Phase::Draining);
        // Who is in the kernel's queue has connected, and may have sent a request: it would be reset with the listener.
        let last_call = deadline.min(begun + LAST_CALL);
        loop {
            let is_full = slots.available_permits() == 0;
            let patience = if is_full {
                // Holds make room, too, although some of their clients may come back here.
                drain_signal.start();
                last_call
            } else {
                last_call.min(Instant::now() + QUIET)
            };
            let accepting = accept(&mut self.listener, &slots, &self.stats);
            match timeout_at(patience, accepting).await {
                Ok(accepted) => begin(self.service.clone(), accepted),
                Err(_) => break,
            }
        }
        // Before holds are told, where there was room: their clients come back elsewhere.
        drop(self.listener);
        drain_signal.start();
        let all = u32::try_from(most).unwrap_or(u32::MAX);
        if timeout_at(deadline, slots.acquire_many(all)).await.is_ok() {
            return Drained { cut: 0, left: 0 };
        }
        let cut = most - slots.available_permits();
        lead.begin(Phase::Cutting);
        let left = match timeout(CUT_PATIENCE, slots.acquire_many(all)).await {
            Ok(_) => 0,
            Err(_) => most - slots.available_permits(),
        };
        tracing::warn!(target: "gripstack::serve", cut, left, "the drain met its deadline");
        Drained { cut, left }
    }
}

/// The next connection, as soon as there is room for one.
async fn accept<L: Listener>(listener: &mut L, slots: &Arc<Semaphore>, stats: &Stats) -> (L::Io, Peer, Open) {
    let slot = take_slot(slots, stats).await;
    let (first, longest) = BACKOFF;
    let mut pause = first;
    loop {
        match listener.accept().await {
            Ok((io, peer)) => return (io, peer, stats.open_connection(slot)),
            // The client's doing, and gone with it.
            Err(error) if is_of_one_connection(&error) => stats.count_accept_error(),
            Err(error) => {
                stats.count_accept_error();
                tracing::error!(target: "gripstack::serve", %error, "cannot accept");
                sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}

async fn take_slot(slots: &Arc<Semaphore>, stats: &Stats) -> OwnedSemaphorePermit {
    const NEVER_CLOSED: &str = "nobody closes the semaphore";
    if let Ok(slot) = slots.clone().try_acquire_owned() {
        stats.end_pause();
        return slot;
    }
    if stats.begin_pause() {
        tracing::warn!(target: "gripstack::serve", "accepting pauses: too many connections");
    }
    slots.clone().acquire_owned().await.expect(NEVER_CLOSED)
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

//! One connection, from its first byte to its last.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::adapter::{Adapter, Shared, Side};
use super::limits::Limits;
use super::link::Link;
use super::listener::Peer;
use super::panics::{Panicked, guarded};
use super::park::{Drive, Framing, Parked};
use super::proxy_protocol;
use super::socket::{Protocol, Socket};
use super::stats::Open;
use super::streams::{StreamExecutor, Streams};
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::transport::Transport;
use crate::bell::{Bell, Listener};
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::sync::Arc;
use crate::time::FOR_EVER;

/// How long an HTTP/2 client without streams, and with nothing to be written to it, may take to close after GOAWAY.
const GOAWAY_PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection on which nothing is under way is looked at once a drain has begun, or once what was under way then is
/// out: what its client sent before is there by then.
const LAST_LOOK: Duration = Duration::from_millis(250);

/// Smallest buffer that hyper's HTTP/1 takes, in bytes.
const MIN_BUFFER_BYTES: usize = 8192;

/// How far a server is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Draining,
    /// What is still open is cut.
    Cutting,
}

/// Follows the phases of a server.
#[derive(Clone)]
pub(super) struct Phases {
    draining: Bell,
    cutting: Bell,
}

/// Leads a server through its phases. Dropped, it is past all of them.
pub(super) struct Lead(Phases);

/// A connection that was accepted.
pub(super) struct Connection<S> {
    pub(super) service: S,
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Peer,
    pub(super) phases: Phases,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

impl Phases {
    /// Listens for the server to be that far, or gone.
    pub(super) fn listen(&self, phase: Phase) -> Listener {
        match phase {
            Phase::Draining => self.draining.listen(),
            Phase::Cutting => self.cutting.listen(),
        }
    }

    /// Whether the server is that far.
    pub(super) fn has_reached(&self, phase: Phase) -> bool {
        match phase {
            Phase::Draining => self.draining.has_rung(),
            Phase::Cutting => self.cutting.has_rung(),
        }
    }

    /// What a client sends; in a drain only what it had sent before.
    async fn last_call<T>(&self, arriving: impl Future<Output = T>) -> Option<T> {
        let is_late = async {
            self.listen(Phase::Draining).heard().await;
            let mut cut = self.listen(Phase::Cutting);
            tokio::select! {
                () = cut.heard() => {}
                () = sleep(LAST_LOOK) => {}
            }
        };
        tokio::select! {
            biased;
            arrived = arriving => Some(arrived),
            () = is_late => None,
        }
    }
}

impl Lead {
    pub(super) fn new() -> Self {
        Self(Phases {
            draining: Bell::new(),
            cutting: Bell::new(),
        })
    }

    pub(super) fn phases(&self) -> Phases {
        self.0.clone()
    }

    pub(super) fn begin(&self, phase: Phase) {
        self.0.draining.ring();
        if phase == Phase::Cutting {
            self.0.cutting.ring();
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.begin(Phase::Cutting);
    }
}

impl<S, B> Connection<S>
where
    S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Serves until the client or the server ends it.
    pub(super) async fn run<I>(mut self, io: I, mut open: Open)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let phases = self.phases.clone();
        let Some(Some(io)) = phases.last_call(self.begin(io, &mut open)).await else {
            return;
        };
        let is_http2 = io.is_http2();
        let mut socket = Socket::new(io, self.shared.limits.clone(), open);
        let Some(protocol) = phases.last_call(socket.sniff()).await else {
            // Its first request, if one is on its way, must go elsewhere.
            let _ = socket.shutdown().await;
            return;
        };
        match protocol {
            // Boxed, so that the many connections of HTTP/1 do not pay for the size of the other.
            Ok(Protocol::Http2) => Box::pin(self.run_http2(socket)).await,
            // Not what was agreed upon (RFC 9113 3.2). There is no answer that the client could read.
            Ok(Protocol::Http1) if is_http2 => {
                self.shared.stats.count_handshake_failure();
                tracing::debug!(target: "gripstack::serve", peer = %self.peer.remote, "closed: no HTTP/2 after ALPN said so");
            }
            Ok(Protocol::Http1) => {
                let link = Link::new();
                socket.speak_http1(link.clone());
                match phases.last_call(socket.first_head()).await {
                    // Boxed as well, for those who wait for a head.
                    Some(Ok(true)) => Box::pin(self.run_http1(socket, link)).await,
                    _ => drop(socket.shutdown().await),
                }
            }
            Ok(Protocol::None) | Err(_) => {}
        }
    }

    /// What stands before HTTP: whose connection it is, and TLS.
    async fn begin<I>(&mut self, mut io: I, open: &mut Open) -> Option<Transport<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let from = self.peer.remote.ip();
        if self.shared.proxy_protocol && self.shared.trusted.contains(from) {
            let patience = self.shared.limits.handshake;
            let told = tokio::time::timeout(patience, proxy_protocol::read(&mut io)).await;
            match told.unwrap_or_else(|too_long| Err(too_long.into())) {
                Ok(told) => told.correct(&mut self.peer),
                Err(error) => {
                    self.shared.stats.count_handshake_failure();
                    match self.shared.stats.may_say(tokio::time::Instant::now()) {
                        true => {
                            tracing::warn!(target: "gripstack::serve", proxy = %from, %error, "closed: a trusted proxy must send a PROXY header")
                        }
                        false => tracing::debug!(target: "gripstack::serve", proxy = %from, %error, "closed"),
                    }
                    return None;
                }
            }
        }
        if !self.has_room(open) {
            return None;
        }
        self.shake_hands(io).await
    }

    /// Whether its client may have one more connection.
    fn has_room(&self, open: &mut Open) -> bool {
        let address = self.peer.remote.ip();
        let Some(addresses) = &self.shared.addresses else {
            return true;
        };
        // Of many clients.
        if self.shared.trusted.contains(address) {
            return true;
        }
        if let Some(of_address) = addresses.enter(address) {
            open.counts_for(of_address);
            return true;
        }
        match self.shared.stats.count_over_address(tokio::time::Instant::now()) {
            true => {
                tracing::warn!(target: "gripstack::serve", %address, "closed: a client has as many connections as it may")
            }
            false => tracing::debug!(target: "gripstack::serve", %address, "closed: too many connections"),
        }
        false
    }

    #[cfg(feature = "tls")]
    async fn shake_hands<I>(&mut self, io: I) -> Option<Transport<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(tls) = &self.tls else {
            return Some(Transport::Plain(io));
        };
        let handshake = Box::pin(tls.acceptor().accept(io));
        let error = match tokio::time::timeout(self.shared.limits.handshake, handshake).await {
            Ok(Ok(stream)) => {
                self.peer.tls = true;
                return Some(Transport::Tls(Box::new(stream)));
            }
            Ok(Err(error)) => error,
            Err(too_long) => too_long.into(),
        };
        self.shared.stats.count_handshake_failure();
        tracing::debug!(target: "gripstack::serve", peer = %self.peer.remote, %error, "handshake failed");
        None
    }

    #[cfg(not(feature = "tls"))]
    async fn shake_hands<I>(&mut self, io: I) -> Option<Transport<I>> {
        Some(Transport::Plain(io))
    }

    async fn run_http1<I>(self, socket: Socket<Transport<I>>, link: Arc<Link>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.shared.limits.clone();
        let shared = self.shared.clone();
        let adapter = Adapter {
            service: self.service,
            shared: self.shared,
            peer: self.peer,
            side: Side::Http1(link.clone()),
        };
        let connection = http1_builder(&limits).serve_connection(TokioIo::new(socket), adapter);
        let mut connection = connection.with_upgrades();
        let mut next = Phase::Draining;
        let mut reached = self.phases.listen(next);
        let mut looks_again = false;
        let mut last_look = LastLook::default();
        let goes_on = loop {
            tokio::select! {
                biased;
                // First, for hyper ends one that it has not read from, whatever its client has sent.
                ended = poll_fn(|cx| poll_http1(&mut connection, &link, cx)) => match ended {
                    Ended::Panicked(panicked) => {
                        let _ = panicked.count(&shared.stats);
                        return;
                    }
                    Ended::Closed(result) => return log_end(self.peer, result),
                    Ended::AtRest(goes_on) => break goes_on,
                },
                () = reached.heard() => match next {
                    Phase::Draining => {
                        next = Phase::Cutting;
                        reached = self.phases.listen(next);
                        // Else its client was not told, and may have sent one more, perhaps behind what is still written to it.
                        match link.says_last() {
                            true => Pin::new(&mut connection).graceful_shutdown(),
                            false => looks_again = true,
                        }
                    }
                    Phase::Cutting => return,
                },
                // After the connection, which writes.
                () = poll_fn(|_| link.poll_out()), if looks_again => {
                    looks_again = false;
                    last_look.begin();
                }
                // After the connection, too: what has come by now is looked at.
                () = last_look.over() => Pin::new(&mut connection).graceful_shutdown(),
            }
        };
        let Some(parts) = connection.into_parts() else {
            return;
        };
        let (io, unread, open) = parts.io.into_inner().into_parts();
        let extra = unread + parts.read_buf.len();
        if let Some(driver) = &shared.driver {
            driver.drive(Parked::new(io, goes_on, extra, limits, open));
        }
    }

    async fn run_http2<I>(self, mut socket: Socket<I>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.shared.limits.clone();
        let streams = Streams::new(limits.stall, self.shared.stats.clone());
        socket.speak_http2(streams.clone());
        let adapter = Adapter {
            service: self.service,
            shared: self.shared,
            peer: self.peer,
            side: Side::Http2(streams.clone()),
        };
        let executor = StreamExecutor(streams.clone());
        let connection = http2_builder(&limits, executor).serve_connection(TokioIo::new(socket), adapter);
        let mut connection = pin!(connection);
        let mut next = Phase::Draining;
        let mut reached = self.phases.listen(next);
        let mut last_look = LastLook::default();
        let mut going_away = false;
        let mut farewell = LastLook::default();
        loop {
            let patience = if going_away { GOAWAY_PATIENCE } else { limits.idle };
            tokio::select! {
                biased;
                result = connection.as_mut() => return log_end(self.peer, result),
                // After the connection, which reads and so finds it out.
                () = poll_fn(|_| streams.poll_flooded()), if !farewell.has_begun() => {
                    tracing::debug!(target: "gripstack::serve", peer = %self.peer.remote, "cut: a flood of HTTP/2 frames that bring nothing");
                    farewell.begin();
                }
                () = farewell.over() => return,
                () = reached.heard() => {
                    if next == Phase::Cutting {
                        return;
                    }
                    next = Phase::Cutting;
                    reached = self.phases.listen(next);
                    // hyper ends one that is not shaken hands with, whatever its client has sent.
                    last_look.begin();
                    continue;
                }
                () = last_look.over() => {}
                () = streams.idle_for(patience) => if going_away {
                    return;
                },
            }
            // GOAWAY; streams that are open go on.
            Pin::as_mut(&mut connection).graceful_shutdown();
            going_away = true;
        }
    }
}

/// The time in which what a client sent before a drain is taken. Takes no room before.
#[derive(Default)]
struct LastLook(Option<Pin<Box<Sleep>>>);

// === impl LastLook ===

impl LastLook {
    fn begin(&mut self) {
        self.0 = Some(Box::pin(sleep(LAST_LOOK)));
    }

    fn has_begun(&self) -> bool {
        self.0.is_some()
    }

    /// Resolves once when it is over, and never if it has not begun.
    async fn over(&mut self) {
        match &mut self.0 {
            Some(sleep) => sleep.await,
            None => std::future::pending().await,
        }
        self.0 = None;
    }
}

/// How HTTP/1 ends on a connection.
enum Ended {
    Closed(hyper::Result<()>),
    /// Caught here, or what the connection has would be dropped as that unwinds: a second panic would end the process.
    Panicked(Panicked),
    /// The last answer is held, and there is nothing of it to write. What goes on without HTTP.
    AtRest((EdgeBody, Framing)),
}

fn poll_http1<F>(connection: &mut F, link: &Link, cx: &mut Context<'_>) -> Poll<Ended>
where
    F: Future<Output = hyper::Result<()>> + Unpin,
{
    match guarded(|| Pin::new(connection).poll(cx)) {
        Err(panicked) => Poll::Ready(Ended::Panicked(panicked)),
        Ok(Poll::Ready(result)) => Poll::Ready(Ended::Closed(result)),
        Ok(Poll::Pending) => link
            .slot()
            .take()
            .map_or(Poll::Pending, |goes_on| Poll::Ready(Ended::AtRest(goes_on))),
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The socket keeps that time, and all limits of a head: it has to answer what it refuses.
        .header_read_timeout(None)
        .max_buf_size(limits.send_buffer_bytes.max(limits.head_bytes + MIN_BUFFER_BYTES));
    if limits.head_fields > 100 {
        // Hyper's default is 100, and as long as it is untouched costs no allocation.
        builder.max_headers(limits.head_fields);
    }
    builder
}

fn http2_builder(limits: &Limits, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(limits.h2_error_resets)
        .initial_stream_window_size(limits.h2_stream_window_bytes)
        .initial_connection_window_size(limits.h2_connection_window_bytes)
        .max_send_buf_size(
            limits
                .send_buffer_bytes
                .clamp(MIN_BUFFER_BYTES, u32::MAX as usize),
        )
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        // hyper adds them to now.
        .keep_alive_interval(limits.h2_ping.min(FOR_EVER))
        .keep_alive_timeout(limits.h2_ping_timeout.min(FOR_EVER));
    builder
}

fn log_end(peer: Peer, result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(target: "gripstack::serve", peer = %peer.remote, %error, "connection ended");
    }
}

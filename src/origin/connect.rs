//! Connections to origins: TCP, and TLS on top where the URL says so.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiFuture, GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

use super::awaited::Awaited;
use super::failure::classify_connect;
use crate::error::{OriginError, OriginFailure};
use crate::sync::Arc;

/// An idle TCP connection is probed after this long, so that a stream from an origin that vanished ends.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Bytes that the origin does not take for this long end the connection (Linux).
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A byte stream to an origin.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

type BoxIo = Box<dyn Io>;

/// Connects to the scheme and authority of a URI.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    timeout: Duration,
    places: Places,
    max_head_bytes: usize,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsConnector>,
}

/// How many connections there may be at once.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// Longest wait for one.
    patience: Duration,
}

/// A byte stream, and what is awaited on it.
pub(super) struct Stream {
    io: BoxIo,
    awaited: Awaited,
    _place: OwnedSemaphorePermit,
}

/// The system's resolver; its errors say that they are its own.
#[derive(Clone)]
pub(super) struct Resolver(GaiResolver);

/// Addresses of a name, to come.
pub(super) struct Resolving {
    future: GaiFuture,
}

// === impl Connector ===

impl Connector {
    /// `timeout` bounds resolving, TCP and TLS together, `max_head_bytes` what comes before the body of an answer.
    pub(super) fn new(
        timeout: Duration,
        places: Places,
        max_head_bytes: usize,
        #[cfg(feature = "tls")] tls: Option<tokio_rustls::TlsConnector>,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEP_ALIVE));
        // Splits the time over the addresses of a name, so that one that drops packets does not use it up.
        tcp.set_connect_timeout(Some(timeout));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        Self {
            tcp,
            timeout,
            places,
            max_head_bytes,
            #[cfg(feature = "tls")]
            tls,
        }
    }

    async fn connect(mut self, uri: Uri) -> Result<BoxIo, OriginError> {
        #[cfg(feature = "tls")]
        let tls = match (uri.scheme() == Some(&http::uri::Scheme::HTTPS), &self.tls) {
            (false, _) => None,
            (true, Some(tls)) => Some((tls.clone(), super::tls::server_name(&uri)?)),
            (true, None) => return Err(OriginError::new(OriginFailure::Tls, "no TLS was configured")),
        };
        let tcp = self
            .tcp
            .call(uri)
            .await
            .map_err(|error| classify_connect(&error))?;
        let tcp = tcp.into_inner();
        #[cfg(feature = "tls")]
        if let Some((tls, name)) = tls {
            return match tls.connect(name, tcp).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(OriginError::new(OriginFailure::Tls, error.to_string())),
            };
        }
        Ok(Box::new(tcp))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = OriginError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, OriginError>> + Send>>;

    /// Always: nothing is reserved.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OriginError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let timeout = self.timeout;
        let places = self.places.clone();
        let awaited = Awaited::new(self.max_head_bytes);
        let connecting = self.clone().connect(uri);
        Box::pin(async move {
            // Waiting for others' connections is not the origin's fault, and has a time of its own.
            let place = places.take().await?;
            match tokio::time::timeout(timeout, connecting).await {
                Ok(result) => result.map(|io| {
                    TokioIo::new(Stream {
                        io,
                        awaited,
                        _place: place,
                    })
                }),
                Err(_) => Err(OriginError::new(
                    OriginFailure::ConnectTimeout,
                    format!("no connection after {timeout:?}"),
                )),
            }
        })
    }
}

// === impl Places ===

impl Places {
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            patience,
        }
    }

    async fn take(&self) -> Result<OwnedSemaphorePermit, OriginError> {
        let place = tokio::time::timeout(self.patience, self.free.clone().acquire_owned()).await;
        place
            .map(|place| place.expect("nobody closes the semaphore"))
            .map_err(|_| {
                OriginError::new(
                    OriginFailure::ConnectTimeout,
                    "as many connections as there may be are in use",
                )
            })
    }
}

// === impl Resolver ===

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = OriginError;
    type Future = Resolving;

    /// Always: nothing is reserved.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OriginError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolving {
        Resolving {
            future: self.0.call(name),
        }
    }
}

impl Future for Resolving {
    type Output = Result<GaiAddrs, OriginError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.future)
            .poll(cx)
            .map_err(|error: io::Error| OriginError::new(OriginFailure::Dns, error.to_string()))
    }
}

// === impl Io ===

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

// === impl Stream ===

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.awaited.clone())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.awaited.check()?;
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.awaited.count(buf.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

//! Upgrades (RFC 9110 7.8): after a 101 both sides are joined and bytes go both ways.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::request;
use crate::sync::{Arc, Mutex};
use crate::time::after;

/// A request for another protocol on the client's connection.
pub(super) struct Wanted {
    /// The client's connection, once the 101 is written.
    pub(super) client: OnUpgrade,
    /// The protocols asked for, as sent.
    pub(super) protocols: HeaderValue,
}

/// What a request asks for, if its server can hand over the connection.
pub(super) fn wanted(
    version: Version,
    headers: &HeaderMap,
    extensions: &mut http::Extensions,
) -> Option<Wanted> {
    let protocols = request::wanted_upgrade(version, headers)?.clone();
    // Removed rather than borrowed: a second taker would panic inside hyper.
    let client = extensions.remove::<OnUpgrade>()?;
    Some(Wanted { client, protocols })
}

// === impl Wanted ===

impl Wanted {
    /// Whether this protocol was asked for.
    pub(super) fn offers(&self, protocol: &HeaderValue) -> bool {
        self.protocols
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|offer| offer.trim_ascii().eq_ignore_ascii_case(protocol.as_bytes()))
    }
}

/// Joins both sides in a task of its own, until both have ended or one has failed, or nothing goes either way for too
/// long.
pub(super) fn join(client: OnUpgrade, origin: OnUpgrade, silence: Option<Duration>) {
    tokio::spawn(async move {
        let (client, origin) = match tokio::try_join!(client, origin) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(target: "gripstack::origin", %error, "upgrade not completed");
                return;
            }
        };
        let heard = Heard::now();
        let mut client = Listening::new(TokioIo::new(client), &heard);
        let mut origin = Listening::new(TokioIo::new(origin), &heard);
        let joined = tokio::select! {
            joined = tokio::io::copy_bidirectional(&mut client, &mut origin) => joined,
            () = heard.nothing_for(silence) => Err(io::ErrorKind::TimedOut.into()),
        };
        match joined {
            Ok((up, down)) => {
                tracing::debug!(target: "gripstack::origin", up, down, "upgraded connection ended")
            }
            Err(error) => tracing::debug!(target: "gripstack::origin", %error, "upgraded connection broke"),
        }
    });
}

/// When something was last heard of either side.
#[derive(Clone)]
struct Heard(Arc<Mutex<Instant>>);

/// A side to which somebody listens.
struct Listening<I> {
    io: I,
    heard: Heard,
}

// === impl Heard ===

impl Heard {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Resolves when nothing was heard for so long.
    async fn nothing_for(&self, silence: Option<Duration>) {
        let Some(silence) = silence else {
            return std::future::pending().await;
        };
        loop {
            let since = *self.0.lock();
            if since.elapsed() >= silence {
                return;
            }
            tokio::time::sleep_until(after(since, silence)).await;
        }
    }
}

// === impl Listening ===

impl<I> Listening<I> {
    fn new(io: I, heard: &Heard) -> Self {
        let heard = heard.clone();
        Self { io, heard }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Listening<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            *self.heard.0.lock() = Instant::now();
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Listening<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

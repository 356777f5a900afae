//! Upgrades (RFC 9110 7.8): after a 101 both sides are joined and bytes go both ways.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::request;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};
use crate::time::after;

/// How long one side may be silent once the other has ended: most end then, and one that never does would keep the
/// connections of both.
const HALF_OPEN: Duration = Duration::from_secs(60);

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
/// long: `silence`, and less once one has ended.
pub(super) fn join(client: OnUpgrade, origin: OnUpgrade, silence: Option<Duration>) {
    tokio::spawn(async move {
        let (client, origin) = match tokio::try_join!(client, origin) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(target: "gripstack::origin", %error, "upgrade not completed");
                return;
            }
        };
        match carry(TokioIo::new(client), TokioIo::new(origin), silence).await {
            Ok((up, down)) => {
                tracing::debug!(target: "gripstack::origin", up, down, "upgraded connection ended")
            }
            Err(error) => tracing::debug!(target: "gripstack::origin", %error, "upgraded connection broke"),
        }
    });
}

/// Carries bytes both ways; how many went up and down.
async fn carry<C, O>(client: C, origin: O, silence: Option<Duration>) -> io::Result<(u64, u64)>
where
    C: AsyncRead + AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite + Unpin,
{
    let heard = Heard::now();
    let mut client = Listening::new(client, &heard);
    let mut origin = Listening::new(origin, &heard);
    tokio::select! {
        carried = tokio::io::copy_bidirectional(&mut client, &mut origin) => carried,
        () = heard.nothing_for(silence) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// What was heard of both sides.
#[derive(Clone)]
struct Heard(Arc<Sides>);

struct Sides {
    /// When something was last heard of either.
    last: Mutex<Instant>,
    /// One has ended.
    has_ended: AtomicBool,
    ends: Notify,
}

/// A side to which somebody listens.
struct Listening<I> {
    io: I,
    heard: Heard,
}

// === impl Heard ===

impl Heard {
    fn now() -> Self {
        Self(Arc::new(Sides {
            last: Mutex::new(Instant::now()),
            has_ended: AtomicBool::new(false),
            ends: Notify::new(),
        }))
    }

    fn bytes(&self) {
        *self.0.last.lock() = Instant::now();
    }

    fn end(&self) {
        self.bytes();
        if !self.0.has_ended.swap(true, Ordering::Relaxed) {
            self.0.ends.notify_one();
        }
    }

    /// Resolves when nothing was heard for so long.
    async fn nothing_for(&self, silence: Option<Duration>) {
        loop {
            let silence = match self.0.has_ended.load(Ordering::Relaxed) {
                true => Some(silence.unwrap_or(HALF_OPEN).min(HALF_OPEN)),
                false => silence,
            };
            let is_silent = async {
                let Some(silence) = silence else {
                    return std::future::pending().await;
                };
                loop {
                    let since = *self.0.last.lock();
                    if since.elapsed() >= silence {
                        return;
                    }
                    tokio::time::sleep_until(after(since, silence)).await;
                }
            };
            tokio::select! {
                () = is_silent => return,
                () = self.0.ends.notified() => {}
            }
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
            self.heard.bytes();
        } else if matches!(polled, Poll::Ready(Ok(()))) {
            self.heard.end();
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{sleep, timeout};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[tokio::test(start_paused = true)]
    async fn who_stays_when_the_other_side_has_ended_does_not_stay_for_ever() {
        for client_ends in [true, false] {
            let (client, near) = duplex(64);
            let (origin, far) = duplex(64);
            let mut carried = tokio::spawn(carry(near, far, None));
            assert!(timeout(DAY, &mut carried).await.is_err(), "both are there");

            let (mut ends, mut stays) = if client_ends {
                (client, origin)
            } else {
                (origin, client)
            };
            ends.shutdown().await.unwrap();
            for _ in 0..10 {
                sleep(Duration::from_secs(50)).await;
                stays.write_all(b"x").await.unwrap();
                assert_eq!(
                    ends.read_u8().await.unwrap(),
                    b'x',
                    "who has something to say may"
                );
            }
            let carried = timeout(DAY, carried).await.expect("it ends").unwrap();
            assert_eq!(carried.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
    }
}

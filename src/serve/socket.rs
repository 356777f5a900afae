//! The socket that hyper reads and writes: it keeps time, and in front of HTTP/1 it reads first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::framer::{Framer, Step};
use super::head::HeadLimits;
use super::limits::Limits;
use super::link::{Link, Upgrade};
use super::refusal::Refusal;
use super::stats::Open;
use super::timer::{Timer, after};
use crate::sync::Arc;

/// The client connection preface of HTTP/2 (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is read of a client's next bytes while its request is being answered; beyond it they wait in the kernel.
const EXTRA_BYTES: usize = 4096;

/// After the last answer the rest of what the client sends is read and dropped, or closing would reset the
/// connection and the client might lose that answer (RFC 9112 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// What hyper is given in the place of a head that is refused. The service's adapter knows and answers it.
const STAND_IN_GET: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
const STAND_IN_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// The socket that hyper reads and writes.
///
/// Before a protocol is known it [sniffs](Self::sniff). In front of HTTP/1 it gives hyper one request at a time, and
/// only heads that a strict reader accepts; in place of another it gives one that the adapter answers with the
/// refusal, so that refusals keep their place behind earlier answers.
pub(super) struct Socket<I> {
    io: I,
    /// Read from the peer and not yet given on.
    hold: BytesMut,
    /// So many bytes of `hold` may be given on.
    cleared: usize,
    http1: Option<Http1>,
    limits: Arc<Limits>,
    read_timer: Timer,
    /// The first byte of the head in `hold` came at this time.
    head_since: Option<Instant>,
    /// Nothing is under way since this time; `None` until the next look for a head.
    idle_since: Option<Instant>,
    accepted_at: Instant,
    /// No head was read yet, and HTTP/2 not begun.
    is_first: bool,
    write_timer: Timer,
    /// The peer takes nothing since this time.
    stalled_since: Option<Instant>,
    closing: Closing,
    open: Open,
}

struct Http1 {
    framer: Framer,
    link: Arc<Link>,
}

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    /// The peer left, or said nothing.
    None,
}

enum Closing {
    No,
    Lingering { until: Instant, bytes_left: usize },
    Done,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Socket<I> {
    pub(super) fn new(io: I, limits: Arc<Limits>, open: Open) -> Self {
        Self {
            io,
            hold: BytesMut::new(),
            cleared: 0,
            http1: None,
            limits,
            read_timer: Timer::default(),
            head_since: None,
            idle_since: None,
            accepted_at: Instant::now(),
            is_first: true,
            write_timer: Timer::default(),
            stalled_since: None,
            closing: Closing::No,
            open,
        }
    }

    /// Reads until the protocol is known. What was read is given on later.
    pub(super) async fn sniff(&mut self) -> io::Result<Protocol> {
        std::future::poll_fn(|cx| self.poll_sniff(cx)).await
    }

    fn poll_sniff(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Protocol>> {
        loop {
            let compared = self.hold.len().min(PREFACE.len());
            if self.hold[..compared] != PREFACE[..compared] {
                return Poll::Ready(Ok(Protocol::Http1));
            }
            if compared == PREFACE.len() {
                return Poll::Ready(Ok(Protocol::Http2));
            }
            let mut scratch = [0; 1024];
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf)? {
                Poll::Ready(()) if buf.filled().is_empty() => return Poll::Ready(Ok(Protocol::None)),
                Poll::Ready(()) => {
                    self.head_since.get_or_insert_with(Instant::now);
                    self.hold.extend_from_slice(buf.filled());
                }
                Poll::Pending => {
                    let deadline = after(self.head_since.unwrap_or(self.accepted_at), self.limits.head);
                    ready!(self.read_timer.poll(deadline, cx));
                    return Poll::Ready(Ok(match self.head_since {
                        // Half a preface: as HTTP/1 it is a head that took too long.
                        Some(_) => Protocol::Http1,
                        None => Protocol::None,
                    }));
                }
            }
        }
    }

    /// From here on it speaks HTTP/1.
    pub(super) fn speak_http1(&mut self, link: Arc<Link>) {
        self.http1 = Some(Http1 {
            framer: Framer::new(HeadLimits {
                bytes: self.limits.head_bytes,
                fields: self.limits.head_fields,
                target_bytes: self.limits.target_bytes,
            }),
            link,
        });
    }

    /// From here on bytes pass as they are.
    pub(super) fn speak_http2(&mut self) {
        self.is_first = false;
        self.cleared = self.hold.len();
    }

    /// Gives on what is cleared.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.cleared.min(buf.remaining());
        buf.put_slice(&self.hold[..n]);
        self.hold.advance(n);
        self.cleared -= n;
        if self.hold.is_empty() {
            // Idle connections keep no buffer.
            self.hold = BytesMut::new();
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.cleared > 0 {
                self.give(buf);
                return Poll::Ready(Ok(()));
            }
            let Some(Http1 { framer, link }) = &mut self.http1 else {
                return Pin::new(&mut self.io).poll_read(cx, buf);
            };
            if framer.is_closed() {
                return Poll::Pending;
            }
            if framer.is_undecided() {
                match link.upgrade() {
                    Upgrade::Unanswered => {}
                    Upgrade::Refused => framer.decide(false),
                    Upgrade::Accepted => framer.decide(true),
                }
            }
            if framer.is_through() {
                self.cleared = self.hold.len();
                self.http1 = None;
                continue;
            }

            // While a request is being answered the next bytes are only kept, and the end of the stream looked for.
            let waits = framer.is_undecided() || (framer.expects_head() && link.is_busy());
            if waits {
                link.wake_when_done(cx.waker());
                if framer.expects_head() && !link.is_busy() {
                    continue;
                }
                if self.hold.len() >= EXTRA_BYTES {
                    return Poll::Pending;
                }
            } else if !self.hold.is_empty() {
                let step = framer.step(&self.hold);
                if self.apply(step)? {
                    continue;
                }
            }

            let before = buf.filled().len();
            match Pin::new(&mut self.io).poll_read(cx, buf)? {
                Poll::Pending if waits => return Poll::Pending,
                Poll::Pending => {
                    if ready!(self.poll_read_deadline(cx)) {
                        continue;
                    }
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(()) => {}
            }
            let new = &buf.filled()[before..];
            let len = new.len();
            if len == 0 {
                return Poll::Ready(Ok(()));
            }
            if waits || !self.hold.is_empty() {
                self.hold.extend_from_slice(new);
                buf.set_filled(before);
                continue;
            }
            let Some(Http1 { framer, link }) = &mut self.http1 else {
                continue;
            };
            // Most reads are exactly one head, or all body: these stay where they are.
            match framer.step(new) {
                Ok(Step::Head(n)) if n == len => {
                    link.begin();
                    self.begin_message();
                    return Poll::Ready(Ok(()));
                }
                Ok(Step::Body(n)) if n == len => return Poll::Ready(Ok(())),
                step => {
                    self.hold.extend_from_slice(new);
                    buf.set_filled(before);
                    self.apply(step)?;
                }
            }
        }
    }

    /// Does what a step over `hold` says. False if more bytes are needed.
    fn apply(&mut self, step: Result<Step, Refusal>) -> io::Result<bool> {
        match step {
            Ok(Step::More) => {
                self.head_since.get_or_insert_with(Instant::now);
                return Ok(false);
            }
            Ok(Step::Head(n)) => {
                if let Some(http1) = &self.http1 {
                    http1.link.begin();
                }
                self.begin_message();
                self.cleared = n;
            }
            Ok(Step::Body(n)) => self.cleared = n,
            Ok(Step::Skip(n)) => {
                self.hold.advance(n);
                return Ok(!self.hold.is_empty());
            }
            Err(refusal) => self.refuse(refusal)?,
        }
        Ok(true)
    }

    fn begin_message(&mut self) {
        self.head_since = None;
        self.is_first = false;
        self.idle_since = None;
    }

    /// True: the state has changed, look again. False: the connection has been idle for too long, it ends.
    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(Http1 { framer, .. }) = &self.http1 else {
            return Poll::Pending;
        };
        if !framer.expects_head() {
            // The pace of a body is its reader's business: only that one knows whether it waits.
            return Poll::Pending;
        }
        match self.head_since {
            Some(since) => {
                ready!(self.read_timer.poll(after(since, self.limits.head), cx));
                // In front of a head refusing cannot fail.
                Poll::Ready(self.refuse(Refusal::HeadTimeout).is_ok())
            }
            None => {
                let deadline = if self.is_first {
                    after(self.accepted_at, self.limits.head)
                } else {
                    after(
                        *self.idle_since.get_or_insert_with(Instant::now),
                        self.limits.idle,
                    )
                };
                ready!(self.read_timer.poll(deadline, cx));
                Poll::Ready(false)
            }
        }
    }

    /// Reads nothing more. A head is replaced by one that the adapter answers; a body breaks off.
    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        self.open.stats().count_refusal(refusal);
        let Some(Http1 { framer, link }) = &mut self.http1 else {
            return Ok(());
        };
        let in_body = framer.is_in_body();
        framer.close();
        link.refuse(refusal);
        if in_body {
            self.hold = BytesMut::new();
            return Err(io::Error::new(io::ErrorKind::InvalidData, refusal));
        }
        link.begin();
        let stand_in = if self.hold.starts_with(b"HEAD ") {
            STAND_IN_HEAD
        } else {
            STAND_IN_GET
        };
        self.hold = BytesMut::from(stand_in);
        self.cleared = self.hold.len();
        Ok(())
    }

    /// Whether the client may have sent what nobody read.
    fn has_unread(&self) -> bool {
        let left_in_http1 = match &self.http1 {
            Some(Http1 { framer, .. }) => framer.is_closed() || framer.is_in_body(),
            None => self.is_first,
        };
        left_in_http1 || !self.hold.is_empty()
    }

    /// Passes the outcome of a write on, or cuts a peer that takes nothing for too long.
    fn time_write<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled_since = None;
            return outcome;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        ready!(self.write_timer.poll(after(since, self.limits.stall), cx));
        self.open.stats().count_stall();
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the reader makes no progress",
        )))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_next(cx, buf)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let outcome = Pin::new(&mut me.io).poll_write(cx, buf);
        me.time_write(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let outcome = Pin::new(&mut me.io).poll_write_vectored(cx, bufs);
        me.time_write(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let outcome = Pin::new(&mut me.io).poll_flush(cx);
        me.time_write(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        loop {
            match &mut me.closing {
                Closing::No => {
                    let outcome = Pin::new(&mut me.io).poll_shutdown(cx);
                    ready!(me.time_write(cx, outcome))?;
                    me.closing = if me.has_unread() {
                        Closing::Lingering {
                            until: Instant::now() + LINGER,
                            bytes_left: LINGER_BYTES,
                        }
                    } else {
                        Closing::Done
                    };
                }
                Closing::Lingering { until, bytes_left } => {
                    let mut scratch = [0; 4096];
                    let mut buf = ReadBuf::new(&mut scratch);
                    let over = match Pin::new(&mut me.io).poll_read(cx, &mut buf) {
                        Poll::Ready(Ok(())) => {
                            *bytes_left = bytes_left.saturating_sub(buf.filled().len());
                            buf.filled().is_empty() || *bytes_left == 0
                        }
                        Poll::Ready(Err(_)) => true,
                        Poll::Pending => {
                            ready!(me.read_timer.poll(*until, cx));
                            true
                        }
                    };
                    if over {
                        me.closing = Closing::Done;
                    }
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

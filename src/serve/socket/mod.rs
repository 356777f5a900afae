//! The socket that hyper reads and writes: it keeps time, and in front of HTTP/1 it reads first.

mod announced;
mod first_head;
mod frame_reader;
mod frames;
mod head_clock;
mod incoming;
mod linger;
mod outgoing;
mod sniff;
mod unseen;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::incoming::Incoming;
pub(super) use self::linger::Linger;
use self::outgoing::Outgoing;
pub(super) use self::sniff::Protocol;
use super::limits::Limits;
use super::link::Link;
use super::stats::Open;
use super::streams::Streams;
use crate::sync::Arc;

/// The socket that hyper reads and writes.
///
/// Before a protocol is known it [sniffs](Self::sniff). In front of HTTP/1 it gives hyper one request at a time, and
/// only heads that a strict reader accepts; in place of another it gives one that the adapter answers with the
/// refusal, so that refusals keep their place behind earlier answers.
pub(super) struct Socket<I> {
    io: I,
    incoming: Incoming,
    outgoing: Outgoing,
    closing: Closing,
    open: Open,
}

/// How far its end is.
enum Closing {
    Open,
    /// Its end is being written. That has a time limit of its own, for there is a flush before each attempt.
    Ending(Outgoing),
    Lingering(Linger),
    Done,
}

// === impl Socket ===

impl<I: AsyncRead + AsyncWrite + Unpin> Socket<I> {
    pub(super) fn new(io: I, limits: Arc<Limits>, open: Open) -> Self {
        Self {
            io,
            outgoing: Outgoing::new(limits.stall),
            incoming: Incoming::new(limits),
            closing: Closing::Open,
            open,
        }
    }

    /// Reads until the protocol is known. What was read is given on later.
    pub(super) async fn sniff(&mut self) -> io::Result<Protocol> {
        std::future::poll_fn(|cx| self.incoming.poll_sniff(&mut self.io, cx)).await
    }

    /// Reads until the first head of HTTP/1 is there; false: there will be none. What was read is given on later.
    pub(super) async fn first_head(&mut self) -> io::Result<bool> {
        std::future::poll_fn(|cx| self.incoming.poll_first_head(&mut self.io, self.open.stats(), cx)).await
    }

    /// From here on it speaks HTTP/1.
    pub(super) fn speak_http1(&mut self, link: Arc<Link>) {
        self.incoming.speak_http1(link);
    }

    /// What is left of it when HTTP is over: what is below, and how many bytes came that nobody read.
    pub(super) fn into_parts(self) -> (I, usize, Open) {
        (self.io, self.incoming.extra(), self.open)
    }

    /// From here on bytes pass as they are, unless there is a flood of frames that bring nothing.
    pub(super) fn speak_http2(&mut self, streams: Arc<Streams>) {
        self.incoming.speak_http2(streams.clone());
        self.outgoing.speak_http2(streams);
    }

    /// What becomes of a write.
    fn wrote(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(_)) = outcome {
            self.incoming.written();
        }
        self.outgoing.time(self.open.stats(), cx, outcome)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.incoming.poll_read(&mut me.io, me.open.stats(), cx, buf)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let outcome = Pin::new(&mut me.io).poll_write(cx, buf);
        me.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let outcome = Pin::new(&mut me.io).poll_write_vectored(cx, bufs);
        me.wrote(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let outcome = Pin::new(&mut me.io).poll_flush(cx);
        if matches!(outcome, Poll::Ready(Ok(()))) {
            me.incoming.flushed();
            me.outgoing.flushed();
        }
        me.outgoing.time(me.open.stats(), cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        loop {
            match &mut me.closing {
                Closing::Open => me.closing = Closing::Ending(me.outgoing.anew()),
                Closing::Ending(outgoing) => {
                    let outcome = Pin::new(&mut me.io).poll_shutdown(cx);
                    ready!(outgoing.time(me.open.stats(), cx, outcome))?;
                    me.closing = if me.incoming.has_unread() {
                        Closing::Lingering(Linger::new())
                    } else {
                        Closing::Done
                    };
                }
                Closing::Lingering(linger) => {
                    ready!(linger.poll(&mut me.io, cx));
                    me.closing = Closing::Done;
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

//! What comes in: in front of HTTP/1, one request at a time, and only heads that a strict reader accepts.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::frames::Frames;
use super::head_clock::{HeadClock, Late};
use super::unseen::Unseen;
use crate::serve::framer::{Framer, Step};
use crate::serve::head::HeadLimits;
use crate::serve::limits::Limits;
use crate::serve::link::{Answered, Link};
use crate::serve::park::MOST_EXTRA_BYTES;
use crate::serve::refusal::{Asked, Refusal};
use crate::serve::stats::Stats;
use crate::serve::streams::Streams;
use crate::sync::Arc;

/// What is read of a client's next bytes while its request is being answered; beyond it they wait in the kernel.
const EXTRA_BYTES: usize = 4096;

/// What hyper is given in the place of a head that is refused. The service's adapter knows and answers it.
const STAND_IN_GET: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
const STAND_IN_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What comes in.
pub(super) struct Incoming {
    pub(super) ahead: Ahead,
    pub(super) clock: HeadClock,
    unseen: Unseen,
    http1: Option<Http1>,
    http2: Option<Box<Frames>>,
    /// The client sends nothing more.
    is_over: bool,
    /// Bytes behind the last request that were read and dropped.
    dropped: usize,
}

/// What was read of the peer and not yet given on.
#[derive(Default)]
pub(super) struct Ahead {
    bytes: BytesMut,
    /// So many of them may be given on.
    cleared: usize,
}

struct Http1 {
    framer: Framer,
    link: Arc<Link>,
}

// === impl Incoming ===

impl Incoming {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            ahead: Ahead::default(),
            clock: HeadClock::new(limits),
            unseen: Unseen::default(),
            http1: None,
            http2: None,
            is_over: false,
            dropped: 0,
        }
    }

    pub(super) fn speak_http1(&mut self, link: Arc<Link>) {
        let limits = self.clock.limits();
        self.http1 = Some(Http1 {
            framer: Framer::new(HeadLimits {
                bytes: limits.head_bytes,
                fields: limits.head_fields,
                target_bytes: limits.target_bytes,
            }),
            link,
        });
    }

    pub(super) fn speak_http2(&mut self, streams: Arc<Streams>) {
        self.clock.end();
        self.ahead.clear_all();
        let mut frames = Frames::new(self.clock.limits().h2_resets, streams);
        frames.pass(&self.ahead.bytes);
        self.http2 = Some(Box::new(frames));
    }

    /// All that was written before is with the kernel.
    pub(super) fn flushed(&self) {
        if let Some(Http1 { link, .. }) = &self.http1 {
            link.flushed();
        }
    }

    /// The client has got something.
    pub(super) fn written(&mut self) {
        self.unseen.written();
    }

    /// How many bytes have come behind the last request.
    pub(super) fn extra(&self) -> usize {
        self.dropped + self.ahead.bytes.len()
    }

    /// Whether the client may have sent what nobody read.
    pub(super) fn has_unread(&self) -> bool {
        let left_in_http1 = match &self.http1 {
            Some(Http1 { framer, .. }) => framer.is_closed() || framer.is_in_body(),
            None => self.clock.is_first(),
        };
        left_in_http1 || self.extra() > 0
    }

    pub(super) fn poll_read<I: AsyncRead + Unpin>(
        &mut self,
        io: &mut I,
        stats: &Stats,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.ahead.cleared > 0 {
                self.ahead.give(buf);
                return Poll::Ready(Ok(()));
            }
            if let Some(frames) = &mut self.http2 {
                if frames.is_flood() {
                    return Poll::Pending;
                }
                let before = buf.filled().len();
                ready!(Pin::new(io).poll_read(cx, buf))?;
                frames.pass(&buf.filled()[before..]);
                return Poll::Ready(Ok(()));
            }
            let Some(Http1 { framer, link }) = &mut self.http1 else {
                return Pin::new(io).poll_read(cx, buf);
            };
            if framer.is_closed() {
                return Poll::Pending;
            }
            if framer.is_undecided() {
                match link.answered() {
                    Answered::NotYet => {}
                    Answered::Plainly | Answered::Held => framer.decide(false),
                    Answered::Upgraded => framer.decide(true),
                }
            }
            if framer.is_through() {
                self.ahead.clear_all();
                self.http1 = None;
                continue;
            }

            // While a request is being answered the next bytes are only kept, and the end of the stream looked for. Who has
            // sent all that it will still wants its answer; of one who is kept waiting it means that nobody waits any more.
            let waits = framer.is_undecided() || (framer.expects_head() && link.is_busy());
            if !waits {
                self.unseen.end();
            }
            if waits {
                link.wake_when_done(cx.waker());
                if self.is_over && link.is_waiting(cx.waker()) {
                    return Poll::Ready(Ok(()));
                }
                if self.is_over || self.ahead.bytes.len() >= EXTRA_BYTES {
                    match link.await_answer() {
                        // How long that takes is the service's business.
                        Answered::NotYet => return Poll::Pending,
                        // The last answer, so nothing of it is needed: as where the connection is parked.
                        Answered::Held => {
                            self.dropped += std::mem::take(&mut self.ahead.bytes).len();
                            if self.dropped > MOST_EXTRA_BYTES as usize {
                                return Poll::Ready(Ok(()));
                            }
                            continue;
                        }
                        Answered::Plainly | Answered::Upgraded => {}
                    }
                    ready!(self.unseen.poll(self.clock.limits().idle, cx));
                    stats.count_stall();
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the client cannot be seen to leave, and gets nothing",
                    )));
                }
            } else if !self.ahead.is_empty() {
                let step = framer.step(&self.ahead.bytes);
                if self.apply(step, stats)? {
                    continue;
                }
            }

            let before = buf.filled().len();
            match Pin::new(&mut *io).poll_read(cx, buf)? {
                Poll::Pending if waits => return Poll::Pending,
                Poll::Pending => {
                    if ready!(self.poll_deadline(stats, cx)) {
                        continue;
                    }
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(()) => {}
            }
            let new = &buf.filled()[before..];
            let len = new.len();
            if len == 0 {
                self.is_over = true;
                if waits {
                    continue;
                }
                return Poll::Ready(Ok(()));
            }
            if waits || !self.ahead.is_empty() {
                self.ahead.push(new);
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
                    self.clock.end();
                    return Poll::Ready(Ok(()));
                }
                Ok(Step::Body(n)) if n == len => return Poll::Ready(Ok(())),
                step => {
                    self.ahead.push(new);
                    buf.set_filled(before);
                    self.apply(step, stats)?;
                }
            }
        }
    }

    /// Goes on over what is read ahead. Whether something of it may be given on.
    pub(super) fn step_to_head(&mut self, stats: &Stats) -> io::Result<bool> {
        while self.ahead.cleared == 0 && !self.ahead.is_empty() {
            let Some(Http1 { framer, .. }) = &mut self.http1 else {
                break;
            };
            let step = framer.step(&self.ahead.bytes);
            if !self.apply(step, stats)? {
                break;
            }
        }
        Ok(self.ahead.cleared > 0)
    }

    /// Does what a step over what is read ahead says. False if more bytes are needed.
    fn apply(&mut self, step: Result<Step, Refusal>, stats: &Stats) -> io::Result<bool> {
        match step {
            Ok(Step::More) => {
                self.clock.begin();
                return Ok(false);
            }
            Ok(Step::Head(n)) => {
                if let Some(http1) = &self.http1 {
                    http1.link.begin();
                }
                self.clock.end();
                self.ahead.cleared = n;
            }
            Ok(Step::Body(n)) => self.ahead.cleared = n,
            Ok(Step::Skip(n)) => {
                self.ahead.bytes.advance(n);
                return Ok(!self.ahead.is_empty());
            }
            Err(refusal) => self.refuse(refusal, stats)?,
        }
        Ok(true)
    }

    /// True: the state has changed, look again. False: the connection has been idle for too long, it ends.
    pub(super) fn poll_deadline(&mut self, stats: &Stats, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(Http1 { framer, .. }) = &self.http1 else {
            return Poll::Pending;
        };
        if !framer.expects_head() {
            // The pace of a body is its reader's business: only that one knows whether it waits.
            return Poll::Pending;
        }
        Poll::Ready(match ready!(self.clock.poll(cx)) {
            // In front of a head refusing cannot fail.
            Late::Rest => self.refuse(Refusal::HeadTimeout, stats).is_ok(),
            Late::All => false,
        })
    }

    /// Reads nothing more. A head is replaced by one that the adapter answers; a body breaks off.
    fn refuse(&mut self, refusal: Refusal, stats: &Stats) -> io::Result<()> {
        stats.count_refusal(refusal);
        let Some(Http1 { framer, link }) = &mut self.http1 else {
            return Ok(());
        };
        let in_body = framer.is_in_body();
        framer.close();
        if in_body {
            // Who answers knows what was asked for.
            link.refuse(refusal, Asked::default());
            self.ahead = Ahead::default();
            return Err(io::Error::new(io::ErrorKind::InvalidData, refusal));
        }
        link.refuse(refusal, Asked::of_head(&self.ahead.bytes));
        link.begin();
        let stand_in = match self.ahead.bytes.starts_with(b"HEAD ") {
            true => STAND_IN_HEAD,
            false => STAND_IN_GET,
        };
        self.ahead = Ahead::from(stand_in);
        Ok(())
    }
}

// === impl Ahead ===

impl Ahead {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn clear_all(&mut self) {
        self.cleared = self.bytes.len();
    }

    /// Gives on what is cleared.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.cleared.min(buf.remaining());
        buf.put_slice(&self.bytes[..n]);
        self.bytes.advance(n);
        self.cleared -= n;
        if self.bytes.is_empty() {
            // Idle connections keep no buffer.
            self.bytes = BytesMut::new();
        }
    }
}

impl From<&[u8]> for Ahead {
    /// All of it may be given on.
    fn from(bytes: &[u8]) -> Self {
        Self {
            bytes: BytesMut::from(bytes),
            cleared: bytes.len(),
        }
    }
}

//! The client's side of a connection: its handshake, then its bytes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::frames::Reader;
use crate::body::EdgeBody;
use crate::time::after;

/// Bytes that wait for a client: then nothing more is made for it.
const MOST_WAITING: usize = 64 << 10;
/// Bytes that wait to be read while the origin has not accepted what came before.
const MOST_UNREAD: usize = 64 << 10;
/// How long a client may take nothing of what waits for it; and its connection to begin, and to end.
const STALL: Duration = Duration::from_secs(30);
/// Bytes that are read at once.
const CHUNK: usize = 4 << 10;

/// Where it stands.
enum State {
    /// It waits for its handshake.
    Pending(oneshot::Sender<Response<EdgeBody>>, OnUpgrade),
    /// It has it, and its connection is not there yet.
    Accepted(OnUpgrade),
    Open(Box<TokioIo<Upgraded>>),
    Gone,
}

/// The client's side.
pub(super) struct Client {
    state: State,
    pub(super) reader: Reader,
    pub(super) out: BytesMut,
    /// Something was written and not flushed.
    is_unflushed: bool,
    /// What waits is written, then its connection ends.
    is_ending: bool,
    /// When it has taken nothing for too long.
    stalls: Option<Instant>,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Bytes came.
    Read,
    /// Some of what waited is written.
    Wrote,
    /// It is there.
    Connected,
    /// It is gone.
    Gone,
}

// === impl Client ===

impl Client {
    pub(super) fn new(answer: oneshot::Sender<Response<EdgeBody>>, upgrade: OnUpgrade) -> Self {
        Self {
            state: State::Pending(answer, upgrade),
            reader: Reader::default(),
            out: BytesMut::new(),
            is_unflushed: false,
            is_ending: false,
            stalls: None,
        }
    }

    /// Completes its handshake.
    pub(super) fn accept(&mut self, response: Response<EdgeBody>) {
        if let State::Pending(answer, upgrade) = std::mem::replace(&mut self.state, State::Gone)
            && answer.send(response).is_ok()
        {
            self.stalls = Some(after(Instant::now(), STALL));
            self.state = State::Accepted(upgrade);
        }
    }

    /// Answers its handshake with something else.
    pub(super) fn refuse(&mut self, response: Response<EdgeBody>) {
        if let State::Pending(answer, _) = std::mem::replace(&mut self.state, State::Gone) {
            let _ = answer.send(response);
        }
    }

    /// Ends its connection once what waits is written.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
        self.stalls.get_or_insert_with(|| after(Instant::now(), STALL));
        if !matches!(self.state, State::Open(_) | State::Accepted(_)) {
            self.state = State::Gone;
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// Whether so much waits for it that nothing more is to be made.
    pub(super) fn is_behind(&self) -> bool {
        self.out.len() >= MOST_WAITING && !self.is_ending
    }

    /// What happens next. Whoever stops waiting loses nothing. Unless what it says is heard, little of it is read: only whether
    /// it is still there.
    pub(super) async fn next(&mut self, is_heard: bool) -> Event {
        if !self.out.is_empty() && self.stalls.is_none() {
            self.stalls = Some(after(Instant::now(), STALL));
        }
        let stalls = self.stalls;
        let stalled = async {
            match stalls {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            biased;
            event = poll_fn(|cx| self.poll(is_heard, cx)) => event,
            () = stalled => Event::Gone,
        };
        if event == Event::Gone {
            self.state = State::Gone;
            self.out = BytesMut::new();
        }
        event
    }

    fn poll(&mut self, is_heard: bool, cx: &mut Context<'_>) -> Poll<Event> {
        match &mut self.state {
            State::Pending(answer, _) => answer.poll_closed(cx).map(|()| Event::Gone),
            State::Accepted(upgrade) => match Pin::new(upgrade).poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(_)) => Poll::Ready(Event::Gone),
                Poll::Ready(Ok(upgraded)) => {
                    self.state = State::Open(Box::new(TokioIo::new(upgraded)));
                    self.stalls = None;
                    Poll::Ready(Event::Connected)
                }
            },
            State::Open(_) => self
                .poll_open(is_heard, cx)
                .map(|event| event.unwrap_or(Event::Gone)),
            State::Gone => Poll::Pending,
        }
    }

    fn poll_open(&mut self, is_heard: bool, cx: &mut Context<'_>) -> Poll<io::Result<Event>> {
        let State::Open(io) = &mut self.state else {
            return Poll::Pending;
        };
        let mut io = Pin::new(io);
        if !self.out.is_empty() {
            if let Poll::Ready(written) = io.as_mut().poll_write(cx, &self.out)? {
                if written == 0 {
                    return Poll::Ready(Ok(Event::Gone));
                }
                self.out.advance(written);
                self.is_unflushed = true;
                self.stalls = None;
                if self.out.is_empty() {
                    self.out = BytesMut::new();
                }
                return Poll::Ready(Ok(Event::Wrote));
            }
        } else if self.is_unflushed && io.as_mut().poll_flush(cx)?.is_ready() {
            self.is_unflushed = false;
        }
        if self.is_ending {
            let is_written = self.out.is_empty() && !self.is_unflushed;
            return match is_written {
                true => io.poll_shutdown(cx).map_ok(|()| Event::Gone),
                false => Poll::Pending,
            };
        }
        // What is read is one frame at most.
        if !is_heard && self.reader.unread() >= MOST_UNREAD {
            return Poll::Pending;
        }
        let mut chunk = [0; CHUNK];
        let mut chunk = ReadBuf::new(&mut chunk);
        match io.poll_read(cx, &mut chunk)? {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if chunk.filled().is_empty() => Poll::Ready(Ok(Event::Gone)),
            Poll::Ready(()) => {
                self.reader.push(chunk.filled());
                Poll::Ready(Ok(Event::Read))
            }
        }
    }
}

//! One parked connection: its socket and what goes on.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::framing::Framing;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use crate::body::{BoxedBody, EdgeBody};
use crate::serve::limits::Limits;
use crate::serve::panics::{guarded, let_go};
use crate::serve::socket::Linger;
use crate::serve::stats::{Open, Stats};
use crate::serve::timer::Timer;
use crate::sync::Arc;
use crate::time::after;

/// What of a body is gathered for one write, in bytes: more may come with the last frame.
const GATHERED_BYTES: usize = 64 * 1024;

/// Most frames of a body for one write, those that say nothing included.
const GATHERED_FRAMES: usize = 64;

/// Most writes in one turn. A body that always has more, for a reader that takes all of it, would keep others from theirs.
const WRITES: usize = 8;

/// How often a body is looked at, for one frame, while its reader takes nothing: it may have to say that it has broken off,
/// as the body of a hold does whose messages are gone. And most bytes that may wait then.
const LOOK: Duration = Duration::from_secs(5);
const LOOK_BYTES: usize = 2 * GATHERED_BYTES;

/// A connection whose last answer goes on, without HTTP's state machine.
///
/// The body is polled when what it gave is written, so that a slow reader keeps one write's worth, and a little more.
pub(in crate::serve) struct Parked<I> {
    pub(super) io: I,
    pub(super) going: Going,
}

/// All of it but the socket.
pub(super) struct Going {
    body: BoxedBody,
    framing: Framing,
    incoming: Incoming,
    /// What the socket did not take at once.
    blocked: Option<Box<Blocked>>,
    ending: Option<Box<Ending>>,
    limits: Arc<Limits>,
    open: Open,
}

/// What the socket did not take at once.
struct Blocked {
    outgoing: Outgoing,
    /// What follows once it is written.
    then: Then,
    /// Nothing was taken since then.
    since: Instant,
    /// The body was looked at.
    looked: Instant,
    timer: Timer,
}

/// What becomes of what is blocked.
enum Unblocked {
    Written,
    /// It cannot be, or takes too long.
    Failed,
    /// It is time to look at the body.
    Look,
}

/// What follows what was gathered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The body may have more.
    More,
    /// It had no more, and wakes when it has.
    Wait,
    /// The body is over.
    End,
    /// It broke off: the client must see that.
    Cut,
}

/// The body is over, and all of it written.
enum Ending {
    /// What ends the connection is being written, since then.
    Shutdown(Instant, Timer),
    Lingering(Linger),
}

// === impl Parked ===

impl<I: AsyncRead + AsyncWrite + Unpin> Parked<I> {
    /// `extra`: bytes that the client sent beyond its request.
    pub(in crate::serve) fn new(
        io: I,
        (body, framing): (EdgeBody, Framing),
        extra: usize,
        limits: Arc<Limits>,
        mut open: Open,
    ) -> Self {
        open.park();
        let going = Going {
            body: body.into_boxed(),
            framing,
            incoming: Incoming::new(extra),
            blocked: None,
            ending: None,
            limits,
            open,
        };
        Self { io, going }
    }

    /// Goes on until it has to wait. Ready when it is over: then it is to be dropped.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        guarded(|| self.going.poll(&mut self.io, cx))
            .unwrap_or_else(|panicked| panicked.count(self.going.open.stats()))
    }
}

// === impl Going ===

impl Going {
    fn poll<I: AsyncRead + AsyncWrite + Unpin>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<()> {
        let stall = self.limits.stall;
        if let Some(ending) = &mut self.ending {
            return ending.poll(io, &mut self.incoming, (stall, self.open.stats()), cx);
        }
        if self.incoming.poll_gone(io, cx).is_ready() {
            return Poll::Ready(());
        }
        let mut writes = 0;
        loop {
            let then = match &mut self.blocked {
                Some(blocked) => {
                    match ready!(blocked.poll(io, stall, self.open.stats(), cx)) {
                        Unblocked::Written => {}
                        Unblocked::Failed => return Poll::Ready(()),
                        Unblocked::Look => match self.look(cx) {
                            Then::Cut => return Poll::Ready(()),
                            _ => continue,
                        },
                    }
                    let then = blocked.then;
                    self.blocked = None;
                    match then {
                        // It may have woken this meanwhile.
                        Then::Wait => Then::More,
                        then => then,
                    }
                }
                None if writes == WRITES => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => {
                    writes += 1;
                    let (mut outgoing, then) = self.gather(cx);
                    if outgoing.is_empty() && then == Then::Wait {
                        return Poll::Pending;
                    }
                    match outgoing.poll_write(io, cx) {
                        Poll::Ready(Ok(())) => then,
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Pending => {
                            self.blocked = Some(Box::new(Blocked::new(outgoing, then)));
                            continue;
                        }
                    }
                }
            };
            match then {
                Then::More => {}
                Then::Wait => return Poll::Pending,
                Then::Cut => return Poll::Ready(()),
                Then::End => {
                    self.ending = Some(Box::new(Ending::Shutdown(Instant::now(), Timer::default())));
                    return self.poll(io, cx);
                }
            }
        }
    }

    /// What the body has, as far as one write takes it.
    fn gather(&mut self, cx: &mut Context<'_>) -> (Outgoing, Then) {
        let mut outgoing = Outgoing::default();
        for _ in 0..GATHERED_FRAMES {
            if outgoing.is_full(GATHERED_BYTES) {
                break;
            }
            match self.body.as_mut().poll_frame(cx) {
                Poll::Pending => return (outgoing, Then::Wait),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => self.framing.data(data, &mut outgoing),
                    // Trailers go out only where the head announced them, and then a connection is not parked.
                    Ok(_) | Err(_) => {}
                },
                Poll::Ready(Some(Err(error))) => {
                    self.let_go();
                    tracing::debug!(target: "gripstack::serve", %error, "a held body broke off");
                    return (outgoing, Then::Cut);
                }
                Poll::Ready(None) => {
                    self.let_go();
                    self.framing.end(&mut outgoing);
                    return (outgoing, Then::End);
                }
            }
        }
        (outgoing, Then::More)
    }

    /// Takes one frame more, although what there is waits for its reader.
    fn look(&mut self, cx: &mut Context<'_>) -> Then {
        let Some(blocked) = &mut self.blocked else {
            return Then::More;
        };
        let then = match self.body.as_mut().poll_frame(cx) {
            Poll::Pending => return Then::Wait,
            Poll::Ready(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    self.framing.data(data, &mut blocked.outgoing);
                }
                Then::More
            }
            // Its reader would come to that some time, or never.
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(target: "gripstack::serve", %error, "a held body broke off, and its client reads nothing");
                Then::Cut
            }
            Poll::Ready(None) => {
                self.framing.end(&mut blocked.outgoing);
                Then::End
            }
        };
        blocked.then = then;
        if matches!(then, Then::Cut | Then::End) {
            self.let_go();
        }
        then
    }

    /// The body is over: what it holds goes now, however slow its reader is.
    fn let_go(&mut self) {
        let body = mem::replace(&mut self.body, EdgeBody::empty().into_boxed());
        let_go(body, self.open.stats());
    }
}

/// A body is its user's: if it panics as it goes it does not take others along, however it comes to go.
impl Drop for Going {
    fn drop(&mut self) {
        self.let_go();
    }
}

// === impl Blocked ===

impl Blocked {
    fn new(outgoing: Outgoing, then: Then) -> Self {
        Self {
            outgoing,
            then,
            since: Instant::now(),
            looked: Instant::now(),
            timer: Timer::default(),
        }
    }

    fn poll<I: AsyncWrite + Unpin>(
        &mut self,
        io: &mut I,
        stall: Duration,
        stats: &Stats,
        cx: &mut Context<'_>,
    ) -> Poll<Unblocked> {
        let left = self.outgoing.bytes();
        match self.outgoing.poll_write(io, cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Unblocked::Written),
            Poll::Ready(Err(_)) => return Poll::Ready(Unblocked::Failed),
            Poll::Pending if self.outgoing.bytes() < left => self.since = Instant::now(),
            Poll::Pending => {}
        }
        let stalled = after(self.since, stall);
        let is_open = matches!(self.then, Then::More | Then::Wait);
        let look = (is_open && self.outgoing.bytes() < LOOK_BYTES).then(|| after(self.looked, LOOK));
        ready!(
            self.timer
                .poll(look.map_or(stalled, |look| look.min(stalled)), cx)
        );
        if look.is_some_and(|look| look < stalled) {
            self.looked = Instant::now();
            return Poll::Ready(Unblocked::Look);
        }
        stats.count_stall();
        Poll::Ready(Unblocked::Failed)
    }
}

// === impl Ending ===

impl Ending {
    fn poll<I>(
        &mut self,
        io: &mut I,
        incoming: &mut Incoming,
        (stall, stats): (Duration, &Stats),
        cx: &mut Context<'_>,
    ) -> Poll<()>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            match self {
                Self::Shutdown(since, timer) => {
                    let Poll::Ready(down) = Pin::new(&mut *io).poll_shutdown(cx) else {
                        if incoming.poll_gone(io, cx).is_ready() {
                            return Poll::Ready(());
                        }
                        ready!(timer.poll(after(*since, stall), cx));
                        stats.count_stall();
                        return Poll::Ready(());
                    };
                    // What has come since would make of closing a reset.
                    if down.is_err() || incoming.poll_gone(io, cx).is_ready() || !incoming.has_come() {
                        return Poll::Ready(());
                    }
                    *self = Self::Lingering(Linger::new());
                }
                Self::Lingering(linger) => return linger.poll(io, cx),
            }
        }
    }
}

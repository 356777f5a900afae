//! A few tasks, each of which has many parked connections.
//!
//! What a connection takes beside its body is a box with its socket, a place in a list and a waker of 32 bytes: no task, no
//! registration with the runtime (256 bytes each).
//!
//! A lot gives its connections turns in the order in which they were woken, for a spell, and then lets others run. So
//! publishers go on while a crowd is served; who was woken again meanwhile has one turn for all that has come, and
//! writes it at once; and a single reader is one wake away from who published, on the same thread where that is idle.
//! A task for each ([`each`](super::each)) gathers as well, for the runtime queues its tasks likewise, but pays for each
//! turn with a task's states and queues, and for each hold with its task.

mod lot;
#[cfg(unix)]
mod own;
mod reactor;
mod source;
mod task;
#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::io;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use self::lot::Lot;
use self::reactor::{Reactor, Ready};
use self::source::Source;
use super::driver::Drive;
use super::parked::Parked;
use crate::serve::connection::{Phase, Phases};
use crate::serve::transport::Transport;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The lots of a server: as many as its runtime has workers.
pub(in crate::serve) struct Lots {
    lots: Box<[OnceLock<Arc<Lot>>]>,
    next: AtomicUsize,
    phases: Phases,
}

// === impl Lots ===

impl Lots {
    pub(super) fn new(phases: Phases) -> Self {
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        Self {
            lots: std::iter::repeat_with(OnceLock::new)
                .take(workers.max(1))
                .collect(),
            next: AtomicUsize::new(0),
            phases,
        }
    }

    /// The lot whose turn it is to take one more, as all of a server are: sockets may leave the runtime, or not.
    fn next(&self, may_leave: bool) -> &Arc<Lot> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.lots.len();
        self.lots[turn].get_or_init(|| task::spawn(self.phases.listen(Phase::Cutting), may_leave))
    }
}

impl Drive for Lots {
    fn drive<I>(&self, parked: Parked<Transport<I>>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let lot = self.next(may_leave(&parked.io));
        match seated(parked, lot.has_reactor()) {
            Ok(connection) => lot.arrive(connection),
            Err(error) => {
                tracing::warn!(target: "gripstack::serve", %error, "cut: a socket cannot leave the runtime")
            }
        }
    }
}

impl Drop for Lots {
    fn drop(&mut self) {
        for lot in self.lots.iter().filter_map(OnceLock::get) {
            lot.end();
        }
    }
}

/// Whether this socket may leave the runtime. If not it needs none that has sockets.
fn may_leave<I: 'static>(io: &Transport<I>) -> bool {
    cfg!(unix) && matches!(io, Transport::Plain(_)) && TypeId::of::<I>() == TypeId::of::<TcpStream>()
}

/// What goes on of this connection: with a socket that has left the runtime, if it may and can.
#[cfg_attr(not(unix), expect(unused_variables, reason = "none may"))]
fn seated<I>(parked: Parked<Transport<I>>, may_leave: bool) -> io::Result<Box<dyn Connection>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Parked { io, going } = parked;
    let io = match io {
        #[cfg(unix)]
        Transport::Plain(io) if may_leave => match own::Own::take(io) {
            Ok(io) => return Ok(Box::new(Parked { io: io?, going })),
            Err(io) => Transport::Plain(io),
        },
        io => io,
    };
    Ok(Box::new(Parked { io, going }))
}

/// A parked connection, of whatever kind.
trait Connection: Send {
    /// See [`Parked`].
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// See [`Source`].
    fn ready(&mut self, ready: Ready);

    /// See [`Source`].
    fn settle(&mut self, reactor: &Reactor, number: usize) -> io::Result<()>;
}

impl<S: Source> Connection for Parked<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Parked::poll(self, cx)
    }

    fn ready(&mut self, ready: Ready) {
        self.io.ready(ready);
    }

    fn settle(&mut self, reactor: &Reactor, number: usize) -> io::Result<()> {
        self.io.settle(reactor, number)
    }
}

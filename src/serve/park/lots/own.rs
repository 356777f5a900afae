//! A socket that a lot's own poll watches. With the runtime it would take 256 bytes more.

use std::any::Any;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use mio::{Interest, Token};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reactor::{Reactor, Ready};
use super::source::Source;

/// A socket that a lot's own poll watches.
///
/// It wakes nobody by itself: the lot polls its connection when it has become ready.
pub(super) struct Own {
    stream: mio::net::TcpStream,
    /// What may be done without asking the kernel in vain. The poll tells of changes only.
    can_read: bool,
    can_write: bool,
    watched: Watched,
}

/// What the poll is to tell of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Nothing,
    /// Most sockets take at once whatever is written.
    Reading,
    Both,
}

// === impl Own ===

impl Own {
    /// Takes a socket out of the runtime, if it is one of TCP.
    pub(super) fn take<I: 'static>(io: I) -> Result<io::Result<Self>, I> {
        let mut slot = Some(io);
        let any: &mut dyn Any = &mut slot;
        let Some(tcp) = any.downcast_mut::<Option<tokio::net::TcpStream>>() else {
            return Err(slot.expect("not taken: it is another type"));
        };
        let tcp = tcp.take().expect("filled above");
        Ok(tcp.into_std().map(|stream| Self {
            stream: mio::net::TcpStream::from_std(stream),
            // What has come by now is told when it is watched.
            can_read: false,
            can_write: true,
            watched: Watched::Nothing,
        }))
    }
}

impl Source for Own {
    fn ready(&mut self, ready: Ready) {
        self.can_read |= ready.read;
        self.can_write |= ready.write;
    }

    fn settle(&mut self, reactor: &Reactor, number: usize) -> io::Result<()> {
        let wanted = if self.can_write {
            Watched::Reading
        } else {
            Watched::Both
        };
        let token = Token(number);
        match (self.watched, wanted) {
            (Watched::Nothing, Watched::Both) => {
                let both = Interest::READABLE | Interest::WRITABLE;
                reactor.registry().register(&mut self.stream, token, both)?;
            }
            (Watched::Nothing, _) => {
                reactor
                    .registry()
                    .register(&mut self.stream, token, Interest::READABLE)?
            }
            (Watched::Reading, Watched::Both) => {
                let both = Interest::READABLE | Interest::WRITABLE;
                reactor.registry().reregister(&mut self.stream, token, both)?;
            }
            // Who was slow once may be again.
            _ => return Ok(()),
        }
        self.watched = wanted;
        Ok(())
    }
}

/// What a call did, unless it has to wait.
fn attempt<T>(may: &mut bool, mut call: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
    while *may {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *may = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
    Poll::Pending
}

impl AsyncRead for Own {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let free = buf.initialize_unfilled();
        let read = attempt(&mut me.can_read, || me.stream.read(free));
        read.map_ok(|read| buf.advance(read))
    }
}

impl AsyncWrite for Own {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        attempt(&mut me.can_write, || me.stream.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        attempt(&mut me.can_write, || me.stream.write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        // What came since the poll was looked at: before it closes, its owner looks for itself.
        me.can_read = true;
        Poll::Ready(me.stream.shutdown(Shutdown::Write))
    }
}

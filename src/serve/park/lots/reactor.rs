//! A lot's own poll, which is itself one socket for the runtime.

use std::io;
use std::task::Context;

/// What may be done with a socket from now on.
#[derive(Clone, Copy)]
#[cfg_attr(not(unix), expect(dead_code, reason = "nothing is told"))]
pub(super) struct Ready {
    pub(super) read: bool,
    pub(super) write: bool,
}

#[cfg(not(unix))]
pub(super) use self::none::Reactor;
#[cfg(unix)]
pub(super) use self::unix::Reactor;

/// All sockets stay with the runtime.
#[cfg(not(unix))]
mod none {
    use super::*;

    /// There is none.
    pub(in super::super) enum Reactor {}

    impl Reactor {
        pub(in super::super) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(in super::super) fn look(&mut self, _: &mut Context<'_>, _: impl FnMut(usize, Ready)) {
            match *self {}
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::task::Poll;
    use std::time::Duration;

    use mio::{Events, Poll as Watch, Registry};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::*;

    /// Events that are taken at once, and how often in one look: peers can make them as fast as they are taken.
    const EVENTS: usize = 256;
    const BATCHES: usize = 16;

    /// A lot's own poll.
    pub(in super::super) struct Reactor {
        watch: AsyncFd<Watch>,
        events: Events,
    }

    impl Reactor {
        /// To be called in the runtime.
        #[expect(
            deprecated,
            reason = "its successor is unsafe; a poll owns its descriptor, and is not exchanged in here"
        )]
        pub(in super::super) fn new() -> io::Result<Self> {
            Ok(Self {
                watch: AsyncFd::with_interest(Watch::new()?, Interest::READABLE)?,
                events: Events::with_capacity(EVENTS),
            })
        }

        pub(in super::super) fn registry(&self) -> &Registry {
            self.watch.get_ref().registry()
        }

        /// Tells what has become ready, by numbers. Then the waker is woken when there is more.
        pub(in super::super) fn look(&mut self, cx: &mut Context<'_>, mut each: impl FnMut(usize, Ready)) {
            for _ in 0..BATCHES {
                let Poll::Ready(Ok(mut watch)) = self.watch.poll_read_ready_mut(cx) else {
                    return;
                };
                match watch.get_inner_mut().poll(&mut self.events, Some(Duration::ZERO)) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        tracing::error!(target: "gripstack::serve", %error, "parked connections cannot be watched");
                        return;
                    }
                }
                if self.events.is_empty() {
                    watch.clear_ready();
                    continue;
                }
                for event in &self.events {
                    let ready = Ready {
                        read: event.is_readable() || event.is_read_closed() || event.is_error(),
                        write: event.is_writable() || event.is_write_closed() || event.is_error(),
                    };
                    each(event.token().0, ready);
                }
            }
            cx.waker().wake_by_ref();
        }
    }
}

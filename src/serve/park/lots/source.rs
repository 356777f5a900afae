//! Where a connection's bytes come from and go to.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::reactor::{Reactor, Ready};
use crate::serve::transport::Transport;

/// Where a connection's bytes come from and go to.
pub(super) trait Source: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The lot's poll has seen this of it.
    fn ready(&mut self, ready: Ready);

    /// It was polled: the lot's poll is told what it waits for from now on.
    ///
    /// # Errors
    ///
    /// The kernel's: then nothing of it would be noticed.
    fn settle(&mut self, reactor: &Reactor, number: usize) -> io::Result<()>;
}

/// What the runtime wakes.
impl<I: AsyncRead + AsyncWrite + Unpin + Send + 'static> Source for Transport<I> {
    fn ready(&mut self, _: Ready) {}

    fn settle(&mut self, _: &Reactor, _: usize) -> io::Result<()> {
        Ok(())
    }
}

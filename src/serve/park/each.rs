//! A task for each parked connection.

use std::future::poll_fn;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};

use super::driver::Drive;
use super::parked::Parked;
use crate::serve::connection::{Phase, Phases};
use crate::serve::transport::Transport;

/// A task for each parked connection.
pub(in crate::serve) struct Each(pub(super) Phases);

impl Drive for Each {
    fn drive<I>(&self, mut parked: Parked<Transport<I>>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut cut = self.0.listen(Phase::Cutting);
        tokio::spawn(poll_fn(move |cx| match cut.poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => parked.poll(cx),
        }));
    }
}

//! A task for each parked connection.

use std::future::poll_fn;

use tokio::io::{AsyncRead, AsyncWrite};

use super::parked::Parked;
use crate::serve::connection::{Phase, Phases};

/// Goes on with a connection, until it ends or is cut.
pub(in crate::serve) fn park<I>(mut parked: Parked<I>, mut phases: Phases)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        tokio::select! {
            () = phases.reach(Phase::Cutting) => {}
            () = poll_fn(|cx| parked.poll(cx)) => {}
        }
    });
}

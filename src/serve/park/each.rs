//! A task for each parked connection.

use std::future::poll_fn;

use tokio::io::{AsyncRead, AsyncWrite};

use super::parked::Parked;

/// Goes on with a connection, until it ends or is cut.
pub(in crate::serve) fn park<I>(mut parked: Parked<I>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(poll_fn(move |cx| parked.poll(cx)));
}

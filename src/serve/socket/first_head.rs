//! The first head of a connection, before there is anything of HTTP: who never sends one whole costs little.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::incoming::Incoming;
use crate::serve::stats::Stats;

// === impl Incoming ===

impl Incoming {
    /// Ready when a head is there, or what stands in for one that is refused; or, false, there will be none. It is given on
    /// later.
    pub(super) fn poll_first_head<I: AsyncRead + Unpin>(
        &mut self,
        io: &mut I,
        stats: &Stats,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        loop {
            if self.step_to_head(stats)? {
                return Poll::Ready(Ok(true));
            }
            let mut scratch = [0; 1024];
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buf)? {
                Poll::Ready(()) if buf.filled().is_empty() => return Poll::Ready(Ok(false)),
                Poll::Ready(()) => self.ahead.push(buf.filled()),
                Poll::Pending => {
                    if !ready!(self.poll_deadline(stats, cx)) {
                        return Poll::Ready(Ok(false));
                    }
                }
            }
        }
    }
}

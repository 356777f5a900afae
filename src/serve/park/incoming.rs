//! What a client sends although its answer is the last of the connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Most that a client may send beyond its request. It is read, so that its going away is noticed, and dropped.
pub(in crate::serve) const MOST_EXTRA_BYTES: u32 = 64 * 1024;

/// What a client sends beyond its request.
pub(super) struct Incoming {
    left: u32,
}

// === impl Incoming ===

impl Incoming {
    /// Of which so many bytes have come.
    pub(super) fn new(extra: usize) -> Self {
        Self {
            left: MOST_EXTRA_BYTES.saturating_sub(u32::try_from(extra).unwrap_or(u32::MAX)),
        }
    }

    /// Whether any of it has come.
    pub(super) fn has_come(&self) -> bool {
        self.left < MOST_EXTRA_BYTES
    }

    /// Ready when the client is gone, half-closed too, or has sent too much.
    pub(super) fn poll_gone<I: AsyncRead + Unpin>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 1024];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if (1..=self.left).contains(&(buf.filled().len() as u32)) => {
                    self.left -= buf.filled().len() as u32;
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

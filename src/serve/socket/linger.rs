//! The end of a connection whose client may still be sending.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::serve::timer::Timer;

/// After the last answer the rest of what the client sends is read and dropped, or closing would reset the
/// connection and the client might lose that answer (RFC 9112 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// Reads and drops what the client still sends, for a while.
pub(in crate::serve) struct Linger {
    until: Instant,
    bytes_left: usize,
    timer: Timer,
}

// === impl Linger ===

impl Linger {
    pub(in crate::serve) fn new() -> Self {
        Self {
            until: Instant::now() + LINGER,
            bytes_left: LINGER_BYTES,
            timer: Timer::default(),
        }
    }

    /// Ready when the client is done, or has had time and bytes enough.
    pub(in crate::serve) fn poll<I: AsyncRead + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.bytes_left = self.bytes_left.saturating_sub(buf.filled().len());
                    if self.bytes_left == 0 {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    ready!(self.timer.poll(self.until, cx));
                    return Poll::Ready(());
                }
            }
        }
    }
}

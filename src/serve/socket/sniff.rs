//! Which protocol a client speaks, by its first bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::head_clock::Late;
use super::incoming::Incoming;

/// The client connection preface of HTTP/2 (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::serve) enum Protocol {
    Http1,
    Http2,
    /// The peer left, or said nothing.
    None,
}

// === impl Incoming ===

impl Incoming {
    pub(super) fn poll_sniff<I>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<io::Result<Protocol>>
    where
        I: AsyncRead + Unpin,
    {
        loop {
            let read = self.ahead.bytes();
            let compared = read.len().min(PREFACE.len());
            if read[..compared] != PREFACE[..compared] {
                return Poll::Ready(Ok(Protocol::Http1));
            }
            if compared == PREFACE.len() {
                return Poll::Ready(Ok(Protocol::Http2));
            }
            let mut scratch = [0; 1024];
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buf)? {
                Poll::Ready(()) if buf.filled().is_empty() => return Poll::Ready(Ok(Protocol::None)),
                Poll::Ready(()) => {
                    self.clock.begin();
                    self.ahead.push(buf.filled());
                }
                Poll::Pending => {
                    return Poll::Ready(Ok(match ready!(self.clock.poll(cx)) {
                        // Half a preface: as HTTP/1 it is a head that took too long.
                        Late::Rest => Protocol::Http1,
                        Late::All => Protocol::None,
                    }));
                }
            }
        }
    }
}

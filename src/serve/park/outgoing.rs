//! What a parked connection has still to write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Most pieces in one write.
const MOST_PIECES: usize = 64;

/// What has still to be written, in order.
#[derive(Default)]
pub(super) struct Outgoing {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

// === impl Outgoing ===

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one write cannot take more.
    pub(super) fn is_full(&self, most_bytes: usize) -> bool {
        self.bytes >= most_bytes || self.pieces.len() + 3 > MOST_PIECES
    }

    /// Writes all of it, through what is between here and the socket.
    pub(super) fn poll_write<I: AsyncWrite + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); MOST_PIECES];
            let mut used = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
                used += 1;
            }
            match ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices[..used]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        Pin::new(io).poll_flush(cx)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(piece) = self.pieces.front_mut()
            && written > 0
        {
            let here = written.min(piece.len());
            piece.advance(here);
            written -= here;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

impl Extend<Bytes> for Outgoing {
    fn extend<T: IntoIterator<Item = Bytes>>(&mut self, pieces: T) {
        for piece in pieces {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }
}

//! Compression that lets others have the thread.
//!
//! Bytes in memory are always ready, and a compressor takes all that is ready before it hands anything on: a crowd that
//! asks for large texts would keep everybody else waiting. So it gets a large body in pieces, with a moment between some
//! of them, which it fills with a frame of its own; and after each such frame it waits for its next turn.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use gripstack::EdgeBody;
use gripstack::error::BoxError;
use http_body::{Body, Frame, SizeHint};

/// Longest piece.
const PIECE: usize = 64 << 10;
/// So many pieces are compressed in a row, before others have their turn.
const IN_A_ROW: u8 = 4;

/// A body on its way into the compressor.
pub(super) struct Pieces {
    /// Of the frame that is being handed on.
    rest: Bytes,
    body: EdgeBody,
    in_a_row: u8,
}

/// A body that comes out of it.
pub(super) struct Turns<B> {
    body: B,
    had_one: bool,
}

/// Whether it takes long enough.
pub(super) fn is_large(body: &EdgeBody) -> bool {
    let most = u64::from(IN_A_ROW) * PIECE as u64;
    body.size_hint().upper().is_none_or(|bytes| bytes > most)
}

// === impl Pieces ===

impl Pieces {
    pub(super) fn new(body: EdgeBody) -> Self {
        Self {
            rest: Bytes::new(),
            body,
            in_a_row: 0,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.in_a_row == IN_A_ROW {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        self.in_a_row += 1;
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

// === impl Turns ===

impl<B> Turns<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, had_one: false }
    }
}

impl<B: Body + Unpin> Body for Turns<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if std::mem::take(&mut self.had_one) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.had_one = true;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

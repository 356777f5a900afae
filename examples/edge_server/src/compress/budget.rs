//! What compressors take of memory, of all answers together: beyond it, answers go out as they are.
//!
//! A compressor lives as long as its client reads, and clients may read slowly.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use gripstack::{BoxError, EdgeBody};
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For all compressors, in KiB.
const TOTAL_KIB: u32 = 128 << 10;

/// What one of gzip takes, in KiB. Measured.
const GZIP_KIB: u32 = 480;
/// What one of brotli takes at least and at most, in KiB: it keeps what it has seen, several times over. Measured.
const BROTLI_KIB: (u32, u32) = (512, 5_300);

/// What is left for compressors. A handle.
#[derive(Clone)]
pub(super) struct Budget(Arc<Semaphore>);

/// Room for one compressor.
#[derive(Clone)]
pub(super) struct Room {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// A body that needs its room until it is gone.
struct WithRoom {
    body: EdgeBody,
    _room: Room,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(TOTAL_KIB as usize)))
    }

    /// Room to compress so many bytes for a client that takes this; `None` if there is none.
    pub(super) fn take(&self, accept: &HeaderMap, length: Option<u64>) -> Option<Room> {
        let room = self.0.clone().try_acquire_many_owned(weight(accept, length));
        room.ok().map(|permit| Room {
            _permit: Arc::new(permit),
        })
    }
}

/// In KiB. Where a client takes both, brotli is what it gets.
fn weight(accept: &HeaderMap, length: Option<u64>) -> u32 {
    let mut fields = accept.get_all(header::ACCEPT_ENCODING).iter();
    if !fields.any(|field| field.to_str().unwrap_or_default().contains("br")) {
        return GZIP_KIB;
    }
    let (least, most) = BROTLI_KIB;
    let seen = u32::try_from(length.unwrap_or(u64::MAX) >> 8).unwrap_or(most);
    least.saturating_add(seen).min(most)
}

// === impl Room ===

impl Room {
    pub(super) fn keep(self, body: EdgeBody) -> EdgeBody {
        EdgeBody::new(WithRoom { body, _room: self })
    }
}

// === impl WithRoom ===

impl Body for WithRoom {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taking(accept: &'static str) -> HeaderMap {
        let accept = http::HeaderValue::from_static(accept);
        [(header::ACCEPT_ENCODING, accept)].into_iter().collect()
    }

    #[test]
    fn a_large_text_in_brotli_needs_most() {
        for (accept, length, expected) in [
            ("gzip", Some(1_500_000), GZIP_KIB),
            ("gzip, br", Some(1_500_000), BROTLI_KIB.1),
            ("br", Some(10 << 10), BROTLI_KIB.0 + 40),
            ("br", None, BROTLI_KIB.1),
        ] {
            assert_eq!(weight(&taking(accept), length), expected, "{accept} {length:?}");
        }
    }

    #[test]
    fn there_is_so_much_room_and_no_more() {
        let budget = Budget::new();
        let accept = taking("br");
        let rooms: Vec<_> = std::iter::from_fn(|| budget.take(&accept, Some(1_500_000))).collect();
        assert_eq!(rooms.len(), 24);
        drop(rooms);
        assert!(budget.take(&accept, Some(1_500_000)).is_some());
    }
}

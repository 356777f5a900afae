//! What compressors take of memory, of all answers together: beyond it, answers go out as they are.
//!
//! A compressor lives as long as its client reads, and clients may read slowly.

use std::sync::Arc;

use gripstack::EdgeBody;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one of gzip takes, in KiB, about.
const GZIP_KIB: u32 = 480;
/// What one of brotli takes at least and at most, in KiB: it keeps what it has seen, several times over.
/// About.
const BROTLI_KIB: (u32, u32) = (512, 5_300);

/// What is left for compressors. A handle.
#[derive(Clone)]
pub(super) struct Budget(Arc<Semaphore>);

/// Room for one compressor.
#[derive(Clone)]
pub(super) struct Room {
    _permit: Arc<OwnedSemaphorePermit>,
}

// === impl Budget ===

impl Budget {
    /// Of so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let kib = usize::try_from(bytes >> 10).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(kib.min(Semaphore::MAX_PERMITS))))
    }

    /// Room to compress so many bytes, in brotli or else gzip; `None` if there is none.
    pub(super) fn take(&self, in_brotli: bool, length: Option<u64>) -> Option<Room> {
        let room = self.0.clone().try_acquire_many_owned(weight(in_brotli, length));
        room.ok().map(|permit| Room {
            _permit: Arc::new(permit),
        })
    }
}

/// In KiB.
fn weight(in_brotli: bool, length: Option<u64>) -> u32 {
    if !in_brotli {
        return GZIP_KIB;
    }
    let (least, most) = BROTLI_KIB;
    let seen = u32::try_from(length.unwrap_or(u64::MAX) >> 8).unwrap_or(most);
    least.saturating_add(seen).min(most)
}

// === impl Room ===

impl Room {
    /// The body, which needs its room until it is gone.
    pub(super) fn keep(self, body: EdgeBody) -> EdgeBody {
        EdgeBody::new(body.map_frame(move |frame| {
            let _room = &self;
            frame
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_text_in_brotli_needs_most() {
        for (in_brotli, length, expected) in [
            (false, Some(1_500_000), GZIP_KIB),
            (true, Some(1_500_000), BROTLI_KIB.1),
            (true, Some(10 << 10), BROTLI_KIB.0 + 40),
            (true, None, BROTLI_KIB.1),
        ] {
            assert_eq!(weight(in_brotli, length), expected, "{in_brotli} {length:?}");
        }
    }

    #[test]
    fn there_is_so_much_room_and_no_more() {
        let budget = Budget::new(128 << 20);
        let rooms: Vec<_> = std::iter::from_fn(|| budget.take(true, Some(1_500_000))).collect();
        assert_eq!(rooms.len(), 24);
        drop(rooms);
        assert!(budget.take(true, Some(1_500_000)).is_some());
    }
}

//! What of the answers lies in memory: in the store, on its way there, or out of the store and still read by somebody.
//!
//! A client may read as slowly as it likes, and many may read what was stored a moment ago. So bytes are counted until
//! the last one lets go of them, wherever that is, and beyond the limit nothing more is kept.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::sync::Arc;

/// Counts bytes.
pub(super) struct Account {
    bytes: AtomicU64,
    limit: u64,
}

/// Bytes that are counted until this is dropped.
pub(super) struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

/// A piece of a body, counted as long as anybody has it.
struct Kept {
    data: Box<[u8]>,
    _charge: Charge,
}

/// The same bytes in memory of their own: as they came they may keep a buffer that is many times larger. Moves what fills
/// its memory alone, copies the rest.
pub(super) fn detached(data: Bytes) -> Box<[u8]> {
    let data = Vec::from(data);
    if data.len() == data.capacity() {
        return data.into_boxed_slice();
    }
    // Not shrunk: an allocator may leave what is more than half full where it is, in all of its buffer.
    Box::from(&*data)
}

// === impl Account ===

impl Account {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            bytes: AtomicU64::new(0),
            limit,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether so many bytes more are within the limit.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.bytes() + bytes <= self.limit
    }

    pub(super) fn charge(self: &Arc<Self>, bytes: u64) -> Charge {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            account: self.clone(),
            bytes,
        }
    }

    /// The same bytes, [detached] and counted.
    pub(super) fn keep(self: &Arc<Self>, data: Bytes) -> Bytes {
        let data = detached(data);
        let charge = self.charge(data.len() as u64);
        Bytes::from_owner(Kept {
            data,
            _charge: charge,
        })
    }
}

// === impl Charge ===

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

// === impl Kept ===

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_no_memory_to_spare() {
        let mut large = Vec::with_capacity(16_384);
        large.extend_from_slice(&[7; 10_000]);
        let at = large.as_ptr();
        let kept = detached(large.into());
        assert_eq!(kept.len(), 10_000);
        assert_ne!(kept.as_ptr(), at, "all of the buffer may still be there");
        let exact = vec![7; 10_000];
        let at = exact.as_ptr();
        let kept = detached(exact.into());
        assert_eq!(kept.as_ptr(), at, "moved");
    }
}

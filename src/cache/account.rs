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

/// The same bytes in memory of their own: as they came they may keep a buffer that is many times larger. Moves what is
/// alone in its memory, copies the rest.
pub(super) fn detached(data: Bytes) -> Box<[u8]> {
    Vec::from(data).into_boxed_slice()
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

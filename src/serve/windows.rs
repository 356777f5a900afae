//! What surely fits into the windows that a client of HTTP/2 has opened.

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What a window is before its client says anything (RFC 9113 6.9.2).
const FIRST_BYTES: u32 = 65_535;

/// The windows of a connection (RFC 9113 6.9), as far as it takes to say what surely fits: what its streams open of theirs
/// does not count, and what was given to one that was reset does.
pub(super) struct Windows {
    /// Of each stream, from its begin.
    of_stream: AtomicU32,
    /// Of all of them together, all that was opened.
    of_all: AtomicU64,
    /// All that was given to streams.
    given: AtomicU64,
}

// === impl Windows ===

impl Default for Windows {
    fn default() -> Self {
        Self {
            of_stream: AtomicU32::new(FIRST_BYTES),
            of_all: AtomicU64::new(FIRST_BYTES.into()),
            given: AtomicU64::new(0),
        }
    }
}

impl Windows {
    /// The client says how large those of streams are.
    pub(super) fn set_of_stream(&self, bytes: u32) {
        self.of_stream.store(bytes, Ordering::Relaxed);
    }

    /// The client opens that of the connection so much more.
    pub(super) fn open(&self, bytes: u32) {
        self.of_all.fetch_add(bytes.into(), Ordering::Relaxed);
    }

    /// Whether all that was opened of the connection's has been given.
    pub(super) fn are_used_up(&self) -> bool {
        self.given.load(Ordering::Relaxed) >= self.of_all.load(Ordering::Relaxed)
    }

    /// So much more is given to a stream, and this in all. Whether all of it surely fits.
    pub(super) fn give(&self, bytes: usize, in_all: u64) -> bool {
        let bytes = bytes as u64;
        let given = self.given.fetch_add(bytes, Ordering::Relaxed) + bytes;
        in_all <= self.of_stream.load(Ordering::Relaxed).into()
            && given <= self.of_all.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_into_both_windows_fits() {
        let windows = Windows::default();
        assert!(windows.give(60_000, 60_000));
        assert!(windows.give(5_535, 5_535));
        assert!(!windows.give(1, 1), "that of the connection is used up");
        windows.open(100_000);
        assert!(!windows.give(70_000, 70_000), "that of a stream is smaller");
        windows.set_of_stream(70_000);
        assert!(windows.give(29_999, 70_000));
        assert!(!windows.give(1, 70_001));
    }
}

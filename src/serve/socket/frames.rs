//! The frames of HTTP/2 as they pass: which of them ask for work and bring nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::serve::streams::Streams;
use crate::sync::Arc;

/// What a client sends first (RFC 9113 3.4).
const PREFACE_BYTES: usize = 24;
/// Length, type, flags, stream (RFC 9113 4.1).
const HEAD_BYTES: usize = 9;

/// Types of frames (RFC 9113 6), and a flag.
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;

/// What a reset counts, and what other frames do that bring nothing: clients may ping as often as data comes.
const OF_RESET: u32 = 10;
const OF_OTHER: u32 = 1;

/// In which time what a client may send at once may be sent again.
const PERIOD: Duration = Duration::from_secs(5);

/// Follows the frames of a client, and notices a flood of those that bring nothing.
pub(super) struct Frames {
    reader: Reader,
    credit: Credit,
    streams: Arc<Streams>,
}

/// Finds frames in bytes that come in any pieces.
struct Reader {
    /// Bytes to the next frame.
    skip: usize,
    head: [u8; HEAD_BYTES],
    has: usize,
}

/// What a client may still send.
struct Credit {
    most: u32,
    left: u32,
    at: Instant,
}

// === impl Frames ===

impl Frames {
    /// Of a client that may reset so many streams at once.
    pub(super) fn new(resets: u32, streams: Arc<Streams>) -> Self {
        Self {
            reader: Reader::new(),
            credit: Credit::new(resets.saturating_mul(OF_RESET), Instant::now()),
            streams,
        }
    }

    /// Whether there were too many. Then nothing more is read.
    pub(super) fn is_flood(&self) -> bool {
        self.streams.is_flooded()
    }

    /// These bytes pass.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let count = self.reader.count(bytes);
        if count > 0 && !self.credit.spend(count, Instant::now()) {
            self.streams.flood();
        }
    }
}

// === impl Reader ===

impl Reader {
    fn new() -> Self {
        Self {
            skip: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            has: 0,
        }
    }

    /// What the frames that begin in these bytes count.
    fn count(&mut self, mut bytes: &[u8]) -> u32 {
        let mut count: u32 = 0;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let new = (HEAD_BYTES - self.has).min(bytes.len());
            self.head[self.has..self.has + new].copy_from_slice(&bytes[..new]);
            self.has += new;
            bytes = &bytes[new..];
            if self.has < HEAD_BYTES {
                return count;
            }
            self.has = 0;
            let [a, b, c, kind, flags, ..] = self.head;
            self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
            count = count.saturating_add(match kind {
                RST_STREAM => OF_RESET,
                SETTINGS | PING => OF_OTHER,
                DATA if self.skip == 0 && flags & END_STREAM == 0 => OF_OTHER,
                _ => 0,
            });
        }
    }
}

// === impl Credit ===

impl Credit {
    fn new(most: u32, now: Instant) -> Self {
        Self {
            most,
            left: most,
            at: now,
        }
    }

    /// Whether there is enough.
    fn spend(&mut self, count: u32, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() / PERIOD.as_secs_f64();
        let earned = (earned * f64::from(self.most)) as u32;
        // What is less than one goes on growing.
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(self.most);
            self.at = now;
        }
        let left = self.left.checked_sub(count);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let len = (payload as u32).to_be_bytes();
        let mut frame = vec![len[1], len[2], len[3], kind, flags, 0, 0, 0, 1];
        frame.extend(std::iter::repeat_n(PING, payload));
        frame
    }

    proptest! {
        /// In whatever pieces they come.
        #[test]
        fn what_brings_nothing_is_counted(
            frames in proptest::collection::vec((0_u8..12, 0_u8..2, 0_usize..40), 0..40),
            size in 1_usize..60,
        ) {
            let expected: u32 = frames.iter().map(|&(kind, flags, payload)| match (kind, flags, payload) {
                (RST_STREAM, ..) => OF_RESET,
                (SETTINGS | PING, ..) | (DATA, 0, 0) => OF_OTHER,
                _ => 0,
            }).sum();
            let mut bytes = vec![RST_STREAM; PREFACE_BYTES];
            bytes.extend(frames.iter().flat_map(|&(kind, flags, payload)| frame(kind, flags, payload)));
            let mut reader = Reader::new();
            let count: u32 = bytes.chunks(size).map(|piece| reader.count(piece)).sum();
            prop_assert_eq!(count, expected);
        }
    }

    #[test]
    fn what_is_spent_comes_back() {
        let start = Instant::now();
        let mut credit = Credit::new(100, start);
        assert!(credit.spend(100, start));
        assert!(!credit.spend(1, start));
        // One each 50 ms, however often it is looked.
        for ms in (1..=49).step_by(7) {
            assert!(!credit.spend(1, start + Duration::from_millis(ms)));
        }
        assert!(credit.spend(1, start + Duration::from_millis(50)));
        assert!(!credit.spend(101, start + 2 * PERIOD));
        assert!(credit.spend(100, start + 3 * PERIOD));
    }
}

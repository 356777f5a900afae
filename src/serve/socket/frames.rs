//! The frames of HTTP/2 as they pass: which of them ask for work and bring nothing, and what they say of windows.

use std::time::Duration;

use tokio::time::Instant;

use super::announced::Announced;
use super::frame_reader::{DATA, END_STREAM, FrameHead, FrameReader, PING, Part, RST_STREAM, SETTINGS};
use crate::serve::streams::Streams;
use crate::sync::Arc;

/// What a reset counts, and what other frames do that bring nothing: clients may ping as often as data comes.
const OF_RESET: u32 = 10;
const OF_OTHER: u32 = 1;

/// In which time what a client may send at once may be sent again.
const PERIOD: Duration = Duration::from_secs(5);

/// Follows the frames of a client: notices a flood of those that bring nothing, and passes on what they say of windows.
pub(super) struct Frames {
    reader: FrameReader,
    announced: Announced,
    credit: Credit,
    streams: Arc<Streams>,
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
            reader: FrameReader::new(),
            announced: Announced::default(),
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
        let count = self.read(bytes);
        if count > 0 && !self.credit.spend(count, Instant::now()) {
            self.streams.flood();
        }
    }

    /// What the frames that begin in these bytes count.
    fn read(&mut self, mut bytes: &[u8]) -> u32 {
        let mut count: u32 = 0;
        while let Some(part) = self.reader.next(&mut bytes) {
            match part {
                Part::Head(head) => {
                    count = count.saturating_add(cost(&head));
                    self.announced.begin(&head);
                }
                Part::Payload(payload) => self.announced.read(payload, &self.streams),
            }
        }
        count
    }
}

/// What a frame counts.
fn cost(head: &FrameHead) -> u32 {
    match head.kind {
        RST_STREAM => OF_RESET,
        SETTINGS | PING => OF_OTHER,
        DATA if head.payload == 0 && head.flags & END_STREAM == 0 => OF_OTHER,
        _ => 0,
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

    use super::super::frame_reader::{PREFACE_BYTES, WINDOW_UPDATE};
    use super::*;
    use crate::serve::stats::Stats;

    fn frames() -> Frames {
        Frames::new(1_000, Streams::new(Duration::ZERO, Stats::new()))
    }

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
            let mut reader = self::frames();
            let count: u32 = bytes.chunks(size).map(|piece| reader.read(piece)).sum();
            prop_assert_eq!(count, expected);
        }
    }

    /// In whatever pieces it comes.
    #[test]
    fn what_is_said_of_windows_is_known() {
        let mut bytes = vec![0; PREFACE_BYTES];
        // The largest frame, how large windows are, and what nobody knows.
        let settings = [
            [0, 5, 0, 0, 0x40, 0],
            [0, 4, 0, 1, 0x11, 0x70],
            [9, 4, 0, 0, 0, 1],
        ]
        .concat();
        bytes.extend([&[0, 0, 18, SETTINGS, 0, 0, 0, 0, 0], &settings[..]].concat());
        let open = |stream, more: u32| {
            let head = [0, 0, 4, WINDOW_UPDATE, 0, 0, 0, 0, stream];
            [&head[..], &more.to_be_bytes()].concat()
        };
        bytes.extend([open(0, 4_000), open(1, 100_000), open(0, 465)].concat());
        for size in 1..bytes.len() {
            let mut frames = frames();
            for piece in bytes.chunks(size) {
                frames.read(piece);
            }
            let windows = frames.streams.windows();
            assert!(windows.give(70_000, 70_000), "in pieces of {size}");
            assert!(!windows.give(0, 70_001), "in pieces of {size}");
            assert!(!windows.give(1, 1), "in pieces of {size}");
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

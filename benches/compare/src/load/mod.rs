//! Loads. Each is a process of its own: told by lines on its standard input, answering by lines on its output.

mod frames;
mod link;
mod orders;
pub mod request;
pub mod subscribe;

use std::time::{SystemTime, UNIX_EPOCH};

/// The time on a clock that all processes here share, in nanoseconds.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as u64)
}

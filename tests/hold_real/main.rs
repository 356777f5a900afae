//! Publishers and clients as they are: processes that share a counter, that restart, whose calls overtake each other and are made
//! twice; ids that come back. `GRIPSTACK_SEED` tells the story of one random world; `GRIPSTACK_FULL=1` runs many.
#![cfg(all(feature = "hold", feature = "cache", feature = "publish", feature = "testing"))]

mod again;
mod chains;
mod forms;
#[path = "../hold_support/mod.rs"]
mod hold_support;
mod ids;
mod loops;
mod polls;
mod publishers;
mod recurring;
mod restarts;
mod states;
mod story;

//! Pages that are longer than what is said about one item.

/// How a stack is tested: without a socket, without waiting.
#[cfg_attr(feature = "full", doc = "", doc = include_str!("../docs/testing.md"))]
pub mod testing {}

/// How a process is run: probes, drains, memory, what stands before and behind it, which numbers to look at.
#[cfg_attr(feature = "full", doc = "", doc = include_str!("../docs/operations.md"))]
pub mod operations {}

//! Servers of our own: the origin of all peers, and what the edge is measured against.

pub mod floor;
pub mod origin;
pub mod plain;
mod tiny;

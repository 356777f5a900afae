//! The origin service against raw sockets that follow a script. Conformance cases carry their id in the name.
#![cfg(feature = "origin")]

mod answers;
mod failures;
mod pool;
mod requests;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod upgrades;

//! WebSockets whose origin speaks HTTP, with a real client on real sockets.

#[path = "../serve_support/mod.rs"]
mod serve_support;

mod app;
mod closing;
mod handshakes;
mod messages;
mod pushes;

use app::*;

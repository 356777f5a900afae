//! One WebSocket whose origin speaks HTTP: what a client does becomes events of requests, what answers say becomes
//! messages for the client. Without I/O: no socket, no task, no timer, no clock.
//!
//! [`Session`] is driven by whoever has the sockets. It is told what happened, and when; then [`Session::next_output`] is
//! asked until there is nothing more, and [`Session::deadline`] when it wants to be [ticked](Session::tick).
//!
//! ```text
//!              Pending --Accept--> Open --Close--> Closing --the client's close, 10 s--> Gone    the client's side
//!
//!              Opening ----------> Open --> Awaited (the client's CLOSE) --answer--> Done        the origin's side
//!                                       \-> Last (CLOSE, DISCONNECT) ----told-----> Done
//! ```
//!
//! - The two sides end on their own: a client that is gone is told to the origin in the background; a client that
//!   is detached lives on without one.
//! - One request at a time. What a client says meanwhile waits in a [backlog], and goes together.
//! - An origin that does not make sense costs its client the connection, without a close frame. Where the edge itself
//!   closes, the client gets a frame, the origin a `CLOSE` without content.
//!
//! Deliberate differences from the reference proxy: messages that came before a client's end are told with it; a client
//! that leaves while its handshake is undecided costs one `DISCONNECT`; a client's `CLOSE` that is not answered is
//! repeated five times, then echoed; the pings of a detached client are answered.

mod answer;
mod apply;
mod backlog;
mod channels;
mod client;
mod config;
mod driver;
mod end;
mod filter_meta;
mod frames;
mod handshake;
mod input;
mod open;
mod origin;
mod output;
mod quiet;
mod request;
mod session;
mod tell;

#[cfg(test)]
mod closing_cases;
#[cfg(test)]
mod control_cases;
#[cfg(test)]
mod edge_closing_cases;
#[cfg(test)]
mod handshake_cases;
#[cfg(test)]
mod message_cases;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod retry_cases;
#[cfg(test)]
mod script;
#[cfg(test)]
mod size_cases;
#[cfg(test)]
mod world;
#[cfg(test)]
mod world_checks;

pub(super) use self::config::SessionConfig;
pub use self::end::SocketEnd;
pub(super) use self::handshake::is_asked_for;
pub(super) use self::open::open;
#[cfg(test)]
pub(crate) use self::{
    backlog::MAX_BACKLOG_BYTES,
    input::{ClientFault, NoAnswer},
    output::{Ask, AskKind, Output, Refusal},
    session::Session,
};

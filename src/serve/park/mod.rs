//! Held connections without HTTP's state machine.
//!
//! hyper keeps some 16 KiB of buffers for each connection, of which a held answer, once its head is out, needs none.
//! Then the connection is *parked*: what is left of it are its socket and the body, whatever layers have made of that.
//! It ends with the body, or with its client.

mod driver;
mod each;
mod framing;
mod incoming;
mod lots;
mod outgoing;
mod parked;

pub use self::driver::Parking;
pub(super) use self::driver::{Drive, Driver};
pub(super) use self::framing::Framing;
pub(super) use self::incoming::MOST_EXTRA_BYTES;
pub(super) use self::parked::Parked;

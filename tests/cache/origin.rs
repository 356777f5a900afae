//! The origin of these tests: one that a script plays, and that fails with an error of its own.

pub use gripstack::testing::{Call, Gate, Step};

/// An error that cannot be cloned, as most service errors cannot.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

pub type Origin<E = Refused> = gripstack::testing::ScriptedOrigin<E>;
pub type Reply<E = Refused> = gripstack::testing::Reply<E>;

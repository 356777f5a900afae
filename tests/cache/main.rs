//! The cache, driven in process: what a scripted origin is asked, and what clients get. On the paused clock; what has
//! to happen at the same time is made to by gates in the origin.
#![cfg(all(feature = "cache", feature = "testing"))]

mod basics;
mod cancel;
mod channels;
mod collapse;
mod conditions;
mod confirmed;
mod crowd;
mod described;
mod doors;
mod errors;
mod faults;
mod foreign;
mod grip;
#[cfg(feature = "hold")]
mod held;
mod hostless;
mod invalidate;
mod kept;
mod keys;
mod lasting;
mod marks;
mod memory;
mod model;
mod no_cache;
mod origin;
mod pass;
mod purge;
mod quiet;
mod ranges;
mod resuming;
mod serve;
mod stale;
mod stuck;
mod switching;
mod targeted;
mod unkept;
mod unsafe_methods;
mod validate;
mod variants;
mod versions;
mod world;

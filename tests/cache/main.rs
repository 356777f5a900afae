//! The cache, driven in process: what a scripted origin is asked, and what clients get. On the paused clock; what has
//! to happen at the same time is made to by gates in the origin.
#![cfg(all(feature = "cache", feature = "testing"))]

mod basics;
mod cancel;
mod collapse;
mod doors;
mod faults;
mod grip;
mod invalidate;
mod keys;
mod marks;
mod memory;
mod model;
mod no_cache;
mod origin;
mod pass;
mod purge;
mod quiet;
mod ranges;
mod serve;
mod stale;
mod targeted;
mod validate;
mod world;

//! A pool that is being used by many at once: clients over a socket, the `cowl` command, and merge in the background.
//!
//! * [`shared`]: the pool behind a lock.

pub mod shared;

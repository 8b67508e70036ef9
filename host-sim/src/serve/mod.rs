//! A pool that is being used by many at once: clients over a socket, the `cowl` command, and merge in the background.
//!
//! * [`shared`]: the pool behind a lock; [`mod@mount`] and [`open`]: from a file to such a pool and back.
//! * [`nbd`]: the server of network block devices, connection by connection.
//! * [`clients`]: who is connected to which layer. [`listen`]: where they come to. [`tls`]: how they encrypt.
//! * [`control`]: how `cowl` commands work on it; [`merger`]: merge in the background; [`metrics`]: what is counted.
//! * [`room`]: what the file system below has left. [`stop`]: how it all ends.
//!
//! A [`Server`] holds these together. Every client has a thread; whatever else is to run beside them is given to
//! [`Server::background`].

pub mod clients;
#[cfg(feature = "cli")]
pub mod control;
#[cfg(feature = "cli")]
pub mod listen;
#[cfg(feature = "cli")]
pub mod merger;
pub mod metrics;
pub mod mount;
pub mod nbd;
#[cfg(feature = "cli")]
pub mod open;
pub mod room;
#[cfg(feature = "cli")]
mod server;
pub mod shared;
#[cfg(feature = "cli")]
pub mod stop;
#[cfg(feature = "cli")]
pub mod tls;

#[cfg(feature = "cli")]
pub use server::{Options, Server};

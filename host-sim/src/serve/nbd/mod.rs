//! The NBD server: network block devices for QEMU, libnbd, the Linux kernel and whoever else speaks the protocol.
//!
//! Written by hand: the crates that there are know less of the protocol than its clients ask for.
//!
//! * [`protocol`]: its numbers; [`codec`]: its bytes.
//! * [`handshake`]: from the greeting to an export; [`exports`]: which there are.
//! * [`transmission`]: requests and replies; [`completer`]: those that take long.
//! * [`export`]: a layer as bytes; [`status`]: what is in a range of it.
//! * [`channel`]: sockets and buffers; [`encrypted`]: the same with TLS; [`service`]: from a socket to the end.

pub mod channel;
pub mod codec;
pub mod completer;
#[cfg(feature = "cli")]
pub mod encrypted;
pub mod export;
pub mod exports;
pub mod handshake;
pub mod protocol;
#[cfg(feature = "cli")]
pub mod service;
pub mod status;
pub mod transmission;

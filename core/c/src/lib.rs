//! The C interface of cowl: everything that `cowl::Pool` can do, over callbacks, in memory that the caller gives.
//!
//! `include/cowl.h` is generated from this crate; `README.md` shows how it is used. The files:
//! - `status.rs`: what a call returns, and the numbers that belong to an error;
//! - `device.rs`: the caller's callbacks as a block device;
//! - `handle.rs`: where a pool lies in the caller's memory, and the gate that every call goes through;
//! - `memory.rs`: pointers from outside, judged before they are used;
//! - `types.rs`: the structures that go in and out;
//! - `checksum.rs`: the checksum, which a program can bring itself;
//! - `open.rs`, `layers.rs`, `data.rs`, `upkeep.rs`, `transfers.rs`, `view.rs`, `reader.rs`: the functions.
//!
//! # The rules of pointers
//!
//! These are the same for all functions, and what each of their `unsafe` blocks relies on. The caller promises:
//! - a pointer that is not NULL leads to what its type says, as much as the length beside it says, for as long as the call lasts;
//! - the memory given to `cowl_mount` is left alone until the pool is unmounted or abandoned;
//! - one call at a time for each pool.
//!
//! Everything else is checked: NULL, alignment, lengths, buffers inside the pool's own memory, pools that are no longer mounted, calls
//! from within a callback, and structures of another version. What is found wrong is reported as a status and changes nothing.
//!
//! # Panics
//!
//! The core has none that a caller can reach. Should there be one all the same, it never unwinds into C: with the feature `std` it aborts at the
//! boundary, and with the feature `panic-handler` it ends in the program's `cowl_panic`.
#![no_std]
#![deny(
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
// The rules of pointers, above, hold for every function.
#![allow(clippy::missing_safety_doc)]

#[cfg(feature = "std")]
extern crate std;

mod checksum;
mod data;
mod device;
mod handle;
mod layers;
mod memory;
mod open;
mod reader;
mod status;
mod transfers;
mod types;
mod upkeep;
mod view;

pub use data::*;
pub use device::{Device, GEOMETRY_DISCARD, GEOMETRY_READ_ONLY, Geometry};
pub use handle::{Handle, ReaderHandle};
pub use layers::*;
pub use open::*;
pub use reader::*;
pub use status::{Failure, Object, Status, cowl_status_text};
pub use transfers::*;
pub use types::*;
pub use upkeep::*;
pub use view::*;

/// The version of this interface. It is raised whenever a structure or a function changes so that a program compiled with an older header would
/// go wrong with it; what is only new leaves it as it is.
pub const ABI_VERSION: u32 = 1;

#[cfg(all(feature = "panic-handler", not(feature = "std")))]
mod panicking {
    unsafe extern "C" {
        /// Defined by the program: says so, resets the machine, or stops.
        safe fn cowl_panic();
    }

    #[panic_handler]
    fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
        cowl_panic();
        loop {
            core::hint::spin_loop();
        }
    }
}

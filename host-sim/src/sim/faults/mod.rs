//! Faults of devices, each a device around a device, to be put around any [`BlockDevice`] in any order.
//!
//! A wrapper does one wrong thing and passes everything else on. Which calls it strikes says [`When`], counted from 0 and by
//! each wrapper for itself.
//!
//! | fault | wrapper |
//! |---|---|
//! | a call fails; the failed write is stored, dropped or half done | [`Failing`] |
//! | writes that are lost at a power cut or a failed flush | [`WriteCache`] |
//! | a flush that says yes and does nothing | [`LyingFlush`] |
//! | rot: bits, bytes or whole sectors | [`Rotten`] |
//! | a write or read that goes to the wrong place, a write that is lost or stored twice | [`Misplaced`] |
//! | reads of what was there before the last write, always or now and then | [`Stale`] |
//! | a device that turns read-only, vanishes, shrinks or grows | [`Changing`] |
//! | a discard that leaves old bytes, zeros or garbage, at once or late | [`Discarding`] |
//! | a torn write that takes its physical unit with it | [`Tearing`] |
//! | an operation that is given up half-way | [`Abandoning`] |
//!
//! Reordering, partial and torn writes, discards undone by a power cut and writes that are durable by themselves are states that
//! [`SimDisk`](super::SimDisk)'s images contain, and those of a `WriteCache`.
//!
//! # Three at once
//!
//! A disk that turns a bit in sector 40, whose flushes lie, and whose third write is lost:
//!
//! ```
//! use cowl::{BlockDevice, RamDisk};
//! use cowl_host::sim::faults::{LyingFlush, Misplaced, Place, Rot, Rotten, WriteCache, When};
//!
//! let mut memory = vec![0; 64 * 512];
//! let lying = LyingFlush::new(WriteCache::new(RamDisk::new(&mut memory)), When::ALWAYS);
//! let rotten = Rotten::new(lying, [(40, Rot::Bits { byte: 7, mask: 0x10 })]).stuck();
//! let mut disk = Misplaced::writes(rotten, When::once(2), Place::Nowhere);
//!
//! for sector in 39..42 {
//!     disk.write(sector, &[1; 512]).unwrap();
//! }
//! disk.flush().unwrap();
//! let mut bytes = [0; 3 * 512];
//! disk.read(39, &mut bytes).unwrap();
//! assert_eq!((bytes[0], bytes[512 + 7], bytes[1024]), (1, 0x11, 0), "turned in sector 40, lost in sector 41");
//!
//! // The power goes: nothing that was "flushed" is there.
//! let mut cache = disk.into_inner().into_inner().into_inner();
//! cache.cut(|_| false);
//! cache.read(39, &mut bytes).unwrap();
//! assert_eq!(bytes[0], 0);
//! ```

mod abandon;
mod cache;
mod changing;
mod discard;
mod fail;
mod flush;
mod misplaced;
mod rot;
mod stale;
mod tear;

use cowl::BlockDevice;

use super::disk::garbage_byte;

pub use abandon::{Abandoning, finished};
pub use cache::{Loss, WriteCache};
pub use changing::{Change, Changing};
pub use discard::{Discarded, Discarding};
pub use fail::{Calls, Failing, Left};
pub use flush::LyingFlush;
pub use misplaced::{Misplaced, Place};
pub use rot::{Rot, Rotten};
pub use stale::{Shown, Stale};
pub use tear::Tearing;

/// Which calls a fault strikes, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    first: u64,
    count: u64,
}

impl When {
    /// None.
    pub const NEVER: Self = Self { first: 0, count: 0 };
    /// All.
    pub const ALWAYS: Self = Self { first: 0, count: u64::MAX };

    /// One call.
    pub const fn once(call: u64) -> Self {
        Self { first: call, count: 1 }
    }

    /// So many calls, from this one on.
    pub const fn times(first: u64, count: u64) -> Self {
        Self { first, count }
    }

    /// This call and all later ones.
    pub const fn from(first: u64) -> Self {
        Self { first, count: u64::MAX }
    }

    /// The call is one of them.
    pub const fn includes(&self, call: u64) -> bool {
        call >= self.first && call - self.first < self.count
    }
}

/// Counts calls and says which are struck.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trigger {
    when: When,
    seen: u64,
}

impl Trigger {
    pub(crate) fn new(when: When) -> Self {
        Self { when, seen: 0 }
    }

    /// Counts a call; true if it is struck.
    pub(crate) fn next(&mut self) -> bool {
        let struck = self.when.includes(self.seen);
        self.seen += 1;
        struck
    }
}

/// The error of a device that a wrapper makes fail: its own, or that of the device below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injected<E> {
    /// The wrapper's.
    Fault,
    /// The device's.
    Device(E),
}

/// What every wrapper has around its device, and the calls that it only passes on.
macro_rules! wrapper {
    ($name:ident) => {
        impl<D> $name<D> {
            /// The device below.
            pub fn inner(&self) -> &D {
                &self.device
            }

            /// The device below, to be changed.
            pub fn inner_mut(&mut self) -> &mut D {
                &mut self.device
            }

            /// Takes the wrapper off.
            pub fn into_inner(self) -> D {
                self.device
            }
        }
    };
}

/// What every wrapper with a [`When`] has.
macro_rules! triggered {
    ($name:ident) => {
        impl<D> $name<D> {
            /// Counts from 0 again, and strikes these calls.
            pub fn strike(&mut self, when: $crate::sim::faults::When) {
                self.trigger = $crate::sim::faults::Trigger::new(when);
            }

            /// Calls counted so far: how many places there are to strike.
            pub fn calls(&self) -> u64 {
                self.trigger.seen
            }
        }
    };
}

/// Calls that are passed on as they are.
macro_rules! pass {
    (geometry) => {
        fn geometry(&self) -> cowl::Geometry {
            self.device.geometry()
        }
    };
    (read) => {
        fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
            self.device.read(sector, buffer)
        }
    };
    (write) => {
        fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
            self.device.write(sector, buffer)
        }
    };
    (flush) => {
        fn flush(&mut self) -> Result<(), Self::Error> {
            self.device.flush()
        }
    };
    (discard) => {
        fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
            self.device.discard(sector, count)
        }
    };
}

pub(super) use wrapper;
use {pass, triggered};

/// Bytes in a sector of the device.
fn sector_size<D: BlockDevice>(device: &D) -> usize {
    device.geometry().sector_size as usize
}

/// Garbage as the model knows it.
fn garbage(buffer: &mut [u8]) {
    for (at, byte) in buffer.iter_mut().enumerate() {
        *byte = garbage_byte(false, at);
    }
}

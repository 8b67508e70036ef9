//! The block device: what cowl is given, and everything it asks of the outside world.
//!
//! [`BlockDevice`] is the only way in which the core touches storage. Its contract is written on the trait,
//! clause by clause; the devices in this module need nothing but memory or another device.

pub(crate) mod counting;
mod empty;
pub(crate) mod partition;
mod ram;

pub use counting::{Counters, Counting};
pub use empty::NoBase;
pub use partition::Partition;
pub use ram::{OutOfRange, RamDisk};

#[cfg(feature = "async")]
#[path = "../asynch/device/mod.rs"]
pub(crate) mod asynch;

/// What a device says about itself, asked again whenever it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Geometry {
    /// Bytes in a sector, the unit of every transfer: a power of two from 512 to 65,536.
    pub sector_size: u32,
    /// Number of sectors.
    pub sectors: u64,
    /// Bytes that the device rewrites as a whole (4096 on a 512e disk): a power of two, at least one sector.
    pub physical_size: u32,
    /// Alignment in memory that the device wants of its buffers, in bytes: a power of two, 1 if it does not care.
    pub alignment: u32,
    /// The device refuses writes.
    pub read_only: bool,
    /// [`BlockDevice::discard`] does something.
    pub discard: bool,
}

impl Geometry {
    /// A writable device of `sectors` sectors of `sector_size` bytes, with nothing special about it.
    pub const fn new(sector_size: u32, sectors: u64) -> Self {
        Self { sector_size, sectors, physical_size: sector_size, alignment: 1, read_only: false, discard: false }
    }
}

/// A device of whole sectors.
///
/// # The contract
///
/// 1. **Ranges.** Every transfer is a whole number of sectors and lies inside [`Geometry::sectors`]. cowl asks for
///    nothing else; a device answers anything else with an error.
/// 2. **Reads see writes.** A read returns what the last write to that sector stored, flushed or not.
/// 3. **Durability.** Only [`flush`](Self::flush) makes anything durable. When it returns `Ok`, every write that
///    returned before it was called survives power loss. Nothing else promises anything: not time, not order.
/// 4. **Power loss** may keep, drop or tear any write that no flush covered, each sector for itself: it then holds the old
///    bytes, the new bytes, or garbage. Within one [physical unit](Geometry::physical_size) a torn sector may take its
///    neighbours with it. Sectors outside the units being written keep their content.
/// 5. **Errors.** After an error of `write` or `flush` the device may hold any of what clause 4 allows. cowl then
///    stops writing until the pool is mounted again.
/// 6. **Discard** is a hint. Until the next flush the sectors may hold old bytes, zeros or garbage, and may
///    change back at a power loss; they are defined again once they are written.
/// 7. **Exclusive.** Nobody else writes to the device while a pool on it is mounted.
pub trait BlockDevice {
    /// What can go wrong below; cowl only ever shows it.
    type Error: core::fmt::Debug;

    /// Size and shape of the device.
    fn geometry(&self) -> Geometry;

    /// Fills `buffer` with the sectors from `sector` on. Its length is a multiple of the sector size.
    ///
    /// # Errors
    /// What the device reports; the content of `buffer` is then undefined.
    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error>;

    /// Stores `buffer` in the sectors from `sector` on. Its length is a multiple of the sector size.
    ///
    /// # Errors
    /// What the device reports; see clause 5.
    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error>;

    /// Makes every completed write durable (clause 3).
    ///
    /// # Errors
    /// What the device reports; see clause 5.
    fn flush(&mut self) -> Result<(), Self::Error>;

    /// Tells the device that `count` sectors from `sector` on hold nothing that is needed (clause 6).
    ///
    /// # Errors
    /// What the device reports.
    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        let _ = (sector, count);
        Ok(())
    }
}

impl<T: BlockDevice + ?Sized> BlockDevice for &mut T {
    type Error = T::Error;

    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        (**self).write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        (**self).flush()
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        (**self).discard(sector, count)
    }
}

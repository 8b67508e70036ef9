//! Made from `device/mod.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::counting::asynch::Counting;
use crate::device::partition::asynch::Partition;

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
#[allow(async_fn_in_trait)]
pub trait BlockDevice {
    /// What can go wrong below; cowl only ever shows it.
    type Error: core::fmt::Debug;

    /// Size and shape of the device.
    fn geometry(&self) -> Geometry;

    /// Fills `buffer` with the sectors from `sector` on. Its length is a multiple of the sector size.
    ///
    /// # Errors
    /// What the device reports; the content of `buffer` is then undefined.
    async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error>;

    /// Stores `buffer` in the sectors from `sector` on. Its length is a multiple of the sector size.
    ///
    /// # Errors
    /// What the device reports; see clause 5.
    async fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error>;

    /// Makes every completed write durable (clause 3).
    ///
    /// # Errors
    /// What the device reports; see clause 5.
    async fn flush(&mut self) -> Result<(), Self::Error>;

    /// Tells the device that `count` sectors from `sector` on hold nothing that is needed (clause 6).
    ///
    /// # Errors
    /// What the device reports.
    async fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        let _ = (sector, count);
        Ok(())
    }
}

impl<T: BlockDevice + ?Sized> BlockDevice for &mut T {
    type Error = T::Error;

    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }

    async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(sector, buffer).await
    }

    async fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        (**self).write(sector, buffer).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        (**self).flush().await
    }

    async fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        (**self).discard(sector, count).await
    }
}

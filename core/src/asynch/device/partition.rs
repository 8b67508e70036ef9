//! Made from `device/partition.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;

/// `sectors` sectors of the device below, from `first` on, as a device of their own.
#[derive(Debug)]
pub struct Partition<D> {
    device: D,
    first: u64,
    sectors: u64,
}

impl<D: BlockDevice> Partition<D> {
    /// The window; `None` if it does not lie inside the device or does not start on a physical unit.
    pub fn new(device: D, first: u64, sectors: u64) -> Option<Self> {
        let geometry = device.geometry();
        let inside = first.checked_add(sectors)? <= geometry.sectors;
        let aligned =
            (first.checked_mul(u64::from(geometry.sector_size))?).checked_rem(u64::from(geometry.physical_size))? == 0;
        (inside && aligned).then_some(Self { device, first, sectors })
    }

    /// Gives the device back.
    pub fn into_inner(self) -> D {
        self.device
    }

    /// Where the window's sector lies on the device below; out of its range for a transfer past the window's end, so that
    /// the device refuses it.
    pub(crate) fn translate(&self, sector: u64, length: usize) -> u64 {
        let count = length as u64 / u64::from(self.device.geometry().sector_size.max(1));
        match sector.checked_add(count) {
            Some(end) if end <= self.sectors => self.first + sector,
            _ => u64::MAX / 2,
        }
    }
}

impl<D: BlockDevice> BlockDevice for Partition<D> {
    type Error = D::Error;

    fn geometry(&self) -> Geometry {
        Geometry { sectors: self.sectors, ..self.device.geometry() }
    }

    async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let sector = self.translate(sector, buffer.len());
        self.device.read(sector, buffer).await
    }

    async fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        let sector = self.translate(sector, buffer.len());
        self.device.write(sector, buffer).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.device.flush().await
    }

    async fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        let count = count.min(self.sectors.saturating_sub(sector));
        if count == 0 {
            return Ok(());
        }
        self.device.discard(self.first + sector, count).await
    }
}

//! Made from `device/counting.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;

/// A device that counts the operations on the device below.
#[derive(Debug)]
pub struct Counting<D> {
    device: D,
    counters: Counters,
}

impl<D: BlockDevice> Counting<D> {
    /// Counts from zero.
    pub fn new(device: D) -> Self {
        Self { device, counters: Counters::default() }
    }

    /// The counters, which start again from zero.
    pub fn take(&mut self) -> Counters {
        core::mem::take(&mut self.counters)
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The device below.
    pub fn inner(&self) -> &D {
        &self.device
    }

    /// Gives the device back.
    pub fn into_inner(self) -> D {
        self.device
    }

    pub(crate) fn sectors(&self, length: usize) -> u64 {
        length as u64 / u64::from(self.device.geometry().sector_size.max(1))
    }
}

impl<D: BlockDevice> BlockDevice for Counting<D> {
    type Error = D::Error;

    fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.counters.reads += 1;
        self.counters.sectors_read += self.sectors(buffer.len());
        self.device.read(sector, buffer).await
    }

    async fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        self.counters.writes += 1;
        self.counters.sectors_written += self.sectors(buffer.len());
        self.device.write(sector, buffer).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.counters.flushes += 1;
        self.device.flush().await
    }

    async fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        self.counters.discards += 1;
        self.device.discard(sector, count).await
    }
}

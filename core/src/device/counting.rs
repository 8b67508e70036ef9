//! Counts what passes through: costs are promised and tested as exact numbers of device operations.

use super::{BlockDevice, Geometry};

#[cfg(feature = "async")]
#[path = "../asynch/device/counting.rs"]
pub(crate) mod asynch;

/// Operations since the counters were last taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Read calls.
    pub reads: u64,
    /// Write calls.
    pub writes: u64,
    /// Flush calls.
    pub flushes: u64,
    /// Discard calls.
    pub discards: u64,
    /// Sectors read.
    pub sectors_read: u64,
    /// Sectors written.
    pub sectors_written: u64,
}

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

    fn sectors(&self, length: usize) -> u64 {
        length as u64 / u64::from(self.device.geometry().sector_size.max(1))
    }
}

impl<D: BlockDevice> BlockDevice for Counting<D> {
    type Error = D::Error;

    fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.counters.reads += 1;
        self.counters.sectors_read += self.sectors(buffer.len());
        self.device.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        self.counters.writes += 1;
        self.counters.sectors_written += self.sectors(buffer.len());
        self.device.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.counters.flushes += 1;
        self.device.flush()
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        self.counters.discards += 1;
        self.device.discard(sector, count)
    }
}

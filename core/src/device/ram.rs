//! A disk in memory: firmware's scratch pool, and the quickest way to try cowl.

use super::{BlockDevice, Geometry};
use crate::bytes::copy;

#[cfg(feature = "async")]
#[path = "../asynch/device/ram.rs"]
pub(crate) mod asynch;

/// A device over a byte slice, with 512-byte sectors unless told otherwise.
#[derive(Debug)]
pub struct RamDisk<'a> {
    bytes: &'a mut [u8],
    geometry: Geometry,
}

/// A transfer reached past the end of the device or was not a whole number of sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OutOfRange {
    /// First sector of the transfer.
    pub sector: u64,
    /// Its length in bytes.
    pub length: usize,
}

impl<'a> RamDisk<'a> {
    /// A disk of 512-byte sectors; bytes after the last whole sector are not used.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self::with_sector_size(bytes, 512)
    }

    /// A disk of sectors of `sector_size` bytes (a power of two, at least 512).
    pub fn with_sector_size(bytes: &'a mut [u8], sector_size: u32) -> Self {
        let sectors = bytes.len() as u64 / u64::from(sector_size.max(512));
        Self { bytes, geometry: Geometry::new(sector_size.max(512), sectors) }
    }

    fn range(&self, sector: u64, length: usize) -> Result<core::ops::Range<usize>, OutOfRange> {
        let size = u64::from(self.geometry.sector_size);
        let refused = OutOfRange { sector, length };
        let whole = (length as u64).is_multiple_of(size);
        let start = sector.checked_mul(size).filter(|_| whole).ok_or(refused)?;
        let end = start.checked_add(length as u64).ok_or(refused)?;
        if end > self.geometry.sectors * size {
            return Err(refused);
        }
        match (usize::try_from(start), usize::try_from(end)) {
            (Ok(start), Ok(end)) => Ok(start..end),
            _ => Err(refused),
        }
    }
}

impl BlockDevice for RamDisk<'_> {
    type Error = OutOfRange;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), OutOfRange> {
        let refused = OutOfRange { sector, length: buffer.len() };
        let range = self.range(sector, buffer.len())?;
        copy(buffer, self.bytes.get(range).ok_or(refused)?);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), OutOfRange> {
        let refused = OutOfRange { sector, length: buffer.len() };
        let range = self.range(sector, buffer.len())?;
        copy(self.bytes.get_mut(range).ok_or(refused)?, buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), OutOfRange> {
        Ok(())
    }
}

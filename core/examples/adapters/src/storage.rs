//! A pool on a flash driver that rewrites its pages itself: `embedded-storage`.

use cowl::{BlockDevice, Geometry};
use embedded_storage::Storage;

const SECTOR: usize = 512;

/// A storage below cowl. It must be one that can be overwritten anywhere (`Storage`, not `NorFlash`): cowl is no flash translation layer.
pub struct Flash<S> {
    /// The storage.
    pub storage: S,
    /// What it erases and rewrites as a whole: a power loss may tear all of it. At most the pool's block size.
    pub page: u32,
}

impl<S: Storage<Error: core::fmt::Debug>> BlockDevice for Flash<S> {
    type Error = S::Error;

    fn geometry(&self) -> Geometry {
        let sectors = (self.storage.capacity() / SECTOR) as u64;
        Geometry { physical_size: self.page, ..Geometry::new(SECTOR as u32, sectors) }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), S::Error> {
        self.storage.read(offset(sector), buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), S::Error> {
        self.storage.write(offset(sector), buffer)
    }

    fn flush(&mut self) -> Result<(), S::Error> {
        Ok(())
    }
}

/// Past what the trait can count is past the end: the storage refuses it.
fn offset(sector: u64) -> u32 {
    u32::try_from(sector.saturating_mul(SECTOR as u64)).unwrap_or(u32::MAX)
}

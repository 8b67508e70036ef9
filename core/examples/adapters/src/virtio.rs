//! A pool on a virtio-blk disk, without an operating system.

use cowl::{BlockDevice, Geometry};
use virtio_drivers::{Error, Hal, device::blk::VirtIOBlk, transport::Transport};

/// The disk of a virtual machine.
///
/// The driver sends a flush if the host offers one, and does nothing where the host has no write cache.
pub struct VirtioDisk<H: Hal, T: Transport> {
    /// The driver.
    pub driver: VirtIOBlk<H, T>,
    /// Bytes that the host's disk rewrites as a whole. The driver does not say; 4096 is right for what is behind it today.
    pub physical_size: u32,
}

/// The protocol counts in these, whatever the disk has.
const SECTOR: u32 = virtio_drivers::device::blk::SECTOR_SIZE as u32;

impl<H: Hal, T: Transport> VirtioDisk<H, T> {
    fn place(&self, sector: u64, length: usize) -> Result<usize, Error> {
        let end = sector.checked_add(length as u64 / u64::from(SECTOR)).ok_or(Error::InvalidParam)?;
        if end > self.driver.capacity() || !length.is_multiple_of(SECTOR as usize) {
            return Err(Error::InvalidParam);
        }
        usize::try_from(sector).map_err(|_| Error::InvalidParam)
    }
}

impl<H: Hal, T: Transport> BlockDevice for VirtioDisk<H, T> {
    type Error = Error;

    fn geometry(&self) -> Geometry {
        let (physical_size, read_only) = (self.physical_size, self.driver.readonly());
        Geometry { physical_size, read_only, ..Geometry::new(SECTOR, self.driver.capacity()) }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let place = self.place(sector, buffer.len())?;
        if buffer.is_empty() { Ok(()) } else { self.driver.read_blocks(place, buffer) }
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Error> {
        let place = self.place(sector, buffer.len())?;
        if buffer.is_empty() { Ok(()) } else { self.driver.write_blocks(place, buffer) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.driver.flush()
    }
}

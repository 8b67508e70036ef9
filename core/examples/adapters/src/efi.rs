//! A pool on a disk of the firmware, before an operating system runs.

use cowl::{BlockDevice, Geometry};
use uefi::{Error, Status, proto::media::block::BlockIO};

/// A disk that the firmware has a driver for. Unmount the pool before `ExitBootServices`.
///
/// The firmware connects only what it boots from: call `boot::connect_controller` on every handle before looking for the disk.
pub struct EfiDisk<'a> {
    disk: &'a mut BlockIO,
    /// The medium that was there at first: another one is an error, and the firmware says so.
    medium: u32,
    /// Bytes that the disk rewrites as a whole, from whoever knows better than the firmware.
    physical_size: Option<u32>,
}

impl<'a> EfiDisk<'a> {
    /// The disk, with the medium that is in it now. `physical_size`: bytes that it rewrites as a whole; `None` for what the firmware says,
    /// or 4096 if it says nothing.
    pub fn new(disk: &'a mut BlockIO, physical_size: Option<u32>) -> Self {
        let medium = disk.media().media_id();
        Self { disk, medium, physical_size }
    }

    fn check(&self, length: usize) -> Result<(), Error> {
        let whole = length.is_multiple_of(self.disk.media().block_size().max(1) as usize);
        if whole { Ok(()) } else { Err(Status::BAD_BUFFER_SIZE.into()) }
    }
}

impl BlockDevice for EfiDisk<'_> {
    type Error = Error;

    fn geometry(&self) -> Geometry {
        let media = self.disk.media();
        let sector_size = media.block_size();
        // Revision 2 says it; before that 4096 is the safe answer.
        let blocks = self.disk.logical_blocks_per_physical_block().filter(|count| *count > 1);
        let said = blocks.map_or(sector_size.max(4096), |count| count.saturating_mul(sector_size));
        let present = media.is_media_present();
        Geometry {
            sector_size,
            sectors: if present { media.last_block().saturating_add(1) } else { 0 },
            physical_size: self.physical_size.unwrap_or(said),
            alignment: media.io_align().max(1),
            read_only: media.is_read_only(),
            discard: false,
        }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.check(buffer.len())?;
        self.disk.read_blocks(self.medium, sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Error> {
        self.check(buffer.len())?;
        self.disk.write_blocks(self.medium, sector, buffer)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.disk.flush_blocks()
    }
}

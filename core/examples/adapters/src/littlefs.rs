//! littlefs on a volume.

use cowl::BlockDevice;
use littlefs2::{
    consts::{U1, U512},
    driver::Storage,
    io::{Error, Result},
};

/// A volume of `BLOCKS` sectors of 512 bytes. littlefs counts on a write being durable, in order, once it has returned: every one is flushed.
pub struct LittleVolume<D, const BLOCKS: usize>(pub D);

const SECTOR: usize = 512;

fn sectors<E>(offset: usize, result: core::result::Result<(), E>, length: usize) -> Result<usize> {
    debug_assert!(offset.is_multiple_of(SECTOR), "littlefs asks for whole sectors");
    result.map(|()| length).map_err(|_| Error::IO)
}

impl<D: BlockDevice, const BLOCKS: usize> Storage for LittleVolume<D, BLOCKS> {
    const READ_SIZE: usize = SECTOR;
    const WRITE_SIZE: usize = SECTOR;
    const BLOCK_SIZE: usize = SECTOR;
    const BLOCK_COUNT: usize = BLOCKS;
    // cowl moves what is written; the medium below levels its own wear.
    const BLOCK_CYCLES: isize = -1;
    type CACHE_SIZE = U512;
    type LOOKAHEAD_SIZE = U1;

    fn read(&mut self, offset: usize, buffer: &mut [u8]) -> Result<usize> {
        let result = self.0.read((offset / SECTOR) as u64, buffer);
        sectors(offset, result, buffer.len())
    }

    fn write(&mut self, offset: usize, data: &[u8]) -> Result<usize> {
        let result = self.0.write((offset / SECTOR) as u64, data).and_then(|()| self.0.flush());
        sectors(offset, result, data.len())
    }

    /// A volume needs no erasing, but what is erased need not take space.
    fn erase(&mut self, offset: usize, length: usize) -> Result<usize> {
        let result = self.0.discard((offset / SECTOR) as u64, (length / SECTOR) as u64);
        sectors(offset, result, length)
    }
}

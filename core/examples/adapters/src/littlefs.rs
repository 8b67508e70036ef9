//! littlefs on a volume.

use cowl::BlockDevice;
use littlefs2::{
    consts::{U1, U512},
    driver::Storage,
    io::{Error, Result},
};

/// A volume of `BLOCKS` sectors, which must be of 512 bytes: on a pool with larger sectors every call fails. littlefs counts on a
/// write being durable, in order, once it has returned: every one is flushed.
pub struct LittleVolume<D, const BLOCKS: usize>(pub D);

const SECTOR: usize = 512;

impl<D: BlockDevice, const BLOCKS: usize> LittleVolume<D, BLOCKS> {
    /// The sector at this byte; an error if the volume's sectors are of another size.
    fn sector(&self, offset: usize) -> Result<u64> {
        debug_assert!(offset.is_multiple_of(SECTOR), "littlefs asks for whole sectors");
        let fits = self.0.geometry().sector_size as usize == SECTOR;
        if fits { Ok((offset / SECTOR) as u64) } else { Err(Error::INVALID) }
    }
}

fn done<E>(result: core::result::Result<(), E>, length: usize) -> Result<usize> {
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
        let sector = self.sector(offset)?;
        done(self.0.read(sector, buffer), buffer.len())
    }

    fn write(&mut self, offset: usize, data: &[u8]) -> Result<usize> {
        let sector = self.sector(offset)?;
        done(self.0.write(sector, data).and_then(|()| self.0.flush()), data.len())
    }

    /// A volume needs no erasing, but what is erased need not take space.
    fn erase(&mut self, offset: usize, length: usize) -> Result<usize> {
        let sector = self.sector(offset)?;
        done(self.0.discard(sector, (length / SECTOR) as u64), length)
    }
}

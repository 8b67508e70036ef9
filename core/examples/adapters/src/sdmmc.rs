//! `embedded-sdmmc`: a pool on an SD card, and its FAT on a volume.

use core::{cell::RefCell, error::Error, fmt};

use cowl::{BlockDevice, Geometry};
use embedded_sdmmc::{Block, BlockCount, BlockIdx};

/// An SD card below cowl, or anything else that is a block device to `embedded-sdmmc`.
///
/// The card's write returns when the card has left its busy state, so there is nothing left to be flushed.
pub struct Card<C>(pub C);

impl<C: embedded_sdmmc::BlockDevice> BlockDevice for Card<C> {
    type Error = C::Error;

    fn geometry(&self) -> Geometry {
        let sectors = self.0.num_blocks().map_or(0, |count| u64::from(count.0));
        Geometry { physical_size: 4096, ..Geometry::new(Block::LEN_U32, sectors) }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), C::Error> {
        let mut block = [Block::new()];
        for (sector, bytes) in (sector..).zip(buffer.chunks_exact_mut(Block::LEN)) {
            // A sector past what the trait can count is past the card's end: the card refuses it.
            self.0.read(&mut block, BlockIdx(u32::try_from(sector).unwrap_or(u32::MAX)))?;
            bytes.copy_from_slice(&block[0].contents);
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), C::Error> {
        for (sector, bytes) in (sector..).zip(buffer.as_chunks().0) {
            self.0.write(&[Block { contents: *bytes }], BlockIdx(u32::try_from(sector).unwrap_or(u32::MAX)))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), C::Error> {
        Ok(())
    }
}

/// What a volume reported, as `embedded-sdmmc` wants its errors.
#[derive(Debug)]
pub struct Reported<E>(pub E);

impl<E: fmt::Debug> fmt::Display for Reported<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the volume failed: {:?}", self.0)
    }
}

impl<E: fmt::Debug> Error for Reported<E> {}

/// A volume as a card: `embedded_sdmmc::VolumeManager` finds the FAT on it. The pool's sectors must be of 512 bytes.
pub struct VolumeCard<D>(pub RefCell<D>);

impl<D: BlockDevice<Error: 'static>> embedded_sdmmc::BlockDevice for VolumeCard<D> {
    type Error = Reported<D::Error>;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), Self::Error> {
        let mut device = self.0.borrow_mut();
        (u64::from(start.0)..)
            .zip(blocks)
            .try_for_each(|(sector, block)| device.read(sector, &mut block.contents).map_err(Reported))
    }

    fn write(&self, blocks: &[Block], start: BlockIdx) -> Result<(), Self::Error> {
        let mut device = self.0.borrow_mut();
        (u64::from(start.0)..)
            .zip(blocks)
            .try_for_each(|(sector, block)| device.write(sector, &block.contents).map_err(Reported))?;
        device.flush().map_err(Reported)
    }

    fn num_blocks(&self) -> Result<BlockCount, Self::Error> {
        Ok(BlockCount(u32::try_from(self.0.borrow().geometry().sectors).unwrap_or(u32::MAX)))
    }
}

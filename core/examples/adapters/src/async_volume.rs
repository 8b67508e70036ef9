//! A volume for async code that takes a `block-device-driver`.

use aligned::{A4, Aligned};
use block_device_driver::{BlockDevice as Driver, blocks_to_slice, blocks_to_slice_mut};
use cowl::asynch::BlockDevice;

/// A volume as an async driver, from the `volume_device` of a `cowl::asynch::Pool`. Every write is flushed. `SIZE` is a multiple of the sector size.
pub struct AsyncVolume<D>(pub D);

impl<D: BlockDevice> AsyncVolume<D> {
    fn sector(&self, block: u32, size: usize) -> u64 {
        let sectors = size as u64 / u64::from(self.0.geometry().sector_size);
        u64::from(block) * sectors.max(1)
    }
}

impl<D: BlockDevice, const SIZE: usize> Driver<SIZE> for AsyncVolume<D> {
    type Error = D::Error;
    type Align = A4;

    async fn read(&mut self, block: u32, data: &mut [Aligned<A4, [u8; SIZE]>]) -> Result<(), D::Error> {
        let sector = self.sector(block, SIZE);
        self.0.read(sector, blocks_to_slice_mut(data)).await
    }

    async fn write(&mut self, block: u32, data: &[Aligned<A4, [u8; SIZE]>]) -> Result<(), D::Error> {
        let sector = self.sector(block, SIZE);
        self.0.write(sector, blocks_to_slice(data)).await?;
        self.0.flush().await
    }

    async fn size(&mut self) -> Result<u64, D::Error> {
        let geometry = self.0.geometry();
        Ok(geometry.sectors * u64::from(geometry.sector_size))
    }
}

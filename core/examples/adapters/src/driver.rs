//! A pool on an async driver: `block-device-driver`, the trait of embassy's drivers.

use aligned::A4;
use block_device_driver::{BlockDevice as Driver, slice_to_blocks, slice_to_blocks_mut};
use cowl::{BlockDevice, Geometry, asynch};
use embassy_futures::block_on;

/// An async driver below cowl. Under a `cowl::asynch::Pool` others run while the driver works; under a `cowl::Pool` each call waits.
///
/// The trait knows no flush. Use it with drivers whose write ends when the medium has the data (SD cards over SDMMC or SPI do).
pub struct OnDriver<D, const SIZE: usize> {
    driver: D,
    sectors: u64,
}

/// What can go wrong: the driver's own errors, a place that it cannot count, or a buffer that does not lie as it wants.
#[derive(Debug)]
pub enum Failed<E> {
    /// The driver's.
    Driver(E),
    /// Not a whole number of aligned sectors below 2^32.
    Place,
}

impl<D: Driver<SIZE, Align = A4>, const SIZE: usize> OnDriver<D, SIZE> {
    /// Asks the driver for its size, in bytes.
    pub async fn new(mut driver: D) -> Result<Self, D::Error> {
        let sectors = driver.size().await? / SIZE as u64;
        Ok(Self { driver, sectors })
    }

    fn place(&self, sector: u64, start: *const u8, length: usize) -> Result<u32, Failed<D::Error>> {
        let inside = sector.checked_add((length / SIZE) as u64).is_some_and(|end| end <= self.sectors);
        let fits = inside && length.is_multiple_of(SIZE) && start.cast::<u32>().is_aligned();
        u32::try_from(sector).ok().filter(|_| fits).ok_or(Failed::Place)
    }
}

impl<D: Driver<SIZE, Align = A4>, const SIZE: usize> asynch::BlockDevice for OnDriver<D, SIZE> {
    type Error = Failed<D::Error>;

    fn geometry(&self) -> Geometry {
        Geometry { alignment: 4, physical_size: 4096, ..Geometry::new(SIZE as u32, self.sectors) }
    }

    async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let place = self.place(sector, buffer.as_ptr(), buffer.len())?;
        self.driver.read(place, slice_to_blocks_mut(buffer)).await.map_err(Failed::Driver)
    }

    async fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        let place = self.place(sector, buffer.as_ptr(), buffer.len())?;
        self.driver.write(place, slice_to_blocks(buffer)).await.map_err(Failed::Driver)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl<D: Driver<SIZE, Align = A4>, const SIZE: usize> BlockDevice for OnDriver<D, SIZE> {
    type Error = Failed<D::Error>;

    fn geometry(&self) -> Geometry {
        asynch::BlockDevice::geometry(self)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        block_on(asynch::BlockDevice::read(self, sector, buffer))
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        block_on(asynch::BlockDevice::write(self, sector, buffer))
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

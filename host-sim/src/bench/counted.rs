//! A pool in a file whose operations are counted, and whose flushes are only counted: how often there is one is the same whether or
//! not a disk is waited for.

use std::path::Path;

use cowl::{Attributes, BlockDevice, Counting, Geometry, LayerFlags, LayerId, Pool};

use super::{device, format, options, remove};
use crate::{DeviceError, HostDevice, cli::failure::Failure};

/// Bytes of a block.
pub const SIZE: usize = 4096;
/// Bytes of a block.
pub const BLOCK: u64 = SIZE as u64;
/// Sectors in a block.
pub const SECTORS: u64 = 8;

/// A pool on a counted device.
pub type Counted<'w> = Pool<'w, &'w mut Counting<NeverFlushed>>;

/// A device that is gone when the counting is over.
#[derive(Debug)]
pub struct NeverFlushed(pub HostDevice);

impl BlockDevice for NeverFlushed {
    type Error = DeviceError;

    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.0.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), DeviceError> {
        self.0.discard(sector, count)
    }
}

/// A name and nothing else.
pub fn attributes(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// A pool for a while, in a new file of this size.
///
/// # Errors
/// Those of the file, the pool and the work.
pub fn with_pool<T>(
    dir: &Path,
    size: u64,
    physical: u32,
    work: impl FnOnce(&mut Counted<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut device = device(dir, "amounts.cowl", size, physical)?;
    let mut workspace = vec![0; 16 << 20];
    format(&mut device, &mut workspace)?;
    let mut device = Counting::new(NeverFlushed(device));
    let mut pool = Pool::mount(&mut device, &mut workspace, &options())?;
    let done = work(&mut pool)?;
    pool.abandon();
    remove(dir, &["amounts.cowl"])?;
    Ok(done)
}

/// A volume of this size, written from end to end.
///
/// # Errors
/// The pool's.
pub fn full_volume<D, B>(pool: &mut Pool<'_, D, B>, size: u64) -> Result<LayerId, Failure>
where
    D: BlockDevice<Error = DeviceError>,
    B: BlockDevice<Error = DeviceError>,
{
    let volume = pool.create(&attributes("v"), size / 512, LayerFlags::empty())?;
    fill(pool, volume, size)?;
    Ok(volume)
}

/// Writes a volume from end to end in pieces of 1 MiB.
///
/// # Errors
/// The pool's.
pub fn fill<D, B>(pool: &mut Pool<'_, D, B>, volume: LayerId, size: u64) -> Result<(), Failure>
where
    D: BlockDevice<Error = DeviceError>,
    B: BlockDevice<Error = DeviceError>,
{
    super::fill(size, |at, bytes| Ok(pool.write(volume, at / 512, bytes)?))?;
    Ok(pool.flush()?)
}

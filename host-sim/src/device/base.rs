//! What lies under a pool that was made on top of something else.

use std::path::Path;

use cowl::{BlockDevice, Geometry, Pool};

use super::{DeviceError, FileOptions, HostDevice};

/// A pool on a file or block device, with or without a base.
pub type HostPool<'w, 'd> = Pool<'w, &'d mut HostDevice, &'d mut Base>;

/// The read-only device under a pool, or its absence.
#[derive(Debug)]
pub enum Base {
    /// There is none.
    None,
    /// A file or block device.
    Device(HostDevice),
}

impl Base {
    /// Opens the base, if there is one, with sectors of the pool's size.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: Option<&Path>, sector_size: u32) -> Result<Self, DeviceError> {
        match path {
            None => Ok(Self::None),
            Some(path) => {
                HostDevice::open(path, &FileOptions::new().read_only(true).sector_size(sector_size)).map(Self::Device)
            }
        }
    }
}

impl BlockDevice for Base {
    type Error = DeviceError;

    fn geometry(&self) -> Geometry {
        match self {
            Self::None => Geometry { read_only: true, ..Geometry::new(512, 0) },
            Self::Device(device) => device.geometry(),
        }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        match self {
            Self::None => {
                buffer.fill(0);
                Ok(())
            }
            Self::Device(device) => device.read(sector, buffer),
        }
    }

    fn write(&mut self, _sector: u64, _buffer: &[u8]) -> Result<(), DeviceError> {
        Err(DeviceError::other("write", Path::new("the base"), "it is read-only"))
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

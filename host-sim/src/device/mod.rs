//! Real devices: files and Linux block devices.
//!
//! Both keep the contract of [`BlockDevice`] by the means of the operating system:
//!
//! * transfers are positioned (`pread`, `pwrite`), repeated until whole, and checked against the size at opening;
//! * `flush` is `fdatasync`. Once one has failed, the device refuses everything but reads: the kernel may
//!   have dropped the pages that it could not write, and a second, successful `fdatasync` would hide that;
//! * `discard` punches a hole into a file and is `BLKDISCARD` on a block device; where that is not supported it does nothing;
//! * whoever opens to write holds an exclusive lock until the device is dropped, readers a shared one.

mod base;
mod block;
mod direct;
mod error;
mod file;
mod ioctl;
mod opened;
mod signature;

use std::{fs, io, path::Path, sync::Arc};

use cowl::{BlockDevice, Geometry};

pub use base::{Base, HostPool};
pub use block::LinuxBlockDevice;
pub use direct::Direct;
pub use error::DeviceError;
pub use file::{FileDevice, FileOptions};
pub use opened::{Kind, Opened};
pub use signature::{PoolShape, identify, pool_shape};

/// A file or a block device, whichever the path names.
#[derive(Debug)]
pub enum HostDevice {
    /// A regular file.
    File(FileDevice),
    /// A Linux block device.
    Block(LinuxBlockDevice),
}

impl HostDevice {
    /// Opens what the path names; `options` apply to both kinds, save that a block device knows its sector sizes itself.
    ///
    /// # Errors
    /// The path does not exist, is neither a file nor a block device, is in use, or may not be opened.
    pub fn open(path: impl AsRef<Path>, options: &FileOptions) -> Result<Self, DeviceError> {
        let path = path.as_ref();
        if is_block_device(path).map_err(|error| DeviceError::new("open", path, error))? {
            return LinuxBlockDevice::open_with(path, options).map(Self::Block);
        }
        options.open(path).map(Self::File)
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        let geometry = self.geometry();
        geometry.sectors * u64::from(geometry.sector_size)
    }

    /// Looks at the size again: a file may have been made longer, a disk enlarged.
    ///
    /// # Errors
    /// The size cannot be read.
    pub fn refresh(&mut self) -> Result<(), DeviceError> {
        match self {
            Self::File(device) => device.refresh(),
            Self::Block(device) => device.refresh(),
        }
    }

    /// The way to it without the pool, for any number of threads.
    pub fn direct(&self) -> &Arc<Direct> {
        match self {
            Self::File(device) => device.direct(),
            Self::Block(device) => device.direct(),
        }
    }

    /// Makes a file longer (sparse); a block device cannot be made longer.
    ///
    /// # Errors
    /// The file system refuses, the new size is smaller, or this is a block device.
    pub fn extend(&mut self, size: u64) -> Result<(), DeviceError> {
        match self {
            Self::File(device) => device.extend(size),
            Self::Block(device) => Err(DeviceError::new(
                "extend",
                device.path(),
                io::Error::new(io::ErrorKind::Unsupported, "a block device has the size it has"),
            )),
        }
    }
}

/// Whether the path names a block device.
///
/// # Errors
/// The path cannot be looked at.
pub fn is_block_device(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    Ok(fs::metadata(path)?.file_type().is_block_device())
}

impl BlockDevice for HostDevice {
    type Error = DeviceError;

    fn geometry(&self) -> Geometry {
        match self {
            Self::File(device) => device.geometry(),
            Self::Block(device) => device.geometry(),
        }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        match self {
            Self::File(device) => device.read(sector, buffer),
            Self::Block(device) => device.read(sector, buffer),
        }
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        match self {
            Self::File(device) => device.write(sector, buffer),
            Self::Block(device) => device.write(sector, buffer),
        }
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        match self {
            Self::File(device) => device.flush(),
            Self::Block(device) => device.flush(),
        }
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), DeviceError> {
        match self {
            Self::File(device) => device.discard(sector, count),
            Self::Block(device) => device.discard(sector, count),
        }
    }
}

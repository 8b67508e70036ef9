//! A pool on a Linux block device: a disk, a partition, a logical volume, a loop device.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use cowl::Geometry;
use rustix::fs::{OFlags, ioctl_blkpbszget, ioctl_blksszget};

use super::{
    DeviceError, FileOptions,
    file::lock,
    ioctl,
    opened::{Kind, Opened},
};

/// A device over a Linux block device. Size, sector size and physical unit come from the kernel; opened to write it is
/// held exclusively (`O_EXCL`), which a mounted file system, a volume group or a second cowl prevents.
pub type LinuxBlockDevice = Opened<Special>;

/// Marks devices over Linux block devices.
#[derive(Debug)]
pub struct Special;

impl Kind for Special {
    fn size(file: &File) -> io::Result<u64> {
        ioctl::size(file)
    }

    fn punch(file: &File, offset: u64, length: u64) -> rustix::io::Result<()> {
        ioctl::discard(file, offset, length)
    }
}

impl LinuxBlockDevice {
    /// Opens the block device to write.
    ///
    /// # Errors
    /// It does not exist, is no block device, is in use, or may not be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DeviceError> {
        Self::open_with(path, &FileOptions::new())
    }

    /// Opens the block device; of the options only read-only and discard matter.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &FileOptions) -> Result<Self, DeviceError> {
        let path = path.as_ref();
        let failed = |error| DeviceError::new("open", path, error);
        let read_only = options.is_read_only();
        let flags = if read_only { 0 } else { OFlags::EXCL.bits().cast_signed() };
        let opened = OpenOptions::new().read(true).write(!read_only).custom_flags(flags).open(path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => {
                DeviceError::busy(path, "it is in use: mounted, part of a volume group, or open in another process")
            }
            _ => failed(error),
        })?;
        if !file.metadata().map_err(failed)?.file_type().is_block_device() {
            return Err(DeviceError::unusable(path, "it is not a block device"));
        }
        lock(&file, path, read_only)?;
        let sector_size = ioctl_blksszget(&file).map_err(|error| failed(error.into()))?;
        let physical_size = ioctl_blkpbszget(&file).map_or(sector_size, |size| size.max(sector_size));
        let geometry =
            Geometry { physical_size, read_only, discard: options.discards(), ..Geometry::new(sector_size, 0) };
        Self::new(file, path, geometry)
    }
}

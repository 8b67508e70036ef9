//! A pool on a Linux block device: a disk, a partition, a logical volume, a loop device.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use cowl::{BlockDevice, Geometry};
use rustix::fs::{OFlags, ioctl_blkpbszget, ioctl_blksszget};

use super::{DeviceError, FileOptions, file::lock, ioctl, raw::Raw};

/// A device over a Linux block device. Size, sector size and physical unit come from the kernel; opened to write it is
/// held exclusively (`O_EXCL`), which a mounted file system, a volume group or a second cowl prevents.
#[derive(Debug)]
pub struct LinuxBlockDevice(Raw);

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
        let mut device = Self(Raw::new(file, path, geometry));
        device.refresh()?;
        Ok(device)
    }

    /// Takes in a size that has changed since the device was opened.
    ///
    /// # Errors
    /// The size cannot be read.
    pub fn refresh(&mut self) -> Result<(), DeviceError> {
        let size = ioctl::size(&self.0.file).map_err(|error| DeviceError::new("open", &self.0.path, error))?;
        self.0.geometry.sectors = size / u64::from(self.0.geometry.sector_size);
        Ok(())
    }

    /// The device's path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl BlockDevice for LinuxBlockDevice {
    type Error = DeviceError;

    fn geometry(&self) -> Geometry {
        self.0.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.0.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.0.flush()
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), DeviceError> {
        self.0.discard(sector, count, ioctl::discard)
    }
}

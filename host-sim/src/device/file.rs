//! A pool in a regular file.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::Path,
};

use cowl::Geometry;
use rustix::fs::{FallocateFlags, fallocate};

use super::{
    DeviceError,
    opened::{Kind, Opened},
    signature::pool_shape,
};

/// How to open a file or block device.
#[derive(Debug, Clone, Default)]
pub struct FileOptions {
    sector_size: Option<u32>,
    physical_size: Option<u32>,
    read_only: bool,
    no_discard: bool,
}

impl FileOptions {
    /// Writable; sector size and physical unit as the pool in the file says, else 512 and 4096 bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes in a sector.
    #[must_use]
    pub fn sector_size(self, bytes: u32) -> Self {
        Self { sector_size: Some(bytes), ..self }
    }

    /// Bytes that the disk below rewrites as a whole.
    #[must_use]
    pub fn physical_size(self, bytes: u32) -> Self {
        Self { physical_size: Some(bytes), ..self }
    }

    /// Refuse writes, and let others read at the same time.
    #[must_use]
    pub fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// Whether discards punch holes (they do unless told otherwise).
    #[must_use]
    pub fn discard(self, discard: bool) -> Self {
        Self { no_discard: !discard, ..self }
    }

    /// Opens an existing file.
    ///
    /// # Errors
    /// There is no such file, it is not a regular file, it is in use, or its shape is not usable.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<FileDevice, DeviceError> {
        let path = path.as_ref();
        let failed = |error| DeviceError::new("open", path, error);
        let file = OpenOptions::new().read(true).write(!self.read_only).open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(DeviceError::unusable(path, "it is neither a regular file nor a block device"));
        }
        self.finish(file, path)
    }

    /// Makes a new sparse file of `size` bytes.
    ///
    /// # Errors
    /// The file exists, or cannot be made or have that size.
    pub fn create(&self, path: impl AsRef<Path>, size: u64) -> Result<FileDevice, DeviceError> {
        let path = path.as_ref();
        let failed = |error| DeviceError::new("create", path, error);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(failed)?;
        file.set_len(size).map_err(failed)?;
        self.finish(file, path)
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(super) fn discards(&self) -> bool {
        !self.no_discard
    }

    fn finish(&self, file: File, path: &Path) -> Result<FileDevice, DeviceError> {
        lock(&file, path, self.read_only)?;
        let shape = pool_shape(&file);
        let sector_size = self.sector_size.or(shape.map(|shape| shape.sector)).unwrap_or(512);
        let unit = shape.map_or(4096, |shape| shape.unit.min(4096));
        let physical_size = self.physical_size.unwrap_or(unit).max(sector_size);
        let usable = |size: u32| size.is_power_of_two() && (512..=65_536).contains(&size);
        if !usable(sector_size) || !usable(physical_size) {
            return Err(DeviceError::other(
                "open",
                path,
                "sector size and physical unit are powers of two from 512 to 65536",
            ));
        }
        let geometry = Geometry {
            physical_size,
            read_only: self.read_only,
            discard: !self.no_discard,
            ..Geometry::new(sector_size, 0)
        };
        Opened::new(file, path, geometry)
    }
}

/// Takes the lock that keeps a second opener out; it goes when the file is closed, also when the process dies.
pub(super) fn lock(file: &File, path: &Path, shared: bool) -> Result<(), DeviceError> {
    let taken = if shared { file.try_lock_shared() } else { file.try_lock() };
    match taken {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(DeviceError::busy(path, "another process has it open")),
        Err(TryLockError::Error(error)) => Err(DeviceError::new("lock", path, error)),
    }
}

/// Marks devices over regular files.
#[derive(Debug)]
pub struct Regular;

impl Kind for Regular {
    fn size(file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn punch(file: &File, offset: u64, length: u64) -> rustix::io::Result<()> {
        fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length)
    }
}

/// A device over a regular file: sparse, locked while it is open, holes punched where blocks are discarded.
pub type FileDevice = Opened<Regular>;

impl FileDevice {
    /// Opens an existing file with the default [`FileOptions`].
    ///
    /// # Errors
    /// As [`FileOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DeviceError> {
        FileOptions::new().open(path)
    }

    /// Makes a new sparse file with the default [`FileOptions`].
    ///
    /// # Errors
    /// As [`FileOptions::create`].
    pub fn create(path: impl AsRef<Path>, size: u64) -> Result<Self, DeviceError> {
        FileOptions::new().create(path, size)
    }

    /// Makes the file longer; what is added reads zeros.
    ///
    /// # Errors
    /// `size` is less than the file has, or the file system refuses.
    pub fn extend(&mut self, size: u64) -> Result<(), DeviceError> {
        let failed = |error| DeviceError::new("extend", self.path(), error);
        if size < Regular::size(self.file()).map_err(failed)? {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is longer than that already")));
        }
        self.file().set_len(size).map_err(failed)?;
        self.refresh()
    }
}

#[cfg(test)]
mod tests {
    use cowl::BlockDevice;

    use super::{FileDevice, FileOptions};

    #[test]
    fn what_is_written_is_read_and_a_discard_leaves_a_hole() {
        let dir = tempfile::tempdir().unwrap();
        let mut device = FileDevice::create(dir.path().join("d"), 1 << 20).unwrap();
        assert_eq!((device.geometry().sectors, device.geometry().physical_size), (2048, 4096));
        device.write(8, &[7; 4096]).unwrap();
        device.flush().unwrap();
        let mut back = [0; 4096];
        device.read(8, &mut back).unwrap();
        assert_eq!(back, [7; 4096]);
        device.discard(8, 8).unwrap();
        device.read(8, &mut back).unwrap();
        assert_eq!(back, [0; 4096]);
    }

    #[test]
    fn a_second_opener_is_refused_and_readers_share() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let first = FileDevice::create(&path, 4096).unwrap();
        let refused = FileDevice::open(&path).unwrap_err();
        assert!(refused.is_busy() && refused.to_string().contains("another process"));
        drop(first);
        let readers: Vec<_> = (0..2).map(|_| FileOptions::new().read_only(true).open(&path).unwrap()).collect();
        assert!(FileDevice::open(&path).unwrap_err().is_busy());
        drop(readers);
        FileDevice::open(&path).unwrap();
    }

    #[test]
    fn ranges_outside_the_file_are_refused_and_a_file_made_shorter_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut device = FileDevice::create(dir.path().join("d"), 4096).unwrap();
        assert!(device.write(8, &[0; 512]).is_err());
        assert!(device.read(0, &mut [0; 100]).is_err());
        assert!(device.read(u64::MAX, &mut [0; 512]).is_err());
        device.file().set_len(512).unwrap();
        let error = device.read(4, &mut [0; 512]).unwrap_err();
        assert!(error.to_string().contains("shorter"), "{error}");
    }

    #[test]
    fn a_read_only_file_refuses_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        drop(FileDevice::create(&path, 4096).unwrap());
        let mut device = FileOptions::new().read_only(true).open(&path).unwrap();
        assert!(device.geometry().read_only);
        assert!(device.write(0, &[0; 512]).is_err());
        device.flush().unwrap();
    }
}

//! What files and block devices have in common: positioned transfers of whole sectors, and a flush whose failure sticks.

use std::{
    fs::File,
    io,
    marker::PhantomData,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use cowl::{BlockDevice, Geometry};

use super::DeviceError;

/// What differs between regular files and block devices.
pub trait Kind {
    /// Its size in bytes.
    ///
    /// # Errors
    /// The system does not tell.
    fn size(file: &File) -> io::Result<u64>;

    /// Gives up what is in a range of bytes.
    ///
    /// # Errors
    /// The system's; it may not be supported.
    fn punch(file: &File, offset: u64, length: u64) -> rustix::io::Result<()>;
}

/// A device over an open file of one [`Kind`]. It is locked until it is dropped.
#[derive(Debug)]
pub struct Opened<K> {
    file: File,
    path: PathBuf,
    geometry: Geometry,
    failed: bool,
    kind: PhantomData<K>,
}

impl<K: Kind> Opened<K> {
    /// Of this geometry, with as many sectors as the file has now.
    pub(super) fn new(file: File, path: &Path, geometry: Geometry) -> Result<Self, DeviceError> {
        let mut device = Self { file, path: path.to_owned(), geometry, failed: false, kind: PhantomData };
        device.refresh()?;
        Ok(device)
    }

    /// Takes in a size that has changed since the device was opened.
    ///
    /// # Errors
    /// The size cannot be read.
    pub fn refresh(&mut self) -> Result<(), DeviceError> {
        let size = K::size(&self.file).map_err(|error| DeviceError::new("open", &self.path, error))?;
        self.geometry.sectors = size / u64::from(self.geometry.sector_size);
        Ok(())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn usable(&self, action: &'static str) -> Result<(), DeviceError> {
        if self.failed {
            return Err(DeviceError::other(
                action,
                &self.path,
                "an earlier flush failed, what was written before it may be lost; open the device again",
            ));
        }
        if self.geometry.read_only && action != "flush" {
            return Err(DeviceError::new(
                action,
                &self.path,
                io::Error::new(io::ErrorKind::PermissionDenied, "it was opened read-only"),
            ));
        }
        Ok(())
    }

    fn offset(&self, action: &'static str, sector: u64, length: usize) -> Result<u64, DeviceError> {
        let size = u64::from(self.geometry.sector_size);
        let length = length as u64;
        let end = sector.checked_add(length / size);
        if !length.is_multiple_of(size) || end.is_none_or(|end| end > self.geometry.sectors) {
            return Err(self.outside(action));
        }
        Ok(sector * size)
    }

    fn outside(&self, action: &'static str) -> DeviceError {
        DeviceError::other(action, &self.path, "the range is not a whole number of sectors inside the device")
    }

    fn shrunk(&self) -> io::Error {
        let had = self.geometry.sectors * u64::from(self.geometry.sector_size);
        let has = self.file.metadata().map_or(0, |metadata| metadata.len());
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("it had {had} bytes when it was opened and has {has} now: somebody has made it shorter"),
        )
    }
}

impl<K: Kind> BlockDevice for Opened<K> {
    type Error = DeviceError;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let offset = self.offset("read", sector, buffer.len())?;
        self.file.read_exact_at(buffer, offset).map_err(|error| {
            let error = if error.kind() == io::ErrorKind::UnexpectedEof { self.shrunk() } else { error };
            DeviceError::new("read", &self.path, error).at(offset, buffer.len() as u64)
        })
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.usable("write")?;
        let offset = self.offset("write", sector, buffer.len())?;
        self.file
            .write_all_at(buffer, offset)
            .map_err(|error| DeviceError::new("write", &self.path, error).at(offset, buffer.len() as u64))
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.usable("flush")?;
        loop {
            match self.file.sync_data() {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(DeviceError::new("flush", &self.path, error));
                }
            }
        }
    }

    /// A device that does not support it is not asked again.
    fn discard(&mut self, sector: u64, count: u64) -> Result<(), DeviceError> {
        self.usable("discard")?;
        if !self.geometry.discard || count == 0 {
            return Ok(());
        }
        let size = u64::from(self.geometry.sector_size);
        let inside = sector.checked_add(count).is_some_and(|end| end <= self.geometry.sectors);
        if !inside {
            return Err(self.outside("discard"));
        }
        let (offset, length) = (sector * size, count * size);
        loop {
            match K::punch(&self.file, offset, length) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTTY) => {
                    self.geometry.discard = false;
                    return Ok(());
                }
                Err(error) => return Err(DeviceError::new("discard", &self.path, error.into()).at(offset, length)),
            }
        }
    }
}

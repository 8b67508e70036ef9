//! What files and block devices have in common: positioned transfers of whole sectors, and a flush whose failure sticks.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use cowl::Geometry;

use super::DeviceError;

/// An open file with a geometry.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) geometry: Geometry,
    failed: bool,
}

impl Raw {
    pub(super) fn new(file: File, path: &Path, geometry: Geometry) -> Self {
        Self { file, path: path.to_owned(), geometry, failed: false }
    }

    pub(super) fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let offset = self.offset("read", sector, buffer.len())?;
        self.file.read_exact_at(buffer, offset).map_err(|error| {
            let error = if error.kind() == io::ErrorKind::UnexpectedEof { self.shrunk() } else { error };
            DeviceError::new("read", &self.path, error).at(offset, buffer.len() as u64)
        })
    }

    pub(super) fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.usable("write")?;
        let offset = self.offset("write", sector, buffer.len())?;
        self.file
            .write_all_at(buffer, offset)
            .map_err(|error| DeviceError::new("write", &self.path, error).at(offset, buffer.len() as u64))
    }

    pub(super) fn flush(&mut self) -> Result<(), DeviceError> {
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

    /// Hands a discard to `punch` as (offset, length) in bytes; a device that does not support it is not asked again.
    pub(super) fn discard(
        &mut self,
        sector: u64,
        count: u64,
        punch: impl Fn(&File, u64, u64) -> rustix::io::Result<()>,
    ) -> Result<(), DeviceError> {
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
            match punch(&self.file, offset, length) {
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

//! Positioned transfers of whole sectors, for any number of threads at once, and a flush whose failure sticks.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::DeviceError;

/// Waits a moment after a write that found no room so many times before; whether it is to be tried again.
pub type Patience = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// The way to an open file or block device, without the pool on it: for [transfers](cowl::Pool::resolve) outside the pool.
pub struct Direct {
    file: File,
    path: PathBuf,
    sector_size: u64,
    sectors: AtomicU64,
    read_only: bool,
    failed: AtomicBool,
    patience: OnceLock<Patience>,
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("path", &self.path).field("sectors", &self.sectors).finish_non_exhaustive()
    }
}

impl Direct {
    pub(super) fn new(file: File, path: &Path, sector_size: u32, read_only: bool) -> Self {
        Self {
            file,
            path: path.to_owned(),
            sector_size: u64::from(sector_size),
            sectors: AtomicU64::new(0),
            read_only,
            failed: AtomicBool::new(false),
            patience: OnceLock::new(),
        }
    }

    /// What to do when a write of the pool finds no room on the file system: it fails unless told otherwise, once and for all.
    pub fn when_full(&self, patience: Patience) {
        let _ = self.patience.set(patience);
    }

    /// As [`write`](Self::write), for the pool itself: again and again while there is no room and somebody has patience.
    pub(super) fn write_patiently(&self, sector: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        let goes_on = |tries| self.patience.get().is_some_and(|patience| patience(tries));
        let mut tries = 0;
        loop {
            match self.write(sector, buffer) {
                Err(error) if error.is_full() && goes_on(tries) => tries += 1,
                result => return result,
            }
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn set_sectors(&self, sectors: u64) {
        self.sectors.store(sectors, Ordering::Relaxed);
    }

    fn sectors(&self) -> u64 {
        self.sectors.load(Ordering::Relaxed)
    }

    /// Reads sectors.
    ///
    /// # Errors
    /// The range lies outside, or the system's.
    pub fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let offset = self.offset("read", sector, buffer.len())?;
        self.file.read_exact_at(buffer, offset).map_err(|error| {
            let error = if error.kind() == io::ErrorKind::UnexpectedEof { self.shrunk() } else { error };
            DeviceError::new("read", &self.path, error).at(offset, buffer.len() as u64)
        })
    }

    /// Writes sectors.
    ///
    /// # Errors
    /// The range lies outside, an earlier flush failed, or the system's.
    pub fn write(&self, sector: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.usable("write")?;
        let offset = self.offset("write", sector, buffer.len())?;
        self.file
            .write_all_at(buffer, offset)
            .map_err(|error| DeviceError::new("write", &self.path, error).at(offset, buffer.len() as u64))
    }

    /// Makes every write that has returned durable.
    ///
    /// # Errors
    /// The system's; from then on the device takes no write and no flush.
    pub fn flush(&self) -> Result<(), DeviceError> {
        self.usable("flush")?;
        loop {
            match self.file.sync_data() {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed.store(true, Ordering::Relaxed);
                    return Err(DeviceError::new("flush", &self.path, error));
                }
            }
        }
    }

    pub(super) fn usable(&self, action: &'static str) -> Result<(), DeviceError> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(DeviceError::other(
                action,
                &self.path,
                "an earlier flush failed, what was written before it may be lost; open the device again",
            ));
        }
        if self.read_only && action != "flush" {
            return Err(DeviceError::new(
                action,
                &self.path,
                io::Error::new(io::ErrorKind::PermissionDenied, "it was opened read-only"),
            ));
        }
        Ok(())
    }

    /// Where a range begins, in bytes.
    fn offset(&self, action: &'static str, sector: u64, length: usize) -> Result<u64, DeviceError> {
        let length = length as u64;
        if !length.is_multiple_of(self.sector_size) {
            return Err(self.outside(action));
        }
        self.range(action, sector, length / self.sector_size).map(|(offset, _)| offset)
    }

    /// A range in bytes: where it begins, and its length.
    pub(super) fn range(&self, action: &'static str, sector: u64, count: u64) -> Result<(u64, u64), DeviceError> {
        let inside = sector.checked_add(count).is_some_and(|end| end <= self.sectors());
        if inside { Ok((sector * self.sector_size, count * self.sector_size)) } else { Err(self.outside(action)) }
    }

    fn outside(&self, action: &'static str) -> DeviceError {
        DeviceError::other(action, &self.path, "the range is not a whole number of sectors inside the device")
    }

    fn shrunk(&self) -> io::Error {
        let had = self.sectors() * self.sector_size;
        let has = self.file.metadata().map_or(0, |metadata| metadata.len());
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("it had {had} bytes when it was opened and has {has} now: somebody has made it shorter"),
        )
    }
}

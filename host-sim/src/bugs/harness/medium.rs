//! What the contract is tried on: memory, or a real file.

use std::{fmt::Debug, path::PathBuf};

use cowl::{BlockDevice, Geometry};

use super::text;
use crate::{
    device::{FileDevice, FileOptions},
    sim::{Failed, SimDisk},
};

/// Makes disks.
pub(super) trait Medium {
    type Disk: Disk;

    /// A new disk of zeros.
    fn disk(&self, sector_size: usize, sectors: usize) -> Result<Self::Disk, String>;
}

/// A disk that can be opened again and again.
pub(super) trait Disk {
    type Device: BlockDevice<Error: Debug>;

    fn open(&self) -> Result<Self::Device, String>;
}

/// Simulated disks.
pub(super) struct InMemory;

impl Medium for InMemory {
    type Disk = Discarding;

    fn disk(&self, sector_size: usize, sectors: usize) -> Result<Discarding, String> {
        Ok(Discarding(SimDisk::new(sector_size, sectors)))
    }
}

/// A simulated disk on which what is discarded becomes garbage.
#[derive(Clone)]
pub(super) struct Discarding(SimDisk);

impl Disk for Discarding {
    type Device = Self;

    fn open(&self) -> Result<Self, String> {
        Ok(self.clone())
    }
}

impl BlockDevice for Discarding {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        Geometry { discard: true, ..self.0.geometry() }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        self.0.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        self.0.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.0.flush()
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Failed> {
        let size = self.0.geometry().sector_size as usize;
        (sector..sector + count).try_for_each(|sector| self.0.write(sector, &vec![0xd5; size]))
    }
}

/// Files in a folder of their own.
pub(super) struct OnFiles {
    folder: tempfile::TempDir,
}

impl OnFiles {
    pub(super) fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir();
        Ok(Self { folder: folder.map_err(text("a folder for files"))? })
    }
}

impl Medium for OnFiles {
    type Disk = OneFile;

    fn disk(&self, sector_size: usize, sectors: usize) -> Result<OneFile, String> {
        let size = u32::try_from(sector_size).map_err(text("sector size"))?;
        let options = FileOptions::new().sector_size(size).physical_size(size);
        let path = self.folder.path().join(format!("{}.cowl", uuid::Uuid::new_v4()));
        drop(options.create(&path, (sector_size * sectors) as u64).map_err(text("create"))?);
        Ok(OneFile { path, options })
    }
}

/// A file; it goes with the handle.
pub(super) struct OneFile {
    path: PathBuf,
    options: FileOptions,
}

impl Disk for OneFile {
    type Device = FileDevice;

    fn open(&self) -> Result<FileDevice, String> {
        self.options.open(&self.path).map_err(text("open"))
    }
}

impl Drop for OneFile {
    fn drop(&mut self) {
        // The folder goes at the end at the latest.
        let _ = std::fs::remove_file(&self.path);
    }
}

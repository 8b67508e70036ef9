//! Another crate that gives virtual disks to Rust programs, beside cowl in the same rounds: imago, with QCOW2 images (feature `peers`).
//!
//! Images have clusters of 64 KiB, as `qemu-img` makes them. imago reads and writes through ordinary system calls here (its feature
//! `sync`), as cowl's devices do.

use std::{
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use imago::{
    FormatAccess, FormatCreateBuilder, FormatDriverBuilder, PermissiveImplicitOpenGate, Storage, StorageCreateOptions,
    file::File, qcow2::Qcow2,
};

use super::{counted::SIZE, fill, nanoseconds, remove};
use crate::{cli::failure::Failure, sim::Rng};

fn name(number: u32) -> String {
    format!("peer{number}.qcow2")
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::file(what, path, &error)
}

/// An open image.
pub struct Image {
    access: FormatAccess<File>,
    path: PathBuf,
}

impl Image {
    /// A new one without data.
    pub fn empty(dir: &Path, size: u64) -> Result<Self, Failure> {
        Self::create(&dir.join(name(0)), size, None)
    }

    /// A new one, every byte of which is written.
    pub fn filled(dir: &Path, size: u64) -> Result<Self, Failure> {
        let image = Self::empty(dir, size)?;
        fill(size, |at, bytes| image.write(at, bytes).map_err(failed("write", &image.path)))?;
        image.flush()?;
        Ok(image)
    }

    /// This image below so many others, each with a few blocks of its own; and how many milliseconds it took to open the last.
    pub fn below(self, depth: u32) -> Result<(Self, f64), Failure> {
        let (size, mut top) = (self.access.size(), self);
        let mut rng = Rng::new(1);
        for number in 1..=depth {
            let path = top.path.with_file_name(name(number));
            let next = Self::create(&path, size, Some(&top.path))?;
            for _ in 0..8 {
                let at = rng.below(size / SIZE as u64) * SIZE as u64;
                next.write(at, &[5; SIZE]).map_err(failed("write", &path))?;
            }
            next.flush()?;
            top = next;
        }
        let path = top.path.clone();
        drop(top);
        let started = Instant::now();
        let top = Self::open(&path)?;
        Ok((top, nanoseconds(started.elapsed()) / 1e6))
    }

    /// Removes it, and so many below it.
    pub fn remove(self, depth: u32) -> Result<(), Failure> {
        let path = self.path.clone();
        drop(self);
        (0..=depth).try_for_each(|number| remove(path.parent().unwrap_or(&path), &[&name(number)]))
    }

    fn create(path: &Path, size: u64, below: Option<&Path>) -> Result<Self, Failure> {
        if path.exists() {
            std::fs::remove_file(path).map_err(failed("remove", path))?;
        }
        let options = StorageCreateOptions::new().filename(path);
        let file = File::create_open(options).map_err(failed("create", path))?;
        let mut image = Qcow2::<File>::create_builder(file).size(size);
        if let Some(below) = below {
            image = image.backing(below.display().to_string(), "qcow2".to_owned());
        }
        image.create().map_err(failed("format", path))?;
        Self::open(path)
    }

    /// Opens an image and all those below it.
    fn open(path: &Path) -> Result<Self, Failure> {
        let image = Qcow2::<File>::builder_path(path).write(true).open(PermissiveImplicitOpenGate::default());
        let access = FormatAccess::new(image.map_err(failed("open", path))?);
        Ok(Self { access, path: path.to_owned() })
    }

    /// Reads bytes.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.access.read(bytes, at)
    }

    /// Writes bytes.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.access.write(bytes, at)
    }

    /// Makes durable what was written.
    pub fn flush(&self) -> Result<(), Failure> {
        self.access.flush().and_then(|()| self.access.sync()).map_err(failed("flush", &self.path))
    }
}

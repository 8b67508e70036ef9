//! A pool in a real file, and what it must show.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cowl::{BlockDevice, Pool, RamDisk};

use super::{Outcome, said};
use crate::{
    FileDevice,
    sim::{Config, Model, Prepared, found, mount, sound, text},
};

/// A pool in a file.
#[derive(Debug)]
pub struct Target {
    /// The file.
    pub path: PathBuf,
    /// Its shape.
    pub config: Config,
    /// What it must show.
    pub model: Model,
}

/// The shapes that are used in turn.
pub const SHAPES: [Config; 3] = [
    Config { blocks: 700, pending: 6, journal_units: 5, sectors: 24, ..Config::TINY },
    Config { block_size: 4096, blocks: 500, pending: 12, journal_units: 8, sectors: 40, ..Config::TINY },
    Config {
        block_size: 1024,
        blocks: 700,
        pending: 24,
        journal_units: 16,
        sectors: 30,
        more_workspace: 1 << 17,
        ..Config::TINY
    },
];

impl Target {
    /// Makes a new pool with one volume in a file, in one of several shapes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, number: usize) -> Outcome<Self> {
        let config = SHAPES[number % SHAPES.len()];
        let (bytes, model) = fresh(&config)?;
        fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), config, model })
    }

    /// Its bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn bytes(&self) -> Outcome<Vec<u8>> {
        fs::read(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// A fresh pool's bytes, and its model.
pub fn fresh(config: &Config) -> Outcome<(Vec<u8>, Model)> {
    let Prepared { mut disk, model, .. } = Prepared::new(config).map_err(said("a new pool"))?;
    let mut bytes = vec![0; config.device_sectors() * config.sector_size];
    disk.read(0, &mut bytes).map_err(|_| "the simulated disk failed".to_string())?;
    Ok((bytes, model))
}

/// The pool in these bytes shows what the model wants, all of it compared, and is sound; the model goes on from there. The check may
/// write into the bytes.
///
/// # Errors
/// The promise that is broken.
pub fn judge_bytes(bytes: &mut [u8], config: &Config, model: &mut Model) -> Outcome<()> {
    let mut workspace = config.workspace();
    let disk = RamDisk::with_sector_size(bytes, config.sector_size as u32);
    let mut pool = mount(disk, &mut workspace).map_err(text("mount"))?;
    let seen = found(&mut pool).map_err(text("read"))?;
    model.adopt(&seen, config.sector_size)?;
    sound(&mut pool, true)
}

/// Opens the pool in a file, compares all of it with the model and checks it; the model goes on from there.
///
/// # Errors
/// The promise that is broken.
pub fn open_and_judge(path: &Path, config: &Config, model: &mut Model) -> Outcome<()> {
    let mut workspace = config.workspace();
    let mut pool = open_and_compare(path, config, model, &mut workspace)?;
    sound(&mut pool, true)?;
    // Closing the file would not free it while another thread starts a process, which holds every open file for a moment.
    pool.device().file().unlock().map_err(said("unlock"))
}

/// The same without the check, which may have to write.
///
/// # Errors
/// The promise that is broken.
pub fn open_and_compare<'a>(
    path: &Path,
    config: &Config,
    model: &mut Model,
    workspace: &'a mut [u8],
) -> Outcome<Pool<'a, FileDevice>> {
    let device = FileDevice::open(path).map_err(said("open"))?;
    let mut pool = mount(device, workspace).map_err(said("mount"))?;
    let seen = found(&mut pool).map_err(said("read"))?;
    model.adopt(&seen, config.sector_size)?;
    Ok(pool)
}

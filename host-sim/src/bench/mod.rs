//! What the layer costs over the file below it: times as ratios measured side by side, amounts as exact counts.
//!
//! * [`process`]: in this process, against `pread` and `pwrite` on a plain file in the same directory, and (feature `peers`) imago with
//!   a QCOW2 image.
//! * [`nbd`]: through a server, against nbdkit with a plain file and qemu-nbd, if they are installed.
//! * [`amounts`]: bytes written for each byte, and what snapshots and deletes write.
//! * [`stalls`]: how long writers wait beside snapshots and merge.
//! * [`curves`]: device reads by workspace and by depth; [`month`]: whether anything grows over weeks; [`plot`] draws them.
//!
//! Each time is the median of several rounds, and each round measures both sides, one right after the other: a machine that is
//! busy with other things slows both.

// Amounts and times are far below 2^52.
#![allow(clippy::cast_precision_loss)]

pub mod amounts;
mod counted;
pub mod curves;
pub mod month;
pub mod nbd;
#[cfg(feature = "peers")]
mod peers;
pub mod plot;
pub mod process;
pub mod stalls;

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use cowl::{FormatOptions, MountOptions, Pool};
use serde::Serialize;

use crate::{DeviceError, FileOptions, HostDevice, cli::failure::Failure};

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What was done.
    pub what: String,
    /// What it took here.
    pub ours: f64,
    /// What it took the other side, if there is one.
    pub other: Option<f64>,
    /// Of both.
    pub unit: &'static str,
    /// The median of the rounds' ratios; of an amount without another side, the amount.
    pub ratio: f64,
    /// What the ratio should not be above.
    pub target: Option<f64>,
}

impl Line {
    /// An amount, which nothing is measured against.
    pub(crate) fn amount(what: impl Into<String>, ours: f64, unit: &'static str, target: Option<f64>) -> Self {
        Self { what: what.into(), ours, other: None, unit, ratio: ours, target }
    }

    /// What it takes here against what it takes elsewhere.
    fn against(what: impl Into<String>, ours: f64, other: f64, unit: &'static str, target: f64) -> Self {
        Self { what: what.into(), ours, other: Some(other), unit, ratio: ours / other, target: Some(target) }
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Bytes of a volume.
    pub volume: u64,
    /// Operations in a round.
    pub operations: usize,
    /// Rounds.
    pub rounds: usize,
    /// Snapshots of the deep chain.
    pub depth: u32,
}

/// Time for each of so many operations.
fn each(operations: usize, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let started = Instant::now();
    work()?;
    Ok(nanoseconds(started.elapsed()) / operations.max(1) as f64)
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures two sides in turn.
fn side_by_side(
    what: impl Into<String>,
    rounds: usize,
    target: Option<f64>,
    mut ours: impl FnMut() -> Result<f64, Failure>,
    mut other: impl FnMut() -> Result<f64, Failure>,
) -> Result<Line, Failure> {
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms both sides up and does not count.
    for round in 0..=rounds {
        let (mine, theirs) = if round % 2 == 0 {
            let mine = ours()?;
            (mine, other()?)
        } else {
            let theirs = other()?;
            (ours()?, theirs)
        };
        if round > 0 {
            a.push(mine);
            b.push(theirs);
            ratios.push(mine / theirs);
        }
    }
    let (ours, other) = (median(&mut a), Some(median(&mut b)));
    Ok(Line { what: what.into(), ours, other, unit: "ns", ratio: median(&mut ratios), target })
}

/// Writes every byte from the start to `size`, a MiB at a time.
fn fill(size: u64, mut write: impl FnMut(u64, &[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    let bytes = vec![1; 1 << 20];
    (0..size).step_by(bytes.len()).try_for_each(|at| write(at, &bytes))
}

/// What `cowl format` gives a pool of some GiB.
const SUITS_HOST: u32 = 4096;

/// A new pool in a file of this directory.
fn device(dir: &Path, name: &str, size: u64, physical: u32) -> Result<HostDevice, Failure> {
    let path = dir.join(name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failure::file("remove", &path, &error)),
        _ => {}
    }
    Ok(HostDevice::File(FileOptions::new().physical_size(physical).create(&path, size)?))
}

/// Removes what a measurement needed.
fn remove(dir: &Path, names: &[&str]) -> Result<(), Failure> {
    for name in names {
        let path = dir.join(name);
        std::fs::remove_file(&path).map_err(|error| Failure::file("remove", &path, &error))?;
    }
    Ok(())
}

/// Makes a pool of 4 KiB blocks with a table that suits a host.
fn format(device: &mut HostDevice, workspace: &mut [u8]) -> Result<(), cowl::Error<DeviceError>> {
    let default = FormatOptions::new(4096, [7; 16]);
    let (pending, journal_units) = (default.pending.max(SUITS_HOST), default.journal_units.max(SUITS_HOST));
    let options = FormatOptions { pending, journal_units, checksum: crate::crc32c, ..default };
    Pool::format(device, workspace, &options)
}

fn options() -> MountOptions {
    MountOptions { checksum: crate::crc32c, ..MountOptions::default() }
}

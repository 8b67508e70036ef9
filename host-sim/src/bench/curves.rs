//! How counts grow: with the memory that there is, and with the depth of the tree.

use std::path::Path;

use cowl::{Counting, Error, LayerId, Pool};

use super::{
    counted::{BLOCK, Counted, NeverFlushed, SECTORS, SIZE, attributes, full_volume, with_pool},
    device, format, options, remove,
};
use crate::{cli::failure::Failure, sim::Rng};

/// Random reads for a point.
const READS: u64 = 4000;

/// Points of a curve.
pub type Points = Vec<(f64, f64)>;

/// Device reads for each random read, data included, by the size of the workspace in KiB: from the smallest that a mount takes to one
/// that holds the whole map.
///
/// # Errors
/// Those of the files and the pool.
pub fn by_workspace(dir: &Path, data: u64) -> Result<Points, Failure> {
    let mut device = device(dir, "curves.cowl", data * 2 + (256 << 20), 4096)?;
    let mut workspace = vec![0; 16 << 20];
    format(&mut device, &mut workspace)?;
    let mut device = Counting::new(NeverFlushed(device));
    let mut pool = Pool::mount(&mut device, &mut workspace, &options())?;
    let volume = full_volume(&mut pool, data)?;
    pool.unmount()?;
    // A mount says first what the superblock needs, then what the pool does.
    let mut least = 0;
    while let Err(Error::WorkspaceTooSmall { needed }) =
        Pool::mount(&mut device, &mut workspace[..least], &options()).map(drop)
    {
        least = needed;
    }
    let whole = usize::try_from(data / BLOCK / 256).unwrap_or(0) * (SIZE + 64);
    let mut points = Points::new();
    for share in [0, 1, 2, 4, 8, 16, 32, 64, 96, 128, 160] {
        let size = (least + whole * share / 128).min(workspace.len());
        let mut pool = Pool::mount(&mut device, &mut workspace[..size], &options())?;
        points.push((size as f64 / 1024.0, random_reads(&mut pool, volume, data)?));
        pool.abandon();
    }
    remove(dir, &["curves.cowl"])?;
    Ok(points)
}

/// Device reads for each random read by the number of snapshots below the volume, each of which has a block of its own.
///
/// # Errors
/// Those of the files and the pool.
pub fn by_depth(dir: &Path, most: u32) -> Result<Points, Failure> {
    let data = 64 << 20;
    with_pool(dir, 1 << 30, 4096, |pool| {
        let volume = full_volume(pool, data)?;
        let (mut rng, mut points) = (Rng::new(9), Points::new());
        let mut next = 1;
        for depth in 0..=most {
            if depth == next || depth == most {
                pool.checkpoint()?;
                points.push((f64::from(depth), random_reads(pool, volume, data)?));
                next *= 10;
            }
            let block = rng.below(data / BLOCK);
            pool.write(volume, block * SECTORS, &[3; SIZE])?;
            pool.snapshot(volume, &attributes(&format!("s{depth}")))?;
        }
        Ok(points)
    })
}

fn random_reads(pool: &mut Counted<'_>, volume: LayerId, data: u64) -> Result<f64, Failure> {
    let (mut rng, mut buffer) = (Rng::new(4), [0; SIZE]);
    // What the cache can hold is in it before anything is counted.
    for round in 0..2 {
        if round == 1 {
            pool.device_mut().take();
        }
        for _ in 0..READS {
            pool.read(volume, rng.below(data / BLOCK) * SECTORS, &mut buffer)?;
        }
    }
    Ok(pool.device_mut().take().reads as f64 / READS as f64)
}

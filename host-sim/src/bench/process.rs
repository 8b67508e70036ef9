//! Times in this process, beside a plain file.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::Instant,
};

use cowl::{BlockDevice, LayerFlags, LayerId, Pool};

use super::{
    Line, Size,
    counted::{SECTORS, SIZE, attributes},
    device, each, format, nanoseconds, options, remove, side_by_side,
};
use crate::{HostDevice, cli::failure::Failure, sim::Rng};

/// For the journal and for what is set aside.
const ROOM: u64 = 256 << 20;

/// A block-aligned buffer.
#[repr(align(4096))]
struct Aligned([u8; SIZE]);

fn plain(dir: &Path, name: &str) -> Result<File, Failure> {
    let path = dir.join(name);
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(|error| Failure::file("create", &path, &error))
}

/// Blocks in an order that repeats for the same seed, each at most once.
fn shuffled(blocks: u64, seed: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..blocks).collect();
    let mut rng = Rng::new(seed);
    for i in (1..order.len()).rev() {
        order.swap(i, usize::try_from(rng.below(i as u64 + 1)).unwrap_or(0));
    }
    order
}

type HostPool<'w> = Pool<'w, &'w mut HostDevice>;

/// The two sides, both filled.
struct Sides<'p, 'w> {
    pool: &'p mut HostPool<'w>,
    volume: LayerId,
    file: File,
    size: Size,
    order: Vec<u64>,
}

impl Sides<'_, '_> {
    fn order(&self) -> &[u64] {
        &self.order[..self.size.operations.min(self.order.len())]
    }

    fn reads(&mut self, what: &str, target: f64) -> Result<Line, Failure> {
        let mut ours = Aligned([0; SIZE]);
        let mut theirs = Aligned([0; SIZE]);
        self.compare(
            what,
            target,
            |pool, volume, block| Ok(pool.read(volume, block * SECTORS, &mut ours.0)?),
            |file, at| file.read_exact_at(&mut theirs.0, at),
        )
    }

    fn overwrites(&mut self, what: &str, target: f64) -> Result<Line, Failure> {
        let bytes = Aligned([3; SIZE]);
        self.compare(
            what,
            target,
            |pool, volume, block| Ok(pool.write(volume, block * SECTORS, &bytes.0)?),
            |file, at| file.write_all_at(&bytes.0, at),
        )
    }

    /// The same for every block of the order, on the volume and in the file.
    fn compare(
        &mut self,
        what: &str,
        target: f64,
        mut ours: impl FnMut(&mut HostPool<'_>, LayerId, u64) -> Result<(), Failure>,
        mut theirs: impl FnMut(&File, u64) -> io::Result<()>,
    ) -> Result<Line, Failure> {
        let (rounds, volume, order) = (self.size.rounds, self.volume, self.order().to_vec());
        let (pool, file) = (&mut self.pool, &self.file);
        side_by_side(
            what,
            rounds,
            Some(target),
            || each(order.len(), || order.iter().try_for_each(|block| ours(pool, volume, *block))),
            || {
                each(order.len(), || {
                    let done = order.iter().try_for_each(|block| theirs(file, block * SIZE as u64));
                    done.map_err(|error| Failure::file("use", Path::new("bench.raw"), &error))
                })
            },
        )
    }
}

/// Reads, overwrites, first writes, and reads through a deep chain of snapshots.
///
/// # Errors
/// Those of the files and the pool.
pub fn measure(dir: &Path, size: Size) -> Result<Vec<Line>, Failure> {
    let mut lines = vec![first_writes(dir, size)?];
    let mut file_device = device(dir, "bench.cowl", size.volume * 2 + ROOM, 4096)?;
    let mut workspace = vec![0; 64 << 20];
    format(&mut file_device, &mut workspace)?;
    let depth = size.depth;
    let mut pool = Pool::mount(&mut file_device, &mut workspace, &options())?;
    let volume = pool.create(&attributes("v"), size.volume / 512, LayerFlags::empty())?;
    let file = plain(dir, "bench.raw")?;
    let bytes = vec![1; 1 << 20];
    for at in (0..size.volume).step_by(bytes.len()) {
        pool.write(volume, at / 512, &bytes)?;
        file.write_all_at(&bytes, at).map_err(|error| Failure::file("write", Path::new("raw"), &error))?;
    }
    pool.checkpoint()?;
    let order = shuffled(size.volume / SIZE as u64, 7);
    let mut sides = Sides { pool: &mut pool, volume, file, size, order };
    lines.push(sides.reads("read 4 KiB at random", 1.05)?);
    lines.push(sides.overwrites("overwrite 4 KiB at random", 1.05)?);
    let mut rng = Rng::new(1);
    for i in 0..depth {
        sides.pool.snapshot(volume, &attributes(&format!("s{i}")))?;
        for _ in 0..8 {
            let block = rng.below(size.volume / SIZE as u64);
            sides.pool.write(volume, block * SECTORS, &[5; SIZE])?;
        }
    }
    sides.pool.checkpoint()?;
    lines.push(sides.reads(&format!("read 4 KiB at depth {depth}"), 1.05)?);
    pool.unmount()?;
    lines.push(opening(&mut file_device, &mut workspace, depth)?);
    remove(dir, &["bench.cowl", "bench.raw"])?;
    Ok(lines)
}

fn opening(device: &mut HostDevice, workspace: &mut [u8], depth: u32) -> Result<Line, Failure> {
    let started = Instant::now();
    let pool = Pool::mount(&mut *device, workspace, &options())?;
    let milliseconds = nanoseconds(started.elapsed()) / 1e6;
    pool.abandon();
    Ok(Line::amount(format!("open a pool with {depth} snapshots"), milliseconds, "ms", Some(20.0)))
}

/// Every block once, in random order, into a new volume and into a new sparse file; one flush at the end.
fn first_writes(dir: &Path, size: Size) -> Result<Line, Failure> {
    let order = shuffled(size.volume / SIZE as u64, 3);
    let order = &order[..size.operations.min(order.len())];
    let mut pool_device = device(dir, "first.cowl", size.volume * 2 + ROOM, 4096)?;
    let mut workspace = vec![0; 64 << 20];
    let bytes = Aligned([9; SIZE]);
    let line = side_by_side(
        "first write of 4 KiB at random, one flush",
        size.rounds,
        Some(1.3),
        || {
            let sectors = pool_device.geometry().sectors;
            pool_device.discard(0, sectors)?;
            format(&mut pool_device, &mut workspace)?;
            let mut pool = Pool::mount(&mut pool_device, &mut workspace, &options())?;
            let volume = pool.create(&attributes("v"), size.volume / 512, LayerFlags::empty())?;
            let time = each(order.len(), || {
                order.iter().try_for_each(|block| pool.write(volume, block * SECTORS, &bytes.0))?;
                Ok(pool.flush()?)
            })?;
            pool.unmount()?;
            Ok(time)
        },
        || {
            let file = plain(dir, "first.raw")?;
            let failed = |error| Failure::file("write", Path::new("raw"), &error);
            file.set_len(size.volume).map_err(failed)?;
            each(order.len(), || {
                order.iter().try_for_each(|block| file.write_all_at(&bytes.0, block * SIZE as u64)).map_err(failed)?;
                file.sync_data().map_err(failed)
            })
        },
    )?;
    remove(dir, &["first.cowl", "first.raw"])?;
    Ok(line)
}

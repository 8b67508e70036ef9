//! Times in this process, beside a plain file.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::Instant,
};

use cowl::{BlockDevice, ExtentKind, LayerFlags, LayerId, Pool};

#[cfg(feature = "peers")]
use super::peers::Image;
use super::{
    Line, Size,
    counted::{SECTORS, SIZE, attributes, full_volume},
    device, each, fill, format, nanoseconds, options, remove, side_by_side,
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
        let file = self.file.try_clone().map_err(unusable)?;
        self.reads_beside(what, Some(target), |at, bytes| file.read_exact_at(bytes, at))
    }

    fn overwrites(&mut self, what: &str, target: f64) -> Result<Line, Failure> {
        let file = self.file.try_clone().map_err(unusable)?;
        self.overwrites_beside(what, Some(target), |at, bytes| file.write_all_at(bytes, at))
    }

    fn reads_beside(
        &mut self,
        what: &str,
        target: Option<f64>,
        mut theirs: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> Result<Line, Failure> {
        let mut mine = Aligned([0; SIZE]);
        let mut bytes = Aligned([0; SIZE]);
        self.compare(
            what,
            target,
            |pool, volume, block| Ok(pool.read(volume, block * SECTORS, &mut mine.0)?),
            |block| theirs(block * SIZE as u64, &mut bytes.0),
        )
    }

    fn overwrites_beside(
        &mut self,
        what: &str,
        target: Option<f64>,
        mut theirs: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<Line, Failure> {
        let bytes = Aligned([3; SIZE]);
        self.compare(
            what,
            target,
            |pool, volume, block| Ok(pool.write(volume, block * SECTORS, &bytes.0)?),
            |block| theirs(block * SIZE as u64, &bytes.0),
        )
    }

    /// What a map with eight bytes for each block costs at least: the same reads, at the same places of the pool's file, that an array of numbers tells.
    fn reads_by_array(&mut self, pool_file: &File) -> Result<Line, Failure> {
        let mut places = Vec::new();
        for block in 0..self.size.volume / SIZE as u64 {
            let extent = self.pool.extent(self.volume, block * SECTORS)?;
            let ExtentKind::Data { sector } = extent.kind else {
                return Err(unusable(io::Error::other("a block that was written holds nothing")));
            };
            places.push(sector * 512);
        }
        let (mut mine, mut theirs) = (Aligned([0; SIZE]), Aligned([0; SIZE]));
        let plain = self.file.try_clone().map_err(unusable)?;
        self.compare(
            "the same by an array of places, without a pool",
            None,
            |_, _, block| {
                let at = usize::try_from(block).ok().and_then(|block| places.get(block));
                pool_file.read_exact_at(&mut mine.0, *at.unwrap_or(&0)).map_err(unusable)
            },
            |block| plain.read_exact_at(&mut theirs.0, block * SIZE as u64),
        )
    }

    /// The same for every block of the order, on the volume and elsewhere.
    fn compare(
        &mut self,
        what: &str,
        target: Option<f64>,
        mut ours: impl FnMut(&mut HostPool<'_>, LayerId, u64) -> Result<(), Failure>,
        mut theirs: impl FnMut(u64) -> io::Result<()>,
    ) -> Result<Line, Failure> {
        let (rounds, volume, order) = (self.size.rounds, self.volume, self.order().to_vec());
        let pool = &mut *self.pool;
        side_by_side(
            what,
            rounds,
            target,
            || each(order.len(), || order.iter().try_for_each(|block| ours(pool, volume, *block))),
            || each(order.len(), || order.iter().try_for_each(|block| theirs(*block)).map_err(unusable)),
        )
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` asks for")]
fn unusable(error: io::Error) -> Failure {
    Failure::file("use", Path::new("bench.raw"), &error)
}

/// Reads, overwrites, first writes, and reads through a deep chain of snapshots.
///
/// # Errors
/// Those of the files and the pool.
pub fn measure(dir: &Path, size: Size) -> Result<Vec<Line>, Failure> {
    let mut lines = first_writes(dir, size)?;
    let mut file_device = device(dir, "bench.cowl", size.volume * 2 + ROOM, 4096)?;
    let mut workspace = vec![0; 64 << 20];
    format(&mut file_device, &mut workspace)?;
    let depth = size.depth;
    let mut pool = Pool::mount(&mut file_device, &mut workspace, &options())?;
    let volume = full_volume(&mut pool, size.volume)?;
    let file = plain(dir, "bench.raw")?;
    fill(size.volume, |at, bytes| file.write_all_at(bytes, at).map_err(unusable))?;
    pool.checkpoint()?;
    let order = shuffled(size.volume / SIZE as u64, 7);
    let mut sides = Sides { pool: &mut pool, volume, file, size, order };
    lines.push(sides.reads("read 4 KiB at random", 1.05)?);
    let pool_file = File::open(dir.join("bench.cowl")).map_err(unusable)?;
    lines.push(sides.reads_by_array(&pool_file)?);
    lines.push(sides.overwrites("overwrite 4 KiB at random", 1.05)?);
    #[cfg(feature = "peers")]
    let image = {
        let image = Image::filled(dir, size.volume)?;
        lines.push(sides.reads_beside(&beside_imago("read 4 KiB at random"), None, |at, to| image.read(at, to))?);
        let what = beside_imago("overwrite 4 KiB at random");
        lines.push(sides.overwrites_beside(&what, None, |at, from| image.write(at, from))?);
        image
    };
    let mut rng = Rng::new(1);
    for i in 0..depth {
        sides.pool.snapshot(volume, &attributes(&format!("s{i}")))?;
        for _ in 0..8 {
            let block = rng.below(size.volume / SIZE as u64);
            sides.pool.write(volume, block * SECTORS, &[5; SIZE])?;
        }
    }
    sides.pool.checkpoint()?;
    let what = format!("read 4 KiB at depth {depth}");
    lines.push(sides.reads(&what, 1.05)?);
    #[cfg(feature = "peers")]
    let opening_image = {
        let (image, time) = image.below(depth)?;
        lines.push(sides.reads_beside(&beside_imago(&what), None, |at, to| image.read(at, to))?);
        image.remove(depth)?;
        time
    };
    pool.unmount()?;
    let opening = opening(&mut file_device, &mut workspace, depth)?;
    #[cfg(feature = "peers")]
    let opening = Line { other: Some(opening_image), ratio: opening.ours / opening_image, target: None, ..opening };
    lines.push(opening);
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

#[cfg(feature = "peers")]
fn beside_imago(what: &str) -> String {
    format!("{what}, imago")
}

/// Every block once, in random order, into a new volume and into a new sparse file; one flush at the end.
fn first_writes(dir: &Path, size: Size) -> Result<Vec<Line>, Failure> {
    const WHAT: &str = "first write of 4 KiB at random, one flush";
    let order = shuffled(size.volume / SIZE as u64, 3);
    let order = &order[..size.operations.min(order.len())];
    let mut pool_device = device(dir, "first.cowl", size.volume * 2 + ROOM, 4096)?;
    let mut workspace = vec![0; 64 << 20];
    let bytes = Aligned([9; SIZE]);
    let mut ours = || {
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
    };
    let plain_file = || {
        let file = plain(dir, "first.raw")?;
        file.set_len(size.volume).map_err(unusable)?;
        each(order.len(), || {
            order.iter().try_for_each(|block| file.write_all_at(&bytes.0, block * SIZE as u64)).map_err(unusable)?;
            file.sync_data().map_err(unusable)
        })
    };
    let lines = vec![side_by_side(WHAT, size.rounds, Some(1.3), &mut ours, plain_file)?];
    #[cfg(feature = "peers")]
    let lines = {
        let image = || {
            let image = Image::empty(dir, size.volume)?;
            let time = each(order.len(), || {
                order.iter().try_for_each(|block| image.write(block * SIZE as u64, &bytes.0)).map_err(unusable)?;
                image.flush()
            })?;
            image.remove(0)?;
            Ok(time)
        };
        let beside = side_by_side(beside_imago(WHAT), size.rounds, None, &mut ours, image)?;
        lines.into_iter().chain([beside]).collect()
    };
    remove(dir, &["first.cowl", "first.raw"])?;
    Ok(lines)
}

//! Histories: sequences of operations, applied to a pool and to the model side by side.

use cowl::{Attributes, BlockDevice, Error, LayerFlags, LayerId, MountOptions, Pool};

use super::{
    config::Config,
    disk::{Failed, SimDisk},
    model::{Found, Layer, Model, bytes_of},
    random::Rng,
};

/// An operation. Layers are chosen by position among those that are live, so every history is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Writes sectors of a volume: volume, first sector, number, tag.
    Write(u8, u16, u8, u64),
    /// Zeroes sectors of a volume: volume, first sector, number.
    Zero(u8, u16, u8),
    /// Discards: volume, first sector, number.
    Discard(u8, u16, u8),
    /// Flushes.
    Flush,
    /// Takes a snapshot of a volume.
    Snapshot(u8),
    /// Rolls a volume back to a snapshot; keeps the old head or not.
    Rollback(u8, u8, bool),
    /// Clones a snapshot.
    Clone(u8),
    /// Deletes a layer.
    Delete(u8),
    /// A step of merge, with this much budget beyond the least.
    Merge(u16),
    /// Gives a volume another size in sectors.
    Resize(u8, u16),
    /// A checkpoint.
    Checkpoint,
    /// The process is killed and the pool mounted again.
    Kill,
}

impl Op {
    /// When it has returned, it and everything before it is durable.
    pub fn is_barrier(self) -> bool {
        !matches!(self, Self::Write(..) | Self::Zero(..) | Self::Discard(..))
    }
}

/// A random operation on volumes of about so many sectors. Few distinct tags find what unique ones hide.
pub fn random_op(rng: &mut Rng, sectors: usize, serial: u64, few_tags: bool) -> Op {
    let pick = rng.below(256) as u8;
    let sector = rng.below(sectors as u64) as u16;
    let count = 1 + rng.below(12) as u8;
    let tag = if few_tags { 1 + rng.below(2) } else { serial << 8 | 1 };
    match rng.below(100) {
        0..40 => Op::Write(pick, sector, count, tag),
        40..46 => Op::Zero(pick, sector, count),
        46..50 => Op::Discard(pick, sector, count.saturating_mul(2)),
        50..64 => Op::Flush,
        64..72 => Op::Snapshot(pick),
        72..77 => Op::Rollback(pick, rng.below(256) as u8, rng.below(2) == 0),
        77..80 => Op::Clone(pick),
        80..87 => Op::Delete(pick),
        87..94 => Op::Merge(rng.below(300) as u16),
        94..96 => Op::Resize(pick, 1 + rng.below(2 * sectors as u64) as u16),
        96..98 => Op::Checkpoint,
        _ => Op::Kill,
    }
}

/// Everything that a pool shows, read layer by layer.
pub fn found<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
) -> Result<Found, Error<D::Error>> {
    let mut found = Found::new();
    find_again(pool, &mut found)?;
    Ok(found)
}

/// The same, in the memory of what was found before.
pub(crate) fn find_again<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    found: &mut Found,
) -> Result<(), Error<D::Error>> {
    let mut live = Vec::with_capacity(found.len());
    let sector_size = pool.info().sector_size as usize;
    let mut after = None;
    while let Some(info) = pool.next_layer(after)? {
        let (name, bytes) = found.entry(info.id.0).or_default();
        name.clear();
        name.push_str(&info.name);
        bytes.resize(info.sectors as usize * sector_size, 0);
        pool.read(info.id, 0, bytes)?;
        live.push(info.id.0);
        after = Some(info.id);
    }
    found.retain(|id, _| live.contains(id));
    Ok(())
}

/// Opens the pool on a device.
pub fn mount<D: BlockDevice>(device: D, workspace: &mut [u8]) -> Result<Pool<'_, D>, Error<D::Error>> {
    Pool::mount(device, workspace, &mount_options())
}

/// How pools are opened here.
pub(super) fn mount_options() -> MountOptions {
    MountOptions { checksum: crate::crc32c, ..MountOptions::default() }
}

/// Applies an operation to both; `Ok(false)` if there was nothing to apply it to or the pool refused it for want of space.
/// [`Op::Kill`] is the caller's: it needs the device.
pub fn apply<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    model: &mut Model,
    op: Op,
) -> Result<bool, Error<D::Error>> {
    let sector_size = pool.info().sector_size as usize;
    let volumes = model.ids(true);
    let snapshots = model.ids(false);
    let choose = |ids: &[u32], pick: u8| ids.get(usize::from(pick) % ids.len().max(1)).copied();
    let next = pool.info().next_layer;
    let name = |prefix: char| format!("{prefix}{next}");
    let named = |model: &Model, id: u32, volume: bool, prefix: char| Layer {
        volume,
        name: name(prefix),
        content: model.now[&id].content.clone(),
    };
    let result = match op {
        Op::Write(pick, sector, count, tag) => {
            let Some((id, range)) = span(model, choose(&volumes, pick), sector, count) else { return Ok(false) };
            let bytes = bytes_of(tag, range.len() * sector_size);
            let mut told = Told { model, id, range: range.clone(), tag, refused: false };
            let result = pool.write(LayerId(id), range.start as u64, &bytes);
            told.refused = matches!(result, Err(Error::NoSpace { .. }));
            return if told.refused { Ok(false) } else { result.map(|()| true) };
        }
        Op::Zero(pick, sector, count) => {
            let Some((id, range)) = span(model, choose(&volumes, pick), sector, count) else { return Ok(false) };
            model.write(id, range.clone(), 0);
            let result = pool.write_zeroes(LayerId(id), range.start as u64, range.len() as u64);
            return part_by_part(pool, model, id, range, result);
        }
        Op::Discard(pick, sector, count) => {
            let Some((id, range)) = span(model, choose(&volumes, pick), sector, count) else { return Ok(false) };
            let spb = pool.info().block_size as usize / sector_size;
            let end = range.end == model.now[&id].content.len();
            let last = if end { range.end } else { range.end / spb * spb };
            let whole = range.start.div_ceil(spb) * spb..last;
            if whole.start < whole.end {
                model.write(id, whole, 0);
            }
            let result = pool.discard(LayerId(id), range.start as u64, range.len() as u64);
            return part_by_part(pool, model, id, range, result);
        }
        Op::Flush => {
            model.begin(model.now.clone());
            pool.flush()
        }
        Op::Checkpoint | Op::Kill => {
            model.begin(model.now.clone());
            pool.checkpoint()
        }
        Op::Snapshot(pick) => {
            let Some(id) = choose(&volumes, pick) else { return Ok(false) };
            let mut after = model.now.clone();
            after.insert(next, named(model, id, false, 's'));
            model.begin(after);
            pool.snapshot(LayerId(id), &attributes(&name('s'))).map(drop)
        }
        Op::Rollback(pick, to, keep) => {
            let (Some(id), Some(to)) = (choose(&volumes, pick), choose(&snapshots, to)) else { return Ok(false) };
            let mut after = model.now.clone();
            if keep {
                after.insert(next, named(model, id, false, 'k'));
            }
            let content = model.now[&to].content.clone();
            after.get_mut(&id).expect("a live volume").content = content;
            model.begin(after);
            let kept = name('k');
            pool.rollback(LayerId(id), LayerId(to), 1, keep.then_some(attributes(&kept)).as_ref()).map(drop)
        }
        Op::Clone(pick) => {
            let Some(id) = choose(&snapshots, pick).filter(|_| volumes.len() < 4) else { return Ok(false) };
            let mut after = model.now.clone();
            after.insert(next, named(model, id, true, 'c'));
            model.begin(after);
            pool.clone_snapshot(LayerId(id), &attributes(&name('c')), false).map(drop)
        }
        Op::Delete(pick) => {
            let all: Vec<u32> = model.now.keys().copied().collect();
            let Some(id) = choose(&all, pick) else { return Ok(false) };
            if volumes == [id] {
                return Ok(false);
            }
            let mut after = model.now.clone();
            after.remove(&id);
            model.begin(after);
            pool.delete(LayerId(id))
        }
        Op::Merge(more) => {
            // A step that finds nothing to do is no barrier; the model is told afterwards.
            let checkpoints = pool.stats().checkpoints;
            model.begin(model.now.clone());
            let result = merge_step(pool, more);
            if result.is_ok() && pool.stats().checkpoints == checkpoints {
                model.refused();
                return Ok(true);
            }
            result
        }
        Op::Resize(pick, sectors) => {
            let Some(id) = choose(&volumes, pick) else { return Ok(false) };
            let sectors = usize::from(sectors).max(1);
            let mut after = model.now.clone();
            let content = &mut after.get_mut(&id).expect("a live volume").content;
            let grown = content.len()..sectors;
            content.extend(grown.clone().map(|sector| model.unwritten(sector)));
            content.truncate(sectors);
            model.begin(after);
            pool.resize(LayerId(id), sectors as u64).and_then(|()| zeroed_tail(pool, model, id, grown))
        }
    };
    match result {
        Ok(()) => model.complete(),
        Err(Error::NoSpace { .. }) => {
            model.refused();
            return Ok(false);
        }
        Err(Error::Exhausted) if next > u32::MAX - 8 => {
            model.refused();
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    Ok(true)
}

fn attributes(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// The sectors that an operation names, inside the volume.
fn span(model: &Model, id: Option<u32>, sector: u16, count: u8) -> Option<(u32, std::ops::Range<usize>)> {
    let id = id?;
    let length = model.now[&id].content.len();
    let start = usize::from(sector) % length;
    Some((id, start..(start + usize::from(count)).min(length)))
}

/// Tells the model of a write when it has ended, whatever has ended it; one that was refused for want of space has changed nothing.
struct Told<'m> {
    model: &'m mut Model,
    id: u32,
    range: std::ops::Range<usize>,
    tag: u64,
    refused: bool,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if !self.refused {
            self.model.write(self.id, self.range.clone(), self.tag);
        }
    }
}

/// Zeroing and discarding are not all or nothing: what was done before the space ran out stays done.
fn part_by_part<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    model: &mut Model,
    id: u32,
    range: std::ops::Range<usize>,
    result: Result<(), Error<D::Error>>,
) -> Result<bool, Error<D::Error>> {
    if !matches!(result, Err(Error::NoSpace { .. })) {
        return result.map(|()| true);
    }
    let sector_size = pool.info().sector_size as usize;
    let content = &mut model.now.get_mut(&id).expect("a live volume").content;
    let mut bytes = vec![0; content.len() * sector_size];
    pool.read(LayerId(id), 0, &mut bytes)?;
    for sector in range {
        content[sector] = super::model::value_of(&bytes[sector * sector_size..][..sector_size]);
    }
    Ok(false)
}

/// Growing shows the base device, but what shares a block with what was written before reads as zeros.
fn zeroed_tail<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    model: &mut Model,
    id: u32,
    grown: std::ops::Range<usize>,
) -> Result<(), Error<D::Error>> {
    let info = pool.info();
    let spb = (info.block_size / info.sector_size) as usize;
    let tail = grown.start..grown.end.min(grown.start.next_multiple_of(spb));
    if tail.is_empty() || model.unwritten(tail.start) == 0 {
        return Ok(());
    }
    let mut bytes = vec![0; tail.len() * info.sector_size as usize];
    pool.read(LayerId(id), tail.start as u64, &mut bytes)?;
    if bytes.iter().all(|byte| *byte == 0) {
        model.during_barrier(id).content[tail].fill(0);
    }
    Ok(())
}

/// A step of merge with the least budget and some more.
pub fn merge_step<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    more: u16,
) -> Result<(), Error<D::Error>> {
    match pool.merge_step(1) {
        Err(Error::BudgetTooSmall { needed }) => pool.merge_step(needed + u32::from(more)).map(drop),
        result => result.map(drop),
    }
}

/// A disk with a new pool, on no base device, and its first volume, all of it durable.
#[derive(Debug)]
pub struct Prepared {
    /// The disk.
    pub disk: SimDisk,
    /// What the pool on it shows.
    pub model: Model,
    /// Blocks that were free before there was a volume.
    pub fresh: u64,
}

impl Prepared {
    /// Formats a disk and makes the volume.
    pub fn new(config: &Config) -> Result<Self, Error<Failed>> {
        let disk = SimDisk::new(config.sector_size, config.device_sectors());
        let mut workspace = config.workspace();
        Pool::format(disk.clone(), &mut workspace, &config.format())?;
        let mut pool = mount(disk.clone(), &mut workspace)?;
        let fresh = pool.space().free;
        let model = start(&mut pool, config)?;
        Ok(Self { disk, model, fresh })
    }
}

/// The pool that every history begins with: one volume.
pub fn start<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    config: &Config,
) -> Result<Model, Error<D::Error>> {
    let id = pool.create(&attributes("v"), config.sectors as u64, config.flags)?;
    let mut model = Model::default();
    model.base = config.base_content();
    model.whole = config.flags.contains(LayerFlags::INTEGRITY);
    let content = (0..config.sectors).map(|sector| model.unwritten(sector)).collect();
    let layer = Layer { volume: true, name: "v".into(), content };
    model.begin([(id.0, layer)].into());
    model.complete();
    Ok(model)
}

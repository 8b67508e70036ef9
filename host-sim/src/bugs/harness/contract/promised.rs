//! A guaranteed volume beside thin ones on a pool that they fill: it never runs out of space, whatever is done to them.

use cowl::{Attributes, Error, LayerFlags, LayerId, Pool};

use super::{
    super::{
        medium::{Disk, Medium},
        text,
    },
    filled, merge_all, same, values,
};
use crate::sim::{Config, Rng, mount, sound};

const THIN: usize = 900;

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    // The larger one has as many nodes as the reserve of a checkpoint could hide.
    let promised_sectors = if seed.is_multiple_of(2) { 300 } else { 70 };
    let config = Config { blocks: 490 + promised_sectors, pending: 2 + (seed % 3) as u32 * 4, ..Config::TINY };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let promised =
        pool.create(&named("promised"), promised_sectors as u64, LayerFlags::GUARANTEED).map_err(text("create"))?;
    let thin = pool.create(&named("thin"), THIN as u64, LayerFlags::empty()).map_err(text("create"))?;
    let mut content = vec![0; promised_sectors];
    let mut snapshots: Vec<LayerId> = Vec::new();
    let mut rng = Rng::new(seed ^ 0x9a);
    for serial in 1..90u64 {
        let tag = serial << 8 | 2;
        match rng.below(16) {
            0..5 => fill(&mut pool, thin, rng.below(THIN as u64 - 40), &filled(tag, 40))?,
            5..11 => {
                let start = rng.below(promised_sectors as u64) as usize;
                let range = start
                    ..(start + 1 + rng.below(if serial % 9 == 0 { 300 } else { 12 }) as usize).min(promised_sectors);
                pool.write(promised, start as u64, &filled(tag, range.len())).map_err(text("a promised write"))?;
                content[range].fill(tag);
            }
            11 => {
                let name = format!("s{serial}");
                match pool.snapshot(promised, &named(&name)) {
                    Ok(id) => snapshots.push(id),
                    Err(Error::NoSpace { .. }) => {}
                    Err(error) => return Err(text("snapshot")(error)),
                }
            }
            12 => match snapshots.pop() {
                Some(id) => pool.delete(id).map_err(text("delete"))?,
                None => pool.discard(promised, 3, 20).map(|()| content[3..23].fill(0)).map_err(text("discard"))?,
            },
            13 => merge_all(&mut pool).map_err(text("merge"))?,
            14 => pool.checkpoint().map_err(text("checkpoint"))?,
            _ => pool.flush().map_err(text("flush"))?,
        }
        same(&values(&mut pool, promised, promised_sectors).map_err(text("read"))?, &content)
            .map_err(|why| format!("step {serial}: {why}"))?;
    }
    // All of it at once, however full the pool is.
    (0..THIN as u64 - 40).step_by(40).try_for_each(|at| fill(&mut pool, thin, at, &filled(9, 40)))?;
    content.fill(7);
    pool.write(promised, 0, &filled(7, promised_sectors)).map_err(text("everything that was promised"))?;
    same(&values(&mut pool, promised, promised_sectors).map_err(text("read"))?, &content)?;
    sound(&mut pool, true)
}

/// Clones whose maps belong to layers below are made smaller in a full pool: each copies nodes that no merge gives back.
pub(super) fn beside_smaller(medium: &impl Medium, seed: u64) -> Result<(), String> {
    const SECTORS: u64 = 2000;
    let spare = seed % 20;
    let config = Config { blocks: 420 + spare as usize, ..Config::TINY };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let promised = pool.create(&named("promised"), 50, LayerFlags::GUARANTEED).map_err(text("create"))?;
    let thin = pool.create(&named("thin"), SECTORS, LayerFlags::empty()).map_err(text("create"))?;
    (0..SECTORS).step_by(200).try_for_each(|at| pool.write(thin, at, &filled(3, 1))).map_err(text("write"))?;
    let snapshot = pool.snapshot(thin, &named("s")).map_err(text("snapshot"))?;
    let mut clones = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        clones.push(pool.clone_snapshot(snapshot, &named(name), false).map_err(text("clone"))?);
    }
    (0..SECTORS).step_by(40).try_for_each(|at| fill(&mut pool, thin, at, &filled(4, 40)))?;
    pool.discard(thin, 0, spare).map_err(text("discard"))?;
    pool.checkpoint().map_err(text("checkpoint"))?;
    for clone in clones {
        match pool.resize(clone, 777) {
            Ok(()) | Err(Error::NoSpace { .. }) => {}
            Err(error) => return Err(text("make smaller")(error)),
        }
    }
    (0..50).try_for_each(|at| pool.write(promised, at, &filled(7, 1))).map_err(text("what was promised"))?;
    same(&values(&mut pool, promised, 50).map_err(text("read"))?, &[7; 50])?;
    sound(&mut pool, true)
}

/// Writes to the thin volume, block by block where there is no space for all; that there is none at all is what is wanted.
fn fill<D: cowl::BlockDevice<Error: std::fmt::Debug>>(
    pool: &mut Pool<'_, D>,
    thin: LayerId,
    sector: u64,
    bytes: &[u8],
) -> Result<(), String> {
    let refused = |result| match result {
        Ok(()) => Ok(false),
        Err(Error::NoSpace { .. }) => Ok(true),
        Err(error) => Err(text("a thin write")(error)),
    };
    if refused(pool.write(thin, sector, bytes))? {
        for (at, bytes) in (sector..).zip(bytes.chunks(512)) {
            refused(pool.write(thin, at, bytes))?;
        }
    }
    Ok(())
}

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

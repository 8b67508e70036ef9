//! Many volumes on a pool that they fill, each written in one place far from the last: a checkpoint changes as many pages of the catalog
//! and paths of maps as it can come to. However full the pool is, it goes through.

use std::collections::BTreeMap;

use cowl::{Attributes, BlockDevice, Error, LayerFlags, LayerId, Pool};

use super::{
    super::{
        medium::{Disk, Medium},
        text,
    },
    filled,
};
use crate::sim::{Config, Rng, mount, sound, value_of};

const VOLUMES: u32 = 12;
/// Three levels of nodes of 512 bytes.
const SECTORS: u64 = 1 << 15;

/// Makes a checkpoint; it is told what has been written.
pub(in super::super) type Commit<'c, 'w, D> = &'c mut dyn FnMut(&mut Pool<'w, D>, &Written) -> Result<(), String>;

/// What was written last, by volume and sector.
pub(in super::super) type Written = BTreeMap<(u32, u64), u64>;

/// What there is to read, compared.
pub(in super::super) fn holds<D: BlockDevice>(pool: &mut Pool<'_, D>, written: &Written) -> Result<(), String> {
    for ((volume, address), tag) in written {
        let mut bytes = [0; 512];
        pool.read(LayerId(*volume), *address, &mut bytes).map_err(text("read"))?;
        let found = value_of(&bytes);
        if found != *tag {
            return Err(format!("volume {volume} sector {address} is {found:x}, not {tag:x}"));
        }
    }
    Ok(())
}

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    let config = shape(seed);
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    fill(&mut pool, seed, &mut |pool, _| pool.checkpoint().map_err(text("a checkpoint")))
}

/// The pool for a seed.
pub(in super::super) fn shape(seed: u64) -> Config {
    Config { blocks: 620 + (seed % 5) as usize * 41, pending: VOLUMES, journal_units: 16, ..Config::TINY }
}

/// Fills a new pool, again and again; `commit` makes the checkpoints.
pub(in super::super) fn fill<'w, D: BlockDevice>(
    pool: &mut Pool<'w, D>,
    seed: u64,
    commit: Commit<'_, 'w, D>,
) -> Result<(), String> {
    let mut volumes: Vec<LayerId> = Vec::new();
    for number in 0..VOLUMES {
        let name = format!("v{number}");
        let attributes = Attributes { name: &name, ..Attributes::default() };
        volumes.push(pool.create(&attributes, SECTORS, LayerFlags::empty()).map_err(text("create"))?);
    }
    let mut content = Written::new();
    let mut rng = Rng::new(seed ^ 0x3a7);
    for round in 1..50u64 {
        let mut refused = 0;
        for volume in &volumes {
            let (address, tag) = (rng.below(SECTORS), round << 8 | 4);
            match pool.write(*volume, address, &filled(tag, 1)) {
                Ok(()) => {
                    content.insert((volume.0, address), tag);
                }
                Err(Error::NoSpace { .. }) => refused += 1,
                Err(error) => return Err(text("write")(error)),
            }
        }
        commit(pool, &content).map_err(|why| format!("round {round}: {why}"))?;
        if refused == volumes.len() {
            // Every third goes, and there is room again.
            let gone: Vec<(u32, u64)> = content.keys().copied().filter(|_| rng.below(3) == 0).collect();
            for (volume, address) in gone {
                pool.discard(LayerId(volume), address, 1).map_err(text("discard"))?;
                content.remove(&(volume, address));
            }
        }
    }
    holds(pool, &content)?;
    sound(pool, true)
}

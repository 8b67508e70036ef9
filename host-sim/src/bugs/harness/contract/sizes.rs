//! Volumes that become smaller and larger: what was cut off is gone, what is new is zeros, snapshots keep their sizes.

use cowl::{Attributes, BlockDevice, LayerFlags, LayerId, Pool};

use super::{
    super::{
        medium::{Disk, Medium},
        text,
    },
    filled, merge_all, same, values,
};
use crate::sim::{Config, Rng, mount, sound};

const MOST: u64 = 90;

/// A layer and what it holds.
type Known = (LayerId, Vec<u64>);

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    let block_size = if seed.is_multiple_of(3) { 512 } else { 1024 };
    let config = Config { block_size, blocks: 900, pending: 4, ..Config::TINY };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let attributes = Attributes { name: "v", ..Attributes::default() };
    let id = pool.create(&attributes, 50, LayerFlags::empty()).map_err(text("create"))?;
    let mut volume = (id, vec![0; 50]);
    let mut snapshots = Vec::new();
    let mut rng = Rng::new(seed ^ 0x517e);
    for step in 0..40 {
        let choice = rng.below(10);
        change(&mut pool, &mut volume, &mut snapshots, choice, &mut rng, step << 8 | 6)
            .map_err(|error| format!("step {step} ({choice}): {error:?}"))?;
        for (id, content) in snapshots.iter().chain([&volume]) {
            let length = pool.layer(*id).map_err(text("layer"))?.sectors as usize;
            same(&values(&mut pool, *id, length).map_err(text("read"))?, content)
                .map_err(|why| format!("step {step} ({choice}), layer {}: {why}", id.0))?;
        }
    }
    sound(&mut pool, true)
}

fn change<D: BlockDevice>(
    pool: &mut Pool<'_, D>,
    (id, content): &mut Known,
    snapshots: &mut Vec<Known>,
    choice: u64,
    rng: &mut Rng,
    tag: u64,
) -> Result<(), cowl::Error<D::Error>> {
    match choice {
        0..4 => {
            let start = rng.below(content.len() as u64) as usize;
            let range = start..(start + 1 + rng.below(25) as usize).min(content.len());
            pool.write(*id, start as u64, &filled(tag, range.len()))?;
            content[range].fill(tag);
        }
        4..7 => {
            let sectors = 1 + rng.below(MOST);
            pool.resize(*id, sectors)?;
            content.resize(sectors as usize, 0);
        }
        7 if snapshots.len() < 4 => {
            let name = format!("s{tag}");
            let taken = pool.snapshot(*id, &Attributes { name: &name, ..Attributes::default() })?;
            snapshots.push((taken, content.clone()));
        }
        8 if !snapshots.is_empty() => {
            let (to, then) = &snapshots[rng.below(snapshots.len() as u64) as usize];
            pool.rollback(*id, *to, 1, None)?;
            content.clone_from(then);
        }
        _ => merge_all(pool)?,
    }
    Ok(())
}

//! Merge in the smallest steps, in a tree of snapshots and clones that goes on being written: nobody can tell.

use cowl::{Attributes, BlockDevice, Error, LayerFlags, LayerId, Merge, Pool};

use super::{
    super::{
        medium::{Disk, Medium},
        text,
    },
    filled, merge_all, same, values,
};
use crate::sim::{Config, Rng, merge_step, mount, sound};

const SECTORS: usize = 150;

/// A live layer and what it holds.
struct Leaf {
    id: LayerId,
    volume: bool,
    content: Vec<u64>,
}

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    branching(medium, seed).map_err(|why| format!("a branching point and its ancestor: {why}"))?;
    let config = Config { blocks: 1500, pending: 3 + (seed % 5) as u32, ..Config::TINY };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut rng = Rng::new(seed ^ 0x3e);
    let mut leaves = Vec::new();
    for round in 0..4 {
        let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
        if leaves.is_empty() {
            let attributes = Attributes { name: "v", ..Attributes::default() };
            let id = pool.create(&attributes, SECTORS as u64, LayerFlags::empty()).map_err(text("create"))?;
            leaves.push(Leaf { id, volume: true, content: vec![0; SECTORS] });
        }
        for step in 0..30 {
            let choice = rng.below(12);
            change(&mut pool, &mut leaves, choice, &mut rng, round << 16 | step << 8 | 5)
                .map_err(|error| format!("round {round} step {step} ({choice}): {error:?}"))?;
            for leaf in &leaves {
                same(&values(&mut pool, leaf.id, SECTORS).map_err(text("read"))?, &leaf.content)
                    .map_err(|why| format!("round {round} step {step} ({choice}), layer {}: {why}", leaf.id.0))?;
            }
        }
        sound(&mut pool, true)?;
    }
    Ok(())
}

/// A deleted layer with two children is trimmed, then its deleted ancestor is merged into it: what the children have of both stays.
fn branching(medium: &impl Medium, seed: u64) -> Result<(), String> {
    let config = Config { blocks: 1500, pending: 4, ..Config::TINY };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let mut rng = Rng::new(seed ^ 0xb4a);
    let named = |name| Attributes { name, ..Attributes::default() };
    let id = pool.create(&named("v"), SECTORS as u64, LayerFlags::empty()).map_err(text("create"))?;
    let mut volume = Leaf { id, volume: true, content: vec![0; SECTORS] };
    scatter(&mut pool, &mut volume, 1, &mut rng, 1).map_err(text("write"))?;
    let ancestor = pool.snapshot(volume.id, &named("ancestor")).map_err(text("snapshot"))?;
    scatter(&mut pool, &mut volume, 20, &mut rng, 2).map_err(text("write"))?;
    let point = pool.snapshot(volume.id, &named("point")).map_err(text("snapshot"))?;
    let id = pool.clone_snapshot(point, &named("other"), false).map_err(text("clone"))?;
    let mut other = Leaf { id, volume: true, content: volume.content.clone() };
    scatter(&mut pool, &mut volume, 20, &mut rng, 3).map_err(text("write"))?;
    scatter(&mut pool, &mut other, 20, &mut rng, 4).map_err(text("write"))?;
    for deleted in [point, ancestor] {
        pool.delete(deleted).map_err(text("delete"))?;
        merge_all(&mut pool).map_err(text("merge"))?;
        sound(&mut pool, true)?;
    }
    // What was freed is written again: nobody may still read it.
    let filler = pool.create(&named("filler"), config.blocks as u64, LayerFlags::empty()).map_err(text("create"))?;
    for sector in 0..config.blocks as u64 {
        match pool.write(filler, sector, &filled(9, 1)) {
            Ok(()) => {}
            Err(Error::NoSpace { .. }) => break,
            Err(error) => return Err(text("write")(error)),
        }
    }
    for leaf in [&volume, &other] {
        same(&values(&mut pool, leaf.id, SECTORS).map_err(text("read"))?, &leaf.content)?;
    }
    sound(&mut pool, true)
}

/// Writes one sector of so many, each with a value of its own.
fn scatter<D: BlockDevice>(
    pool: &mut Pool<'_, D>,
    leaf: &mut Leaf,
    of: u64,
    rng: &mut Rng,
    tag: u64,
) -> Result<(), Error<D::Error>> {
    for sector in (0..SECTORS).filter(|_| of == 1 || rng.below(of) == 0) {
        leaf.content[sector] = tag << 16 | (sector as u64) << 8 | 5;
        pool.write(leaf.id, sector as u64, &filled(leaf.content[sector], 1))?;
    }
    Ok(())
}

fn change<D: BlockDevice>(
    pool: &mut Pool<'_, D>,
    leaves: &mut Vec<Leaf>,
    choice: u64,
    rng: &mut Rng,
    tag: u64,
) -> Result<(), Error<D::Error>> {
    let pick = rng.below(leaves.len() as u64) as usize;
    let name = format!("n{tag}");
    let attributes = Attributes { name: &name, ..Attributes::default() };
    match choice {
        0..4 if leaves[pick].volume => {
            let start = rng.below(SECTORS as u64) as usize;
            let range = start..(start + 1 + rng.below(40) as usize).min(SECTORS);
            pool.write(leaves[pick].id, start as u64, &filled(tag, range.len()))?;
            leaves[pick].content[range].fill(tag);
        }
        4 if leaves[pick].volume && leaves.len() < 8 => {
            let id = pool.snapshot(leaves[pick].id, &attributes)?;
            leaves.push(Leaf { id, volume: false, content: leaves[pick].content.clone() });
        }
        5 if !leaves[pick].volume && leaves.len() < 8 => {
            let id = pool.clone_snapshot(leaves[pick].id, &attributes, false)?;
            leaves.push(Leaf { id, volume: true, content: leaves[pick].content.clone() });
        }
        6 if leaves.len() > 2 && (!leaves[pick].volume || leaves.iter().filter(|leaf| leaf.volume).count() > 1) => {
            pool.delete(leaves.swap_remove(pick).id)?;
        }
        7 => pool.flush()?,
        // The smallest step that does anything; nothing to do is as good.
        _ => match pool.merge_step(1) {
            Ok(Merge::Idle) => {}
            Ok(_) | Err(Error::BudgetTooSmall { .. }) => merge_step(pool, 0)?,
            Err(error) => return Err(error),
        },
    }
    Ok(())
}

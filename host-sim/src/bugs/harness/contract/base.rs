//! A pool on a base device: what was never written shows the base, what was discarded does not.

use cowl::{Attributes, BlockDevice, LayerFlags, LayerId, MountOptions, Pool};

use super::{
    super::{
        medium::{Disk, Medium},
        text,
    },
    filled, same, values,
};
use crate::sim::{Config, Rng};

const SECTORS: usize = 40;
/// The base is shorter than the volume and ends inside a block.
const BASE: usize = 25;

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    let block_size = if seed.is_multiple_of(2) { 1024 } else { 512 };
    let config = Config { block_size, blocks: 500, pending: 3 + (seed % 3) as u32, ..Config::TINY };
    let disk = medium.disk(512, config.device_sectors())?;
    let base = medium.disk(512, BASE)?;
    let tag = |sector: usize| sector as u64 + 0xba5e_0000;
    let mut content: Vec<u64> = (0..SECTORS).map(|i| if i < BASE { tag(i) } else { 0 }).collect();
    let mut device = base.open()?;
    for (i, value) in content.iter().take(BASE).enumerate() {
        device.write(i as u64, &filled(*value, 1)).map_err(text("base"))?;
    }
    drop(device);
    let mut workspace = config.workspace();
    Pool::format_on_base(disk.open()?, base.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let options = MountOptions::default();
    let mut volume = None;
    let mut rng = Rng::new(seed ^ 0xba);
    for round in 0..6 {
        let mut pool =
            Pool::mount_on_base(disk.open()?, base.open()?, &mut workspace, &options).map_err(text("mount"))?;
        let id = match volume {
            Some(id) => id,
            None => *volume.insert(created(&mut pool).map_err(text("create"))?),
        };
        for serial in 0..10 {
            step(&mut pool, id, &mut content, &mut rng, round << 16 | serial << 8 | 3).map_err(text("operation"))?;
            same(&values(&mut pool, id, SECTORS).map_err(text("read"))?, &content)
                .map_err(|why| format!("round {round} step {serial}: {why}"))?;
        }
        pool.flush().map_err(text("flush"))?;
    }
    Ok(())
}

fn created<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
) -> Result<LayerId, cowl::Error<D::Error>> {
    pool.create(&Attributes { name: "v", ..Attributes::default() }, SECTORS as u64, LayerFlags::empty())
}

fn step<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    volume: LayerId,
    content: &mut [u64],
    rng: &mut Rng,
    tag: u64,
) -> Result<(), cowl::Error<D::Error>> {
    let start = rng.below(SECTORS as u64) as usize;
    let range = start..(start + 1 + rng.below(8) as usize).min(SECTORS);
    let (sector, count) = (start as u64, range.len() as u64);
    match rng.below(6) {
        0 | 1 => pool.write(volume, sector, &filled(tag, range.len())).map(|()| content[range].fill(tag)),
        2 => pool.write_zeroes(volume, sector, count).map(|()| content[range].fill(0)),
        3 => {
            let spb = pool.info().block_size as usize / 512;
            let end = if range.end == SECTORS { SECTORS } else { range.end / spb * spb };
            let whole = range.start.div_ceil(spb) * spb..end;
            pool.discard(volume, sector, count)?;
            if whole.start < whole.end {
                content[whole].fill(0);
            }
            Ok(())
        }
        4 => pool.flush(),
        _ => {
            let name = format!("s{tag}");
            pool.snapshot(volume, &Attributes { name: &name, ..Attributes::default() }).map(drop)
        }
    }
}

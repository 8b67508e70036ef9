//! A guaranteed volume beside thin ones on a pool that they fill: it never runs out of space.

use cowl::{Attributes, Error, LayerFlags, LayerId, Pool};

use super::{
    super::{
        judge::sound,
        medium::{Disk, Medium},
        text,
    },
    filled, merge_all, same, values,
};
use crate::sim::{Config, Rng, mount};

const PROMISED: usize = 70;
const THIN: usize = 600;

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    let config = Config { blocks: 560, pending: 2 + (seed % 3) as u32 * 4, ..Config::TINY };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let promised = pool.create(&named("promised"), PROMISED as u64, LayerFlags::GUARANTEED).map_err(text("create"))?;
    let thin = pool.create(&named("thin"), THIN as u64, LayerFlags::empty()).map_err(text("create"))?;
    let mut content = vec![0; PROMISED];
    let mut snapshots: Vec<LayerId> = Vec::new();
    let mut rng = Rng::new(seed ^ 0x9a);
    for serial in 1..90u64 {
        let tag = serial << 8 | 2;
        match rng.below(16) {
            0..5 => fill(&mut pool, thin, rng.below(THIN as u64 - 40), &filled(tag, 40))?,
            5..11 => {
                let start = rng.below(PROMISED as u64) as usize;
                let range = start..(start + 1 + rng.below(12) as usize).min(PROMISED);
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
        same(&values(&mut pool, promised, PROMISED).map_err(text("read"))?, &content)
            .map_err(|why| format!("step {serial}: {why}"))?;
    }
    sound(&mut pool)
}

/// Writes to the thin volume; that there is no space is what is wanted.
fn fill<D: cowl::BlockDevice<Error: std::fmt::Debug>>(
    pool: &mut Pool<'_, D>,
    thin: LayerId,
    sector: u64,
    bytes: &[u8],
) -> Result<(), String> {
    match pool.write(thin, sector, bytes) {
        Ok(()) | Err(Error::NoSpace { .. }) => Ok(()),
        Err(error) => Err(text("a thin write")(error)),
    }
}

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

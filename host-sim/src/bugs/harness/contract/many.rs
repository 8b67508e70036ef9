//! Many volumes on a pool that they fill, each written in one place far from the last: a checkpoint changes as many pages of the catalog
//! and paths of maps as it can come to. However full the pool is, it goes through.

use std::collections::BTreeMap;

use cowl::{Attributes, Error, LayerFlags, LayerId, Pool};

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

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    let blocks = 620 + (seed % 5) as usize * 41;
    let config = Config { blocks, pending: VOLUMES, journal_units: 16, ..Config::TINY };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let mut volumes: Vec<LayerId> = Vec::new();
    for number in 0..VOLUMES {
        let name = format!("v{number}");
        let attributes = Attributes { name: &name, ..Attributes::default() };
        volumes.push(pool.create(&attributes, SECTORS, LayerFlags::empty()).map_err(text("create"))?);
    }
    let mut content: BTreeMap<(u32, u64), u64> = BTreeMap::new();
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
        pool.checkpoint().map_err(|error| format!("round {round}: a checkpoint: {error:?}"))?;
        if refused == volumes.len() {
            // Every third goes, and there is room again.
            let gone: Vec<(u32, u64)> = content.keys().copied().filter(|_| rng.below(3) == 0).collect();
            for (volume, address) in gone {
                pool.discard(LayerId(volume), address, 1).map_err(text("discard"))?;
                content.remove(&(volume, address));
            }
        }
    }
    for ((volume, address), tag) in content {
        let mut bytes = [0; 512];
        pool.read(LayerId(volume), address, &mut bytes).map_err(text("read"))?;
        let found = value_of(&bytes);
        if found != tag {
            return Err(format!("volume {volume} sector {address} is {found:x}, not {tag:x}"));
        }
    }
    sound(&mut pool, true)
}

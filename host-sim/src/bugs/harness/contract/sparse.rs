//! A thin volume far larger than its pool, written here and there, so that every block brings nodes of its own; beside it a guaranteed
//! one. At the brim of the pool only what takes new space is refused: blocks of its own can be written over and discarded,
//! what is pending gets its checkpoint, layers are deleted and merged, and what was promised is there.

use std::collections::{BTreeMap, BTreeSet};

use cowl::{Attributes, BlockDevice, Error, LayerFlags, LayerId, Pool};

use super::{
    super::{
        medium::{Disk, Medium},
        text,
    },
    filled, merge_all, same, values,
};
use crate::sim::{Config, Rng, mount, sound, value_of};

/// Four levels of nodes of 512 bytes.
const SECTORS: u64 = 1 << 20;
const PROMISED: usize = 40;

struct Sparse<'w, D: BlockDevice> {
    pool: Pool<'w, D>,
    volume: LayerId,
    promised: LayerId,
    content: BTreeMap<u64, u64>,
    sure: Vec<u64>,
    /// Written since the last snapshot, and not discarded.
    owned: BTreeSet<u64>,
    snapshots: Vec<(LayerId, BTreeMap<u64, u64>)>,
}

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    let config = Config {
        blocks: 700 + (seed % 3) as usize * 150,
        pending: [24, 4, 40, 9][(seed % 4) as usize],
        journal_units: 6,
        more_workspace: if seed.is_multiple_of(2) { 4_000 } else { 40_000 },
        ..Config::TINY
    };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let promised = pool.create(&named("sure"), PROMISED as u64, LayerFlags::GUARANTEED).map_err(text("create"))?;
    let volume = pool.create(&named("vast"), SECTORS, LayerFlags::empty()).map_err(text("create"))?;
    let mut sparse = Sparse {
        pool,
        volume,
        promised,
        content: BTreeMap::new(),
        sure: vec![0; PROMISED],
        owned: BTreeSet::new(),
        snapshots: Vec::new(),
    };
    let mut rng = Rng::new(seed ^ 0x59a);
    let places: Vec<u64> = (0..300).map(|_| rng.below(SECTORS)).collect();
    for serial in 1..60 {
        let choice = rng.below(20);
        sparse
            .step(choice, &places, serial << 8 | 3, &mut rng)
            .and_then(|()| sparse.shows(&places))
            .map_err(|why| format!("step {serial} ({choice}): {why}"))?;
    }
    sparse.merge()?;
    sound(&mut sparse.pool, true)
}

impl<D: BlockDevice<Error: std::fmt::Debug>> Sparse<'_, D> {
    fn step(&mut self, choice: u64, places: &[u64], tag: u64, rng: &mut Rng) -> Result<(), String> {
        match choice {
            0..4 => (0..4).try_for_each(|_| self.write(any(places, rng), tag).map(drop)),
            // To the brim, and with what is left everything that must still be possible.
            4..7 => {
                let full = (0..200).try_fold(false, |full, _| Ok(full || !self.write(any(places, rng), tag)?));
                full.map(drop).and_then(|()| self.over(tag, rng)).and_then(|()| self.keeps_its_promise(tag, rng))
            }
            7..9 => self.over(tag, rng),
            9..12 => self.discard(rng),
            12 => self.keeps_its_promise(tag, rng),
            13..15 => self.snapshot(tag),
            15 => self.pool.checkpoint().map_err(text("checkpoint")),
            16 | 17 => self.merge(),
            _ => self.pool.flush().map_err(text("flush")),
        }
    }

    /// Whether there was space.
    fn write(&mut self, address: u64, tag: u64) -> Result<bool, String> {
        match self.pool.write(self.volume, address, &filled(tag, 1)) {
            Ok(()) => {
                self.content.insert(address, tag);
                self.owned.insert(address);
                Ok(true)
            }
            Err(Error::NoSpace { .. }) if !self.owned.contains(&address) => Ok(false),
            result => result.map(|()| true).map_err(text("a write over a block of its own")),
        }
    }

    /// Writes over blocks of its own, some of them twice.
    fn over(&mut self, tag: u64, rng: &mut Rng) -> Result<(), String> {
        let owned: Vec<u64> = self.owned.iter().copied().collect();
        for address in owned {
            let choice = rng.below(24);
            if choice < 8 {
                self.write(address, tag)?;
            }
            if choice == 0 {
                self.pool.flush().map_err(text("flush"))?;
            }
        }
        self.pool.checkpoint().map_err(text("checkpoint of blocks written over"))
    }

    /// Discards blocks of its own, each under nodes of its own.
    fn discard(&mut self, rng: &mut Rng) -> Result<(), String> {
        let gone: Vec<u64> = self.owned.iter().copied().filter(|_| rng.below(2) == 0).collect();
        for address in gone {
            self.pool.discard(self.volume, address, 1).map_err(text("a discard of a block of its own"))?;
            self.content.remove(&address);
            self.owned.remove(&address);
        }
        self.pool.checkpoint().map_err(text("checkpoint of discards"))
    }

    fn keeps_its_promise(&mut self, tag: u64, rng: &mut Rng) -> Result<(), String> {
        let start = rng.below(PROMISED as u64) as usize;
        let count = PROMISED - start;
        self.pool.write(self.promised, start as u64, &filled(tag, count)).map_err(text("a promised write"))?;
        self.sure[start..].fill(tag);
        Ok(())
    }

    fn snapshot(&mut self, tag: u64) -> Result<(), String> {
        match self.pool.snapshot(self.volume, &named(&format!("s{tag}"))) {
            Ok(id) => {
                self.snapshots.push((id, self.content.clone()));
                self.owned.clear();
                Ok(())
            }
            Err(Error::NoSpace { .. }) => Ok(()),
            Err(error) => Err(text("snapshot")(error)),
        }
    }

    /// Every snapshot still shows what it was taken of, and goes.
    fn merge(&mut self) -> Result<(), String> {
        for (id, content) in std::mem::take(&mut self.snapshots) {
            for (address, tag) in &content {
                self.holds(id, *address, *tag)?;
            }
            self.pool.delete(id).map_err(text("delete"))?;
        }
        merge_all(&mut self.pool).map_err(text("merge"))?;
        sound(&mut self.pool, true)?;
        let data = self.pool.layer(self.volume).map_err(text("layer"))?.delta.data;
        let mapped = self.content.len() as u64;
        self.pool.checkpoint().map_err(text("checkpoint"))?;
        let settled = self.pool.layer(self.volume).map_err(text("layer"))?.delta;
        // A path of four nodes for each block, at most.
        if settled.data != mapped || settled.nodes > 4 * mapped {
            return Err(format!("{settled:?} (before the checkpoint {data} blocks) for {mapped} blocks"));
        }
        Ok(())
    }

    fn shows(&mut self, places: &[u64]) -> Result<(), String> {
        for address in places.iter().step_by(5) {
            self.holds(self.volume, *address, self.content.get(address).copied().unwrap_or(0))?;
        }
        same(&values(&mut self.pool, self.promised, PROMISED).map_err(text("read"))?, &self.sure)
    }

    fn holds(&mut self, layer: LayerId, address: u64, tag: u64) -> Result<(), String> {
        let mut bytes = [0; 512];
        self.pool.read(layer, address, &mut bytes).map_err(text("read"))?;
        let found = value_of(&bytes);
        if found == tag { Ok(()) } else { Err(format!("layer {} sector {address} is {found:x}, not {tag:x}", layer.0)) }
    }
}

fn any(places: &[u64], rng: &mut Rng) -> u64 {
    places[rng.below(places.len() as u64) as usize]
}

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

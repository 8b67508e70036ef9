//! Thin volumes on a pool that is too small for them: what is refused changes nothing, and what needs no space is not refused.

use std::ops::Range;

use cowl::{Attributes, Error, LayerFlags, LayerId, Pool};

use super::{
    super::{
        medium::{Disk, Medium},
        text,
    },
    filled, merge_all, same, values,
};
use crate::sim::{Config, Rng, mount, sound};

const SECTORS: usize = 260;

/// The pool, and what its volume must hold.
struct Thin<'w, D: cowl::BlockDevice> {
    pool: Pool<'w, D>,
    volume: LayerId,
    content: Vec<u64>,
    /// The sector has a block.
    mapped: Vec<bool>,
    /// The block is the volume's own, and so is the way to it.
    owned: Vec<bool>,
    snapshots: Vec<(LayerId, Vec<u64>)>,
}

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    let config = Config { blocks: 300 + (seed % 5) as usize * 8, pending: 2 + (seed % 4) as u32 * 3, ..Config::TINY };
    let flags = if seed % 3 == 2 { LayerFlags::INTEGRITY } else { LayerFlags::empty() };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let attributes = Attributes { name: "v", ..Attributes::default() };
    let volume = pool.create(&attributes, SECTORS as u64, flags).map_err(text("create"))?;
    let mut thin = Thin {
        pool,
        volume,
        content: vec![0; SECTORS],
        mapped: vec![false; SECTORS],
        owned: vec![false; SECTORS],
        snapshots: Vec::new(),
    };
    let mut rng = Rng::new(seed);
    for serial in 1..80 {
        let start = rng.below(SECTORS as u64) as usize;
        let range = start..(start + 1 + rng.below(30) as usize).min(SECTORS);
        let choice = rng.below(20);
        thin.step(choice, range.clone(), serial << 8 | 1).map_err(|why| format!("step {serial} ({choice}): {why}"))?;
        same(&values(&mut thin.pool, volume, SECTORS).map_err(text("read"))?, &thin.content)
            .map_err(|why| format!("step {serial} ({choice}, {range:?}): {why}"))?;
    }
    for (id, content) in &thin.snapshots {
        same(&values(&mut thin.pool, *id, SECTORS).map_err(text("read"))?, content)?;
    }
    thin.merge()?;
    thin.discard(0..SECTORS)?;
    thin.merge()?;
    let delta = thin.pool.layer(volume).map_err(text("layer"))?.delta;
    if delta.data + delta.nodes > 0 {
        return Err(format!("{delta:?} for a volume of which everything was discarded"));
    }
    sound(&mut thin.pool, true)
}

impl<D: cowl::BlockDevice<Error: std::fmt::Debug>> Thin<'_, D> {
    fn step(&mut self, choice: u64, range: Range<usize>, tag: u64) -> Result<(), String> {
        match choice {
            0..10 => self.write(range, tag),
            10..12 => self.pool.flush().map_err(text("flush")),
            12 => self.pool.checkpoint().map_err(text("checkpoint")),
            13..16 => self.discard(range),
            16..18 => self.snapshot(tag),
            _ => self.merge(),
        }
    }

    fn write(&mut self, range: Range<usize>, tag: u64) -> Result<(), String> {
        let free_of_cost = self.owned[range.clone()].iter().all(|owned| *owned);
        match self.pool.write(self.volume, range.start as u64, &filled(tag, range.len())) {
            Ok(()) => {
                self.content[range.clone()].fill(tag);
                self.mapped[range.clone()].fill(true);
                self.owned[range].fill(true);
                Ok(())
            }
            Err(Error::NoSpace { .. }) if !free_of_cost => self.is_full(range.len() as u64),
            result => result.map_err(text("a write over blocks of its own")),
        }
    }

    /// A refusal is honest: there is no space beyond what is set aside.
    fn is_full(&self, sectors: u64) -> Result<(), String> {
        let space = self.pool.space();
        let left = space.free.saturating_sub(space.reserve + space.guaranteed);
        if left < 2 * sectors + 12 { Ok(()) } else { Err(format!("no space for {sectors} blocks, with {left} left")) }
    }

    fn discard(&mut self, range: Range<usize>) -> Result<(), String> {
        let free_of_cost = self.snapshots.is_empty() && self.owned == self.mapped;
        match self.pool.discard(self.volume, range.start as u64, range.len() as u64) {
            Ok(()) => {
                self.content[range.clone()].fill(0);
                self.mapped[range.clone()].fill(false);
                self.owned[range].fill(false);
                Ok(())
            }
            Err(Error::NoSpace { .. }) if !free_of_cost => {
                // What went before the refusal stays done.
                let found = values(&mut self.pool, self.volume, SECTORS).map_err(text("read"))?;
                for i in range {
                    if found[i] == 0 {
                        self.content[i] = 0;
                        (self.mapped[i], self.owned[i]) = (false, false);
                    }
                }
                Ok(())
            }
            result => result.map_err(text("a discard of its own blocks")),
        }
    }

    fn snapshot(&mut self, tag: u64) -> Result<(), String> {
        let (name, layers) = (format!("s{tag}"), self.pool.info().layers);
        let taken = self.pool.snapshot(self.volume, &Attributes { name: &name, ..Attributes::default() });
        match taken {
            Ok(id) => {
                self.snapshots.push((id, self.content.clone()));
                self.owned.fill(false);
                Ok(())
            }
            Err(Error::NoSpace { .. }) if self.pool.info().layers == layers => Ok(()),
            result => Err(format!("snapshot: {result:?}, {layers} layers before")),
        }
    }

    /// Deleting and merging work however full the pool is, and give back everything.
    fn merge(&mut self) -> Result<(), String> {
        for (id, content) in std::mem::take(&mut self.snapshots) {
            same(&values(&mut self.pool, id, SECTORS).map_err(text("read"))?, &content)
                .map_err(|why| format!("snapshot {id:?}: {why}"))?;
            self.pool.delete(id).map_err(text("delete"))?;
        }
        merge_all(&mut self.pool).map_err(text("merge"))?;
        self.pool.checkpoint().map_err(text("checkpoint"))?;
        self.owned.clone_from(&self.mapped);
        let layer = self.pool.layer(self.volume).map_err(text("layer"))?;
        let mapped = self.mapped.iter().filter(|mapped| **mapped).count() as u64;
        if layer.delta.data == mapped { Ok(()) } else { Err(format!("{:?} for {mapped} blocks", layer.delta)) }
    }
}

//! The demonstration's workbench: a mounted pool and the plain copy beside it, changed together and compared.

use cowl::{Attributes, BlockDevice, Error, LayerId, Merge, Pool};
use uuid::Uuid;

use super::{
    plain::{BLOCK, PER_BLOCK, Plain, Plains, SECTOR, Volume},
    power::PowerCut,
};
use crate::{
    DeviceError,
    cli::failure::{Failure, Kind},
    sim::Rng,
};

/// The pool of the demonstration.
pub type DemoPool<'w> = Pool<'w, PowerCut>;
/// What its calls give.
pub type Outcome<T> = Result<T, Error<DeviceError>>;

/// Bytes compared at a time.
const CHUNK: usize = 1 << 20;

/// A change of the tree of layers that a power cut may have caught.
#[derive(Debug, Clone)]
pub enum Change {
    /// A snapshot of a volume.
    Snapshot { volume: String, name: String },
    /// A rollback; what was there may be kept.
    Rollback { volume: String, to: String, keep: Option<String>, time: u64 },
    /// A layer deleted.
    Delete { name: String },
}

/// A pool and its plain copy.
pub struct Bench<'w, 'p> {
    /// The pool.
    pub pool: DemoPool<'w>,
    /// The plain copy.
    pub plains: &'p mut Plains,
}

/// The attributes of a new layer.
pub fn named(name: &str, time: u64) -> Attributes<'_> {
    Attributes { name, uuid: *Uuid::new_v4().as_bytes(), description: "made by cowl demo", time }
}

impl Bench<'_, '_> {
    /// The number of a layer.
    pub fn id(&mut self, name: &str) -> Outcome<LayerId> {
        Ok(self.pool.find(name)?.ok_or(Error::NoSuchLayer(LayerId(0)))?.id)
    }

    /// Random writes and discards to a volume; gives the bytes written.
    pub fn scribble(&mut self, random: &mut Rng, volume: &str, count: u64) -> Outcome<u64> {
        let id = self.id(volume)?;
        let sectors = self.plains.volumes.get(volume).map_or(0, |volume| volume.current.blocks() as u64) * PER_BLOCK;
        let mut written = 0;
        for _ in 0..count {
            if random.below(8) == 0 {
                let (block, blocks) = (random.below(sectors / PER_BLOCK), 1 + random.below(16));
                let (start, end) = (block * PER_BLOCK, ((block + blocks) * PER_BLOCK).min(sectors));
                // Recorded first: a cut in the middle may leave any part of it.
                let zeros = vec![0; usize::try_from(end - start).unwrap_or(0) * SECTOR];
                self.plains.write(volume, start, &zeros);
                self.pool.discard(id, start, end - start)?;
                continue;
            }
            let start = random.below(sectors);
            let longest = if random.below(4) == 0 { 128 } else { 16 };
            let length = (1 + random.below(longest)).min(sectors - start);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0) * SECTOR];
            random.fill(&mut bytes);
            self.plains.write(volume, start, &bytes);
            self.pool.write(id, start, &bytes)?;
            written += bytes.len() as u64;
        }
        Ok(written)
    }

    /// Makes everything durable.
    pub fn flush(&mut self) -> Outcome<()> {
        self.pool.flush()?;
        self.plains.flushed();
        Ok(())
    }

    /// Makes everything durable, with nothing left pending.
    pub fn checkpoint(&mut self) -> Outcome<()> {
        self.pool.checkpoint()?;
        self.plains.flushed();
        Ok(())
    }

    /// Changes the tree, in the pool and then in the plain copy.
    pub fn change(&mut self, change: &Change) -> Outcome<()> {
        match change {
            Change::Snapshot { volume, name } => {
                let id = self.id(volume)?;
                self.pool.snapshot(id, &named(name, crate::cli::time::now()))?;
            }
            Change::Rollback { volume, to, keep, time } => {
                let (id, snapshot) = (self.id(volume)?, self.id(to)?);
                let keep = keep.as_deref().map(|name| named(name, *time));
                self.pool.rollback(id, snapshot, *time, keep.as_ref())?;
            }
            Change::Delete { name } => {
                let id = self.id(name)?;
                self.pool.delete(id)?;
            }
        }
        self.note(change);
        Ok(())
    }

    /// After a power cut: whether the change had happened; the plain copy follows.
    pub fn settle(&mut self, change: &Change) -> Outcome<bool> {
        let happened = match change {
            Change::Snapshot { name, .. } => self.pool.find(name)?.is_some(),
            Change::Delete { name } => self.pool.find(name)?.is_none(),
            Change::Rollback { volume, time, .. } => {
                let id = self.id(volume)?;
                self.pool.layer(id)?.reverted_at == Some(*time)
            }
        };
        if happened {
            self.note(change);
        }
        Ok(happened)
    }

    fn note(&mut self, change: &Change) {
        match change {
            Change::Snapshot { volume, name } => self.plains.snapshot(volume, name),
            Change::Rollback { volume, to, keep, .. } => self.plains.rollback(volume, to, keep.as_deref()),
            Change::Delete { name } => self.plains.delete(name),
        }
    }

    /// Merges to the end; gives the number of steps.
    pub fn merge(&mut self) -> Outcome<u64> {
        let mut steps = 0;
        while self.pool.merge_step(256)? != Merge::Idle {
            steps += 1;
        }
        Ok(steps)
    }

    /// The smallest step of merge that there is.
    pub fn merge_a_little(&mut self) -> Outcome<()> {
        match self.pool.merge_step(1) {
            Err(Error::BudgetTooSmall { needed }) => self.pool.merge_step(needed).map(drop),
            step => step.map(drop),
        }
    }

    /// Compares every layer with the plain copy; gives the bytes compared. What volumes read then counts as durable, as after a mount.
    ///
    /// # Errors
    /// [`Kind::Damage`] if anything differs.
    pub fn verify(&mut self) -> Result<u64, Failure> {
        let mut found: Vec<String> =
            self.pool.layers().map(|layer| layer.map(|layer| layer.name.to_string())).collect::<Outcome<_>>()?;
        found.sort();
        if found != self.plains.names() {
            return Err(Failure::new(
                Kind::Damage,
                format!("the pool has the layers {found:?}, it should have {:?}", self.plains.names()),
            ));
        }
        let mut bytes = 0;
        for name in found {
            let id = self.id(&name)?;
            bytes += if let Some(snapshot) = self.plains.snapshots.get(&name) {
                compare(&mut self.pool, id, &name, snapshot.blocks(), |block, read| read == snapshot.block(block))?
            } else {
                self.verify_volume(id, &name)?
            };
        }
        Ok(bytes)
    }

    fn verify_volume(&mut self, id: LayerId, name: &str) -> Result<u64, Failure> {
        let Some(volume) = self.plains.volumes.get_mut(name) else { return Ok(0) };
        let mut content: Plain = volume.current.clone();
        let bytes = compare(&mut self.pool, id, name, content.blocks(), |block, read| {
            if read == volume.current.block(block) {
                return true;
            }
            content.write(block as u64 * PER_BLOCK, read);
            let mut sectors = (block as u64 * PER_BLOCK..).zip(read.chunks(SECTOR));
            !volume.is_settled(block) && sectors.all(|(sector, bytes)| volume.allows(sector, bytes))
        })?;
        *volume = Volume::new(content);
        Ok(bytes)
    }
}

/// Reads a layer and asks of every block whether it is right.
fn compare<D: BlockDevice<Error = DeviceError>>(
    pool: &mut Pool<'_, D>,
    id: LayerId,
    name: &str,
    blocks: usize,
    mut right: impl FnMut(usize, &[u8; BLOCK]) -> bool,
) -> Result<u64, Failure> {
    let mut buffer = vec![0; CHUNK];
    let mut block = 0;
    while block < blocks {
        let count = (CHUNK / BLOCK).min(blocks - block);
        let bytes = &mut buffer[..count * BLOCK];
        pool.read(id, block as u64 * PER_BLOCK, bytes)?;
        let (chunks, _) = bytes.as_chunks::<BLOCK>();
        if let Some(wrong) = (block..).zip(chunks).find(|(index, read)| !right(*index, read)) {
            return Err(Failure::new(
                Kind::Damage,
                format!("`{name}` differs from the plain copy in block {}", wrong.0),
            ));
        }
        block += count;
    }
    Ok((blocks * BLOCK) as u64)
}

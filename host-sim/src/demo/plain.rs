//! The plain copy kept beside the pool: what every layer must hold, by the rules of a raw disk.
//!
//! It knows nothing of cowl: arrays of blocks, and for each volume the values that each sector may have after a power loss
//! (the flushed one, or any written since).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Bytes in a sector of the demonstration's pool.
pub const SECTOR: usize = 512;
/// Bytes in a block of it.
pub const BLOCK: usize = BLOCK_SIZE as usize;
/// The same number, as the format has it.
pub const BLOCK_SIZE: u32 = 4096;
/// Sectors in a block.
pub const PER_BLOCK: u64 = (BLOCK / SECTOR) as u64;

/// A whole disk; copies share what they have in common.
#[derive(Debug, Clone)]
pub struct Plain {
    blocks: Vec<Arc<[u8; BLOCK]>>,
}

impl Plain {
    /// A disk of zeros of so many blocks.
    pub fn zeros(blocks: usize) -> Self {
        Self { blocks: std::iter::repeat_n(Arc::new([0; BLOCK]), blocks).collect() }
    }

    /// Blocks that it has.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// A block's content.
    pub fn block(&self, index: usize) -> &[u8; BLOCK] {
        &self.blocks[index]
    }

    /// Stores whole sectors.
    pub fn write(&mut self, sector: u64, bytes: &[u8]) {
        for (index, bytes) in (sector..).zip(bytes.chunks(SECTOR)) {
            let (block, within) = place(index);
            Arc::make_mut(&mut self.blocks[block])[within..within + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// A sector's content.
    pub fn sector(&self, index: u64) -> &[u8] {
        let (block, within) = place(index);
        &self.blocks[block][within..within + SECTOR]
    }
}

fn place(sector: u64) -> (usize, usize) {
    let block = usize::try_from(sector / PER_BLOCK).unwrap_or(usize::MAX);
    (block, usize::try_from(sector % PER_BLOCK).unwrap_or(0) * SECTOR)
}

/// A volume: what it reads now, what was flushed, and what else a sector may hold after a power loss.
#[derive(Debug, Clone)]
pub struct Volume {
    /// What it reads now.
    pub current: Plain,
    durable: Plain,
    since: HashMap<u64, Vec<Vec<u8>>>,
}

impl Volume {
    /// All of it durable.
    pub fn new(content: Plain) -> Self {
        Self { durable: content.clone(), current: content, since: HashMap::new() }
    }

    /// Whether a sector may hold these bytes after a power loss.
    pub fn allows(&self, sector: u64, bytes: &[u8]) -> bool {
        self.durable.sector(sector) == bytes
            || self.since.get(&sector).is_some_and(|values| values.iter().any(|value| value == bytes))
    }

    /// Whether all sectors of a block are flushed.
    pub fn is_settled(&self, block: usize) -> bool {
        Arc::ptr_eq(&self.current.blocks[block], &self.durable.blocks[block])
    }
}

/// Every layer of the pool, by name.
#[derive(Debug, Default)]
pub struct Plains {
    /// The volumes.
    pub volumes: BTreeMap<String, Volume>,
    /// The snapshots.
    pub snapshots: BTreeMap<String, Plain>,
}

impl Plains {
    /// A write, not flushed yet.
    pub fn write(&mut self, volume: &str, sector: u64, bytes: &[u8]) {
        let Some(volume) = self.volumes.get_mut(volume) else { return };
        volume.current.write(sector, bytes);
        for (index, bytes) in (sector..).zip(bytes.chunks(SECTOR)) {
            volume.since.entry(index).or_default().push(bytes.to_vec());
        }
    }

    /// Everything written so far is durable.
    pub fn flushed(&mut self) {
        for volume in self.volumes.values_mut() {
            volume.durable = volume.current.clone();
            volume.since.clear();
        }
    }

    /// A snapshot was taken; with it everything is durable.
    pub fn snapshot(&mut self, volume: &str, name: &str) {
        self.flushed();
        if let Some(volume) = self.volumes.get(volume) {
            self.snapshots.insert(name.to_owned(), volume.current.clone());
        }
    }

    /// A volume was rolled back, its content perhaps kept; with it everything is durable.
    pub fn rollback(&mut self, volume: &str, to: &str, keep: Option<&str>) {
        if let Some(keep) = keep {
            self.snapshot(volume, keep);
        }
        self.flushed();
        if let Some(content) = self.snapshots.get(to) {
            self.volumes.insert(volume.to_owned(), Volume::new(content.clone()));
        }
    }

    /// A volume was made from a snapshot.
    pub fn clone_snapshot(&mut self, snapshot: &str, name: &str) {
        self.flushed();
        if let Some(content) = self.snapshots.get(snapshot) {
            self.volumes.insert(name.to_owned(), Volume::new(content.clone()));
        }
    }

    /// A layer was deleted.
    pub fn delete(&mut self, name: &str) {
        self.flushed();
        self.snapshots.remove(name);
        self.volumes.remove(name);
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.volumes.keys().chain(self.snapshots.keys()).cloned().collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::{Plain, Plains, SECTOR, Volume};

    #[test]
    fn after_a_power_loss_a_sector_is_what_was_flushed_or_anything_written_since() {
        let mut plains = Plains::default();
        plains.volumes.insert("v".into(), Volume::new(Plain::zeros(2)));
        for value in [1, 2] {
            plains.write("v", 9, &[value; SECTOR]);
        }
        let allows = |plains: &Plains, value: u8| plains.volumes["v"].allows(9, &[value; SECTOR]);
        assert!([0, 1, 2].into_iter().all(|value| allows(&plains, value)) && !allows(&plains, 3));
        assert!(!plains.volumes["v"].is_settled(1) && plains.volumes["v"].is_settled(0));
        plains.flushed();
        assert!(allows(&plains, 2) && !allows(&plains, 1) && !allows(&plains, 0));
    }

    #[test]
    fn a_rollback_that_keeps_leaves_the_old_content_as_a_snapshot() {
        let mut plains = Plains::default();
        plains.volumes.insert("v".into(), Volume::new(Plain::zeros(1)));
        plains.snapshot("v", "s");
        plains.write("v", 0, &[5; SECTOR]);
        plains.rollback("v", "s", Some("k"));
        assert_eq!(plains.volumes["v"].current.sector(0), [0; SECTOR]);
        assert_eq!(plains.snapshots["k"].sector(0), [5; SECTOR]);
        assert_eq!(plains.names(), ["k", "s", "v"]);
    }
}

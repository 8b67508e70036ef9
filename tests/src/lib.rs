//! What the integration tests share; the tests themselves lie beside this folder, one file for each theme.

pub mod contents;
pub mod edit;

use std::collections::HashMap;

use cowl::{Attributes, BlockDevice, Counters, Counting, FormatOptions, Geometry, LayerId, MountOptions, Pool};
use cowl_host::sim::{Config, Op, crash_history};

/// A device of any size in memory: only sectors that were written take space.
#[derive(Debug, Clone)]
pub struct SparseDisk {
    sectors: HashMap<u64, Box<[u8]>>,
    /// What the device says of itself.
    pub geometry: Geometry,
}

/// A transfer past the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastEnd;

impl SparseDisk {
    /// A disk of zeros.
    pub fn new(sector_size: u32, bytes: u64) -> Self {
        Self { sectors: HashMap::new(), geometry: Geometry::new(sector_size, bytes / u64::from(sector_size)) }
    }

    /// The sector was ever written.
    pub fn has(&self, sector: u64) -> bool {
        self.sectors.contains_key(&sector)
    }

    /// Sectors that were ever written.
    pub fn written(&self) -> usize {
        self.sectors.len()
    }

    fn check(&self, sector: u64, length: usize) -> Result<(), PastEnd> {
        let count = length as u64 / u64::from(self.geometry.sector_size);
        if sector + count > self.geometry.sectors { Err(PastEnd) } else { Ok(()) }
    }
}

impl BlockDevice for SparseDisk {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        self.check(sector, buffer.len())?;
        for (i, part) in (sector..).zip(buffer.chunks_mut(self.geometry.sector_size as usize)) {
            match self.sectors.get(&i) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), PastEnd> {
        self.check(sector, buffer.len())?;
        for (i, part) in (sector..).zip(buffer.chunks(self.geometry.sector_size as usize)) {
            self.sectors.insert(i, part.into());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        Ok(())
    }
}

/// A device whose operations are counted.
pub type Counted = Counting<SparseDisk>;
/// A pool on it.
pub type CountedPool<'w> = Pool<'w, Counted>;

/// A formatted device, ready to be mounted.
pub fn formatted(bytes: u64, options: &FormatOptions) -> Counted {
    let mut disk = Counting::new(SparseDisk::new(512, bytes));
    let limits = cowl::Limits {
        pending: options.pending,
        ..cowl::Limits::new(options.block_size, bytes / u64::from(options.block_size))
    };
    let mut workspace = vec![0; cowl::workspace_size(options.block_size, limits)];
    Pool::format(&mut disk, &mut workspace, options).expect("format");
    disk.take();
    disk
}

/// Mounts it with this workspace.
pub fn mounted(disk: Counted, workspace: &mut [u8]) -> CountedPool<'_> {
    Pool::mount(disk, workspace, &MountOptions::default()).expect("mount")
}

/// A name and nothing else.
pub fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// The device operations of one call.
pub fn cost<'w, T>(pool: &mut CountedPool<'w>, call: impl FnOnce(&mut CountedPool<'w>) -> T) -> (T, Counters) {
    pool.device_mut().take();
    let result = call(pool);
    let counters = pool.device_mut().take();
    (result, counters)
}

/// A chain of snapshots of a volume, each with one block of its own; the last one is returned.
pub fn deepen(pool: &mut CountedPool<'_>, volume: LayerId, depth: u32) -> Option<LayerId> {
    let block = vec![7; pool.info().block_size as usize];
    let mut last = None;
    for i in 0..depth {
        if i % 64 == 0 {
            pool.write(volume, 8 * u64::from(i % 4), &block).expect("write");
        }
        last = Some(pool.snapshot(volume, &named(&format!("deep{i}"))).expect("snapshot"));
    }
    last
}

/// Every history of a length over an alphabet, in order.
pub fn histories(alphabet: &[Op], length: u32) -> impl Iterator<Item = Vec<Op>> {
    let letters = alphabet.len();
    let history = move |number: usize| (0..length).map(move |i| alphabet[number / letters.pow(i) % letters]).collect();
    (0..letters.pow(length)).map(history)
}

/// Runs a history on the smallest pool with a cut at every device write, all states of up to five pending sectors; and again
/// with larger blocks, and with integrity.
pub fn survives(ops: &[Op]) {
    let larger = Config { block_size: 1024, sectors: 8, ..Config::TINY };
    let integrity = Config { flags: cowl::LayerFlags::INTEGRITY, ..larger };
    let guaranteed = Config { flags: cowl::LayerFlags::GUARANTEED, blocks: 700, ..Config::TINY };
    for config in [Config::TINY, larger, integrity, guaranteed] {
        let tally = crash_history(&config, ops, 5, 1).unwrap_or_else(|why| panic!("{config:?}: {why}"));
        assert!(tally.images > 0 && tally.operations > 0);
    }
}

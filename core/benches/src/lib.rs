//! What the benches of the core's calls share: pools over a disk in memory, so that nothing but the core is measured.
//!
//! `cargo bench -p cowl-benches` measures, and compares with its last run; `-- --test` only tries each bench once. What the layer
//! costs over a real file is measured by `cowl bench`.

use cowl::{Attributes, Checksum, FormatOptions, LayerFlags, LayerId, MountOptions, Pool, RamDisk};
/// The checksum of hosts: by the processor's own instructions.
pub use cowl_host::crc32c as hardware;

/// Bytes of a block.
pub const BLOCK: usize = 4096;
/// Sectors of a block.
pub const SECTORS: u64 = 8;
/// Blocks of a volume.
pub const BLOCKS: u64 = 4096;
/// Bytes of a disk: room for the volume several times over.
const DISK: usize = 128 << 20;
/// Bytes of a workspace: every map fits.
const WORKSPACE: usize = 4 << 20;

/// A pool over memory that is never given back.
pub type BenchPool = Pool<'static, RamDisk<'static>>;

/// Memory for the rest of the process.
fn memory(bytes: usize) -> &'static mut [u8] {
    vec![0; bytes].leak()
}

/// A name and nothing else.
pub fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// A new pool.
pub fn empty_pool() -> BenchPool {
    let (disk, workspace) = (memory(DISK), memory(WORKSPACE));
    let default = FormatOptions::new(4096, [7; 16]);
    let options = FormatOptions { pending: 1024, journal_units: 256, checksum: hardware as Checksum, ..default };
    Pool::format(RamDisk::new(&mut *disk), workspace, &options).expect("a pool");
    mounted(disk, workspace)
}

/// The pool on this disk, mounted.
fn mounted(disk: &'static mut [u8], workspace: &'static mut [u8]) -> BenchPool {
    let options = MountOptions { checksum: hardware as Checksum, ..MountOptions::default() };
    Pool::mount(RamDisk::new(disk), workspace, &options).expect("a mount")
}

/// A pool with a volume whose every block is written.
pub fn full_pool() -> (BenchPool, LayerId) {
    let mut pool = empty_pool();
    let volume = pool.create(&named("volume"), BLOCKS * SECTORS, LayerFlags::empty()).expect("a volume");
    for block in 0..BLOCKS {
        pool.write(volume, block * SECTORS, &[1; BLOCK]).expect("room");
    }
    pool.checkpoint().expect("a checkpoint");
    (pool, volume)
}

/// Snapshots below the volume, each with a block of its own.
pub fn deepen(pool: &mut BenchPool, volume: LayerId, depth: u64) {
    for i in 0..depth {
        pool.snapshot(volume, &named(&format!("s{i}"))).expect("a snapshot");
        pool.write(volume, i % BLOCKS * SECTORS, &[2; BLOCK]).expect("room");
    }
    pool.checkpoint().expect("a checkpoint");
}

/// Blocks at random, the same on each run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence.
    pub fn new() -> Self {
        Self(1)
    }

    /// The first sector of the next block.
    pub fn sector(&mut self) -> u64 {
        // Knuth's constants for MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % BLOCKS * SECTORS
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

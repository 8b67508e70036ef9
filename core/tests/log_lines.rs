//! The lines that the core writes with the feature `log`, at what an operator wants to find afterwards.
//!
//! One test, for there is one logger in a process.

use std::sync::Mutex;

use cowl::{BlockDevice, Error, FormatOptions, Geometry, LayerFlags, MountOptions, OutOfRange, Pool, RamDisk};
use log::{Level, LevelFilter, Log, Metadata, Record};

struct Memory(Mutex<Vec<(Level, String)>>);

static LINES: Memory = Memory(Mutex::new(Vec::new()));

impl Log for Memory {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        assert!(record.target().starts_with("cowl"), "{}", record.target());
        self.0.lock().unwrap().push((record.level(), record.args().to_string()));
    }

    fn flush(&self) {}
}

/// The lines since the last call.
fn lines() -> Vec<(Level, String)> {
    std::mem::take(&mut LINES.0.lock().unwrap())
}

fn has(lines: &[(Level, String)], level: Level, words: &str) -> bool {
    lines.iter().any(|line| line.0 == level && line.1.contains(words))
}

/// A disk whose flush fails when it is told to.
struct Failing<'a> {
    disk: RamDisk<'a>,
    fails: bool,
}

impl BlockDevice for Failing<'_> {
    type Error = OutOfRange;

    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), OutOfRange> {
        self.disk.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), OutOfRange> {
        self.disk.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), OutOfRange> {
        if self.fails { Err(OutOfRange { sector: 0, length: 0 }) } else { self.disk.flush() }
    }
}

#[test]
fn mounting_damage_refusals_and_failures_leave_their_lines() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Debug);
    let mut memory = vec![0; 400 * 512];
    let mut workspace = vec![0; 1 << 16];
    let options = FormatOptions { pending: 3, ..FormatOptions::new(512, [1; 16]) };
    Pool::format(RamDisk::new(&mut memory), &mut workspace, &options).unwrap();
    lines();

    let disk = Failing { disk: RamDisk::new(&mut memory), fails: false };
    let mut pool = Pool::mount(disk, &mut workspace, &MountOptions::default()).unwrap();
    assert!(has(&lines(), Level::Info, "mounted: generation 2, 0 records from the journal"));
    let named = |name| cowl::Attributes { name, ..cowl::Attributes::default() };
    let volume = pool.create(&named("v"), 1000, LayerFlags::empty()).unwrap();
    assert!(has(&lines(), Level::Debug, "checkpoint 3: 0 records"));

    let Err(Error::NoSpace { missing }) = pool.write(volume, 0, &vec![1; 500 * 512]) else { panic!("too much") };
    assert!(has(&lines(), Level::Warn, &format!("refused: {missing} more free blocks are needed")));

    pool.write(volume, 0, &[1; 512]).unwrap();
    let snapshot = pool.snapshot(volume, &named("s")).unwrap();
    pool.delete(snapshot).unwrap();
    pool.merge_all(1000).unwrap();
    assert!(has(&lines(), Level::Info, &format!("layer {} merged into {}", snapshot.0, volume.0)));

    // Reading and overwriting are silent.
    pool.checkpoint().unwrap();
    lines();
    pool.write(volume, 0, &[2; 512]).unwrap();
    pool.read(volume, 0, &mut [0; 512]).unwrap();
    assert_eq!(lines(), []);

    pool.write(volume, 1, &[2; 512]).unwrap();
    pool.flush().unwrap();
    pool.device_mut().fails = true;
    pool.write(volume, 2, &[2; 512]).unwrap();
    assert!(matches!(pool.flush(), Err(Error::Device(_))));
    assert!(has(&lines(), Level::Error, "poisoned: a flush failed"));
    let newest = pool.info().generation;
    drop(pool);

    // One of the two copies of the newest superblock is rotten.
    let slot = if newest.is_multiple_of(2) { 0 } else { 2 };
    memory[slot * 512 + 100] ^= 1;
    let pool = Pool::mount(RamDisk::new(&mut memory), &mut workspace, &MountOptions::default()).unwrap();
    drop(pool);
    let found = lines();
    assert!(has(&found, Level::Warn, &format!("one copy of the superblock of generation {newest} cannot be read")));
    assert!(has(&found, Level::Info, "records from the journal"));

    // The catalog's root is gone.
    let catalog = u64::from_le_bytes(memory[(slot + 1) * 512 + 96..][..8].try_into().unwrap()) & ((1 << 48) - 1);
    memory[usize::try_from(catalog).unwrap() * 512] ^= 1;
    let mut pool = Pool::mount(RamDisk::new(&mut memory), &mut workspace, &MountOptions::default()).unwrap();
    lines();
    assert!(matches!(pool.find("v"), Err(Error::Corrupt { .. })));
    assert!(has(&lines(), Level::Error, &format!("damage: Catalog at block {catalog}")));
}

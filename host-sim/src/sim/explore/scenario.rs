//! Where explorations begin: shapes of pools, states to start from, and the operations that are tried.

use std::{fmt, rc::Rc, str::FromStr};

use cowl::{BlockDevice, LayerFlags, Pool};

use super::disk::CrashDisk;
use crate::sim::{
    config::Config,
    disk::Sector,
    history::{Op, apply, found, mount, start},
    model::{Model, bytes_of},
    verdict::text,
};

/// A shape of pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Blocks of one sector of 512 bytes, the smallest table and journal: checkpoints all the time.
    Tiny,
    /// The same with a table and a journal that hold a few flushes.
    Journal,
    /// Blocks of two sectors.
    Pairs,
    /// Blocks of eight sectors of 512 bytes.
    Eight,
    /// Sectors and blocks of 4 KiB.
    Large,
    /// Sectors of 512 bytes on a device that rewrites 4 KiB, and may tear all of it.
    Units,
    /// Checksums of all data.
    Integrity,
    /// A guaranteed volume.
    Guaranteed,
    /// A volume whose map has two levels.
    Levels,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Tiny,
        Self::Journal,
        Self::Pairs,
        Self::Eight,
        Self::Large,
        Self::Units,
        Self::Integrity,
        Self::Guaranteed,
        Self::Levels,
    ];

    /// Bytes that its device rewrites as a whole.
    pub fn physical_size(self) -> u32 {
        if self == Self::Units { 4096 } else { self.config().sector_size as u32 }
    }

    /// Its numbers.
    pub fn config(self) -> Config {
        let tiny = Config { blocks: 130, ..Config::TINY };
        let journal = Config { pending: 6, journal_units: 5, blocks: 160, ..tiny };
        match self {
            Self::Tiny => tiny,
            Self::Journal => journal,
            Self::Pairs => Config { block_size: 1024, ..journal },
            Self::Eight | Self::Units => Config { block_size: 4096, sectors: 9, ..journal },
            Self::Large => Config { block_size: 4096, sector_size: 4096, ..journal },
            Self::Integrity => Config { block_size: 1024, flags: LayerFlags::INTEGRITY, ..journal },
            Self::Guaranteed => Config { flags: LayerFlags::GUARANTEED, blocks: 180, ..journal },
            Self::Levels => Config { sectors: 40, blocks: 220, ..journal },
        }
    }
}

/// A state of the pool to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// One volume, never written.
    Empty,
    /// A volume that has diverged from its snapshot.
    Diverged,
    /// Three snapshots in a row, with shared, overwritten, discarded and zeroed blocks.
    Chain,
    /// A merge that has begun.
    HalfMerged,
    /// A deleted snapshot with two children.
    Branching,
    /// No space for another block.
    Full,
    /// Space for one more block.
    OneShort,
    /// A volume whose map gets another level when it grows.
    LevelUp,
    /// A journal with room for one more flush.
    JournalWrap,
    /// Epochs and layer numbers that are nearly used up.
    Counters,
    /// The newest superblock slot is damaged; its copy is whole.
    BadSlot,
    /// A process was killed between a flush and the next.
    Dirty,
}

impl Seed {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Empty,
        Self::Diverged,
        Self::Chain,
        Self::HalfMerged,
        Self::Branching,
        Self::Full,
        Self::OneShort,
        Self::LevelUp,
        Self::JournalWrap,
        Self::Counters,
        Self::BadSlot,
        Self::Dirty,
    ];

    /// What leads to it.
    fn operations(self) -> Vec<Op> {
        use Op::{Checkpoint, Clone, Delete, Discard, Flush, Merge, Rollback, Snapshot, Write, Zero};
        let written = [Write(0, 0, 8, 1), Checkpoint];
        let more: &[Op] = match self {
            Self::Empty => return Vec::new(),
            Self::Full | Self::OneShort | Self::Counters | Self::LevelUp | Self::JournalWrap | Self::BadSlot => &[],
            Self::Diverged => &[Snapshot(0), Write(0, 0, 1, 2), Checkpoint],
            Self::Chain => &[
                Snapshot(0),
                Write(0, 0, 1, 2),
                Zero(0, 1, 1),
                Snapshot(0),
                Discard(0, 2, 1),
                Write(0, 1, 1, 3),
                Snapshot(0),
                Write(0, 0, 1, 4),
                Checkpoint,
            ],
            Self::HalfMerged => {
                &[Snapshot(0), Write(0, 0, 3, 2), Snapshot(0), Write(0, 0, 1, 3), Checkpoint, Delete(2), Merge(0)]
            }
            Self::Branching => &[
                Snapshot(0),
                Clone(0),
                Write(0, 0, 2, 2),
                Write(1, 1, 2, 3),
                Checkpoint,
                Snapshot(0),
                Rollback(0, 0, false),
                Write(0, 3, 1, 4),
                Delete(1),
            ],
            Self::Dirty => {
                &[Snapshot(0), Write(0, 0, 1, 2), Flush, Write(0, 1, 1, 3), Flush, Write(0, 2, 1, 4), Write(0, 0, 1, 5)]
            }
        };
        written.iter().chain(more).copied().collect()
    }

    /// What a run does after its mount and before the operations that are tried.
    fn warming(self) -> &'static [Op] {
        const FLUSHES: [Op; 5] = [Op::Checkpoint, Op::Write(0, 0, 1, 2), Op::Flush, Op::Write(0, 1, 1, 3), Op::Flush];
        match self {
            Self::Dirty | Self::Empty => &[],
            Self::JournalWrap => &FLUSHES,
            _ => &FLUSHES[..1],
        }
    }
}

/// Shows and reads the variants of a type by their names in small letters.
macro_rules! named {
    ($type:ident, $word:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&format!("{self:?}").to_lowercase())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                let known = || Self::ALL.map(|one| one.to_string()).join(", ");
                let found = Self::ALL.into_iter().find(|one| one.to_string() == name);
                found.ok_or_else(|| format!("no {} {name:?}; there are {}", $word, known()))
            }
        }
    };
}

named!(Shape, "shape");
named!(Seed, "seed");

/// A shape in a state, ready to be copied.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The shape.
    pub shape: Shape,
    /// The state.
    pub seed: Seed,
    /// Its numbers.
    pub config: Config,
    /// Bytes that the device rewrites as a whole.
    pub physical_size: u32,
    /// Its flush says yes and does nothing.
    pub lying: bool,
    /// The device.
    pub base: Rc<Vec<Sector>>,
    /// What the pool shows when it is mounted.
    pub model: Model,
    /// What is done after the mount, unwatched.
    pub warming: &'static [Op],
    /// What is tried.
    pub alphabet: Vec<Op>,
    /// What is tried between the first power cut and the second.
    pub second: Vec<Op>,
}

impl Scenario {
    /// Builds the state with the pool itself.
    ///
    /// # Errors
    /// The pool did something that the model does not expect.
    pub fn new(shape: Shape, seed: Seed) -> Result<Self, String> {
        let mut config = shape.config();
        if seed == Seed::LevelUp {
            let entries = config.block_size as usize / 16;
            config = Config {
                sectors: entries * config.block_size as usize / config.sector_size,
                blocks: config.blocks + 2 * entries,
                ..config
            };
        }
        if seed == Seed::Counters {
            // A path to the highest layer number.
            config.more_workspace += 16 * (config.block_size as usize + 40);
        }
        let mut workspace = config.workspace();
        let blank = vec![None; config.device_sectors()];
        let disk = CrashDisk::new(config.sector_size, shape.physical_size(), Rc::new(blank), 0);
        let state = seed.build(&config, disk.clone(), &mut workspace);
        let Built { model, .. } = state.map_err(|why| format!("{shape}-{seed}: {why}"))?;
        let mut sectors = disk.sectors();
        match seed {
            Seed::BadSlot => damage_newest_slot(&mut sectors, &config),
            Seed::Counters => exhaust(&mut sectors, &config),
            _ => {}
        }
        let alphabet = alphabet(config.sectors as u16, (config.block_size as usize / config.sector_size) as u16);
        Ok(Self {
            shape,
            seed,
            config,
            physical_size: shape.physical_size(),
            lying: false,
            base: Rc::new(sectors),
            model,
            warming: seed.warming(),
            alphabet,
            second: second(),
        })
    }
}

/// What a device holds that was brought into a state.
pub(crate) struct Built {
    /// What its pool shows when it is mounted.
    pub(crate) model: Model,
    /// Blocks that were free before there was a volume.
    pub(crate) fresh: u64,
}

impl Seed {
    /// Formats a device and brings the pool on it into this state; what only a change of bytes leads to is left to the caller.
    pub(crate) fn build<D: BlockDevice>(
        self,
        config: &Config,
        mut disk: D,
        workspace: &mut [u8],
    ) -> Result<Built, String> {
        Pool::format(&mut disk, workspace, &config.format()).map_err(text("format"))?;
        let mut pool = mount(disk, workspace).map_err(text("mount"))?;
        let fresh = pool.space().free;
        let mut model = start(&mut pool, config).map_err(text("create"))?;
        model.unit = (pool.device().geometry().physical_size as usize / config.sector_size).max(1);
        for op in self.operations() {
            apply(&mut pool, &mut model, op).map_err(|error| format!("{op:?}: {error:?}"))?;
        }
        if matches!(self, Self::Full | Self::OneShort) {
            fill(&mut pool, &mut model, config, self == Self::OneShort)?;
        }
        // The process ends without a word; what it wrote is on its way to the disk.
        let mut pool = mount(pool.abandon(), workspace).map_err(text("mount"))?;
        model.adopt(&found(&mut pool).map_err(text("read"))?, config.sector_size)?;
        Ok(Built { model, fresh })
    }
}

/// A second volume takes what space there is.
fn fill<D: BlockDevice>(
    pool: &mut Pool<'_, D>,
    model: &mut Model,
    config: &Config,
    but_one: bool,
) -> Result<(), String> {
    let spb = config.block_size as usize / config.sector_size;
    let fail = |error: cowl::Error<_>| format!("filling: {error:?}");
    apply(pool, model, Op::Snapshot(0)).map_err(fail)?;
    apply(pool, model, Op::Clone(0)).map_err(fail)?;
    apply(pool, model, Op::Resize(1, (config.blocks * spb) as u16)).map_err(fail)?;
    let mut blocks = 0;
    while apply(pool, model, Op::Write(1, (blocks * spb) as u16, spb as u8, 9)).map_err(fail)? {
        blocks += 1;
    }
    if but_one {
        apply(pool, model, Op::Discard(1, 0, spb as u8)).map_err(fail)?;
    }
    apply(pool, model, Op::Resize(1, (blocks * spb) as u16)).map_err(fail)?;
    apply(pool, model, Op::Checkpoint).map_err(fail)?;
    Ok(())
}

/// Bytes of a superblock, as FORMAT.md has them.
mod superblock {
    pub const CRC: std::ops::Range<usize> = 12..16;
    pub const GENERATION: std::ops::Range<usize> = 32..40;
    pub const EPOCH: std::ops::Range<usize> = 72..76;
    pub const NEXT_LAYER: std::ops::Range<usize> = 76..80;
}

/// The slots of the newest generation.
fn newest_slots(sectors: &[Sector], config: &Config) -> [usize; 2] {
    let spb = config.block_size as usize / config.sector_size;
    let generation = |slot: usize| {
        let bytes = sectors[slot * spb]
            .as_ref()
            .map_or([0; 8], |bytes| bytes[superblock::GENERATION].try_into().expect("8 bytes"));
        u64::from_le_bytes(bytes)
    };
    if generation(0) > generation(2) { [0, spb] } else { [2 * spb, 3 * spb] }
}

fn damage_newest_slot(sectors: &mut [Sector], config: &Config) {
    let [first, _] = newest_slots(sectors, config);
    sectors[first] = Some(bytes_of(0xbad, config.sector_size).into());
}

/// Leaves two epochs and two layer numbers.
fn exhaust(sectors: &mut [Sector], config: &Config) {
    for slot in newest_slots(sectors, config) {
        let mut bytes = sectors[slot].as_ref().expect("a superblock was written").to_vec();
        bytes[superblock::EPOCH].copy_from_slice(&(u32::MAX - 2).to_le_bytes());
        bytes[superblock::NEXT_LAYER].copy_from_slice(&(u32::MAX - 2).to_le_bytes());
        bytes[superblock::CRC].fill(0);
        let crc = crate::crc32c(0, &bytes[..512]);
        bytes[superblock::CRC].copy_from_slice(&crc.to_le_bytes());
        sectors[slot] = Some(bytes.into());
    }
}

/// What is tried everywhere. Tags are replaced by unique ones.
fn alphabet(sectors: u16, block: u16) -> Vec<Op> {
    vec![
        Op::Write(0, 0, 1, 0),
        Op::Write(0, 0, block as u8 + 1, 0),
        Op::Write(0, sectors - 1, 1, 0),
        Op::Write(1, 0, 1, 0),
        Op::Zero(0, 0, block as u8),
        Op::Discard(0, 0, 2 * block as u8),
        Op::Flush,
        Op::Snapshot(0),
        Op::Rollback(0, 0, false),
        Op::Rollback(0, 1, true),
        Op::Clone(0),
        Op::Delete(0),
        Op::Delete(1),
        Op::Delete(2),
        Op::Merge(0),
        Op::Merge(300),
        Op::Resize(0, (sectors / 2).max(1)),
        Op::Resize(0, sectors + block),
        Op::Checkpoint,
        Op::Kill,
    ]
}

/// What is tried after a recovery.
fn second() -> Vec<Op> {
    vec![Op::Write(0, 0, 1, 0), Op::Flush, Op::Snapshot(0), Op::Rollback(0, 0, false), Op::Delete(1), Op::Merge(300)]
}

//! Pools with something of everything in them, to be damaged.
//!
//! They are made and opened with a checksum that is 0 for all bytes: whatever is changed afterwards, its checksum is right. That
//! is what an attacker can do to CRC-32C, and it brings the fuzzer behind every check at once. One sample has the real checksum.

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use cowl::{
    Attributes, Checksum, Error, FormatOptions, LayerFlags, LayerId, Merge, MountOptions, Pool, SnapshotOf,
    format::{MergeMode, MergeState, Superblock},
};

use super::flat::FlatDisk;

/// How a sample is made.
#[derive(Debug, Clone, Copy)]
struct Kind {
    block_size: u32,
    flags: LayerFlags,
    checksum: Checksum,
    /// Where the merge of what was deleted stands.
    merge: Merging,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merging {
    NotBegun,
    /// A layer with several children is being trimmed.
    Trim,
    /// A layer with one child is being merged.
    Merge,
}

const NONE: LayerFlags = LayerFlags::empty();
const KINDS: [Kind; 6] = [
    Kind { block_size: 512, flags: NONE, checksum: no_sum, merge: Merging::NotBegun },
    Kind { block_size: 512, flags: NONE, checksum: no_sum, merge: Merging::Merge },
    Kind { block_size: 512, flags: LayerFlags::GUARANTEED, checksum: no_sum, merge: Merging::Trim },
    Kind { block_size: 1024, flags: LayerFlags::INTEGRITY, checksum: no_sum, merge: Merging::NotBegun },
    Kind { block_size: 4096, flags: NONE, checksum: no_sum, merge: Merging::Merge },
    Kind { block_size: 512, flags: LayerFlags::INTEGRITY, checksum: crate::crc32c, merge: Merging::NotBegun },
];

/// Blocks of a sample's device.
const BLOCKS: usize = 500;
/// Sectors of the first volume: a map of two levels with blocks of 512 bytes.
const SECTORS: u64 = 70;

thread_local! {
    static SAMPLES: RefCell<[Option<Rc<Sample>>; KINDS.len() + 1]> = const { RefCell::new([const { None }; KINDS.len() + 1]) };
}

/// A pool, or a device with nothing on it.
pub(super) struct Sample {
    pub(super) disk: FlatDisk,
    /// Sectors worth a change.
    pub(super) in_use: Vec<usize>,
    pub(super) sectors_in_block: u64,
    pub(super) checksum: Checksum,
    pub(super) workspace: usize,
}

fn no_sum(_: u32, _: &[u8]) -> u32 {
    0
}

impl Sample {
    /// The one that a byte chooses, as it was made.
    pub(super) fn of(choice: u8) -> Rc<Self> {
        SAMPLES.with_borrow_mut(|samples| {
            let number = usize::from(choice) % samples.len();
            let make = || Rc::new(KINDS.get(number).map_or_else(Self::blank, Self::new));
            let sample = samples[number].get_or_insert_with(make).clone();
            sample.disk.reset();
            sample
        })
    }

    fn blank() -> Self {
        Self {
            disk: FlatDisk::new(512, vec![0; 300 * 512]),
            in_use: (0..40).collect(),
            sectors_in_block: 1,
            checksum: no_sum,
            workspace: 1 << 16,
        }
    }

    fn new(kind: &Kind) -> Self {
        let disk = FlatDisk::new(512, vec![0; BLOCKS * kind.block_size as usize]);
        let options = FormatOptions {
            pending: 6,
            journal_units: 4,
            checksum: kind.checksum,
            ..FormatOptions::new(kind.block_size, [7; 16])
        };
        let limits = cowl::Limits { pending: 6, ..cowl::Limits::new(kind.block_size, BLOCKS as u64) };
        let size = cowl::workspace_size(kind.block_size, limits);
        let mut workspace = vec![0; size];
        Pool::format(disk.clone(), &mut workspace, &options).expect("a sample has room");
        let mut pool = open(&disk, &mut workspace, kind.checksum).expect("a pool that was just made");
        let middle = fill(&mut pool, kind).expect("a sample has room");
        drop(pool);
        if kind.merge == Merging::Trim {
            trim_from(&disk, kind, middle);
        }
        disk.settle();
        let in_use = disk.in_use();
        let sectors_in_block = u64::from(kind.block_size / 512);
        Self { disk, in_use, sectors_in_block, checksum: kind.checksum, workspace: size }
    }
}

/// Opens the pool on the disk.
pub(super) fn open<'w>(
    disk: &FlatDisk,
    workspace: &'w mut [u8],
    checksum: Checksum,
) -> Result<Pool<'w, FlatDisk>, Error<Infallible>> {
    Pool::mount(disk.clone(), workspace, &MountOptions { checksum, ..MountOptions::default() })
}

/// A volume with a chain of snapshots, branches, attachments, descriptions, deleted layers at work, and a journal with a tail.
fn fill(pool: &mut Pool<'_, FlatDisk>, kind: &Kind) -> Result<LayerId, Error<Infallible>> {
    let named = |name| Attributes { name, description: "what it is for", ..Attributes::default() };
    let volume = pool.create(&named("volume"), SECTORS, kind.flags)?;
    write(pool, volume, 0..SECTORS, 1)?;
    let first = pool.snapshot(volume, &named("first"))?;
    write(pool, volume, 3..40, 2)?;
    let middle = pool.snapshot(volume, &named("middle"))?;
    let other = pool.clone_snapshot(middle, &named("other"), false)?;
    write(pool, volume, 10..20, 3)?;
    write(pool, other, 15..25, 4)?;
    let blob = pool.stage_attachment(&named("blob"), 1500)?;
    write(pool, blob, 0..3, 5)?;
    let attachments = [blob];
    pool.snapshot_all(&[SnapshotOf { volume, attributes: named("last"), attachments: &attachments }])?;
    let second = pool.stage_attachment(&named("second"), 10)?;
    pool.attach(first, second)?;
    pool.discard(volume, 0, 12)?;
    pool.stage_attachment(&named("staged"), 100)?;
    pool.resize(other, 33)?;
    match kind.merge {
        Merging::NotBegun | Merging::Trim => pool.delete(middle)?,
        Merging::Merge => begin_merge(pool, first)?,
    }
    for tag in 6..9 {
        write(pool, volume, 30..32, tag)?;
        pool.flush()?;
    }
    Ok(middle)
}

/// Says in the superblocks that the layer is being trimmed: on a pool this small a trim is over in one step.
fn trim_from(disk: &FlatDisk, kind: &Kind, layer: LayerId) {
    for slot in 0..4u8 {
        let sector = usize::from(slot) * kind.block_size as usize / 512;
        let mut bytes = disk.sector(sector);
        let mut superblock = Superblock::decode(&bytes, kind.checksum).expect("all four slots are in use");
        superblock.merge = MergeState { layer: layer.0, mode: MergeMode::Trim, front: 4, limit: 0 };
        superblock.encode(&mut bytes, slot, kind.checksum);
        disk.patch(sector, 0, &bytes);
    }
}

fn write(
    pool: &mut Pool<'_, FlatDisk>,
    layer: LayerId,
    sectors: std::ops::Range<u64>,
    tag: u8,
) -> Result<(), Error<Infallible>> {
    for sector in sectors {
        pool.write(layer, sector, &[tag; 512])?;
    }
    Ok(())
}

/// Deletes a layer and does the first part of its merge.
fn begin_merge(pool: &mut Pool<'_, FlatDisk>, layer: LayerId) -> Result<(), Error<Infallible>> {
    pool.delete(layer)?;
    let has_begun =
        |pool: &Pool<'_, FlatDisk>| pool.info().merging.is_some_and(|(merging, front)| merging == layer.0 && front > 0);
    while !has_begun(pool) {
        let done = match pool.merge_step(1) {
            Err(Error::BudgetTooSmall { needed }) => pool.merge_step(needed)?,
            result => result?,
        };
        assert!(done != Merge::Idle, "the merge was over before it could be looked at");
    }
    Ok(())
}

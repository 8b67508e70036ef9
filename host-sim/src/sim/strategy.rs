//! Histories for `proptest`: to property-test cowl, or your own code on top of it.
//!
//! [`history`] makes sequences of [`Op`]s and shrinks them: to fewer operations, then to simpler ones (smaller volumes' numbers,
//! first sectors, single sectors, equal tags). [`config`] makes the shape of the pool. A history is valid on every pool, since its
//! operations choose layers by position among those that are live; [`apply`](super::apply) runs one operation on a pool and on the
//! [`Model`](super::Model), [`run_history`](super::run_history) a whole history with all comparisons.
//!
//! Whoever puts something on top of cowl (a filesystem, a database, a backup) says what must hold for it after any history:
//!
//! ```
//! use cowl::{FormatOptions, LayerId, MountOptions, Pool, RamDisk};
//! use cowl_host::sim::{Config, apply, start, strategy};
//! use proptest::{prelude::*, test_runner::TestRunner};
//!
//! /// Yours: here, a sum over a layer, as a backup would keep it.
//! fn sum(pool: &mut Pool<'_, RamDisk<'_>>, layer: LayerId) -> u32 {
//!     let sectors = pool.layer(layer).unwrap().sectors as usize;
//!     let mut bytes = vec![0; sectors * 512];
//!     pool.read(layer, 0, &mut bytes).unwrap();
//!     cowl_host::crc32c(0, &bytes)
//! }
//!
//! let config = Config::TINY;
//! TestRunner::default().run(&strategy::history(config.sectors, 0..20), |ops| {
//!     let mut memory = vec![0; config.blocks * config.block_size as usize];
//!     let mut disk = RamDisk::new(&mut memory);
//!     let mut workspace = config.workspace();
//!     Pool::format(&mut disk, &mut workspace, &config.format()).unwrap();
//!     let options = MountOptions { checksum: cowl_host::crc32c, ..MountOptions::default() };
//!     let mut pool = Pool::mount(disk, &mut workspace, &options).unwrap();
//!     let mut model = start(&mut pool, &config).unwrap();
//!     let volume = LayerId(1);
//!
//!     // What was there when the snapshot was taken is there after whatever follows.
//!     let snapshot = pool.snapshot(volume, &cowl::Attributes { name: "mine", ..Default::default() }).unwrap();
//!     let before = sum(&mut pool, snapshot);
//!     for op in ops {
//!         // The model does not know of the snapshot, so nothing can delete it.
//!         apply(&mut pool, &mut model, op).unwrap();
//!     }
//!     prop_assert_eq!(sum(&mut pool, snapshot), before);
//!     Ok(())
//! }).unwrap();
//! ```

use std::ops::Range;

use cowl::LayerFlags;
use proptest::{collection, prelude::*};

use super::{config::Config, history::Op};

/// Histories of so many operations on volumes of about so many sectors.
///
/// Frequencies are those of a busy volume: half are writes, and every other operation comes often enough to meet the rest.
pub fn history(sectors: usize, operations: Range<usize>) -> impl Strategy<Value = Vec<Op>> {
    collection::vec(op(sectors), operations)
}

/// One operation on volumes of about so many sectors. Shrinks towards the first kinds in this list, and within a kind towards small
/// numbers: flush, write, discard, zero, checkpoint, snapshot, delete, merge, rollback, clone, resize, kill.
pub fn op(sectors: usize) -> impl Strategy<Value = Op> {
    let last = u16::try_from(sectors.saturating_sub(1)).unwrap_or(u16::MAX);
    let size = 1..=last.saturating_add(1).saturating_mul(2);
    let place = (0..8u8, 0..=last, 1..=12u8);
    // Few distinct tags find what unique ones hide.
    let tag = prop_oneof![3 => 1..=3u64, 1 => 4..1u64 << 40];
    prop_oneof![
        14 => Just(Op::Flush),
        40 => (place.clone(), tag).prop_map(|((volume, sector, count), tag)| Op::Write(volume, sector, count, tag)),
        4 => place.clone().prop_map(|(volume, sector, count)| Op::Discard(volume, sector, count)),
        6 => place.prop_map(|(volume, sector, count)| Op::Zero(volume, sector, count)),
        2 => Just(Op::Checkpoint),
        8 => (0..8u8).prop_map(Op::Snapshot),
        7 => (0..16u8).prop_map(Op::Delete),
        7 => (0..300u16).prop_map(Op::Merge),
        5 => (0..8u8, 0..16u8, any::<bool>()).prop_map(|(volume, to, keep)| Op::Rollback(volume, to, keep)),
        3 => (0..16u8).prop_map(Op::Clone),
        2 => (0..8u8, size).prop_map(|(volume, sectors)| Op::Resize(volume, sectors)),
        2 => Just(Op::Kill),
    ]
}

/// Shapes of small pools: block and sector size, pending table, journal, memory, and what is promised to the volume. Shrinks
/// towards [`Config::TINY`].
pub fn config() -> impl Strategy<Value = Config> {
    let sizes = prop_oneof![Just((512, 512)), Just((1024, 512)), Just((4096, 512)), Just((4096, 4096))];
    let flags = prop_oneof![Just(LayerFlags::empty()), Just(LayerFlags::INTEGRITY), Just(LayerFlags::GUARANTEED)];
    let memory = prop_oneof![Just(0), 0..1usize << 16];
    (sizes, 2..12u32, 3..8u32, memory, 4..40usize, flags).prop_map(
        |((block_size, sector_size), pending, journal_units, more_workspace, sectors, flags)| Config {
            block_size,
            sector_size,
            // Room for what is promised, and for the checkpoints of the largest table above.
            blocks: 1000,
            pending,
            journal_units,
            more_workspace,
            sectors,
            flags,
            base: 0,
        },
    )
}

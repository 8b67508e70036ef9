//! What is on the device, one object per file: constants, decode, encode. No I/O.
//!
//! `docs/FORMAT.md` is the normative text; its offsets are checked against this module by a test. All numbers
//! are little-endian. Every object is checksummed with CRC-32C: the superblock and the journal's units carry their own
//! checksum, everything else has it in the entry that points to it.

mod entry;
mod journal;
mod layer;
mod layout;
mod spares;
mod superblock;

pub use entry::{Entry, EntryFlags, SpaceEntry};
pub use journal::{Record, UNIT_HEADER, Unit};
pub use layer::{Label, Layer, LayerView, RECORD_SIZE, SLOT_SIZE};
pub use layout::{GROUP_START, Layout, MAX_HEIGHT, SUPERBLOCKS, height_for, height_limit, nodes_for};
pub use spares::{SPARES, Spares};
pub use superblock::{
    BaseIdentity, MAGIC, MergeMode, MergeState, SUPERBLOCK_SIZE, State, Superblock, SuperblockView, VERSION,
};

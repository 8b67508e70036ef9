//! A superblock's fields, looked at where they lie.

use super::{BaseIdentity, State, Superblock};
use crate::{
    bytes::{array, u8_at, u16_at, u32_at, u64_at},
    format::{Entry, Layout, SpaceEntry},
};

/// The fields of a superblock as they lie on the device: to look at a few, without a copy of all of them.
#[derive(Clone, Copy)]
pub struct SuperblockView<'a>(pub &'a [u8; Superblock::FIELDS]);

impl SuperblockView<'_> {
    /// Format version, major and minor.
    pub fn version(self) -> (u16, u16) {
        (u16_at(self.0, 8), u16_at(self.0, 10))
    }

    /// The pool.
    pub fn uuid(self) -> [u8; 16] {
        array(self.0, 16)
    }

    /// Counts checkpoints.
    pub fn generation(self) -> u64 {
        u64_at(self.0, 32)
    }

    /// Features that an older version may ignore.
    pub fn compatible(self) -> u32 {
        u32_at(self.0, 40)
    }

    /// Features with which an older version may still read.
    pub fn read_only_compatible(self) -> u32 {
        u32_at(self.0, 44)
    }

    /// Features that an older version must refuse.
    pub fn incompatible(self) -> u32 {
        u32_at(self.0, 48)
    }

    /// Binary logarithm of the block size.
    pub fn block_shift(self) -> u8 {
        u8_at(self.0, 52)
    }

    /// Binary logarithm of the sector size.
    pub fn sector_shift(self) -> u8 {
        u8_at(self.0, 53)
    }

    /// Binary logarithm of the size of a journal unit.
    pub fn unit_shift(self) -> u8 {
        u8_at(self.0, 54)
    }

    /// Blocks of the device that are used.
    pub fn total(self) -> u64 {
        u64_at(self.0, 56)
    }

    /// Units of the journal.
    pub fn journal_units(self) -> u32 {
        u32_at(self.0, 64)
    }

    /// Records that the pending table can hold.
    pub fn pending(self) -> u32 {
        u32_at(self.0, 68)
    }

    /// The epoch in which entries are being written.
    pub fn epoch(self) -> u32 {
        u32_at(self.0, 72)
    }

    /// The next layer's number.
    pub fn next_layer(self) -> u32 {
        u32_at(self.0, 76)
    }

    /// Root of the space map.
    pub fn space(self) -> SpaceEntry {
        SpaceEntry::decode(self.0, 80)
    }

    /// Root of the catalog.
    pub fn catalog(self) -> Entry {
        Entry::decode(self.0, 96)
    }

    /// Levels of the catalog's nodes; 0 if the root is a page.
    pub fn catalog_height(self) -> u8 {
        u8_at(self.0, 112)
    }

    /// Height of the highest map.
    pub fn max_height(self) -> u8 {
        u8_at(self.0, 114)
    }

    /// Where allocation begins in this generation.
    pub fn cursor(self) -> u64 {
        u64_at(self.0, 144)
    }

    /// Layer records, deleted layers and staged attachments among them.
    pub fn counts(self) -> (u32, u32, u32) {
        (u32_at(self.0, 180), u32_at(self.0, 184), u32_at(self.0, 188))
    }

    /// Free blocks, the spares among them.
    pub fn free(self) -> u64 {
        u64_at(self.0, 120)
    }

    /// Free blocks that are promised to guaranteed volumes.
    pub fn guaranteed(self) -> u64 {
        u64_at(self.0, 128)
    }

    /// Blocks of deleted layers without children.
    pub fn reclaimable(self) -> u64 {
        u64_at(self.0, 136)
    }

    /// The base device.
    pub fn base(self) -> BaseIdentity {
        BaseIdentity { sectors: u64_at(self.0, 192), fingerprint: u32_at(self.0, 200) }
    }

    /// Where the fixed things are in the pool that it describes.
    pub fn layout(self) -> Layout {
        Layout::of(self.block_shift(), self.total(), self.journal_units(), self.unit_shift())
    }

    /// All that a checkpoint changes, but for the spares.
    pub fn state(self) -> State {
        State::take(self.0)
    }
}

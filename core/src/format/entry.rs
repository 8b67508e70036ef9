//! Entries: what a node holds, 16 bytes each.
//!
//! ```text
//!          0               6       8              12             16
//! map      | block (48)    | flags | birth        | crc-32c      |
//! space    | free (48)     | g | c | generation   | crc-32c      |   g: 15 more bits of it, c: copy
//! ```
//!
//! On small machines they are taken apart and put together in one place; elsewhere wherever that is asked for.

use crate::bytes::{array, put_array, put_u16, put_u32, put_u48, u16_at, u32_at, u48_at};

bitflags::bitflags! {
    /// Flags of a map entry.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct EntryFlags: u16 {
        /// Reads as zeros; there is no block.
        const ZERO = 1;
    }
}

/// A pointer in a map or in the catalog: to a block, to zeros, or to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// The block; 0 if there is none.
    pub block: u64,
    /// Flags.
    pub flags: EntryFlags,
    /// The epoch in which the entry was written; 0 if there is no block.
    pub birth: u32,
    /// Checksum of the block; 0 for data without integrity.
    pub crc: u32,
}

impl Entry {
    /// Bytes of an entry.
    pub const SIZE: usize = 16;
    /// Nothing was ever written here.
    pub const EMPTY: Self = Self { block: 0, flags: EntryFlags::empty(), birth: 0, crc: 0 };
    /// Reads as zeros.
    pub const ZERO: Self = Self { block: 0, flags: EntryFlags::ZERO, birth: 0, crc: 0 };

    /// The entry at `offset`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn decode(bytes: &[u8], offset: usize) -> Self {
        // All at once: the bounds are looked at once.
        let bytes = &array::<{ Self::SIZE }>(bytes, offset);
        Self {
            block: u48_at(bytes, 0),
            flags: EntryFlags::from_bits_retain(u16_at(bytes, 6)),
            birth: u32_at(bytes, 8),
            crc: u32_at(bytes, 12),
        }
    }

    /// Stores the entry at `offset`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn encode(&self, bytes: &mut [u8], offset: usize) {
        let entry = &mut [0; Self::SIZE];
        put_u48(entry, 0, self.block);
        put_u16(entry, 6, self.flags.bits());
        put_u32(entry, 8, self.birth);
        put_u32(entry, 12, self.crc);
        put_array(bytes, offset, entry);
    }

    /// It points to a block.
    #[inline]
    pub fn is_block(&self) -> bool {
        self.block != 0
    }

    /// It is neither a block nor zeros.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.block == 0 && !self.flags.contains(EntryFlags::ZERO)
    }

    /// Both mean the same content: the same block written in the same epoch, or the same kind of nothing.
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        self.block == other.block
            && (self.block == 0 || self.birth == other.birth)
            && self.is_empty() == other.is_empty()
    }
}

/// A pointer in the space map, to one of the two places of a node; `generation` 0 means that the node was never written
/// and all but its fixed blocks are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpaceEntry {
    /// Free blocks below.
    pub free: u64,
    /// Which of the two places is valid, 0 or 1.
    pub copy: u16,
    /// Low 47 bits of the generation that wrote it: 32 in their own field, 15 above the copy.
    pub generation: u64,
    /// Checksum of the node.
    pub crc: u32,
}

impl SpaceEntry {
    /// The entry at `offset`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn decode(bytes: &[u8], offset: usize) -> Self {
        let bytes = &array::<{ Entry::SIZE }>(bytes, offset);
        let high = u16_at(bytes, 6);
        Self {
            free: u48_at(bytes, 0),
            copy: high & 1,
            generation: u64::from(u32_at(bytes, 8)) | u64::from(high >> 1) << 32,
            crc: u32_at(bytes, 12),
        }
    }

    /// Stores the entry at `offset`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn encode(&self, bytes: &mut [u8], offset: usize) {
        let entry = &mut [0; Entry::SIZE];
        put_u48(entry, 0, self.free);
        let [a, b, c, d, e, f, _, _] = self.generation.to_le_bytes();
        put_u16(entry, 6, (u16::from_le_bytes([e, f]) << 1) | self.copy & 1);
        put_u32(entry, 8, u32::from_le_bytes([a, b, c, d]));
        put_u32(entry, 12, self.crc);
        put_array(bytes, offset, entry);
    }

    /// The node was written at least once.
    #[inline]
    pub fn is_written(&self) -> bool {
        self.generation != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, EntryFlags, SpaceEntry};

    #[test]
    fn an_entry_has_its_golden_bytes() {
        let entry = Entry { block: 0x0605_0403_0201, flags: EntryFlags::ZERO, birth: 0x0d0c_0b0a, crc: 0x1122_3344 };
        let mut bytes = [0; 16];
        entry.encode(&mut bytes, 0);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 1, 0, 0x0a, 0x0b, 0x0c, 0x0d, 0x44, 0x33, 0x22, 0x11]);
        assert_eq!(Entry::decode(&bytes, 0), entry);
    }

    #[test]
    fn a_space_entry_has_its_golden_bytes() {
        let entry = SpaceEntry { free: 7, copy: 1, generation: 9, crc: 1 };
        let mut bytes = [0; 16];
        entry.encode(&mut bytes, 0);
        assert_eq!(bytes, [7, 0, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(SpaceEntry::decode(&bytes, 0), entry);
    }
}

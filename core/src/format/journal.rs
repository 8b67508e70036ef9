//! The journal's units and their records.
//!
//! ```text
//! unit    0 magic "CWLJ" | 4 crc | 8 uuid | 24 generation | 32 sequence | 36 mark | 40 count | 42 zero | 48 records …
//! record  0 entry | 16 address | 24 layer | 28 crc of the data block
//! ```
//! The checksum covers the whole unit with its own field as zero.

use crate::{
    bytes::{array, put, put_array, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at},
    checksum::Checksum,
    format::Entry,
};

const MAGIC: &[u8; 4] = b"CWLJ";
/// Bytes before the first record.
pub const UNIT_HEADER: usize = 48;

/// A change of one map entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// The layer.
    pub layer: u32,
    /// The block of the layer.
    pub address: u64,
    /// The new entry.
    pub entry: Entry,
    /// CRC-32C of the whole data block, 0 if there is none.
    pub crc: u32,
}

impl Record {
    /// Bytes of a record.
    pub const SIZE: usize = 32;
    /// Where its address is.
    pub(crate) const ADDRESS: usize = 16;
    /// Where its layer is.
    pub(crate) const LAYER: usize = 24;

    /// The record at `offset`.
    pub fn decode(bytes: &[u8], offset: usize) -> Self {
        let bytes = &array::<{ Self::SIZE }>(bytes, offset);
        Self {
            entry: Entry::decode(bytes, 0),
            address: u64_at(bytes, Self::ADDRESS),
            layer: u32_at(bytes, Self::LAYER),
            crc: u32_at(bytes, 28),
        }
    }

    /// Stores the record at `offset`.
    pub fn encode(&self, bytes: &mut [u8], offset: usize) {
        let record = &mut [0; Self::SIZE];
        self.entry.encode(record, 0);
        put_u64(record, Self::ADDRESS, self.address);
        put_u32(record, Self::LAYER, self.layer);
        put_u32(record, 28, self.crc);
        put_array(bytes, offset, record);
    }
}

/// The header of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// The pool.
    pub uuid: [u8; 16],
    /// Generation of the superblock that it builds on.
    pub generation: u64,
    /// Its number in the generation, from 1.
    pub sequence: u32,
    /// The last unit whose flush had returned when this one was written.
    pub mark: u32,
    /// Number of records.
    pub count: u16,
}

impl Unit {
    /// Records that fit into a unit of `size` bytes.
    pub fn capacity(size: usize) -> usize {
        size.saturating_sub(UNIT_HEADER) / Record::SIZE
    }

    /// The header, if the bytes are a valid unit.
    pub fn decode(bytes: &[u8], checksum: Checksum) -> Option<Self> {
        let header = bytes.first_chunk::<UNIT_HEADER>()?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let unit = Self {
            uuid: array(header, 8),
            generation: u64_at(header, 24),
            sequence: u32_at(header, 32),
            mark: u32_at(header, 36),
            count: u16_at(header, 40),
        };
        let fits = usize::from(unit.count) <= Self::capacity(bytes.len());
        (fits && u32_at(header, 4) == Self::sum(bytes, checksum)).then_some(unit)
    }

    /// Writes the header over the start of `bytes`, whose records are in place, and seals the whole.
    pub fn seal(&self, bytes: &mut [u8], checksum: Checksum) {
        if let Some(header) = bytes.first_chunk_mut::<UNIT_HEADER>() {
            put(header, 0, MAGIC);
            put(header, 8, &self.uuid);
            put_u64(header, 24, self.generation);
            put_u32(header, 32, self.sequence);
            put_u32(header, 36, self.mark);
            put_u16(header, 40, self.count);
            put(header, 42, &[0; 6]);
        }
        let sum = Self::sum(bytes, checksum);
        put_u32(bytes, 4, sum);
    }

    fn sum(bytes: &[u8], checksum: Checksum) -> u32 {
        let sum = checksum(0, bytes.get(..4).unwrap_or(&[]));
        let sum = checksum(sum, &[0; 4]);
        checksum(sum, bytes.get(8..).unwrap_or(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Record, UNIT_HEADER, Unit};
    use crate::crc32c;

    #[test]
    fn a_unit_comes_back_and_every_flipped_bit_is_seen() {
        let record =
            Record { layer: 3, address: 0x1234, entry: Entry { block: 77, birth: 5, ..Entry::EMPTY }, crc: 0xdead };
        let unit = Unit { uuid: [7; 16], generation: 9, sequence: 2, mark: 1, count: 1 };
        let mut bytes = [0; 512];
        record.encode(&mut bytes, UNIT_HEADER);
        unit.seal(&mut bytes, crc32c);
        assert_eq!(Unit::decode(&bytes, crc32c), Some(unit));
        assert_eq!(Record::decode(&bytes, UNIT_HEADER), record);
        // An interpreter takes minutes for all of them.
        for bit in (0..512 * 8).step_by(if cfg!(miri) { 97 } else { 1 }) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Unit::decode(&bytes, crc32c), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

//! The superblock: 512 bytes, four slots, two copies of each of two generations.
//!
//! ```text
//!   0 magic "COWLPOOL"      8 version (major, minor)   12 crc-32c       16 uuid            32 generation
//!  40 compatible flags     44 read-only compatible     48 incompatible  52 shifts: block, sector, unit; slot
//!  56 total blocks         64 journal units            68 pending       72 epoch           76 next layer
//!  80 space root (16)      96 catalog root (16)       112 heights: catalog, space levels, largest map
//! 120 free                128 guaranteed              136 reclaimable   144 cursor
//! 152 merge: layer, mode, front, limit (24)           176 hint          180 layers, 184 deleted, 188 staged
//! 192 base: sectors, fingerprint (24)                 216 spare count   224 spares (24 x 6)       368 zeros
//! ```

use crate::{
    bytes::{Power, array, put, put_u8, put_u16, put_u32, put_u48, put_u64, u8_at, u16_at, u32_at, u48_at, u64_at},
    checksum::Checksum,
    format::{Entry, Layout, SPARES, SpaceEntry, Spares},
};

/// The first bytes of a superblock.
pub const MAGIC: &[u8; 8] = b"COWLPOOL";
/// Bytes of a superblock.
pub const SUPERBLOCK_SIZE: usize = 512;
/// Version of the format: a later major version is refused, a later minor one is not.
pub const VERSION: (u16, u16) = (1, 0);

/// Where they begin in the superblock.
const SPARES_AT: usize = 224;

/// What a merge in progress does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MergeMode {
    /// There is none.
    #[default]
    None,
    /// A layer with at most one child gives its delta away.
    Merge,
    /// A deleted layer with several children gives back what none of them shares.
    Trim,
}

/// The merge in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MergeState {
    /// The deleted layer.
    pub layer: u32,
    /// What is being done with it.
    pub mode: MergeMode,
    /// Addresses below are done.
    pub front: u64,
    /// Epoch of the deleted layer's parent: judges ownership below the front.
    pub limit: u32,
}

/// How a base device is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BaseIdentity {
    /// Its sectors, in sectors of the pool; 0 if the pool has no base.
    pub sectors: u64,
    /// Checksum over sampled sectors.
    pub fingerprint: u32,
}

/// Everything that a generation hangs off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Format version, major and minor.
    pub version: (u16, u16),
    /// The pool.
    pub uuid: [u8; 16],
    /// Counts checkpoints.
    pub generation: u64,
    /// Features that an older version may ignore.
    pub compatible: u32,
    /// Features with which an older version may still read.
    pub read_only_compatible: u32,
    /// Features that an older version must refuse.
    pub incompatible: u32,
    /// Binary logarithm of the block size.
    pub block_shift: u8,
    /// Binary logarithm of the sector size.
    pub sector_shift: u8,
    /// Binary logarithm of the size of a journal unit.
    pub unit_shift: u8,
    /// Blocks of the device that are used.
    pub total: u64,
    /// Units of the journal.
    pub journal_units: u32,
    /// Records that the pending table can hold.
    pub pending: u32,
    /// The epoch in which entries are being written.
    pub epoch: u32,
    /// The next layer's number.
    pub next_layer: u32,
    /// Root of the space map.
    pub space: SpaceEntry,
    /// Root of the catalog.
    pub catalog: Entry,
    /// Levels of the catalog's nodes; 0 if the root is a page.
    pub catalog_height: u8,
    /// Height of the highest map.
    pub max_height: u8,
    /// Free blocks, the spares among them.
    pub free: u64,
    /// Free blocks that are promised to guaranteed volumes.
    pub guaranteed: u64,
    /// Blocks of deleted layers without children.
    pub reclaimable: u64,
    /// Where allocation begins in this generation.
    pub cursor: u64,
    /// The merge in progress.
    pub merge: MergeState,
    /// A deleted layer that may be worth a look.
    pub hint: u32,
    /// Layer records.
    pub layers: u32,
    /// Deleted layers among them.
    pub deleted: u32,
    /// Staged attachments among them.
    pub staged: u32,
    /// The base device.
    pub base: BaseIdentity,
    /// Free blocks that the space map counts as used.
    pub spares: Spares,
}

impl Superblock {
    /// Where the fixed things are in the pool that it describes.
    pub fn layout(&self) -> Layout {
        let block_shift = u32::from(self.block_shift).min(63);
        let journal = u64::from(self.journal_units).checked_shl(u32::from(self.unit_shift)).unwrap_or(u64::MAX);
        Layout { block_shift, total: self.total, journal_blocks: Power::of_two(block_shift).ceil(journal) }
    }

    /// Generation and block shift, if the bytes are a superblock that was written whole.
    pub fn look(bytes: &[u8], checksum: Checksum) -> Option<(u64, u8)> {
        let bytes = bytes.first_chunk::<SUPERBLOCK_SIZE>()?;
        let whole = bytes.starts_with(MAGIC) && u32_at(bytes, 12) == Self::sum(bytes, checksum);
        let possible = u8_at(bytes, 156) <= 2 && usize::from(u8_at(bytes, 216)) <= SPARES;
        (whole && possible).then(|| (u64_at(bytes, 32), u8_at(bytes, 52)))
    }

    /// The superblock, if the bytes are one that was written whole; any version and features.
    pub fn decode(bytes: &[u8], checksum: Checksum) -> Option<Self> {
        Self::look(bytes, checksum)?;
        let bytes = bytes.first_chunk::<SUPERBLOCK_SIZE>()?;
        let mode = match u8_at(bytes, 156) {
            0 => MergeMode::None,
            1 => MergeMode::Merge,
            _ => MergeMode::Trim,
        };
        let count = usize::from(u8_at(bytes, 216));
        Some(Self {
            version: (u16_at(bytes, 8), u16_at(bytes, 10)),
            uuid: array(bytes, 16),
            generation: u64_at(bytes, 32),
            compatible: u32_at(bytes, 40),
            read_only_compatible: u32_at(bytes, 44),
            incompatible: u32_at(bytes, 48),
            block_shift: u8_at(bytes, 52),
            sector_shift: u8_at(bytes, 53),
            unit_shift: u8_at(bytes, 54),
            total: u64_at(bytes, 56),
            journal_units: u32_at(bytes, 64),
            pending: u32_at(bytes, 68),
            epoch: u32_at(bytes, 72),
            next_layer: u32_at(bytes, 76),
            space: SpaceEntry::decode(bytes, 80),
            catalog: Entry::decode(bytes, 96),
            catalog_height: u8_at(bytes, 112),
            max_height: u8_at(bytes, 114),
            free: u64_at(bytes, 120),
            guaranteed: u64_at(bytes, 128),
            reclaimable: u64_at(bytes, 136),
            cursor: u64_at(bytes, 144),
            merge: MergeState { layer: u32_at(bytes, 152), mode, front: u64_at(bytes, 160), limit: u32_at(bytes, 168) },
            hint: u32_at(bytes, 176),
            layers: u32_at(bytes, 180),
            deleted: u32_at(bytes, 184),
            staged: u32_at(bytes, 188),
            base: BaseIdentity { sectors: u64_at(bytes, 192), fingerprint: u32_at(bytes, 200) },
            spares: (0..count).map(|i| u48_at(bytes, SPARES_AT + 6 * i)).collect(),
        })
    }

    /// Writes the superblock for a slot over the first 512 bytes.
    pub fn encode(&self, bytes: &mut [u8], slot: u8, checksum: Checksum) {
        // With the length known no field has to look at it.
        let Some(bytes) = bytes.first_chunk_mut::<SUPERBLOCK_SIZE>() else { return };
        bytes.fill(0);
        put(bytes, 0, MAGIC);
        put_u16(bytes, 8, self.version.0);
        put_u16(bytes, 10, self.version.1);
        put(bytes, 16, &self.uuid);
        put_u64(bytes, 32, self.generation);
        put_u32(bytes, 40, self.compatible);
        put_u32(bytes, 44, self.read_only_compatible);
        put_u32(bytes, 48, self.incompatible);
        put(bytes, 52, &[self.block_shift, self.sector_shift, self.unit_shift, slot]);
        put_u64(bytes, 56, self.total);
        put_u32(bytes, 64, self.journal_units);
        put_u32(bytes, 68, self.pending);
        put_u32(bytes, 72, self.epoch);
        put_u32(bytes, 76, self.next_layer);
        self.space.encode(bytes, 80);
        self.catalog.encode(bytes, 96);
        put(bytes, 112, &[self.catalog_height, 0, self.max_height]);
        put_u64(bytes, 120, self.free);
        put_u64(bytes, 128, self.guaranteed);
        put_u64(bytes, 136, self.reclaimable);
        put_u64(bytes, 144, self.cursor);
        self.encode_merge(bytes);
        put_u32(bytes, 176, self.hint);
        put_u32(bytes, 180, self.layers);
        put_u32(bytes, 184, self.deleted);
        put_u32(bytes, 188, self.staged);
        put_u64(bytes, 192, self.base.sectors);
        put_u32(bytes, 200, self.base.fingerprint);
        put_u8(bytes, 216, u8::try_from(self.spares.len()).unwrap_or(0));
        for (i, block) in self.spares.iter().enumerate() {
            put_u48(bytes, SPARES_AT + 6 * i, block);
        }
        let sum = Self::sum(bytes, checksum);
        put_u32(bytes, 12, sum);
    }

    fn encode_merge(&self, bytes: &mut [u8; SUPERBLOCK_SIZE]) {
        put_u32(bytes, 152, self.merge.layer);
        put_u8(
            bytes,
            156,
            match self.merge.mode {
                MergeMode::None => 0,
                MergeMode::Merge => 1,
                MergeMode::Trim => 2,
            },
        );
        put_u64(bytes, 160, self.merge.front);
        put_u32(bytes, 168, self.merge.limit);
    }

    fn sum(bytes: &[u8; SUPERBLOCK_SIZE], checksum: Checksum) -> u32 {
        let sum = checksum(0, bytes.get(..12).unwrap_or(&[]));
        let sum = checksum(sum, &[0; 4]);
        checksum(sum, bytes.get(16..).unwrap_or(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::{BaseIdentity, Entry, MergeMode, MergeState, SpaceEntry, Superblock, VERSION};
    use crate::crc32c;

    fn sample() -> Superblock {
        Superblock {
            version: VERSION,
            uuid: [1; 16],
            generation: 2,
            compatible: 3,
            read_only_compatible: 4,
            incompatible: 5,
            block_shift: 9,
            sector_shift: 9,
            unit_shift: 9,
            total: 100,
            journal_units: 4,
            pending: 8,
            epoch: 6,
            next_layer: 7,
            space: SpaceEntry { free: 70, copy: 1, generation: 2, crc: 9 },
            catalog: Entry { block: 50, birth: 1, crc: 3, ..Entry::EMPTY },
            catalog_height: 1,
            max_height: 2,
            free: 71,
            guaranteed: 10,
            reclaimable: 11,
            cursor: 12,
            merge: MergeState { layer: 3, mode: MergeMode::Trim, front: 13, limit: 14 },
            hint: 15,
            layers: 16,
            deleted: 17,
            staged: 18,
            base: BaseIdentity { sectors: 19, fingerprint: 20 },
            spares: [41, 42].into_iter().collect(),
        }
    }

    #[test]
    fn a_superblock_comes_back_and_every_flipped_bit_is_seen() {
        let mut bytes = [0; 512];
        sample().encode(&mut bytes, 2, crc32c);
        assert_eq!(Superblock::decode(&bytes, crc32c), Some(sample()));
        // An interpreter takes minutes for all of them.
        for bit in (0..512 * 8).step_by(if cfg!(miri) { 97 } else { 1 }) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Superblock::decode(&bytes, crc32c), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

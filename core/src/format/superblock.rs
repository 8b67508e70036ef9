//! The superblock: 512 bytes, four slots, two copies of each of two generations.
//!
//! ```text
//!   0 magic "COWLPOOL"      8 version (major, minor)   12 crc-32c       16 uuid            32 generation
//!  40 compatible flags     44 read-only compatible     48 incompatible  52 shifts: block, sector, unit; slot
//!  56 total blocks         64 journal units            68 pending       72 epoch           76 next layer
//!  80 space root (16)      96 catalog root (16)       112 heights: catalog, 0, largest map
//! 120 free                128 guaranteed              136 reclaimable   144 cursor
//! 152 merge: layer, mode, front, limit (24)           176 hint          180 layers, 184 deleted, 188 staged
//! 192 base: sectors, fingerprint (24)                 216 spare count   224 spares (24 x 6)       368 zeros
//! ```

mod state;
mod view;

use core::ops::{Deref, DerefMut};

use crate::{
    bytes::{put, put_u8, put_u16, put_u32, put_u64, u8_at, u32_at, u64_at},
    checksum::Checksum,
    format::{Layout, SPARES, Spares},
};

pub use state::State;
pub use view::SuperblockView;

/// The first bytes of a superblock.
pub const MAGIC: &[u8; 8] = b"COWLPOOL";
/// Bytes of a superblock.
pub const SUPERBLOCK_SIZE: usize = 512;
/// Version of the format: a later major version is refused, a later minor one is not.
pub const VERSION: (u16, u16) = (1, 0);

/// Where it is said how many spares there are, and where they begin.
pub(crate) const SPARE_COUNT: usize = 216;
pub(crate) const SPARES_AT: usize = 224;

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
    /// Units of the journal.
    pub journal_units: u32,
    /// Records that the pending table can hold.
    pub pending: u32,
    /// The base device.
    pub base: BaseIdentity,
    /// What a checkpoint changes.
    pub state: State,
    /// Free blocks that the space map counts as used.
    pub spares: Spares,
}

impl Superblock {
    /// Bytes of its fields; zeros follow.
    pub const FIELDS: usize = SPARES_AT + Spares::MEMORY;

    /// Where the fixed things are in the pool that it describes.
    pub fn layout(&self) -> Layout {
        Layout::of(self.block_shift, self.total, self.journal_units, self.unit_shift)
    }

    /// Generation and block shift, if the bytes are a superblock that was written whole.
    pub fn look(bytes: &[u8], checksum: Checksum) -> Option<(u64, u8)> {
        let bytes = bytes.first_chunk::<SUPERBLOCK_SIZE>()?;
        let whole = bytes.starts_with(MAGIC) && u32_at(bytes, 12) == Self::sum(bytes, checksum);
        let possible = u8_at(bytes, 156) <= 2 && usize::from(u8_at(bytes, SPARE_COUNT)) <= SPARES;
        (whole && possible).then(|| (u64_at(bytes, 32), u8_at(bytes, 52)))
    }

    /// The superblock, if the bytes are one that was written whole; any version and features.
    pub fn decode(bytes: &[u8], checksum: Checksum) -> Option<Self> {
        Self::look(bytes, checksum)?;
        let bytes = bytes.first_chunk()?;
        let view = SuperblockView(bytes);
        let mut spares = Spares::default();
        spares.take(bytes);
        Some(Self {
            version: view.version(),
            uuid: view.uuid(),
            compatible: view.compatible(),
            read_only_compatible: view.read_only_compatible(),
            incompatible: view.incompatible(),
            block_shift: view.block_shift(),
            sector_shift: view.sector_shift(),
            unit_shift: view.unit_shift(),
            journal_units: view.journal_units(),
            pending: view.pending(),
            base: view.base(),
            state: view.state(),
            spares,
        })
    }

    /// Writes the superblock for a slot over the first 512 bytes.
    pub fn encode(&self, bytes: &mut [u8], slot: u8, checksum: Checksum) {
        let Some(bytes) = bytes.first_chunk_mut::<SUPERBLOCK_SIZE>() else { return };
        bytes.fill(0);
        if let Some(fields) = bytes.first_chunk_mut() {
            self.put(fields);
        }
        Self::seal(bytes, slot, checksum);
    }

    /// Writes the fields alone, without slot and checksum.
    pub fn put(&self, bytes: &mut [u8; Self::FIELDS]) {
        bytes.fill(0);
        put(bytes, 0, MAGIC);
        put_u16(bytes, 8, self.version.0);
        put_u16(bytes, 10, self.version.1);
        put(bytes, 16, &self.uuid);
        put_u32(bytes, 40, self.compatible);
        put_u32(bytes, 44, self.read_only_compatible);
        put_u32(bytes, 48, self.incompatible);
        put(bytes, 52, &[self.block_shift, self.sector_shift, self.unit_shift]);
        put_u32(bytes, 64, self.journal_units);
        put_u32(bytes, 68, self.pending);
        put_u64(bytes, 192, self.base.sectors);
        put_u32(bytes, 200, self.base.fingerprint);
        self.state.put(bytes);
        self.spares.put(bytes);
    }

    /// Makes a superblock for a slot of the fields in the first bytes.
    pub fn seal(bytes: &mut [u8], slot: u8, checksum: Checksum) {
        let Some(bytes) = bytes.first_chunk_mut::<SUPERBLOCK_SIZE>() else { return };
        put_u8(bytes, 55, slot);
        let sum = Self::sum(bytes, checksum);
        put_u32(bytes, 12, sum);
    }

    fn sum(bytes: &[u8; SUPERBLOCK_SIZE], checksum: Checksum) -> u32 {
        let sum = checksum(0, bytes.get(..12).unwrap_or(&[]));
        let sum = checksum(sum, &[0; 4]);
        checksum(sum, bytes.get(16..).unwrap_or(&[]))
    }
}

impl Deref for Superblock {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Superblock {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

#[cfg(test)]
mod tests {
    use super::{BaseIdentity, MergeMode, MergeState, State, Superblock, VERSION};
    use crate::{
        crc32c,
        format::{Entry, SpaceEntry},
    };

    fn sample() -> Superblock {
        Superblock {
            version: VERSION,
            uuid: [1; 16],
            compatible: 3,
            read_only_compatible: 4,
            incompatible: 5,
            block_shift: 9,
            sector_shift: 9,
            unit_shift: 9,
            journal_units: 4,
            pending: 8,
            base: BaseIdentity { sectors: 19, fingerprint: 20 },
            state: state(),
            spares: [41, 42].into_iter().collect(),
        }
    }

    fn state() -> State {
        State {
            generation: 2,
            total: 100,
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

//! The shapes of the pools that histories run on: sizes, memory, promises.

use cowl::{FormatOptions, LayerFlags};

/// The shape of a pool and of its first volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes in a block.
    pub block_size: u32,
    /// Bytes in a sector.
    pub sector_size: usize,
    /// Blocks of the device.
    pub blocks: usize,
    /// Records of the pending table.
    pub pending: u32,
    /// Units of the journal.
    pub journal_units: u32,
    /// Bytes of workspace beyond the least.
    pub more_workspace: usize,
    /// Sectors of the first volume.
    pub sectors: usize,
    /// Properties of the first volume.
    pub flags: LayerFlags,
    /// Sectors of the base device, 0 if there is none.
    pub base: usize,
}

impl Config {
    /// The smallest pool: a volume of a few blocks of 512 bytes, the smallest table and journal.
    pub const TINY: Self = Self {
        block_size: 512,
        sector_size: 512,
        blocks: 400,
        pending: 2,
        journal_units: 3,
        more_workspace: 0,
        sectors: 4,
        flags: LayerFlags::empty(),
        base: 0,
    };

    /// What the base device holds: a tag for each sector.
    pub fn base_content(&self) -> Vec<u64> {
        (0..self.base as u64).map(|sector| 0xba5e_0000 + sector).collect()
    }

    /// Sectors of the device.
    pub fn device_sectors(&self) -> usize {
        self.blocks * self.block_size as usize / self.sector_size
    }

    /// A workspace for it.
    pub fn workspace(&self) -> Vec<u8> {
        let limits = cowl::Limits { pending: self.pending, ..cowl::Limits::new(self.block_size, self.blocks as u64) };
        vec![0; cowl::workspace_size(self.block_size, limits) + self.more_workspace]
    }

    /// How it is formatted.
    pub fn format(&self) -> FormatOptions {
        FormatOptions {
            pending: self.pending,
            journal_units: self.journal_units,
            checksum: crate::crc32c,
            ..FormatOptions::new(self.block_size, [7; 16])
        }
    }

    /// Many shapes, for histories. A base device may be shorter than the first volume and end inside a block, or be longer.
    pub fn shapes() -> Vec<Self> {
        let mut shapes = Vec::new();
        for (block_size, sector_size, blocks, sectors, base) in [
            (512, 512, 900, 10, 0),
            (512, 512, 3000, 100, 0),
            (1024, 512, 1200, 40, 0),
            (4096, 512, 1500, 100, 0),
            (4096, 4096, 1500, 40, 0),
            (1024, 512, 1200, 40, 25),
            (4096, 512, 1500, 20, 30),
        ] {
            for (pending, journal_units, more_workspace) in [(4, 3, 0), (9, 4, 0), (24, 16, 1 << 20)] {
                for flags in [LayerFlags::empty(), LayerFlags::INTEGRITY, LayerFlags::GUARANTEED] {
                    let shape = Self {
                        block_size,
                        sector_size,
                        blocks,
                        pending,
                        journal_units,
                        more_workspace,
                        sectors,
                        flags,
                        base,
                    };
                    shapes.push(shape);
                }
            }
        }
        shapes
    }
}

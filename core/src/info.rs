//! What a pool says of itself.

use crate::{device::BlockDevice, format::MergeMode, pool::Pool};

#[cfg(feature = "async")]
#[path = "asynch/info.rs"]
pub(crate) mod asynch;

/// What a pool says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PoolInfo {
    /// Format version, major and minor.
    pub version: (u16, u16),
    /// The pool's identifier.
    pub uuid: [u8; 16],
    /// Bytes in a block.
    pub block_size: u32,
    /// Bytes in a sector.
    pub sector_size: u32,
    /// Bytes in a journal unit.
    pub unit_size: u32,
    /// Units of the journal.
    pub journal_units: u32,
    /// Records of the pending table.
    pub pending: u32,
    /// Records that are pending now.
    pub pending_used: u32,
    /// Checkpoints in the pool's life.
    pub generation: u64,
    /// The epoch in which entries are being written.
    pub epoch: u32,
    /// The next layer's number.
    pub next_layer: u32,
    /// Layer records, deleted ones and attachments among them.
    pub layers: u32,
    /// Deleted layers that wait for merge.
    pub deleted: u32,
    /// Staged attachments.
    pub staged: u32,
    /// Sectors of the base device; 0 if there is none.
    pub base_sectors: u64,
    /// Levels of the highest map, of the catalog, of the space map.
    pub heights: (u8, u8, u8),
    /// The layer that is being merged, and the first address that is still to do.
    pub merging: Option<(u32, u64)>,
    /// Changes are refused.
    pub read_only: bool,
    /// An earlier write failed.
    pub poisoned: bool,
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// What the pool says of itself.
    pub fn info(&self) -> PoolInfo {
        let (store, view) = (&self.store, self.store.durable());
        let sb = view.state();
        let merging = sb.merge.mode != MergeMode::None;
        PoolInfo {
            version: view.version(),
            uuid: view.uuid(),
            block_size: 1 << store.layout.block_shift,
            sector_size: u32::try_from(store.sector_size).unwrap_or(0),
            unit_size: 1 << view.unit_shift(),
            journal_units: view.journal_units(),
            pending: view.pending(),
            pending_used: u32::try_from(store.pending.len()).unwrap_or(0),
            generation: sb.generation,
            epoch: sb.epoch,
            next_layer: sb.next_layer,
            layers: sb.layers,
            deleted: sb.deleted,
            staged: sb.staged,
            base_sectors: view.base().sectors,
            heights: (sb.max_height, sb.catalog_height, u8::try_from(store.layout.levels()).unwrap_or(0)),
            merging: merging.then_some((sb.merge.layer, sb.merge.front)),
            read_only: store.read_only,
            poisoned: store.poisoned,
        }
    }
}

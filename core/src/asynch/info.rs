//! Made from `info.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::pool::asynch::Pool;

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

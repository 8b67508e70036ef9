//! What a layer's record adds to the superblock's sums: blocks promised, blocks that merge gives back, numbers of records.

use crate::{
    device::BlockDevice,
    format::{Layer, nodes_for},
    store::Store,
    types::{LayerFlags, LayerKind},
};

#[cfg(feature = "async")]
#[path = "asynch/tally.rs"]
pub(crate) mod asynch;

/// What a record adds to the superblock's sums.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) guaranteed: u64,
    pub(crate) reclaimable: u64,
    pub(crate) layers: u32,
    pub(crate) deleted: u32,
    pub(crate) staged: u32,
}

impl<D: BlockDevice> Store<'_, D> {
    pub(crate) fn tally(&self, layer: &Layer) -> Tally {
        if layer.id == 0 {
            return Tally::default();
        }
        let deleted = layer.is_deleted();
        let guaranteed = layer.flags.contains(LayerFlags::GUARANTEED) && !deleted && layer.kind == LayerKind::Volume;
        Tally {
            guaranteed: if guaranteed { self.promised(layer) } else { 0 },
            reclaimable: if deleted && layer.children == 0 { layer.data + layer.nodes } else { 0 },
            layers: 1,
            deleted: u32::from(deleted),
            staged: u32::from(layer.flags.contains(LayerFlags::STAGED)),
        }
    }

    /// What a record adds to the blocks promised and to those that merge gives back.
    pub(crate) fn sums_of(&self, layer: &Layer) -> (u64, u64) {
        let tally = self.tally(layer);
        (tally.guaranteed, tally.reclaimable)
    }

    /// Blocks that a guaranteed volume may still come to need: everything that it does not own yet.
    fn promised(&self, layer: &Layer) -> u64 {
        let blocks = self.spb.ceil(layer.sectors);
        let nodes = nodes_for(blocks, layer.height, self.fan_shift());
        blocks.saturating_sub(layer.data) + nodes.saturating_sub(layer.nodes)
    }
}

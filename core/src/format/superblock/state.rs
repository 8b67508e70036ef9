//! What a checkpoint changes of the superblock, the spares left aside.

use super::{MergeMode, MergeState, Superblock, SuperblockView};
use crate::{
    bytes::{put, put_u32, put_u64, u8_at, u32_at, u64_at},
    format::{Entry, SpaceEntry},
};

/// The fields of a superblock that a checkpoint changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Counts checkpoints.
    pub generation: u64,
    /// Blocks of the device that are used.
    pub total: u64,
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
}

impl State {
    /// What the fields of a superblock say.
    pub fn take(bytes: &[u8; Superblock::FIELDS]) -> Self {
        let view = SuperblockView(bytes);
        let (layers, deleted, staged) = view.counts();
        let mode = match u8_at(bytes, 156) {
            0 => MergeMode::None,
            1 => MergeMode::Merge,
            _ => MergeMode::Trim,
        };
        Self {
            generation: view.generation(),
            total: view.total(),
            epoch: view.epoch(),
            next_layer: view.next_layer(),
            space: view.space(),
            catalog: view.catalog(),
            catalog_height: view.catalog_height(),
            max_height: view.max_height(),
            free: view.free(),
            guaranteed: view.guaranteed(),
            reclaimable: view.reclaimable(),
            cursor: view.cursor(),
            merge: MergeState { layer: u32_at(bytes, 152), mode, front: u64_at(bytes, 160), limit: u32_at(bytes, 168) },
            hint: u32_at(bytes, 176),
            layers,
            deleted,
            staged,
        }
    }

    /// Writes them among the fields of a superblock, and zeros where there must be zeros.
    pub fn put(&self, bytes: &mut [u8; Superblock::FIELDS]) {
        put_u64(bytes, 32, self.generation);
        put_u64(bytes, 56, self.total);
        put_u32(bytes, 72, self.epoch);
        put_u32(bytes, 76, self.next_layer);
        self.space.encode(bytes, 80);
        self.catalog.encode(bytes, 96);
        put(bytes, 112, &[self.catalog_height, 0, self.max_height, 0, 0, 0, 0, 0]);
        put_u64(bytes, 120, self.free);
        put_u64(bytes, 128, self.guaranteed);
        put_u64(bytes, 136, self.reclaimable);
        put_u64(bytes, 144, self.cursor);
        put_u32(bytes, 152, self.merge.layer);
        let mode = match self.merge.mode {
            MergeMode::None => 0,
            MergeMode::Merge => 1,
            MergeMode::Trim => 2,
        };
        put_u32(bytes, 156, mode);
        put_u64(bytes, 160, self.merge.front);
        put_u64(bytes, 168, self.merge.limit.into());
        put_u32(bytes, 176, self.hint);
        put_u32(bytes, 180, self.layers);
        put_u32(bytes, 184, self.deleted);
        put_u32(bytes, 188, self.staged);
        put(bytes, 204, &[0; 12]);
    }
}

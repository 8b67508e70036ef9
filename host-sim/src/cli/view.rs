//! A layer as reports show it: bytes instead of sectors and blocks, times as text too.

use cowl::{LayerFlags, LayerInfo, LayerKind};
use serde::Serialize;
use uuid::Uuid;

use super::time;

/// The units of a pool, to turn sectors and blocks into bytes.
#[derive(Debug, Clone, Copy)]
pub struct Units {
    /// Bytes in a sector.
    pub sector: u32,
    /// Bytes in a block.
    pub block: u32,
}

impl Units {
    /// Sectors in bytes.
    pub fn sectors(self, count: u64) -> u64 {
        count.saturating_mul(u64::from(self.sector))
    }

    /// Blocks in bytes.
    pub fn blocks(self, count: u64) -> u64 {
        count.saturating_mul(u64::from(self.block))
    }
}

/// A layer for a report.
#[derive(Debug, Clone, Serialize)]
pub struct LayerView {
    /// Its number.
    pub id: u32,
    /// Its name; empty for anonymous deleted layers.
    pub name: String,
    /// `volume`, `snapshot` or `attachment`.
    pub kind: &'static str,
    /// Its UUID.
    pub uuid: Uuid,
    /// The layer below.
    pub parent: Option<u32>,
    /// The tree.
    pub family: u32,
    /// Layers above.
    pub children: u32,
    /// For an attachment: whose.
    pub owner: Option<u32>,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that it owns: data and map, written since its parent was taken.
    pub owned: u64,
    /// Data blocks of that.
    pub owned_data_blocks: u64,
    /// Map nodes of that.
    pub owned_map_blocks: u64,
    /// Space for all of it is reserved.
    pub guaranteed: bool,
    /// Every data block has a checksum.
    pub integrity: bool,
    /// It waits for merge, or is a branching point.
    pub deleted: bool,
    /// Seconds since 1970.
    pub created: u64,
    /// The same as text.
    pub created_utc: Option<String>,
    /// Seconds since 1970.
    pub reverted_at: Option<u64>,
    /// The snapshot of the last rollback.
    pub reverted_from: Option<u32>,
}

impl LayerView {
    /// Of a layer.
    pub fn new(layer: &LayerInfo, units: Units) -> Self {
        let attachment = layer.kind == LayerKind::Attachment;
        Self {
            id: layer.id.0,
            name: layer.name.to_string(),
            kind: kind(layer.kind),
            uuid: Uuid::from_bytes(layer.uuid),
            parent: layer.parent.map(|id| id.0),
            family: layer.family.0,
            children: layer.children,
            owner: layer.owner.map(|id| id.0),
            size: if attachment { layer.length } else { units.sectors(layer.sectors) },
            owned: units.blocks(layer.delta.data + layer.delta.nodes),
            owned_data_blocks: layer.delta.data,
            owned_map_blocks: layer.delta.nodes,
            guaranteed: layer.flags.contains(LayerFlags::GUARANTEED),
            integrity: layer.flags.contains(LayerFlags::INTEGRITY),
            deleted: layer.flags.contains(LayerFlags::DELETED),
            created: layer.created,
            created_utc: time::utc(layer.created),
            reverted_at: layer.reverted_at,
            reverted_from: layer.reverted_from.map(|id| id.0),
        }
    }

    /// Name, or a stand-in for layers without one.
    pub fn title(&self) -> String {
        match (self.deleted, self.name.is_empty()) {
            (true, true) => "(deleted)".to_owned(),
            (true, false) => format!("{} (deleted)", self.name),
            (false, _) => self.name.clone(),
        }
    }

    /// What it is and its properties, in words.
    pub fn marks(&self) -> String {
        let mut marks = vec![if self.deleted && self.children > 1 {
            "branching point"
        } else if self.deleted {
            "to be merged"
        } else {
            self.kind
        }];
        marks.extend(self.guaranteed.then_some("guaranteed"));
        marks.extend(self.integrity.then_some("integrity"));
        marks.join(", ")
    }
}

/// The word for a kind of layer.
pub fn kind(kind: LayerKind) -> &'static str {
    match kind {
        LayerKind::Volume => "volume",
        LayerKind::Snapshot => "snapshot",
        LayerKind::Attachment => "attachment",
    }
}

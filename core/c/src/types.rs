//! The structures that go in and out.

use core::ffi::c_char;

use cowl::{Attributes, ExtentKind, LayerId};

use crate::{
    handle::Call,
    memory::value,
    status::{Failure, Object},
};

/// Space for every block of the volume is reserved: it never runs out.
pub const LAYER_GUARANTEED: u32 = 1;
/// Every data block carries a checksum; writes never overwrite in place.
pub const LAYER_INTEGRITY: u32 = 2;
/// Deleted: invisible, waiting for merge.
pub const LAYER_DELETED: u32 = 4;
/// A deleted branching point that may keep blocks which nobody reads.
pub const LAYER_ARMED: u32 = 8;
/// An attachment that no layer owns yet.
pub const LAYER_STAGED: u32 = 16;
/// Bytes of a name's field: 63 and a terminating zero.
pub const NAME_SIZE: usize = 64;
/// Bytes that a description can have.
pub const DESCRIPTION_SIZE: usize = 767;

/// What the caller says of a new layer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct LayerAttributes {
    /// Its name, 1 to 63 bytes of UTF-8, terminated.
    pub name: *const c_char,
    /// Up to 767 bytes of UTF-8, terminated; may be NULL.
    pub description: *const c_char,
    /// A unique identifier; cowl stores it and makes none itself.
    pub uuid: [u8; 16],
    /// The time, in whatever unit the caller keeps.
    pub time: u64,
}

impl LayerAttributes {
    /// # Safety
    /// The rules of pointers, for as long as the answer lives.
    pub(crate) unsafe fn read<'a>(call: &Call<'_>, from: *const Self) -> Result<Attributes<'a>, Failure> {
        // SAFETY: handed on.
        unsafe { value(from, "the attributes")?.resolve(call) }
    }

    /// # Safety
    /// As [`read`](Self::read).
    pub(crate) unsafe fn resolve<'a>(&self, call: &Call<'_>) -> Result<Attributes<'a>, Failure> {
        // SAFETY: handed on.
        let (name, description) = unsafe { (call.text(self.name)?, call.text(self.description)?) };
        Ok(Attributes { name, uuid: self.uuid, description, time: self.time })
    }
}

/// What a layer is.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// Writable.
    Volume = 0,
    /// Read-only, never changes.
    Snapshot = 1,
    /// A named blob that belongs to a layer, or is staged for one.
    Attachment = 2,
}

/// A layer as the catalog describes it. No layer has the number 0: it stands for none.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct LayerInfo {
    /// Its number.
    pub id: u32,
    /// What it is.
    pub kind: LayerKind,
    /// `COWL_LAYER_...`
    pub flags: u32,
    /// The layer below, in the tree; 0 if there is none.
    pub parent: u32,
    /// The tree that it belongs to: the volume that was created first.
    pub family: u32,
    /// Layers whose parent it is.
    pub children: u32,
    /// For an attachment: the layer that it belongs to; else 0.
    pub owner: u32,
    /// To which snapshot it was last rolled back; 0 if never.
    pub reverted_from: u32,
    /// When, as the caller said; 0 if never.
    pub reverted_at: u64,
    /// When it was made, as the caller said.
    pub created: u64,
    /// Size in sectors.
    pub sectors: u64,
    /// An attachment's length in bytes.
    pub length: u64,
    /// What it owns.
    pub delta: Delta,
    /// Bytes of its description.
    pub description_length: u32,
    /// Given by the caller when it was made.
    pub uuid: [u8; 16],
    /// Its name, terminated; empty for anonymous deleted layers.
    pub name: [c_char; NAME_SIZE],
}

impl From<cowl::LayerInfo> for LayerInfo {
    fn from(info: cowl::LayerInfo) -> Self {
        let number = |id: Option<LayerId>| id.map_or(0, |id| id.0);
        let mut name: [c_char; NAME_SIZE] = [0; NAME_SIZE];
        for (to, from) in name.iter_mut().zip(info.name.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
        Self {
            id: info.id.0,
            kind: match info.kind {
                cowl::LayerKind::Volume => LayerKind::Volume,
                cowl::LayerKind::Snapshot => LayerKind::Snapshot,
                cowl::LayerKind::Attachment => LayerKind::Attachment,
            },
            flags: info.flags.bits(),
            parent: number(info.parent),
            family: info.family.0,
            children: info.children,
            owner: number(info.owner),
            reverted_from: number(info.reverted_from),
            reverted_at: info.reverted_at.unwrap_or(0),
            created: info.created,
            sectors: info.sectors,
            length: info.length,
            delta: info.delta.into(),
            description_length: u32::from(info.description),
            uuid: info.uuid,
            name,
        }
    }
}

/// Blocks that a layer owns, or that would come free.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Delta {
    /// Data blocks.
    pub data: u64,
    /// Nodes of the map.
    pub nodes: u64,
}

impl From<cowl::Delta> for Delta {
    fn from(delta: cowl::Delta) -> Self {
        Self { data: delta.data, nodes: delta.nodes }
    }
}

/// What a range of a layer holds.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Data, on the device.
    Data = 0,
    /// Zeros, without a block.
    Zero = 1,
    /// Nothing was ever written: the base device's content at that address, zeros past its end.
    Empty = 2,
}

/// A range of a layer of one kind.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// First sector.
    pub sector: u64,
    /// Number of sectors, at least one.
    pub count: u64,
    /// For data: its first sector on the device; else 0.
    pub device_sector: u64,
    /// What is there.
    pub content: Content,
}

impl From<cowl::Extent> for Extent {
    fn from(extent: cowl::Extent) -> Self {
        let (content, device_sector) = match extent.kind {
            ExtentKind::Data { sector } => (Content::Data, sector),
            ExtentKind::Zero => (Content::Zero, 0),
            ExtentKind::Empty => (Content::Empty, 0),
        };
        Self { sector: extent.sector, count: extent.count, device_sector, content }
    }
}

/// The pool's space, in blocks.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Blocks of the device.
    pub total: u64,
    /// Blocks that nothing uses.
    pub free: u64,
    /// Free blocks that are promised to guaranteed volumes.
    pub guaranteed: u64,
    /// Free blocks that are set aside for checkpoints.
    pub reserve: u64,
    /// Blocks of deleted layers without children, which merge gives back.
    pub reclaimable: u64,
    /// Blocks that a thin volume can still take, its map's nodes included.
    pub available: u64,
}

impl From<cowl::Space> for Space {
    fn from(space: cowl::Space) -> Self {
        let available = space.available();
        let cowl::Space { total, free, guaranteed, reserve, reclaimable } = space;
        Self { total, free, guaranteed, reserve, reclaimable, available }
    }
}

/// Counts of what the pool has done since it was mounted.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Stats {
    /// Read calls on the device.
    pub reads: u64,
    /// Write calls on the device.
    pub writes: u64,
    /// Flush calls on the device.
    pub flushes: u64,
    /// Data blocks copied because only a part of them was written.
    pub copies: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Journal groups.
    pub groups: u64,
}

impl From<cowl::Stats> for Stats {
    fn from(stats: cowl::Stats) -> Self {
        let cowl::Stats { reads, writes, flushes, copies, checkpoints, groups } = stats;
        Self { reads, writes, flushes, copies, checkpoints, groups }
    }
}

/// What a pool says of itself.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PoolInfo {
    /// The pool's identifier.
    pub uuid: [u8; 16],
    /// Format version.
    pub major: u16,
    /// Format version.
    pub minor: u16,
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
    /// The epoch in which entries are being written.
    pub epoch: u32,
    /// Checkpoints in the pool's life.
    pub generation: u64,
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
    /// Bytes of metadata that the memory can hold.
    pub cache_size: u64,
    /// The first address that is still to do in the layer being merged.
    pub merging_from: u64,
    /// The layer that is being merged; 0 if none is.
    pub merging: u32,
    /// Levels of the highest map, of the catalog, of the space map.
    pub heights: [u8; 3],
    /// 1 if changes are refused.
    pub read_only: u8,
    /// 1 if an earlier write failed.
    pub poisoned: u8,
}

/// What is wrong in a pool.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// One that this version of the interface has no number for.
    Unknown = 0,
    /// `object` at `block` does not match its checksum, its parent or its bounds; `layer` leads to it.
    Damaged = 1,
    /// `block` is used, but the space map calls it free.
    NotMarked = 2,
    /// The space map calls `block` used, but nothing uses it.
    Leaked = 3,
    /// Two things use `block`.
    UsedTwice = 4,
    /// A count in a record or in the superblock is wrong: `what` of `layer`, `stored` instead of `expected`.
    Count = 5,
    /// A field of a layer's record does not agree with the rest: `what` of `layer`, `stored` instead of `expected`.
    Field = 6,
    /// An entry of the space map counts wrongly below it: `level`, from `block` on, `stored` instead of `expected`.
    FreeCount = 7,
    /// The superblock's slot `level` cannot be read; the pool lives on the others.
    SuperblockCopy = 8,
}

/// Something that is not as it must be. Fields that do not belong to the kind are 0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// What is damaged.
    pub object: Object,
    /// The layer; 0 if it is about none.
    pub layer: u32,
    /// A level of the space map, or a slot of the superblock.
    pub level: u32,
    /// The block.
    pub block: u64,
    /// What is on the device.
    pub stored: u64,
    /// What there should be.
    pub expected: u64,
    /// The name of the count or field, not terminated; NULL if there is none. Valid for ever.
    pub what: *const c_char,
    /// Bytes of that name.
    pub what_length: usize,
}

/// The sum of a check.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    /// Findings reported.
    pub findings: u64,
    /// Blocks in use, the fixed ones not counted.
    pub blocks: u64,
    /// Layer records.
    pub layers: u64,
    /// Data blocks whose checksums were verified.
    pub scrubbed: u64,
    /// Walks that were needed.
    pub passes: u64,
}

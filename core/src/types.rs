//! The words of the interface: identifiers, names, what a layer looks like from outside.

use core::{fmt, ops::Deref};

use crate::bytes::copy;

/// Number of a layer; never given out twice in the life of a pool. In memory it is its number and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(transparent)]
pub struct LayerId(pub u32);

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A layer's name: 0 to 63 bytes of UTF-8 (only anonymous layers have none).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    length: u8,
    bytes: [u8; Self::CAPACITY],
}

impl Name {
    /// Bytes that a name can have.
    pub const CAPACITY: usize = 63;
    /// The name of an anonymous layer.
    pub const NONE: Self = Self { length: 0, bytes: [0; Self::CAPACITY] };

    /// `None` if the text is empty, longer than 63 bytes or has control characters.
    pub fn new(text: &str) -> Option<Self> {
        if !Self::is_possible(text) {
            return None;
        }
        let mut name = Self::NONE;
        copy(name.bytes.get_mut(..text.len())?, text.as_bytes());
        name.length = u8::try_from(text.len()).ok()?;
        Some(name)
    }

    /// The text can be a name.
    pub(crate) fn is_possible(text: &str) -> bool {
        (1..=Self::CAPACITY).contains(&text.len()) && !text.chars().any(char::is_control)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.length)).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Name {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LayerKind {
    /// Writable.
    Volume,
    /// Read-only, never changes.
    Snapshot,
    /// A named blob that belongs to a layer, or is staged for one.
    Attachment,
}

impl LayerKind {
    /// As it is stored.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Volume => 0,
            Self::Snapshot => 1,
            Self::Attachment => 2,
        }
    }

    /// What is stored as this number.
    pub(crate) fn of_number(number: u8) -> Self {
        match number {
            0 => Self::Volume,
            1 => Self::Snapshot,
            _ => Self::Attachment,
        }
    }
}

bitflags::bitflags! {
    /// Properties of a layer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct LayerFlags: u32 {
        /// Space for every block of the volume is reserved: it never runs out.
        const GUARANTEED = 1;
        /// Every data block carries a checksum; writes never overwrite in place.
        const INTEGRITY = 2;
        /// Deleted: invisible, waiting for merge.
        const DELETED = 4;
        /// A deleted branching point that may keep blocks which nobody reads.
        const ARMED = 8;
        /// An attachment that no layer owns yet.
        const STAGED = 16;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for LayerFlags {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "LayerFlags({=u32:#x})", self.bits());
    }
}

/// Blocks that a layer owns: what was written since its parent was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Delta {
    /// Data blocks.
    pub data: u64,
    /// Nodes of the map.
    pub nodes: u64,
}

/// A layer as the catalog describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LayerInfo {
    /// Its number.
    pub id: LayerId,
    /// What it is.
    pub kind: LayerKind,
    /// Its properties.
    pub flags: LayerFlags,
    /// Its name; empty for anonymous deleted layers.
    pub name: Name,
    /// Given by the caller when it was made.
    pub uuid: [u8; 16],
    /// The layer below, in the tree; a deleted one may stand between visible layers.
    pub parent: Option<LayerId>,
    /// The tree that it belongs to: the volume that was created first.
    pub family: LayerId,
    /// Layers whose parent it is.
    pub children: u32,
    /// For an attachment: the layer that it belongs to.
    pub owner: Option<LayerId>,
    /// Size in sectors (an attachment's too; its length in bytes is `length`).
    pub sectors: u64,
    /// An attachment's length in bytes.
    pub length: u64,
    /// When it was made, as the caller said.
    pub created: u64,
    /// When it was last rolled back, as the caller said.
    pub reverted_at: Option<u64>,
    /// To which snapshot.
    pub reverted_from: Option<LayerId>,
    /// What it owns.
    pub delta: Delta,
    /// Bytes of its description.
    pub description: u16,
}

/// What the caller says of a new layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a> {
    /// Its name, 1 to 63 bytes.
    pub name: &'a str,
    /// A unique identifier; cowl stores it and makes none itself.
    pub uuid: [u8; 16],
    /// Up to 767 bytes of text.
    pub description: &'a str,
    /// The time, in whatever unit the caller keeps (the `cowl` command uses seconds since 1970).
    pub time: u64,
}

/// One volume of a snapshot of several.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotOf<'a> {
    /// The volume.
    pub volume: LayerId,
    /// What the new snapshot is to be called.
    pub attributes: Attributes<'a>,
    /// Staged attachments that are to belong to it.
    pub attachments: &'a [LayerId],
}

/// What a range of a layer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ExtentKind {
    /// Data, from this sector of the device on.
    Data {
        /// First sector on the device.
        sector: u64,
    },
    /// Zeros, without a block.
    Zero,
    /// Nothing was ever written: the base device's content at that address, zeros past its end.
    Empty,
}

/// A range of a layer of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Extent {
    /// First sector.
    pub sector: u64,
    /// Number of sectors, at least one.
    pub count: u64,
    /// What is there.
    pub kind: ExtentKind,
}

/// The pool's space, in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
}

impl Space {
    /// Blocks that a thin volume can still take, its map's nodes included.
    pub fn available(&self) -> u64 {
        self.free.saturating_sub(self.guaranteed).saturating_sub(self.reserve)
    }
}

/// What a step of merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Merge {
    /// No deleted layer is left to work on.
    Idle,
    /// There is more to do.
    Progress {
        /// The layer that was worked on.
        layer: LayerId,
        /// Blocks that its delta still holds.
        left: u64,
    },
}

/// Counts of what the pool has done since it was mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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

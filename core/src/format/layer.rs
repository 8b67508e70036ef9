//! A layer's record in the catalog: a slot of 1024 bytes, 256 of fields and 768 for the description.
//!
//! The catalog is a tree of blocks addressed by layer number: slot `id` begins at byte `id * 1024`. A slot of zeros is free.

mod view;

use crate::{
    bytes::{put, put_u8, put_u16, put_u32, put_u64},
    format::Entry,
    types::{LayerFlags, LayerKind, Name},
};

pub use view::LayerView;

/// Bytes of a slot.
pub const SLOT_SIZE: u64 = 1024;
/// Bytes of the fields; the description follows.
pub const RECORD_SIZE: usize = 256;

const KIND: usize = 4;
const NAME_LENGTH: usize = 5;
const HEIGHT: usize = 6;
const FLAGS: usize = 8;
const EPOCH: usize = 12;
const UUID: usize = 16;
const ROOT: usize = 32;
const PARENT: usize = 48;
const PARENT_EPOCH: usize = 52;
const FAMILY: usize = 56;
const CHILDREN: usize = 60;
const CHILD_XOR: usize = 64;
const OWNER: usize = 68;
const FIRST_ATTACHMENT: usize = 72;
const NEXT_ATTACHMENT: usize = 76;
const SECTORS: usize = 80;
const DATA: usize = 88;
const NODES: usize = 96;
const CREATED: usize = 104;
const REVERTED_AT: usize = 112;
const REVERTED_FROM: usize = 120;
const DESCRIPTION: usize = 124;
const MOUNT: usize = 128;
const LENGTH: usize = 136;
const NAME: usize = 192;

/// The fields of a layer that the pool itself reckons with. Layer number 0 stands for "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Its number; 0 if the slot is free.
    pub id: u32,
    /// What it is.
    pub kind: LayerKind,
    /// Levels of nodes of its map.
    pub height: u8,
    /// Its properties.
    pub flags: LayerFlags,
    /// The epoch that it closed; 0 for a live volume.
    pub epoch: u32,
    /// Root of its map.
    pub root: Entry,
    /// The layer below.
    pub parent: u32,
    /// The epoch of the layer below: what was born later is this layer's own.
    pub parent_epoch: u32,
    /// The first volume of its tree.
    pub family: u32,
    /// Number of layers whose parent it is.
    pub children: u32,
    /// Exclusive or of their numbers: with one child, its number.
    pub child_xor: u32,
    /// For an attachment: the layer that it belongs to.
    pub owner: u32,
    /// Its first attachment.
    pub first_attachment: u32,
    /// For an attachment: the next one of the same owner.
    pub next_attachment: u32,
    /// Size in sectors.
    pub sectors: u64,
    /// Data blocks that it owns.
    pub data: u64,
    /// Nodes that it owns.
    pub nodes: u64,
}

/// The other fields of a record: what is kept for whoever asks. They are changed on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: Name,
    /// Given by the caller.
    pub uuid: [u8; 16],
    /// When it was made.
    pub created: u64,
    /// When it was last rolled back; meaningful if `reverted_from` is not 0.
    pub reverted_at: u64,
    /// To which snapshot.
    pub reverted_from: u32,
    /// Bytes of the description.
    pub description: u16,
    /// For a staged attachment: low half of the generation at which its pool had been mounted.
    pub mount: u32,
    /// An attachment's length in bytes.
    pub length: u64,
}

impl Label {
    /// Nothing is said of the layer.
    pub const NONE: Self = Self {
        name: Name::NONE,
        uuid: [0; 16],
        created: 0,
        reverted_at: 0,
        reverted_from: 0,
        description: 0,
        mount: 0,
        length: 0,
    };

    /// Stores all of it in the record at the start of `bytes`.
    pub fn encode(&self, bytes: &mut [u8]) {
        let Some(bytes) = bytes.first_chunk_mut::<RECORD_SIZE>() else { return };
        Self::put_made(bytes, &self.uuid, self.created);
        Self::put_name(bytes, &self.name);
        Self::put_reverted(bytes, self.reverted_at, self.reverted_from);
        Self::put_described(bytes, self.description);
        Self::put_attachment(bytes, self.length, self.mount);
    }

    /// Stores what is said once, when the layer is made.
    pub(crate) fn put_made(bytes: &mut [u8], uuid: &[u8; 16], created: u64) {
        put(bytes, UUID, uuid);
        put_u64(bytes, CREATED, created);
    }

    /// Stores the name alone, which has been [looked at](Name::is_possible).
    pub(crate) fn put_name(bytes: &mut [u8], name: &str) {
        put_u8(bytes, NAME_LENGTH, u8::try_from(name.len()).unwrap_or(0));
        put(bytes, NAME, &[0; Name::CAPACITY]);
        put(bytes, NAME, name.as_bytes());
    }

    /// Stores when and to what the layer was rolled back.
    pub(crate) fn put_reverted(bytes: &mut [u8], at: u64, from: u32) {
        put_u64(bytes, REVERTED_AT, at);
        put_u32(bytes, REVERTED_FROM, from);
    }

    /// Stores the length of the description.
    pub(crate) fn put_described(bytes: &mut [u8], length: u16) {
        put_u16(bytes, DESCRIPTION, length);
    }

    /// Stores what an attachment has: its length, and at which mount it was staged.
    pub(crate) fn put_attachment(bytes: &mut [u8], length: u64, mount: u32) {
        put_u64(bytes, LENGTH, length);
        put_u32(bytes, MOUNT, mount);
    }
}

impl Layer {
    /// Offset of the root entry in the record.
    pub const ROOT: usize = ROOT;

    /// A record with nothing in it.
    pub const FREE: Self = Self {
        id: 0,
        kind: LayerKind::Volume,
        height: 1,
        flags: LayerFlags::empty(),
        epoch: 0,
        root: Entry::EMPTY,
        parent: 0,
        parent_epoch: 0,
        family: 0,
        children: 0,
        child_xor: 0,
        owner: 0,
        first_attachment: 0,
        next_attachment: 0,
        sectors: 0,
        data: 0,
        nodes: 0,
    };

    /// The record at the start of `bytes` (at least 256): `None` if no field combination that was ever written looks like it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let view = LayerView::new(bytes);
        view.is_possible().then(|| view.decode())
    }

    /// The record at the start of `bytes` is not free and has this name; nothing else is looked at.
    pub fn has_name(bytes: &[u8], name: &str) -> bool {
        let length = bytes.get(NAME_LENGTH).copied().map_or(0, usize::from);
        let stored = bytes.get(NAME..NAME + length);
        length == name.len() && stored == Some(name.as_bytes()) && bytes.get(..4) != Some(&[0; 4])
    }

    /// Stores the fields in the record at the start of `bytes`.
    pub fn encode(&self, bytes: &mut [u8]) {
        self.put(bytes);
        if bytes.len() >= RECORD_SIZE {
            self.root.encode(bytes, ROOT);
        }
    }

    /// The same without the root, which is changed on the page.
    pub(crate) fn put(&self, bytes: &mut [u8]) {
        // With the length known no field has to look at it.
        let Some(bytes) = bytes.first_chunk_mut::<RECORD_SIZE>() else { return };
        put_u32(bytes, 0, self.id);
        put_u8(bytes, KIND, self.kind.number());
        put_u8(bytes, HEIGHT, self.height);
        put_u32(bytes, FLAGS, self.flags.bits());
        put_u32(bytes, EPOCH, self.epoch);
        put_u32(bytes, PARENT, self.parent);
        put_u32(bytes, PARENT_EPOCH, self.parent_epoch);
        put_u32(bytes, FAMILY, self.family);
        put_u32(bytes, CHILDREN, self.children);
        put_u32(bytes, CHILD_XOR, self.child_xor);
        put_u32(bytes, OWNER, self.owner);
        put_u32(bytes, FIRST_ATTACHMENT, self.first_attachment);
        put_u32(bytes, NEXT_ATTACHMENT, self.next_attachment);
        put_u64(bytes, SECTORS, self.sectors);
        put_u64(bytes, DATA, self.data);
        put_u64(bytes, NODES, self.nodes);
    }

    /// It is waiting for merge.
    pub fn is_deleted(&self) -> bool {
        self.flags.contains(LayerFlags::DELETED)
    }
}

#[cfg(test)]
mod tests {
    use super::{Label, Layer, LayerView, RECORD_SIZE};
    use crate::{LayerFlags, LayerKind, Name, format::Entry};

    #[test]
    fn a_record_comes_back_field_by_field() {
        let layer = Layer {
            id: 1,
            kind: LayerKind::Snapshot,
            height: 2,
            flags: LayerFlags::INTEGRITY,
            epoch: 3,
            root: Entry { block: 5, birth: 6, crc: 7, ..Entry::EMPTY },
            parent: 8,
            parent_epoch: 9,
            family: 10,
            children: 11,
            child_xor: 12,
            owner: 13,
            first_attachment: 14,
            next_attachment: 15,
            sectors: 16,
            data: 17,
            nodes: 18,
        };
        let label = Label {
            name: Name::new("käse").unwrap(),
            uuid: [4; 16],
            created: 19,
            reverted_at: 20,
            reverted_from: 21,
            description: 22,
            mount: 23,
            length: 24,
        };
        for label_first in [true, false] {
            let mut bytes = [0; RECORD_SIZE];
            if label_first {
                label.encode(&mut bytes);
            }
            layer.encode(&mut bytes);
            if !label_first {
                label.encode(&mut bytes);
            }
            assert_eq!(Layer::decode(&bytes), Some(layer));
            assert_eq!(LayerView::new(&bytes).label(), label);
        }
    }

    #[test]
    fn a_slot_of_zeros_is_a_free_one() {
        assert_eq!(Layer::decode(&[0; RECORD_SIZE]).map(|layer| layer.id), Some(0));
    }
}

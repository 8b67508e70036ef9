//! A layer's record, looked at on its page.

use super::{
    CHILD_XOR, CHILDREN, CREATED, DATA, DESCRIPTION, EPOCH, FAMILY, FIRST_ATTACHMENT, FLAGS, HEIGHT, KIND, LENGTH,
    Label, Layer, MOUNT, NAME, NAME_LENGTH, NEXT_ATTACHMENT, NODES, OWNER, PARENT, PARENT_EPOCH, RECORD_SIZE,
    REVERTED_AT, REVERTED_FROM, ROOT, SECTORS, UUID,
};
use crate::{
    bytes::{array, u8_at, u16_at, u32_at, u64_at},
    format::Entry,
    types::{Delta, LayerFlags, LayerId, LayerInfo, LayerKind, Name},
};

/// A record as it lies on its page: to look at a few fields, without a copy of all of them.
#[derive(Clone, Copy)]
pub struct LayerView<'a>(&'a [u8; RECORD_SIZE]);

impl<'a> LayerView<'a> {
    /// The record at the start of `bytes`; a free one if that is less than a record.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        LayerView(bytes.first_chunk().unwrap_or(&[0; RECORD_SIZE]))
    }

    /// Such a field combination was written at some time.
    pub fn is_possible(self) -> bool {
        u8_at(self.0, KIND) <= 2 && self.text().is_some_and(|text| text.is_empty() || Name::is_possible(text))
    }

    /// What stands where its name is; `None` if that is no text.
    pub fn text(self) -> Option<&'a str> {
        let length = usize::from(u8_at(self.0, NAME_LENGTH));
        core::str::from_utf8(self.0.get(NAME..NAME + length)?).ok()
    }

    /// Its name; none if it has none, or one that can be none.
    pub fn name(self) -> Name {
        self.text().and_then(Name::new).unwrap_or(Name::NONE)
    }

    /// Its number; 0 if the slot is free.
    pub fn id(self) -> u32 {
        u32_at(self.0, 0)
    }

    /// What it is.
    pub fn kind(self) -> LayerKind {
        LayerKind::of_number(u8_at(self.0, KIND))
    }

    /// Levels of nodes of its map.
    pub fn height(self) -> u8 {
        u8_at(self.0, HEIGHT)
    }

    /// Its properties.
    pub fn flags(self) -> LayerFlags {
        LayerFlags::from_bits_retain(u32_at(self.0, FLAGS))
    }

    /// It is waiting for merge.
    pub fn is_deleted(self) -> bool {
        self.flags().contains(LayerFlags::DELETED)
    }

    /// The epoch that it closed; 0 for a live volume.
    pub fn epoch(self) -> u32 {
        u32_at(self.0, EPOCH)
    }

    /// Root of its map.
    pub fn root(self) -> Entry {
        Entry::decode(self.0, ROOT)
    }

    /// The layer below.
    pub fn parent(self) -> u32 {
        u32_at(self.0, PARENT)
    }

    /// The epoch that the layer below closed.
    pub fn parent_epoch(self) -> u32 {
        u32_at(self.0, PARENT_EPOCH)
    }

    /// The volume that its tree began with.
    pub fn family(self) -> u32 {
        u32_at(self.0, FAMILY)
    }

    /// Number of layers whose parent it is.
    pub fn children(self) -> u32 {
        u32_at(self.0, CHILDREN)
    }

    /// For an attachment: the layer that it belongs to.
    pub fn owner(self) -> u32 {
        u32_at(self.0, OWNER)
    }

    /// Its first attachment.
    pub fn first_attachment(self) -> u32 {
        u32_at(self.0, FIRST_ATTACHMENT)
    }

    /// For an attachment: the next one of the same owner.
    pub fn next_in_list(self) -> u32 {
        u32_at(self.0, NEXT_ATTACHMENT)
    }

    /// Size in sectors.
    pub fn sectors(self) -> u64 {
        u64_at(self.0, SECTORS)
    }

    /// Data blocks that it owns.
    pub fn data(self) -> u64 {
        u64_at(self.0, DATA)
    }

    /// Nodes that it owns.
    pub fn nodes(self) -> u64 {
        u64_at(self.0, NODES)
    }

    /// Bytes of the description.
    pub fn described(self) -> u16 {
        u16_at(self.0, DESCRIPTION)
    }

    /// For a staged attachment: low half of the generation at which its pool had been mounted.
    pub fn mounted(self) -> u32 {
        u32_at(self.0, MOUNT)
    }

    /// When it was made.
    pub fn created(self) -> u64 {
        u64_at(self.0, CREATED)
    }

    /// An attachment's length in bytes.
    pub fn length(self) -> u64 {
        u64_at(self.0, LENGTH)
    }

    /// All that the pool itself reckons with.
    pub fn decode(self) -> Layer {
        Layer {
            id: self.id(),
            kind: self.kind(),
            height: self.height(),
            flags: self.flags(),
            epoch: self.epoch(),
            root: self.root(),
            parent: self.parent(),
            parent_epoch: self.parent_epoch(),
            family: self.family(),
            children: self.children(),
            child_xor: u32_at(self.0, CHILD_XOR),
            owner: self.owner(),
            first_attachment: self.first_attachment(),
            next_attachment: self.next_in_list(),
            sectors: self.sectors(),
            data: self.data(),
            nodes: self.nodes(),
        }
    }

    /// What is kept for whoever asks.
    pub fn label(self) -> Label {
        Label {
            name: self.name(),
            uuid: array(self.0, UUID),
            created: self.created(),
            reverted_at: u64_at(self.0, REVERTED_AT),
            reverted_from: u32_at(self.0, REVERTED_FROM),
            description: self.described(),
            mount: self.mounted(),
            length: self.length(),
        }
    }

    /// What the caller sees.
    pub fn info(self) -> LayerInfo {
        let some = |id: u32| (id != 0).then_some(LayerId(id));
        let reverted_from = u32_at(self.0, REVERTED_FROM);
        LayerInfo {
            id: LayerId(self.id()),
            kind: self.kind(),
            flags: self.flags(),
            name: self.name(),
            uuid: array(self.0, UUID),
            parent: some(self.parent()),
            family: LayerId(self.family()),
            children: self.children(),
            owner: some(self.owner()),
            sectors: self.sectors(),
            length: self.length(),
            created: self.created(),
            reverted_at: (reverted_from != 0).then_some(u64_at(self.0, REVERTED_AT)),
            reverted_from: some(reverted_from),
            delta: Delta { data: self.data(), nodes: self.nodes() },
            description: self.described(),
        }
    }
}

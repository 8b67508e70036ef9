//! Radix trees of blocks: the maps of layers, and the catalog.
//!
//! A node is a block full of entries. Nodes are never changed in place: the first change in a checkpoint gives a node a new
//! block, its old one is freed if it was owned. A node whose last entry goes away goes away itself. Levels count from the
//! bottom: an entry of level 0 points to what the tree holds (data, or a page of the catalog).

use crate::{
    bytes::{index, u8_at},
    cache::{CATALOG_ROOT, Slot},
    device::BlockDevice,
    error::Object,
    format::{Entry, LayerView},
    store::{Outcome, Store},
};

#[cfg(feature = "async")]
#[path = "asynch/tree.rs"]
pub(crate) mod asynch;

/// A tree that is being changed, and what the change did to its owner's counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree {
    /// The slot that holds the root entry, and where.
    pub(crate) holder: Slot,
    pub(crate) offset: usize,
    /// Levels of nodes.
    pub(crate) height: u8,
    pub(crate) what: Object,
    /// Entries born later are owned.
    pub(crate) limit: u32,
    /// Entries born later are counted as the layer's own; those between `limit` and this are a merging parent's.
    pub(crate) own_limit: u32,
    /// Changed nodes keep their birth (trim).
    pub(crate) keep_birth: bool,
    /// Change of the number of nodes owned, and of those that a merging parent still counts.
    pub(crate) nodes: i64,
    pub(crate) parents_nodes: i64,
}

/// A map that is looked into: its root as it is stored, and its height.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Map([u8; Entry::SIZE + 1]);

impl Map {
    pub(crate) fn of(layer: LayerView<'_>) -> Self {
        let mut bytes = [layer.height(); Entry::SIZE + 1];
        layer.root().encode(&mut bytes, 0);
        Self(bytes)
    }

    pub(crate) fn root(&self) -> Entry {
        Entry::decode(&self.0, 0)
    }

    pub(crate) fn height(&self) -> u8 {
        u8_at(&self.0, Entry::SIZE)
    }
}

impl Tree {
    /// The catalog's tree: everything in it is owned.
    pub(crate) fn catalog(height: u8) -> Self {
        Self {
            holder: CATALOG_ROOT,
            offset: 0,
            height,
            what: Object::Catalog,
            limit: 0,
            own_limit: 0,
            keep_birth: false,
            nodes: 0,
            parents_nodes: 0,
        }
    }

    #[inline(never)]
    fn count(&mut self, birth: u32, change: i64) {
        if birth > self.own_limit {
            self.nodes += change;
        } else {
            self.parents_nodes += change;
        }
    }
}

impl<D: BlockDevice> Store<'_, D> {
    /// The map has the same entry at this place.
    pub(crate) fn map_has(&mut self, map: &Map, level: u8, address: u64, entry: &Entry) -> Outcome<bool> {
        Ok(self.entry_at(map.root(), map.height(), level, address, Object::MapNode)?.same(entry))
    }

    /// Offset, in a node of this level, of the entry that leads to the address.
    pub(crate) fn child_offset(&self, address: u64, level: u8) -> usize {
        let fan = self.fan_shift();
        let mask = (1u64 << fan) - 1;
        index((address >> (fan * u32::from(level.saturating_sub(1)))) & mask) * Entry::SIZE
    }

    /// Addresses below an entry of this level.
    #[inline]
    pub(crate) fn span(&self, level: u8) -> u64 {
        1 << (self.fan_shift() * u32::from(level)).min(62)
    }

    /// The first address behind those that the entry of this level with `address` below it covers.
    // Arithmetic of 64 bits is long on a machine of 32: it is there once.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn behind(&self, level: u8, address: u64) -> u64 {
        (address | (self.span(level) - 1)).saturating_add(1)
    }

    /// What an entry of this level covers begins at the address.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn begins(&self, level: u8, address: u64) -> bool {
        address & (self.span(level) - 1) == 0
    }

    /// The entry of `level` that covers the address, in a tree of this root and height.
    pub(crate) fn entry_at(
        &mut self,
        root: Entry,
        height: u8,
        level: u8,
        address: u64,
        what: Object,
    ) -> Outcome<Entry> {
        if address >= self.span(height) {
            return Ok(Entry::EMPTY);
        }
        let mut entry = root;
        for below in (level..height).rev() {
            if !entry.is_block() {
                return Ok(entry);
            }
            let slot = self.load(&entry, what)?;
            entry = self.entry_in(slot, self.child_offset(address, below + 1));
        }
        Ok(entry)
    }

    pub(crate) fn held_entry(&self, holder: Slot, offset: usize) -> Entry {
        if holder == CATALOG_ROOT { self.sb.catalog } else { self.entry_in(holder, offset) }
    }

    pub(crate) fn set_held_entry(&mut self, holder: Slot, offset: usize, entry: &Entry) {
        if holder == CATALOG_ROOT {
            self.sb.catalog = *entry;
        } else {
            entry.encode(self.cache.bytes_mut(holder), offset);
        }
    }

    /// The block below an entry, ready to be changed; made, full of zeros, if there is none.
    pub(crate) fn node_mut(&mut self, tree: &mut Tree, holder: Slot, offset: usize) -> Outcome<Slot> {
        let entry = self.held_entry(holder, offset);
        if let Some(slot) = self.cache.find(entry.block).filter(|slot| entry.is_block() && self.cache.is_dirty(*slot)) {
            if self.cache.parent(slot) != (holder, offset) {
                return Err(self.damaged(tree.what, entry.block));
            }
            return Ok(slot);
        }
        self.pin(holder);
        let result = self.renew(tree, &entry);
        self.unpin(holder);
        let (slot, birth) = result?;
        let block = self.cache.block(slot);
        self.set_held_entry(holder, offset, &Entry { block, birth, crc: 0, ..Entry::EMPTY });
        self.cache.set_dirty(slot, holder, offset);
        self.cache.set_map(slot, tree.what == Object::MapNode);
        Ok(slot)
    }

    /// Gives the node of an entry a new block, in its slot; its birth.
    fn renew(&mut self, tree: &mut Tree, entry: &Entry) -> Outcome<(Slot, u32)> {
        let slot = if entry.is_block() {
            self.load(entry, tree.what)?
        } else {
            let slot = self.vacate()?;
            self.cache.bytes_mut(slot).fill(0);
            slot
        };
        self.cache.pin(slot);
        let block = if tree.what == Object::Catalog { self.allocate_catalog() } else { self.allocate_node() };
        let released = if entry.is_block() && entry.birth > tree.limit {
            tree.count(entry.birth, -1);
            self.release_node(tree, entry.block)
        } else {
            Ok(())
        };
        self.cache.unpin(slot);
        let (block, ()) = (block?, released?);
        self.rehouse(slot, block, tree.what)?;
        let birth = if tree.keep_birth { entry.birth } else { self.sb.epoch };
        tree.count(birth, 1);
        Ok((slot, birth))
    }

    fn release_node(&mut self, tree: &Tree, block: u64) -> Outcome<()> {
        if tree.what == Object::Catalog { self.release_catalog(block) } else { self.space_mark(block, false) }
    }

    /// The holder of the entry for an address at `level`, ready to be changed.
    pub(crate) fn descend_mut(&mut self, tree: &mut Tree, address: u64, level: u8) -> Outcome<(Slot, usize)> {
        let (mut holder, mut offset) = (tree.holder, tree.offset);
        for below in (level..tree.height).rev() {
            let slot = self.node_mut(tree, holder, offset)?;
            (holder, offset) = (slot, self.child_offset(address, below + 1));
        }
        Ok((holder, offset))
    }

    /// Sets the entry of an address at a level; nodes that become empty go away. Returns the entry that was there.
    pub(crate) fn tree_set(&mut self, tree: &mut Tree, address: u64, level: u8, entry: &Entry) -> Outcome<Entry> {
        let root = self.held_entry(tree.holder, tree.offset);
        let old = self.entry_at(root, tree.height, level, address, tree.what)?;
        if old == *entry {
            return Ok(old);
        }
        let (holder, offset) = self.descend_mut(tree, address, level)?;
        self.set_held_entry(holder, offset, entry);
        if entry.is_empty() {
            self.prune(tree, address, level + 1)?;
        }
        Ok(old)
    }

    /// Removes the changed block of `level` on the way to the address if it is all zeros, and then those above it.
    pub(crate) fn prune(&mut self, tree: &mut Tree, address: u64, level: u8) -> Outcome<()> {
        let (mut slot, mut offset) = (tree.holder, tree.offset);
        for above in (level..tree.height.saturating_add(1)).rev() {
            let entry = self.held_entry(slot, offset);
            let Some(below) = self.cache.find(entry.block) else { break };
            (slot, offset) = (below, self.child_offset(address, above));
        }
        while slot != tree.holder && slot < self.cache.slots() {
            if !self.cache.is_dirty(slot) || self.cache.bytes(slot).iter().any(|byte| *byte != 0) {
                break;
            }
            // A dirty node knows where its entry is.
            let (holder, offset) = self.cache.parent(slot);
            let entry = self.held_entry(holder, offset);
            self.cache.set_clean(slot);
            self.cache.assign(slot, None);
            self.set_held_entry(holder, offset, &Entry::EMPTY);
            tree.count(entry.birth, -1);
            self.pin(holder);
            let released = self.release_node(tree, entry.block);
            self.unpin(holder);
            released?;
            slot = holder;
        }
        Ok(())
    }
}

//! Made from `tree.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// The map has the same entry at this place.
    pub(crate) async fn map_has(&mut self, map: &Map, level: u8, address: u64, entry: &Entry) -> Outcome<bool> {
        Ok(self.entry_at(map.root(), map.height(), level, address, Object::MapNode).await?.same(entry))
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
    pub(crate) async fn entry_at(
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
            let slot = self.load(&entry, what).await?;
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
    pub(crate) async fn node_mut(&mut self, tree: &mut Tree, holder: Slot, offset: usize) -> Outcome<Slot> {
        let entry = self.held_entry(holder, offset);
        if let Some(slot) = self.cache.find(entry.block).filter(|slot| entry.is_block() && self.cache.is_dirty(*slot)) {
            if self.cache.parent(slot) != (holder, offset) {
                return Err(self.damaged(tree.what, entry.block));
            }
            return Ok(slot);
        }
        self.pin(holder);
        let result = self.renew(tree, &entry).await;
        self.unpin(holder);
        let (slot, birth) = result?;
        let block = self.cache.block(slot);
        self.set_held_entry(holder, offset, &Entry { block, birth, crc: 0, ..Entry::EMPTY });
        self.cache.set_dirty(slot, holder, offset);
        self.cache.set_map(slot, tree.what == Object::MapNode);
        Ok(slot)
    }

    /// Gives the node of an entry a new block, in its slot; its birth.
    pub(crate) async fn renew(&mut self, tree: &mut Tree, entry: &Entry) -> Outcome<(Slot, u32)> {
        let slot = if entry.is_block() {
            self.load(entry, tree.what).await?
        } else {
            let slot = self.vacate().await?;
            self.cache.bytes_mut(slot).fill(0);
            slot
        };
        self.cache.pin(slot);
        let block =
            if tree.what == Object::Catalog { self.allocate_catalog().await } else { self.allocate_node().await };
        let released = if entry.is_block() && entry.birth > tree.limit {
            tree.count(entry.birth, -1);
            self.release_node(tree, entry.block).await
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

    pub(crate) async fn release_node(&mut self, tree: &Tree, block: u64) -> Outcome<()> {
        if tree.what == Object::Catalog {
            self.release_catalog(block).await
        } else {
            self.space_mark(block, false).await
        }
    }

    /// The holder of the entry for an address at `level`, ready to be changed.
    pub(crate) async fn descend_mut(&mut self, tree: &mut Tree, address: u64, level: u8) -> Outcome<(Slot, usize)> {
        let (mut holder, mut offset) = (tree.holder, tree.offset);
        for below in (level..tree.height).rev() {
            let slot = self.node_mut(tree, holder, offset).await?;
            (holder, offset) = (slot, self.child_offset(address, below + 1));
        }
        Ok((holder, offset))
    }

    /// Sets the entry of an address at a level; nodes that become empty go away. Returns the entry that was there.
    pub(crate) async fn tree_set(&mut self, tree: &mut Tree, address: u64, level: u8, entry: &Entry) -> Outcome<Entry> {
        let root = self.held_entry(tree.holder, tree.offset);
        let old = self.entry_at(root, tree.height, level, address, tree.what).await?;
        if old == *entry {
            return Ok(old);
        }
        let (holder, offset) = self.descend_mut(tree, address, level).await?;
        self.set_held_entry(holder, offset, entry);
        if entry.is_empty() {
            self.prune(tree, address, level + 1).await?;
        }
        Ok(old)
    }

    /// Removes the changed block of `level` on the way to the address if it is all zeros, and then those above it.
    pub(crate) async fn prune(&mut self, tree: &mut Tree, address: u64, level: u8) -> Outcome<()> {
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
            let released = self.release_node(tree, entry.block).await;
            self.unpin(holder);
            released?;
            slot = holder;
        }
        Ok(())
    }
}

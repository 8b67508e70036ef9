//! Made from `space.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// Brings a written node of the space map into the cache.
    pub(crate) async fn space_load(&mut self, entry: &SpaceEntry, level: u32, position: u64) -> Outcome<Slot> {
        let block = self.layout.space_place(level, position, entry.copy);
        self.load_at(block, entry.crc, Object::SpaceMap).await
    }

    /// Makes a node ready to be changed in this checkpoint: `parent` and `offset` say where its entry is.
    pub(crate) async fn space_node_mut(
        &mut self,
        parent: Slot,
        offset: usize,
        level: u32,
        position: u64,
    ) -> Outcome<Slot> {
        let entry = self.space_entry(parent, offset);
        let generation = self.sb.generation & ((1 << 47) - 1);
        if entry.generation == generation {
            let slot = self.space_load(&entry, level, position).await?;
            if !self.cache.is_dirty(slot) {
                self.cache.set_dirty(slot, parent, offset);
            }
            return Ok(slot);
        }
        self.pin(parent);
        let slot = self.space_renew(&entry, level, position).await;
        self.unpin(parent);
        let slot = slot?;
        let copy = if entry.is_written() { 1 - entry.copy } else { 0 };
        let block = self.layout.space_place(level, position, copy);
        self.rehouse(slot, block, Object::SpaceMap)?;
        let entry = SpaceEntry { copy, generation, ..entry };
        self.set_space_entry(parent, offset, &entry);
        self.cache.set_dirty(slot, parent, offset);
        Ok(slot)
    }

    /// A slot with the node's present content, to become its next version.
    pub(crate) async fn space_renew(&mut self, entry: &SpaceEntry, level: u32, position: u64) -> Outcome<Slot> {
        if entry.is_written() {
            return self.space_load(entry, level, position).await;
        }
        let slot = self.vacate().await?;
        self.cache.bytes_mut(slot).fill(0);
        if level == 0 {
            for bit in 0..self.layout.fixed_in_group(position) {
                let at = index(bit / 8);
                let byte = u8_at(self.cache.bytes(slot), at);
                put_u8(self.cache.bytes_mut(slot), at, byte | 1 << (bit % 8));
            }
        } else {
            for i in 0..1u64 << self.fan_shift() {
                let free = self.layout.free_when_unwritten(level - 1, (position << self.fan_shift()) + i);
                let below = SpaceEntry { free, ..SpaceEntry::default() };
                below.encode(self.cache.bytes_mut(slot), index(i) * Entry::SIZE);
            }
        }
        Ok(slot)
    }

    pub(crate) fn pin(&mut self, slot: Slot) {
        if slot < self.cache.slots() {
            self.cache.pin(slot);
        }
    }

    pub(crate) fn unpin(&mut self, slot: Slot) {
        if slot < self.cache.slots() {
            self.cache.unpin(slot);
        }
    }

    pub(crate) fn space_entry(&self, parent: Slot, offset: usize) -> SpaceEntry {
        if parent == SPACE_ROOT { self.sb.space } else { SpaceEntry::decode(self.cache.bytes(parent), offset) }
    }

    pub(crate) fn set_space_entry(&mut self, parent: Slot, offset: usize, entry: &SpaceEntry) {
        if parent == SPACE_ROOT {
            self.sb.space = *entry;
        } else {
            entry.encode(self.cache.bytes_mut(parent), offset);
        }
    }

    /// Marks a block as used or free in the new space map. It must have been the opposite.
    pub(crate) async fn space_mark(&mut self, block: u64, used: bool) -> Outcome<()> {
        self.check_pointer(Object::SpaceMap, block)?;
        let group = block >> self.layout.group_shift();
        let levels = self.layout.levels();
        let (mut node, mut offset) = (SPACE_ROOT, 0);
        for level in (0..levels + 1).rev() {
            let position = group >> (self.fan_shift() * level);
            node = self.space_node_mut(node, offset, level, position).await?;
            self.pin(node);
            offset = self.space_child_offset(group, level);
        }
        let result = self.flip(node, block, used);
        // Up again: they are all dirty now, and a dirty node knows where its entry is.
        while node < self.cache.slots() {
            let (holder, offset) = self.cache.parent(node);
            if result.is_ok() {
                let mut entry = self.space_entry(holder, offset);
                entry.free = if used { entry.free.saturating_sub(1) } else { entry.free + 1 };
                self.set_space_entry(holder, offset, &entry);
            }
            self.unpin(node);
            node = holder;
        }
        result?;
        self.sb.free = if used { self.sb.free.saturating_sub(1) } else { self.sb.free + 1 };
        Ok(())
    }

    /// Offset, in a node of this level, of the entry that leads to the group.
    pub(crate) fn space_child_offset(&self, group: u64, level: u32) -> usize {
        if level == 0 {
            return 0;
        }
        let mask = (1u64 << self.fan_shift()) - 1;
        index((group >> (self.fan_shift() * (level - 1))) & mask) * Entry::SIZE
    }

    pub(crate) fn flip(&mut self, leaf: Slot, block: u64, used: bool) -> Outcome<()> {
        let bit = block & ((1 << self.layout.group_shift()) - 1);
        let (at, mask) = (index(bit / 8), 1u8 << (bit % 8));
        let byte = u8_at(self.cache.bytes(leaf), at);
        if (byte & mask != 0) == used {
            return Err(self.damaged(Object::SpaceMap, block));
        }
        put_u8(self.cache.bytes_mut(leaf), at, byte ^ mask);
        Ok(())
    }

    /// Makes the tree cover the blocks of a larger layout: a new root where it needs one, and the counts on the way to the
    /// group that was the last one.
    pub(crate) async fn space_grow(&mut self, new: &Layout) -> Outcome<()> {
        let old = self.layout;
        let last = (old.total - 1) >> old.group_shift();
        // Counts below the old root: every node that ended with the device covers more now.
        let root_level = old.levels();
        let (mut parent, mut offset) = (SPACE_ROOT, 0);
        for level in (0..root_level + 1).rev() {
            let position = last >> (self.fan_shift() * level);
            let gained =
                new.free_when_unwritten(level, position).saturating_sub(old.free_when_unwritten(level, position));
            let slot = self.space_node_mut(parent, offset, level, position).await?;
            let mut entry = self.space_entry(parent, offset);
            entry.free += gained;
            self.set_space_entry(parent, offset, &entry);
            if level > 0 {
                self.grow_unwritten(slot, level, position, last, new);
            }
            (parent, offset) = (slot, self.space_child_offset(last, level));
        }
        self.clean_all(false).await?;
        for level in root_level + 1..=new.levels() {
            let below = self.sb.space;
            self.sb.space = SpaceEntry { free: new.free_when_unwritten(level, 0), ..SpaceEntry::default() };
            self.layout.total = new.total;
            let slot = self.space_node_mut(SPACE_ROOT, 0, level, 0).await;
            self.layout.total = old.total;
            let slot = slot?;
            below.encode(self.cache.bytes_mut(slot), 0);
            self.clean_all(false).await?;
            let gained = new.free_when_unwritten(level, 0) - new.free_when_unwritten(level - 1, 0);
            self.sb.space.free = below.free + gained;
        }
        let gained = new.free_when_unwritten(new.levels(), 0) - old.free_when_unwritten(old.levels(), 0);
        self.sb.free += gained;
        Ok(())
    }

    /// Gives the entries behind the last old group the counts of the new layout: their nodes were never written.
    pub(crate) fn grow_unwritten(&mut self, slot: Slot, level: u32, position: u64, last: u64, new: &Layout) {
        for i in 0..1u64 << self.fan_shift() {
            let below = (position << self.fan_shift()) + i;
            if below > last >> (self.fan_shift() * (level - 1)) {
                let entry = SpaceEntry { free: new.free_when_unwritten(level - 1, below), ..SpaceEntry::default() };
                entry.encode(self.cache.bytes_mut(slot), index(i) * Entry::SIZE);
            }
        }
    }
}

//! The space map: which blocks are in use.
//!
//! A radix tree whose leaves are bitmaps (a set bit is a used block) and whose entries count the free blocks below, so
//! that a search skips what is full. Each node has two fixed places (see [`Layout`](crate::format::Layout)): a changed node goes to the one
//! that the durable superblock does not lead to. A node that was never written stands for "all free but the fixed blocks".
//!
//! Allocation reads the durable tree only; changes go to the new one. The *spares* are free blocks that the map counts as used,
//! listed in the superblock: the catalog takes its blocks from them and gives them back, so that an operation on layers does
//! not touch the map.

use crate::{
    bytes::{index, put_u8, u8_at, wide},
    cache::{SPACE_ROOT, Slot},
    device::BlockDevice,
    error::{Error, Object},
    format::{Entry, Layout, SPARES, SpaceEntry},
    store::{Outcome, Store},
};

/// Fewer spares than this and the next checkpoint that allocates anyway takes some more.
pub(crate) const SPARES_LOW: usize = 12;
/// So many.
const SPARES_FULL: usize = 18;

impl<D: BlockDevice> Store<'_, D> {
    /// Brings a written node of the space map into the cache.
    fn space_load(&mut self, entry: &SpaceEntry, level: u32, position: u64) -> Outcome<Slot, D> {
        let block = self.layout.space_place(level, position, entry.copy);
        self.load_at(block, entry.crc, Object::SpaceMap)
    }

    /// Makes a node ready to be changed in this checkpoint: `parent` and `offset` say where its entry is.
    fn space_node_mut(&mut self, parent: Slot, offset: usize, level: u32, position: u64) -> Outcome<Slot, D> {
        let entry = self.space_entry(parent, offset);
        let generation = self.sb.generation & ((1 << 47) - 1);
        if entry.generation == generation {
            let slot = self.space_load(&entry, level, position)?;
            if !self.cache.is_dirty(slot) {
                self.cache.set_dirty(slot, parent, offset);
            }
            return Ok(slot);
        }
        self.pin(parent);
        let slot = self.space_renew(&entry, level, position);
        self.unpin(parent);
        let slot = slot?;
        let copy = if entry.is_written() { 1 - entry.copy } else { 0 };
        let block = self.layout.space_place(level, position, copy);
        if let Some(stale) = self.cache.find(block) {
            self.cache.assign(stale, None);
        }
        self.cache.assign(slot, Some(block));
        let entry = SpaceEntry { copy, generation, ..entry };
        self.set_space_entry(parent, offset, &entry);
        self.cache.set_dirty(slot, parent, offset);
        Ok(slot)
    }

    /// A slot with the node's present content, to become its next version.
    fn space_renew(&mut self, entry: &SpaceEntry, level: u32, position: u64) -> Outcome<Slot, D> {
        if entry.is_written() {
            return self.space_load(entry, level, position);
        }
        let slot = self.vacate()?;
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

    fn space_entry(&self, parent: Slot, offset: usize) -> SpaceEntry {
        if parent == SPACE_ROOT { self.sb.space } else { SpaceEntry::decode(self.cache.bytes(parent), offset) }
    }

    fn set_space_entry(&mut self, parent: Slot, offset: usize, entry: &SpaceEntry) {
        if parent == SPACE_ROOT {
            self.sb.space = *entry;
        } else {
            entry.encode(self.cache.bytes_mut(parent), offset);
        }
    }

    /// Marks a block as used or free in the new space map. It must have been the opposite.
    pub(crate) fn space_mark(&mut self, block: u64, used: bool) -> Outcome<(), D> {
        self.check_pointer(Object::SpaceMap, block)?;
        let group = block >> self.layout.group_shift();
        let levels = self.layout.levels();
        let (mut parent, mut offset) = (SPACE_ROOT, 0);
        let mut path: heapless::Vec<(Slot, usize), 12> = heapless::Vec::new();
        for level in (0..=levels).rev() {
            let position = group >> (self.fan_shift() * level);
            let slot = self.space_node_mut(parent, offset, level, position)?;
            let _ = path.push((parent, offset));
            self.pin(slot);
            (parent, offset) = (slot, self.space_child_offset(group, level));
        }
        let result = self.flip(parent, block, used);
        for (holder, offset) in path {
            if result.is_ok() {
                let mut entry = self.space_entry(holder, offset);
                entry.free = if used { entry.free.saturating_sub(1) } else { entry.free + 1 };
                self.set_space_entry(holder, offset, &entry);
            }
            self.unpin(holder);
        }
        self.unpin(parent);
        result?;
        self.sb.free = if used { self.sb.free.saturating_sub(1) } else { self.sb.free + 1 };
        Ok(())
    }

    /// Offset, in a node of this level, of the entry that leads to the group.
    fn space_child_offset(&self, group: u64, level: u32) -> usize {
        if level == 0 {
            return 0;
        }
        let mask = (1u64 << self.fan_shift()) - 1;
        index((group >> (self.fan_shift() * (level - 1))) & mask) * Entry::SIZE
    }

    fn flip(&mut self, leaf: Slot, block: u64, used: bool) -> Outcome<(), D> {
        let bit = block & ((1 << self.layout.group_shift()) - 1);
        let (at, mask) = (index(bit / 8), 1u8 << (bit % 8));
        let byte = u8_at(self.cache.bytes(leaf), at);
        if (byte & mask != 0) == used {
            return Err(Error::Corrupt { what: Object::SpaceMap, block });
        }
        put_u8(self.cache.bytes_mut(leaf), at, byte ^ mask);
        Ok(())
    }

    /// The first run of free blocks of the durable space map in `from..to`: first block, length. A run ends with its bitmap.
    pub(crate) fn free_run(&mut self, from: u64, to: u64) -> Outcome<Option<(u64, u64)>, D> {
        let mut at = from;
        while at < to {
            let (slot, end) = self.space_leaf(at)?;
            let end = end.min(to);
            let run = match slot {
                Leaf::Full => None,
                Leaf::Unwritten => {
                    let group = at >> self.layout.group_shift();
                    let first = at.max((group << self.layout.group_shift()) + self.layout.fixed_in_group(group));
                    (first < end).then(|| (first, end - first))
                }
                Leaf::Bitmap(slot) => {
                    let base = at >> self.layout.group_shift() << self.layout.group_shift();
                    free_bits(self.cache.bytes(slot), at - base, end - base).map(|(first, count)| (base + first, count))
                }
            };
            if run.is_some() {
                return Ok(run);
            }
            at = end;
        }
        Ok(None)
    }

    /// The bitmap that has this block's bit, in the durable space map, and the block up to which the answer holds.
    fn space_leaf(&mut self, block: u64) -> Outcome<(Leaf, u64), D> {
        let group = block >> self.layout.group_shift();
        let mut entry = self.durable.space;
        for level in (0..=self.layout.levels()).rev() {
            let position = group >> (self.fan_shift() * level);
            let end = self.layout.space_range(level, position).1;
            if entry.free == 0 {
                return Ok((Leaf::Full, end));
            }
            if !entry.is_written() {
                let end = self.layout.space_range(0, group).1;
                return Ok((Leaf::Unwritten, end));
            }
            let slot = self.space_load(&entry, level, position)?;
            if level == 0 {
                return Ok((Leaf::Bitmap(slot), end));
            }
            entry = SpaceEntry::decode(self.cache.bytes(slot), self.space_child_offset(group, level));
        }
        Ok((Leaf::Full, self.layout.total))
    }

    /// Fills the window: searches on from where it stands until it has extents of one bitmap, or is once around.
    pub(crate) fn refill(&mut self) -> Outcome<(), D> {
        let total = self.layout.total;
        while self.window.searched < total && self.window.is_empty() {
            let start = self.window.start;
            let at = (start + self.window.searched) % total;
            let (end, position_of_end) = if at >= start { (total, total - start) } else { (start, total) };
            match self.free_run(at, end)? {
                None => self.window.searched = position_of_end,
                Some(run) => {
                    self.keep(run);
                    let group_end = ((run.0 >> self.layout.group_shift()) + 1) << self.layout.group_shift();
                    self.refill_group(group_end.min(end))?;
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, (first, length): (u64, u64)) {
        let total = self.layout.total;
        if self.window.add(first, length) {
            self.window.searched = self.window.distance(first, total) + length;
        }
    }

    /// Takes in more extents of the bitmap that the last one came from.
    fn refill_group(&mut self, end: u64) -> Outcome<(), D> {
        while !self.window.is_full() {
            let at = (self.window.start + self.window.searched) % self.layout.total;
            if at >= end || self.window.searched >= self.layout.total {
                break;
            }
            match self.free_run(at, end)? {
                Some(run) => self.keep(run),
                None => break,
            }
        }
        Ok(())
    }

    /// Blocks that can still be given out in this generation, the spares among them.
    pub(crate) fn allocatable(&self) -> u64 {
        self.durable.free.saturating_sub(self.window.taken)
    }

    /// Gives out up to `most` neighbouring free blocks.
    pub(crate) fn allocate(&mut self, most: u64) -> Outcome<(u64, u64), D> {
        if self.window.is_empty() {
            self.refill()?;
        }
        self.window.take(most).ok_or(Error::NoSpace { missing: 1 })
    }

    /// A block for a new node of a map, marked as used.
    pub(crate) fn allocate_node(&mut self) -> Outcome<u64, D> {
        let (block, _) = self.allocate(1)?;
        self.space_mark(block, true)?;
        Ok(block)
    }

    /// A block for the catalog: a spare if there is one.
    pub(crate) fn allocate_catalog(&mut self) -> Outcome<u64, D> {
        match self.sb.spares.pop() {
            Some(block) => {
                self.check_pointer(Object::Superblock, block)?;
                self.sb.free = self.sb.free.saturating_sub(1);
                Ok(block)
            }
            None => self.allocate_node(),
        }
    }

    /// Frees a block of the catalog: it becomes a spare if there is room.
    pub(crate) fn release_catalog(&mut self, block: u64) -> Outcome<(), D> {
        if self.sb.spares.len() + self.spares_next.len() < SPARES {
            self.check_pointer(Object::Catalog, block)?;
            let _ = self.spares_next.push(block);
            self.sb.free += 1;
            return Ok(());
        }
        self.space_mark(block, false)
    }

    /// Makes the tree cover the blocks of a larger layout: a new root where it needs one, and the counts on the way to the
    /// group that was the last one.
    pub(crate) fn space_grow(&mut self, new: &Layout) -> Outcome<(), D> {
        let old = self.layout;
        let last = (old.total - 1) >> old.group_shift();
        // Counts below the old root: every node that ended with the device covers more now.
        let root_level = old.levels();
        let (mut parent, mut offset) = (SPACE_ROOT, 0);
        for level in (0..=root_level).rev() {
            let position = last >> (self.fan_shift() * level);
            let gained =
                new.free_when_unwritten(level, position).saturating_sub(old.free_when_unwritten(level, position));
            let slot = self.space_node_mut(parent, offset, level, position)?;
            let mut entry = self.space_entry(parent, offset);
            entry.free += gained;
            self.set_space_entry(parent, offset, &entry);
            if level > 0 {
                self.grow_unwritten(slot, level, position, last, new);
            }
            (parent, offset) = (slot, self.space_child_offset(last, level));
        }
        self.clean_all(false)?;
        for level in root_level + 1..=new.levels() {
            let below = self.sb.space;
            self.sb.space = SpaceEntry { free: new.free_when_unwritten(level, 0), ..SpaceEntry::default() };
            self.layout.total = new.total;
            let slot = self.space_node_mut(SPACE_ROOT, 0, level, 0);
            self.layout.total = old.total;
            let slot = slot?;
            below.encode(self.cache.bytes_mut(slot), 0);
            self.clean_all(false)?;
            let gained = new.free_when_unwritten(level, 0) - new.free_when_unwritten(level - 1, 0);
            self.sb.space.free = below.free + gained;
        }
        let gained = new.free_when_unwritten(new.levels(), 0) - old.free_when_unwritten(old.levels(), 0);
        self.sb.free += gained;
        Ok(())
    }

    /// Gives the entries behind the last old group the counts of the new layout: their nodes were never written.
    fn grow_unwritten(&mut self, slot: Slot, level: u32, position: u64, last: u64, new: &Layout) {
        for i in 0..1u64 << self.fan_shift() {
            let below = (position << self.fan_shift()) + i;
            if below > last >> (self.fan_shift() * (level - 1)) {
                let entry = SpaceEntry { free: new.free_when_unwritten(level - 1, below), ..SpaceEntry::default() };
                entry.encode(self.cache.bytes_mut(slot), index(i) * Entry::SIZE);
            }
        }
    }

    /// Takes more spares when there are few. Costs the space map's nodes, so it is done where those are written anyway or the
    /// operation itself writes little.
    pub(crate) fn refill_spares(&mut self) -> Outcome<(), D> {
        let have = self.sb.spares.len() + self.spares_next.len();
        // While the pool grows, the durable map is of another shape than the layout in force.
        if have >= SPARES_LOW || self.sb.total != self.durable.total {
            return Ok(());
        }
        for _ in have..SPARES_FULL {
            let spare_room = self.durable.free.saturating_sub(self.window.taken) > wide(SPARES) * 2;
            if !spare_room {
                break;
            }
            let block = match self.allocate(1) {
                Ok((block, _)) => block,
                Err(Error::NoSpace { .. }) => break,
                Err(error) => return Err(error),
            };
            self.space_mark(block, true)?;
            self.sb.free += 1;
            let _ = self.sb.spares.push(block);
        }
        Ok(())
    }
}

/// What the durable space map says of a group.
enum Leaf {
    /// Nothing is free up to the end given with it.
    Full,
    /// Never written.
    Unwritten,
    /// In this slot.
    Bitmap(Slot),
}

/// The first run of clear bits in `from..to`: first bit, length.
fn free_bits(bytes: &[u8], from: u64, to: u64) -> Option<(u64, u64)> {
    let is_used = |bit: u64| u8_at(bytes, index(bit / 8)) & (1 << (bit % 8)) != 0;
    let whole = |bit: u64| (bit.is_multiple_of(8) && bit + 8 <= to).then(|| u8_at(bytes, index(bit / 8)));
    let mut first = from;
    while first < to {
        if whole(first) == Some(0xff) {
            first += 8;
        } else if is_used(first) {
            first += 1;
        } else {
            break;
        }
    }
    let mut end = first;
    while end < to {
        if whole(end) == Some(0) {
            end += 8;
        } else if is_used(end) {
            break;
        } else {
            end += 1;
        }
    }
    (first < to).then_some((first, end.min(to) - first))
}

#[cfg(test)]
mod tests {
    use super::free_bits;

    #[test]
    fn runs_of_clear_bits_are_found_exactly() {
        let bytes = [0xff, 0b1110_0111, 0, 0x01];
        assert_eq!(free_bits(&bytes, 0, 32), Some((11, 2)));
        assert_eq!(free_bits(&bytes, 12, 32), Some((12, 1)));
        assert_eq!(free_bits(&bytes, 13, 32), Some((16, 8)));
        assert_eq!(free_bits(&bytes, 24, 25), None);
        assert_eq!(free_bits(&bytes, 25, 32), Some((25, 7)));
        assert_eq!(free_bits(&bytes, 20, 23), Some((20, 3)));
    }
}

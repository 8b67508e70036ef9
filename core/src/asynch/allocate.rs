//! Made from `allocate.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// The first run of free blocks of the durable space map in `from..to`: first block, length. A run ends with its bitmap.
    pub(crate) async fn free_run(&mut self, from: u64, to: u64) -> Outcome<Option<(u64, u64)>> {
        let mut at = from;
        while at < to {
            let (slot, end) = self.space_leaf(at).await?;
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
    pub(crate) async fn space_leaf(&mut self, block: u64) -> Outcome<(Leaf, u64)> {
        let group = block >> self.layout.group_shift();
        let mut entry = self.durable().space();
        for level in (0..self.layout.levels() + 1).rev() {
            let position = group >> (self.fan_shift() * level);
            let end = self.layout.space_range(level, position).1;
            if entry.free == 0 {
                return Ok((Leaf::Full, end));
            }
            if !entry.is_written() {
                let end = self.layout.space_range(0, group).1;
                return Ok((Leaf::Unwritten, end));
            }
            let slot = self.space_load(&entry, level, position).await?;
            if level == 0 {
                return Ok((Leaf::Bitmap(slot), end));
            }
            entry = SpaceEntry::decode(self.cache.bytes(slot), self.space_child_offset(group, level));
        }
        Ok((Leaf::Full, self.layout.total))
    }

    /// Fills the window: searches on from where it stands until it has extents of one bitmap, or is once around.
    pub(crate) async fn refill(&mut self) -> Outcome<()> {
        let total = self.layout.total;
        while self.window.searched < total && self.window.is_empty() {
            let start = self.window.start;
            let at = self.window.block(self.window.searched, total);
            let (end, position_of_end) = if at >= start { (total, total - start) } else { (start, total) };
            match self.free_run(at, end).await? {
                None => self.window.searched = position_of_end,
                Some(run) => {
                    let group_end = ((run.0 >> self.layout.group_shift()) + 1) << self.layout.group_shift();
                    self.refill_group(run, group_end.min(end)).await?;
                }
            }
        }
        Ok(())
    }

    /// Takes in a run, and others of the same bitmap behind it.
    pub(crate) async fn refill_group(&mut self, first: (u64, u64), end: u64) -> Outcome<()> {
        let mut found = Some(first);
        while let Some((first, length)) = found {
            if !self.window.add(first, length) {
                break;
            }
            self.window.searched = self.window.distance(first, self.layout.total) + length;
            found = if self.window.is_full() { None } else { self.free_run(first + length, end).await? };
        }
        Ok(())
    }

    /// Blocks that can still be given out in this generation, the spares among them.
    pub(crate) fn allocatable(&self) -> u64 {
        self.durable().free().saturating_sub(self.window.taken)
    }

    /// Gives out up to `most` neighbouring free blocks.
    pub(crate) async fn allocate(&mut self, most: u64) -> Outcome<(u64, u64)> {
        if self.window.is_empty() {
            self.refill().await?;
        }
        self.window.take(most).ok_or_else(|| self.stop(Error::NoSpace { missing: 1 }))
    }

    /// A block for a new node of a map, marked as used.
    pub(crate) async fn allocate_node(&mut self) -> Outcome<u64> {
        let (block, _) = self.allocate(1).await?;
        self.space_mark(block, true).await?;
        Ok(block)
    }

    /// A block for the catalog: a spare if there is one.
    pub(crate) async fn allocate_catalog(&mut self) -> Outcome<u64> {
        match self.spares.pop() {
            Some(block) => {
                self.check_pointer(Object::Superblock, block)?;
                self.sb.free = self.sb.free.saturating_sub(1);
                Ok(block)
            }
            None => self.allocate_node().await,
        }
    }

    /// Frees a block of the catalog: it becomes a spare if there is room.
    pub(crate) async fn release_catalog(&mut self, block: u64) -> Outcome<()> {
        if self.spares.in_all() < SPARES {
            self.check_pointer(Object::Catalog, block)?;
            self.spares.push_later(block);
            self.sb.free += 1;
            return Ok(());
        }
        self.space_mark(block, false).await
    }

    /// Takes more spares when there are few. Costs the space map's nodes, so it is done where those are written anyway or the
    /// operation itself writes little.
    pub(crate) async fn refill_spares(&mut self) -> Outcome<()> {
        let have = self.spares.in_all();
        // While the pool grows, the durable map is of another shape than the layout in force.
        if have >= SPARES_LOW || self.sb.total != self.durable().total() {
            return Ok(());
        }
        for _ in have..SPARES_FULL {
            let spare_room = self.allocatable() > wide(SPARES) * 2;
            if !spare_room {
                break;
            }
            let block = match self.allocate(1).await {
                Ok((block, _)) => block,
                Err(Stop) if matches!(self.failure, Error::NoSpace { .. }) => break,
                Err(Stop) => return Err(Stop),
            };
            self.space_mark(block, true).await?;
            self.sb.free += 1;
            self.spares.push(block);
        }
        Ok(())
    }
}

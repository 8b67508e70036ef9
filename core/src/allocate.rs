//! Allocation: which free block is given out next.
//!
//! Reads the durable space map only, so that what was freed in this generation is not used before a commit (A2); what was given
//! out is marked in the new map (`space.rs`). The search goes round the device once in a generation, through the window.
//!
//! The *spares* are free blocks that the map counts as used, listed in the superblock: the catalog takes its blocks from them and
//! gives them back, so that an operation on layers does not touch the map.

use crate::{
    bytes::{index, u8_at, wide},
    cache::Slot,
    device::BlockDevice,
    error::{Error, Object},
    format::{SPARES, SpaceEntry},
    store::{Outcome, Stop, Store},
};

#[cfg(feature = "async")]
#[path = "asynch/allocate.rs"]
pub(crate) mod asynch;

/// Fewer spares than this and the next checkpoint that allocates anyway takes some more.
pub(crate) const SPARES_LOW: usize = 12;
/// So many.
const SPARES_FULL: usize = 18;

impl<D: BlockDevice> Store<'_, D> {
    /// The first run of free blocks of the durable space map in `from..to`: first block, length. A run ends with its bitmap.
    pub(crate) fn free_run(&mut self, from: u64, to: u64) -> Outcome<Option<(u64, u64)>> {
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
    fn space_leaf(&mut self, block: u64) -> Outcome<(Leaf, u64)> {
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
            let slot = self.space_load(&entry, level, position)?;
            if level == 0 {
                return Ok((Leaf::Bitmap(slot), end));
            }
            entry = SpaceEntry::decode(self.cache.bytes(slot), self.space_child_offset(group, level));
        }
        Ok((Leaf::Full, self.layout.total))
    }

    /// Fills the window: searches on from where it stands until it has extents of one bitmap, or is once around.
    pub(crate) fn refill(&mut self) -> Outcome<()> {
        let total = self.layout.total;
        while self.window.searched < total && self.window.is_empty() {
            let start = self.window.start;
            let at = self.window.block(self.window.searched, total);
            let (end, position_of_end) = if at >= start { (total, total - start) } else { (start, total) };
            match self.free_run(at, end)? {
                None => self.window.searched = position_of_end,
                Some(run) => {
                    let group_end = ((run.0 >> self.layout.group_shift()) + 1) << self.layout.group_shift();
                    self.refill_group(run, group_end.min(end))?;
                }
            }
        }
        Ok(())
    }

    /// Takes in a run, and others of the same bitmap behind it.
    fn refill_group(&mut self, first: (u64, u64), end: u64) -> Outcome<()> {
        let mut found = Some(first);
        while let Some((first, length)) = found {
            if !self.window.add(first, length) {
                break;
            }
            self.window.searched = self.window.distance(first, self.layout.total) + length;
            found = if self.window.is_full() { None } else { self.free_run(first + length, end)? };
        }
        Ok(())
    }

    /// Blocks that can still be given out in this generation, the spares among them.
    pub(crate) fn allocatable(&self) -> u64 {
        self.durable().free().saturating_sub(self.window.taken)
    }

    /// Gives out up to `most` neighbouring free blocks.
    pub(crate) fn allocate(&mut self, most: u64) -> Outcome<(u64, u64)> {
        if self.window.is_empty() {
            self.refill()?;
        }
        self.window.take(most).ok_or_else(|| self.stop(Error::NoSpace { missing: 1 }))
    }

    /// A block for a new node of a map, marked as used.
    pub(crate) fn allocate_node(&mut self) -> Outcome<u64> {
        let (block, _) = self.allocate(1)?;
        self.space_mark(block, true)?;
        Ok(block)
    }

    /// A block for the catalog: a spare if there is one.
    pub(crate) fn allocate_catalog(&mut self) -> Outcome<u64> {
        match self.spares.pop() {
            Some(block) => {
                self.check_pointer(Object::Superblock, block)?;
                self.sb.free = self.sb.free.saturating_sub(1);
                Ok(block)
            }
            None => self.allocate_node(),
        }
    }

    /// Frees a block of the catalog: it becomes a spare if there is room.
    pub(crate) fn release_catalog(&mut self, block: u64) -> Outcome<()> {
        if self.spares.in_all() < SPARES {
            self.check_pointer(Object::Catalog, block)?;
            self.spares.push_later(block);
            self.sb.free += 1;
            return Ok(());
        }
        self.space_mark(block, false)
    }

    /// Takes more spares when there are few. Costs the space map's nodes, so it is done where those are written anyway or the
    /// operation itself writes little.
    pub(crate) fn refill_spares(&mut self) -> Outcome<()> {
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
            let block = match self.allocate(1) {
                Ok((block, _)) => block,
                Err(Stop) if matches!(self.failure, Error::NoSpace { .. }) => break,
                Err(Stop) => return Err(Stop),
            };
            self.space_mark(block, true)?;
            self.sb.free += 1;
            self.spares.push(block);
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
    use super::{SPARES_FULL, SPARES_LOW, free_bits};
    use crate::{
        Attributes, Error, FormatOptions, LayerFlags, MountOptions, Pool, RamDisk,
        bytes::index,
        format::{SPARES, State},
    };

    const BLOCK: usize = 512;
    /// Blocks of a group.
    const GROUP: usize = 4096;
    /// One group and a bit.
    const TOTAL: usize = GROUP + 64;

    /// Works with a pool of which so many blocks were written, every other of which is free again.
    fn with_pool<R>(written: u64, work: impl FnOnce(&mut Pool<'_, RamDisk<'_>>) -> R) -> R {
        let mut bytes = std::vec![0; TOTAL * BLOCK];
        let mut memory = std::vec![0; 1 << 16];
        let options = FormatOptions::new(512, [1; 16]);
        Pool::format(RamDisk::new(&mut bytes), &mut memory, &options).unwrap();
        let mut pool = Pool::mount(RamDisk::new(&mut bytes), &mut memory, &MountOptions::default()).unwrap();
        let named = Attributes { name: "v", ..Attributes::default() };
        let volume = pool.create(&named, 1 << 20, LayerFlags::empty()).unwrap();
        for address in 0..written {
            pool.write(volume, address, &[1; BLOCK]).unwrap();
        }
        for address in (0..written).step_by(2) {
            pool.discard(volume, address, 1).unwrap();
        }
        pool.checkpoint().unwrap();
        work(&mut pool)
    }

    /// Everything that one sweep gives out from a block on, until it says that there is no more.
    fn sweep(pool: &mut Pool<'_, RamDisk<'_>>, start: usize, most: u64) -> std::vec::Vec<usize> {
        let mut given = std::vec::Vec::new();
        pool.store.window.restart(start as u64);
        while let Ok((first, count)) = pool.store.allocate(most) {
            assert!(count > 0 && count <= most && given.len() < TOTAL, "{count} blocks from {first}");
            given.extend((first..first + count).map(index));
        }
        for again in [false, true] {
            assert!(matches!(pool.store.failure, Error::NoSpace { .. }), "{:?}, again: {again}", pool.store.failure);
            pool.store.failure = Error::NotAPool;
            assert!(pool.store.allocate(1).is_err(), "and there is none a second time");
        }
        given
    }

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter takes minutes; `small_exploration.rs` is made for it")]
    fn a_sweep_gives_out_every_free_block_once_wherever_it_begins() {
        for written in [0, 24, 3000] {
            with_pool(written, |pool| {
                let expected = sweep(pool, 0, 1);
                assert!(expected.is_sorted(), "from block 0 on a sweep goes upwards");
                assert_eq!(expected.len() as u64, pool.store.durable().free() - pool.store.spares.len() as u64);
                let fixed = index(pool.store.layout.fixed_in_group(1));
                for start in [1, 40, GROUP - 1, GROUP, GROUP + fixed - 1, GROUP + fixed, GROUP + fixed + 1, TOTAL - 1] {
                    for most in [1, 7, u64::MAX] {
                        let given = sweep(pool, start, most);
                        let (before, behind) = expected.split_at(expected.partition_point(|block| *block < start));
                        assert!(given.iter().eq(behind.iter().chain(before)), "from {start}, {most} at a time");
                    }
                }
            });
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter takes minutes; `small_exploration.rs` is made for it")]
    fn spares_are_set_aside_while_there_are_few_of_them_and_enough_free_blocks() {
        let plenty = 2 * SPARES as u64;
        for (have, allocatable, expected) in [
            (SPARES_LOW, plenty + 100, SPARES_LOW),
            (SPARES_LOW - 1, plenty + 100, SPARES_FULL),
            (0, plenty + 100, SPARES_FULL),
            (0, plenty + 1, 1),
            (0, plenty, 0),
            (0, plenty - 1, 0),
        ] {
            with_pool(0, |pool| {
                let store = &mut pool.store;
                store.begin().unwrap();
                while store.spares.len() > have {
                    store.spares.pop();
                }
                let free = store.window.taken + allocatable;
                State { free, ..store.durable().state() }.put(store.saved);
                store.refill_spares().unwrap();
                assert_eq!(store.spares.len(), expected, "{have} spares, {allocatable} blocks to be had");
                assert_eq!(store.allocatable(), allocatable - (expected.max(have) - have) as u64);
            });
        }
    }

    #[test]
    fn runs_of_clear_bits_are_found_exactly() {
        let bytes = [0xff, 0b1110_0111, 0, 0x01];
        assert_eq!(free_bits(&bytes, 0, 32), Some((11, 2)));
        assert_eq!(free_bits(&bytes, 12, 32), Some((12, 1)));
        assert_eq!(free_bits(&bytes, 13, 32), Some((16, 8)));
        assert_eq!(free_bits(&bytes, 24, 25), None);
        assert_eq!(free_bits(&bytes, 25, 32), Some((25, 7)));
        assert_eq!(free_bits(&bytes, 20, 23), Some((20, 3)));
        assert_eq!(free_bits(&bytes[..1], 0, 8), None, "and nothing behind the bitmap is looked at");
    }
}

//! Made from `store.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;

/// What is asked for most lies in front: a small machine reaches the first 128 bytes of a structure with its short instructions.
#[repr(C)]
pub(crate) struct Store<'w, D: BlockDevice> {
    pub(crate) layout: Layout,
    /// Sectors in a block.
    pub(crate) spb: Power,
    pub(crate) sector_size: usize,
    pub(crate) cache: Cache<'w>,
    pub(crate) pending: Pending<'w>,
    /// One block of memory for whatever needs one for a moment.
    pub(crate) scratch: &'w mut [u8],
    pub(crate) checksum: Checksum,
    pub(crate) building: bool,
    /// Mounted and not changed since.
    pub(crate) fresh: bool,
    pub(crate) poisoned: bool,
    pub(crate) read_only: bool,
    pub(crate) device: D,
    pub(crate) alignment: usize,
    /// Number of the next journal unit.
    pub(crate) sequence: u32,
    /// Last unit whose flush returned.
    pub(crate) flushed: u32,
    /// Highest mark in a unit whose flush returned.
    pub(crate) proven: u32,
    /// Low half of the generation at mount: tells which staged attachments are this mount's.
    pub(crate) mounted: u32,
    pub(crate) stats: Stats,
    /// What the durable superblock says, with the changes of the checkpoint that is being built.
    pub(crate) sb: State,
    /// The superblock's spares, those of the checkpoint that is being built.
    pub(crate) spares: Spares<&'w mut [u8]>,
    /// The fields of the durable superblock.
    pub(crate) saved: &'w mut Saved,
    pub(crate) window: Window<'w>,
    pub(crate) held: Held,
    /// Nodes that the pending records of thin volumes may add.
    pub(crate) growth: u64,
    /// Blocks of pending records that came out of a reserve.
    pub(crate) reserve_used: u64,
    /// Where the allocation stood when the checkpoint began.
    pub(crate) began: (u64, u64),
    /// Why the call that stopped last did so.
    pub(crate) failure: Error<D::Error>,
    /// Layers in use, as the catalog has them.
    pub(crate) heads: Heads<'w>,
    /// A call is under way, and began when so many writes and flushes had been made.
    #[cfg(feature = "async")]
    #[allow(dead_code, reason = "of use to the twin alone")]
    pub(crate) entered: Option<u64>,
}

impl<D: BlockDevice> Store<'_, D> {
    pub(crate) fn block_size(&self) -> usize {
        1 << self.layout.block_shift
    }

    pub(crate) fn fan_shift(&self) -> u32 {
        self.layout.fan_shift()
    }

    /// Reads sectors into memory of the caller.
    pub(crate) async fn device_read(&mut self, sector: u64, buffer: &mut [u8]) -> Outcome<()> {
        self.stats.reads += 1;
        self.device.read(sector, buffer).await.map_err(|error| self.unread(error))
    }

    /// Writes sectors; a failure poisons the pool.
    pub(crate) async fn device_write(&mut self, sector: u64, buffer: &[u8]) -> Outcome<()> {
        self.stats.writes += 1;
        self.device.write(sector, buffer).await.map_err(|error| self.poison("writing data", error))
    }

    /// After a failed write or flush: no change before the next mount (M6).
    pub(crate) fn poison(&mut self, doing: &'static str, error: D::Error) -> Stop {
        self.poisoned = true;
        crate::logging::event!(error, "poisoned: {} failed; changes are refused until the next mount", doing);
        self.stop(Error::Device(error))
    }

    /// Writes down why the call cannot go on.
    pub(crate) fn stop(&mut self, why: Error<D::Error>) -> Stop {
        self.failure = why;
        Stop
    }

    /// The same, where the device could not read.
    #[cold]
    #[inline(never)]
    pub(crate) fn unread(&mut self, error: D::Error) -> Stop {
        self.stop(Error::Device(error))
    }

    /// Damage was found.
    #[cold]
    #[inline(never)]
    pub(crate) fn damaged(&mut self, what: Object, block: u64) -> Stop {
        self.stop(damaged(what, block))
    }

    /// What the caller of the pool is told: the result, or why there is none.
    pub(crate) fn answer<T>(&mut self, result: Outcome<T>) -> Result<T, Error<D::Error>> {
        result.map_err(|Stop| core::mem::replace(&mut self.failure, Error::NotAPool))
    }

    /// Reads a block into the scratch buffer.
    pub(crate) async fn read_scratch(&mut self, block: u64) -> Outcome<()> {
        self.stats.reads += 1;
        self.device.read(block * self.spb, self.scratch).await.map_err(|error| self.unread(error))
    }

    /// Writes the scratch buffer to a block.
    pub(crate) async fn write_scratch(&mut self, block: u64) -> Outcome<()> {
        self.stats.writes += 1;
        self.device.write(block * self.spb, self.scratch).await.map_err(|error| self.poison("writing data", error))
    }

    /// The block can be something that an entry points to.
    pub(crate) fn check_pointer(&mut self, what: Object, block: u64) -> Outcome<()> {
        if self.layout.is_usable(block) { Ok(()) } else { Err(self.damaged(what, block)) }
    }

    /// The slot with the block that a catalog or map entry points to.
    pub(crate) async fn load(&mut self, entry: &Entry, what: Object) -> Outcome<Slot> {
        self.check_pointer(what, entry.block)?;
        self.load_at(entry.block, entry.crc, what).await
    }

    /// The slot with this block, whose checksum is known.
    pub(crate) async fn load_at(&mut self, block: u64, crc: u32, what: Object) -> Outcome<Slot> {
        if let Some(slot) = self.cache.find(block) {
            if !self.cache.is_dirty(slot) && self.cache.crc(slot) != crc {
                return Err(self.damaged(what, block));
            }
            self.cache.touch(slot);
            return Ok(slot);
        }
        let slot = self.vacate().await?;
        self.stats.reads += 1;
        let buffer = self.cache.bytes_mut(slot);
        if let Err(error) = self.device.read(block * self.spb, buffer).await {
            return Err(self.unread(error));
        }
        if (self.checksum)(0, buffer) != crc {
            return Err(self.damaged(what, block));
        }
        self.cache.assign(slot, Some(block));
        self.cache.set_crc(slot, crc);
        self.cache.touch(slot);
        Ok(slot)
    }

    /// A vacant slot.
    pub(crate) async fn vacate(&mut self) -> Outcome<Slot> {
        let needed = Cache::memory_for(index(u64::from(self.cache.slots())) + 1, self.block_size());
        let slot = self.cache.victim().ok_or_else(|| self.stop(Error::WorkspaceTooSmall { needed }))?;
        if self.cache.is_dirty(slot) {
            self.clean(slot).await?;
        }
        self.cache.assign(slot, None);
        Ok(slot)
    }

    /// Gives the slot its new block. What the cache has of that block is of an earlier use and forgotten; if it is of this
    /// generation, a damaged pool has given out the block twice.
    pub(crate) fn rehouse(&mut self, slot: Slot, block: u64, what: Object) -> Outcome<()> {
        if let Some(stale) = self.cache.find(block) {
            if self.cache.is_held(stale) {
                return Err(self.damaged(what, block));
            }
            self.cache.assign(stale, None);
        }
        self.cache.assign(slot, Some(block));
        Ok(())
    }

    /// Writes a dirty slot, none of whose children are dirty, and gives its checksum to its parent.
    pub(crate) async fn clean(&mut self, slot: Slot) -> Outcome<()> {
        let block = self.cache.block(slot);
        let crc = (self.checksum)(0, self.cache.bytes(slot));
        self.stats.writes += 1;
        if let Err(error) = self.device.write(block * self.spb, self.cache.bytes(slot)).await {
            return Err(self.poison("writing metadata", error));
        }
        self.cache.set_crc(slot, crc);
        match self.cache.parent(slot) {
            (CATALOG_ROOT, _) => self.sb.catalog.crc = crc,
            (SPACE_ROOT, _) => self.sb.space.crc = crc,
            (parent, offset) => put_u32(self.cache.bytes_mut(parent), offset + 12, crc),
        }
        self.cache.set_clean(slot);
        Ok(())
    }

    /// Writes every dirty slot (or only the nodes of maps), children before parents, each once.
    pub(crate) async fn clean_all(&mut self, maps_only: bool) -> Outcome<()> {
        let mut listed = self.cache.dirty_list();
        while listed != crate::cache::NONE {
            let mut slot = listed;
            while slot < self.cache.slots() && self.cache.is_dirty(slot) && self.cache.dirty_children(slot) == 0 {
                if maps_only && !self.cache.is_map(slot) {
                    break;
                }
                self.clean(slot).await?;
                slot = self.cache.parent(slot).0;
            }
            listed = self.cache.dirty_after(listed);
        }
        Ok(())
    }

    /// Refuses changes where there can be none.
    pub(crate) fn writable(&mut self) -> Outcome<()> {
        if self.poisoned {
            return Err(self.stop(Error::Poisoned));
        }
        if self.read_only {
            return Err(self.stop(Error::ReadOnly));
        }
        Ok(())
    }

    /// The superblock without the changes of a checkpoint that is being built.
    #[inline]
    pub(crate) fn durable(&self) -> SuperblockView<'_> {
        SuperblockView(self.saved)
    }

    /// Reads the entry at `offset` of a slot.
    pub(crate) fn entry_in(&self, slot: Slot, offset: usize) -> Entry {
        Entry::decode(self.cache.bytes(slot), offset)
    }
}

//! Writing: in place where the volume owns the block and nothing unproven depends on it, to a new block elsewhere.
//!
//! Data goes to the device at once, records into the pending table; nothing is flushed here. A crash at any point leaves every
//! sector with what the last flush made durable or with something written since.

use crate::{
    admit::Demand,
    bytes::{copy, index, wide},
    device::BlockDevice,
    error::Error,
    format::{Entry, Record},
    locate::Head,
    pending::{Item, Known},
    pool::{Pool, Result},
    store::{Outcome, Store},
    types::{LayerFlags, LayerId, LayerKind},
};

#[cfg(feature = "async")]
#[path = "asynch/write.rs"]
pub(crate) mod asynch;

/// Where a block of a volume is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// Over itself.
    Over(u64),
    /// To a new block. `owned`: the volume has a block of its own there already; `known`: what is pending there.
    Fresh { old: Entry, owned: bool, known: Option<Known> },
}

/// What is written to a part of a block.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Bytes(&'a [u8]),
    Zeros,
}

/// What came of a try to write: so many sectors, or for what there is no room yet.
type Tried = core::result::Result<u64, Demand>;

impl<D: BlockDevice> Store<'_, D> {
    /// A volume (or a staged attachment) that can be written.
    pub(crate) fn writable_head(&mut self, id: LayerId) -> Outcome<Head> {
        self.writable()?;
        let head = self.head(id)?;
        let staged = head.flags.contains(LayerFlags::STAGED);
        match head.kind {
            LayerKind::Volume => Ok(head),
            LayerKind::Attachment if staged => Ok(head),
            _ => Err(self.stop(Error::ReadOnly)),
        }
    }

    /// The number of sectors to be written, which can be written.
    // Apart, as all that follows: on a small machine what it takes on the stack must be gone when a checkpoint is made.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn check_write(&mut self, volume: LayerId, sector: u64, buffer: &[u8]) -> Outcome<u64> {
        let head = self.writable_head(volume)?;
        let count = self.sectors_in(buffer, head.sectors)?;
        self.check_range(&head, sector, count)?;
        Ok(count)
    }

    /// Rules W1 to W3.
    pub(crate) fn place(&mut self, head: &Head, address: u64) -> Outcome<Place> {
        let (entry, item) = self.effective(head, address)?;
        let (owned, settled) = match item {
            Some(item) => (entry.is_block(), item.unit == 0 || item.unit <= self.proven),
            None => (entry.is_block() && entry.birth > self.limit_of(head, address), true),
        };
        if owned && settled && !head.has_integrity() {
            return Ok(Place::Over(entry.block));
        }
        Ok(Place::Fresh { old: entry, owned, known: item })
    }

    /// What a new block at this address needs; exact, or at most a little too much where there is plenty.
    fn demand(&mut self, head: &Head, address: u64, owned: bool, known: Option<Known>) -> Outcome<Demand> {
        let items = usize::from(known.is_none());
        let mut demand = Demand { blocks: 1, items, relocation: owned, ..Demand::default() };
        if head.is_guaranteed() {
            demand.promised = u64::from(known.is_none_or(|item| !item.reserved) && !self.tree_owns(head, address)?);
            return Ok(demand);
        }
        demand.growth = self.growth_of(head, address, known.is_some())?;
        Ok(demand)
    }

    /// Growth of the map on account of a record that is to be made.
    pub(crate) fn growth_of(&mut self, head: &Head, address: u64, known: bool) -> Outcome<u64> {
        if known || head.is_guaranteed() {
            return Ok(0);
        }
        let growth = u64::from(head.height);
        if self.missing(&Demand { blocks: 1, growth, ..Demand::default() }) == 0 {
            return Ok(growth);
        }
        self.path_growth(head, address).map(u64::from)
    }

    fn tree_owns(&mut self, head: &Head, address: u64) -> Outcome<bool> {
        let entry = self.tree_entry(head, address)?;
        Ok(entry.is_block() && entry.birth > self.limit_of(head, address))
    }

    /// Puts a record into the pending table and into the sums that admission goes by.
    pub(crate) fn note(&mut self, head: &Head, address: u64, entry: Entry, crc: u32, growth: u64) -> Outcome<()> {
        let at = self.pending.search(head.id, address);
        let old = at.ok().and_then(|at| self.pending.get(at));
        let reserved = head.is_guaranteed() && entry.is_block() && !self.tree_owns(head, address)?;
        let growth = old.map_or(u8::try_from(growth).unwrap_or(u8::MAX), |old| old.growth);
        let record = Record { layer: head.id, address, entry, crc };
        self.growth = self.growth + u64::from(growth) - old.map_or(0, |old| u64::from(old.growth));
        self.reserve_used =
            (self.reserve_used + u64::from(reserved)).saturating_sub(u64::from(old.is_some_and(|old| old.reserved)));
        let inserted = self.pending.put(at, &Item { record, unit: 0, growth, stale: false, reserved });
        debug_assert!(inserted, "admission has looked for room");
        if inserted { Ok(()) } else { Err(self.stop(Error::NoSpace { missing: 1 })) }
    }

    /// Blocks in a row, from `address` on, that can be written over: first block, number.
    pub(crate) fn run_over(&mut self, head: &Head, address: u64, first: u64, most: u64) -> Outcome<u64> {
        let mut count = 1;
        while count < most {
            // A node of the map tells of many at once.
            let owned = self.owned_run(head, address + count, first + count, most - count)?;
            match self.place(head, address + count)? {
                Place::Over(block) if block == first + count => count += owned.max(1),
                _ => break,
            }
        }
        Ok(count)
    }

    /// Blocks in a row that need new places and for which there is plenty of room.
    pub(crate) fn run_fresh(&mut self, head: &Head, address: u64, most: u64) -> Outcome<u64> {
        let per_block = 1 + u64::from(head.height);
        let mut count = 1;
        while count < most {
            let ahead = Demand { blocks: (count + 1) * per_block, items: index(count + 1), ..Demand::default() };
            let place = self.place(head, address + count)?;
            if !matches!(place, Place::Fresh { .. }) || !self.fits(&ahead) {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// A whole block was written over: its record, if it is not yet in the journal, takes the new checksum.
    fn rewritten(&mut self, head: &Head, address: u64, whole: Option<&[u8]>) {
        let Ok(i) = self.pending.search(head.id, address) else { return };
        let Some(mut item) = self.pending.get(i).filter(|item| item.unit == 0) else { return };
        // With another write under way over blocks like this one nobody knows what will be there.
        let whole = whole.filter(|_| self.held.unsettled == 0);
        item.stale = whole.is_none();
        if let Some(bytes) = whole {
            item.record.crc = (self.checksum)(0, bytes);
        }
        self.pending.set(i, &item);
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// Writes `buffer` to the sectors of a volume from `sector` on. Durable after the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`Error::NoSpace`] for a thin volume, before anything was changed; [`Error::OutOfRange`], [`Error::ReadOnly`],
    /// [`Error::NoSuchLayer`]; the device's, after which the pool is poisoned.
    ///
    /// # Power loss
    /// Each sector holds its old content or the new, each for itself; with integrity, each block.
    pub fn write(&mut self, volume: LayerId, sector: u64, buffer: &[u8]) -> Result<(), D> {
        let done = self.write_sectors(volume, sector, buffer);
        self.store.answer(done)
    }

    fn write_sectors(&mut self, volume: LayerId, sector: u64, buffer: &[u8]) -> Outcome<()> {
        let count = self.store.check_write(volume, sector, buffer)?;
        if count == 0 {
            return Ok(());
        }
        let spb = self.store.spb;
        self.store.leave_fresh()?;
        self.store.admit_range(volume, sector / spb, (sector + count - 1) / spb)?;
        let mut done = 0;
        while done < count {
            let head = self.store.head(volume)?;
            let (address, within) = ((sector + done) / spb, (sector + done) % spb);
            let left = count - done;
            let bytes = buffer.get(self.store.bytes_of(done)..).unwrap_or(&[]);
            let tried = if within == 0 && left >= spb.get() && self.store.is_aligned(bytes) {
                self.write_blocks(&head, address, left / spb, bytes)?
            } else {
                let sectors = (spb.get() - within).min(left);
                let part = bytes.get(..self.store.bytes_of(sectors)).unwrap_or(&[]);
                self.write_part(&head, address, within, sectors, Source::Bytes(part), false)?
            };
            match tried {
                Ok(written) => done += written,
                Err(demand) => self.store.make_way(&head, &demand)?,
            }
        }
        Ok(())
    }

    /// Writes a part of one block of a volume; it is `moved` to a new block even if it could be written over.
    pub(crate) fn write_within(
        &mut self,
        volume: LayerId,
        address: u64,
        within: u64,
        sectors: u64,
        source: Source<'_>,
        moved: bool,
    ) -> Outcome<()> {
        loop {
            let head = self.store.head(volume)?;
            match self.write_part(&head, address, within, sectors, source, moved)? {
                Ok(_) => return Ok(()),
                Err(demand) => self.store.make_way(&head, &demand)?,
            }
        }
    }

    /// Tries to write some whole blocks in one device call.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn write_blocks(&mut self, head: &Head, address: u64, most: u64, bytes: &[u8]) -> Outcome<Tried> {
        let store = &mut self.store;
        let size = store.block_size();
        let (block, count, growth) = match store.place(head, address)? {
            Place::Over(block) => (block, store.run_over(head, address, block, most)?, None),
            Place::Fresh { owned, known, .. } => {
                let demand = store.demand(head, address, owned, known)?;
                if !store.fits(&demand) {
                    return Ok(Err(demand));
                }
                let count = store.run_fresh(head, address, most)?;
                let (block, count) = store.allocate(count)?;
                (block, count, Some(demand.growth))
            }
        };
        let bytes = bytes.get(..index(count) * size).unwrap_or(&[]);
        store.device_write(block * store.spb, bytes)?;
        if growth.is_none() && !store.pending.any(head.id, address, count, |item| item.unit == 0) {
            return Ok(Ok(count * store.spb));
        }
        for (i, content) in bytes.chunks_exact(size).enumerate() {
            let address = address + wide(i);
            match growth {
                None => store.rewritten(head, address, Some(content)),
                Some(first) => {
                    let growth = if i == 0 { first } else { u64::from(head.height) };
                    store.note_data(head, address, block + wide(i), content, growth)?;
                }
            }
        }
        Ok(Ok(count * store.spb))
    }

    /// Tries to write some sectors of one block.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn write_part(
        &mut self,
        head: &Head,
        address: u64,
        within: u64,
        sectors: u64,
        source: Source<'_>,
        moved: bool,
    ) -> Outcome<Tried> {
        let (old, owned, known) = match self.store.place(head, address)? {
            Place::Over(_) if moved => {
                let (old, known) = self.store.effective(head, address)?;
                (old, true, known)
            }
            Place::Over(block) => {
                self.store.write_over(head, address, block, within, sectors, source)?;
                return Ok(Ok(sectors));
            }
            Place::Fresh { old, owned, known } => (old, owned, known),
        };
        let demand = self.store.demand(head, address, owned, known)?;
        if !self.store.fits(&demand) {
            return Ok(Err(demand));
        }
        let (block, _) = self.store.allocate(1)?;
        self.compose(head, address, &old)?;
        self.store.stats.copies += 1;
        self.store.lay_over(within, sectors, source);
        self.store.write_scratch(block)?;
        let crc = (self.store.checksum)(0, self.store.scratch);
        self.store.note_block(head, address, block, crc, demand.growth)?;
        Ok(Ok(sectors))
    }
}

impl<D: BlockDevice> Store<'_, D> {
    fn note_data(&mut self, head: &Head, address: u64, block: u64, content: &[u8], growth: u64) -> Outcome<()> {
        let crc = (self.checksum)(0, content);
        self.note_block(head, address, block, crc, growth)
    }

    pub(crate) fn note_block(&mut self, head: &Head, address: u64, block: u64, crc: u32, growth: u64) -> Outcome<()> {
        let in_map = if head.has_integrity() { crc } else { 0 };
        let entry = Entry { block, birth: self.sb.epoch, crc: in_map, ..Entry::EMPTY };
        self.note(head, address, entry, crc, growth)
    }

    /// Puts the new sectors over the block in the scratch buffer.
    fn lay_over(&mut self, within: u64, sectors: u64, source: Source<'_>) {
        let range = self.bytes_of(within)..self.bytes_of(within + sectors);
        let part = self.scratch.get_mut(range).unwrap_or(&mut []);
        match source {
            Source::Bytes(bytes) if bytes.len() == part.len() => copy(part, bytes),
            Source::Bytes(_) => debug_assert!(false, "as many bytes as sectors"),
            Source::Zeros => part.fill(0),
        }
    }

    fn write_over(
        &mut self,
        head: &Head,
        address: u64,
        block: u64,
        within: u64,
        sectors: u64,
        source: Source<'_>,
    ) -> Outcome<()> {
        let sector = block * self.spb + within;
        match source {
            Source::Bytes(bytes) if self.is_aligned(bytes) => self.device_write(sector, bytes)?,
            _ => {
                self.lay_over(0, sectors, source);
                let length = self.bytes_of(sectors);
                self.stats.writes += 1;
                let part = self.scratch.get(..length).unwrap_or(&[]);
                if let Err(error) = self.device.write(sector, part) {
                    return Err(self.poison("writing data", error));
                }
            }
        }
        self.rewritten(head, address, None);
        Ok(())
    }
}

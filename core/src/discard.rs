//! Discarding and zeroing: records without a block.
//!
//! A discarded block reads as zeros: its entry becomes *empty*, or *zero* where a base device would show through. The volume's
//! own block is freed by the checkpoint, older layers keep theirs. A crash leaves old content or zeros, each sector for itself.

use crate::{
    admit::Demand,
    device::BlockDevice,
    format::Entry,
    locate::Head,
    pending::Known,
    pool::{Pool, Result},
    store::{Outcome, Store},
    types::LayerId,
    write::Source,
};

#[cfg(feature = "async")]
#[path = "asynch/discard.rs"]
pub(crate) mod asynch;

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// Gives up the whole blocks inside the range: they read as zeros, and their space is free after the next
    /// checkpoint unless a snapshot holds it. Sectors of blocks that the range covers in part keep their content; the
    /// volume's end counts as a block's end.
    ///
    /// # Errors
    /// [`Error::NoSpace`](crate::Error::NoSpace) on a full pool, only where nodes of the map are shared and would have to be copied;
    /// blocks before that point have been discarded.
    ///
    /// # Power loss
    /// Each sector holds its old content or zeros.
    pub fn discard(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), D> {
        let done = self.store.discard(volume, sector, count);
        self.store.answer(done)
    }

    /// Makes every sector of the range read as zeros; whole blocks give up their space.
    ///
    /// # Errors
    /// As [`write`](Self::write), but block by block: what was zeroed before the space ran out stays zeroed.
    ///
    /// # Power loss
    /// Each sector holds its old content or zeros.
    pub fn write_zeroes(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), D> {
        let done = self.zero(volume, sector, count);
        self.store.answer(done)
    }

    fn zero(&mut self, volume: LayerId, sector: u64, count: u64) -> Outcome<()> {
        let head = self.store.writable_head(volume)?;
        self.store.check_range(&head, sector, count)?;
        if count == 0 {
            return Ok(());
        }
        self.store.leave_fresh()?;
        let spb = self.store.spb;
        let end = sector + count;
        let first = spb.ceil(sector);
        let last = if end == head.sectors { spb.ceil(end) } else { end / spb };
        if first > last {
            return self.zero_part(volume, sector / spb, sector % spb, count);
        }
        if sector % spb != 0 {
            self.zero_part(volume, sector / spb, sector % spb, spb.get() - sector % spb)?;
        }
        self.store.clear(volume, first, last)?;
        if end > last * spb {
            self.zero_part(volume, last, 0, end - last * spb)?;
        }
        Ok(())
    }

    /// Zeroes some sectors of one block, unless it reads as zeros anyway.
    fn zero_part(&mut self, volume: LayerId, address: u64, within: u64, sectors: u64) -> Outcome<()> {
        let head = self.store.head(volume)?;
        let (entry, _) = self.store.effective(&head, address)?;
        let base = entry.is_empty() && address * self.store.spb < self.store.base_sectors(&head);
        if !entry.is_block() && !base {
            return Ok(());
        }
        self.write_within(volume, address, within, sectors, Source::Zeros, false)
    }
}

impl<D: BlockDevice> Store<'_, D> {
    fn discard(&mut self, volume: LayerId, sector: u64, count: u64) -> Outcome<()> {
        let head = self.writable_head(volume)?;
        self.check_range(&head, sector, count)?;
        self.leave_fresh()?;
        let spb = self.spb;
        let end = sector + count;
        let last = if end == head.sectors { spb.ceil(end) } else { end / spb };
        self.clear(volume, spb.ceil(sector), last)
    }

    /// Removes the blocks of some addresses; holes are skipped, not walked.
    fn clear(&mut self, volume: LayerId, first: u64, end: u64) -> Outcome<()> {
        let mut address = first;
        while address < end {
            let head = self.head(volume)?;
            let run = self.run(&head, address, end - address)?;
            let over_base = address * self.spb < self.base_sectors(&head);
            let target = if over_base { Entry::ZERO } else { Entry::EMPTY };
            let done = !run.entry.is_block() && (!over_base || !run.entry.is_empty());
            if done {
                let base_blocks = self.spb.ceil(self.base_sectors(&head));
                address = if over_base || address >= base_blocks { address + run.count } else { address + 1 };
                continue;
            }
            self.clear_one(&head, address, target)?;
            address += 1;
        }
        Ok(())
    }

    fn clear_one(&mut self, head: &Head, address: u64, target: Entry) -> Outcome<()> {
        let mut head = *head;
        loop {
            let known = self.pending.find(head.id, address).as_ref().map(Known::of);
            let growth = self.growth_of(&head, address, known.is_some())?;
            let demand = Demand { items: usize::from(known.is_none()), growth, ..Demand::default() };
            let gives_back = u64::from(known.is_some_and(|item| item.reserved));
            let room = self.fits(&Demand { blocks: gives_back, ..demand });
            // Changing only nodes that the volume owns takes nothing: the reserve of checkpoints is there for it.
            if room || growth == 0 && gives_back == 0 && self.room() >= demand.items {
                return self.note(&head, address, target, 0, growth);
            }
            self.make_way(&head, &demand)?;
            head = self.head(LayerId(head.id))?;
        }
    }
}

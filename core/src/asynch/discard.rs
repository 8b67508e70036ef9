//! Made from `discard.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::pool::asynch::Pool;
use crate::pool::asynch::Result;
use crate::store::asynch::Store;

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
    pub async fn discard(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), D> {
        self.store.enter();
        let result: Result<(), D> = async {
            let done = self.store.discard(volume, sector, count).await;
            self.store.answer(done)
        }
        .await;
        self.store.leave();
        result
    }

    /// Makes every sector of the range read as zeros; whole blocks give up their space.
    ///
    /// # Errors
    /// As [`write`](Self::write), but block by block: what was zeroed before the space ran out stays zeroed.
    ///
    /// # Power loss
    /// Each sector holds its old content or zeros.
    pub async fn write_zeroes(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), D> {
        self.store.enter();
        let result: Result<(), D> = async {
            let done = self.zero(volume, sector, count).await;
            self.store.answer(done)
        }
        .await;
        self.store.leave();
        result
    }

    pub(crate) async fn zero(&mut self, volume: LayerId, sector: u64, count: u64) -> Outcome<()> {
        let head = self.store.writable_head(volume).await?;
        self.store.check_range(&head, sector, count)?;
        if count == 0 {
            return Ok(());
        }
        self.store.leave_fresh().await?;
        let spb = self.store.spb;
        let end = sector + count;
        let first = spb.ceil(sector);
        let last = if end == head.sectors { spb.ceil(end) } else { end / spb };
        if first > last {
            return self.zero_part(volume, sector / spb, sector % spb, count).await;
        }
        if sector % spb != 0 {
            self.zero_part(volume, sector / spb, sector % spb, spb.get() - sector % spb).await?;
        }
        self.store.clear(volume, first, last).await?;
        if end > last * spb {
            self.zero_part(volume, last, 0, end - last * spb).await?;
        }
        Ok(())
    }

    /// Zeroes some sectors of one block, unless it reads as zeros anyway.
    pub(crate) async fn zero_part(&mut self, volume: LayerId, address: u64, within: u64, sectors: u64) -> Outcome<()> {
        let head = self.store.head(volume).await?;
        let (entry, _) = self.store.effective(&head, address).await?;
        let base = entry.is_empty() && address * self.store.spb < self.store.base_sectors(&head);
        if !entry.is_block() && !base {
            return Ok(());
        }
        self.write_within(volume, address, within, sectors, Source::Zeros, false).await
    }
}

impl<D: BlockDevice> Store<'_, D> {
    pub(crate) async fn discard(&mut self, volume: LayerId, sector: u64, count: u64) -> Outcome<()> {
        let head = self.writable_head(volume).await?;
        self.check_range(&head, sector, count)?;
        self.leave_fresh().await?;
        let spb = self.spb;
        let end = sector + count;
        let last = if end == head.sectors { spb.ceil(end) } else { end / spb };
        self.clear(volume, spb.ceil(sector), last).await
    }

    /// Removes the blocks of some addresses; holes are skipped, not walked.
    pub(crate) async fn clear(&mut self, volume: LayerId, first: u64, end: u64) -> Outcome<()> {
        let mut address = first;
        while address < end {
            let head = self.head(volume).await?;
            let run = self.run(&head, address, end - address).await?;
            let over_base = address * self.spb < self.base_sectors(&head);
            let target = if over_base { Entry::ZERO } else { Entry::EMPTY };
            let done = !run.entry.is_block() && (!over_base || !run.entry.is_empty());
            if done {
                let base_blocks = self.spb.ceil(self.base_sectors(&head));
                address = if over_base || address >= base_blocks { address + run.count } else { address + 1 };
                continue;
            }
            self.clear_one(&head, address, target).await?;
            address += 1;
        }
        Ok(())
    }

    pub(crate) async fn clear_one(&mut self, head: &Head, address: u64, target: Entry) -> Outcome<()> {
        let mut head = *head;
        loop {
            let known = self.pending.find(head.id, address).as_ref().map(Known::of);
            let growth = self.growth_of(&head, address, known.is_some()).await?;
            let demand = Demand { items: usize::from(known.is_none()), growth, ..Demand::default() };
            let gives_back = u64::from(known.is_some_and(|item| item.reserved));
            let room = self.fits(&Demand { blocks: gives_back, ..demand });
            // Changing only nodes that the volume owns takes nothing: the reserve of checkpoints is there for it.
            if room || growth == 0 && gives_back == 0 && self.room() >= demand.items {
                return self.note(&head, address, target, 0, growth).await;
            }
            self.make_way(&head, &demand).await?;
            head = self.head(LayerId(head.id)).await?;
        }
    }
}

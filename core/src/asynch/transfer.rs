//! Made from `transfer.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::pool::asynch::Pool;
use crate::pool::asynch::Result;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// Fails while a transfer is under way (T1).
    pub(crate) fn check_idle(&mut self) -> Outcome<()> {
        match self.held.transfers {
            0 => Ok(()),
            transfers => Err(self.stop(Error::Busy { transfers })),
        }
    }

    /// A write to blocks that the volume owns and need not move.
    pub(crate) async fn prepare_over(&mut self, head: &Head, sector: u64, count: u64, block: u64) -> Outcome<Writing> {
        let (address, within) = (sector / self.spb, sector % self.spb);
        let blocks = self.run_over(head, address, block, self.spb.ceil(within + count)).await?;
        let new = self.pending.any(head.id, address, blocks, |item| item.unit == 0);
        self.held.unsettled += u32::from(new);
        Ok(Writing {
            layer: LayerId(head.id),
            address,
            within,
            sectors: count.min(blocks * self.spb - within),
            block,
            blocks,
            sector: block * self.spb + within,
            kind: if new { Way::OverNew } else { Way::Over },
        })
    }

    /// A write of whole blocks to new places; `None` where there is not plenty of room.
    pub(crate) async fn prepare_fresh(&mut self, head: &Head, sector: u64, count: u64) -> Outcome<Option<Writing>> {
        let address = sector / self.spb;
        let growth = if head.is_guaranteed() { 0 } else { u64::from(head.height) };
        let first = Demand { blocks: 1 + u64::from(head.height), items: 1, ..Demand::default() };
        if !self.fits(&first) {
            return Ok(None);
        }
        let most = self.run_fresh(head, address, count / self.spb).await?;
        let (block, blocks) = self.allocate(most).await?;
        self.held.items += index(blocks);
        self.held.growth += blocks * growth;
        Ok(Some(Writing {
            layer: LayerId(head.id),
            address,
            within: 0,
            sectors: blocks * self.spb,
            block,
            blocks,
            sector: block * self.spb,
            kind: Way::Fresh { growth },
        }))
    }

    pub(crate) async fn resolve(&mut self, layer: LayerId, sector: u64, count: u64) -> Outcome<Option<Reading>> {
        let head = self.head(layer).await?;
        self.check_range(&head, sector, count)?;
        let (address, within) = (sector / self.spb, sector % self.spb);
        let run = self.run(&head, address, self.spb.ceil(within + count)).await?;
        let based = run.entry.is_empty() && self.base_sectors(&head) > sector;
        if count == 0 || based || (run.entry.is_block() && head.has_integrity()) {
            return Ok(None);
        }
        let kind = if run.entry.is_block() {
            self.stats.reads += 1;
            ExtentKind::Data { sector: run.entry.block * self.spb + within }
        } else {
            ExtentKind::Zero
        };
        self.held.transfers += 1;
        let count = count.min(run.count * self.spb - within);
        Ok(Some(Reading { extent: Extent { sector, count, kind } }))
    }

    pub(crate) async fn prepare(&mut self, volume: LayerId, sector: u64, count: u64) -> Outcome<Option<Writing>> {
        let head = self.writable_head(volume).await?;
        self.check_range(&head, sector, count)?;
        if count == 0 {
            return Ok(None);
        }
        self.leave_fresh().await?;
        let head = self.head(volume).await?;
        let writing = match self.place(&head, sector / self.spb).await? {
            Place::Over(block) => Some(self.prepare_over(&head, sector, count, block).await?),
            Place::Fresh { .. } if sector % self.spb == 0 && count >= self.spb.get() => {
                self.prepare_fresh(&head, sector, count).await?
            }
            Place::Fresh { .. } => None,
        };
        self.held.transfers += u32::from(writing.is_some());
        self.stats.writes += u64::from(writing.is_some());
        Ok(writing)
    }

    pub(crate) async fn commit_transfer(&mut self, writing: &Writing, sums: &[u32]) -> Outcome<()> {
        self.settle_transfer(writing);
        let given = wide(sums.len()) == writing.blocks;
        if writing.kind == Way::Over {
            return Ok(());
        }
        let Way::Fresh { growth } = writing.kind else {
            let whole = given && writing.within == 0 && writing.sectors == writing.blocks * self.spb;
            self.rewritten_apart(writing, whole.then_some(sums));
            return Ok(());
        };
        if !given {
            return Err(self.stop(Error::BadParameter("a checksum for each new block")));
        }
        let head = self.writable_head(writing.layer).await?;
        for ((address, block), crc) in (writing.address..).zip(writing.block..).zip(sums) {
            self.note_block(&head, address, block, *crc, growth).await?;
        }
        Ok(())
    }

    /// The write is under way no more; nothing is held for it.
    pub(crate) fn settle_transfer(&mut self, writing: &Writing) {
        let held = &mut self.held;
        held.transfers = held.transfers.saturating_sub(1);
        match writing.kind {
            Way::Over => {}
            Way::OverNew => held.unsettled = held.unsettled.saturating_sub(1),
            Way::Fresh { growth } => {
                held.items = held.items.saturating_sub(index(writing.blocks));
                held.growth = held.growth.saturating_sub(writing.blocks * growth);
            }
        }
    }

    /// Records that are not yet in the journal and still name these blocks take the new checksums, or have them computed later.
    pub(crate) fn rewritten_apart(&mut self, writing: &Writing, sums: Option<&[u32]>) {
        for i in 0..writing.blocks {
            let Ok(at) = self.pending.search(writing.layer.0, writing.address + i) else { continue };
            let Some(mut item) = self.pending.get(at) else { continue };
            if item.unit != 0 || !item.record.entry.is_block() || item.record.entry.block != writing.block + i {
                continue;
            }
            // Two writes may have been under way over the block: then no sum given here is that of what is there.
            let sum = sums.and_then(|sums| sums.get(index(i))).filter(|_| self.held.unsettled == 0);
            item.stale = sum.is_none() || item.stale;
            item.record.crc = sum.copied().unwrap_or(item.record.crc);
            self.pending.set(at, &item);
        }
    }

    /// Writes the journal units of a flush; `None` if a checkpoint has done all of it.
    pub(crate) async fn begin_flush(&mut self) -> Outcome<Option<Flushing>> {
        self.writable()?;
        if self.fresh {
            return self.checkpoint().await.map(|()| None);
        }
        let new = self.pending.count_new();
        let generation = self.durable().generation();
        if new == 0 {
            return Ok(Some(Flushing { generation, mark: None, last: 0 }));
        }
        let unit_size = 1usize << self.durable().unit_shift();
        let units = parts(new, crate::format::Unit::capacity(unit_size));
        let last = u64::from(self.sequence) - 1 + wide(units);
        if last > u64::from(self.durable().journal_units()) {
            return self.checkpoint().await.map(|()| None);
        }
        if self.held.unsettled > 0 {
            return Err(self.stop(Error::Busy { transfers: self.held.unsettled }));
        }
        self.write_group(units, unit_size).await?;
        Ok(Some(Flushing { generation, mark: Some(self.flushed), last: self.sequence - 1 }))
    }

    /// The device flush that was called after [`begin_flush`](Self::begin_flush) has returned.
    pub(crate) fn end_flush(&mut self, flushing: &Flushing) {
        let Some(mark) = flushing.mark.filter(|_| flushing.generation == self.durable().generation()) else { return };
        self.proven = self.proven.max(mark);
        self.flushed = self.flushed.max(flushing.last);
        self.stats.groups += 1;
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// Where the sectors of a layer are, from `sector` on and at most `count`: to be read by the caller, outside the pool.
    /// The answer stays true until it is [released](Self::release). `None`: use [`read`](Self::read), because the data has a
    /// checksum to be verified, or shows the base device.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Power loss
    /// Changes nothing.
    pub async fn resolve(&mut self, layer: LayerId, sector: u64, count: u64) -> Result<Option<Reading>, D> {
        self.store.enter();
        let result: Result<Option<Reading>, D> = async {
            let planned = self.store.resolve(layer, sector, count).await;
            self.store.answer(planned)
        }
        .await;
        self.store.leave();
        result
    }

    /// The data has been read, or will not be.
    pub fn release(&mut self, _reading: Reading) {
        self.store.held.transfers = self.store.held.transfers.saturating_sub(1);
    }

    /// Plans a write of at most `count` sectors from `sector` on, one contiguous range of the device: to be written by the
    /// caller, outside the pool, and then [committed](Self::commit). `None`: use [`write`](Self::write), because a new block
    /// is written in part only, or because there is not plenty of room.
    ///
    /// # Errors
    /// As [`write`](Self::write); [`Error::Busy`] if a checkpoint must be made first and other transfers are under way.
    ///
    /// # Power loss
    /// As [`write`](Self::write): until it is committed and flushed, the old content or, in place, the new.
    pub async fn prepare(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<Option<Writing>, D> {
        self.store.enter();
        let result: Result<Option<Writing>, D> = async {
            let planned = self.store.prepare(volume, sector, count).await;
            self.store.answer(planned)
        }
        .await;
        self.store.leave();
        result
    }

    /// The data has been written: from now on it is what the volume holds. Durable after the next flush.
    ///
    /// `sums`: what [`checksum`](Self::checksum) gives for each block, as many as [`Writing::checksums`] says. With a range that was
    /// written in place they may be left out: then the blocks are read back when they are flushed.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if checksums of new blocks are missing, the device's: then the volume holds what it held.
    ///
    /// # Power loss
    /// As [`write`](Self::write).
    pub async fn commit(&mut self, writing: Writing, sums: &[u32]) -> Result<(), D> {
        self.store.enter();
        let result: Result<(), D> = async {
            let done = self.store.commit_transfer(&writing, sums).await;
            self.store.answer(done)
        }
        .await;
        self.store.leave();
        result
    }

    /// The data has not been written, or only in part. In place the sectors hold whatever the device made of them; else the
    /// volume holds what it held.
    pub fn cancel(&mut self, writing: Writing) {
        self.store.settle_transfer(&writing);
        if !matches!(writing.kind, Way::Fresh { .. }) {
            self.store.rewritten_apart(&writing, None);
        }
    }

    /// The first half of a [`flush`](Self::flush): what the pool itself has to write. The caller then flushes the device,
    /// outside the pool, and [ends](Self::end_flush) it. `None`: all is done already.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); [`Error::Busy`] while writes are under way that must be committed first.
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    pub async fn begin_flush(&mut self) -> Result<Option<Flushing>, D> {
        self.store.enter();
        let result: Result<Option<Flushing>, D> = async {
            if self.store.read_only {
                return Ok(None);
            }
            let begun = self.store.begin_flush().await;
            self.store.answer(begun)
        }
        .await;
        self.store.leave();
        result
    }

    /// The second half: the device's answer. Everything written and committed before [`begin_flush`](Self::begin_flush) is durable
    /// if it is good.
    ///
    /// # Errors
    /// The device's; the pool is then poisoned.
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    pub fn end_flush(&mut self, flushing: Flushing, flushed: core::result::Result<(), D::Error>) -> Result<(), D> {
        self.store.stats.flushes += 1;
        #[cfg(feature = "async")]
        {
            // Of a call that was given up before this flush it says nothing.
            self.store.entered = self.store.entered.map(|before| before + 1);
        }
        let flushed = flushed.map_err(|error| self.store.poison("a flush", error));
        if flushed.is_ok() {
            self.store.end_flush(&flushing);
        }
        self.store.answer(flushed)
    }

    /// Transfers that are under way.
    pub fn transfers(&self) -> u32 {
        self.store.held.transfers
    }
}

//! Transfers: data that is moved by the owner of the pool, while the pool serves others.
//!
//! The pool plans a transfer (*resolve* to read, *prepare* to write), its owner moves the data by its own means, and gives the
//! plan back (*release*, *commit* or *cancel*). A flush is *begun* and *ended* in the same way. Rules T1 to T6 of
//! `docs/DESIGN.md`. Invariants:
//! - while a transfer is under way no checkpoint begins, so what it was planned on does not change hands;
//! - what a prepared write will need when it is committed is held for it: records, nodes of the map, and its blocks;
//! - a journal unit is written only while no write is under way over a block whose checksum it takes.

// A plan that is given back is gone.
#![allow(clippy::needless_pass_by_value)]

use crate::{
    admit::Demand,
    bytes::{index, parts, wide},
    device::BlockDevice,
    error::Error,
    locate::Head,
    pool::{Pool, Result},
    store::{Outcome, Store},
    types::{Extent, ExtentKind, LayerId},
    write::Place,
};

#[cfg(feature = "async")]
#[path = "asynch/transfer.rs"]
pub(crate) mod asynch;

/// A range that is being read outside the pool. Give it back with [`Pool::release`].
#[must_use = "the pool commits nothing until this is given back"]
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    extent: Extent,
}

impl Reading {
    /// What is to be read, and where it is.
    pub fn extent(&self) -> Extent {
        self.extent
    }
}

/// A range that is being written outside the pool. Give it back with [`Pool::commit`] or [`Pool::cancel`].
#[must_use = "the pool commits nothing until this is given back"]
#[derive(Debug, PartialEq, Eq)]
pub struct Writing {
    layer: LayerId,
    address: u64,
    within: u64,
    sectors: u64,
    /// First block on the device, and their number.
    block: u64,
    blocks: u64,
    sector: u64,
    kind: Way,
}

/// How the range is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Over blocks that are settled.
    Over,
    /// Over blocks of which one at least is in no journal unit yet.
    OverNew,
    /// To new blocks; what each may add to the map.
    Fresh { growth: u64 },
}

impl Writing {
    /// First sector on the device.
    pub fn sector(&self) -> u64 {
        self.sector
    }

    /// Number of sectors.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Checksums that [`Pool::commit`] wants: one for each whole block, in order; 0 if it needs none.
    pub fn checksums(&self) -> u64 {
        if self.kind == Way::Over { 0 } else { self.blocks }
    }
}

/// A flush of which the device's part is still to be done. Give it back with [`Pool::end_flush`].
#[must_use = "the flush is not done before this is given back"]
#[derive(Debug, PartialEq, Eq)]
pub struct Flushing {
    generation: u64,
    /// The mark of its units, if it wrote any.
    mark: Option<u32>,
    last: u32,
}

impl Flushing {
    /// Something was written for it, and not only before it.
    pub fn has_units(&self) -> bool {
        self.mark.is_some()
    }
}

/// What is under way, and what is held for it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    transfers: u32,
    /// Writes over blocks that are in no journal unit yet.
    pub(crate) unsettled: u32,
    pub(crate) items: usize,
    pub(crate) growth: u64,
}

impl<D: BlockDevice> Store<'_, D> {
    /// Fails while a transfer is under way (T1).
    pub(crate) fn check_idle(&mut self) -> Outcome<()> {
        match self.held.transfers {
            0 => Ok(()),
            transfers => Err(self.stop(Error::Busy { transfers })),
        }
    }

    /// A write to blocks that the volume owns and need not move.
    fn prepare_over(&mut self, head: &Head, sector: u64, count: u64, block: u64) -> Outcome<Writing> {
        let (address, within) = (sector / self.spb, sector % self.spb);
        let blocks = self.run_over(head, address, block, self.spb.ceil(within + count))?;
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
    fn prepare_fresh(&mut self, head: &Head, sector: u64, count: u64) -> Outcome<Option<Writing>> {
        let address = sector / self.spb;
        let growth = if head.is_guaranteed() { 0 } else { u64::from(head.height) };
        let first = Demand { blocks: 1 + u64::from(head.height), items: 1, ..Demand::default() };
        if !self.fits(&first) {
            return Ok(None);
        }
        let most = self.run_fresh(head, address, count / self.spb)?;
        let (block, blocks) = self.allocate(most)?;
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

    fn resolve(&mut self, layer: LayerId, sector: u64, count: u64) -> Outcome<Option<Reading>> {
        let head = self.head(layer)?;
        self.check_range(&head, sector, count)?;
        let (address, within) = (sector / self.spb, sector % self.spb);
        let run = self.run(&head, address, self.spb.ceil(within + count))?;
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

    fn prepare(&mut self, volume: LayerId, sector: u64, count: u64) -> Outcome<Option<Writing>> {
        let head = self.writable_head(volume)?;
        self.check_range(&head, sector, count)?;
        if count == 0 {
            return Ok(None);
        }
        self.leave_fresh()?;
        let head = self.head(volume)?;
        let writing = match self.place(&head, sector / self.spb)? {
            Place::Over(block) => Some(self.prepare_over(&head, sector, count, block)?),
            Place::Fresh { .. } if sector % self.spb == 0 && count >= self.spb.get() => {
                self.prepare_fresh(&head, sector, count)?
            }
            Place::Fresh { .. } => None,
        };
        self.held.transfers += u32::from(writing.is_some());
        self.stats.writes += u64::from(writing.is_some());
        Ok(writing)
    }

    fn commit_transfer(&mut self, writing: &Writing, sums: &[u32]) -> Outcome<()> {
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
        let head = self.writable_head(writing.layer)?;
        for ((address, block), crc) in (writing.address..).zip(writing.block..).zip(sums) {
            self.note_block(&head, address, block, *crc, growth)?;
        }
        Ok(())
    }

    /// The write is under way no more; nothing is held for it.
    fn settle_transfer(&mut self, writing: &Writing) {
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
    fn rewritten_apart(&mut self, writing: &Writing, sums: Option<&[u32]>) {
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
    pub(crate) fn begin_flush(&mut self) -> Outcome<Option<Flushing>> {
        self.writable()?;
        if self.fresh {
            return self.checkpoint().map(|()| None);
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
            return self.checkpoint().map(|()| None);
        }
        if self.held.unsettled > 0 {
            return Err(self.stop(Error::Busy { transfers: self.held.unsettled }));
        }
        self.write_group(units, unit_size)?;
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
    pub fn resolve(&mut self, layer: LayerId, sector: u64, count: u64) -> Result<Option<Reading>, D> {
        let planned = self.store.resolve(layer, sector, count);
        self.store.answer(planned)
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
    pub fn prepare(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<Option<Writing>, D> {
        let planned = self.store.prepare(volume, sector, count);
        self.store.answer(planned)
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
    pub fn commit(&mut self, writing: Writing, sums: &[u32]) -> Result<(), D> {
        let done = self.store.commit_transfer(&writing, sums);
        self.store.answer(done)
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
    pub fn begin_flush(&mut self) -> Result<Option<Flushing>, D> {
        if self.store.read_only {
            return Ok(None);
        }
        let begun = self.store.begin_flush();
        self.store.answer(begun)
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

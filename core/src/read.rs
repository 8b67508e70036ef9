//! Reading: volumes, snapshots and attachments, from the device, from nothing, or from the base.

use crate::{
    bytes::{copy, index, split, wide},
    device::BlockDevice,
    error::{Error, Object},
    format::Entry,
    locate::Head,
    locate::Run,
    pool::{Pool, Result},
    store::{Outcome, Store},
    types::{Extent, ExtentKind, LayerId, LayerKind},
};

#[cfg(feature = "async")]
#[path = "asynch/read.rs"]
pub(crate) mod asynch;

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// Fills `buffer` with the sectors of a layer from `sector` on.
    ///
    /// The number of device operations does not depend on how many snapshots there are: one read for each physically
    /// contiguous run, and at most one for each level of the map that is not in memory.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::NoSuchLayer`], [`Error::Corrupt`]; `buffer` is then undefined.
    ///
    /// # Power loss
    /// Changes nothing.
    pub fn read(&mut self, layer: LayerId, sector: u64, buffer: &mut [u8]) -> Result<(), D> {
        let done = self.read_sectors(layer, sector, buffer);
        self.store.answer(done)
    }

    fn read_sectors(&mut self, layer: LayerId, sector: u64, buffer: &mut [u8]) -> Outcome<()> {
        let head = self.store.head(layer)?;
        let count = self.store.sectors_in(buffer, head.sectors)?;
        self.store.check_range(&head, sector, count)?;
        let spb = self.store.spb;
        let mut done = 0;
        while done < count {
            let at = sector + done;
            let (address, within) = (at / spb, at % spb);
            let left = count - done;
            let run = self.store.run(&head, address, spb.ceil(within + left))?;
            let sectors = (run.count * spb - within).min(left);
            let range = self.store.bytes_of(done)..self.store.bytes_of(done + sectors);
            let part = buffer.get_mut(range).unwrap_or(&mut []);
            self.read_run(&head, &run, at, part)?;
            done += sectors;
        }
        Ok(())
    }

    /// Reads a part of one run; `sector` is where it starts in the layer.
    fn read_run(&mut self, head: &Head, run: &Run, sector: u64, buffer: &mut [u8]) -> Outcome<()> {
        if run.entry.is_empty() && self.store.base_sectors(head) > sector {
            return self.read_base(sector, buffer);
        }
        if !run.entry.is_block() {
            buffer.fill(0);
            return Ok(());
        }
        let spb = self.store.spb;
        if head.has_integrity() || !self.store.is_aligned(buffer) {
            return self.read_blocks(head, sector, buffer);
        }
        self.store.device_read(run.entry.block * spb + sector % spb, buffer)
    }

    /// Block by block through the scratch buffer: with a checksum to verify, or for memory that the device cannot take.
    fn read_blocks(&mut self, head: &Head, sector: u64, buffer: &mut [u8]) -> Outcome<()> {
        let store = &mut self.store;
        let (spb, size) = (store.spb, store.sector_size);
        let total = wide(buffer.len() / size.max(1));
        let mut done = 0;
        while done < total {
            let (address, within) = ((sector + done) / spb, (sector + done) % spb);
            let sectors = (spb.get() - within).min(total - done);
            let (entry, _) = store.effective(head, address)?;
            store.read_scratch(entry.block)?;
            if head.has_integrity() && (store.checksum)(0, store.scratch) != entry.crc {
                return Err(store.damaged(Object::Data, entry.block));
            }
            let from = store.scratch.get(index(within) * size..index(within + sectors) * size).unwrap_or(&[]);
            if let Some(to) = buffer.get_mut(index(done) * size..index(done + sectors) * size) {
                copy(to, from);
            }
            done += sectors;
        }
        Ok(())
    }

    /// The base device's content, zeros behind its end; through the scratch buffer for memory that a device cannot take.
    pub(crate) fn read_base(&mut self, sector: u64, buffer: &mut [u8]) -> Outcome<()> {
        let there = self.store.durable().base().sectors.saturating_sub(sector);
        let bytes = self.store.bytes_of(there).min(buffer.len());
        let (from_base, rest) = split(buffer, bytes);
        rest.fill(0);
        if from_base.is_empty() {
            return Ok(());
        }
        if self.store.is_aligned(from_base) {
            return self.base.read(sector, from_base).map_err(|error| self.store.unread(error));
        }
        let spb = self.store.spb;
        for (first, part) in
            (sector..).step_by(index(spb.get()).max(1)).zip(from_base.chunks_mut(self.store.block_size()))
        {
            let from = self.store.scratch.get_mut(..part.len()).unwrap_or(&mut []);
            if let Err(error) = self.base.read(first, from) {
                return Err(self.store.unread(error));
            }
            copy(part, from);
        }
        Ok(())
    }

    /// The content of a whole block, into the scratch buffer.
    pub(crate) fn compose(&mut self, head: &Head, address: u64, entry: &Entry) -> Outcome<()> {
        if entry.is_block() {
            self.store.read_scratch(entry.block)?;
            if head.has_integrity() && (self.store.checksum)(0, self.store.scratch) != entry.crc {
                return Err(self.store.damaged(Object::Data, entry.block));
            }
            return Ok(());
        }
        self.store.scratch.fill(0);
        let first = address * self.store.spb;
        let there = self.store.base_sectors(head).saturating_sub(first);
        if entry.is_empty() && there > 0 {
            let bytes = self.store.bytes_of(there).min(self.store.scratch.len());
            let part = self.store.scratch.get_mut(..bytes).unwrap_or(&mut []);
            self.base.read(first, part).map_err(|error| self.store.unread(error))?;
        }
        Ok(())
    }

    /// The extent of a layer that begins at `sector`: what is there, and how far.
    ///
    /// Neighbouring extents may be of the same kind.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] at or behind the layer's end.
    ///
    /// # Power loss
    /// Changes nothing.
    pub fn extent(&mut self, layer: LayerId, sector: u64) -> Result<Extent, D> {
        let found = self.store.extent(layer, sector);
        self.store.answer(found)
    }
}

impl<D: BlockDevice> Store<'_, D> {
    /// Sectors of the base device that show through a layer: none through an attachment.
    pub(crate) fn base_sectors(&self, head: &Head) -> u64 {
        if head.kind == LayerKind::Attachment { 0 } else { self.durable().base().sectors }
    }

    /// The extent of a layer that begins at `sector`.
    pub(crate) fn extent(&mut self, layer: LayerId, sector: u64) -> Outcome<Extent> {
        let head = self.head(layer)?;
        self.check_range(&head, sector, 1)?;
        let spb = self.spb;
        let (address, within) = (sector / spb, sector % spb);
        let run = self.run(&head, address, spb.ceil(head.sectors) - address)?;
        let count = (run.count * spb - within).min(head.sectors - sector);
        let kind = if run.entry.is_block() {
            ExtentKind::Data { sector: run.entry.block * spb + within }
        } else if run.entry.is_empty() {
            ExtentKind::Empty
        } else {
            ExtentKind::Zero
        };
        Ok(Extent { sector, count, kind })
    }

    /// The range lies inside the layer.
    pub(crate) fn check_range(&mut self, head: &Head, sector: u64, count: u64) -> Outcome<()> {
        match sector.checked_add(count) {
            Some(end) if end <= head.sectors => Ok(()),
            _ => Err(self.stop(Error::OutOfRange { sectors: head.sectors })),
        }
    }
}

//! The pool: the one type that everything is asked of.

use crate::{
    bytes::{Power, index, padding, wide},
    checksum::Checksum,
    device::{BlockDevice, NoBase},
    error::Error,
    format::BaseIdentity,
    mkfs::FormatOptions,
    mount::{MountOptions, identify},
    newest::divide,
    store::{Outcome, Stop, Store},
    types::{Merge, Space, Stats},
};

#[cfg(feature = "async")]
#[path = "asynch/pool.rs"]
pub(crate) mod asynch;

/// A mounted pool: a device, a workspace in memory, and perhaps a read-only base device.
///
/// There is nothing to be done on `Drop`: what was flushed is durable, what was not is treated as by a power loss.
/// [`unmount`](Self::unmount) ends a mount in order.
pub struct Pool<'w, D: BlockDevice, B = NoBase<<D as BlockDevice>::Error>> {
    pub(crate) store: Store<'w, D>,
    pub(crate) base: B,
}

/// The result of a call: the error carries the device's.
pub(crate) type Result<T, D> = core::result::Result<T, Error<<D as BlockDevice>::Error>>;

impl<'w, D: BlockDevice> Pool<'w, D> {
    /// Makes an empty pool on the device.
    ///
    /// # Errors
    /// [`Error::HoldsPool`] unless forced; [`Error::DeviceTooSmall`], also if the device turns out to have less than it says;
    /// [`Error::BadParameter`], [`Error::WorkspaceTooSmall`].
    ///
    /// # Power loss
    /// The device holds no pool, or the whole empty one; of an older one that was to be formatted over, it may hold what is left.
    pub fn format(device: D, workspace: &'w mut [u8], options: &FormatOptions) -> Result<(), D> {
        Store::format(device, workspace, options, BaseIdentity::default())
    }

    /// Opens the pool on the device. Pass `&mut device` to keep the device when this fails.
    ///
    /// # Errors
    /// [`Error::NotAPool`], [`Error::Corrupt`], [`Error::UnsupportedVersion`], [`Error::UnsupportedFeatures`],
    /// [`Error::WorkspaceTooSmall`], [`Error::DeviceTooSmall`], [`Error::WrongBase`] if the pool needs a base device.
    ///
    /// # Power loss
    /// Nothing is written: as before.
    pub fn mount(mut device: D, workspace: &'w mut [u8], options: &MountOptions) -> Result<Self, D> {
        let (workspace, saved) = divide(workspace, &device.geometry())?;
        let alignment = Store::look(&mut device, workspace, saved, options, 1)?;
        let store = Store::new(device, workspace, saved, options.checksum, alignment);
        Self::recovered(Self { store, base: NoBase::new() }, options, BaseIdentity::default())
    }
}

impl<'w, D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'w, D, B> {
    /// Makes an empty pool whose volumes show the base device wherever nothing was written.
    ///
    /// # Errors
    /// As [`format`](Pool::format).
    ///
    /// # Power loss
    /// As [`format`](Pool::format).
    pub fn format_on_base(device: D, mut base: B, workspace: &'w mut [u8], options: &FormatOptions) -> Result<(), D> {
        let identity = identify(&mut base, workspace, device.geometry().sector_size, options.checksum)?;
        Store::format(device, workspace, options, identity)
    }

    /// Opens a pool together with its base device.
    ///
    /// # Errors
    /// As [`mount`](Pool::mount); [`Error::WrongBase`] if this is not the base that the pool was made on.
    ///
    /// # Power loss
    /// Nothing is written: as before.
    pub fn mount_on_base(
        mut device: D,
        mut base: B,
        workspace: &'w mut [u8],
        options: &MountOptions,
    ) -> Result<Self, D> {
        let identity = identify(&mut base, workspace, device.geometry().sector_size, options.checksum)?;
        let (workspace, saved) = divide(workspace, &device.geometry())?;
        let alignment = Store::look(&mut device, workspace, saved, options, base.geometry().alignment)?;
        let store = Store::new(device, workspace, saved, options.checksum, alignment);
        Self::recovered(Self { store, base }, options, identity)
    }

    /// Takes in the journal of the pool, which is the one on this base.
    // Made where it is returned, so that it is on the stack once.
    fn recovered(pool: Self, options: &MountOptions, base: BaseIdentity) -> Result<Self, D> {
        let mut mounted = Ok(pool);
        if let Ok(pool) = &mut mounted
            && let Err(error) = pool.store.take_in(options, base)
        {
            mounted = Err(error);
        }
        mounted
    }

    /// Ends the mount: whatever is pending goes into the trees, so that the next mount finds an empty journal.
    ///
    /// # Errors
    /// The device's; the pool is then as after a power loss. [`Error::Poisoned`] if that has happened before: what was not
    /// flushed may be lost, and [`abandon`](Self::abandon) gives the device back.
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    pub fn unmount(mut self) -> Result<D, D> {
        let done = self.wind_up();
        self.store.answer(done)?;
        Ok(self.store.device)
    }

    fn wind_up(&mut self) -> Outcome<()> {
        if self.store.poisoned {
            return Err(self.store.stop(Error::Poisoned));
        }
        self.store.check_idle()?;
        if !self.store.read_only && (!self.store.fresh || self.store.pending.len() > 0) {
            if self.store.pending.len() > 0 {
                self.store.checkpoint()?;
            } else {
                self.store.flush()?;
            }
        }
        Ok(())
    }

    /// Gives the device back as it is: what was not flushed may be lost.
    pub fn abandon(self) -> D {
        self.store.device
    }

    /// The device below, to look at.
    pub fn device(&self) -> &D {
        &self.store.device
    }

    /// The device below. Whoever writes to it destroys the pool.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.store.device
    }

    /// Makes every write so far durable.
    ///
    /// Costs one device flush; with new blocks one journal unit (for as many records as fit) and one device flush; two flushes
    /// when the journal is full.
    ///
    /// # Errors
    /// The device's; the pool is then poisoned.
    ///
    /// # Power loss
    /// Every sector holds what it held after the last flush or something written to it since.
    pub fn flush(&mut self) -> Result<(), D> {
        if self.store.read_only {
            return Ok(());
        }
        let done = self.store.flush();
        self.store.answer(done)
    }

    /// Brings what is pending into the trees and empties the journal.
    ///
    /// # Errors
    /// The device's; the pool is then poisoned.
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    pub fn checkpoint(&mut self) -> Result<(), D> {
        let done = self.store.checkpoint();
        self.store.answer(done)
    }

    /// The pool's space at this moment. Needs no device operation.
    pub fn space(&self) -> Space {
        let store = &self.store;
        let pending = (0..store.pending.len()).filter_map(|i| store.pending.get(i));
        let used = wide(pending.filter(|item| item.record.entry.is_block()).count());
        Space {
            total: store.layout.total,
            free: store.durable().free().saturating_sub(used),
            guaranteed: store.durable().guaranteed().saturating_sub(store.reserve_used),
            reserve: store.reserve(),
            reclaimable: store.durable().reclaimable(),
        }
    }

    /// Counts of what was done since the mount.
    pub fn stats(&self) -> Stats {
        self.store.stats
    }

    /// The checksum in use.
    pub fn checksum(&self) -> Checksum {
        self.store.checksum
    }

    /// Bytes of metadata that the workspace can hold in memory.
    pub fn cache_size(&self) -> u64 {
        self.store.cache.capacity()
    }

    /// Works off deleted layers until nothing is left: [`merge_step`](Self::merge_step) in a loop.
    ///
    /// # Errors
    /// As [`merge_step`](Self::merge_step).
    ///
    /// # Power loss
    /// As [`merge_step`](Self::merge_step).
    pub fn merge_all(&mut self, budget: u32) -> Result<(), D> {
        while self.merge_step(budget)? != Merge::Idle {}
        Ok(())
    }

    /// Takes in a device that has grown; the new number of blocks.
    ///
    /// # Errors
    /// [`Error::DeviceTooSmall`] if the device turns out to have less than it says; the device's.
    ///
    /// # Power loss
    /// The pool has the old size or the new one.
    pub fn grow(&mut self) -> Result<u64, D> {
        let total = self.store.grow();
        self.store.answer(total)
    }

    /// Tells the device which blocks are free, from a block on, for about `budget` device operations; the block to go on from.
    ///
    /// # Errors
    /// The device's.
    ///
    /// # Power loss
    /// Changes nothing that a volume can see.
    pub fn discard_free(&mut self, from: u64, budget: u32) -> Result<Option<u64>, D> {
        let next = self.store.discard_free(from, budget);
        self.store.answer(next)
    }
}

impl<D: BlockDevice> Store<'_, D> {
    fn grow(&mut self) -> Outcome<u64> {
        self.begin()?;
        let result = self.grow_body();
        let old = self.layout;
        if let Ok(total) = result {
            self.layout.total = total;
        }
        let result = self.end(result);
        match result {
            Ok(total) if total > old.total => {
                crate::logging::event!(info, "grown from {} to {} blocks", old.total, total);
            }
            Ok(_) => {}
            Err(_) => self.layout = old,
        }
        result
    }

    /// The larger total; the space map's new nodes need no writing, its entries' counts do.
    fn grow_body(&mut self) -> Outcome<u64> {
        let old = self.layout;
        let sectors = self.device.geometry().sectors;
        let layout = crate::format::Layout { total: (sectors / self.spb).min(1 << 48), ..old };
        let layout = crate::format::Layout { total: layout.usable_total(), ..layout };
        if layout.total <= old.total {
            return Ok(old.total);
        }
        if !self.check_end(old.total - 1, layout.total)? {
            return Err(Stop);
        }
        self.space_grow(&layout)?;
        self.sb.total = layout.total;
        Ok(layout.total)
    }

    fn discard_free(&mut self, from: u64, budget: u32) -> Outcome<Option<u64>> {
        self.writable()?;
        if !self.device.geometry().discard {
            return Ok(None);
        }
        // Nothing given out in this generation may be discarded, and nothing discarded given out before a flush.
        self.checkpoint()?;
        self.window.rewind(0, 0);
        let mut at = from;
        let mut left = budget.max(1);
        while left > 0 {
            let Some((first, count)) = self.free_run(at, self.layout.total)? else {
                return self.flush().map(|()| None);
            };
            self.device.discard(first * self.spb, count * self.spb).map_err(|error| self.unread(error))?;
            at = first + count;
            left -= 1;
        }
        self.flush()?;
        Ok(Some(at))
    }

    /// The buffer lies as the device wants it.
    pub(crate) fn is_aligned(&self, buffer: &[u8]) -> bool {
        padding(buffer, self.alignment) == 0
    }

    /// Sectors in a buffer; an error if it is not a whole number of them.
    pub(crate) fn sectors_in(&mut self, buffer: &[u8], layer_sectors: u64) -> Outcome<u64> {
        let (bytes, sector) = (wide(buffer.len()), self.sector());
        if bytes % sector != 0 {
            return Err(self.stop(Error::OutOfRange { sectors: layer_sectors }));
        }
        Ok(bytes / sector)
    }

    /// The size of a sector, to divide by.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn sector(&self) -> Power {
        Power::of_two(self.sector_size.trailing_zeros())
    }

    /// Sectors of a physical unit.
    pub(crate) fn unit(&self) -> Power {
        Power::of_two(u32::from(self.durable().unit_shift().saturating_sub(self.durable().sector_shift())))
    }

    /// Bytes of so many sectors.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn bytes_of(&self, sectors: u64) -> usize {
        index(sectors).saturating_mul(self.sector_size)
    }
}

//! Formatting: making an empty pool.
//!
//! Order of writes: every superblock that is found is wiped, flush, the journal is wiped, flush, then a checkpoint of the empty pool (M5). A
//! crash in between leaves no pool; the journal of an old one goes only when no superblock leads to it.
//!
//! A device may have less than it says. One that fails past its end is found by reading, before anything is written; one
//! that begins again from the start, as forged memory cards do, by looking for the new superblock where a power of two would bring it back.

use crate::{
    bytes::{Power, array},
    checksum::{Checksum, crc32c},
    device::{BlockDevice, Geometry},
    error::Error,
    format::{
        BaseIdentity, Entry, GROUP_START, Layout, MAGIC, MergeState, SUPERBLOCKS, SpaceEntry, Spares, State,
        Superblock, SuperblockView, VERSION,
    },
    mount::{alignment_within, needed_for},
    newest::{Saved, read_superblocks},
    pool::Result,
    store::{Outcome, Stop, Store},
};

#[cfg(feature = "async")]
#[path = "asynch/mkfs.rs"]
pub(crate) mod asynch;

/// How a pool is made.
#[derive(Debug, Clone, Copy)]
pub struct FormatOptions {
    /// Bytes in a block: a power of two from 512 to 65,536, at least the device's physical unit.
    pub block_size: u32,
    /// The pool's identifier; never the same for two pools.
    pub uuid: [u8; 16],
    /// Records that the pending table can hold, at least 2. More records mean fewer checkpoints and a larger workspace for
    /// everyone who mounts the pool.
    pub pending: u32,
    /// Units of the journal, at least 3: flushes between two checkpoints.
    pub journal_units: u32,
    /// Format although the device holds a pool.
    pub force: bool,
    /// CRC-32C, in hardware where there is any.
    pub checksum: Checksum,
}

impl FormatOptions {
    /// Sizes that suit the block size: small blocks are taken for small machines.
    pub const fn new(block_size: u32, uuid: [u8; 16]) -> Self {
        let (pending, journal_units) = match block_size {
            0..=1023 => (12, 16),
            1024..=2047 => (48, 32),
            2048..=4095 => (96, 64),
            _ => (192, 128),
        };
        Self { block_size, uuid, pending, journal_units, force: false, checksum: crc32c }
    }
}

impl<'w, D: BlockDevice> Store<'w, D> {
    /// Makes an empty pool on the device.
    pub(crate) fn format(
        mut device: D,
        workspace: &'w mut [u8],
        options: &FormatOptions,
        base: BaseIdentity,
    ) -> Result<(), D> {
        let geometry = device.geometry();
        if geometry.read_only {
            return Err(Error::ReadOnly);
        }
        let Some((workspace, saved)) = workspace.split_last_chunk_mut() else {
            return Err(too_small(&geometry, options, base));
        };
        plan(&geometry, options, base, saved)?;
        let needed = needed_for(SuperblockView(saved));
        if workspace.len() + Superblock::FIELDS < needed {
            return Err(Error::WorkspaceTooSmall { needed });
        }
        if !options.force {
            match read_superblocks(&mut device, workspace, saved, options.checksum) {
                Err(Error::NotAPool) => {}
                Err(error @ (Error::Device(_) | Error::BadParameter(_) | Error::WorkspaceTooSmall { .. })) => {
                    return Err(error);
                }
                _ => return Err(Error::HoldsPool),
            }
        }
        let alignment = alignment_within(&geometry, 1, workspace, SuperblockView(saved))?;
        let mut store = Self::new(device, workspace, saved, options.checksum, alignment);
        let done = store.make_empty();
        store.answer(done)
    }

    #[inline(never)]
    fn make_empty(&mut self) -> Outcome<()> {
        self.check_end(0, self.layout.total)?;
        self.wipe()?;
        self.fresh = false;
        self.window.restart(0);
        self.checkpoint()?;
        let Some(blocks) = self.turn() else { return Ok(()) };
        self.scratch.fill(0);
        self.write_scratch(0)?;
        self.write_scratch(1)?;
        self.device.flush().map_err(|error| self.unread(error))?;
        Err(self.shorter(self.layout.total, blocks))
    }

    /// The device has as many blocks as it says: it is refused if a good part of them, up to the last, cannot be read. A block of which it
    /// is known that it is there must be readable; some devices can only be read where they were written before. False if the last block
    /// cannot be read for another reason, which is written down.
    pub(crate) fn check_end(&mut self, known: u64, total: u64) -> Outcome<bool> {
        let last = total - 1;
        if self.can_read(last) {
            return Ok(true);
        }
        if !self.can_read(known) {
            return Ok(false);
        }
        let (mut there, mut end) = (known, last);
        while end - there > 1 {
            let middle = there + (end - there) / 2;
            *(if self.can_read(middle) { &mut there } else { &mut end }) = middle;
        }
        // Bad blocks at the end do not make it shorter, nor do some that the search came upon.
        let missing = total - end;
        let mut short = missing * 32 >= total;
        for part in 1..4 {
            short = short && !self.can_read(end + missing / 4 * part);
        }
        if short { Err(self.shorter(total, end)) } else { Ok(false) }
    }

    fn can_read(&mut self, block: u64) -> bool {
        self.read_scratch(block).is_ok()
    }

    fn shorter(&mut self, total: u64, blocks: u64) -> Stop {
        self.stop(Error::DeviceTooSmall { needed: total * self.spb, actual: blocks * self.spb })
    }

    /// After so many blocks the device begins again with its first one: there is this generation's superblock.
    fn turn(&mut self) -> Option<u64> {
        let first = SUPERBLOCKS.next_power_of_two().trailing_zeros();
        for shift in first..64 - self.layout.total.leading_zeros() {
            let blocks = 1 << shift;
            if blocks >= self.layout.total {
                break;
            }
            // That of an even generation, and the second is one, is in the first block.
            if !self.can_read(blocks) {
                continue;
            }
            let found =
                Superblock::look(self.scratch, self.checksum).is_some_and(|(found, _)| found == self.sb.generation);
            if found && array(self.scratch, 16) == self.durable().uuid() {
                return Some(blocks);
            }
        }
        None
    }

    /// Makes sure that nothing of an older pool is left in any slot or unit (M5).
    fn wipe(&mut self) -> Outcome<()> {
        // Slots of pools with other block sizes lie at other places; what is there may be the data of a pool that is still whole.
        for shift in 9..=16 {
            for slot in 0..SUPERBLOCKS {
                let sector = (slot << shift) / self.sector();
                if (slot << shift) % self.sector() != 0 || sector + 1 > self.device.geometry().sectors {
                    continue;
                }
                let bytes = self.scratch.get_mut(..self.sector_size).unwrap_or(&mut []);
                self.stats.reads += 1;
                if self.device.read(sector, bytes).is_ok() && !bytes.starts_with(MAGIC) {
                    continue;
                }
                bytes.fill(0);
                self.stats.writes += 1;
                self.device.write(sector, bytes).map_err(|error| self.unread(error))?;
            }
        }
        self.scratch.fill(0);
        // The journal of an old pool goes only when no superblock can lead to it any more.
        self.device.flush().map_err(|error| self.unread(error))?;
        for block in 0..GROUP_START + self.layout.journal_blocks {
            self.write_scratch(block)?;
        }
        self.device.flush().map_err(|error| self.unread(error))
    }
}

/// What to say of a workspace that has not even room for a superblock.
#[cold]
#[inline(never)]
fn too_small<E>(geometry: &Geometry, options: &FormatOptions, base: BaseIdentity) -> Error<E> {
    let saved = &mut [0; Superblock::FIELDS];
    match plan(geometry, options, base, saved) {
        Ok(()) => Error::WorkspaceTooSmall { needed: needed_for(SuperblockView(saved)) },
        Err(error) => error,
    }
}

/// The fields of the superblock of an empty pool.
#[inline(never)]
fn plan<E>(
    geometry: &Geometry,
    options: &FormatOptions,
    base: BaseIdentity,
    saved: &mut Saved,
) -> core::result::Result<(), Error<E>> {
    let block_size = options.block_size;
    if !block_size.is_power_of_two() || !(512..=65_536).contains(&block_size) {
        return Err(Error::BadParameter("the block size must be a power of two from 512 to 65536"));
    }
    let unit = geometry.physical_size.max(geometry.sector_size).max(512);
    if !geometry.sector_size.is_power_of_two()
        || !unit.is_power_of_two()
        || geometry.sector_size < 512
        || unit > block_size
    {
        return Err(Error::BadParameter("a block must be at least one sector and one physical unit of the device"));
    }
    if options.pending < 2 || options.journal_units < 3 || options.pending > 1 << 20 || options.journal_units > 1 << 20
    {
        return Err(Error::BadParameter("at least 2 pending records and 3 journal units, at most 1048576 of each"));
    }
    let journal_blocks =
        Power::of_two(block_size.trailing_zeros()).ceil(u64::from(options.journal_units) * u64::from(unit));
    let spb = Power::of_two(block_size.trailing_zeros() - geometry.sector_size.trailing_zeros());
    let total = (geometry.sectors / spb).min(1 << 48);
    let layout = Layout { block_shift: block_size.trailing_zeros(), total, journal_blocks };
    let fixed = layout.fixed_in_group(0);
    if fixed >= 1 << layout.group_shift() {
        return Err(Error::BadParameter("the journal does not fit into the first group of blocks"));
    }
    let total = layout.usable_total();
    let layout = Layout { total, ..layout };
    let mut sb = Superblock {
        version: VERSION,
        uuid: options.uuid,
        compatible: 0,
        read_only_compatible: 0,
        incompatible: 0,
        block_shift: shift_of(block_size),
        sector_shift: shift_of(geometry.sector_size),
        unit_shift: shift_of(unit),
        journal_units: options.journal_units,
        pending: options.pending,
        base,
        state: State {
            generation: 1,
            total,
            epoch: 1,
            next_layer: 1,
            space: SpaceEntry::default(),
            catalog: Entry::EMPTY,
            catalog_height: 0,
            max_height: 1,
            free: 0,
            guaranteed: 0,
            reclaimable: 0,
            cursor: 0,
            merge: MergeState::default(),
            hint: 0,
            layers: 0,
            deleted: 0,
            staged: 0,
        },
        spares: Spares::default(),
    };
    let least = fixed + u64::from(options.pending) * 3 + 80;
    if total < least {
        return Err(Error::DeviceTooSmall { needed: least * spb, actual: geometry.sectors });
    }
    sb.free = layout.free_when_unwritten(layout.levels(), 0);
    sb.space.free = sb.free;
    sb.put(saved);
    Ok(())
}

fn shift_of(size: u32) -> u8 {
    u8::try_from(size.trailing_zeros()).unwrap_or(0)
}

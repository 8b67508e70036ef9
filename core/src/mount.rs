//! Mounting.
//!
//! Mount: one device flush (what a killed process had written becomes durable, M1), then reads only: the superblocks, then the
//! journal and the blocks that its unproven tail names (`recover.rs`). Nothing is written; the first change is preceded by a
//! checkpoint (M4). A crash during or after a mount changes nothing.

use crate::{
    bytes::{Power, index, padding, split, wide},
    cache::Cache,
    checksum::{Checksum, crc32c},
    device::{BlockDevice, Geometry},
    error::Error,
    format::{BaseIdentity, Spares, Superblock, SuperblockView, height_for},
    locate::Heads,
    logging::event,
    mkfs::FormatOptions,
    newest::{Saved, alignment_of, find_superblock, sector_of, within_block},
    pending::{PENDING_ITEM, Pending},
    pool::Result,
    store::Store,
    types::Stats,
    window::Window,
};

#[cfg(feature = "async")]
#[path = "asynch/mount.rs"]
pub(crate) mod asynch;

/// How a pool is opened.
#[derive(Debug, Clone, Copy)]
pub struct MountOptions {
    /// Refuse all changes.
    pub read_only: bool,
    /// CRC-32C, in hardware where there is any.
    pub checksum: Checksum,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self { read_only: false, checksum: crc32c }
    }
}

/// What the size of a workspace depends on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Blocks of the pool.
    pub pool_blocks: u64,
    /// Blocks of the largest volume.
    pub volume_blocks: u64,
    /// The highest layer number that will be given out.
    pub layers: u32,
    /// Records of the pending table, as the pool was formatted.
    pub pending: u32,
}

impl Limits {
    /// Volumes as large as the pool, ten thousand layers, the pending table that [`FormatOptions::new`] chooses.
    pub const fn new(block_size: u32, pool_blocks: u64) -> Self {
        let pending = FormatOptions::new(block_size, [0; 16]).pending;
        Self { pool_blocks, volume_blocks: pool_blocks, layers: 10_000, pending }
    }
}

/// Bytes of the smallest workspace for a pool within these limits; 0 for a block size that no pool can have. More makes the pool faster.
pub const fn workspace_size(block_size: u32, limits: Limits) -> usize {
    if !block_size.is_power_of_two() || block_size < 512 || block_size > 65_536 {
        return 0;
    }
    let shift = block_size.trailing_zeros();
    let fan = shift - 4;
    let map = levels(limits.volume_blocks, fan);
    let groups = (limits.pool_blocks >> (shift + 3)) + (limits.pool_blocks & ((1 << (shift + 3)) - 1) != 0) as u64;
    let space = levels(groups, fan) + 1;
    let catalog = levels((((limits.layers as u64 + 1) * 1024) >> shift) + 1, fan) + 1;
    bytes_for(block_size as usize, limits.pending as usize, if map == 0 { 1 } else { map }, space, catalog)
}

/// Levels of nodes above `items` blocks; none for a single one.
const fn levels(items: u64, fan: u32) -> usize {
    let mut levels = 0;
    while levels < 12 && (items.saturating_sub(1) >> if fan * levels > 63 { 63 } else { fan * levels }) > 0 {
        levels += 1;
    }
    levels as usize
}

/// Bytes of a workspace, beside a superblock's fields, for what has the same size in all pools.
const FIXED: usize = Spares::MEMORY + Heads::MEMORY + Window::MEMORY;

/// A path of each tree has to be in memory at once, two maps' in a merge; one block more is scratch.
const fn bytes_for(block_size: usize, pending: usize, map: usize, space: usize, catalog: usize) -> usize {
    let slots = map + catalog + space + 2;
    pending * PENDING_ITEM + Superblock::FIELDS + FIXED + block_size + Cache::memory_for(slots, block_size)
}

impl<'w, D: BlockDevice> Store<'w, D> {
    /// Divides the workspace and sets up a store that has read nothing; what the buffers are aligned to has been
    /// [looked at](alignment_within).
    // A store is large: whoever needs one has it made where it stays.
    #[inline(never)]
    pub(crate) fn new(
        device: D,
        workspace: &'w mut [u8],
        saved: &'w mut Saved,
        checksum: Checksum,
        alignment: usize,
    ) -> Self {
        let sb = SuperblockView(saved);
        let block_size = 1usize << sb.block_shift().min(16);
        let table = index(u64::from(sb.pending())) * PENDING_ITEM;
        let skip = padding(workspace, alignment);
        let (_, workspace) = split(workspace, skip);
        let (scratch, workspace) = split(workspace, block_size);
        let cache = workspace.len().saturating_sub(table + FIXED);
        let (cache, rest) = split(workspace, cache);
        let (rest, table) = split(rest, FIXED);
        let (spare, rest) = split(rest, Spares::MEMORY);
        let mut spares = Spares::new(spare);
        spares.take(saved);
        let (heads, extents) = split(rest, Heads::MEMORY);
        let layout = sb.layout();
        Self {
            device,
            cache: Cache::new(cache, block_size),
            pending: Pending::new(table),
            scratch,
            window: Window::new(extents),
            checksum,
            layout,
            spb: Power::of_two(u32::from(sb.block_shift().saturating_sub(sb.sector_shift()))),
            sector_size: 1 << sb.sector_shift(),
            alignment,
            building: false,
            sequence: 1,
            flushed: 0,
            proven: 0,
            fresh: true,
            poisoned: false,
            read_only: false,
            mounted: crate::bytes::u32_at(&sb.generation().to_le_bytes(), 0),
            growth: 0,
            reserve_used: 0,
            held: crate::transfer::Held::default(),
            failure: Error::NotAPool,
            #[cfg(feature = "async")]
            entered: None,
            heads: Heads::new(heads),
            began: (0, 0),
            stats: Stats::default(),
            sb: sb.state(),
            spares,
            saved,
        }
    }

    /// Keeps the superblock of the pool on the device, and says what the buffers in the workspace must be aligned to.
    // Apart, so that what it takes on the stack is gone when the store is there.
    #[inline(never)]
    pub(crate) fn look(
        device: &mut D,
        workspace: &mut [u8],
        saved: &mut Saved,
        options: &MountOptions,
        base_alignment: u32,
    ) -> Result<usize, D> {
        find_superblock(device, workspace, saved, options)?;
        alignment_within(&device.geometry(), base_alignment, workspace, SuperblockView(saved))
    }

    /// Takes in the journal of the pool, which is the one on this base.
    #[inline(never)]
    pub(crate) fn take_in(&mut self, options: &MountOptions, base: BaseIdentity) -> Result<(), D> {
        self.stats.flushes = 1;
        self.read_only = options.read_only || self.device.geometry().read_only;
        self.window.restart(self.sb.cursor);
        let recovered = self.recover();
        self.answer(recovered)?;
        event!(
            info,
            "mounted: generation {}, {} records from the journal, {} blocks free, read-only: {}",
            self.sb.generation,
            wide(self.pending.len()),
            self.sb.free,
            self.read_only
        );
        if self.durable().base() == base { Ok(()) } else { Err(Error::WrongBase) }
    }
}

/// What the buffers in a workspace must be aligned to. A base device may want more than the pool's own device does.
pub(crate) fn alignment_within<E>(
    geometry: &Geometry,
    base_alignment: u32,
    workspace: &[u8],
    sb: SuperblockView<'_>,
) -> core::result::Result<usize, Error<E>> {
    let alignment = within_block(alignment_of(geometry)?.max(index(u64::from(base_alignment))), sb)?;
    let needed = needed_for(sb).saturating_add(padding(workspace, alignment));
    if workspace.len() + Superblock::FIELDS < needed { Err(Error::WorkspaceTooSmall { needed }) } else { Ok(alignment) }
}

/// The smallest workspace for this pool as it is.
pub(crate) fn needed_for(view: SuperblockView<'_>) -> usize {
    let shift = u32::from(view.block_shift());
    let sb = view.state();
    let groups = Power::of_two(shift + 3).ceil(sb.total);
    let space = usize::from(height_for(groups, shift - 4)) + 1 - usize::from(groups <= 1);
    let catalog = usize::from(sb.catalog_height) + 1;
    bytes_for(1 << shift, index(u64::from(view.pending())), usize::from(sb.max_height), space, catalog.max(2))
}

/// Sectors of a base device that its fingerprint covers.
const SAMPLES: u64 = 16;

/// Checksum over sampled sectors of a base device: recognises the wrong one, does not prove the right one.
pub(crate) fn identify<B: BlockDevice>(
    base: &mut B,
    buffer: &mut [u8],
    sector_size: u32,
    checksum: Checksum,
) -> Result<BaseIdentity, B> {
    let geometry = base.geometry();
    if geometry.sectors == 0 {
        return Ok(BaseIdentity::default());
    }
    if geometry.sector_size != sector_size {
        return Err(Error::BadParameter("the base device must have sectors of the pool's size"));
    }
    let length = sector_of(&geometry)?;
    let skip = padding(buffer, alignment_of(&geometry)?);
    let buffer = buffer.get_mut(skip..).and_then(|tail| tail.get_mut(..length));
    let needed = length.saturating_add(skip).saturating_add(Superblock::FIELDS);
    let buffer = buffer.ok_or(Error::WorkspaceTooSmall { needed })?;
    let mut fingerprint = 0;
    for sample in 0..SAMPLES {
        let sector = (geometry.sectors - 1) / (SAMPLES - 1) * sample;
        base.read(sector, buffer).map_err(Error::Device)?;
        fingerprint = checksum(fingerprint, buffer);
    }
    Ok(BaseIdentity { sectors: geometry.sectors, fingerprint })
}

//! Mounting.
//!
//! Mount: one device flush (what a killed process had written becomes durable, M1), then reads only: the superblocks, then the
//! journal and the blocks that its unproven tail names (`recover.rs`). Nothing is written; the first change is preceded by a
//! checkpoint (M4). A crash during or after a mount changes nothing.

use core::cmp::Ordering;

use crate::{
    bytes::{Power, copy, index, padding, split, wide},
    cache::Cache,
    checksum::{Checksum, crc32c},
    device::{BlockDevice, Geometry},
    error::{Error, Object},
    format::{
        BaseIdentity, MAGIC, SUPERBLOCK_SIZE, SUPERBLOCKS, Spares, Superblock, SuperblockView, VERSION, height_for,
        height_limit,
    },
    locate::Heads,
    logging::event,
    mkfs::FormatOptions,
    pending::{PENDING_ITEM, Pending},
    pool::Result,
    store::{Store, damaged},
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
        let geometry = device.geometry();
        if !geometry.read_only {
            device.flush().map_err(Error::Device)?;
        }
        read_superblocks(device, workspace, saved, options.checksum)?;
        let sb = SuperblockView(saved);
        check_superblock(sb, &geometry, options.read_only || geometry.read_only)?;
        alignment_within(&geometry, base_alignment, workspace, sb)
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
    let alignment = alignment_of(geometry)?.max(index(u64::from(base_alignment)));
    if alignment > 1usize << sb.block_shift() {
        return Err(Error::BadParameter("a device wants its buffers aligned to more than the size of a block"));
    }
    let needed = needed_for(sb).saturating_add(padding(workspace, alignment));
    if workspace.len() + Superblock::FIELDS < needed { Err(Error::WorkspaceTooSmall { needed }) } else { Ok(alignment) }
}

/// What a device wants of its buffers in memory.
fn alignment_of<E>(geometry: &Geometry) -> core::result::Result<usize, Error<E>> {
    match geometry.alignment.max(1) {
        alignment if alignment.is_power_of_two() => Ok(index(u64::from(alignment))),
        _ => Err(Error::BadParameter("the alignment that a device wants of its buffers must be a power of two")),
    }
}

/// Bytes in a sector, if that is possible.
fn sector_of<E>(geometry: &Geometry) -> core::result::Result<usize, Error<E>> {
    match geometry.sector_size {
        size if size.is_power_of_two() && (512..=65_536).contains(&size) => Ok(index(u64::from(size))),
        _ => Err(Error::BadParameter("the sector size of a device must be a power of two from 512 to 65536")),
    }
}

/// The fields of a superblock in memory, at the end of the workspace.
pub(crate) type Saved = [u8; Superblock::FIELDS];

/// Takes the place for the fields of a superblock off the workspace.
pub(crate) fn divide<'w, E>(
    workspace: &'w mut [u8],
    geometry: &Geometry,
) -> core::result::Result<(&'w mut [u8], &'w mut Saved), Error<E>> {
    // What the pool itself needs is known when its superblock has been read, into memory that is aligned.
    let sector = index(u64::from(geometry.sector_size.clamp(512, 65_536)));
    let needed = Superblock::FIELDS + sector + index(u64::from(geometry.alignment.clamp(1, 65_536))) - 1;
    workspace.split_last_chunk_mut().ok_or(Error::WorkspaceTooSmall { needed })
}

/// Reads the superblocks into the start of the workspace and keeps the newest (M2).
pub(crate) fn read_superblocks<D: BlockDevice>(
    device: &mut D,
    workspace: &mut [u8],
    saved: &mut Saved,
    checksum: Checksum,
) -> Result<(), D> {
    let geometry = device.geometry();
    let sector = sector_of(&geometry)?;
    let length = sector.max(SUPERBLOCK_SIZE);
    let skip = padding(workspace, alignment_of(&geometry)?);
    let buffer = workspace.get_mut(skip..).and_then(|tail| tail.get_mut(..length));
    let needed = length.saturating_add(skip).saturating_add(Superblock::FIELDS);
    let buffer = buffer.ok_or(Error::WorkspaceTooSmall { needed })?;
    let sectors = Power::of_two(geometry.sector_size.trailing_zeros());
    // Its generation, and how its blocks are numbered.
    let mut newest: Option<(u64, u32)> = None;
    let mut copies = 0;
    let mut traces = false;
    let mut failure = None;
    // Block sizes to try: the one that a valid slot names, or all of them while none is known.
    for shift in 9..=16u32 {
        for slot in 0..SUPERBLOCKS {
            if newest.is_some_and(|(_, known)| known != shift) || slot == 0 && shift > 9 {
                continue;
            }
            let at = (slot << shift) / sectors;
            if (slot << shift) % sectors != 0 || at + wide(length) / sectors > geometry.sectors {
                continue;
            }
            if let Err(error) = device.read(at, buffer) {
                failure = Some(error);
                continue;
            }
            traces |= buffer.starts_with(MAGIC);
            let found = Superblock::look(buffer, checksum);
            let found = found.filter(|(_, block_shift)| slot == 0 || u32::from(*block_shift) == shift);
            let Some((generation, block_shift)) = found else { continue };
            match newest.map_or(Ordering::Less, |(newest, _)| newest.cmp(&generation)) {
                Ordering::Less => {
                    (newest, copies) = (Some((generation, u32::from(block_shift))), 1);
                    copy(saved, buffer);
                }
                Ordering::Equal => copies += 1,
                Ordering::Greater => {}
            }
        }
    }
    match (newest, failure) {
        (Some((generation, _)), _) => {
            if copies < 2 {
                event!(warn, "one copy of the superblock of generation {} cannot be read", generation);
            }
            Ok(())
        }
        (None, Some(error)) => Err(Error::Device(error)),
        (None, None) if traces => Err(damaged(Object::Superblock, 0)),
        (None, None) => Err(Error::NotAPool),
    }
}

/// Everything that later arithmetic relies on.
fn check_superblock<E>(
    view: SuperblockView<'_>,
    geometry: &Geometry,
    read_only: bool,
) -> core::result::Result<(), Error<E>> {
    let (major, minor) = view.version();
    if major != VERSION.0 {
        return Err(Error::UnsupportedVersion { major, minor });
    }
    let unknown = view.incompatible() | if read_only { 0 } else { view.read_only_compatible() };
    if unknown != 0 {
        return Err(Error::UnsupportedFeatures { bits: unknown });
    }
    let damage = || damaged(Object::Superblock, 0);
    let (block_shift, sector_shift, unit_shift) = (view.block_shift(), view.sector_shift(), view.unit_shift());
    let shifts = (9..=16).contains(&block_shift) && (9..=block_shift).contains(&unit_shift);
    let counts = (2..=1 << 20).contains(&view.pending()) && (3..=1 << 20).contains(&view.journal_units());
    if !shifts || !counts || sector_shift > unit_shift {
        return Err(damage());
    }
    let pool = 1u32 << sector_shift;
    if geometry.sector_size != pool {
        return Err(Error::WrongSectorSize { pool, device: geometry.sector_size });
    }
    let spb = Power::of_two(u32::from(block_shift - sector_shift));
    let sb = view.state();
    if sb.total > 1 << 48 || sb.total == 0 || sb.cursor >= sb.total {
        return Err(damage());
    }
    if geometry.sectors / spb < sb.total {
        return Err(Error::DeviceTooSmall { needed: sb.total * spb, actual: geometry.sectors });
    }
    let limit = height_limit(u32::from(block_shift) - 4);
    let heights = sb.catalog_height <= limit.min(8) && (1..=limit).contains(&sb.max_height);
    let layout = view.layout();
    let fits = layout.fixed_in_group(0) < sb.total && layout.fixed_in_group(0) < 1 << layout.group_shift();
    let counts = sb.free <= sb.total && sb.epoch > 0 && sb.next_layer > 0 && layout.usable_total() == sb.total;
    // A slot of the catalog is a part of a block or several of them.
    let slots = sb.total << (block_shift - 9);
    let sums = sb.guaranteed <= sb.total && sb.reclaimable <= sb.total && u64::from(sb.layers) <= slots;
    if heights && fits && counts && sums && sb.deleted <= sb.layers && sb.staged <= sb.layers {
        Ok(())
    } else {
        Err(damage())
    }
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

//! The newest superblock: where it is looked for, and what must be true of it (M2).

use core::cmp::Ordering;

use crate::{
    bytes::{Power, copy, index, padding, wide},
    checksum::Checksum,
    device::{BlockDevice, Geometry},
    error::{Error, Object},
    format::{MAGIC, SUPERBLOCK_SIZE, SUPERBLOCKS, Superblock, SuperblockView, VERSION, height_limit},
    logging::event,
    mount::MountOptions,
    pool::Result,
    store::damaged,
};

#[cfg(feature = "async")]
#[path = "asynch/newest.rs"]
pub(crate) mod asynch;

/// Keeps the superblock of the pool on the device, and sees to it that it can be relied on.
pub(crate) fn find_superblock<D: BlockDevice>(
    device: &mut D,
    workspace: &mut [u8],
    saved: &mut Saved,
    options: &MountOptions,
) -> Result<(), D> {
    let geometry = device.geometry();
    if !geometry.read_only {
        device.flush().map_err(Error::Device)?;
    }
    read_superblocks(device, workspace, saved, options.checksum)?;
    check_superblock(SuperblockView(saved), &geometry, options.read_only || geometry.read_only)
}

/// What a device wants of its buffers in memory.
pub(crate) fn alignment_of<E>(geometry: &Geometry) -> core::result::Result<usize, Error<E>> {
    match geometry.alignment.max(1) {
        alignment if alignment.is_power_of_two() => Ok(index(u64::from(alignment))),
        _ => Err(Error::BadParameter("the alignment that a device wants of its buffers must be a power of two")),
    }
}

/// An alignment that blocks in memory can have one behind the other.
pub(crate) fn within_block<E>(alignment: usize, sb: SuperblockView<'_>) -> core::result::Result<usize, Error<E>> {
    if alignment > 1usize << sb.block_shift() {
        return Err(Error::BadParameter("a device wants its buffers aligned to more than the size of a block"));
    }
    Ok(alignment)
}

/// Bytes in a sector, if that is possible.
pub(crate) fn sector_of<E>(geometry: &Geometry) -> core::result::Result<usize, Error<E>> {
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
    let total = view.total();
    if total > 1 << 48 || total == 0 || view.cursor() >= total {
        return Err(damage());
    }
    if geometry.sectors / spb < total {
        return Err(Error::DeviceTooSmall { needed: total * spb, actual: geometry.sectors });
    }
    let limit = height_limit(u32::from(block_shift) - 4);
    let heights = view.catalog_height() <= limit.min(8) && (1..=limit).contains(&view.max_height());
    let layout = view.layout();
    let fits = layout.fixed_in_group(0) < total && layout.fixed_in_group(0) < 1 << layout.group_shift();
    let numbers = view.free() <= total && view.epoch() > 0 && view.next_layer() > 0 && layout.usable_total() == total;
    // A slot of the catalog is a part of a block or several of them.
    let slots = total << (block_shift - 9);
    let (layers, deleted, staged) = view.counts();
    let counts = u64::from(layers) <= slots && deleted <= layers && staged <= layers;
    let sums = view.guaranteed() <= total && view.reclaimable() <= total;
    if heights && fits && numbers && counts && sums { Ok(()) } else { Err(damage()) }
}

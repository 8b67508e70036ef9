//! Made from `newest.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::pool::asynch::Result;

/// Keeps the superblock of the pool on the device, and sees to it that it can be relied on.
pub(crate) async fn find_superblock<D: BlockDevice>(
    device: &mut D,
    workspace: &mut [u8],
    saved: &mut Saved,
    options: &MountOptions,
) -> Result<(), D> {
    let geometry = device.geometry();
    if !geometry.read_only {
        device.flush().await.map_err(Error::Device)?;
    }
    read_superblocks(device, workspace, saved, options.checksum).await?;
    check_superblock(SuperblockView(saved), &geometry, options.read_only || geometry.read_only)
}

/// Reads the superblocks into the start of the workspace and keeps the newest (M2).
pub(crate) async fn read_superblocks<D: BlockDevice>(
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
            if let Err(error) = device.read(at, buffer).await {
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

//! Made from `mount.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::newest::asynch::find_superblock;
use crate::pool::asynch::Result;
use crate::store::asynch::Store;

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
    pub(crate) async fn look(
        device: &mut D,
        workspace: &mut [u8],
        saved: &mut Saved,
        options: &MountOptions,
        base_alignment: u32,
    ) -> Result<usize, D> {
        find_superblock(device, workspace, saved, options).await?;
        alignment_within(&device.geometry(), base_alignment, workspace, SuperblockView(saved))
    }

    /// Takes in the journal of the pool, which is the one on this base.
    #[inline(never)]
    pub(crate) async fn take_in(&mut self, options: &MountOptions, base: BaseIdentity) -> Result<(), D> {
        self.stats.flushes = 1;
        self.read_only = options.read_only || self.device.geometry().read_only;
        self.window.restart(self.sb.cursor);
        let recovered = self.recover().await;
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

/// Checksum over sampled sectors of a base device: recognises the wrong one, does not prove the right one.
pub(crate) async fn identify<B: BlockDevice>(
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
        base.read(sector, buffer).await.map_err(Error::Device)?;
        fingerprint = checksum(fingerprint, buffer);
    }
    Ok(BaseIdentity { sectors: geometry.sectors, fingerprint })
}

//! Made from `mkfs.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::mount::asynch::read_superblocks;
use crate::pool::asynch::Result;
use crate::store::asynch::Store;

impl<'w, D: BlockDevice> Store<'w, D> {
    /// Makes an empty pool on the device.
    pub(crate) async fn format(
        mut device: D,
        workspace: &'w mut [u8],
        options: &FormatOptions,
        base: BaseIdentity,
    ) -> Result<(), D> {
        let geometry = device.geometry();
        if geometry.read_only {
            return Err(Error::ReadOnly);
        }
        let sb = plan(&geometry, options, base)?;
        let block_size = index(u64::from(options.block_size));
        let (workspace, saved) = divide(workspace)?;
        sb.put(saved);
        let needed = needed_for(SuperblockView(saved));
        if workspace.len() + Superblock::FIELDS < needed {
            return Err(Error::WorkspaceTooSmall { needed });
        }
        if !options.force {
            match read_superblocks(&mut device, workspace, saved, options.checksum).await {
                Err(Error::NotAPool) => {}
                Err(error @ (Error::Device(_) | Error::BadParameter(_) | Error::WorkspaceTooSmall { .. })) => {
                    return Err(error);
                }
                _ => return Err(Error::HoldsPool),
            }
        }
        sb.put(saved);
        let alignment = alignment_within(&geometry, 1, workspace, SuperblockView(saved))?;
        let mut store = Self::new(device, workspace, saved, options.checksum, alignment);
        let done = store.make_empty(block_size).await;
        store.answer(done)
    }

    pub(crate) async fn make_empty(&mut self, block_size: usize) -> Outcome<()> {
        self.wipe(block_size).await?;
        self.fresh = false;
        self.window.restart(0);
        self.checkpoint().await
    }

    /// Makes sure that nothing of an older pool is left in any slot or unit (M5).
    pub(crate) async fn wipe(&mut self, block_size: usize) -> Outcome<()> {
        // Slots of pools with other block sizes lie at other places; what is there may be the data of a pool that is still whole.
        for shift in 9..=16 {
            for slot in 0..SUPERBLOCKS {
                let sector = (slot << shift) / self.sector();
                if (slot << shift) % self.sector() != 0 || sector + 1 > self.device.geometry().sectors {
                    continue;
                }
                let bytes = self.scratch.get_mut(..self.sector_size.min(block_size)).unwrap_or(&mut []);
                self.stats.reads += 1;
                if self.device.read(sector, bytes).await.is_ok() && !bytes.starts_with(MAGIC) {
                    continue;
                }
                bytes.fill(0);
                self.stats.writes += 1;
                self.device.write(sector, bytes).await.map_err(|error| self.unread(error))?;
            }
        }
        self.scratch.fill(0);
        // The journal of an old pool goes only when no superblock can lead to it any more.
        self.device.flush().await.map_err(|error| self.unread(error))?;
        for block in 0..GROUP_START + self.layout.journal_blocks {
            self.write_scratch(block).await?;
        }
        self.device.flush().await.map_err(|error| self.unread(error))
    }
}

//! Made from `mkfs.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::newest::asynch::read_superblocks;
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
        let Some((workspace, saved)) = workspace.split_last_chunk_mut() else {
            return Err(too_small(&geometry, options, base));
        };
        plan(&geometry, options, base, saved)?;
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
        let alignment = alignment_within(&geometry, 1, workspace, SuperblockView(saved))?;
        let mut store = Self::new(device, workspace, saved, options.checksum, alignment);
        let done = store.make_empty().await;
        store.answer(done)
    }

    #[inline(never)]
    pub(crate) async fn make_empty(&mut self) -> Outcome<()> {
        self.check_end(0, self.layout.total).await?;
        self.wipe().await?;
        self.fresh = false;
        self.window.restart(0);
        self.checkpoint().await?;
        let Some(blocks) = self.turn().await else { return Ok(()) };
        self.scratch.fill(0);
        self.write_scratch(0).await?;
        self.write_scratch(1).await?;
        self.device.flush().await.map_err(|error| self.unread(error))?;
        Err(self.shorter(self.layout.total, blocks))
    }

    /// The device has as many blocks as it says: it is refused if a good part of them, up to the last, cannot be read. A block of which it
    /// is known that it is there must be readable; some devices can only be read where they were written before. False if the last block
    /// cannot be read for another reason, which is written down.
    pub(crate) async fn check_end(&mut self, known: u64, total: u64) -> Outcome<bool> {
        let last = total - 1;
        if self.can_read(last).await {
            return Ok(true);
        }
        if !self.can_read(known).await {
            return Ok(false);
        }
        let (mut there, mut end) = (known, last);
        while end - there > 1 {
            let middle = there + (end - there) / 2;
            *(if self.can_read(middle).await { &mut there } else { &mut end }) = middle;
        }
        // Bad blocks at the end do not make it shorter, nor do some that the search came upon.
        let missing = total - end;
        let mut short = missing * 32 >= total;
        for part in 1..4 {
            short = short && !self.can_read(end + missing / 4 * part).await;
        }
        if short { Err(self.shorter(total, end)) } else { Ok(false) }
    }

    pub(crate) async fn can_read(&mut self, block: u64) -> bool {
        self.read_scratch(block).await.is_ok()
    }

    pub(crate) fn shorter(&mut self, total: u64, blocks: u64) -> Stop {
        self.stop(Error::DeviceTooSmall { needed: total * self.spb, actual: blocks * self.spb })
    }

    /// After so many blocks the device begins again with its first one: there is this generation's superblock.
    pub(crate) async fn turn(&mut self) -> Option<u64> {
        let first = SUPERBLOCKS.next_power_of_two().trailing_zeros();
        for shift in first..64 - self.layout.total.leading_zeros() {
            let blocks = 1 << shift;
            if blocks >= self.layout.total {
                break;
            }
            // That of an even generation, and the second is one, is in the first block.
            if !self.can_read(blocks).await {
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
    pub(crate) async fn wipe(&mut self) -> Outcome<()> {
        // Slots of pools with other block sizes lie at other places; what is there may be the data of a pool that is still whole.
        for shift in 9..=16 {
            for slot in 0..SUPERBLOCKS {
                let sector = (slot << shift) / self.sector();
                if (slot << shift) % self.sector() != 0 || sector + 1 > self.device.geometry().sectors {
                    continue;
                }
                let bytes = self.scratch.get_mut(..self.sector_size).unwrap_or(&mut []);
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

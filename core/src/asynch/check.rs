//! Made from `check.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::pool::asynch::Pool;
use crate::pool::asynch::Result;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    #[inline(never)]
    pub(crate) async fn check_pass(&mut self, run: &mut Checking<'_>) -> Outcome<()> {
        let mut totals = Totals::default();
        for at in 0..self.spares.len() {
            let Some(block) = self.spares.get(at) else { continue };
            let pointer = self.check_pointer(Object::Superblock, block);
            if run.damage(pointer, &self.failure, None)?.is_some() {
                run.mark(block);
                totals.used += 1;
            }
        }
        self.check_catalog_nodes(run, &mut totals).await?;
        let mut next = 1;
        loop {
            let found = self.record_from(next).await.map(|found| found.map(LayerView::decode));
            let Some(found) = run.damage(found, &self.failure, None)? else {
                run.complete = false;
                break;
            };
            let Some(layer) = found else { break };
            next = layer.id + 1;
            self.check_layer(run, &layer, &mut totals).await?;
        }
        if run.first_pass() && run.complete {
            self.check_sums(run, &totals);
        }
        self.check_space(run).await
    }

    /// What the superblock says of all layers together.
    #[inline(never)]
    pub(crate) fn check_sums(&mut self, run: &mut Checking<'_>, totals: &Totals) {
        let sb = &self.sb;
        run.sum.layers = u64::from(totals.layers);
        run.count("layer records", None, u64::from(sb.layers), u64::from(totals.layers));
        run.count("deleted layers", None, u64::from(sb.deleted), u64::from(totals.deleted));
        run.count("staged attachments", None, u64::from(sb.staged), u64::from(totals.staged));
        run.count("guaranteed blocks", None, sb.guaranteed, totals.guaranteed);
        run.count("reclaimable blocks", None, sb.reclaimable, totals.reclaimable);
        run.count("highest map", None, u64::from(sb.max_height), u64::from(sb.max_height.max(totals.height)));
        let fixed = self.layout.total - self.layout.free_when_unwritten(self.layout.levels(), 0);
        let spares = wide(self.spares.len());
        run.count("free blocks", None, sb.free, (self.layout.total - fixed).saturating_sub(totals.used) + spares);
        run.sum.blocks = totals.used.saturating_sub(spares);
    }

    pub(crate) async fn check_superblocks(&mut self, run: &mut Checking<'_>) {
        for slot in 0..4u8 {
            let result = self.read_scratch(u64::from(slot)).await;
            let valid = result.is_ok() && Superblock::look(self.scratch, self.checksum).is_some();
            let newest = u8::from(self.durable().generation() % 2 == 1);
            // The other pair may never have been written.
            if !valid && (slot / 2 == newest || self.durable().generation() > 2) {
                run.find(&Finding::SuperblockCopy { slot });
            }
        }
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// Walks everything and reports what is wrong. `scratch` holds a bit for each block: the more of them fit, the fewer
    /// walks. With `scrub` every data block is read too, and verified on volumes with integrity. What is pending is brought into
    /// the trees first, unless the mount is read-only.
    ///
    /// # Errors
    /// The device's; [`Error::WorkspaceTooSmall`] for a scratch of less than 64 bytes.
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    #[inline(never)]
    pub async fn check(
        &mut self,
        scratch: &mut [u8],
        scrub: bool,
        report: &mut dyn FnMut(&Finding),
    ) -> Result<Checked, D> {
        self.check_watched(scratch, scrub, report, &mut |_, _| {}).await
    }

    /// As [`check`](Self::check), and tells now and then how many blocks it has visited, of how many.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    pub async fn check_watched(
        &mut self,
        scratch: &mut [u8],
        scrub: bool,
        report: &mut dyn FnMut(&Finding),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Checked, D> {
        self.store.enter();
        let result: Result<Checked, D> = async {
            let checked = self.store.check(scratch, scrub, report, progress).await;
            self.store.answer(checked)
        }
        .await;
        self.store.leave();
        result
    }
}

impl<D: BlockDevice> Store<'_, D> {
    pub(crate) async fn check(
        &mut self,
        scratch: &mut [u8],
        scrub: bool,
        report: &mut dyn FnMut(&Finding),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Outcome<Checked> {
        if scratch.len() < 64 {
            return Err(self.stop(Error::WorkspaceTooSmall { needed: 64 }));
        }
        if self.pending.len() > 0 && !self.read_only && !self.poisoned {
            self.checkpoint().await?;
        }
        let (total, part) = (self.layout.total, wide(scratch.len()) * 8);
        let (mut visits, mut walked) = (0u64, 0u64);
        while walked < total {
            visits = visits.saturating_add(total.saturating_sub(self.sb.free));
            walked = walked.saturating_add(part);
        }
        let mut run = Checking {
            bitmap: scratch,
            report,
            progress,
            scrub,
            complete: true,
            visited: 0,
            visits,
            from: 0,
            to: 0,
            sum: Checked::default(),
        };
        self.check_superblocks(&mut run).await;
        self.check_relations(&mut run).await?;
        while run.from < total {
            run.to = (run.from + part).min(total);
            run.bitmap.fill(0);
            run.sum.passes += 1;
            self.check_pass(&mut run).await?;
            run.from = run.to;
        }
        Ok(run.sum)
    }
}

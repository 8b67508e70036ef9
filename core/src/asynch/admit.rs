//! Made from `admit.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// Blocks that are missing for the change; 0 if it may be made.
    pub(crate) fn missing(&self, demand: &Demand) -> u64 {
        let promised = self.sb.guaranteed.saturating_sub(self.reserve_used).saturating_sub(demand.promised);
        let slack = if demand.relocation { SLACK } else { 0 };
        let must_stay = self.reserve() - slack + self.growth + self.held.growth + demand.growth + promised;
        (must_stay + demand.blocks).saturating_sub(self.allocatable())
    }

    /// The change may be made now, without a checkpoint.
    pub(crate) fn fits(&self, demand: &Demand) -> bool {
        self.room() >= demand.items && self.missing(demand) == 0
    }

    /// Records that the pending table can still take, besides those that are held for writes under way.
    pub(crate) fn room(&self) -> usize {
        self.pending.room().saturating_sub(self.held.items)
    }

    /// Makes room for a change that does not fit: by a checkpoint, and for a guaranteed volume by merging what was deleted.
    /// True if something was done and the change is to be looked at again.
    pub(crate) async fn make_room(&mut self, head: &Head, demand: &Demand) -> Outcome<bool> {
        if self.pending.len() > 0 || self.window.taken > 0 {
            self.checkpoint().await?;
            return Ok(true);
        }
        if head.is_guaranteed() && demand.blocks > 0 {
            let budget = self.least_merge_budget().saturating_mul(2);
            let done = match (self.merge_step(budget).await, &self.failure) {
                (Err(Stop), Error::BudgetTooSmall { needed }) => self.merge_step(*needed).await?,
                (done, _) => done?,
            };
            return Ok(done != Merge::Idle);
        }
        Ok(false)
    }

    /// Before the first change of a long write to a thin volume: is there space for all of it? Otherwise nothing is changed.
    pub(crate) async fn admit_range(&mut self, head: &Head, address: u64, count: u64) -> Outcome<()> {
        if head.is_guaranteed() {
            return Ok(());
        }
        let height = u64::from(head.height);
        let fan = self.fan_shift();
        let nodes =
            |level: u8| ((address + count - 1) >> (fan * u32::from(level))) - (address >> (fan * u32::from(level))) + 1;
        let growth: u64 = (1..=head.height).map(nodes).sum::<u64>() + height;
        let all = Demand { blocks: count, growth, ..Demand::default() };
        if self.missing(&all) == 0 {
            return Ok(());
        }
        if self.pending.len() > 0 || self.window.taken > 0 {
            self.checkpoint().await?;
        }
        let head = &self.head(crate::LayerId(head.id)).await?;
        let (mut blocks, mut growth) = (0, 0);
        for level in 1..=head.height {
            let span = self.span(level);
            for node in address / span..(address + count - 1) / span + 1 {
                let entry =
                    self.entry_at(head.root, head.height, level, node * span, crate::error::Object::MapNode).await?;
                growth += u64::from(!entry.is_block() || entry.birth <= self.limit_of(head, node * span));
            }
        }
        for address in address..address + count {
            let entry = self.tree_entry(head, address).await?;
            blocks += u64::from(!entry.is_block() || entry.birth <= self.limit_of(head, address));
        }
        if blocks == 0 {
            return Ok(());
        }
        match self.missing(&Demand { blocks, growth, ..Demand::default() }) {
            0 => Ok(()),
            missing => Err(self.refused(missing)),
        }
    }

    /// A change is refused for want of space.
    pub(crate) fn refused(&mut self, missing: u64) -> Stop {
        crate::logging::event!(warn, "refused: {} more free blocks are needed", missing);
        self.stop(Error::NoSpace { missing })
    }
}

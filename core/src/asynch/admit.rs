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
    /// The change is to be looked at again, unless there is no room to be made.
    pub(crate) async fn make_way(&mut self, head: &Head, demand: &Demand) -> Outcome<()> {
        if self.pending.len() > 0 || self.window.taken > 0 {
            return self.checkpoint().await;
        }
        if head.is_guaranteed() && demand.blocks > 0 {
            let budget = self.least_merge_budget().saturating_mul(2);
            let done = match (self.merge_step(budget).await, &self.failure) {
                (Err(Stop), Error::BudgetTooSmall { needed }) => self.merge_step(*needed).await?,
                (done, _) => done?,
            };
            if done != Merge::Idle {
                return Ok(());
            }
        }
        Err(self.refused(self.missing(demand).max(1)))
    }

    /// Before the first change of a long write to a thin volume: is there space for all of it? Otherwise nothing is changed.
    pub(crate) async fn admit_range(&mut self, id: LayerId, first: u64, last: u64) -> Outcome<()> {
        if self.admit_at_worst(id, first, last).await? {
            return Ok(());
        }
        if self.pending.len() > 0 || self.window.taken > 0 {
            self.checkpoint().await?;
        }
        self.admit_exactly(id, first, last).await
    }

    /// There is space even if nothing that the range needs is there yet.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) async fn admit_at_worst(&mut self, id: LayerId, first: u64, last: u64) -> Outcome<bool> {
        let head = &self.head(id).await?;
        Ok(head.is_guaranteed() || self.missing(&all_of(head, first, last, self.fan_shift())) == 0)
    }

    /// There is space, as the map tells.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) async fn admit_exactly(&mut self, id: LayerId, first: u64, last: u64) -> Outcome<()> {
        let head = &self.head(id).await?;
        let (mut blocks, mut growth) = (0, 0);
        for level in 1..=head.height {
            let span = self.span(level);
            for node in first / span..last / span + 1 {
                let entry = self.entry_at(head.root, head.height, level, node * span, Object::MapNode).await?;
                growth += u64::from(!entry.is_block() || entry.birth <= self.limit_of(head, node * span));
            }
        }
        for address in first..last + 1 {
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

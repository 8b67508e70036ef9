//! Admission: may this change still be made so that the next checkpoint, and every guaranteed volume, has its space?
//!
//! With F the blocks that this generation can still give out, R the reserve of checkpoints, G the growth of the maps of thin
//! volumes on account of what is pending or being written, and P what is promised to guaranteed volumes (less what they have taken out
//! since the last checkpoint), every change leaves F >= R + G + P (rule A3). A relocation gives back at the checkpoint what it
//! takes, so it may go [`SLACK`] deeper.

use crate::{
    commit::SLACK,
    device::BlockDevice,
    error::{Error, Object},
    locate::Head,
    store::{Outcome, Stop, Store},
    types::{LayerId, Merge},
};

#[cfg(feature = "async")]
#[path = "asynch/admit.rs"]
pub(crate) mod asynch;

/// What a change needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demand {
    /// Data blocks.
    pub(crate) blocks: u64,
    /// How many of them come out of the volume's reserve.
    pub(crate) promised: u64,
    /// Items of the pending table.
    pub(crate) items: usize,
    /// Nodes by which the map may grow, unless they are promised.
    pub(crate) growth: u64,
    /// The blocks replace others that the checkpoint will free.
    pub(crate) relocation: bool,
}

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
    pub(crate) fn make_way(&mut self, head: &Head, demand: &Demand) -> Outcome<()> {
        if self.pending.len() > 0 || self.window.taken > 0 {
            return self.checkpoint();
        }
        if head.is_guaranteed() && demand.blocks > 0 {
            let budget = self.least_merge_budget().saturating_mul(2);
            let done = match (self.merge_step(budget), &self.failure) {
                (Err(Stop), Error::BudgetTooSmall { needed }) => self.merge_step(*needed)?,
                (done, _) => done?,
            };
            if done != Merge::Idle {
                return Ok(());
            }
        }
        Err(self.refused(self.missing(demand).max(1)))
    }

    /// Before the first change of a long write to a thin volume: is there space for all of it? Otherwise nothing is changed.
    pub(crate) fn admit_range(&mut self, id: LayerId, first: u64, last: u64) -> Outcome<()> {
        if self.admit_at_worst(id, first, last)? {
            return Ok(());
        }
        if self.pending.len() > 0 || self.window.taken > 0 {
            self.checkpoint()?;
        }
        self.admit_exactly(id, first, last)
    }

    /// There is space even if nothing that the range needs is there yet.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn admit_at_worst(&mut self, id: LayerId, first: u64, last: u64) -> Outcome<bool> {
        let head = &self.head(id)?;
        Ok(head.is_guaranteed() || self.missing(&all_of(head, first, last, self.fan_shift())) == 0)
    }

    /// There is space, as the map tells.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn admit_exactly(&mut self, id: LayerId, first: u64, last: u64) -> Outcome<()> {
        let head = &self.head(id)?;
        let (mut blocks, mut growth) = (0, 0);
        for level in 1..=head.height {
            let span = self.span(level);
            for node in first / span..last / span + 1 {
                let entry = self.entry_at(head.root, head.height, level, node * span, Object::MapNode)?;
                growth += u64::from(!entry.is_block() || entry.birth <= self.limit_of(head, node * span));
            }
        }
        for address in first..last + 1 {
            let entry = self.tree_entry(head, address)?;
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

/// What it takes at worst to write the blocks from the first to the last.
fn all_of(head: &Head, first: u64, last: u64, fan: u32) -> Demand {
    let nodes = |level: u8| (last >> (fan * u32::from(level))) - (first >> (fan * u32::from(level))) + 1;
    let growth = (1..=head.height).map(nodes).sum::<u64>() + u64::from(head.height);
    Demand { blocks: last - first + 1, growth, ..Demand::default() }
}

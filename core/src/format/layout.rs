//! Where the fixed things are, and how large trees get: pure arithmetic.
//!
//! The device is cut into *groups* of as many blocks as a bitmap block has bits. Group 0 starts with the four superblock
//! slots and the journal. Every node of the space map has two places, at the start of the first group that it covers,
//! written in turn: a new version never overwrites the one that the durable superblock leads to, and the space map needs no
//! space of its own. The places follow from the node's level and index alone, so a pool grows by adding groups.

use crate::bytes::Power;

/// Superblock slots.
pub const SUPERBLOCKS: u64 = 4;
/// First block of the journal.
pub const GROUP_START: u64 = SUPERBLOCKS;
/// Levels of nodes that any map can have: 48 bits of address at 5 bits a level.
pub const MAX_HEIGHT: usize = 10;
/// Levels above the bitmaps that any space map can have: 48 bits of block, less 12 that a bitmap covers, at 5 bits a level.
const MOST_LEVELS: u64 = 8;

/// The fixed geometry of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Binary logarithm of the block size.
    pub block_shift: u32,
    /// Blocks of the device that the pool uses.
    pub total: u64,
    /// Blocks of the journal.
    pub journal_blocks: u64,
}

impl Layout {
    /// The layout of a pool with these sizes, as its superblock has them.
    pub fn of(block_shift: u8, total: u64, journal_units: u32, unit_shift: u8) -> Self {
        let block_shift = u32::from(block_shift).min(63);
        let journal = u64::from(journal_units).checked_shl(u32::from(unit_shift)).unwrap_or(u64::MAX);
        Self { block_shift, total, journal_blocks: Power::of_two(block_shift).ceil(journal) }
    }

    /// Binary logarithm of the number of entries in a node.
    #[inline]
    pub fn fan_shift(&self) -> u32 {
        self.block_shift - 4
    }

    /// Binary logarithm of the number of blocks in a group.
    #[inline]
    pub fn group_shift(&self) -> u32 {
        self.block_shift + 3
    }

    /// Levels of the largest space map there can be, the bitmaps not counted.
    pub fn max_levels(&self) -> u32 {
        levels_above(self.group_shift(), self.fan_shift())
    }

    /// Groups, the last one perhaps not whole.
    pub fn groups(&self) -> u64 {
        Power::of_two(self.group_shift()).ceil(self.total)
    }

    /// Levels of this pool's space map above its bitmaps.
    pub fn levels(&self) -> u32 {
        let mut levels = 0;
        let most = self.max_levels();
        while levels < most && (self.groups() - 1) >> (self.fan_shift() * levels) > 0 {
            levels += 1;
        }
        levels
    }

    /// Blocks at the start of a group that have fixed uses.
    #[inline]
    pub fn fixed_in_group(&self, group: u64) -> u64 {
        if group == 0 {
            return GROUP_START + self.journal_blocks + 2 * u64::from(self.max_levels() + 1);
        }
        // Counted up to: there are few, and a small machine divides by a function of four hundred bytes.
        let mut levels = 0;
        while levels < self.max_levels() && group.trailing_zeros() >= (levels + 1) * self.fan_shift() {
            levels += 1;
        }
        2 * (1 + u64::from(levels))
    }

    /// Fixed blocks in the first `groups` groups.
    fn fixed_before(&self, groups: u64) -> u64 {
        if groups == 0 {
            return 0;
        }
        // Each bitmap and each node has two places.
        GROUP_START + self.journal_blocks + 2 * (groups + nodes_above(groups, self.max_levels(), self.fan_shift()))
    }

    /// The block has a fixed use.
    #[inline]
    pub fn is_fixed(&self, block: u64) -> bool {
        let group = block >> self.group_shift();
        let within = block - (group << self.group_shift());
        // Asked for every pointer that is followed: most lie behind what any group can have.
        within < GROUP_START + self.journal_blocks + 2 * (MOST_LEVELS + 1) && within < self.fixed_in_group(group)
    }

    /// The block can be one that an entry points to.
    #[inline]
    pub fn is_usable(&self, block: u64) -> bool {
        block < self.total && !self.is_fixed(block)
    }

    /// Where a version of the node of the space map lies.
    pub fn space_place(&self, level: u32, index: u64, copy: u16) -> u64 {
        let group = index << (self.fan_shift() * level);
        let start = if group == 0 { GROUP_START + self.journal_blocks } else { group << self.group_shift() };
        start + 2 * u64::from(level) + u64::from(copy & 1)
    }

    /// Blocks that the node at this level and index covers: the first, and one past the last that exists.
    pub fn space_range(&self, level: u32, index: u64) -> (u64, u64) {
        let shift = self.group_shift() + self.fan_shift() * level;
        let start = index.checked_shl(shift).filter(|_| shift < 64).unwrap_or(0).min(self.total);
        let end = if shift >= 63 { self.total } else { ((index + 1) << shift).min(self.total) };
        (start, end)
    }

    /// Free blocks below a node of the space map that was never written.
    pub fn free_when_unwritten(&self, level: u32, index: u64) -> u64 {
        let (start, end) = self.space_range(level, index);
        if start >= end {
            return 0;
        }
        let groups = |blocks: u64| Power::of_two(self.group_shift()).ceil(blocks);
        (end - start) - (self.fixed_before(groups(end)) - self.fixed_before(groups(start)))
    }

    /// `total` without a last group that is too small for its own fixed blocks.
    pub fn usable_total(&self) -> u64 {
        let group = self.total >> self.group_shift();
        let rest = self.total - (group << self.group_shift());
        if rest > 0 && rest <= self.fixed_in_group(group) { self.total - rest } else { self.total }
    }
}

/// Levels of this fan-out that lead from blocks of two to the power of `shift` to all that can be addressed.
fn levels_above(shift: u32, fan_shift: u32) -> u32 {
    let mut levels = 0;
    while levels < 48 && shift + levels * fan_shift < 48 {
        levels += 1;
    }
    levels
}

/// Levels of nodes that any map of this fan-out can have.
pub fn height_limit(fan_shift: u32) -> u8 {
    u8::try_from(levels_above(0, fan_shift)).unwrap_or(u8::MAX)
}

/// Levels of nodes that a map of `blocks` blocks needs, at least one.
pub fn height_for(blocks: u64, fan_shift: u32) -> u8 {
    let mut height = 1;
    while u32::from(height) * fan_shift < 48 && blocks.saturating_sub(1) >> (u32::from(height) * fan_shift) > 0 {
        height += 1;
    }
    height
}

/// Nodes of a full map of `blocks` blocks.
pub fn nodes_for(blocks: u64, height: u8, fan_shift: u32) -> u64 {
    nodes_above(blocks, u32::from(height), fan_shift)
}

fn nodes_above(blocks: u64, levels: u32, fan_shift: u32) -> u64 {
    (0..levels)
        .map(|below| {
            let shift = ((below + 1) * fan_shift).min(63);
            (blocks.saturating_sub(1) >> shift) + 1
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{Layout, height_for, nodes_for};

    #[test]
    fn no_two_fixed_places_coincide_and_the_free_count_is_what_is_left() {
        // An interpreter takes minutes for the large ones.
        let many = if cfg!(miri) { 2 } else { 4 };
        for (block_shift, total) in
            [(9, 40), (9, 4096 + 100), (9, 4096 * 40 + 100), (12, 100_000)].into_iter().take(many)
        {
            let layout = Layout { block_shift, total, journal_blocks: 4 };
            let mut places = std::collections::BTreeSet::new();
            assert!(u64::from(layout.max_levels()) <= super::MOST_LEVELS);
            for level in 0..=layout.max_levels() {
                let nodes = ((layout.groups() - 1) >> (layout.fan_shift() * level)) + 1;
                for index in 0..nodes {
                    for copy in 0..2 {
                        let place = layout.space_place(level, index, copy);
                        assert!(places.insert(place), "level {level} index {index}");
                        assert!(layout.is_fixed(place));
                    }
                }
            }
            let fixed = (0..total).filter(|block| layout.is_fixed(*block)).count() as u64;
            assert_eq!(fixed, places.len() as u64 + 8);
            assert_eq!(layout.free_when_unwritten(layout.levels(), 0), total - fixed);
            let leaves: u64 = (0..layout.groups()).map(|group| layout.free_when_unwritten(0, group)).sum();
            assert_eq!(leaves, total - fixed);
        }
    }

    #[test]
    fn heights_and_node_counts_are_the_smallest_that_hold_the_blocks() {
        assert_eq!([1, 32, 33, 1024, 1025].map(|blocks| height_for(blocks, 5)), [1, 1, 2, 2, 3]);
        assert_eq!(height_for(1 << 48, 5), 10);
        assert_eq!(nodes_for(33, 2, 5), 2 + 1);
        assert_eq!(nodes_for(1, 1, 5), 1);
    }
}

//! Mixtures of operations: what is rare among all operations alike is common in one of these.

use crate::sim::{Op, Rng, random_op};

/// A mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    /// All operations.
    Everything,
    /// A few sectors written and flushed again and again, with new generations now and then: what the journal vouches for.
    Journal,
    /// Snapshots and clones written, deleted, and merged in small steps.
    Merging,
    /// Small writes all over a large volume, then a new generation: more changed nodes than fit in memory.
    Spread,
    /// Single blocks written and discarded on a pool that is full: free space in pieces.
    Brim,
    /// Single blocks of a volume that once was written as a whole go and come back: what is freed lies before what is free.
    Fragments,
    /// Many blocks in one flush.
    Groups,
    /// Volumes that grow and shrink, in the middle of blocks too.
    Sizes,
}

impl Mix {
    /// An operation on volumes of about so many sectors.
    pub(super) fn op(self, rng: &mut Rng, sectors: usize, serial: u64, few_tags: bool) -> Op {
        let (pick, other) = (rng.below(256) as u8, rng.below(256) as u8);
        let sector = rng.below(sectors as u64) as u16;
        let tag = if few_tags { 1 + rng.below(2) } else { serial << 8 | 1 };
        let choice = rng.below(100);
        match self {
            Self::Everything => random_op(rng, sectors, serial, few_tags),
            Self::Journal => match choice {
                0..45 => Op::Write(pick, sector % 4, 1 + (other & 1), tag),
                45..80 => Op::Flush,
                80..84 => Op::Checkpoint,
                84..86 => Op::Snapshot(pick),
                86..89 => Op::Discard(pick, sector % 4, 2),
                89..91 => Op::Zero(pick, sector % 4, 1),
                _ => Op::Kill,
            },
            Self::Merging => match choice {
                0..34 => Op::Write(pick, sector, 1 + other % 24, tag),
                34..37 => Op::Discard(pick, sector, other % 64),
                37..40 => Op::Flush,
                40..52 => Op::Snapshot(pick),
                52..58 => Op::Clone(pick),
                58..61 => Op::Rollback(pick, other, other % 2 == 0),
                61..71 => Op::Delete(pick),
                71..92 => Op::Merge(u16::from(other % 32)),
                92..94 => Op::Resize(pick, 1 + rng.below(2 * sectors as u64) as u16),
                _ => Op::Kill,
            },
            Self::Spread => match choice {
                0..68 => Op::Write(pick, sector, 1 + other % 2, tag),
                68..76 => Op::Discard(pick, sector, other),
                76..82 => Op::Flush,
                82..86 => Op::Checkpoint,
                86..90 => Op::Snapshot(pick),
                90..92 => Op::Delete(pick),
                92..97 => Op::Merge(u16::from(other)),
                97 => Op::Rollback(pick, other, false),
                _ => Op::Kill,
            },
            Self::Brim => match choice {
                0..50 => Op::Write(pick, sector, 1 + other % 2, tag),
                50..68 => Op::Discard(pick, sector, 1),
                68..76 => Op::Flush,
                76..82 => Op::Snapshot(pick),
                82..88 => Op::Delete(pick),
                88..94 => Op::Merge(u16::from(other % 64)),
                94..98 => Op::Checkpoint,
                _ => Op::Kill,
            },
            Self::Fragments => match choice {
                0..9 => Op::Write(0, choice as u16 * 12, 12, tag),
                9..40 => Op::Write(pick, sector, 1, tag),
                40..82 => Op::Discard(pick, sector, 1),
                82..96 => Op::Checkpoint,
                96..98 => Op::Flush,
                _ => Op::Kill,
            },
            Self::Groups => match choice {
                0..55 => Op::Write(pick, sector, 6 + other % 20, tag),
                55..95 => Op::Flush,
                95..97 => Op::Checkpoint,
                _ => Op::Kill,
            },
            Self::Sizes => match choice {
                0..45 => Op::Write(pick, sector, 1 + other % 20, tag),
                45..70 => Op::Resize(pick, 1 + rng.below(2 * sectors as u64) as u16),
                70..76 => Op::Discard(pick, sector, other % 32),
                76..82 => Op::Flush,
                82..87 => Op::Snapshot(pick),
                87..90 => Op::Rollback(pick, other, other % 2 == 0),
                90..93 => Op::Delete(pick),
                93..97 => Op::Merge(u16::from(other)),
                _ => Op::Kill,
            },
        }
    }

    /// So many of them.
    pub(super) fn ops(self, rng: &mut Rng, sectors: usize, length: usize, few_tags: bool) -> Vec<Op> {
        (0..length).map(|i| self.op(rng, sectors, i as u64 + 1, few_tags)).collect()
    }
}

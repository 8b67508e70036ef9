//! The spares: free blocks that the superblock keeps at hand for the catalog.

use crate::bytes::{put_u48, u48_at};

/// How many there can be.
pub const SPARES: usize = 24;

/// A list of at most [`SPARES`] blocks, as small as on the device. In memory those that are to come later are kept in the same room,
/// from its end on.
#[derive(Clone, Copy)]
pub struct Spares {
    count: u8,
    later: u8,
    blocks: [u8; 6 * SPARES],
}

impl Spares {
    /// Adds a block at the end; false if there is no room.
    pub fn push(&mut self, block: u64) -> bool {
        let room = self.in_all() < SPARES;
        if room {
            let at = 6 * self.len();
            put_u48(&mut self.blocks, at, block);
            self.count += 1;
        }
        room
    }

    /// Keeps a block that is to be added [later](Self::add_later_ones); false if there is no room.
    pub fn push_later(&mut self, block: u64) -> bool {
        let room = self.in_all() < SPARES;
        if room {
            self.later += 1;
            let at = 6 * (SPARES - usize::from(self.later));
            put_u48(&mut self.blocks, at, block);
        }
        room
    }

    /// Adds the blocks that were kept for later, the first one first.
    pub fn add_later_ones(&mut self) {
        let kept = core::mem::take(&mut self.later);
        // In a list that is full the two halves lie on each other.
        let blocks = self.blocks;
        for place in 0..usize::from(kept) {
            self.push(u48_at(&blocks, 6 * (SPARES - 1 - place)));
        }
    }

    /// How many there are, those for later among them.
    pub fn in_all(&self) -> usize {
        self.len() + usize::from(self.later)
    }

    /// Takes the last block away.
    pub fn pop(&mut self) -> Option<u64> {
        self.count = self.count.checked_sub(1)?;
        Some(u48_at(&self.blocks, 6 * self.len()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The block at a place of the list.
    pub fn get(&self, at: usize) -> Option<u64> {
        (at < self.len()).then(|| u48_at(&self.blocks, 6 * at))
    }

    /// The blocks, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        (0..self.len()).map(|at| u48_at(&self.blocks, 6 * at))
    }
}

impl PartialEq for Spares {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Spares {}

impl Default for Spares {
    fn default() -> Self {
        Self { count: 0, later: 0, blocks: [0; 6 * SPARES] }
    }
}

impl FromIterator<u64> for Spares {
    /// The first [`SPARES`] of them.
    fn from_iter<T: IntoIterator<Item = u64>>(blocks: T) -> Self {
        let mut spares = Self::default();
        for block in blocks.into_iter().take(SPARES) {
            spares.push(block);
        }
        spares
    }
}

impl core::fmt::Debug for Spares {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

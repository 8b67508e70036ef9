//! The spares: free blocks that the superblock keeps at hand for the catalog.

use super::superblock::{SPARE_COUNT, SPARES_AT, Superblock};
use crate::bytes::{put, put_u48, put_u64, u8_at, u48_at};

/// How many there can be.
pub const SPARES: usize = 24;
/// Bytes of one, and of as many as there can be.
const SPARE: usize = 6;
const ALL: usize = SPARE * SPARES;

/// A list of at most [`SPARES`] blocks, as small as on the device. In memory those that are to come later are kept in the same room,
/// from its end on. The room is the list's own, or handed in.
#[derive(Clone, Copy)]
pub struct Spares<B = [u8; ALL]> {
    count: u8,
    later: u8,
    blocks: B,
}

impl Spares {
    /// Bytes for as many as there can be.
    pub const MEMORY: usize = ALL;
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Spares<B> {
    /// An empty list in this room.
    pub fn new(blocks: B) -> Self {
        Self { count: 0, later: 0, blocks }
    }

    /// The list that the fields of a superblock hold instead of this one.
    pub fn take(&mut self, fields: &[u8; Superblock::FIELDS]) {
        self.count = u8_at(fields, SPARE_COUNT);
        self.later = 0;
        put(self.blocks.as_mut(), 0, fields.get(SPARES_AT..).unwrap_or(&[]));
    }

    /// Writes the list among the fields of a superblock; those for later are not on it.
    pub fn put(&self, fields: &mut [u8; Superblock::FIELDS]) {
        put_u64(fields, SPARE_COUNT, self.count.into());
        let listed = SPARE * self.len();
        if let Some((list, rest)) = fields.get_mut(SPARES_AT..).and_then(|room| room.split_at_mut_checked(listed)) {
            put(list, 0, self.blocks.as_ref().get(..listed).unwrap_or(&[]));
            rest.fill(0);
        }
    }

    /// Adds a block at the end; false if there is no room.
    pub fn push(&mut self, block: u64) -> bool {
        let room = self.in_all() < SPARES;
        if room {
            self.set(self.len(), block);
            self.count += 1;
        }
        room
    }

    /// Keeps a block that is to be added [later](Self::add_later_ones); false if there is no room.
    pub fn push_later(&mut self, block: u64) -> bool {
        let room = self.in_all() < SPARES;
        if room {
            self.later += 1;
            self.set(SPARES - usize::from(self.later), block);
        }
        room
    }

    /// Adds the blocks that were kept for later, the first one first.
    pub fn add_later_ones(&mut self) {
        let kept = usize::from(core::mem::take(&mut self.later));
        let start = SPARES - kept;
        for place in 0..kept / 2 {
            let (one, other) = (self.at(start + place), self.at(SPARES - 1 - place));
            self.set(start + place, other);
            self.set(SPARES - 1 - place, one);
        }
        // Upwards, as they may lie on the places where they go.
        for place in start..SPARES {
            self.push(self.at(place));
        }
    }

    /// How many there are, those for later among them.
    pub fn in_all(&self) -> usize {
        self.len() + usize::from(self.later)
    }

    /// Takes the last block away.
    pub fn pop(&mut self) -> Option<u64> {
        self.count = self.count.checked_sub(1)?;
        Some(self.at(self.len()))
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
        (at < self.len()).then(|| self.at(at))
    }

    /// The blocks, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        (0..self.len()).map(|at| self.at(at))
    }

    fn at(&self, place: usize) -> u64 {
        u48_at(self.blocks.as_ref(), SPARE * place)
    }

    fn set(&mut self, place: usize, block: u64) {
        put_u48(self.blocks.as_mut(), SPARE * place, block);
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
        Self::new([0; ALL])
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

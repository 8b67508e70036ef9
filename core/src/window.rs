//! The allocation window: which blocks are given out next.
//!
//! Blocks are given out in one sweep a generation: from the cursor that the superblock records, upwards, once around. Only
//! blocks that are free in the *durable* space map are given out, so nothing that was freed in this generation is reused in
//! it (rule A2), and everything given out so far lies behind the sweep. After a crash the sweep goes on behind the last block
//! that any journal record names (rule A1); one number stands for the whole set.

use crate::bytes::{put_u64, u64_at};

/// Extents at hand.
const EXTENTS: usize = 8;
const EXTENT: usize = 16;

/// The sweep of a generation, in blocks from its start.
#[derive(Debug)]
pub(crate) struct Window<'w> {
    /// The block at which the sweep began.
    pub(crate) start: u64,
    /// How far the space map has been searched.
    pub(crate) searched: u64,
    /// Blocks given out.
    pub(crate) taken: u64,
    /// Free extents that were found: first block, length. They are all given out before others are looked for.
    extents: &'w mut [[u8; EXTENT]],
    /// How many there are.
    found: usize,
    /// Those before this one were given out.
    next: usize,
}

impl<'w> Window<'w> {
    /// Bytes of the workspace for the extents at hand.
    pub(crate) const MEMORY: usize = EXTENTS * EXTENT;

    pub(crate) fn new(memory: &'w mut [u8]) -> Self {
        Self { start: 0, searched: 0, taken: 0, extents: memory.as_chunks_mut().0, found: 0, next: 0 }
    }

    /// A new sweep.
    pub(crate) fn restart(&mut self, start: u64) {
        self.start = start;
        self.rewind(0, 0);
    }

    /// Where the sweep stands: distance from the start to the next block that can be given out.
    pub(crate) fn position(&self, total: u64) -> u64 {
        if self.is_empty() { self.searched } else { self.distance(self.at(self.next).0, total) }
    }

    /// The block at this distance from the start of the sweep: once around at most.
    pub(crate) fn block(&self, distance: u64, total: u64) -> u64 {
        let block = self.start + distance;
        if block >= total { block - total } else { block }
    }

    /// Distance of a block from the start of the sweep.
    pub(crate) fn distance(&self, block: u64, total: u64) -> u64 {
        if block >= self.start { block - self.start } else { block + total - self.start }
    }

    /// Goes back (or on) to a position; what was at hand is searched again.
    pub(crate) fn rewind(&mut self, position: u64, taken: u64) {
        (self.found, self.next) = (0, 0);
        self.searched = position;
        self.taken = taken;
    }

    /// Keeps a free extent; false if there is no room for another.
    pub(crate) fn add(&mut self, first: u64, length: u64) -> bool {
        if self.is_empty() {
            (self.found, self.next) = (0, 0);
        }
        let room = !self.is_full();
        if room {
            self.set(self.found, first, length);
            self.found += 1;
        }
        room
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next >= self.found
    }

    pub(crate) fn is_full(&self) -> bool {
        self.found >= self.extents.len()
    }

    /// Gives out up to `most` neighbouring blocks: first block, number.
    pub(crate) fn take(&mut self, most: u64) -> Option<(u64, u64)> {
        if self.is_empty() {
            return None;
        }
        let (first, length) = self.at(self.next);
        let count = length.min(most);
        if count < length {
            self.set(self.next, first + count, length - count);
        } else {
            self.next += 1;
        }
        self.taken += count;
        Some((first, count))
    }

    fn at(&self, place: usize) -> (u64, u64) {
        let extent = self.extents.get(place).unwrap_or(&[0; EXTENT]);
        (u64_at(extent, 0), u64_at(extent, 8))
    }

    fn set(&mut self, place: usize, first: u64, length: u64) {
        if let Some(extent) = self.extents.get_mut(place) {
            put_u64(extent, 0, first);
            put_u64(extent, 8, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn a_rewound_sweep_stands_where_it_stood() {
        let mut memory = [0; Window::MEMORY];
        let mut window = Window::new(&mut memory);
        window.restart(90);
        assert_eq!(window.distance(5, 100), 15);
        window.searched = 20;
        assert!(window.add(5, 3));
        assert_eq!(window.position(100), 15);
        assert_eq!(window.take(2), Some((5, 2)));
        assert_eq!((window.position(100), window.taken), (17, 2));
        window.rewind(15, 0);
        assert_eq!((window.position(100), window.taken, window.take(1)), (15, 0, None));
    }
}

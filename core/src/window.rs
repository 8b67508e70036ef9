//! The allocation window: which blocks are given out next.
//!
//! Blocks are given out in one sweep a generation: from the cursor that the superblock records, upwards, once around. Only
//! blocks that are free in the *durable* space map are given out, so nothing that was freed in this generation is reused in
//! it (rule A2), and everything given out so far lies behind the sweep. After a crash the sweep goes on behind the last block
//! that any journal record names (rule A1); one number stands for the whole set.

/// Extents at hand.
const EXTENTS: usize = 8;

/// The sweep of a generation, in blocks from its start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// The block at which the sweep began.
    pub(crate) start: u64,
    /// How far the space map has been searched.
    pub(crate) searched: u64,
    /// Free extents that were found and not yet given out: first block, length.
    extents: heapless::Deque<(u64, u64), EXTENTS>,
    /// Blocks given out.
    pub(crate) taken: u64,
}

impl Window {
    /// A new sweep.
    pub(crate) fn restart(&mut self, start: u64) {
        *self = Self { start, ..Self::default() };
    }

    /// Where the sweep stands: distance from the start to the next block that can be given out.
    pub(crate) fn position(&self, total: u64) -> u64 {
        self.extents.front().map_or(self.searched, |extent| self.distance(extent.0, total))
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
        self.extents.clear();
        self.searched = position;
        self.taken = taken;
    }

    /// Keeps a free extent; false if there is no room for another.
    pub(crate) fn add(&mut self, first: u64, length: u64) -> bool {
        self.extents.push_back((first, length)).is_ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.extents.is_full()
    }

    /// Gives out up to `most` neighbouring blocks: first block, number.
    pub(crate) fn take(&mut self, most: u64) -> Option<(u64, u64)> {
        let (first, length) = self.extents.pop_front()?;
        let count = length.min(most);
        if count < length {
            // There is room: one was taken out just now.
            let _ = self.extents.push_front((first + count, length - count));
        }
        self.taken += count;
        Some((first, count))
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn a_rewound_sweep_stands_where_it_stood() {
        let mut window = Window::default();
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

//! A disk of plain bytes that can be put back cheaply, and that counts its calls.

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use cowl::{BlockDevice, Geometry};

/// A disk that remembers which sectors differ from the image that it was made of. Copies of the handle are the same disk.
#[derive(Debug, Clone)]
pub(super) struct FlatDisk {
    state: Rc<RefCell<State>>,
    sector_size: usize,
}

#[derive(Debug)]
struct State {
    original: Vec<u8>,
    bytes: Vec<u8>,
    changed: Vec<usize>,
    calls: u64,
}

impl FlatDisk {
    pub(super) fn new(sector_size: usize, bytes: Vec<u8>) -> Self {
        let state = State { original: bytes.clone(), bytes, changed: Vec::new(), calls: 0 };
        Self { state: Rc::new(RefCell::new(state)), sector_size }
    }

    /// The content as it is becomes the one that [`reset`](Self::reset) brings back.
    pub(super) fn settle(&self) {
        let state = &mut *self.state.borrow_mut();
        state.original.clone_from(&state.bytes);
        state.changed.clear();
    }

    /// The content is the original one again.
    pub(super) fn reset(&self) {
        let state = &mut *self.state.borrow_mut();
        for sector in state.changed.drain(..) {
            let range = sector * self.sector_size..(sector + 1) * self.sector_size;
            state.bytes[range.clone()].copy_from_slice(&state.original[range]);
        }
        state.calls = 0;
    }

    /// Sectors that are not all zeros.
    pub(super) fn in_use(&self) -> Vec<usize> {
        let state = self.state.borrow();
        let sectors = state.bytes.chunks(self.sector_size).enumerate();
        sectors.filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).map(|(sector, _)| sector).collect()
    }

    /// Changes bytes from an offset on, as far as the sector goes.
    pub(super) fn patch(&self, sector: usize, offset: usize, with: &[u8]) {
        let state = &mut *self.state.borrow_mut();
        let from = sector * self.sector_size + offset;
        let length = with.len().min(self.sector_size - offset);
        state.bytes[from..from + length].copy_from_slice(&with[..length]);
        state.changed.push(sector);
    }

    /// The bytes of a sector.
    pub(super) fn sector(&self, sector: usize) -> Vec<u8> {
        self.state.borrow().bytes[sector * self.sector_size..(sector + 1) * self.sector_size].to_vec()
    }

    /// Calls since the last time.
    pub(super) fn take_calls(&self) -> u64 {
        std::mem::take(&mut self.state.borrow_mut().calls)
    }

    /// The bytes of a transfer. Whatever a pool contains: cowl never asks for what the device does not have.
    fn range(&self, state: &mut State, sector: u64, length: usize) -> std::ops::Range<usize> {
        state.calls += 1;
        let sectors = (state.bytes.len() / self.sector_size) as u64;
        let count = (length / self.sector_size) as u64;
        let inside =
            sector.checked_add(count).is_some_and(|end| end <= sectors) && length.is_multiple_of(self.sector_size);
        assert!(inside, "{length} bytes at sector {sector} of {sectors}");
        let from = sector as usize * self.sector_size;
        from..from + length
    }
}

impl BlockDevice for FlatDisk {
    type Error = Infallible;

    fn geometry(&self) -> Geometry {
        Geometry::new(self.sector_size as u32, (self.state.borrow().bytes.len() / self.sector_size) as u64)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Infallible> {
        let state = &mut *self.state.borrow_mut();
        let range = self.range(state, sector, buffer.len());
        buffer.copy_from_slice(&state.bytes[range]);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Infallible> {
        let state = &mut *self.state.borrow_mut();
        let range = self.range(state, sector, buffer.len());
        state.changed.extend(range.start / self.sector_size..range.end / self.sector_size);
        state.bytes[range].copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.state.borrow_mut().calls += 1;
        Ok(())
    }
}

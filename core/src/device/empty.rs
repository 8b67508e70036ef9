//! The base device of a pool that has none.

use core::marker::PhantomData;

use super::{BlockDevice, Geometry};

#[cfg(feature = "async")]
#[path = "../asynch/device/empty.rs"]
pub(crate) mod asynch;

/// Stands where a base device could be: no sectors, never read.
#[derive(Debug, Clone, Copy)]
pub struct NoBase<E>(PhantomData<E>);

impl<E> NoBase<E> {
    /// The one value.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Default for NoBase<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: core::fmt::Debug> BlockDevice for NoBase<E> {
    type Error = E;

    fn geometry(&self) -> Geometry {
        Geometry { read_only: true, ..Geometry::new(512, 0) }
    }

    fn read(&mut self, _sector: u64, buffer: &mut [u8]) -> Result<(), E> {
        buffer.fill(0);
        Ok(())
    }

    fn write(&mut self, _sector: u64, _buffer: &[u8]) -> Result<(), E> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), E> {
        Ok(())
    }
}

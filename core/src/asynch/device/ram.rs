//! Made from `device/ram.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;

impl BlockDevice for RamDisk<'_> {
    type Error = OutOfRange;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), OutOfRange> {
        let refused = OutOfRange { sector, length: buffer.len() };
        let range = self.range(sector, buffer.len())?;
        copy(buffer, self.bytes.get(range).ok_or(refused)?);
        Ok(())
    }

    async fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), OutOfRange> {
        let refused = OutOfRange { sector, length: buffer.len() };
        let range = self.range(sector, buffer.len())?;
        copy(self.bytes.get_mut(range).ok_or(refused)?, buffer);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), OutOfRange> {
        Ok(())
    }
}

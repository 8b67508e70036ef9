//! A volume for code that takes an `embedded-storage`: a range of bytes.

use cowl::BlockDevice;
use embedded_storage::{ReadStorage, Storage};

const SECTOR: usize = 512;

/// A volume as bytes, in a pool whose sectors are of 512 bytes: on one with larger sectors every call fails. A sector that is written in part
/// is read first; every write is flushed.
pub struct VolumeBytes<D>(pub D);

impl<D: BlockDevice> VolumeBytes<D> {
    /// Calls for each sector of the range: the device, the sector, the part of it, and that part's place in the range.
    fn each(
        &mut self,
        offset: u32,
        length: usize,
        mut what: impl FnMut(&mut [u8; SECTOR], core::ops::Range<usize>, usize) -> bool,
    ) -> Result<(), D::Error> {
        let (mut bytes, mut done) = ([0; SECTOR], 0);
        while done < length {
            let place = u64::from(offset) + done as u64;
            let (sector, from) = (place / SECTOR as u64, (place % SECTOR as u64) as usize);
            let part = (SECTOR - from).min(length - done);
            self.0.read(sector, &mut bytes)?;
            if what(&mut bytes, from..from + part, done) {
                self.0.write(sector, &bytes)?;
            }
            done += part;
        }
        Ok(())
    }
}

impl<D: BlockDevice> ReadStorage for VolumeBytes<D> {
    type Error = D::Error;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), D::Error> {
        self.each(offset, bytes.len(), |sector, part, done| {
            bytes[done..done + part.len()].copy_from_slice(&sector[part]);
            false
        })
    }

    fn capacity(&self) -> usize {
        usize::try_from(self.0.geometry().sectors).unwrap_or(usize::MAX).saturating_mul(SECTOR)
    }
}

impl<D: BlockDevice> Storage for VolumeBytes<D> {
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), D::Error> {
        self.each(offset, bytes.len(), |sector, part, done| {
            let length = part.len();
            sector[part].copy_from_slice(&bytes[done..done + length]);
            true
        })?;
        self.0.flush()
    }
}

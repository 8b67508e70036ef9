//! Discards, and what they may do.

use cowl::{BlockDevice, Geometry};

use super::{garbage, sector_size, wrapper};

/// What a discard leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// What was there.
    Old,
    /// Zeros.
    Zeros,
    /// Garbage.
    Garbage,
    /// Garbage, but only when the next flush comes: over whatever has been written there in the meantime, which is more than
    /// the contract of [`BlockDevice::discard`] lets a device do.
    Late,
}

/// A device that takes discards and makes writes of them: what holds writes back below holds discards back, and a power cut that
/// loses the write undoes the discard.
#[derive(Debug, Clone)]
pub struct Discarding<D> {
    device: D,
    leaves: Discarded,
    waiting: Vec<(u64, u64)>,
    discarded: u64,
}

wrapper!(Discarding);

impl<D: BlockDevice> Discarding<D> {
    /// A device whose discards leave this.
    pub fn new(device: D, leaves: Discarded) -> Self {
        Self { device, leaves, waiting: Vec::new(), discarded: 0 }
    }

    /// Sectors that were discarded so far.
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    fn spoil(&mut self, sector: u64, count: u64) -> Result<(), D::Error> {
        let mut bytes = vec![0; sector_size(&self.device)];
        for at in sector..sector + count {
            if self.leaves != Discarded::Zeros {
                garbage(&mut bytes);
            }
            self.device.write(at, &bytes)?;
        }
        Ok(())
    }
}

impl<D: BlockDevice> BlockDevice for Discarding<D> {
    type Error = D::Error;

    fn geometry(&self) -> Geometry {
        Geometry { discard: true, ..self.device.geometry() }
    }

    super::pass!(read);
    super::pass!(write);

    fn flush(&mut self) -> Result<(), D::Error> {
        for (sector, count) in std::mem::take(&mut self.waiting) {
            self.spoil(sector, count)?;
        }
        self.device.flush()
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), D::Error> {
        self.discarded += count;
        match self.leaves {
            Discarded::Old => Ok(()),
            Discarded::Late => {
                self.waiting.push((sector, count));
                Ok(())
            }
            Discarded::Zeros | Discarded::Garbage => self.spoil(sector, count),
        }
    }
}

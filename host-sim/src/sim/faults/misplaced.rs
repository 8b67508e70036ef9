//! Transfers that go to the wrong place, to no place, or to two.

use cowl::BlockDevice;

use super::{Trigger, When, pass, sector_size, triggered, wrapper};

/// Where a transfer goes instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To this sector. What would lie past the device's end is dropped.
    At(u64),
    /// Nowhere: a lost write. A read leaves the buffer as it is.
    Nowhere,
    /// To its place and to this sector too.
    AlsoAt(u64),
}

/// A device some of whose writes (or reads) go to another place and report success.
#[derive(Debug, Clone)]
pub struct Misplaced<D> {
    device: D,
    reads: bool,
    trigger: Trigger,
    place: Place,
}

wrapper!(Misplaced);
triggered!(Misplaced);

impl<D> Misplaced<D> {
    /// These writes go elsewhere.
    pub fn writes(device: D, when: When, place: Place) -> Self {
        Self { device, reads: false, trigger: Trigger::new(when), place }
    }

    /// These reads come from elsewhere; of [`Place::AlsoAt`] the second place wins.
    pub fn reads(device: D, when: When, place: Place) -> Self {
        Self { device, reads: true, trigger: Trigger::new(when), place }
    }
}

impl<D: BlockDevice> Misplaced<D> {
    /// Bytes of a transfer of this length that lie inside the device at another place.
    fn inside(&self, sector: u64, length: usize) -> usize {
        let left = self.device.geometry().sectors.saturating_sub(sector);
        length.min(usize::try_from(left).unwrap_or(usize::MAX).saturating_mul(sector_size(&self.device)))
    }
}

impl<D: BlockDevice> BlockDevice for Misplaced<D> {
    type Error = D::Error;

    pass!(geometry);
    pass!(flush);
    pass!(discard);

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), D::Error> {
        if !self.reads || !self.trigger.next() {
            return self.device.read(sector, buffer);
        }
        match self.place {
            Place::Nowhere => Ok(()),
            Place::At(other) | Place::AlsoAt(other) => {
                let inside = self.inside(other, buffer.len());
                self.device.read(other, &mut buffer[..inside])
            }
        }
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), D::Error> {
        if self.reads || !self.trigger.next() {
            return self.device.write(sector, buffer);
        }
        if matches!(self.place, Place::AlsoAt(_)) {
            self.device.write(sector, buffer)?;
        }
        match self.place {
            Place::Nowhere => Ok(()),
            Place::At(other) | Place::AlsoAt(other) => {
                self.device.write(other, &buffer[..self.inside(other, buffer.len())])
            }
        }
    }
}

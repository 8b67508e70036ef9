//! A device that becomes another while it is in use.

use cowl::{BlockDevice, Geometry};

use super::{Injected, Trigger, When, triggered, wrapper};

/// What becomes of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Every write, flush and discard fails; it says so in its geometry.
    ReadOnly,
    /// Every call fails.
    Vanished,
    /// It has so many sectors: fewer, and what lies behind fails; more, and what is new reads as zeros and takes nothing.
    Sectors(u64),
}

/// A device that changes when a call (of any kind) is struck, and stays changed as long as calls are.
#[derive(Debug, Clone)]
pub struct Changing<D> {
    device: D,
    trigger: Trigger,
    change: Change,
    changed: bool,
}

wrapper!(Changing);
triggered!(Changing);

impl<D: BlockDevice> Changing<D> {
    /// Changes with these calls.
    pub fn new(device: D, when: When, change: Change) -> Self {
        Self { device, trigger: Trigger::new(when), change, changed: false }
    }

    /// A call of so many sectors: how many of them the device below has, or the fault.
    fn reach(&mut self, changes: bool, sector: u64, count: u64) -> Result<u64, Injected<D::Error>> {
        self.changed = self.trigger.next();
        if !self.changed {
            return Ok(count);
        }
        match self.change {
            Change::Vanished => Err(Injected::Fault),
            Change::ReadOnly if changes => Err(Injected::Fault),
            Change::ReadOnly => Ok(count),
            Change::Sectors(sectors) if sector.saturating_add(count) > sectors => Err(Injected::Fault),
            Change::Sectors(_) => Ok(count.min(self.device.geometry().sectors.saturating_sub(sector))),
        }
    }

    fn count(&self, length: usize) -> u64 {
        (length / super::sector_size(&self.device)) as u64
    }
}

impl<D: BlockDevice> BlockDevice for Changing<D> {
    type Error = Injected<D::Error>;

    fn geometry(&self) -> Geometry {
        let geometry = self.device.geometry();
        match self.change {
            Change::ReadOnly if self.changed => Geometry { read_only: true, ..geometry },
            Change::Sectors(sectors) if self.changed => Geometry { sectors, ..geometry },
            _ => geometry,
        }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let there = self.reach(false, sector, self.count(buffer.len()))?;
        let (inside, behind) = buffer.split_at_mut(there as usize * super::sector_size(&self.device));
        behind.fill(0);
        if inside.is_empty() { Ok(()) } else { self.device.read(sector, inside).map_err(Injected::Device) }
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        let there = self.reach(true, sector, self.count(buffer.len()))?;
        let inside = &buffer[..there as usize * super::sector_size(&self.device)];
        if inside.is_empty() { Ok(()) } else { self.device.write(sector, inside).map_err(Injected::Device) }
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.reach(true, 0, 0)?;
        self.device.flush().map_err(Injected::Device)
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        let there = self.reach(true, sector, count)?;
        self.device.discard(sector, there).map_err(Injected::Device)
    }
}

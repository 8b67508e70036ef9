//! A torn write that takes its neighbours with it.

use cowl::{BlockDevice, Geometry};

use super::{Injected, Trigger, When, garbage, sector_size, triggered, wrapper};

/// A device of large physical units. The write that is struck is its last: it leaves garbage in every unit that it touches, and from
/// then on every call fails, as when the power goes. [`into_inner`](Self::into_inner) is the device after the power is back.
#[derive(Debug, Clone)]
pub struct Tearing<D> {
    device: D,
    trigger: Trigger,
    unit: u32,
    said: u32,
    dead: bool,
}

wrapper!(Tearing);
triggered!(Tearing);

impl<D> Tearing<D> {
    /// Units of so many bytes, which the geometry tells.
    pub fn new(device: D, unit: u32, when: When) -> Self {
        Self { device, trigger: Trigger::new(when), unit, said: unit, dead: false }
    }

    /// The geometry tells another size: a disk that hides its units.
    #[must_use]
    pub fn saying(self, said: u32) -> Self {
        Self { said, ..self }
    }

    /// The power has gone.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    fn alive<E>(&self) -> Result<(), Injected<E>> {
        if self.dead { Err(Injected::Fault) } else { Ok(()) }
    }
}

impl<D: BlockDevice> Tearing<D> {
    fn tear(&mut self, sector: u64, length: usize) -> Result<(), D::Error> {
        let geometry = self.device.geometry();
        let in_unit = u64::from(self.unit / geometry.sector_size).max(1);
        let count = (length / sector_size(&self.device)) as u64;
        let first = sector / in_unit * in_unit;
        let end = (sector + count).div_ceil(in_unit) * in_unit;
        let mut bytes = vec![0; sector_size(&self.device)];
        garbage(&mut bytes);
        for at in first..end.min(geometry.sectors) {
            self.device.write(at, &bytes)?;
        }
        Ok(())
    }
}

impl<D: BlockDevice> BlockDevice for Tearing<D> {
    type Error = Injected<D::Error>;

    fn geometry(&self) -> Geometry {
        Geometry { physical_size: self.said, ..self.device.geometry() }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.alive()?;
        self.device.read(sector, buffer).map_err(Injected::Device)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        self.alive()?;
        if !self.trigger.next() {
            return self.device.write(sector, buffer).map_err(Injected::Device);
        }
        self.dead = true;
        self.tear(sector, buffer.len()).map_err(Injected::Device)?;
        Err(Injected::Fault)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.alive()?;
        self.device.flush().map_err(Injected::Device)
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        self.alive()?;
        self.device.discard(sector, count).map_err(Injected::Device)
    }
}

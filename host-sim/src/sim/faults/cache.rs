//! A device's own cache, which a power cut empties.

use std::collections::BTreeMap;

use cowl::BlockDevice;

use super::{Injected, Trigger, When, garbage, pass, sector_size, triggered, wrapper};

/// What a failed flush does to the writes that it should have made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// They stay in the cache: the next flush may store them.
    Kept,
    /// They are gone, and reads show what is stored.
    Dropped,
    /// Every second sector is stored, the others are gone.
    Half,
}

/// Holds writes back until a flush passes them on. A power cut, or a flush that fails, loses what it holds.
#[derive(Debug, Clone)]
pub struct WriteCache<D> {
    device: D,
    held: BTreeMap<u64, Box<[u8]>>,
    trigger: Trigger,
    loss: Loss,
}

wrapper!(WriteCache);
triggered!(WriteCache);

impl<D: BlockDevice> WriteCache<D> {
    /// An empty cache, all of whose flushes work.
    pub fn new(device: D) -> Self {
        Self::losing(device, When::NEVER, Loss::Kept)
    }

    /// An empty cache; these flushes fail, with this loss.
    pub fn losing(device: D, when: When, loss: Loss) -> Self {
        Self { device, held: BTreeMap::new(), trigger: Trigger::new(when), loss }
    }

    /// Sectors that are held back.
    pub fn held(&self) -> impl Iterator<Item = u64> {
        self.held.keys().copied()
    }

    /// The power goes. The sectors that `keep` names are stored, the others are lost.
    pub fn cut(&mut self, mut keep: impl FnMut(u64) -> bool) {
        for (sector, bytes) in std::mem::take(&mut self.held) {
            if keep(sector) && self.device.write(sector, &bytes).is_err() {
                return;
            }
        }
    }

    /// The power goes in the middle of storing these sectors: they hold garbage; the others that were held are lost.
    pub fn tear(&mut self, mut torn: impl FnMut(u64) -> bool) {
        self.held.values_mut().for_each(|bytes| garbage(bytes));
        self.cut(&mut torn);
    }

    fn store(&mut self) -> Result<(), D::Error> {
        while let Some((sector, bytes)) = self.held.first_key_value() {
            self.device.write(*sector, bytes)?;
            self.held.pop_first();
        }
        self.device.flush()
    }
}

impl<D: BlockDevice> BlockDevice for WriteCache<D> {
    type Error = Injected<D::Error>;

    pass!(geometry);

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.device.read(sector, buffer).map_err(Injected::Device)?;
        let size = sector_size(&self.device);
        let end = sector + (buffer.len() / size) as u64;
        for (at, bytes) in self.held.range(sector..end) {
            buffer[(at - sector) as usize * size..][..size].copy_from_slice(bytes);
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        let geometry = self.device.geometry();
        let size = geometry.sector_size as usize;
        let end = sector.saturating_add((buffer.len() / size) as u64);
        if end > geometry.sectors || geometry.read_only {
            // The device says what is wrong with it.
            return self.device.write(sector, buffer).map_err(Injected::Device);
        }
        for (at, part) in (sector..).zip(buffer.chunks(size)) {
            self.held.insert(at, part.into());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        if !self.trigger.next() {
            return self.store().map_err(Injected::Device);
        }
        match self.loss {
            Loss::Kept => {}
            Loss::Dropped => self.held.clear(),
            Loss::Half => {
                let mut number = 0;
                self.cut(|_| {
                    number += 1;
                    number % 2 == 0
                });
            }
        }
        Err(Injected::Fault)
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        self.held.retain(|at, _| !(sector..sector.saturating_add(count)).contains(at));
        self.device.discard(sector, count).map_err(Injected::Device)
    }
}

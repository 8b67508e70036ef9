//! A disk whose power fails: a wrapper that holds back what no flush has covered, and at a chosen write loses a part of it.
//!
//! While no cut is planned everything passes straight through. With a cut planned, writes stay in memory until a flush; at the
//! cut each sector written since the last flush keeps what it had, or takes any one of the values written to it, each sector for
//! itself. From then on every request fails, until [`PowerCut::restore`].

use std::{collections::BTreeMap, io, path::Path};

use cowl::{BlockDevice, Geometry};

use crate::{DeviceError, FileDevice, sim::Rng};

/// See the module.
#[derive(Debug)]
pub struct PowerCut {
    device: FileDevice,
    /// Writes that are still to be survived, while a cut is planned.
    left: Option<u64>,
    off: bool,
    /// Values written to each sector since the last flush, oldest first.
    held: BTreeMap<u64, Vec<Vec<u8>>>,
    random: Rng,
}

/// What a power cut did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loss {
    /// Sectors that were not covered by a flush.
    pub open: u64,
    /// Of those, sectors that did not take their newest value.
    pub lost: u64,
}

impl PowerCut {
    /// With the power on and no cut planned.
    pub fn new(device: FileDevice) -> Self {
        Self { device, left: None, off: false, held: BTreeMap::new(), random: Rng::new(0) }
    }

    /// Plans a cut during the `write`-th write from now, counted from 0.
    pub fn plan(&mut self, write: u64, seed: u64) {
        self.left = Some(write);
        self.random = Rng::new(seed);
    }

    /// Cuts now if it has not happened yet, lets each open sector keep one of its values, and turns the power on again.
    ///
    /// # Errors
    /// The file below fails.
    pub fn restore(&mut self) -> Result<Loss, DeviceError> {
        let mut loss = Loss::default();
        for (sector, values) in std::mem::take(&mut self.held) {
            // 0: as it was before; else one of the values written since.
            let chosen = self.random.below(values.len() as u64 + 1);
            loss.open += 1;
            loss.lost += u64::from(chosen != values.len() as u64);
            if let Some(value) = usize::try_from(chosen).ok().and_then(|chosen| values.get(chosen.checked_sub(1)?)) {
                self.device.write(sector, value)?;
            }
        }
        self.device.flush()?;
        self.left = None;
        self.off = false;
        Ok(loss)
    }

    fn powered(&self, action: &'static str) -> Result<(), DeviceError> {
        if self.off {
            Err(DeviceError::new(action, Path::new("the disk"), io::Error::other("the power is off")))
        } else {
            Ok(())
        }
    }

    fn sector_size(&self) -> usize {
        self.device.geometry().sector_size as usize
    }

    fn hold(&mut self, sector: u64, buffer: &[u8]) {
        for (index, bytes) in (sector..).zip(buffer.chunks(self.sector_size())) {
            self.held.entry(index).or_default().push(bytes.to_vec());
        }
    }
}

impl BlockDevice for PowerCut {
    type Error = DeviceError;

    fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.powered("read")?;
        self.device.read(sector, buffer)?;
        let size = self.sector_size();
        let end = sector + (buffer.len() / size) as u64;
        for (index, values) in self.held.range(sector..end) {
            let at = usize::try_from(index - sector).unwrap_or(0) * size;
            if let Some(value) = values.last() {
                buffer[at..at + size].copy_from_slice(value);
            }
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.powered("write")?;
        match &mut self.left {
            None => return self.device.write(sector, buffer),
            Some(0) => self.off = true,
            Some(left) => *left -= 1,
        }
        self.hold(sector, buffer);
        self.powered("write")
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.powered("flush")?;
        for (sector, values) in std::mem::take(&mut self.held) {
            if let Some(value) = values.last() {
                self.device.write(sector, value)?;
            }
        }
        self.device.flush()
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), DeviceError> {
        self.powered("discard")?;
        if self.left.is_some() { Ok(()) } else { self.device.discard(sector, count) }
    }
}

#[cfg(test)]
mod tests {
    use cowl::BlockDevice;

    use super::PowerCut;
    use crate::FileDevice;

    #[test]
    fn what_was_flushed_survives_and_the_rest_is_old_or_new_sector_by_sector() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = PowerCut::new(FileDevice::create(dir.path().join("d"), 1 << 20).unwrap());
        let (mut kept, mut lost) = (0, 0);
        for seed in 0..20 {
            disk.plan(2, seed);
            disk.write(0, &[1; 4096]).unwrap();
            disk.flush().unwrap();
            disk.write(0, &[2; 4096]).unwrap();
            let mut back = [0; 4096];
            disk.read(0, &mut back).unwrap();
            assert_eq!(back, [2; 4096]);
            assert!(disk.write(8, &[3; 512]).is_err() && disk.off);
            assert!(disk.read(0, &mut back).is_err() && disk.flush().is_err());
            disk.restore().unwrap();
            disk.read(0, &mut back).unwrap();
            for sector in back.chunks(512) {
                assert!(sector == [1; 512] || sector == [2; 512]);
                *(if sector[0] == 2 { &mut kept } else { &mut lost }) += 1;
            }
        }
        assert!(kept > 20 && lost > 20);
    }
}

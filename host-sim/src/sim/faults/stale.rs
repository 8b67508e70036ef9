//! Sectors that read as what they held before.

use std::collections::BTreeMap;

use cowl::BlockDevice;

use super::{Trigger, When, pass, sector_size, triggered, wrapper};

/// What a read of a sector shows that has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// What was there before its last write.
    Old,
    /// Now the new content, now the old: a sector that was being written when the power went, and is metastable.
    /// The first read shows the old content if `old_first`.
    Alternating {
        /// The first read shows the old content.
        old_first: bool,
    },
}

/// A device that remembers what each sector held before its last write, and shows it. Sectors that are written again while the fault
/// is on are stale by one write.
#[derive(Debug, Clone)]
pub struct Stale<D> {
    device: D,
    before: BTreeMap<u64, Box<[u8]>>,
    /// `None`: all that were written.
    only: Option<u64>,
    reads: BTreeMap<u64, u64>,
    shown: Shown,
    trigger: Trigger,
}

wrapper!(Stale);
triggered!(Stale);

impl<D> Stale<D> {
    /// Remembers from now on; these reads are stale, counted over all reads.
    pub fn new(device: D, when: When, shown: Shown) -> Self {
        Self { device, before: BTreeMap::new(), only: None, reads: BTreeMap::new(), shown, trigger: Trigger::new(when) }
    }

    /// Only this sector is stale.
    pub fn only(&mut self, sector: u64) {
        self.only = Some(sector);
    }

    /// What the sector held before.
    pub fn remember(&mut self, sector: u64, bytes: &[u8]) {
        self.before.insert(sector, bytes.into());
    }

    /// The sectors that were written.
    pub fn written(&self) -> impl Iterator<Item = u64> {
        self.before.keys().copied()
    }

    fn is_old(&mut self, sector: u64) -> bool {
        if self.only.is_some_and(|only| only != sector) {
            return false;
        }
        let reads = self.reads.entry(sector).or_default();
        *reads += 1;
        match self.shown {
            Shown::Old => true,
            Shown::Alternating { old_first } => (*reads % 2 == 1) == old_first,
        }
    }
}

impl<D: BlockDevice> BlockDevice for Stale<D> {
    type Error = D::Error;

    pass!(geometry);
    pass!(flush);
    pass!(discard);

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), D::Error> {
        self.device.read(sector, buffer)?;
        if !self.trigger.next() {
            return Ok(());
        }
        let size = sector_size(&self.device);
        for (at, part) in (sector..).zip(buffer.chunks_mut(size)) {
            if self.before.contains_key(&at) && self.is_old(at) {
                part.copy_from_slice(&self.before[&at]);
            }
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), D::Error> {
        let size = sector_size(&self.device);
        let mut old = vec![0; buffer.len()];
        self.device.read(sector, &mut old)?;
        self.device.write(sector, buffer)?;
        for (at, part) in (sector..).zip(old.chunks(size)) {
            self.before.insert(at, part.into());
        }
        Ok(())
    }
}

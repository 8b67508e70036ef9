//! Rot: what is read is not what was written.

use std::collections::BTreeMap;

use cowl::BlockDevice;

use super::{Trigger, When, garbage, pass, sector_size, triggered, wrapper};

/// What has become of a sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rot {
    /// These bits of one byte are turned over.
    Bits {
        /// The byte in the sector.
        byte: usize,
        /// The bits.
        mask: u8,
    },
    /// One byte reads as this.
    Byte {
        /// The byte in the sector.
        byte: usize,
        /// Its value.
        value: u8,
    },
    /// All of it reads as garbage.
    Garbage,
    /// All of it reads as zeros.
    Zeros,
}

impl Rot {
    fn spoil(self, bytes: &mut [u8]) {
        match self {
            Self::Bits { byte, mask } => bytes[byte] ^= mask,
            Self::Byte { byte, value } => bytes[byte] = value,
            Self::Garbage => garbage(bytes),
            Self::Zeros => bytes.fill(0),
        }
    }
}

/// A device some of whose sectors have rotted. Writing a sector anew heals it, unless it is [stuck](Self::stuck).
#[derive(Debug, Clone)]
pub struct Rotten<D> {
    device: D,
    sectors: BTreeMap<u64, Vec<Rot>>,
    trigger: Trigger,
    stuck: bool,
}

wrapper!(Rotten);
triggered!(Rotten);

impl<D> Rotten<D> {
    /// These sectors have rotted; a sector may be named more than once.
    pub fn new(device: D, rot: impl IntoIterator<Item = (u64, Rot)>) -> Self {
        let mut sectors: BTreeMap<u64, Vec<Rot>> = BTreeMap::new();
        for (sector, one) in rot {
            sectors.entry(sector).or_default().push(one);
        }
        Self { device, sectors, trigger: Trigger::new(When::ALWAYS), stuck: false }
    }

    /// What is written to a rotten sector rots too.
    #[must_use]
    pub fn stuck(self) -> Self {
        Self { stuck: true, ..self }
    }

    /// Only these reads show the rot, counted over all reads.
    #[must_use]
    pub fn during(self, when: When) -> Self {
        Self { trigger: Trigger::new(when), ..self }
    }
}

impl<D: BlockDevice> BlockDevice for Rotten<D> {
    type Error = D::Error;

    pass!(geometry);
    pass!(flush);
    pass!(discard);

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), D::Error> {
        self.device.read(sector, buffer)?;
        if self.trigger.next() {
            let size = sector_size(&self.device);
            for (at, part) in (sector..).zip(buffer.chunks_mut(size)) {
                for rot in self.sectors.get(&at).into_iter().flatten() {
                    rot.spoil(part);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), D::Error> {
        self.device.write(sector, buffer)?;
        if !self.stuck {
            let end = sector + (buffer.len() / sector_size(&self.device)) as u64;
            self.sectors.retain(|at, _| !(sector..end).contains(at));
        }
        Ok(())
    }
}

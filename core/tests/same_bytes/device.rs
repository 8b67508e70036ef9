//! A device in memory that takes down everything that it is asked, fails when it is told to, and forgets what was not flushed.

use std::fmt::Debug;

use cowl::{BlockDevice, Geometry, crc32c};

/// The call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// The device, and the number that stands for all that happened on it.
pub struct Recorder {
    bytes: Vec<u8>,
    /// What the device says of itself.
    pub geometry: Geometry,
    /// What was in sectors that were written and not flushed, in the order of the writes.
    unflushed: Vec<(usize, Vec<u8>)>,
    /// Every call of this number fails; 0 for none.
    pub failing: u64,
    calls: u64,
    digest: u32,
}

impl Recorder {
    /// A device of zeros.
    pub fn new(geometry: Geometry) -> Self {
        let bytes = vec![0; usize::try_from(geometry.sectors * u64::from(geometry.sector_size)).unwrap()];
        Self { bytes, geometry, unflushed: Vec::new(), failing: 0, calls: 0, digest: 0 }
    }

    /// The number that stands for everything so far.
    pub fn digest(&self) -> u32 {
        self.digest
    }

    /// Takes down an answer.
    pub fn note(&mut self, answer: &dyn Debug) {
        self.digest = crc32c(self.digest, format!("{answer:?}").as_bytes());
    }

    /// Takes down bytes that were read.
    pub fn note_bytes(&mut self, bytes: &[u8]) {
        self.digest = crc32c(self.digest, bytes);
    }

    /// Makes the device longer.
    pub fn grow(&mut self, sectors: u64) {
        self.geometry.sectors += sectors;
        self.bytes.resize(usize::try_from(self.geometry.sectors).unwrap() * self.geometry.sector_size as usize, 0);
    }

    /// The power fails: of the writes that were not flushed every one is lost whose bit in `lost` is set, the last ones first.
    pub fn cut(&mut self, lost: u64) {
        for (i, (at, old)) in std::mem::take(&mut self.unflushed).into_iter().rev().enumerate() {
            if lost >> (i % 64) & 1 == 1 {
                self.bytes[at..at + old.len()].copy_from_slice(&old);
            }
        }
    }

    fn call(&mut self, kind: u8, sector: u64, length: usize) -> Result<usize, Failed> {
        self.calls += 1;
        self.note(&(kind, sector, length));
        let at = usize::try_from(sector).unwrap() * self.geometry.sector_size as usize;
        let whole = length.is_multiple_of(self.geometry.sector_size as usize);
        assert!(whole && at + length <= self.bytes.len(), "the core asks for {length} bytes at sector {sector}");
        if self.failing > 0 && self.calls.is_multiple_of(self.failing) { Err(Failed) } else { Ok(at) }
    }
}

impl BlockDevice for Recorder {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        let at = self.call(0, sector, buffer.len())?;
        buffer.copy_from_slice(&self.bytes[at..at + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        let at = self.call(1, sector, buffer.len())?;
        self.note_bytes(buffer);
        for (i, new) in buffer.chunks(self.geometry.sector_size as usize).enumerate() {
            let at = at + i * new.len();
            self.unflushed.push((at, self.bytes[at..at + new.len()].to_vec()));
            self.bytes[at..at + new.len()].copy_from_slice(new);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.call(2, 0, 0)?;
        self.unflushed.clear();
        Ok(())
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Failed> {
        let length = usize::try_from(count).unwrap() * self.geometry.sector_size as usize;
        self.call(3, sector, length).map(drop)
    }
}

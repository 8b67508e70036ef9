//! Calls that fail.

use cowl::BlockDevice;

use super::{Injected, Trigger, When, garbage, pass, sector_size, triggered, wrapper};

/// The calls that [`Failing`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Reads.
    Reads,
    /// Writes.
    Writes,
    /// Flushes.
    Flushes,
    /// Discards.
    Discards,
    /// Writes and flushes, in the order in which they come.
    Changes,
}

/// What a failed call has done all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// All of it.
    All,
    /// Of a write the first half, and garbage in the sector that the half goes through; of a flush nothing; of a read the first half of
    /// the buffer.
    Half,
}

/// A device some of whose calls report an error.
#[derive(Debug, Clone)]
pub struct Failing<D> {
    device: D,
    calls: Calls,
    trigger: Trigger,
    left: Left,
    sector: Option<u64>,
    paused: bool,
    struck: Option<Calls>,
}

wrapper!(Failing);
triggered!(Failing);

impl<D> Failing<D> {
    /// These calls fail, and nothing comes of them.
    pub fn new(device: D, calls: Calls, when: When) -> Self {
        let trigger = Trigger::new(when);
        Self { device, calls, trigger, left: Left::Nothing, sector: None, paused: false, struck: None }
    }

    /// Something comes of them.
    #[must_use]
    pub fn leaving(self, left: Left) -> Self {
        Self { left, ..self }
    }

    /// Counts from 0 again, and strikes other calls.
    pub fn plan(&mut self, calls: Calls, when: When, left: Left) {
        (self.calls, self.trigger, self.left) = (calls, Trigger::new(when), left);
    }

    /// While it is paused no call is counted, and none fails.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// What kind of call was struck last, told once.
    pub fn take_struck(&mut self) -> Option<Calls> {
        self.struck.take()
    }

    /// Only transfers that touch this sector are counted: a bad one.
    #[must_use]
    pub fn at(self, sector: u64) -> Self {
        Self { sector: Some(sector), ..self }
    }
}

impl<D: BlockDevice> Failing<D> {
    fn struck(&mut self, call: Calls, sector: u64, length: usize) -> bool {
        let changes = self.calls == Calls::Changes && matches!(call, Calls::Writes | Calls::Flushes);
        let counted = (self.calls == call || changes) && !self.paused && self.touched(sector, length);
        if !counted || !self.trigger.next() {
            return false;
        }
        self.struck = Some(call);
        true
    }

    fn touched(&self, sector: u64, length: usize) -> bool {
        let end = || sector + (length / sector_size(&self.device)) as u64;
        self.sector.is_none_or(|bad| (sector..end()).contains(&bad))
    }

    fn write_half(&mut self, sector: u64, buffer: &[u8]) -> Result<(), D::Error> {
        let size = sector_size(&self.device);
        let half = buffer.len() / 2;
        let whole = half / size * size;
        if whole > 0 {
            self.device.write(sector, &buffer[..whole])?;
        }
        if half > whole {
            let at = sector + (whole / size) as u64;
            let mut torn = vec![0; size];
            garbage(&mut torn);
            self.device.write(at, &torn)?;
        }
        Ok(())
    }
}

impl<D: BlockDevice> BlockDevice for Failing<D> {
    type Error = Injected<D::Error>;

    pass!(geometry);

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let struck = self.struck(Calls::Reads, sector, buffer.len());
        if !struck || self.left != Left::Nothing {
            self.device.read(sector, buffer).map_err(Injected::Device)?;
        }
        if struck && self.left == Left::Half {
            let half = buffer.len() / 2;
            buffer[half..].fill(0xee);
        }
        if struck { Err(Injected::Fault) } else { Ok(()) }
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        if !self.struck(Calls::Writes, sector, buffer.len()) {
            return self.device.write(sector, buffer).map_err(Injected::Device);
        }
        match self.left {
            Left::Nothing => Ok(()),
            Left::All => self.device.write(sector, buffer),
            Left::Half => self.write_half(sector, buffer),
        }
        .map_err(Injected::Device)?;
        Err(Injected::Fault)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        let struck = self.struck(Calls::Flushes, 0, 0);
        if !struck || self.left == Left::All {
            self.device.flush().map_err(Injected::Device)?;
        }
        if struck { Err(Injected::Fault) } else { Ok(()) }
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Self::Error> {
        let struck = self.struck(Calls::Discards, sector, 0);
        if !struck || self.left == Left::All {
            self.device.discard(sector, count).map_err(Injected::Device)?;
        }
        if struck { Err(Injected::Fault) } else { Ok(()) }
    }
}

//! A disk in memory in both colours, which notes every call and stops at one of them.

use std::ops::Range;

use cowl::{BlockDevice, Geometry, asynch};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Read { sector: u64, length: usize },
    Write { sector: u64, length: usize, crc: u32 },
    Flush,
    Discard { sector: u64, count: u64 },
}

/// Where the device fails, or never answers.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// How many calls go well before.
    pub call: usize,
    /// It has done what it was asked to.
    pub acts: bool,
}

#[derive(Debug, Clone)]
pub struct Disk {
    pub bytes: Vec<u8>,
    pub calls: Vec<Call>,
    pub stop: Option<Stop>,
    /// What it says of itself, where that is not so.
    pub claims: Option<Geometry>,
    /// Calls after which it takes no change any more.
    pub locks_after: Option<usize>,
    /// The call at which to stop was made.
    pub reached: bool,
    /// Calls made before it was told where to stop.
    before: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

impl Disk {
    pub fn new(bytes: usize) -> Self {
        let bytes = vec![0; bytes];
        Self { bytes, calls: Vec::new(), stop: None, claims: None, locks_after: None, reached: false, before: 0 }
    }

    /// The same disk, saying this of itself.
    pub fn claiming(mut self, geometry: Geometry) -> Self {
        self.claims = Some(geometry);
        self
    }

    pub fn stop_at(&mut self, stop: Option<Stop>) {
        (self.stop, self.reached, self.before) = (stop, false, self.calls.len());
    }

    /// A write, a flush or a discard was asked for since.
    pub fn has_written(&self) -> bool {
        self.calls[self.before..].iter().any(|call| !matches!(call, Call::Read { .. }))
    }

    /// Does what is asked, unless it is to stop here or cannot.
    fn go(&mut self, call: Call, at: Range<usize>, act: impl FnOnce(&mut [u8])) -> Result<(), Failed> {
        let number = self.calls.len() - self.before;
        self.calls.push(call);
        let locked = self.locks_after.is_some_and(|calls| number >= calls) && !matches!(call, Call::Read { .. });
        let place = self.bytes.get_mut(at).filter(|_| !locked).ok_or(Failed)?;
        let stop = self.stop.filter(|stop| stop.call == number);
        if stop.is_none_or(|stop| stop.acts) {
            act(place);
        }
        self.reached |= stop.is_some();
        if stop.is_some() { Err(Failed) } else { Ok(()) }
    }

    fn place(&self, sector: u64, length: usize) -> Range<usize> {
        let start = usize::try_from(sector).unwrap() * BlockDevice::geometry(self).sector_size as usize;
        start..start + length
    }

    /// An answer, or none for ever where it is to stop.
    async fn answer(&self, result: Result<(), Failed>) -> Result<(), Failed> {
        match result {
            Err(Failed) if self.stop.is_some() => std::future::pending().await,
            result => result,
        }
    }
}

impl BlockDevice for Disk {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        let own = Geometry { discard: true, ..Geometry::new(512, self.bytes.len() as u64 / 512) };
        self.claims.unwrap_or(own)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        let length = buffer.len();
        self.go(Call::Read { sector, length }, self.place(sector, length), |bytes| buffer.copy_from_slice(bytes))
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        let length = buffer.len();
        let call = Call::Write { sector, length, crc: cowl::crc32c(0, buffer) };
        self.go(call, self.place(sector, length), |bytes| bytes.copy_from_slice(buffer))
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.go(Call::Flush, 0..0, |_| ())
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Failed> {
        let length = usize::try_from(count).unwrap() * BlockDevice::geometry(self).sector_size as usize;
        self.go(Call::Discard { sector, count }, self.place(sector, length), |bytes| bytes.fill(0xdd))
    }
}

impl asynch::BlockDevice for Disk {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        BlockDevice::geometry(self)
    }

    async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        let result = BlockDevice::read(self, sector, buffer);
        self.answer(result).await
    }

    async fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        let result = BlockDevice::write(self, sector, buffer);
        self.answer(result).await
    }

    async fn flush(&mut self) -> Result<(), Failed> {
        let result = BlockDevice::flush(self);
        self.answer(result).await
    }

    async fn discard(&mut self, sector: u64, count: u64) -> Result<(), Failed> {
        let result = BlockDevice::discard(self, sector, count);
        self.answer(result).await
    }
}

//! A disk in memory in both colours, which notes every call and stops at one of them.

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
    /// The call at which to stop was made.
    pub reached: bool,
    /// Calls made before it was told where to stop.
    before: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

impl Disk {
    pub fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], calls: Vec::new(), stop: None, reached: false, before: 0 }
    }

    pub fn stop_at(&mut self, stop: Option<Stop>) {
        (self.stop, self.reached, self.before) = (stop, false, self.calls.len());
    }

    /// A write, a flush or a discard was asked for since.
    pub fn has_written(&self) -> bool {
        self.calls[self.before..].iter().any(|call| !matches!(call, Call::Read { .. }))
    }

    /// Does what is asked, unless it is to stop here.
    fn go(&mut self, call: Call, act: impl FnOnce(&mut Vec<u8>)) -> Result<(), Failed> {
        let number = self.calls.len() - self.before;
        self.calls.push(call);
        let stop = self.stop.filter(|stop| stop.call == number);
        if stop.is_none_or(|stop| stop.acts) {
            act(&mut self.bytes);
        }
        self.reached |= stop.is_some();
        if stop.is_some() { Err(Failed) } else { Ok(()) }
    }

    fn place(sector: u64, length: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(sector).unwrap() * 512;
        start..start + length
    }
}

impl BlockDevice for Disk {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        Geometry { discard: true, ..Geometry::new(512, self.bytes.len() as u64 / 512) }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        let length = buffer.len();
        self.go(Call::Read { sector, length }, |bytes| buffer.copy_from_slice(&bytes[Self::place(sector, length)]))
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        let call = Call::Write { sector, length: buffer.len(), crc: cowl::crc32c(0, buffer) };
        self.go(call, |bytes| bytes[Self::place(sector, buffer.len())].copy_from_slice(buffer))
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.go(Call::Flush, |_| ())
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Failed> {
        let length = usize::try_from(count).unwrap() * 512;
        self.go(Call::Discard { sector, count }, |bytes| bytes[Self::place(sector, length)].fill(0xdd))
    }
}

/// An answer, or none for ever.
async fn answer(result: Result<(), Failed>) -> Result<(), Failed> {
    match result {
        Ok(()) => Ok(()),
        Err(Failed) => std::future::pending().await,
    }
}

impl asynch::BlockDevice for Disk {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        BlockDevice::geometry(self)
    }

    async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        answer(BlockDevice::read(self, sector, buffer)).await
    }

    async fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        answer(BlockDevice::write(self, sector, buffer)).await
    }

    async fn flush(&mut self) -> Result<(), Failed> {
        answer(BlockDevice::flush(self)).await
    }

    async fn discard(&mut self, sector: u64, count: u64) -> Result<(), Failed> {
        answer(BlockDevice::discard(self, sector, count)).await
    }
}

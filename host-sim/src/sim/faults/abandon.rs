//! Operations that are given up half-way.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use cowl::BlockDevice;

use super::{Trigger, When, pass, triggered, wrapper};

/// Marks the unwinding that [`Abandoning`] starts.
struct Abandoned;

/// A device that never returns from the call that is struck (of any kind): the stack is unwound to [`finished`], as when an
/// embedder drops an operation, or its thread dies, while it waits for the device.
#[derive(Debug, Clone)]
pub struct Abandoning<D> {
    device: D,
    trigger: Trigger,
    after: bool,
}

wrapper!(Abandoning);
triggered!(Abandoning);

impl<D> Abandoning<D> {
    /// Unwinds before the device below sees the call.
    pub fn before(device: D, when: When) -> Self {
        Self { device, trigger: Trigger::new(when), after: false }
    }

    /// Unwinds when the device below has done what it was told.
    pub fn after(device: D, when: When) -> Self {
        Self { device, trigger: Trigger::new(when), after: true }
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut D) -> T) -> T {
        let struck = self.trigger.next();
        if struck && !self.after {
            resume_unwind(Box::new(Abandoned));
        }
        let result = call(&mut self.device);
        if struck {
            resume_unwind(Box::new(Abandoned));
        }
        result
    }
}

/// Runs something on a pool whose device is [`Abandoning`]: `None` if it was abandoned. Whatever it owned has been dropped
/// then. Any other panic goes on.
pub fn finished<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Abandoned>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

impl<D: BlockDevice> BlockDevice for Abandoning<D> {
    type Error = D::Error;

    pass!(geometry);

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), D::Error> {
        self.call(|device| device.read(sector, buffer))
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), D::Error> {
        self.call(|device| device.write(sector, buffer))
    }

    fn flush(&mut self) -> Result<(), D::Error> {
        self.call(BlockDevice::flush)
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), D::Error> {
        self.call(|device| device.discard(sector, count))
    }
}

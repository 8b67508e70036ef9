//! Flushes that lie.

use cowl::BlockDevice;

use super::{Trigger, When, pass, triggered, wrapper};

/// A device some of whose flushes report success and do nothing. What is written stays wherever the device below keeps it until an
/// honest flush comes.
#[derive(Debug, Clone)]
pub struct LyingFlush<D> {
    device: D,
    trigger: Trigger,
}

wrapper!(LyingFlush);
triggered!(LyingFlush);

impl<D> LyingFlush<D> {
    /// These flushes lie.
    pub fn new(device: D, when: When) -> Self {
        Self { device, trigger: Trigger::new(when) }
    }
}

impl<D: BlockDevice> BlockDevice for LyingFlush<D> {
    type Error = D::Error;

    pass!(geometry);
    pass!(read);
    pass!(write);
    pass!(discard);

    fn flush(&mut self) -> Result<(), D::Error> {
        if self.trigger.next() { Ok(()) } else { self.device.flush() }
    }
}

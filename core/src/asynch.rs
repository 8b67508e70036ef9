//! The same pool over a device that is waited for, as `embassy`'s drivers are.
//!
//! Everything here is made from the blocking core, file by file, by a test that also sees to it that it stays so: what is proven of
//! [`crate::Pool`] is proven of the same code. [`BlockDevice`] has the same contract, [`Pool`] the same functions; the types that wait
//! for nothing (errors, options, what a layer is) are the same ones. There is no `layers()`: `Iterator` cannot wait, and
//! [`Pool::next_layer`] does.
//!
//! No executor is needed, nothing is spawned, and nothing is allocated. A pool serves one call at a time.
//!
//! # A future that is dropped
//!
//! A call may be given up at any `await`, by a timeout for example. The pool is then as if the device had failed there, which it finds out
//! when it is called again. If the call had begun to write, the pool refuses changes with [`Error::Poisoned`](crate::Error::Poisoned) until
//! it is mounted again, and what was flushed is there; if it had only read, the pool goes on as if it had not been called (of a long discard
//! a part may be done).
//! Until then [`Pool::info`] and [`Pool::space`] may show what the call had in mind.
//! A mount that is given up takes the device with it unless it was given `&mut device`. A future that was never polled has done nothing; a plan
//! that was handed to [`Pool::commit`] in such a way is held until the next mount. Who gives up a flush of its own device between
//! [`Pool::begin_flush`] and [`Pool::end_flush`] tells the pool nothing: what was written before is then durable with the next flush that is ended.
//!
//! The device's part: once the future of one of its calls is dropped, the operation is over or never happens. A write that is still on its way when the pool is
//! mounted again could come upon what is written then. A driver that cannot call an operation back waits for it before it takes the next.
//!
//! ```
//! # fn block_on<F: Future>(future: F) -> F::Output {
//! #     let mut future = core::pin::pin!(future);
//! #     let mut context = core::task::Context::from_waker(core::task::Waker::noop());
//! #     loop { if let core::task::Poll::Ready(done) = future.as_mut().poll(&mut context) { return done; } }
//! # }
//! # fn main() -> Result<(), cowl::Error<cowl::OutOfRange>> { block_on(async {
//! use cowl::{Attributes, FormatOptions, LayerFlags, MountOptions, RamDisk, asynch::Pool};
//!
//! let mut flash = [0; 1 << 18];
//! let mut workspace = [0; 1 << 16];
//! let mut disk = RamDisk::new(&mut flash);
//! Pool::format(&mut disk, &mut workspace, &FormatOptions::new(512, [7; 16])).await?;
//! let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).await?;
//! let root = pool.create(&Attributes { name: "root", ..Attributes::default() }, 64, LayerFlags::empty()).await?;
//! pool.write(root, 0, &[1; 512]).await?;
//! pool.snapshot(root, &Attributes { name: "before", ..Attributes::default() }).await?;
//! pool.unmount().await?;
//! # Ok(()) }) }
//! ```

use crate::store::asynch::Store;
pub use crate::{
    device::asynch::BlockDevice,
    device::{counting::asynch::Counting, partition::asynch::Partition},
    pool::asynch::Pool,
    reader::asynch::Reader,
    what_if::asynch::WhatIf,
};

impl<D: BlockDevice> Store<'_, D> {
    /// A call begins. If one is still under way, its future was dropped.
    pub(crate) fn enter(&mut self) {
        let done = self.stats.writes + self.stats.flushes;
        if let Some(before) = self.entered.replace(done) {
            self.forsake(before != done);
        }
    }

    /// The call has come to its end, good or bad.
    pub(crate) fn leave(&mut self) {
        self.entered = None;
    }

    /// What an error at the place where the future was dropped would have done.
    fn forsake(&mut self, wrote: bool) {
        self.poisoned |= wrote;
        if self.building {
            self.abort();
        }
        self.layout = self.durable().layout();
    }
}

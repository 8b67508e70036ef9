//! The pool behind a lock, for many threads; data moves outside it.
//!
//! Reading and writing take the lock for the planning alone (rules T1 to T6 of the core's design): *resolve*, unlock, transfer,
//! lock, *release*; *prepare*, unlock, transfer, lock, *commit*. What needs the pool for itself (a checkpoint, an operation
//! on layers) closes the *gate*: no transfer begins any more, and it goes ahead when the last one has ended.
//!
//! A server holds one pool until it ends, so device, base and workspace live as long as the process. The lock is held for one
//! call; whoever has more to do than that lets go in between.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use cowl::{BlockDevice, Checksum, Error, Extent, ExtentKind, Geometry, LayerId, Reading, Writing};

use crate::{
    DeviceError,
    device::{Direct, HostPool},
};

/// What a call on a shared pool returns.
pub type Outcome<T> = Result<T, Error<DeviceError>>;

/// A pool of this process: everything below it is never given back to the allocator.
pub type OwnPool = HostPool<'static, 'static>;

/// A pool for many threads.
pub struct Shared {
    inner: Mutex<Inner>,
    /// The gate has been opened, or the last transfer has ended.
    changed: Condvar,
    flushes: Mutex<Flushes>,
    flushed: Condvar,
    direct: Arc<Direct>,
    geometry: Geometry,
    block_size: u32,
    checksum: Checksum,
}

struct Inner {
    pool: OwnPool,
    /// How many want the pool for themselves.
    waiting: u32,
}

/// Device flushes, one at a time and counted: whoever asks while one is running is served by the next, together with all others.
#[derive(Default)]
struct Flushes {
    begun: u64,
    done: u64,
    running: bool,
}

/// The pool for oneself, with no transfer under way.
pub struct Held<'a> {
    shared: &'a Shared,
    inner: Option<MutexGuard<'a, Inner>>,
}

/// What to do next with a range.
enum Plan<T> {
    /// This transfer.
    Transfer(T),
    /// The pool does it.
    Pool,
}

impl Shared {
    /// Shares the pool.
    pub fn new(pool: OwnPool) -> Self {
        let geometry = pool.device().geometry();
        Self {
            direct: pool.device().direct().clone(),
            block_size: pool.info().block_size,
            checksum: pool.checksum(),
            inner: Mutex::new(Inner { pool, waiting: 0 }),
            changed: Condvar::new(),
            flushes: Mutex::new(Flushes::default()),
            flushed: Condvar::new(),
            geometry,
        }
    }

    /// Gives the pool back.
    pub fn into_inner(self) -> OwnPool {
        self.inner.into_inner().unwrap_or_else(PoisonError::into_inner).pool
    }

    /// The pool, for whatever is not data: the gate is closed until the result is dropped.
    pub fn lock(&self) -> Held<'_> {
        let mut inner = self.inner();
        inner.waiting += 1;
        while inner.pool.transfers() > 0 {
            inner = self.wait(inner);
        }
        Held { shared: self, inner: Some(inner) }
    }

    /// The way to the device without the pool.
    pub fn direct(&self) -> &Arc<Direct> {
        &self.direct
    }

    /// The checksum of the pool.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Bytes in a sector.
    pub fn sector_size(&self) -> u32 {
        self.geometry.sector_size
    }

    /// Bytes in a block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, once the gate is open.
    fn enter(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner();
        while inner.waiting > 0 {
            inner = self.wait(inner);
        }
        inner
    }

    /// Something was given back: whoever waits for the last transfer is told.
    fn leave(&self, inner: &MutexGuard<'_, Inner>) {
        if inner.waiting > 0 && inner.pool.transfers() == 0 {
            self.changed.notify_all();
        }
    }

    /// As [`cowl::Pool::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, layer: LayerId, sector: u64, buffer: &mut [u8]) -> Outcome<()> {
        let size = self.geometry.sector_size as usize;
        let mut done = 0;
        while done < buffer.len() {
            let (at, left) = (sector + (done / size) as u64, &mut buffer[done..]);
            match self.plan(|pool| pool.resolve(layer, at, (left.len() / size) as u64))? {
                Plan::Transfer(reading) => done += self.transfer_in(reading, left)?,
                Plan::Pool => {
                    // Verified by the pool, or from the base: a block at a time, so that nobody waits long.
                    let block = self.block_size as usize;
                    let part = left.len().min(block.max(1 << 16));
                    self.enter().pool.read(layer, at, &mut left[..part])?;
                    done += part;
                }
            }
        }
        Ok(())
    }

    fn transfer_in(&self, reading: Reading, buffer: &mut [u8]) -> Outcome<usize> {
        let Extent { count, kind, .. } = reading.extent();
        let length = usize::try_from(count).unwrap_or(0) * self.geometry.sector_size as usize;
        let part = &mut buffer[..length];
        let moved = match kind {
            ExtentKind::Data { sector } => self.direct.read(sector, part).map_err(Error::Device),
            ExtentKind::Zero | ExtentKind::Empty => {
                part.fill(0);
                Ok(())
            }
        };
        let mut inner = self.inner();
        inner.pool.release(reading);
        self.leave(&inner);
        moved.map(|()| length)
    }

    /// As [`cowl::Pool::write`], but range by range: on a full pool a part of it may have been written.
    ///
    /// # Errors
    /// As there. A full file system below is an error of the device and does not stop the pool.
    pub fn write(&self, volume: LayerId, sector: u64, buffer: &[u8]) -> Outcome<()> {
        let size = self.geometry.sector_size as usize;
        let mut done = 0;
        while done < buffer.len() {
            let (at, left) = (sector + (done / size) as u64, &buffer[done..]);
            match self.plan(|pool| pool.prepare(volume, at, (left.len() / size) as u64))? {
                Plan::Transfer(writing) => done += self.transfer_out(writing, left)?,
                Plan::Pool => {
                    // As far as the block goes: what follows may be planned again.
                    let block = self.block_size as usize / size;
                    let within = usize::try_from(at % block as u64).unwrap_or(0);
                    let part = left.len().min((block - within) * size);
                    self.exclusively(|pool| pool.write(volume, at, &left[..part]))?;
                    done += part;
                }
            }
        }
        Ok(())
    }

    fn transfer_out(&self, writing: Writing, buffer: &[u8]) -> Outcome<usize> {
        let length = usize::try_from(writing.sectors()).unwrap_or(0) * self.geometry.sector_size as usize;
        let part = &buffer[..length];
        let sum = |block: &[u8]| (self.checksum)(0, block);
        let moved = self.direct.write(writing.sector(), part);
        let block = self.block_size as usize;
        let whole = writing.checksums() > 0 && length as u64 == writing.checksums() * block as u64;
        // One block is the usual case, and needs no memory of its own.
        let (one, many): ([u32; 1], Vec<u32>);
        let sums: &[u32] = match (whole, length == block) {
            (false, _) => &[],
            (true, true) => {
                one = [sum(part)];
                &one
            }
            (true, false) => {
                many = part.chunks(block).map(sum).collect();
                &many
            }
        };
        let mut inner = self.inner();
        let done = match moved {
            Ok(()) => inner.pool.commit(writing, sums),
            Err(error) => {
                inner.pool.cancel(writing);
                Err(Error::Device(error))
            }
        };
        self.leave(&inner);
        done.map(|()| length)
    }

    /// Plans a transfer; a checkpoint that must come first is made.
    fn plan<T>(&self, plan: impl Fn(&mut OwnPool) -> Outcome<Option<T>>) -> Outcome<Plan<T>> {
        // The lock is let go of before it is taken again.
        let planned = plan(&mut self.enter().pool);
        let planned = match planned {
            Err(Error::Busy { .. }) => plan(&mut self.lock()),
            planned => planned,
        };
        planned.map(|planned| planned.map_or(Plan::Pool, Plan::Transfer))
    }

    /// Does something with the pool; alone, if it turns out that it must.
    fn exclusively<T>(&self, work: impl Fn(&mut OwnPool) -> Outcome<T>) -> Outcome<T> {
        let done = work(&mut self.enter().pool);
        match done {
            Err(Error::Busy { .. }) => work(&mut self.lock()),
            result => result,
        }
    }

    /// Asks the pool for something that is not data. Transfers go on meanwhile, unless the answer needs a checkpoint first.
    ///
    /// # Errors
    /// Those of `question`.
    pub fn look<T>(&self, question: impl Fn(&mut OwnPool) -> Outcome<T>) -> Outcome<T> {
        self.exclusively(question)
    }

    /// As [`cowl::Pool::discard`].
    ///
    /// # Errors
    /// As there.
    pub fn discard(&self, volume: LayerId, sector: u64, count: u64) -> Outcome<()> {
        self.exclusively(|pool| pool.discard(volume, sector, count))
    }

    /// As [`cowl::Pool::write_zeroes`].
    ///
    /// # Errors
    /// As there.
    pub fn write_zeroes(&self, volume: LayerId, sector: u64, count: u64) -> Outcome<()> {
        self.exclusively(|pool| pool.write_zeroes(volume, sector, count))
    }

    /// As [`cowl::Pool::extent`].
    ///
    /// # Errors
    /// As there.
    pub fn extent(&self, layer: LayerId, sector: u64) -> Outcome<Extent> {
        self.enter().pool.extent(layer, sector)
    }

    /// As [`cowl::Pool::flush`]: every write that returned before is durable. Transfers go on meanwhile.
    ///
    /// # Errors
    /// As there.
    pub fn flush(&self) -> Outcome<()> {
        let mut flushes = self.flushes();
        let wanted = flushes.begun + 1;
        while flushes.done < wanted {
            if flushes.running {
                flushes = self.flushed.wait(flushes).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            flushes.running = true;
            flushes.begun += 1;
            let this = flushes.begun;
            drop(flushes);
            let result = self.flush_device();
            flushes = self.flushes();
            flushes.running = false;
            self.flushed.notify_all();
            result?;
            flushes.done = this;
        }
        Ok(())
    }

    fn flushes(&self) -> MutexGuard<'_, Flushes> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush_device(&self) -> Outcome<()> {
        let Some(flushing) = self.exclusively(OwnPool::begin_flush)? else { return Ok(()) };
        let flushed = self.direct.flush();
        self.inner().pool.end_flush(flushing, flushed)
    }
}

impl Held<'_> {
    /// Lets others in for a moment: transfers, and whoever else waits for the pool.
    pub fn breathe(&mut self) {
        let shared = self.shared;
        if let Some(inner) = self.inner.take() {
            shared.open(inner);
        }
        std::thread::yield_now();
        self.inner = shared.lock().inner.take();
    }
}

impl Shared {
    /// Opens the gate again.
    fn open(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.waiting = inner.waiting.saturating_sub(1);
        drop(inner);
        self.changed.notify_all();
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            self.shared.open(inner);
        }
    }
}

impl Deref for Held<'_> {
    type Target = OwnPool;

    fn deref(&self) -> &OwnPool {
        match &self.inner {
            Some(inner) => &inner.pool,
            None => unreachable!("it is only let go of in between"),
        }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut OwnPool {
        match &mut self.inner {
            Some(inner) => &mut inner.pool,
            None => unreachable!("it is only let go of in between"),
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("geometry", &self.geometry).finish_non_exhaustive()
    }
}

//! One layer as clients see it: bytes at any offset, and the errors of the protocol.
//!
//! Whole sectors go straight to the pool. The sectors that a request covers in part are read, changed and written back while the
//! pool is held, so that two clients that write to different halves of a sector both get their way. Ranges whose length is not
//! that of their data (trim, zeroes) are worked off in steps, each with the pool held for itself: a client that zeroes a whole
//! disk does not keep the others waiting.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use cowl::{Error, LayerId};
use tracing::{debug, warn};

use super::codec::Errno;
use crate::{
    DeviceError,
    serve::{
        metrics::{Metrics, Operation},
        room::{NoRoom, Patience, Room},
        shared::{Outcome, Shared},
    },
};

/// Bytes of a range that are trimmed or zeroed while the pool is held once.
const STEP: u64 = 4 << 20;
/// Bytes of zeros that are written at once.
const ZEROES: usize = 64 << 10;

/// What is the same for all exports of a server.
#[derive(Debug)]
pub struct Backend {
    /// The pool.
    pub shared: Arc<Shared>,
    /// What the file system below has left.
    pub room: Arc<Room>,
    /// Requests that failed because of the pool or the device.
    pub failures: AtomicU64,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// A layer that is being served.
#[derive(Debug)]
pub struct Export {
    pub(super) backend: Arc<Backend>,
    pub(super) layer: LayerId,
    /// Its size in bytes, when the client came.
    pub(super) size: u64,
    /// Bytes in a sector.
    pub(super) sector: u64,
    /// Bytes in a block.
    pub(super) block: u32,
    /// The first byte that no base device shows through.
    pub(super) base_end: u64,
    pub(crate) read_only: bool,
}

/// What a request comes to.
pub type Answer = Result<(), Errno>;

impl Export {
    /// The layer.
    pub fn layer(&self) -> LayerId {
        self.layer
    }

    /// Writes are refused.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Fills the buffer with what the layer holds from this byte on.
    ///
    /// # Errors
    /// The pool's, as the protocol names them.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Answer {
        self.counted(Operation::Read, buffer.len() as u64, || self.read_range(offset, buffer))
    }

    fn read_range(&self, offset: u64, buffer: &mut [u8]) -> Answer {
        let (head, rest) = buffer.split_at_mut(self.before_boundary(offset, buffer.len()));
        self.read_part(offset, head)?;
        let offset = offset + head.len() as u64;
        let (whole, tail) = rest.split_at_mut(rest.len() - rest.len() % self.sector_bytes());
        if !whole.is_empty() {
            self.told("read", self.backend.shared.read(self.layer, offset / self.sector, whole))?;
        }
        self.read_part(offset + whole.len() as u64, tail)
    }

    /// Writes the bytes from this one on; where it has to wait for room, with patience.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&self, offset: u64, bytes: &[u8], patience: Patience<'_>) -> Answer {
        self.counted(Operation::Write, bytes.len() as u64, || {
            let no_room = |why| match why {
                NoRoom::Refused => Errno::NoSpace,
                NoRoom::GivenUp => Errno::Shutdown,
            };
            let room = &self.backend.room;
            loop {
                room.admit(bytes.len() as u64, patience).map_err(no_room)?;
                let mut is_full = false;
                match self.write_range(offset, bytes, &mut is_full) {
                    // Somebody else has taken it in between.
                    Err(Errno::NoSpace) if is_full => room.wait(patience).map_err(no_room)?,
                    answer => return answer,
                }
            }
        })
    }

    /// `is_full` tells whether it is the file system that has no room, and not the pool.
    fn write_range(&self, offset: u64, bytes: &[u8], is_full: &mut bool) -> Answer {
        let (head, rest) = bytes.split_at(self.before_boundary(offset, bytes.len()));
        self.write_part(offset, head)?;
        let offset = offset + head.len() as u64;
        let (whole, tail) = rest.split_at(rest.len() - rest.len() % self.sector_bytes());
        if !whole.is_empty() {
            let written = self.backend.shared.write(self.layer, offset / self.sector, whole);
            *is_full = matches!(&written, Err(Error::Device(error)) if error.is_full());
            self.told("write", written)?;
        }
        self.write_part(offset + whole.len() as u64, tail)
    }

    /// Gives up the whole blocks of a range; `closing` ends it early.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn trim(&self, offset: u64, length: u64, closing: &AtomicBool) -> Answer {
        self.counted(Operation::Discard, 0, || self.trim_range(offset, length, closing))
    }

    fn trim_range(&self, offset: u64, length: u64, closing: &AtomicBool) -> Answer {
        let (first, end) = (offset.div_ceil(self.sector), (offset + length) / self.sector);
        self.in_steps(first, end, closing, |first, count| {
            self.told("discard", self.backend.shared.discard(self.layer, first, count))
        })
    }

    /// Makes a range read as zeros, without taking space; `closing` ends it early.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn zero(&self, offset: u64, length: u64, closing: &AtomicBool) -> Answer {
        self.counted(Operation::WriteZeroes, 0, || self.zero_range(offset, length, closing))
    }

    fn zero_range(&self, offset: u64, length: u64, closing: &AtomicBool) -> Answer {
        let short = usize::try_from(length).unwrap_or(usize::MAX);
        let head = self.before_boundary(offset, short);
        self.zero_part(offset, head)?;
        let (offset, length) = (offset + head as u64, length - head as u64);
        let tail = length % self.sector;
        let (first, end) = (offset / self.sector, (offset + length - tail) / self.sector);
        self.in_steps(first, end, closing, |first, count| {
            self.told("write zeroes", self.backend.shared.write_zeroes(self.layer, first, count))
        })?;
        self.zero_part(end * self.sector, usize::try_from(tail).unwrap_or(0))
    }

    /// Writes zeros as data, so that the range keeps its space; `closing` ends it early.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn fill(&self, offset: u64, length: u64, closing: &AtomicBool, patience: Patience<'_>) -> Answer {
        static ZEROS: [u8; ZEROES] = [0; ZEROES];
        let end = offset + length;
        let mut at = offset;
        while at < end {
            going_on(closing)?;
            let part = usize::try_from(end - at).unwrap_or(ZEROES).min(ZEROES);
            self.write(at, &ZEROS[..part], patience)?;
            at += part as u64;
        }
        Ok(())
    }

    /// Reads a range and drops it: it is then in the memory of the host.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn cache(&self, offset: u64, length: u64, closing: &AtomicBool) -> Answer {
        let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(256 << 10)];
        let (mut at, end) = (offset, offset + length);
        while at < end {
            going_on(closing)?;
            let part = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            self.read(at, &mut buffer[..part])?;
            at += part as u64;
        }
        Ok(())
    }

    /// Makes every write that was answered before durable.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn flush(&self) -> Answer {
        self.counted(Operation::Flush, 0, || self.told("flush", self.backend.shared.flush()))
    }

    fn counted(&self, operation: Operation, bytes: u64, work: impl FnOnce() -> Answer) -> Answer {
        let began = Instant::now();
        let answer = work();
        match answer {
            Ok(()) => self.backend.metrics.count(operation, bytes, began.elapsed()),
            Err(_) => self.backend.metrics.failed(operation),
        }
        answer
    }

    /// The outcome of a call on the pool, in the protocol's words. What the device or the pool is to blame for is logged, ever
    /// more rarely.
    pub(super) fn told<T>(&self, action: &str, outcome: Outcome<T>) -> Result<T, Errno> {
        outcome.map_err(|error| {
            let errno = errno(&error);
            if errno == Errno::Io {
                let count = self.backend.failures.fetch_add(1, Ordering::Relaxed) + 1;
                if count.is_power_of_two() {
                    warn!(layer = %self.layer, action, %error, failures = count, "a request failed");
                }
            } else {
                debug!(layer = %self.layer, action, %error, "refused");
            }
            errno
        })
    }

    fn in_steps(&self, first: u64, end: u64, closing: &AtomicBool, step: impl Fn(u64, u64) -> Answer) -> Answer {
        let sectors = STEP / self.sector;
        let mut at = first;
        while at < end {
            going_on(closing)?;
            let next = ((at / sectors + 1) * sectors).min(end);
            step(at, next - at)?;
            at = next;
        }
        Ok(())
    }

    /// Bytes of a range of this length that lie before the first boundary of a sector.
    fn before_boundary(&self, offset: u64, length: usize) -> usize {
        let within = offset % self.sector;
        if within == 0 { 0 } else { usize::try_from(self.sector - within).unwrap_or(usize::MAX).min(length) }
    }

    fn read_part(&self, offset: u64, part: &mut [u8]) -> Answer {
        if part.is_empty() {
            return Ok(());
        }
        let (mut bytes, within) = self.sector_around(offset);
        self.told("read", self.backend.shared.read(self.layer, offset / self.sector, &mut bytes))?;
        part.copy_from_slice(&bytes[within..within + part.len()]);
        Ok(())
    }

    fn write_part(&self, offset: u64, part: &[u8]) -> Answer {
        self.change_part(offset, part.len(), |bytes| bytes.copy_from_slice(part))
    }

    fn zero_part(&self, offset: u64, length: usize) -> Answer {
        self.change_part(offset, length, |bytes| bytes.fill(0))
    }

    /// Changes a part of one sector, with the pool held from the read to the write.
    fn change_part(&self, offset: u64, length: usize, change: impl FnOnce(&mut [u8])) -> Answer {
        if length == 0 {
            return Ok(());
        }
        let (mut bytes, within) = self.sector_around(offset);
        let sector = offset / self.sector;
        let mut pool = self.backend.shared.lock();
        self.told("read", pool.read(self.layer, sector, &mut bytes))?;
        change(&mut bytes[within..within + length]);
        self.told("write", pool.write(self.layer, sector, &bytes))
    }

    fn sector_around(&self, offset: u64) -> (Vec<u8>, usize) {
        (vec![0; self.sector_bytes()], usize::try_from(offset % self.sector).unwrap_or(0))
    }

    fn sector_bytes(&self) -> usize {
        usize::try_from(self.sector).unwrap_or(usize::MAX)
    }
}

fn going_on(closing: &AtomicBool) -> Answer {
    if closing.load(Ordering::Relaxed) { Err(Errno::Shutdown) } else { Ok(()) }
}

/// The pool's error in the protocol's words.
pub fn errno(error: &Error<DeviceError>) -> Errno {
    match error {
        Error::NoSpace { .. } => Errno::NoSpace,
        Error::ReadOnly => Errno::NotPermitted,
        Error::OutOfRange { .. } | Error::NoSuchLayer(_) | Error::WrongKind(_) => Errno::Invalid,
        Error::Device(error) => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Errno::NoSpace,
            _ => Errno::Io,
        },
        _ => Errno::Io,
    }
}

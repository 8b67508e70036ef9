//! Room on the file system that holds the pool's file.
//!
//! A pool in a sparse file can hold more than the file system has left. If a write of the pool's own structures then failed, the
//! pool would refuse everything until it is mounted again. So data is refused earlier, with "no space", while there is still room
//! for the structures: nothing is lost, and clients go on as soon as somebody has made room; or, if that was asked for, their writes wait
//! until then. A file without holes needs no room.
//!
//! Somebody else may take the last of the room between two looks at it. A write of the structures that then fails is repeated until there is room
//! ([`Room::watch`]), whatever was asked for: the alternative is a pool that has to be opened again, without what was not flushed.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cowl::PoolInfo;
use rustix::fs::statvfs;
use tracing::{info, warn};

use crate::device::Direct;

/// How long whoever waits for room waits before he looks again.
const PAUSE: Duration = Duration::from_millis(50);
/// The file system is asked at least so often while there are writes.
const FRESH: Duration = Duration::from_millis(100);

/// What becomes of writes while the file system has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum WhenFull {
    /// They fail with "no space".
    #[default]
    Refuse,
    /// They wait until there is room.
    Wait,
}

/// Whether it is worth waiting on; asked after each moment.
pub type Patience<'a> = &'a mut dyn FnMut() -> bool;

/// Why nothing can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// There is none, and it is not to be waited for.
    Refused,
    /// There was none as long as it was worth waiting.
    GivenUp,
}

/// The file system has no room for more data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Watches over the room on a file system.
#[derive(Debug)]
pub struct Room {
    /// The pool's file; none on a block device, which has the size it has.
    file: Option<PathBuf>,
    /// Bytes that are kept for the pool's structures.
    reserve: u64,
    /// Bytes that may be written before the file system is asked again.
    budget: AtomicU64,
    /// When it has to be asked again in any case, in milliseconds from the beginning.
    due: AtomicU64,
    began: Instant,
    refusing: AtomicBool,
    when_full: WhenFull,
}

impl Room {
    /// For a pool in this file or on this block device.
    pub fn new(path: &Path, pool: &PoolInfo, when_full: WhenFull) -> Self {
        let file = fs::metadata(path).is_ok_and(|found| found.is_file()).then(|| path.to_owned());
        // A checkpoint writes at most every node on the way to every pending record, and a few more.
        let nodes = u64::from(pool.pending) * (u64::from(pool.heights.0) + 2) + 64;
        let reserve = nodes * u64::from(pool.block_size) + u64::from(pool.journal_units) * u64::from(pool.unit_size);
        Self {
            file,
            reserve,
            budget: AtomicU64::new(0),
            due: AtomicU64::new(0),
            began: Instant::now(),
            refusing: AtomicBool::new(false),
            when_full,
        }
    }

    /// From now on a write of the pool itself that finds no room in its file is repeated until there is some, or the server is to end:
    /// `ends` waits so long and says whether it is. A block device has the room that it has.
    pub fn watch(&self, device: &Direct, ends: impl Fn(Duration) -> bool + Send + Sync + 'static) {
        let Some(path) = self.file.clone() else { return };
        device.when_full(Arc::new(move |tries| {
            if tries == 0 {
                warn!(file = %path.display(), "the file system is full to the last byte: the pool waits for room");
            }
            !ends(PAUSE)
        }));
    }

    /// As [`take`](Self::take), but waits if it is to, as long as there is patience.
    ///
    /// # Errors
    /// There is no room.
    pub fn admit(&self, bytes: u64, patience: Patience<'_>) -> Result<(), NoRoom> {
        while self.take(bytes).is_err() {
            self.wait(patience)?;
        }
        Ok(())
    }

    /// There was no room: waits a moment, if it is to.
    ///
    /// # Errors
    /// It is not to, or not any more.
    pub fn wait(&self, patience: Patience<'_>) -> Result<(), NoRoom> {
        if self.when_full == WhenFull::Refuse {
            return Err(NoRoom::Refused);
        }
        thread::sleep(PAUSE);
        if patience() { Ok(()) } else { Err(NoRoom::GivenUp) }
    }

    /// So many bytes are to be written.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn take(&self, bytes: u64) -> Result<(), Full> {
        let Some(file) = &self.file else { return Ok(()) };
        let fresh = self.now() < self.due.load(Ordering::Relaxed);
        if fresh {
            let taken = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
            if taken.is_ok() {
                return Ok(());
            }
        }
        self.ask(file, bytes)
    }

    fn ask(&self, file: &Path, bytes: u64) -> Result<(), Full> {
        // A file system that does not answer is not a full one; the write itself will tell.
        let Ok(found) = statvfs(file) else { return Ok(()) };
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        if total == 0 {
            // Some file systems, those in memory among them, have no size of their own.
            return Ok(());
        }
        let available = found.f_bavail.saturating_mul(found.f_frsize);
        let spare = available.saturating_sub(self.reserve.min(total / 4));
        if spare <= bytes && !has_no_holes(file) {
            if !self.refusing.swap(true, Ordering::Relaxed) {
                warn!(file = %file.display(), available, "the file system is full: writes are {} until there is room", match self.when_full {
                    WhenFull::Refuse => "refused",
                    WhenFull::Wait => "held back",
                });
            }
            self.due.store(0, Ordering::Relaxed);
            return Err(Full);
        }
        if self.refusing.swap(false, Ordering::Relaxed) {
            info!(file = %file.display(), available, "there is room again");
        }
        let fresh = u64::try_from(FRESH.as_millis()).unwrap_or(0);
        self.budget.store(spare.saturating_sub(bytes) / 2, Ordering::Relaxed);
        self.due.store(self.now() + fresh, Ordering::Relaxed);
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn has_no_holes(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.blocks().saturating_mul(512) >= found.len())
}

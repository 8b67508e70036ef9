//! A filesystem of one file that can lose its power: writes that no fdatasync covered are kept, dropped or torn at a cut,
//! and one of them can be stored by half. Sockets may stand beside the file, as a server needs them.
//!
//! The kernel caches nothing (direct I/O), so the process that has the file open is real, and so are its system calls; only what
//! lies below them is made up.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};

use super::Outcome;
use crate::sim::{Rng, garbage_byte};

const NAME: &str = "disk";
const FILE: INodeNo = INodeNo(2);
/// Sockets are numbered from here on.
const SOCKETS: u64 = 3;
const SECTOR: usize = 512;
/// Nothing is remembered by the kernel.
const FORGET: Duration = Duration::ZERO;

/// What the disk holds, and what is on its way.
#[derive(Debug, Default)]
struct Content {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<usize>,
    /// Calls that are still taken before the disk stops answering.
    left: Option<u64>,
    halved: Halved,
    unanswered: Vec<Unanswered>,
}

/// A write of which only the first half is stored, and its caller told so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Halved {
    /// There was none, and will be none.
    #[default]
    Never,
    /// So many writes from now, 1 is the next.
    In(usize),
    /// It was halved; offset and length of what is still missing.
    Missing(u64, u64),
    /// It was halved, and the caller has brought exactly the rest.
    Completed,
}

/// A caller that waits for an answer it will not get.
#[derive(Debug)]
enum Unanswered {
    Write(ReplyWrite),
    Other(ReplyEmpty),
}

/// The power that a disk will lose; copies are of the same disk.
#[derive(Debug, Clone)]
pub struct Power(Arc<Disk>);

impl Power {
    /// The disk does not answer any more, now or before so long.
    pub fn is_gone_within(&self, time: Duration) -> bool {
        let content = lock(&self.0);
        let waited = self.0.gone.wait_timeout_while(content, time, |content| content.unanswered.is_empty());
        !waited.unwrap_or_else(PoisonError::into_inner).0.unanswered.is_empty()
    }

    /// Who waits is sent away; it must have been killed before. From now on the disk answers again.
    pub fn release(&self) {
        let mut content = lock(&self.0);
        content.left = None;
        for waiting in content.unanswered.drain(..) {
            match waiting {
                Unanswered::Write(reply) => reply.error(Errno::EIO),
                Unanswered::Other(reply) => reply.error(Errno::EIO),
            }
        }
    }
}

/// A mounted file that can lose its power. It is unmounted when it is dropped.
#[derive(Debug)]
pub struct CutDisk {
    content: Arc<Disk>,
    path: PathBuf,
    _session: BackgroundSession,
}

#[derive(Debug)]
struct OneFile {
    disk: Arc<Disk>,
    /// Their names in the order in which they were made; none is one that was removed.
    sockets: Mutex<Vec<Option<OsString>>>,
}

/// A disk that several threads know.
#[derive(Debug, Default)]
struct Disk {
    content: Mutex<Content>,
    /// Somebody waits for an answer that will not come.
    gone: Condvar,
}

fn lock(disk: &Disk) -> std::sync::MutexGuard<'_, Content> {
    disk.content.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CutDisk {
    /// Mounts a filesystem with one file of these bytes, all of them durable.
    ///
    /// # Errors
    /// There is no FUSE here, or no right to mount.
    pub fn mount(dir: &Path, bytes: Vec<u8>) -> Outcome<Self> {
        let content = Content { current: bytes.clone(), durable: bytes, ..Content::default() };
        let content = Arc::new(Disk { content: Mutex::new(content), gone: Condvar::new() });
        let mut options = Config::default();
        options.mount_options = vec![MountOption::FSName("cowl-cut".into()), MountOption::NoAtime];
        let session = fuser::spawn_mount(OneFile { disk: content.clone(), sockets: Mutex::default() }, dir, &options)
            .map_err(|error| format!("{}: cannot mount by FUSE: {error}", dir.display()))?;
        Ok(Self { content, path: dir.join(NAME), _session: session })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// After so many more writes and syncs the power goes: the next caller waits until it is killed.
    pub fn fail_after(&self, calls: u64) -> Power {
        lock(&self.content).left = Some(calls);
        Power(self.content.clone())
    }

    /// Of the n-th write from now on, counted from 1, half is stored.
    pub fn halve(&self, number: usize) {
        lock(&self.content).halved = Halved::In(number);
    }

    /// What became of the write that was to be halved.
    pub fn halved(&self) -> Halved {
        lock(&self.content).halved
    }

    /// What a reader sees.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.content).current.clone()
    }

    /// Replaces everything.
    pub fn replace(&self, bytes: Vec<u8>) {
        *lock(&self.content) = Content { current: bytes.clone(), durable: bytes, ..Content::default() };
    }

    /// The power fails: each sector in flight is kept, dropped or torn. How many of each.
    pub fn cut(&self, rng: &mut Rng) -> [u64; 3] {
        let content = &mut *lock(&self.content);
        let mut fates = [0; 3];
        let mut pending = std::mem::take(&mut content.pending);
        pending.sort_unstable();
        pending.dedup();
        // Some cuts keep nearly all, some nearly nothing: both are rare if every sector is left to chance.
        let bias = rng.below(4);
        for sector in pending {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            let fate = match (bias, rng.below(8)) {
                (0, 1..) => 0,
                (1, 1..) => 1,
                (_, roll) => roll as usize % 3,
            };
            fates[fate] += 1;
            match fate {
                0 => content.durable[range.clone()].copy_from_slice(&content.current[range]),
                1 => {}
                _ => (0..SECTOR).for_each(|at| content.durable[range.start + at] = garbage_byte(false, at)),
            }
        }
        content.current.clone_from(&content.durable);
        fates
    }
}

impl Content {
    /// The power is still there for another call.
    fn powered(&mut self) -> bool {
        match &mut self.left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    /// Takes a write: how many bytes of it are stored. None if it does not lie inside, or on whole sectors.
    fn write(&mut self, offset: u64, data: &[u8]) -> Option<usize> {
        let length = data.len() as u64;
        match self.halved {
            Halved::In(1) => {
                let half = data.len() / 2;
                self.halved = Halved::Missing(offset + half as u64, length - half as u64);
                return self.store(offset, half as u64, Some(&data[..half])).then_some(half);
            }
            Halved::In(number) => self.halved = Halved::In(number - 1),
            Halved::Missing(at, missing) if (at, missing) == (offset, length) => {
                self.halved = Halved::Completed;
                return self.store(offset, length, Some(data)).then_some(data.len());
            }
            _ => {}
        }
        (whole_sectors(offset, length) && self.store(offset, length, Some(data))).then_some(data.len())
    }

    /// Bytes that are to be written there, if all of it lies inside; none are zeros.
    fn store(&mut self, offset: u64, length: u64, bytes: Option<&[u8]>) -> bool {
        let (Ok(start), Ok(length)) = (usize::try_from(offset), usize::try_from(length)) else { return false };
        let Some(target) = start.checked_add(length).and_then(|end| self.current.get_mut(start..end)) else {
            return false;
        };
        match bytes {
            Some(bytes) => target.copy_from_slice(bytes),
            None => target.fill(0),
        }
        self.pending.extend(start / SECTOR..(start + length).div_ceil(SECTOR));
        true
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.pending) {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            self.durable[range.clone()].copy_from_slice(&self.current[range]);
        }
    }
}

fn whole_sectors(offset: u64, length: u64) -> bool {
    offset.is_multiple_of(SECTOR as u64) && length.is_multiple_of(SECTOR as u64)
}

impl OneFile {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let (kind, perm, size) = match ino {
            INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            FILE => (FileType::RegularFile, 0o600, lock(&self.disk).current.len() as u64),
            _ => (FileType::Socket, 0o600, 0),
        };
        FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }

    fn sockets(&self) -> std::sync::MutexGuard<'_, Vec<Option<OsString>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn socket(&self, name: &OsStr) -> Option<usize> {
        self.sockets().iter().position(|socket| socket.as_deref() == Some(name))
    }

    fn found(&self, ino: INodeNo, reply: ReplyEntry) {
        reply.entry(&FORGET, &self.attributes(ino), Generation(0));
    }
}

impl Filesystem for OneFile {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == NAME {
            self.found(FILE, reply);
        } else if let Some(socket) = self.socket(name) {
            self.found(INodeNo(SOCKETS + socket as u64), reply);
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn mknod(&self, _: &Request, _: INodeNo, name: &OsStr, mode: u32, _: u32, _: u32, reply: ReplyEntry) {
        if rustix::fs::FileType::from_raw_mode(mode) != rustix::fs::FileType::Socket {
            return reply.error(Errno::EPERM);
        }
        let mut sockets = self.sockets();
        let ino = INodeNo(SOCKETS + sockets.len() as u64);
        sockets.push(Some(name.to_owned()));
        drop(sockets);
        self.found(ino, reply);
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.socket(name) {
            Some(socket) => {
                self.sockets()[socket] = None;
                reply.ok();
            }
            None => reply.error(Errno::EPERM),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FORGET, &self.attributes(ino));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match size {
            Some(_) => reply.error(Errno::EPERM),
            None => reply.attr(&FORGET, &self.attributes(ino)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let content = lock(&self.disk);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.current.len());
        let end = start.saturating_add(size as usize).min(content.current.len());
        reply.data(&content.current[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut content = lock(&self.disk);
        if !content.powered() {
            content.unanswered.push(Unanswered::Write(reply));
            self.disk.gone.notify_all();
        } else if let Some(stored) = content.write(offset, data) {
            reply.written(stored as u32);
        } else {
            reply.error(Errno::EINVAL);
        }
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, length: u64, _: i32, reply: ReplyEmpty) {
        let mut content = lock(&self.disk);
        if !content.powered() {
            content.unanswered.push(Unanswered::Other(reply));
            self.disk.gone.notify_all();
        } else if whole_sectors(offset, length) && content.store(offset, length, None) {
            reply.ok();
        } else {
            reply.error(Errno::EINVAL);
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut content = lock(&self.disk);
        if content.powered() {
            content.sync();
            reply.ok();
        } else {
            content.unanswered.push(Unanswered::Other(reply));
            self.disk.gone.notify_all();
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }
}

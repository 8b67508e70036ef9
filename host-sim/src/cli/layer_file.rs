//! A layer as a file: a filesystem of one file, by FUSE.
//!
//! * The kernel's requests come in on threads of their own and are worked off one after the other where the pool is.
//! * The file of a volume is not cached by the kernel: what others write to the volume is seen, and what was answered has
//!   reached the pool. The file of a snapshot never changes and may be cached for ever.
//! * `fsync` is a flush of the pool. Holes that are punched read zeros and give their space back.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, UNIX_EPOCH},
};

use cowl::{LayerId, LayerInfo, LayerKind};
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, MountOption,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use rustix::fs::FallocateFlags;

use super::{
    failure::{Failure, Kind},
    interrupt,
    pool::AnyPool,
    view::Units,
};

const FILE: INodeNo = INodeNo(2);
/// How long the kernel may remember what cannot change.
const LONG: Duration = Duration::from_secs(3600);
/// How often a signal to end is looked for.
const LOOK: Duration = Duration::from_millis(200);
/// Zeros written at a time where a range is not made of whole sectors.
const ZEROS: [u8; 4096] = [0; 4096];

/// What the source of such a mount is called; the number of the process that serves it follows.
pub const SOURCE: &str = "cowl-";

/// What the kernel wants done.
enum Work {
    Read { offset: u64, size: u32, reply: ReplyData },
    Write { offset: u64, data: Vec<u8>, reply: ReplyWrite },
    Zero { offset: u64, length: u64, reply: ReplyEmpty },
    Sync { reply: ReplyEmpty },
}

/// The filesystem, as far as the kernel talks to it.
struct LayerFile {
    name: OsString,
    attributes: FileAttr,
    writable: bool,
    work: Sender<Work>,
}

/// The name of a layer's file.
pub fn file_name(layer: &LayerInfo) -> String {
    match &*layer.name {
        "" | "." | ".." => "disk".to_owned(),
        name => name.replace('/', "_"),
    }
}

/// Mounts the layer, says that it is `ready`, and serves it until it is unmounted or this process is to end.
///
/// # Errors
/// It cannot be mounted, or the last flush fails.
pub fn serve(
    pool: &mut dyn AnyPool,
    layer: &LayerInfo,
    writable: bool,
    directory: &Path,
    ready: impl FnOnce(),
) -> Result<(), Failure> {
    let failed = |error| Failure::file("mount by FUSE on", directory, &error);
    let (work, to_do) = mpsc::channel();
    let attributes = attributes(layer, pool.units(), writable);
    let file = LayerFile { name: file_name(layer).into(), attributes, writable, work };
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(format!("{SOURCE}{}", std::process::id())),
        MountOption::NoAtime,
        MountOption::NoDev,
        MountOption::NoSuid,
        if writable { MountOption::RW } else { MountOption::RO },
    ];
    let session = fuser::spawn_mount(file, directory, &config).map_err(|error| {
        let failure = failed(error);
        Failure { kind: Kind::Missing, ..failure }
            .hint("needs /dev/fuse and root or fusermount3; `cowl export` copies a layer without either")
    })?;
    ready();
    let unmounted = work_off(pool, layer, &to_do);
    let ended = if unmounted { session.join() } else { session.umount_and_join() };
    if writable {
        pool.flush()?;
    }
    ended.map_err(failed)
}

/// Until the filesystem is unmounted (true) or this process is to end (false).
fn work_off(pool: &mut dyn AnyPool, layer: &LayerInfo, to_do: &Receiver<Work>) -> bool {
    loop {
        match to_do.recv_timeout(LOOK) {
            Ok(work) => perform(pool, layer, work),
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) if interrupt::asked() => return false,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn perform(pool: &mut dyn AnyPool, layer: &LayerInfo, work: Work) {
    match work {
        Work::Read { offset, size, reply } => match read(pool, layer, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(failure) => reply.error(errno(&failure)),
        },
        Work::Write { offset, data, reply } => match pool.write_bytes(layer.id, offset, &data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(failure) => reply.error(errno(&failure)),
        },
        Work::Zero { offset, length, reply } => answer(reply, zero(pool, layer.id, offset, length)),
        Work::Sync { reply } => answer(reply, pool.flush()),
    }
}

fn answer(reply: ReplyEmpty, done: Result<(), Failure>) {
    match done {
        Ok(()) => reply.ok(),
        Err(failure) => reply.error(errno(&failure)),
    }
}

/// Any range of bytes; what lies behind the end is left out.
fn read(pool: &mut dyn AnyPool, layer: &LayerInfo, offset: u64, size: u32) -> Result<Vec<u8>, Failure> {
    let sector = u64::from(pool.units().sector);
    let total = layer.sectors * sector;
    let (start, end) = (offset.min(total), offset.saturating_add(u64::from(size)).min(total));
    let (first, last) = (start / sector, end.div_ceil(sector));
    let mut bytes = vec![0; usize::try_from((last - first) * sector).unwrap_or(0)];
    pool.read(layer.id, first, &mut bytes)?;
    bytes.truncate(usize::try_from(end - first * sector).unwrap_or(0));
    bytes.drain(..usize::try_from(start - first * sector).unwrap_or(0));
    Ok(bytes)
}

/// Whole sectors become zeros without data, what is before and behind them is written.
fn zero(pool: &mut dyn AnyPool, volume: LayerId, offset: u64, length: u64) -> Result<(), Failure> {
    let sector = u64::from(pool.units().sector);
    let end = offset.checked_add(length).ok_or_else(|| Failure::new(Kind::Usage, "the range has no end"))?;
    let (first, last) = (offset.div_ceil(sector), end / sector);
    if first >= last {
        return write_zeros(pool, volume, offset, end);
    }
    write_zeros(pool, volume, offset, first * sector)?;
    pool.write_zeroes(volume, first, last - first)?;
    write_zeros(pool, volume, last * sector, end)
}

fn write_zeros(pool: &mut dyn AnyPool, volume: LayerId, from: u64, to: u64) -> Result<(), Failure> {
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS.len());
        pool.write_bytes(volume, at, &ZEROS[..length])?;
        at += length as u64;
    }
    Ok(())
}

fn errno(failure: &Failure) -> Errno {
    match failure.kind {
        Kind::NoSpace => Errno::ENOSPC,
        Kind::Refused => Errno::EROFS,
        Kind::Usage => Errno::EINVAL,
        _ => Errno::EIO,
    }
}

fn attributes(layer: &LayerInfo, units: Units, writable: bool) -> FileAttr {
    let size = if layer.kind == LayerKind::Attachment { layer.length } else { units.sectors(layer.sectors) };
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(layer.created)).unwrap_or(UNIX_EPOCH);
    FileAttr {
        ino: FILE,
        size,
        blocks: units.blocks(layer.delta.data) / 512,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: FileType::RegularFile,
        perm: if writable { 0o600 } else { 0o400 },
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        flags: 0,
        blksize: units.block,
    }
}

impl LayerFile {
    fn of(&self, ino: INodeNo) -> FileAttr {
        if ino == FILE {
            return self.attributes;
        }
        FileAttr { ino, size: 0, blocks: 0, kind: FileType::Directory, perm: 0o500, nlink: 2, ..self.attributes }
    }

    /// Whoever serves the pool has ended only when the kernel asks no more; a request that comes later is dropped, which is
    /// answered as an error.
    fn hand_on(&self, work: Work) {
        drop(self.work.send(work));
    }
}

impl Filesystem for LayerFile {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == self.name {
            reply.entry(&LONG, &self.attributes, Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&LONG, &self.of(ino));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
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
        // Times are nobody's concern; size and rights are the pool's.
        let keeps = mode.is_none() && uid.is_none() && gid.is_none();
        if keeps && size.is_none_or(|size| size == self.of(ino).size) {
            reply.attr(&LONG, &self.of(ino));
        } else {
            reply.error(Errno::EPERM);
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        if ino != INodeNo::ROOT {
            reply.error(Errno::ENOTDIR);
            return;
        }
        let entries = [
            (INodeNo::ROOT, FileType::Directory, OsStr::new(".")),
            (INodeNo::ROOT, FileType::Directory, OsStr::new("..")),
            (FILE, FileType::RegularFile, self.name.as_os_str()),
        ];
        for (place, (ino, kind, name)) in (1_u64..).zip(entries) {
            if place > offset && reply.add(ino, place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let caching = if self.writable { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::FOPEN_KEEP_CACHE };
        reply.opened(FileHandle(0), caching);
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
        self.hand_on(Work::Read { offset, size, reply });
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
        if !self.writable {
            reply.error(Errno::EROFS);
        } else if offset.checked_add(data.len() as u64).is_none_or(|end| end > self.attributes.size) {
            reply.error(Errno::EFBIG);
        } else {
            self.hand_on(Work::Write { offset, data: data.to_vec(), reply });
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        let zeros = mode.intersects(FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE);
        let inside = offset.checked_add(length).is_some_and(|end| end <= self.attributes.size);
        match (self.writable, zeros, inside) {
            (false, ..) => reply.error(Errno::EROFS),
            (true, false, _) => reply.error(Errno::EOPNOTSUPP),
            (true, true, false) => reply.error(Errno::EFBIG),
            (true, true, true) => self.hand_on(Work::Zero { offset, length, reply }),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        if self.writable {
            self.hand_on(Work::Sync { reply });
        } else {
            reply.ok();
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }
}

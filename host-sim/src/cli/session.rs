//! Opening a pool for the time of one command: device, base, workspace, mount, work, unmount. A pool that is being served is
//! worked on through its server.

use std::{fs, path::Path};

use cowl::{BlockDevice, Error, MountOptions, Pool};

use super::{
    failure::{Failure, Kind},
    pool::AnyPool,
    size::Bytes,
    ui::Ui,
};
use crate::{
    DeviceError, FileOptions, HostDevice,
    device::{Base, HostPool},
    serve::control::Remote,
};

/// What a command does with the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only reads; others may read at the same time.
    Read,
    /// Changes it.
    Write,
}

/// Mounts the pool, does the work, and unmounts it, also when the work fails; if somebody serves the pool, does the work through
/// the server.
///
/// # Errors
/// Those of opening and mounting, then those of the work, then those of the unmount.
pub fn with_pool<T>(
    ui: &Ui,
    path: &Path,
    access: Access,
    work: impl FnOnce(&mut dyn AnyPool) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let read_only = access == Access::Read;
    let mut device = match open(path, read_only) {
        Err(failure) if failure.kind == Kind::Busy => return through_server(path, failure, work),
        opened => opened?,
    };
    let mut base = Base::open(ui.base.as_deref(), device.geometry().sector_size)?;
    let options = MountOptions { read_only, checksum: crate::crc32c };
    let mut size = workspace_size(ui, device.size());
    loop {
        let mut workspace = vec![0; size];
        match Pool::mount_on_base(&mut device, &mut base, &mut workspace, &options) {
            Ok(mut pool) => {
                let done = work(&mut pool);
                return finish(pool, read_only, path, done);
            }
            Err(Error::WorkspaceTooSmall { needed }) if ui.workspace.is_none() && needed > size => size = needed,
            Err(error) => return Err(explain(error, path)),
        }
    }
}

fn through_server<T>(
    path: &Path,
    busy: Failure,
    work: impl FnOnce(&mut dyn AnyPool) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut pool = server_of(path, busy)?;
    let done = work(&mut pool);
    let settled = pool.settle();
    let done = done?;
    settled?;
    Ok(done)
}

/// Asks for what only a server has, whether or not others can open the pool beside it.
///
/// # Errors
/// Those of reaching the server and of the work; without a server those of opening the pool.
pub fn with_server<T>(
    ui: &Ui,
    path: &Path,
    work: impl FnOnce(&mut dyn AnyPool) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match Remote::connect(path)? {
        Some(mut pool) => work(&mut pool),
        None => with_pool(ui, path, Access::Read, work),
    }
}

/// The server of a pool that could not be opened because it is in use.
///
/// # Errors
/// Nobody serves it, then the failure is `busy`; or the server does not let this command in.
pub fn server_of(path: &Path, busy: Failure) -> Result<Remote, Failure> {
    Remote::connect(path)?.ok_or_else(|| {
        let what = format!("{}; it is not being served", busy.what);
        Failure { what, ..busy }
    })
}

/// What it means that a pool could not be mounted.
pub fn explain(error: Error<DeviceError>, path: &Path) -> Failure {
    let cut_off = matches!(error, Error::DeviceTooSmall { .. });
    let failure = Failure::from(error).during(format_args!("cannot open {}", path.display()));
    if cut_off {
        Failure { kind: Kind::Damage, ..failure }
            .hint("the pool was larger: a copy that is not whole, or a file that was cut off")
    } else {
        failure
    }
}

fn finish<T>(pool: HostPool<'_, '_>, read_only: bool, path: &Path, done: Result<T, Failure>) -> Result<T, Failure> {
    if read_only {
        pool.abandon();
        return done;
    }
    let closed = pool.unmount().map(drop);
    let done = done?;
    closed.map_err(|error| Failure::from(error).during(format_args!("cannot close {}", path.display())))?;
    Ok(done)
}

/// Opens the device of a pool.
///
/// # Errors
/// It cannot be opened, or is empty.
pub fn open(path: &Path, read_only: bool) -> Result<HostDevice, Failure> {
    let device = HostDevice::open(path, &FileOptions::new().read_only(read_only))?;
    if device.geometry().sectors == 0 {
        return Err(Failure::new(Kind::NotFound, format!("{} is empty: there is no pool in it", path.display()))
            .hint("`cowl format` makes a pool"));
    }
    Ok(device)
}

/// Memory for a pool on a device of so many bytes: what was asked for, else an eighth of the device from 1 to 64 MiB.
pub fn workspace_size(ui: &Ui, device: u64) -> usize {
    let size = ui.workspace.unwrap_or_else(|| (device / 8).clamp(1 << 20, 64 << 20));
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Refuses a path that is in use as another argument of the same command.
///
/// # Errors
/// The two are the same file.
pub fn different_files(a: &Path, b: &Path) -> Result<(), Failure> {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) if a == b => Err(Failure::new(Kind::Usage, format!("{} cannot be both", a.display()))),
        _ => Ok(()),
    }
}

/// Fails unless the number is a whole number of sectors; gives the sectors.
///
/// # Errors
/// [`Kind::Usage`].
pub fn whole_sectors(what: &str, bytes: u64, sector: u32) -> Result<u64, Failure> {
    let sector = u64::from(sector);
    if bytes.is_multiple_of(sector) {
        return Ok(bytes / sector);
    }
    let (below, above) = (bytes / sector * sector, bytes.div_ceil(sector) * sector);
    Err(Failure::new(
        Kind::Usage,
        format!("the {what} of {bytes} bytes is not a whole number of sectors of {}", Bytes(sector)),
    )
    .hint(format!("use {below} or {above}")))
}

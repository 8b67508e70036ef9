//! The pool of a server: opened once, and for as long as the process lives.

use std::{path::Path, sync::Arc, thread, time::Duration};

use cowl::{BlockDevice, Error, MountOptions, Pool};

use super::shared::{OwnPool, Shared};
use crate::{
    DeviceError, HostDevice,
    cli::{
        failure::Failure,
        session::{self, Base, workspace_size},
        ui::Ui,
    },
};

/// How often, and with what pauses, the end waits for the last thread to let go of the pool.
const PAUSES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(1);

/// Opens a pool for good: device, base and workspace are not given back before the process ends.
///
/// # Errors
/// Those of opening and mounting.
pub fn open(ui: &Ui, path: &Path, read_only: bool) -> Result<OwnPool, Failure> {
    let device = session::open(path, read_only)?;
    let base = Base::open(ui.base.as_deref(), device.geometry().sector_size)?;
    let (size, given) = (workspace_size(ui, device.size()), ui.workspace.is_some());
    mount(device, base, size, given, read_only).map_err(|error| session::explain(error, path))
}

/// Mounts a pool for good; the workspace may grow if its size was not `given`.
///
/// # Errors
/// Those of mounting.
pub fn mount(
    device: HostDevice,
    base: Base,
    size: usize,
    given: bool,
    read_only: bool,
) -> Result<OwnPool, Error<DeviceError>> {
    let options = MountOptions { read_only, checksum: crate::crc32c };
    let (device, base) = (Box::leak(Box::new(device)), Box::leak(Box::new(base)));
    // A mount that fails keeps what was lent to it; so the size is tried out with what is lent for a moment.
    let mut workspace = vec![0; size];
    loop {
        let size = workspace.len();
        match Pool::mount_on_base(&mut *device, &mut *base, &mut workspace, &options) {
            Ok(pool) => {
                pool.abandon();
                break;
            }
            Err(Error::WorkspaceTooSmall { needed }) if !given && needed > size => {
                workspace = vec![0; needed];
            }
            Err(error) => return Err(error),
        }
    }
    Pool::mount_on_base(device, base, workspace.leak(), &options)
}

/// Ends the mount, so that the next one finds nothing to recover.
///
/// # Errors
/// The device's; what was flushed is there all the same.
pub fn close(shared: Arc<Shared>, path: &Path) -> Result<(), Failure> {
    let closed = match last_owner(shared) {
        Ok(shared) => {
            let pool = shared.into_inner();
            if pool.info().read_only {
                pool.abandon();
                return Ok(());
            }
            pool.unmount().map(drop)
        }
        // Somebody is stuck in the device. What can be done without him is done.
        Err(shared) => shared.flush(),
    };
    closed.map_err(|error| Failure::from(error).during(format_args!("cannot close {}", path.display())))
}

/// A thread that has just ended may hold the pool for another moment.
fn last_owner(mut shared: Arc<Shared>) -> Result<Shared, Arc<Shared>> {
    for _ in 0..PAUSES {
        match Arc::try_unwrap(shared) {
            Ok(shared) => return Ok(shared),
            Err(still) => shared = still,
        }
        thread::sleep(PAUSE);
    }
    Err(shared)
}

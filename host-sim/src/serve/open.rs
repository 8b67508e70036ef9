//! The pool of a server: opened once, and for as long as the process lives.

use std::{path::Path, sync::Arc, thread, time::Duration};

use cowl::BlockDevice;

use super::{
    mount,
    shared::{OwnPool, Shared},
};
use crate::{
    cli::{
        failure::Failure,
        session::{self, workspace_size},
        ui::Ui,
    },
    device::Base,
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
    mount::mount(device, base, size, given, read_only).map_err(|error| session::explain(error, path))
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

//! The mount of a server: for as long as the process lives.

use cowl::{Error, MountOptions, Pool};

use super::shared::OwnPool;
use crate::{DeviceError, HostDevice, device::Base};

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

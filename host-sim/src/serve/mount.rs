//! The mount of a server: for as long as the process lives.

use cowl::{BlockDevice, Error, MountOptions, Pool};

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
    let workspace = enough(device, base, size, given, &options)?;
    Pool::mount_on_base(device, base, workspace.leak(), &options)
}

/// A workspace with which the pool can be mounted. A mount that fails keeps what was lent to it; so the size is tried out with what is
/// lent for a moment.
///
/// # Errors
/// Those of mounting.
pub fn enough<D: BlockDevice<Error = DeviceError>>(
    device: &mut D,
    base: &mut Base,
    size: usize,
    given: bool,
    options: &MountOptions,
) -> Result<Vec<u8>, Error<DeviceError>> {
    let mut workspace = vec![0; size];
    loop {
        let size = workspace.len();
        match Pool::mount_on_base(&mut *device, &mut *base, &mut workspace, options) {
            Ok(pool) => {
                pool.abandon();
                return Ok(workspace);
            }
            Err(Error::WorkspaceTooSmall { needed }) if !given && needed > size => {
                workspace = vec![0; needed];
            }
            Err(error) => return Err(error),
        }
    }
}

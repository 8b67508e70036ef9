//! Making a pool, opening it, ending it.

use core::{ffi::c_void, ptr};

use cowl::{Error, FormatOptions, Limits, MountOptions};

use crate::{
    ABI_VERSION,
    checksum::CHECKSUM,
    device::{Base, Callbacks, Device, DeviceFault},
    handle::{self, Handle, Mounted, Opaque, Outcome, carve, install, leave, overhead},
    memory::{Out, value},
    status::{Failure, Status},
};

/// Refuse all changes.
pub const MOUNT_READ_ONLY: u32 = 1;

/// What the size of the memory depends on. 0 stands for what suits the block size.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PoolLimits {
    /// Blocks of the pool.
    pub pool_blocks: u64,
    /// Blocks of the largest volume; 0: as many as the pool has.
    pub volume_blocks: u64,
    /// The highest layer number that will be given out; 0: 10,000.
    pub layers: u32,
    /// Records of the pending table, as the pool was formatted; 0: what `cowl_format` chooses.
    pub pending: u32,
    /// The alignment that the device wants of its buffers; 0: none.
    pub alignment: u32,
}

/// How a pool is made.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// Bytes in a block: a power of two from 512 to 65,536, at least the device's physical unit.
    pub block_size: u32,
    /// Records that the pending table can hold, at least 2; 0: what suits the block size.
    pub pending: u32,
    /// Units of the journal, at least 3; 0: what suits the block size.
    pub journal_units: u32,
    /// 1: format although the device holds a pool.
    pub force: u32,
    /// The pool's identifier; never the same for two pools.
    pub uuid: [u8; 16],
}

/// The version of the library's interface: what `COWL_ABI_VERSION` was when it was built.
#[unsafe(no_mangle)]
pub extern "C" fn cowl_abi_version() -> u32 {
    ABI_VERSION
}

/// Bytes of memory that `cowl_mount` needs for a pool within these limits; more makes the pool faster. 0 if a limit is
/// outside what the format allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_memory_size(block_size: u32, limits: *const PoolLimits) -> usize {
    // SAFETY: the rules of pointers.
    let Ok(limits) = (unsafe { value(limits, "the limits") }) else { return 0 };
    let sizes = block_size.is_power_of_two() && (512..=65_536).contains(&block_size);
    let alignment = limits.alignment.max(1);
    if !sizes || limits.pool_blocks > 1 << 48 || limits.pending > 1 << 20 || alignment > block_size {
        return 0;
    }
    let or = |given: u64, other: u64| if given == 0 { other } else { given };
    let usual = Limits::new(block_size, limits.pool_blocks);
    let limits = Limits {
        pool_blocks: limits.pool_blocks,
        volume_blocks: or(limits.volume_blocks, usual.volume_blocks).min(1 << 48),
        layers: if limits.layers == 0 { usual.layers } else { limits.layers },
        pending: if limits.pending == 0 { usual.pending } else { limits.pending },
    };
    let skipped = usize::try_from(alignment - 1).unwrap_or(usize::MAX);
    cowl::workspace_size(block_size, limits).saturating_add(overhead::<Handle>()).saturating_add(skipped)
}

/// Where the failure goes, if anybody wants it.
pub(crate) fn report(outcome: Outcome, error: Out<Failure>) -> Status {
    let failure = outcome.map_or_else(|failure| failure, Failure::new);
    error.set(failure);
    failure.status
}

/// What is missing is said for the whole memory, not for the workspace in it.
pub(crate) fn in_all(error: Error<DeviceFault>, memory: usize, workspace: usize) -> Failure {
    match error {
        Error::WorkspaceTooSmall { needed } => Failure::memory(needed.saturating_add(memory - workspace)),
        error => error.into(),
    }
}

unsafe fn devices(device: *const Device, base: *const Device) -> Result<(Callbacks, Base), Failure> {
    // SAFETY: handed on.
    unsafe {
        let device = Callbacks::new(device)?;
        let base = if base.is_null() { None } else { Some(Callbacks::new(base)?) };
        Ok((device, Base(base)))
    }
}

/// Makes an empty pool on the device. With a base device its volumes show that wherever nothing was written; without, pass NULL.
/// The memory is needed during the call only, as much as for `cowl_mount`. `error` may be NULL.
///
/// Power loss: the device holds no pool, or the whole empty one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_format(
    device: *const Device,
    base: *const Device,
    memory: *mut c_void,
    size: usize,
    options: *const PoolOptions,
    error: *mut Failure,
) -> Status {
    // SAFETY: the rules of pointers.
    let Ok(error) = (unsafe { Out::or_null(error) }) else { return Status::BadPointer };
    // SAFETY: the rules of pointers.
    report(unsafe { format(device, base, memory, size, options) }, error)
}

unsafe fn format(
    device: *const Device,
    base: *const Device,
    memory: *mut c_void,
    size: usize,
    options: *const PoolOptions,
) -> Outcome {
    // SAFETY: handed on.
    let (options, (device, base), (_, workspace)) =
        unsafe { (value(options, "the options")?, devices(device, base)?, carve::<Handle>(memory, size)?) };
    let usual = FormatOptions::new(options.block_size, options.uuid);
    let options = FormatOptions {
        pending: if options.pending == 0 { usual.pending } else { options.pending },
        journal_units: if options.journal_units == 0 { usual.journal_units } else { options.journal_units },
        force: options.force != 0,
        checksum: CHECKSUM,
        ..usual
    };
    let length = workspace.len();
    Mounted::format_on_base(device, base, workspace, &options).map_err(|error| in_all(error, size, length))?;
    Ok(Status::Ok)
}

/// Opens the pool on the device, with the base device that it was made on, or NULL. The pool lies in the memory, and `*pool` leads to
/// it until `cowl_unmount` or `cowl_abandon`; NULL if this fails. `flags`: `COWL_MOUNT_READ_ONLY`. `error` may be NULL.
///
/// Power loss: nothing is written, all is as before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_mount(
    device: *const Device,
    base: *const Device,
    memory: *mut c_void,
    size: usize,
    flags: u32,
    pool: *mut *mut Handle,
    error: *mut Failure,
) -> Status {
    // SAFETY: the rules of pointers.
    let Ok(error) = (unsafe { Out::or_null(error) }) else { return Status::BadPointer };
    // SAFETY: the rules of pointers.
    let pool = match unsafe { Out::new(pool) } {
        Ok(pool) => pool,
        Err(failure) => return report(Err(failure), error),
    };
    // SAFETY: the rules of pointers.
    match unsafe { mount(device, base, memory, size, flags) } {
        Ok(place) => {
            pool.set(place);
            report(Ok(Status::Ok), error)
        }
        Err(failure) => {
            pool.set(ptr::null_mut());
            report(Err(failure), error)
        }
    }
}

unsafe fn mount(
    device: *const Device,
    base: *const Device,
    memory: *mut c_void,
    size: usize,
    flags: u32,
) -> Result<*mut Handle, Failure> {
    if flags & !MOUNT_READ_ONLY != 0 {
        return Err(Failure::with_reason(Status::BadParameter, "flags of a mount that this version does not know"));
    }
    // SAFETY: handed on.
    let ((device, base), (place, workspace)) = unsafe { (devices(device, base)?, carve(memory, size)?) };
    let options = MountOptions { read_only: flags & MOUNT_READ_ONLY != 0, checksum: CHECKSUM };
    let length = workspace.len();
    let pool =
        Mounted::mount_on_base(device, base, workspace, &options).map_err(|error| in_all(error, size, length))?;
    // SAFETY: the place is from `carve`, with this workspace.
    unsafe { install(place, length, pool) };
    Ok(place)
}

/// Ends the mount: whatever is pending goes into the trees. The pool is then gone and the memory the caller's again, also after an error
/// of the device (as after a power loss). With `COWL_STATUS_POISONED` or `COWL_STATUS_BUSY` it stays mounted: give the transfers back,
/// or give it up with `cowl_abandon`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_unmount(pool: *mut Handle) -> Status {
    let allowed = |pool: &Mounted| match (pool.info().poisoned, pool.transfers()) {
        (true, _) => Err(Error::Poisoned.into()),
        (false, 0) => Ok(()),
        (false, transfers) => Err(Error::Busy { transfers }.into()),
    };
    // SAFETY: the rules of pointers.
    unsafe { leave(pool, allowed, |pool| Ok(pool.unmount().map(|_| Status::Ok)?)) }
}

/// Gives the pool up as it is: what was not flushed may be lost. The memory is the caller's again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_abandon(pool: *mut Handle) -> Status {
    let last = |pool: Mounted| {
        pool.abandon();
        Ok(Status::Ok)
    };
    // SAFETY: the rules of pointers.
    unsafe { leave(pool, |_| Ok(()), last) }
}

/// The numbers that belong to the last call on this pool that failed. Misuse of the pool's own pointer leaves none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_last_error(pool: *const Handle, error: *mut Failure) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { last_error(pool, error) }
}

/// # Safety
/// The rules of pointers.
pub(crate) unsafe fn last_error<H: Opaque>(handle: *const H, error: *mut Failure) -> Status {
    // SAFETY: handed on.
    match unsafe { (Out::new(error), handle::last(handle)) } {
        (Ok(out), Ok(failure)) => {
            out.set(failure);
            Status::Ok
        }
        _ => Status::BadPointer,
    }
}

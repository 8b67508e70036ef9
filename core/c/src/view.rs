//! A volume as a device: another pool, or a filesystem, can lie on it.

use core::ffi::c_void;

use cowl::{BlockDevice, LayerId};

use crate::{
    ABI_VERSION,
    data::{cowl_discard, cowl_flush, cowl_read, cowl_write},
    device::{Device, GEOMETRY_DISCARD, GEOMETRY_READ_ONLY, Geometry},
    handle::{Handle, enter},
    memory::value,
    status::Status,
};

/// What a volume needs to be a device; filled in by `cowl_volume_device`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct VolumeContext {
    /// The pool that the volume is in.
    pub pool: *mut Handle,
    /// The volume or snapshot.
    pub layer: u32,
}

/// Makes a device of a volume, or a read-only one of a snapshot: another pool, a FAT or a littlefs can lie on it. Its `context` leads to
/// `*context`, which stays where it is, as the pool stays mounted, for as long as the device is in use. Unmount what lies on it first.
///
/// The device's callbacks answer with the `cowl_status` of `pool`, so that is what a pool on it has in `cowl_error.device`. Once the pool is
/// unmounted or the layer deleted they fail, and the device has no sectors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_volume_device(
    pool: *mut Handle,
    layer: u32,
    context: *mut VolumeContext,
    device: *mut Device,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (place, out) = (call.out(context)?, call.out(device)?);
            call.pool.layer(LayerId(layer))?;
            place.set(VolumeContext { pool, layer });
            out.set(Device {
                abi_version: ABI_VERSION,
                size: u32::try_from(size_of::<Device>()).unwrap_or(0),
                context: context.cast(),
                geometry: Some(geometry),
                read: Some(read),
                write: Some(write),
                flush: Some(flush),
                discard: Some(discard),
            });
            Ok(Status::Ok)
        })
    }
}

/// Works on the volume that a context leads to.
///
/// # Safety
/// The context is from [`cowl_volume_device`], where it was left.
unsafe fn with(context: *mut c_void, work: impl FnOnce(VolumeContext) -> Status) -> i32 {
    // SAFETY: handed on.
    unsafe { value(context.cast::<VolumeContext>(), "the context") }.map_or(Status::BadPointer, work) as i32
}

unsafe extern "C" fn geometry(context: *mut c_void, geometry: *mut Geometry) {
    // SAFETY: the context is as it was left; the rules of pointers. What fails leaves the geometry as it was: all zeros.
    unsafe {
        with(context, |of| {
            enter(of.pool, |call| {
                let out = call.out(geometry)?;
                let shape = call.pool.volume_device(LayerId(of.layer))?.geometry();
                let refuses = if shape.read_only { GEOMETRY_READ_ONLY } else { 0 };
                out.set(Geometry {
                    sectors: shape.sectors,
                    sector_size: shape.sector_size,
                    physical_size: shape.physical_size,
                    alignment: shape.alignment,
                    flags: refuses | if shape.discard { GEOMETRY_DISCARD } else { 0 },
                });
                Ok(Status::Ok)
            })
        });
    }
}

unsafe extern "C" fn read(context: *mut c_void, sector: u64, buffer: *mut c_void, length: usize) -> i32 {
    // SAFETY: the context is as it was left; the rules of pointers.
    unsafe { with(context, |of| cowl_read(of.pool, of.layer, sector, buffer, length)) }
}

unsafe extern "C" fn write(context: *mut c_void, sector: u64, buffer: *const c_void, length: usize) -> i32 {
    // SAFETY: the context is as it was left; the rules of pointers.
    unsafe { with(context, |of| cowl_write(of.pool, of.layer, sector, buffer, length)) }
}

unsafe extern "C" fn flush(context: *mut c_void) -> i32 {
    // SAFETY: the context is as it was left; the rules of pointers.
    unsafe { with(context, |of| cowl_flush(of.pool)) }
}

unsafe extern "C" fn discard(context: *mut c_void, sector: u64, count: u64) -> i32 {
    // SAFETY: the context is as it was left; the rules of pointers.
    unsafe { with(context, |of| cowl_discard(of.pool, of.layer, sector, count)) }
}

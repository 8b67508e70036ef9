//! Transfers: data that the program moves by its own means, between two calls of the pool.
//!
//! The pool plans a transfer, the program moves the data, and the plan is given back. A plan lies in a structure of the caller's; it is marked with
//! the pool that made it, and the mark goes when it is given back, so that no plan is given back twice.

use core::{ffi::c_void, mem::MaybeUninit};

use cowl::LayerId;

use crate::{
    device::DeviceFault,
    handle::{Call, Handle, enter},
    status::{Failure, Status},
    types::Extent,
};

/// A range that is being read outside the pool. Give it back with `cowl_release`.
#[repr(C)]
pub struct ReadPlan {
    /// What is to be read, and where it is: data on the device, or zeros.
    pub extent: Extent,
    /// The pool's own.
    pub private: [u64; 8],
}

/// A range that is being written outside the pool. Give it back with `cowl_commit` or `cowl_cancel`.
#[repr(C)]
pub struct WritePlan {
    /// First sector on the device.
    pub device_sector: u64,
    /// Number of sectors.
    pub sectors: u64,
    /// Checksums that `cowl_commit` wants: one for each whole block, in order; 0 if it needs none.
    pub checksums: u64,
    /// The pool's own.
    pub private: [u64; 12],
}

/// A flush of which the device's part is still to be done. Give it back with `cowl_end_flush`.
#[repr(C)]
pub struct FlushPlan {
    /// The pool's own.
    pub private: [u64; 6],
}

/// A plan of the core in a structure of the caller's: first the mark, then the plan.
#[repr(C)]
struct Stored<T> {
    mark: u64,
    plan: MaybeUninit<T>,
}

const _: () =
    assert!(size_of::<Stored<cowl::Reading>>() <= 8 * 8 && align_of::<Stored<cowl::Reading>>() <= align_of::<u64>());
const _: () =
    assert!(size_of::<Stored<cowl::Writing>>() <= 12 * 8 && align_of::<Stored<cowl::Writing>>() <= align_of::<u64>());
const _: () =
    assert!(size_of::<Stored<cowl::Flushing>>() <= 6 * 8 && align_of::<Stored<cowl::Flushing>>() <= align_of::<u64>());

const PLANNED: u64 = 0x3d90_e42b_7c18_a65f;

fn mark(call: &Call<'_>) -> u64 {
    call.handle.addr() as u64 ^ PLANNED
}

/// Puts a plan into its place.
///
/// # Safety
/// `private` can be written, and is as large as the assertions above say.
unsafe fn store<T>(call: &Call<'_>, private: *mut u64, plan: T) {
    let stored = Stored { mark: mark(call), plan: MaybeUninit::new(plan) };
    // SAFETY: the caller's promise; aligned like a u64, as asserted above.
    unsafe { private.cast::<Stored<T>>().write(stored) };
}

/// Takes a plan out of its place; an error if there is none of this pool.
///
/// # Safety
/// `private` is the private part of a plan that is for a `T`, which is what `store` last wrote there, or something without this mark.
unsafe fn take<T>(call: &Call<'_>, private: *mut u64) -> Result<T, Failure> {
    let stored = private.cast::<Stored<T>>();
    // SAFETY: the caller's promise; the mark says that `store` wrote the plan, and goes before anyone can take it again.
    unsafe {
        if (*stored).mark != mark(call) {
            return Err(Failure::new(Status::NotMounted));
        }
        (*stored).mark = 0;
        Ok((&raw const (*stored).plan).read().assume_init())
    }
}

/// Where the sectors of a layer are, from `sector` on and at most `count`: to be read by the program, outside the pool. True until it is
/// released. `COWL_STATUS_NONE`: use `cowl_read`, because the data has a checksum to be verified, or shows the base device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_resolve(
    pool: *mut Handle,
    layer: u32,
    sector: u64,
    count: u64,
    plan: *mut ReadPlan,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            call.place(plan, "the plan")?;
            let Some(reading) = call.pool.resolve(LayerId(layer), sector, count)? else { return Ok(Status::None) };
            (*plan).extent = reading.extent().into();
            store(call, (&raw mut (*plan).private).cast(), reading);
            Ok(Status::Ok)
        })
    }
}

/// The data has been read, or will not be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_release(pool: *mut Handle, plan: *mut ReadPlan) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            call.place(plan, "the plan")?;
            let reading = take(call, (&raw mut (*plan).private).cast())?;
            call.pool.release(reading);
            Ok(Status::Ok)
        })
    }
}

/// Plans a write of at most `count` sectors from `sector` on, one contiguous range of the device: to be written by the program, outside
/// the pool, and then committed. `COWL_STATUS_NONE`: use `cowl_write`, because a new block is written in part only, or there is not
/// plenty of room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_prepare(
    pool: *mut Handle,
    volume: u32,
    sector: u64,
    count: u64,
    plan: *mut WritePlan,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            call.place(plan, "the plan")?;
            let Some(writing) = call.pool.prepare(LayerId(volume), sector, count)? else { return Ok(Status::None) };
            (*plan).device_sector = writing.sector();
            (*plan).sectors = writing.sectors();
            (*plan).checksums = writing.checksums();
            store(call, (&raw mut (*plan).private).cast(), writing);
            Ok(Status::Ok)
        })
    }
}

/// The data has been written: from now on it is what the volume holds, and durable after the next flush. `sums`: what `cowl_crc32c(0, ...)`
/// gives for each block, `count` of them, as many as `plan.checksums`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_commit(
    pool: *mut Handle,
    plan: *mut WritePlan,
    sums: *const u32,
    count: usize,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let sums = call.values(sums, count, "the checksums")?;
            call.place(plan, "the plan")?;
            let writing = take(call, (&raw mut (*plan).private).cast())?;
            call.pool.commit(writing, sums)?;
            Ok(Status::Ok)
        })
    }
}

/// The data has not been written, or only in part.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_cancel(pool: *mut Handle, plan: *mut WritePlan) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            call.place(plan, "the plan")?;
            let writing = take(call, (&raw mut (*plan).private).cast())?;
            call.pool.cancel(writing);
            Ok(Status::Ok)
        })
    }
}

/// The first half of a flush: what the pool itself has to write. The program then flushes the device and ends it.
/// `COWL_STATUS_NONE`: all is done already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_begin_flush(pool: *mut Handle, plan: *mut FlushPlan) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            call.place(plan, "the plan")?;
            let Some(flushing) = call.pool.begin_flush()? else { return Ok(Status::None) };
            store(call, (&raw mut (*plan).private).cast(), flushing);
            Ok(Status::Ok)
        })
    }
}

/// The second half: what the device answered, 0 if it flushed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_end_flush(pool: *mut Handle, plan: *mut FlushPlan, answer: i32) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            call.place(plan, "the plan")?;
            let flushing = take(call, (&raw mut (*plan).private).cast())?;
            let flushed = if answer == 0 { Ok(()) } else { Err(DeviceFault(answer)) };
            call.pool.end_flush(flushing, flushed)?;
            Ok(Status::Ok)
        })
    }
}

/// How many transfers are under way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_transfers(pool: *mut Handle, count: *mut u32) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            call.out(count)?.set(call.pool.transfers());
            Ok(Status::Ok)
        })
    }
}

/// CRC-32C, as the pool counts it. `so_far`: the checksum of the bytes before, 0 to start. 0 if the buffer cannot be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_crc32c(so_far: u32, buffer: *const c_void, length: usize) -> u32 {
    // SAFETY: the rules of pointers.
    unsafe { crate::memory::values(buffer.cast::<u8>(), length, "the buffer") }
        .map_or(0, |bytes| cowl::crc32c(so_far, bytes))
}

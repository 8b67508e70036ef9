//! The data of layers: whole sectors, and bytes.

use core::ffi::c_void;

use cowl::LayerId;
use embedded_io::{Read, Seek, SeekFrom, Write};

use crate::{
    handle::{Handle, enter},
    status::{Failure, Status},
    types::Extent,
};

/// Reads whole sectors of any layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_read(
    pool: *mut Handle,
    layer: u32,
    sector: u64,
    buffer: *mut c_void,
    length: usize,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let buffer = call.bytes_mut(buffer, length)?;
            call.pool.read(LayerId(layer), sector, buffer)?;
            Ok(Status::Ok)
        })
    }
}

/// Writes whole sectors of a volume; durable after the next `cowl_flush`.
///
/// Power loss: each sector holds its old content or the new, until it is flushed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_write(
    pool: *mut Handle,
    volume: u32,
    sector: u64,
    buffer: *const c_void,
    length: usize,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let buffer = call.values(buffer.cast::<u8>(), length, "the buffer")?;
            call.pool.write(LayerId(volume), sector, buffer)?;
            Ok(Status::Ok)
        })
    }
}

/// Reads bytes of a layer from any position on; an attachment ends with its last byte. `done` gets how many there were: less than
/// `length` only at the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_read_bytes(
    pool: *mut Handle,
    layer: u32,
    position: u64,
    buffer: *mut c_void,
    length: usize,
    done: *mut usize,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (out, mut buffer) = (call.out(done)?, call.bytes_mut(buffer, length)?);
            let mut cursor = call.pool.cursor(LayerId(layer))?;
            cursor.seek(SeekFrom::Start(position))?;
            let mut sum = 0;
            loop {
                let part = cursor.read(buffer)?;
                let rest = core::mem::take(&mut buffer).get_mut(part..).unwrap_or(&mut []);
                sum += part;
                if part == 0 || rest.is_empty() {
                    break;
                }
                buffer = rest;
            }
            out.set(sum);
            Ok(Status::Ok)
        })
    }
}

/// Writes bytes of a volume or of a staged attachment at any position, which must lie inside it as a whole. Sectors that are written in part
/// are read first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_write_bytes(
    pool: *mut Handle,
    volume: u32,
    position: u64,
    buffer: *const c_void,
    length: usize,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let mut buffer = call.values(buffer.cast::<u8>(), length, "the buffer")?;
            let mut cursor = call.pool.cursor(LayerId(volume))?;
            let end = cursor.seek(SeekFrom::End(0))?;
            if position.checked_add(length as u64).is_none_or(|last| last > end) {
                let reason = "the range does not lie inside the layer";
                return Err(Failure { actual: end, ..Failure::with_reason(Status::BadParameter, reason) });
            }
            cursor.seek(SeekFrom::Start(position))?;
            while !buffer.is_empty() {
                let part = cursor.write(buffer)?;
                buffer = buffer.get(part..).unwrap_or(&[]);
            }
            Ok(Status::Ok)
        })
    }
}

/// Gives up the whole blocks inside the range: they read as zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_discard(pool: *mut Handle, volume: u32, sector: u64, count: u64) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { enter(pool, |call| Ok(call.pool.discard(LayerId(volume), sector, count).map(|()| Status::Ok)?)) }
}

/// Makes every sector of the range read as zeros; whole blocks give up their space.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_write_zeroes(pool: *mut Handle, volume: u32, sector: u64, count: u64) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { enter(pool, |call| Ok(call.pool.write_zeroes(LayerId(volume), sector, count).map(|()| Status::Ok)?)) }
}

/// Makes every write so far durable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_flush(pool: *mut Handle) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { enter(pool, |call| Ok(call.pool.flush().map(|()| Status::Ok)?)) }
}

/// Brings what is pending into the trees and empties the journal.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_checkpoint(pool: *mut Handle) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { enter(pool, |call| Ok(call.pool.checkpoint().map(|()| Status::Ok)?)) }
}

/// What a layer holds from a sector on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_extent_at(pool: *mut Handle, layer: u32, sector: u64, extent: *mut Extent) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out(extent)?;
            out.set(call.pool.extent(LayerId(layer), sector)?.into());
            Ok(Status::Ok)
        })
    }
}
